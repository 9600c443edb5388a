//! What is kept beside PHP's value, in a key of our own.
//!
//! ```text
//! digest of PHP's value (32) · length of an id (u16 LE) · that id · an entry (cloakroom::store::wire)
//! ```
//!
//! The entry of a live session has the data that is not PHP's. The id is the successor's, where the session moved: it is how a late
//! `destroy` finds it. It is no less secret where PHP has it, in the name of its key.

use cloakroom::StoreKey;
use cloakroom::store::protocol::Entry;
use cloakroom::store::wire;
use sha2::{Digest as _, Sha256};

pub(super) type Digest = [u8; 32];

pub(super) fn digest(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

pub(super) struct Beside {
    /// Of the value that the entry belongs to.
    pub(super) digest: Digest,
    pub(super) successor: Option<String>,
    pub(super) entry: Entry,
}

pub(super) fn encode(key: &StoreKey, digest: &Digest, successor: Option<&str>, entry: &Entry) -> Vec<u8> {
    let successor = successor.unwrap_or_default();
    let mut out = digest.to_vec();
    out.extend(u16::try_from(successor.len()).unwrap_or_default().to_le_bytes());
    out.extend(successor.as_bytes());
    out.extend(wire::encode(key, entry));
    out
}

/// `None` where it cannot be read. It is then as if it were not there: PHP's value stands on its own.
pub(super) fn decode(key: &StoreKey, bytes: &[u8]) -> Option<Beside> {
    let (digest, rest) = bytes.split_first_chunk::<32>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (successor, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let successor = std::str::from_utf8(successor).ok().filter(|id| !id.is_empty()).map(str::to_owned);
    Some(Beside { digest: *digest, successor, entry: wire::decode(key, rest).ok()? })
}
