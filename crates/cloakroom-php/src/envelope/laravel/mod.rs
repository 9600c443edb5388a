//! Sessions of [Laravel](https://laravel.com/docs/session).

mod cookie;
mod encrypter;
mod key;

pub use encrypter::{Cipher, Encrypter};
pub use key::{AppKey, InvalidAppKey};

use super::session;
use crate::error::{DecodeError, DecodeErrorKind as Wrong, EncodeError};
use crate::format::{Encoding, Format};
use crate::json;
use crate::limits::Limits;
use crate::session::Session;
use crate::value::{Document, same};

/// So many times a payload may be in memory while its layers are opened.
const COPIES: usize = 5;

/// How a Laravel application stores its sessions: serialized, and the text serialized once more by the cache; encrypted in between if it says so.
///
/// What is stored is `serialize()` of a string, which is `serialize()` or JSON (`session.serialization`) of the attributes. With
/// `session.encrypt` the string is the ciphertext of that.
///
/// Laravel ages flash data (`_flash`) on each of its own requests; what is written here leaves it as it is.
///
/// ```
/// use cloakroom_php::{AppKey, Cipher, Laravel};
///
/// let laravel = Laravel::new();
/// let mut session = laravel.decode(br#"s:18:"a:1:{s:1:"n";i:1;}";"#)?;
/// session.set("n", &2)?;
/// assert_eq!(laravel.encode(&session)?, br#"s:18:"a:1:{s:1:"n";i:2;}";"#);
///
/// let key: AppKey = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".parse()?; // APP_KEY
/// let laravel = laravel.with_encryption(Cipher::Cbc, key, []);
/// let bytes = laravel.encode(&session)?;
/// assert_eq!(laravel.decode(&bytes)?.get("n").unwrap().as_int(), Some(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Laravel {
    json: bool,
    encryption: Option<Encrypter>,
}

impl Laravel {
    /// As Laravel does by default: `session.serialization` is `php`, and `session.encrypt` is off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `session.serialization` is `json`.
    ///
    /// JSON knows no objects, and only UTF-8. A whole double is written as `3.0`, so that PHP reads a double; PHP itself writes `3`.
    #[must_use]
    pub const fn with_json(mut self) -> Self {
        self.json = true;
        self
    }

    /// `session.encrypt` is on, with `app.cipher`, `APP_KEY` and `APP_PREVIOUS_KEYS`. The previous keys are tried where the key does not fit; what is written is
    /// encrypted with the key.
    #[must_use]
    pub fn with_encryption(
        self,
        cipher: Cipher,
        key: AppKey,
        previous: impl IntoIterator<Item = AppKey>,
    ) -> Self {
        self.encrypted_by(Encrypter::new(cipher, key, previous))
    }

    /// The same, with what the application encrypts its cookies with as well.
    #[must_use]
    pub fn encrypted_by(mut self, encrypter: Encrypter) -> Self {
        self.encryption = Some(encrypter);
        self
    }

    /// Reads a session, within the usual [`Limits`].
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Envelope`](crate::DecodeErrorKind::Envelope) where a layer is broken or no key fits, and as [`Session::decode`]. Laravel would go on with an empty session.
    pub fn decode(&self, payload: &[u8]) -> Result<Session, DecodeError> {
        self.decode_within(payload, Limits::default())
    }

    /// Reads a session within these limits.
    ///
    /// # Errors
    ///
    /// As [`Laravel::decode`]. The offset of an error is one in the layer that it is about. In JSON or encrypted, a payload may be a fifth as long as there
    /// is memory: base64, JSON and ciphertext are beside one another while it is opened.
    pub fn decode_within(&self, payload: &[u8], limits: Limits) -> Result<Session, DecodeError> {
        if self.may_hold(payload, limits).is_none() {
            return Err(DecodeError::new(Wrong::Memory(limits.memory()), 0));
        }
        let mut inner = unserialize(payload, limits)?;
        if let Some(encryption) = &self.encryption {
            inner = unserialize(&encryption.decrypt(&inner)?, limits)?;
        }
        if !self.json {
            return session(inner, limits);
        }
        let document = json::read(inner, limits)?;
        if document.root().as_array().is_none() {
            return Err(DecodeError::new(Wrong::NotASession, 0));
        }
        let text = document.encode(Encoding::Serialize);
        let text = text.map_err(|_| DecodeError::new(Wrong::Memory(limits.memory()), 0))?;
        session(text, limits)
    }

    /// Writes a session, with a fresh initialisation vector where it is encrypted.
    ///
    /// # Errors
    ///
    /// As [`Session::encode_as`]; [`EncodeError::Value`] for what JSON cannot carry; [`EncodeError::Random`] where the operating system gives no random numbers;
    /// [`EncodeError::Memory`] for what is longer than would be read again. Nothing is handed out then.
    pub fn encode(&self, session: &Session) -> Result<Vec<u8>, EncodeError> {
        let mut text = match session.format() {
            _ if self.json => {
                let text = json::write(session.document(), Limits::default())?;
                match json::read(text.clone(), Limits::default()) {
                    Ok(read) if is_same_tree(session.document(), &read) => text,
                    _ => return Err(EncodeError::Unverified),
                }
            }
            Format::PhpSerialize => session.encode()?,
            _ => session.encode_as(Format::PhpSerialize)?,
        };
        if let Some(encryption) = &self.encryption {
            text = encryption.encrypt(&serialize(&text))?.into_bytes();
        }
        let bytes = serialize(&text);
        let limits = Limits::default();
        self.may_hold(&bytes, limits).ok_or(EncodeError::Memory(limits.memory()))?;
        match unserialize(&bytes, limits) {
            Ok(read) if read == text => Ok(bytes),
            _ => Err(EncodeError::Unverified),
        }
    }
}

impl Laravel {
    /// Whether all that is made of a payload on the way to the session fits.
    fn may_hold(&self, payload: &[u8], limits: Limits) -> Option<()> {
        let copies = if self.json || self.encryption.is_some() { COPIES } else { 1 };
        (payload.len() <= limits.memory() / copies).then_some(())
    }
}

/// Whether both are the same values, without regard to references, which JSON does not have.
fn is_same_tree(a: &Document, b: &Document) -> bool {
    let mut plain = a.clone();
    for at in 0..plain.entries.len() {
        let node = plain.entries.get(at).map(|entry| plain.resolve(entry.node));
        if let (Some(entry), Some(node)) = (plain.entries.get_mut(at), node) {
            entry.node = node;
        }
    }
    same(&plain, b)
}

fn serialize(text: &[u8]) -> Vec<u8> {
    [format!("s:{}:\"", text.len()).as_bytes(), text, b"\";"].concat()
}

/// The string in `serialize()` text that is a string and nothing else.
fn unserialize(text: &[u8], limits: Limits) -> Result<Vec<u8>, DecodeError> {
    limits.hold(text)?;
    let document = Document::decode_within(Encoding::Serialize, text, limits)?;
    document.into_string().ok_or(DecodeError::new(Wrong::Envelope("expected a serialized string"), 0))
}
