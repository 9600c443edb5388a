use std::fmt;

use rand::Rng;

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
