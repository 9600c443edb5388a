//! PHP's locks, as leases.

use cloakroom::clock::Timestamp;
use cloakroom::store::LeaseOwner;
use cloakroom::store::protocol::Lease;
use cloakroom_php::layout::Held;
use sha2::{Digest as _, Sha256};

/// Who we are, in a lock: behind it the owner and the number of the hold.
const OURS: &str = "cloakroom|rust-";

/// The lock's value for a lease.
pub(super) fn token(lease: &Lease) -> String {
    format!("{OURS}{:032x}-{:x}", lease.owner.0, lease.hold)
}

/// A lock as a lease: ours says whose it is, and PHP's is somebody's.
pub(super) fn held(token: Vec<u8>, until: Timestamp) -> Held {
    let told = std::str::from_utf8(&token).ok().and_then(|text| {
        let (owner, hold) = text.strip_prefix(OURS)?.split_once('-')?;
        let (owner, hold) = (u128::from_str_radix(owner, 16).ok()?, u64::from_str_radix(hold, 16).ok()?);
        // As we write it, and not another way to write the same.
        (self::token(&Lease { owner: LeaseOwner(owner), hold, until }) == text).then_some((owner, hold))
    });
    let (owner, hold) = told.unwrap_or_else(|| {
        let digest = <[u8; 32]>::from(Sha256::digest(&token));
        (u128::from_le_bytes(*digest.first_chunk::<16>().unwrap_or(&[0; 16])), 0)
    });
    let ours = token.starts_with(OURS.as_bytes());
    Held { lease: Lease { owner: LeaseOwner(owner), hold, until }, ours, token }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_of_ours_tells_its_owner_and_hold_and_phps_is_somebody_elses() {
        let lease = Lease { owner: LeaseOwner(7), hold: 300, until: Timestamp::from_millis(5) };
        let ours = held(token(&lease).into_bytes(), lease.until);
        assert!(ours.ours);
        assert_eq!(ours.lease, lease);
        let php = held(b"web-1|4711".to_vec(), Timestamp::NEVER);
        assert!(!php.ours);
        assert_ne!(php.lease.owner, LeaseOwner(7));
        assert_eq!(php.lease, held(b"web-1|4711".to_vec(), Timestamp::NEVER).lease);
        // What we would not write ourselves tells no owner.
        for strange in ["cloakroom|rust-+7-+5", "cloakroom|rust-7-5", "cloakroom|rust-"] {
            let held = held(strange.as_bytes().to_vec(), lease.until);
            assert!(held.lease.owner != LeaseOwner(7) && held.lease.hold == 0, "{strange}");
        }
    }
}
