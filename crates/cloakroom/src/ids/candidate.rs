use std::fmt;

use super::{ID_LEN, PlainId, StoreKey};

/// An id as a client sent it: the right length and alphabet, and nothing more is known of it.
///
/// It can be looked up, and that is all. Parsing never allocates and never touches a store.
#[derive(Clone)]
pub struct Candidate(Form);

#[derive(Clone)]
enum Form {
    Own([u8; ID_LEN]),
    /// By the rules of another system: see [`PlainIds`](super::PlainIds).
    Plain(PlainId),
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Candidate {}

/// The value was not of the form this server issues; the reason is deliberately not told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session id of this server: expected {ID_LEN} characters of A-Z a-z 0-9 - _")]
pub struct MalformedId;

/// Whether a character of base64url. Ranges without a branch: the compiler looks at all of them at once.
const fn is_of_alphabet(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    letter | digit | (byte == b'-') | (byte == b'_')
}

impl Candidate {
    /// Accepts exactly [`ID_LEN`] characters of base64url.
    ///
    /// # Errors
    /// [`MalformedId`] for everything else.
    pub fn parse(value: &[u8]) -> Result<Self, MalformedId> {
        let text: [u8; ID_LEN] = value.try_into().map_err(|_| MalformedId)?;
        // 32 characters carry exactly 24 bytes, so there are no trailing bits that two spellings could differ in.
        if text.iter().fold(true, |all, byte| all & is_of_alphabet(*byte)) {
            Ok(Candidate(Form::Own(text)))
        } else {
            Err(MalformedId)
        }
    }

    /// The key under which a store would hold the session, if there is one. One SHA-256.
    pub fn store_key(&self) -> StoreKey {
        match &self.0 {
            Form::Own(text) => StoreKey::of_text(text),
            Form::Plain(id) => id.key(),
        }
    }

    pub(super) const fn plain(id: PlainId) -> Self {
        Candidate(Form::Plain(id))
    }

    pub(super) fn as_plain(&self) -> Result<&PlainId, &[u8; ID_LEN]> {
        match &self.0 {
            Form::Own(text) => Err(text),
            Form::Plain(id) => Ok(id),
        }
    }

    pub(crate) fn text(&self) -> &[u8] {
        match &self.0 {
            Form::Own(text) => text,
            Form::Plain(id) => id.expose().as_bytes(),
        }
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Candidate({:?})", self.store_key())
    }
}
