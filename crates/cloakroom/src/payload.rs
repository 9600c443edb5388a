//! The session's data as bytes: entries that can be found without decoding their neighbours.
//!
//! ```text
//! payload = entry*
//! entry   = key length (u16 LE) · value length (u32 LE) · key (UTF-8) · value (the codec's bytes)
//! ```
//!
//! Entries keep the order of insertion. Looking one up skips over the others; a commit copies what did not
//! change as it is.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Bytes before an entry's key.
const HEAD: usize = 6;

/// An immutable, shared sequence of entries. Cloning is one reference count.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Option<Arc<[u8]>>);

/// Bytes that are not a sequence of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored session data is damaged at byte {at}")]
pub struct MalformedPayload {
    /// Offset of the entry that does not fit.
    pub at: usize,
}

impl Payload {
    /// No entries; allocates nothing.
    pub const fn empty() -> Self {
        Payload(None)
    }

    /// Takes over bytes that a store kept, after checking that they are entries.
    ///
    /// # Errors
    /// [`MalformedPayload`] with the offset of what does not fit.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedPayload> {
        Self::check(bytes)?;
        Ok(Payload((!bytes.is_empty()).then(|| bytes.into())))
    }

    /// Checks without taking over.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), MalformedPayload> {
        let mut at = 0;
        while at < bytes.len() {
            let damaged = MalformedPayload { at };
            let rest = bytes.get(at..).ok_or(damaged)?;
            let (key, _, len) = split(rest).ok_or(damaged)?;
            // Nearly every key is a word, which is seen faster than that it is UTF-8.
            if !key.is_ascii() {
                std::str::from_utf8(key).map_err(|_| damaged)?;
            }
            at += len;
        }
        Ok(())
    }

    /// The bytes a store keeps.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Size in bytes, keys and lengths included.
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether this is the very same payload as the other, so that there is nothing to compare.
    pub(crate) fn is_same(&self, other: &Payload) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// Where the entry of `key` lies, and its value.
    pub(crate) fn entry(&self, key: &str) -> Option<(Range<usize>, &[u8])> {
        let (mut at, mut rest) = (0, self.as_bytes());
        while let Some((k, value, len)) = split(rest) {
            if k == key.as_bytes() {
                return Some((at..at + len, value));
            }
            rest = rest.get(len..)?;
            at += len;
        }
        None
    }

    /// The encoded value under `key`.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        let mut rest = self.as_bytes();
        while let Some((k, value, len)) = split(rest) {
            if k == key.as_bytes() {
                return Some(value);
            }
            rest = rest.get(len..)?;
        }
        None
    }

    /// Keys and encoded values in order of insertion.
    pub fn iter(&self) -> Entries<'_> {
        Entries(self.as_bytes())
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values belong to the visitor and keys may too: only sizes are shown.
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// Iterator over a payload; see [`Payload::iter`].
#[derive(Clone)]
pub struct Entries<'a>(&'a [u8]);

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({} bytes)", self.0.len())
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value, len) = split(self.0)?;
        self.0 = self.0.get(len..)?;
        Some((std::str::from_utf8(key).ok()?, value))
    }
}

/// Bytes an entry takes.
pub(crate) fn entry_len(key: &str, value: &[u8]) -> usize {
    HEAD + key.len() + value.len()
}

/// Key, value and whole length of the first entry.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let (&[a, b, c, d, e, f], rest) = bytes.split_first_chunk::<HEAD>()?;
    let key_len = usize::from(u16::from_le_bytes([a, b]));
    let value_len = usize::try_from(u32::from_le_bytes([c, d, e, f])).ok()?;
    let key = rest.get(..key_len)?;
    let value = rest.get(key_len..key_len.checked_add(value_len)?)?;
    Some((key, value, HEAD + key_len + value_len))
}

impl Payload {
    /// A payload of exactly this many bytes, in which `write` writes its entries: one allocation, and nothing is copied twice.
    pub(crate) fn written(len: usize, write: impl FnOnce(&mut PayloadWriter<'_>)) -> Self {
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, len).collect();
        // Nobody else has it yet. Asked once for all entries, since asking is an exchange of memory.
        let end = Arc::get_mut(&mut bytes).map_or(0, |all| {
            let mut writer = PayloadWriter { all, at: 0 };
            write(&mut writer);
            writer.at
        });
        debug_assert_eq!(end, len, "the length was counted right");
        if end < len {
            return Payload(bytes.get(..end).filter(|b| !b.is_empty()).map(Arc::from));
        }
        Payload((end > 0).then_some(bytes))
    }
}

/// Writes entries into a payload whose length is known: see [`Payload::written`].
pub(crate) struct PayloadWriter<'a> {
    all: &'a mut [u8],
    at: usize,
}

impl PayloadWriter<'_> {
    /// Writes the next entry. `false`, and nothing is written, when it does not fit.
    pub(crate) fn push(&mut self, key: &str, value: &[u8]) -> bool {
        let (Ok(key_len), Ok(value_len)) = (u16::try_from(key.len()), u32::try_from(value.len())) else {
            return false;
        };
        let place = self.all.get_mut(self.at..);
        let Some(place) = place.filter(|place| entry_len(key, value) <= place.len()) else { return false };
        let (head, place) = place.split_at_mut(HEAD);
        let (len_of_key, len_of_value) = head.split_at_mut(2);
        len_of_key.copy_from_slice(&key_len.to_le_bytes());
        len_of_value.copy_from_slice(&value_len.to_le_bytes());
        let (place_of_key, place) = place.split_at_mut(key.len());
        place_of_key.copy_from_slice(key.as_bytes());
        place.split_at_mut(value.len()).0.copy_from_slice(value);
        self.at += entry_len(key, value);
        true
    }

    /// Copies entries of another payload as they are. Whoever asks has counted them in.
    pub(crate) fn copy(&mut self, from: &Payload, place: Range<usize>) {
        let end = self.at + place.len();
        if let (Some(to), Some(entries)) = (self.all.get_mut(self.at..end), from.as_bytes().get(place)) {
            to.copy_from_slice(entries);
            self.at = end;
        }
    }
}

/// Writes entries one after another.
#[derive(Default)]
pub struct PayloadBuilder(Vec<u8>);

impl fmt::Debug for PayloadBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadBuilder({} bytes)", self.0.len())
    }
}

impl PayloadBuilder {
    /// A builder with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        PayloadBuilder(Vec::with_capacity(bytes))
    }

    /// Appends an entry. The caller sees to it that keys are distinct.
    ///
    /// Returns `false`, and appends nothing, when the key is longer than 65,535 bytes or the value than 4 GiB.
    pub fn push(&mut self, key: &str, value: &[u8]) -> bool {
        let (Ok(key_len), Ok(value_len)) = (u16::try_from(key.len()), u32::try_from(value.len())) else {
            return false;
        };
        self.0.reserve(HEAD + key.len() + value.len());
        self.0.extend_from_slice(&key_len.to_le_bytes());
        self.0.extend_from_slice(&value_len.to_le_bytes());
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(value);
        true
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The finished payload.
    pub fn finish(self) -> Payload {
        Payload((!self.0.is_empty()).then(|| self.0.into()))
    }
}
