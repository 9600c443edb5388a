//! Laravel's cookies: encrypted, and bound to their name by an HMAC before the value, so that the value of one is none of another.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::encrypter::Encrypter;
use super::key::AppKey;
use crate::error::EncodeError;

/// Hexadecimal digits of an HMAC with SHA-1.
const MAC: usize = 40;
/// Browsers keep no longer ones (RFC 6265bis §5.6).
const LONGEST: usize = 4096;

impl Encrypter {
    /// The value of a cookie as `EncryptCookies` writes it. It is base64, which PHP percent-encodes in the header (`=`, `+`, `/`).
    ///
    /// ```
    /// use cloakroom_php::{AppKey, Cipher, Encrypter};
    ///
    /// let key: AppKey = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse()?; // APP_KEY
    /// let encrypter = Encrypter::new(Cipher::Cbc, key, []);
    /// let sealed = encrypter.seal_cookie("laravel_session", "an id")?;
    /// assert_eq!(encrypter.open_cookie("laravel_session", sealed.as_bytes()).unwrap(), b"an id");
    /// assert!(encrypter.open_cookie("another", sealed.as_bytes()).is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`EncodeError::Random`] where the operating system gives no random numbers.
    pub fn seal_cookie(&self, name: &str, value: &str) -> Result<String, EncodeError> {
        let mac = mac(&self.key, name).ok_or(EncodeError::Unverified)?.finalize().into_bytes();
        let plain = Zeroizing::new(format!("{}|{value}", HEXLOWER.encode(&mac)));
        self.encrypt(plain.as_bytes())
    }

    /// The value in a cookie of this name, without the percent-encoding. `None` unless one of the keys sealed it under this name; why not is not told
    /// apart, and what is compared takes the same time whatever it is.
    #[must_use]
    pub fn open_cookie(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        if sealed.len() > LONGEST {
            return None;
        }
        let plain = Zeroizing::new(self.decrypt(sealed).ok()?);
        let (prefix, value) = plain.split_at_checked(MAC)?;
        let prefix = HEXLOWER.decode(prefix).ok()?;
        let fits = |key| mac(key, name).is_some_and(|mac| mac.verify_slice(&prefix).is_ok());
        value.strip_prefix(b"|").filter(|_| self.keys().any(fits)).map(<[u8]>::to_vec)
    }
}

/// What is before the value: of the cookie's name.
fn mac(key: &AppKey, name: &str) -> Option<Hmac<Sha1>> {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key.bytes()).ok()?;
    mac.update(name.as_bytes());
    mac.update(b"v2");
    Some(mac)
}
