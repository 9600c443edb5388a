use std::fmt;

use sha2::{Digest, Sha256};

use super::{ID_LEN, TAG_BYTES};

/// The name of a record in a store: the slot tag and the SHA-256 of the id.
///
/// A store is keyed by it, so that a dump of the store holds no usable cookie. The tag is shared by all ids of
/// one line (a session and its successors); a clustered store uses it to keep the line on one node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreKey([u8; StoreKey::LEN]);

impl StoreKey {
    /// Bytes in a key: 3 of tag, 32 of digest.
    pub const LEN: usize = TAG_BYTES + 32;

    pub(super) fn of_text(text: &[u8; ID_LEN]) -> Self {
        let mut key = [0; Self::LEN];
        // The tag is the id's first three bytes: four characters of base64url.
        let (tag, digest) = key.split_at_mut(TAG_BYTES);
        if let Some(head) = text.get(..4) {
            let _ = data_encoding::BASE64URL_NOPAD.decode_mut(head, tag);
        }
        digest.copy_from_slice(&Sha256::digest(text));
        StoreKey(key)
    }

    /// A key read back from where a store kept it.
    pub const fn from_bytes(bytes: [u8; Self::LEN]) -> Self {
        StoreKey(bytes)
    }

    /// The bytes a store keeps.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The slot tag: the same for a session and all its successors. Not secret.
    pub fn tag(&self) -> [u8; TAG_BYTES] {
        let [a, b, c, ..] = self.0;
        [a, b, c]
    }

    /// 64 bits of the digest: uniformly distributed, fit for a hash table as they are.
    pub fn hash64(&self) -> u64 {
        let [_, _, _, a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// Eight hexadecimal digits of the digest: enough to follow a session through a log, useless to anyone else.
impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, _, a, b, c, d, ..] = self.0;
        write!(f, "#{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}
