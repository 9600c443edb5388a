use std::fmt;
use std::sync::Arc;

use rand::Rng;

/// The stable name of a record through every change of its id: random, never shown to a client as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId([u8; 16]);

impl RecordId {
    /// A new random record id.
    pub fn generate() -> Self {
        let mut raw = [0; 16];
        rand::rng().fill_bytes(&mut raw);
        RecordId(raw)
    }

    /// A record id read back from a store.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        RecordId(bytes)
    }

    /// The bytes a store keeps.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, ..] = self.0;
        write!(f, "RecordId({a:02x}{b:02x}…)")
    }
}

/// The name of one mutating operation, random, chosen by whoever asks for it.
///
/// A store that is asked twice for the same operation (a client re-sent it, an answer was lost) does it once
/// and gives the same answer. It is also the random half of the [`Version`](crate::record::Version) that the
/// operation produces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct OpId(u64);

impl OpId {
    /// A new random operation id; never zero.
    pub fn generate() -> Self {
        OpId(rand::rng().next_u64().max(1))
    }

    /// An operation id read back from a store.
    pub const fn from_u64(raw: u64) -> Self {
        OpId(raw)
    }

    /// The number a store keeps.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpId({:016x})", self.0)
    }
}

/// The application's name for a user, as given to `login`: at most [`UserId::MAX_LEN`] bytes, not empty.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Longest accepted name, in bytes.
    pub const MAX_LEN: usize = 255;

    /// Checks the length and takes the name over.
    ///
    /// Returns `None` when the name is empty or longer than [`UserId::MAX_LEN`] bytes.
    pub fn new(name: &str) -> Option<Self> {
        (!name.is_empty() && name.len() <= Self::MAX_LEN).then(|| UserId(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserId({:?})", self.as_str())
    }
}
