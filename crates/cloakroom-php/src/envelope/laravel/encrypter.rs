//! Laravel's [`Encrypter`](https://laravel.com/docs/encryption): AES in CBC mode with an HMAC over what is in base64, or AES-GCM.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use aes::{Aes128, Aes256};
use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm, Nonce};
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::key::AppKey;
use crate::error::{DecodeError, DecodeErrorKind as Wrong, EncodeError};
use crate::json;
use crate::limits::Limits;

/// `app.cipher`. How long the key is says whether it is AES-128 or AES-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cipher {
    /// `aes-128-cbc` and `aes-256-cbc`, which is the default.
    Cbc,
    /// `aes-128-gcm` and `aes-256-gcm`.
    Gcm,
}

const IV_CBC: usize = 16;
const IV_GCM: usize = 12;
const TAG: usize = 16;

/// What a Laravel application encrypts with: `app.cipher`, `APP_KEY` and `APP_PREVIOUS_KEYS`.
///
/// For its sessions ([`Laravel::encrypted_by`](super::Laravel::encrypted_by)) and its cookies ([`seal_cookie`](Self::seal_cookie)). `Debug` shows no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypter {
    cipher: Cipher,
    pub(super) key: AppKey,
    previous: Vec<AppKey>,
}

/// What a ciphertext comes with, as text where the HMAC is over the text.
struct Sealed {
    iv_text: Vec<u8>,
    iv: Vec<u8>,
    value_text: Vec<u8>,
    value: Vec<u8>,
    mac: Vec<u8>,
    tag: Vec<u8>,
}

const fn broken<T>(what: &'static str) -> Result<T, DecodeError> {
    Err(DecodeError::new(Wrong::Envelope(what), 0))
}

impl Sealed {
    /// base64 of JSON of base64.
    fn parse(text: &[u8]) -> Result<Self, DecodeError> {
        let Ok(json) = BASE64.decode(text) else { return broken("expected base64; is session.encrypt on?") };
        let Ok(document) = json::read(json, Limits::default()) else {
            return broken("expected JSON in base64");
        };
        let field = |name| document.root().get(name).and_then(|value| value.as_bytes());
        let base64 = |name| Some((field(name)?.to_vec(), BASE64.decode(field(name)?).ok()?));
        let (Some((iv_text, iv)), Some((value_text, value)), Some(mac)) =
            (base64("iv"), base64("value"), field("mac"))
        else {
            return broken("expected an iv, a value and a mac");
        };
        let Some(tag) = field("tag").map_or(Some(Vec::new()), |tag| BASE64.decode(tag).ok()) else {
            return broken("the tag is no base64");
        };
        Ok(Self { iv_text, iv, value_text, value, mac: mac.to_vec(), tag })
    }
}

impl Encrypter {
    /// The previous keys are tried where the key does not fit; what is written is encrypted with the key.
    pub fn new(cipher: Cipher, key: AppKey, previous: impl IntoIterator<Item = AppKey>) -> Self {
        Self { cipher, key, previous: previous.into_iter().collect() }
    }

    /// Those that may fit, the likeliest first.
    pub(super) fn keys(&self) -> impl Iterator<Item = &AppKey> {
        std::iter::once(&self.key).chain(&self.previous)
    }

    pub(super) fn decrypt(&self, text: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let sealed = Sealed::parse(text)?;
        let (iv, tag) = match self.cipher {
            Cipher::Cbc => (IV_CBC, 0),
            Cipher::Gcm => (IV_GCM, TAG),
        };
        if sealed.iv.len() != iv || sealed.tag.len() != tag {
            return broken("the iv or the tag is of another cipher");
        }
        let opened = self.keys().find_map(|key| match self.cipher {
            Cipher::Cbc => open_cbc(key, &sealed),
            Cipher::Gcm => open_gcm(key, &sealed),
        });
        match opened {
            Some(opened) => Ok(opened),
            None => broken("no key fits: it was encrypted with another one, or tampered with"),
        }
    }

    pub(super) fn encrypt(&self, plain: &[u8]) -> Result<String, EncodeError> {
        let mut iv = vec![0; if self.cipher == Cipher::Cbc { IV_CBC } else { IV_GCM }];
        getrandom::fill(&mut iv).map_err(|_| EncodeError::Random)?;
        let sealed = match self.cipher {
            Cipher::Cbc => seal_cbc(&self.key, &iv, plain).map(|value| (value, Vec::new())),
            Cipher::Gcm => seal_gcm(&self.key, &iv, plain),
        };
        // A key has one of two lengths; there is nothing else that could fail.
        let (value, tag) = sealed.ok_or(EncodeError::Unverified)?;
        let (iv, value) = (BASE64.encode(&iv), BASE64.encode(&value));
        let mac = match self.cipher {
            Cipher::Cbc => {
                let mac = hmac(&self.key, iv.as_bytes(), value.as_bytes()).ok_or(EncodeError::Unverified)?;
                HEXLOWER.encode(&mac.finalize().into_bytes())
            }
            Cipher::Gcm => String::new(),
        };
        let tag = BASE64.encode(&tag);
        // base64 and hexadecimal digits need no escapes; Laravel leaves slashes as they are.
        let json = format!(r#"{{"iv":"{iv}","value":"{value}","mac":"{mac}","tag":"{tag}"}}"#);
        Ok(BASE64.encode(json.as_bytes()))
    }
}

/// Over both as they stand in base64.
fn hmac(key: &AppKey, iv: &[u8], value: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key.bytes()).ok()?;
    mac.update(iv);
    mac.update(value);
    Some(mac)
}

/// `None` unless the HMAC fits, which is looked at first: only who has the key learns of the padding.
fn open_cbc(key: &AppKey, sealed: &Sealed) -> Option<Vec<u8>> {
    let mac = HEXLOWER.decode(&sealed.mac).ok()?;
    hmac(key, &sealed.iv_text, &sealed.value_text)?.verify_slice(&mac).ok()?;
    let opened = match key.bytes().len() {
        16 => cbc::Decryptor::<Aes128>::new_from_slices(key.bytes(), &sealed.iv)
            .ok()?
            .decrypt_padded_vec::<Pkcs7>(&sealed.value),
        _ => cbc::Decryptor::<Aes256>::new_from_slices(key.bytes(), &sealed.iv)
            .ok()?
            .decrypt_padded_vec::<Pkcs7>(&sealed.value),
    };
    opened.ok()
}

fn seal_cbc(key: &AppKey, iv: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    Some(match key.bytes().len() {
        16 => cbc::Encryptor::<Aes128>::new_from_slices(key.bytes(), iv)
            .ok()?
            .encrypt_padded_vec::<Pkcs7>(plain),
        _ => cbc::Encryptor::<Aes256>::new_from_slices(key.bytes(), iv)
            .ok()?
            .encrypt_padded_vec::<Pkcs7>(plain),
    })
}

fn open_gcm(key: &AppKey, sealed: &Sealed) -> Option<Vec<u8>> {
    let iv = Nonce::try_from(sealed.iv.as_slice()).ok()?;
    let both = [sealed.value.as_slice(), &sealed.tag].concat();
    match key.bytes().len() {
        16 => Aes128Gcm::new_from_slice(key.bytes()).ok()?.decrypt(&iv, both.as_slice()).ok(),
        _ => Aes256Gcm::new_from_slice(key.bytes()).ok()?.decrypt(&iv, both.as_slice()).ok(),
    }
}

fn seal_gcm(key: &AppKey, iv: &[u8], plain: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let iv = Nonce::try_from(iv).ok()?;
    let mut both = match key.bytes().len() {
        16 => Aes128Gcm::new_from_slice(key.bytes()).ok()?.encrypt(&iv, plain).ok()?,
        _ => Aes256Gcm::new_from_slice(key.bytes()).ok()?.encrypt(&iv, plain).ok()?,
    };
    let tag = both.split_off(both.len().checked_sub(TAG)?);
    Some((both, tag))
}
