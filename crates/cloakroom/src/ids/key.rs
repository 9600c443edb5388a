use std::fmt;

use sha2::block_api::compress256;

use super::{ID_LEN, OpId, TAG_BYTES, UserId};

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
        let (tag, digest) = key.split_at_mut(TAG_BYTES);
        tag.copy_from_slice(&tag_of(text));
        digest.copy_from_slice(&sha256(text));
        StoreKey(key)
    }

    /// The key of an id that another system made, or could have made: see [`PlainIds`](crate::PlainIds).
    pub fn of_plain(text: &[u8]) -> Self {
        use sha2::{Digest, Sha256};
        let digest: [u8; 32] = Sha256::digest(text).into();
        Self::tagged(&digest, &digest)
    }

    /// A name for what a store keeps of a user, its index of their sessions above all: no id has this key, and it does
    /// not show who the user is. Receipts of the user's revocations have the same slot tag.
    pub fn of_user(user: &UserId) -> Self {
        let digest = digest_of(user);
        Self::tagged(&digest, &digest)
    }

    /// Where the receipt of a revocation is: no id has this key. Receipts of one user have one slot tag. For stores that
    /// read in one go what a step looks at.
    pub fn of_receipt(user: &UserId, op: OpId) -> Self {
        use sha2::{Digest, Sha256};
        let of_user = digest_of(user);
        let digest = Sha256::new().chain_update(of_user).chain_update(op.as_u64().to_le_bytes()).finalize();
        Self::tagged(&of_user, &digest.into())
    }

    /// The slot tag of one digest before another digest.
    fn tagged(tag: &[u8; 32], digest: &[u8; 32]) -> Self {
        let mut key = [0; Self::LEN];
        for (to, from) in key.iter_mut().zip(tag.iter().take(TAG_BYTES).chain(digest)) {
            *to = *from;
        }
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

fn digest_of(user: &UserId) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::new().chain_update(b"revocations of\0").chain_update(user.as_str()).finalize().into()
}

/// The value of a character of base64url (RFC 4648 §5); ids have no others. Looked up: which range a random character is in, no
/// branch can foresee.
fn six_bits(byte: u8) -> u8 {
    #[expect(clippy::indexing_slicing, reason = "by the compiler, which would not go on past the end")]
    const VALUES: [u8; 256] = {
        let mut values = [63; 256];
        let mut byte = 0;
        while byte < values.len() {
            values[byte] = match byte as u8 {
                b @ b'A'..=b'Z' => b - b'A',
                b @ b'a'..=b'z' => b - b'a' + 26,
                b @ b'0'..=b'9' => b - b'0' + 52,
                b'-' => 62,
                _ => 63,
            };
            byte += 1;
        }
        values
    };
    VALUES.get(usize::from(byte)).copied().unwrap_or(63)
}

/// The id's first three bytes: four characters of base64url, six bits each.
fn tag_of(text: &[u8; ID_LEN]) -> [u8; TAG_BYTES] {
    let [a, b, c, d, ..] = *text;
    let bits = [a, b, c, d].into_iter().fold(0_u32, |bits, byte| bits << 6 | u32::from(six_bits(byte)));
    let [_, tag @ ..] = bits.to_be_bytes();
    tag
}

/// SHA-256 of an id: a message of one block, whose padding is known (FIPS 180-4 §5.1.1). A hasher that takes messages of
/// any length spends as long on its buffer as on the compression, and every request with a session waits for this.
fn sha256(text: &[u8; ID_LEN]) -> [u8; 32] {
    const BITS: [u8; 8] = (ID_LEN as u64 * 8).to_be_bytes();
    let mut block = [0; 64];
    let (message, padding) = block.split_at_mut(ID_LEN);
    message.copy_from_slice(text);
    if let [first, .., _, _, _, _, _, _, _, _] = padding {
        *first = 0x80;
    }
    if let Some(length) = padding.last_chunk_mut() {
        *length = BITS;
    }
    // FIPS 180-4 §5.3.3.
    let mut state = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];
    compress256(&mut state, &[block]);
    let mut digest = [0; 32];
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// Eight hexadecimal digits of the digest: enough to follow a session through a log, useless to anyone else.
impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, _, a, b, c, d, ..] = self.0;
        write!(f, "#{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::ids::SessionId;

    #[test]
    fn s06_the_key_is_the_sha_256_of_the_id_behind_its_tag() {
        for _ in 0..1_000 {
            let id = SessionId::generate();
            let key = id.store_key();
            let (tag, digest) = key.as_bytes().split_at(TAG_BYTES);
            assert_eq!(digest, Sha256::digest(id.expose()).as_slice());
            // The text is base64url of some bytes, written as a well-known encoder writes them.
            let raw = data_encoding::BASE64URL_NOPAD.decode(id.expose().as_bytes()).unwrap();
            assert_eq!(data_encoding::BASE64URL_NOPAD.encode(&raw), id.expose());
            assert_eq!(tag, &raw[..TAG_BYTES]);
        }
    }
}
