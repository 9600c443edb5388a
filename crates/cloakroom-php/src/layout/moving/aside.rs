//! A copy out of the way of the next one.
//!
//! An end would end whatever is under the key by the time that it arrives, a session that has moved since included. A change of id
//! names the version that it is for: so the copy goes to a key that is nobody's, and is over there at once.

use std::time::Duration;

use cloakroom::payload::Payload;
use cloakroom::record::{Lifetime, Record};
use cloakroom::store::{Deadlines, Ending, OldId, Rename};
use cloakroom::{OpId, RecordId, StoreKey};

/// So long what is aside is remembered, in both places: there is no shorter time.
pub(super) const FORGOTTEN: Duration = Duration::from_millis(1);

/// Where the digest of such a key has zeros: no id has one.
const ZEROS: std::ops::Range<usize> = 3..19;

/// A key that no id has, of the same line.
fn beside(key: &StoreKey) -> StoreKey {
    let mut bytes = *key.as_bytes();
    let random = RecordId::generate();
    let [_, _, _, digest @ ..] = &mut bytes;
    let (zeros, rest) = digest.split_at_mut(ZEROS.len());
    zeros.fill(0);
    rest.copy_from_slice(random.as_bytes());
    StoreKey::from_bytes(bytes)
}

/// Whether what ended was a copy, which is no word on the session.
pub(super) fn is_aside(ending: &Ending) -> bool {
    match ending {
        Ending::Moved { to, .. } => {
            to.as_bytes().get(ZEROS).is_some_and(|digest| digest.iter().all(|byte| *byte == 0))
        }
        _ => false,
    }
}

/// What takes this copy away, and no other.
pub(super) fn request(key: StoreKey, copy: &Record) -> Rename {
    Rename {
        from: key,
        to: beside(&key),
        op: OpId::generate(),
        expected: copy.version,
        lease: None,
        epoch: copy.epoch,
        payload: Payload::empty(),
        bind: None,
        deadlines: Deadlines::Restart(Lifetime { idle: FORGOTTEN, absolute: FORGOTTEN, renewal: None }),
        slide: None,
        old: OldId::Dead,
        marker: FORGOTTEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_aside_is_of_the_same_line_and_no_ids() {
        let key = StoreKey::of_plain(b"0123456789abcdefghijklmnop");
        let (one, other) = (beside(&key), beside(&key));
        assert_eq!((one.tag(), other.tag()), (key.tag(), key.tag()));
        assert_ne!(one, other);
        assert!(is_aside(&Ending::Moved { to: one, user_changed: false }));
        assert!(!is_aside(&Ending::Moved { to: key, user_changed: false }));
        assert!(!is_aside(&Ending::Revoked));
    }
}
