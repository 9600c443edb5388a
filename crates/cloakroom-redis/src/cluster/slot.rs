//! Which of a cluster's 16,384 slots a key is in, by the [specification]: CRC-16 of the key, or of what stands between its
//! first `{` and the next `}`, where that is something.
//!
//! [specification]: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/

/// Slots of every cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of a key.
pub(crate) fn slot_of(key: &[u8]) -> u16 {
    crc16(hashed_part(key)) % SLOTS
}

fn hashed_part(key: &[u8]) -> &[u8] {
    let tag = || {
        let (_, behind) = key.split_at_checked(key.iter().position(|b| *b == b'{')? + 1)?;
        let (tag, _) = behind.split_at_checked(behind.iter().position(|b| *b == b'}')?)?;
        Some(tag).filter(|tag| !tag.is_empty())
    };
    tag().unwrap_or(key)
}

/// CRC-16/XMODEM: polynomial 0x1021, from zero, nothing reflected.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |sum: u16, byte| {
        (0..8).fold(sum ^ u16::from(*byte) << 8, |sum, _| match sum & 0x8000 {
            0 => sum << 1,
            _ => sum << 1 ^ 0x1021,
        })
    })
}

#[cfg(test)]
mod tests {
    use cloakroom::{SessionId, StoreKey, UserId};
    use proptest::prelude::*;

    use super::*;
    use crate::names::Names;

    #[test]
    fn the_vectors_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // As `CLUSTER KEYSLOT` tells them.
        for (key, slot) in [("", 0), ("foo", 12_182), ("bar", 5_061), ("{user1000}.following", 3_443)] {
            assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
        }
    }

    #[test]
    fn what_is_hashed_of_a_key() {
        for (key, part) in [
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
        ] {
            assert_eq!(hashed_part(key.as_bytes()), part.as_bytes(), "{key}");
        }
    }

    #[test]
    fn whatever_belongs_to_one_line_of_sessions_is_in_one_slot() {
        let names = Names::new("shop:");
        let slot = |name: String| slot_of(name.as_bytes());
        for _ in 0..100 {
            let id = SessionId::generate();
            let (old, new) = (id.store_key(), id.successor().store_key());
            assert_ne!(old, new);
            assert_eq!(slot(names.entry(&old)), slot(names.entry(&new)));
            assert_eq!(slot(names.entry(&old)), slot(names.channel(&new)));
        }
        let ann = UserId::new("ann").unwrap();
        let receipt = StoreKey::of_receipt(&ann, cloakroom::OpId::generate());
        assert_eq!(slot(names.index(&ann)), slot(names.entry(&receipt)));
    }

    proptest! {
        #[test]
        fn every_key_has_a_slot(key in any::<Vec<u8>>()) {
            prop_assert!(slot_of(&key) < SLOTS);
        }

        #[test]
        fn keys_with_one_tag_share_a_slot(tag in "[^{}]{1,20}", before in "[^{}]{0,9}", a in ".{0,9}", b in ".{0,9}") {
            let slot = |behind: &str| slot_of(format!("{before}{{{tag}}}{behind}").as_bytes());
            prop_assert_eq!(slot(&a), slot(&b));
            prop_assert_eq!(slot(&a), slot_of(tag.as_bytes()));
        }
    }
}
