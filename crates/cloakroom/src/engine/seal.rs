//! The successor's id, sealed under the old id.
//!
//! During the grace after an automatic renewal, whoever presents the old id must be told the new one, on any node;
//! yet the store may hold nothing that a cookie can be made of. So the successor's id lies there encrypted under a
//! key that only the raw old id yields, and the store has never seen that.

use aes_gcm::aead::{Aead, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use sha2::{Digest, Sha256};

use crate::ids::{IdFormat, SessionId, StoreKey};
use crate::store::SealedId;

const PURPOSE: &[u8] = b"cloakroom: successor of a renewed session id, v1\0";

/// Seals `successor` under `old`.
///
/// The nonce is fixed: the key is derived from 168 secret bits that are replaced once, and of several requests that
/// try to replace them at the same time only one stores its sealed id; what another one sealed is never kept.
/// Should both be seen nevertheless, they reveal the difference of two random ids, one of which never existed.
pub(crate) fn seal(old: &SessionId, successor: &SessionId) -> Option<SealedId> {
    let sealed = cipher(old.expose().as_bytes())?.encrypt(&nonce(), successor.expose().as_bytes()).ok()?;
    Some(SealedId(sealed.into()))
}

/// Opens what was sealed under the id that a client presented; `None` unless it is the id of `successor`.
pub(crate) fn open(
    ids: &IdFormat,
    old: &SessionId,
    sealed: &SealedId,
    successor: StoreKey,
) -> Option<SessionId> {
    let text = cipher(old.expose().as_bytes())?.decrypt(&nonce(), &*sealed.0).ok()?;
    // The store may have been tampered with: only the id that belongs to the record is ever handed out.
    ids.with_key(&text, successor).map(|id| SessionId::proven(&id))
}

fn cipher(old: &[u8]) -> Option<Aes256Gcm> {
    let mut key = Sha256::new();
    key.update(PURPOSE);
    key.update(old);
    Aes256Gcm::new_from_slice(&key.finalize()).ok()
}

fn nonce() -> Nonce<aes_gcm::aead::consts::U12> {
    Default::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ID_LEN, IdRules, PlainIds};
    use crate::store::Handover;

    #[test]
    fn s30_only_the_old_id_opens_the_seal_and_only_for_its_successor() {
        let (old, new, other) = (SessionId::generate(), SessionId::generate(), SessionId::generate());
        let sealed = seal(&old, &new).unwrap();
        assert_eq!(open(&IdFormat::Own, &old, &sealed, new.store_key()).unwrap().expose(), new.expose());
        assert!(open(&IdFormat::Own, &other, &sealed, new.store_key()).is_none());
        assert!(open(&IdFormat::Own, &old, &sealed, other.store_key()).is_none());
        assert!(!sealed.0.windows(8).any(|w| new.expose().as_bytes().windows(8).any(|n| n == w)));
    }

    /// While instances are one stage of a move apart, either sort of id may be renewed by either.
    #[test]
    fn c4_an_id_of_ours_opens_the_seal_on_another_systems_and_the_other_way_round() {
        const HEX: &[u8] = b"0123456789abcdef";
        // As long as one of ours is, and not.
        for length in [ID_LEN, 26] {
            let rules = IdRules { alphabet: HEX, length, accepted: HEX, lengths: 22..=256 };
            let ids = IdFormat::Plain(PlainIds::new(rules), Handover::Prepared);
            let (ours, theirs, next) = (SessionId::generate(), ids.generate(), ids.generate());
            for (old, new) in [(&ours, &theirs), (&theirs, &ours), (&theirs, &next)] {
                let sealed = seal(old, new).unwrap();
                let opened = open(&ids, old, &sealed, new.store_key());
                assert_eq!(
                    opened.map(|id| id.expose().to_owned()).as_deref(),
                    Some(new.expose()),
                    "{length}"
                );
                assert!(open(&ids, old, &sealed, SessionId::generate().store_key()).is_none());
            }
        }
    }
}
