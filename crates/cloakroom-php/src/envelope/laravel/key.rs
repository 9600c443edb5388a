//! The application's key.

use std::str::FromStr;

use data_encoding::BASE64;
use zeroize::Zeroizing;

/// `APP_KEY`, as it stands in Laravel's `.env`: `base64:` and the key, or the key itself. 16 bytes are a key for AES-128, 32 for AES-256.
///
/// `Debug` does not show it, and its memory is overwritten in the end.
///
/// ```
/// use cloakroom_php::AppKey;
///
/// let key: AppKey = "base64:AAECAwQFBgcICQoLDA0ODw==".parse()?;
/// assert_eq!(format!("{key:?}"), "AppKey(AES-128)");
/// assert!("base64:AAEC".parse::<AppKey>().is_err());
/// # Ok::<(), cloakroom_php::InvalidAppKey>(())
/// ```
#[derive(Clone)]
pub struct AppKey(Zeroizing<Vec<u8>>);

/// What is no key: neither 16 nor 32 bytes, or not base64 behind `base64:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an application key is `base64:` and 16 or 32 bytes in base64, as `php artisan key:generate` writes it"
)]
pub struct InvalidAppKey;

impl std::fmt::Debug for AppKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AppKey(AES-{})", self.bits())
    }
}

/// In the same time wherever two keys of one length differ.
impl PartialEq for AppKey {
    fn eq(&self, other: &Self) -> bool {
        let differ = self.0.iter().zip(other.0.iter()).fold(0, |differ, (a, b)| differ | (a ^ b));
        self.0.len() == other.0.len() && differ == 0
    }
}

impl Eq for AppKey {}

impl AppKey {
    /// How long it is, in bits: 128 or 256.
    pub fn bits(&self) -> usize {
        self.0.len() * 8
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromStr for AppKey {
    type Err = InvalidAppKey;

    fn from_str(text: &str) -> Result<Self, InvalidAppKey> {
        let bytes = match text.strip_prefix("base64:") {
            Some(encoded) => BASE64.decode(encoded.as_bytes()).map_err(|_| InvalidAppKey)?,
            None => text.as_bytes().to_vec(),
        };
        let bytes = Zeroizing::new(bytes);
        if bytes.len() == 16 || bytes.len() == 32 { Ok(Self(bytes)) } else { Err(InvalidAppKey) }
    }
}
