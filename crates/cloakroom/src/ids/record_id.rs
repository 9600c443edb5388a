use std::fmt;

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
