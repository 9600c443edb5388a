//! An entry of a cache that keeps each in a file: mini's `FilesystemCache`.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::error::{DecodeError, DecodeErrorKind as Wrong, EncodeError};
use crate::limits::Limits;
use crate::session::nested::{as_first, first_alone};

/// What stands before the value,
const VALUE: &[u8] = b"a:2:{s:5:\"value\";";
/// between it and the second in which it ends,
const ENDS: &[u8] = b"s:10:\"expires_at\";";
/// and at the end.
const END: &[u8] = b";}";
/// What the names of entries begin with before they are hashed.
const PREFIX: &str = "mini_cache_";

/// `serialize(['value' => …, 'expires_at' => …])`: an entry of mini's cache in files.
///
/// The value is an array, as `serialize()` text that stands alone. In the entry the numbers of its back references are one more, for the
/// entry itself counts.
///
/// ```
/// use cloakroom_php::CacheEntry;
///
/// let file = br#"a:2:{s:5:"value";a:2:{i:0;O:1:"N":0:{}i:1;r:3;}s:10:"expires_at";i:1764406800;}"#;
/// let entry = CacheEntry::decode(file)?;
/// assert_eq!(entry.value, br#"a:2:{i:0;O:1:"N":0:{}i:1;r:2;}"#);
/// assert_eq!(entry.expires_at, 1_764_406_800);
/// assert_eq!(entry.encode()?, file);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CacheEntry {
    /// The value, as `serialize()` text.
    pub value: Vec<u8>,
    /// The last second in which it is there, since 1970.
    pub expires_at: i64,
}

impl CacheEntry {
    /// Reads an entry, within the usual [`Limits`]. The value is looked through, and not built.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Envelope`](crate::DecodeErrorKind::Envelope) for what is no entry as mini writes it; [`DecodeErrorKind::Unsupported`](crate::DecodeErrorKind::Unsupported)
    /// for back references beside `Serializable` data, whose numbers only the class knows; and as [`Session::decode`](crate::Session::decode).
    pub fn decode(file: &[u8]) -> Result<Self, DecodeError> {
        if !file.starts_with(VALUE) {
            return Err(DecodeError::new(
                Wrong::Envelope("expected an array of `value` and `expires_at`"),
                0,
            ));
        }
        let (value, end) = first_alone(file, VALUE.len(), Limits::default())?;
        let expires_at = file.get(end..).and_then(expires_at);
        let expires_at =
            expires_at.ok_or_else(|| DecodeError::new(Wrong::Envelope("expected when it ends"), end))?;
        Ok(CacheEntry { value: value.into_owned(), expires_at })
    }

    /// Writes it as mini does. It is read again and compared before it is handed out.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ReadOnly`] where numbers that would have to move cannot; [`EncodeError::Unverified`] where the value is no such text.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let value = as_first(&self.value, Limits::default())?;
        let expires_at = format!("i:{}", self.expires_at);
        let file = [VALUE, &value, ENDS, expires_at.as_bytes(), END].concat();
        match Self::decode(&file) {
            Ok(read) if read == *self => Ok(file),
            _ => Err(EncodeError::Unverified),
        }
    }

    /// When the entry ends whose file ends so, by its last bytes alone. `None` where that is not as mini writes it.
    pub fn ends(tail: &[u8]) -> Option<i64> {
        let at = memchr::memmem::rfind(tail, ENDS)?;
        expires_at(tail.get(at..)?)
    }

    /// The name of the file in which mini has the entry of this key.
    pub fn file_name(key: &str) -> String {
        HEXLOWER.encode(&Sha256::digest(format!("{PREFIX}{key}")))
    }
}

/// The second, from what stands behind the value.
fn expires_at(rest: &[u8]) -> Option<i64> {
    let number = rest.strip_prefix(ENDS)?.strip_prefix(b"i:")?.strip_suffix(END)?;
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(number).ok()?.parse().ok()
}

/// Its size and when it ends: what is cached does not belong in a log.
impl std::fmt::Debug for CacheEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheEntry")
            .field("value", &self.value.len())
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeErrorKind, Format, ReadOnly, Session};

    fn file(value: &str, ends: &str) -> String {
        format!("a:2:{{s:5:\"value\";{value}s:10:\"expires_at\";{ends};}}")
    }

    #[test]
    fn an_entry_is_read_and_written_to_the_byte_and_its_value_stands_alone() {
        for (inside, alone) in [
            ("a:0:{}", "a:0:{}"),
            ("a:1:{s:1:\"n\";d:0.50;}", "a:1:{s:1:\"n\";d:0.50;}"),
            // Numbers that grow by a digit on the way in.
            (
                "a:9:{i:0;a:1:{i:0;i:0;}i:1;i:1;i:2;i:2;i:3;i:3;i:4;i:4;s:1:\"o\";O:1:\"N\":0:{}s:1:\"p\";r:9;s:1:\"x\";d:0.50;s:1:\"y\";R:11;}",
                "a:9:{i:0;a:1:{i:0;i:0;}i:1;i:1;i:2;i:2;i:3;i:3;i:4;i:4;s:1:\"o\";O:1:\"N\":0:{}s:1:\"p\";r:8;s:1:\"x\";d:0.50;s:1:\"y\";R:10;}",
            ),
            ("a:1:{s:1:\"c\";C:1:\"L\":4:{i:1;}}", "a:1:{s:1:\"c\";C:1:\"L\":4:{i:1;}}"),
            (
                "a:1:{s:27:\"s:10:\"expires_at\";i:1;}\n...\";i:5;}",
                "a:1:{s:27:\"s:10:\"expires_at\";i:1;}\n...\";i:5;}",
            ),
        ] {
            let file = file(inside, "i:1764406800");
            let entry =
                CacheEntry::decode(file.as_bytes()).unwrap_or_else(|error| panic!("{inside}: {error}"));
            assert_eq!(String::from_utf8_lossy(&entry.value), alone);
            assert_eq!(entry.expires_at, 1_764_406_800);
            assert_eq!(String::from_utf8_lossy(&entry.encode().unwrap()), file);
            assert_eq!(CacheEntry::ends(file.as_bytes()), Some(1_764_406_800));
            assert!(Session::decode(Format::PhpSerialize, alone.as_bytes()).is_ok());
        }
    }

    #[test]
    fn what_mini_does_not_write_is_refused_and_so_are_numbers_that_cannot_be_moved() {
        let value = "a:1:{s:1:\"n\";i:1;}";
        let whole = file(value, "i:5");
        let mut wrong: Vec<String> = (0..whole.len()).map(|len| whole[..len].to_owned()).collect();
        for ends in ["N", "i:+5", "i:", "i:5;i:0", "d:5", "i:99999999999999999999", "R:3"] {
            wrong.push(file(value, ends));
        }
        wrong.push(format!("{whole} "));
        wrong.push(whole.replace("a:2:", "a:3:"));
        wrong.push(file("a:1:{i:0;R:1;}", "i:5"));
        wrong.push(file("a:1:{i:0;r:9;}", "i:5"));
        wrong.push(file("a:1:{i:0;i:1;", "i:5"));
        for file in &wrong {
            assert!(CacheEntry::decode(file.as_bytes()).is_err(), "{file}");
        }
        let opaque = file("a:2:{i:0;C:1:\"L\":4:{i:1;}i:1;R:3;}", "i:5");
        let error = CacheEntry::decode(opaque.as_bytes()).unwrap_err();
        assert!(matches!(error.kind(), DecodeErrorKind::Unsupported(_)), "{error}");
        let entry = |value: &str| CacheEntry { value: value.as_bytes().to_vec(), expires_at: 5 };
        let refused = entry("a:2:{i:0;C:1:\"L\":4:{i:1;}i:1;R:2;}").encode().unwrap_err();
        assert_eq!(refused, EncodeError::ReadOnly(ReadOnly::OpaqueNumbers));
        for value in ["", "a:1:{i:0;i:1;", "a:0:{}x", "a:0:{}s:1:\"x\";i:1;"] {
            assert!(entry(value).encode().is_err(), "{value}");
        }
        assert!(!format!("{:?}", entry("a:1:{s:1:\"n\";s:6:\"hunter\";}")).contains("hunter"));
    }

    #[test]
    fn a_file_is_named_by_the_digest_of_the_key() {
        let name = CacheEntry::file_name("session.abc");
        assert_eq!(name, "93cc6b9f4063e1de59a616cd1ad0941c6fa5c97fa4a9f09fb65be5187494bc4e");
    }
}
