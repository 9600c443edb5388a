use std::borrow::Cow;
use std::fmt;

use rand::Rng;
use zeroize::{Zeroize, optimization_barrier};

use super::{Candidate, ID_BYTES, ID_LEN, PlainId, StoreKey};

/// An id that this server issued. Whoever knows it is the visitor: it is a secret.
///
/// `Debug` shows a short prefix of the digest, there is no `Display`, and the text is wiped when dropped.
///
/// ```
/// use cloakroom::SessionId;
/// let id = SessionId::generate();
/// assert!(!format!("{id:?}").contains(id.expose()));
/// ```
#[derive(Clone)]
pub struct SessionId(Form);

#[derive(Clone)]
enum Form {
    Own([u8; ID_LEN]),
    /// By the rules of another system: see [`PlainIds`](super::PlainIds).
    Plain(PlainId),
}

impl SessionId {
    /// A new id: 24 bits of slot tag and 168 secret bits from a CSPRNG seeded by the operating system.
    pub fn generate() -> Self {
        let mut raw = [0u8; ID_BYTES];
        rand::rng().fill_bytes(&mut raw);
        Self::encode(&raw)
    }

    /// A new id of the same line: it inherits this id's slot tag, so that both live in one slot of a cluster.
    #[must_use]
    pub fn successor(&self) -> Self {
        match &self.0 {
            Form::Own(_) => self.own_successor(),
            // No tag is inherited, for such an id has none: its slot is that of the other system's key, and the successor may be in
            // another one.
            Form::Plain(id) => id.ids().generate(),
        }
    }

    /// The same, of this library's own form, whatever this one's is.
    pub(super) fn own_successor(&self) -> Self {
        let mut raw = [0u8; ID_BYTES];
        rand::rng().fill_bytes(&mut raw);
        for (to, from) in raw.iter_mut().zip(self.store_key().tag()) {
            *to = from;
        }
        let id = Self::encode(&raw);
        raw.zeroize();
        id
    }

    /// Whether it is of this library's own form.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.0, Form::Own(_))
    }

    /// The store knows this candidate: it is one of ours.
    pub(crate) fn proven(candidate: &Candidate) -> Self {
        SessionId(match candidate.as_plain() {
            Ok(id) => Form::Plain(id.clone()),
            Err(text) => Form::Own(*text),
        })
    }

    pub(super) const fn plain(id: PlainId) -> Self {
        SessionId(Form::Plain(id))
    }

    /// What the client is told of it: the id, or the envelope in which another system has it. `cookie` is the cookie's name.
    ///
    /// `None` where the envelope cannot be made.
    pub(crate) fn told(&self, cookie: &str) -> Option<Cow<'_, [u8]>> {
        match &self.0 {
            Form::Own(text) => Some(Cow::Borrowed(text)),
            Form::Plain(id) => id.told(cookie).map(|told| match told {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }),
        }
    }

    /// The id itself. Never log it.
    pub fn expose(&self) -> &str {
        match &self.0 {
            Form::Own(text) => std::str::from_utf8(text).unwrap_or_default(),
            Form::Plain(id) => id.expose(),
        }
    }

    /// The key under which a store holds the session. One SHA-256.
    pub fn store_key(&self) -> StoreKey {
        match &self.0 {
            Form::Own(text) => StoreKey::of_text(text),
            Form::Plain(id) => id.key(),
        }
    }

    fn encode(raw: &[u8; ID_BYTES]) -> Self {
        // Three bytes are four characters: there is no rest, and no need for an encoder of any length.
        let mut text = [b'A'; ID_LEN];
        for (characters, bytes) in text.chunks_exact_mut(4).zip(raw.chunks_exact(3)) {
            let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
            for (character, shift) in characters.iter_mut().zip([18, 12, 6, 0]) {
                *character = character_of(bits >> shift);
            }
        }
        SessionId(Form::Own(text))
    }
}

/// The character of base64url (RFC 4648 §5) for the lowest six bits.
fn character_of(bits: u32) -> u8 {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let [.., low] = bits.to_be_bytes();
    ALPHABET.get(usize::from(low & 63)).copied().unwrap_or(b'A')
}

impl Drop for SessionId {
    fn drop(&mut self) {
        // In one go: `zeroize` goes byte by byte, and several copies of an id are dropped with each request.
        if let Form::Own(text) = &mut self.0 {
            *text = [0; ID_LEN];
            optimization_barrier(text);
        }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:?})", self.store_key())
    }
}
