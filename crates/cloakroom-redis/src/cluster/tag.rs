//! A tag for each slot: a key with it in braces is in that slot, whatever else it is called.

use std::sync::LazyLock;

use super::slot::{SLOTS, slot_of};

/// Numbers whose digits are in each slot.
static TAGS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut tags = vec![None; usize::from(SLOTS)];
    let mut missing = tags.len();
    for number in 0_u32.. {
        if missing == 0 {
            break;
        }
        let slot = slot_of(number.to_string().as_bytes());
        if let Some(tag @ None) = tags.get_mut(usize::from(slot)) {
            *tag = Some(number);
            missing -= 1;
        }
    }
    tags.into_iter().map(Option::unwrap_or_default).collect()
});

/// The tag, in its braces, of keys that are to be where this one is. They need not have anything of its name.
pub(crate) fn tag_beside(key: &[u8]) -> String {
    let tag = TAGS.get(usize::from(slot_of(key))).copied().unwrap_or_default();
    format!("{{{tag}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_tag_that_leads_there() {
        for (slot, tag) in (0..SLOTS).zip(TAGS.iter()) {
            assert_eq!(slot_of(format!("cloakroom:php:{{{tag}}}digest").as_bytes()), slot);
        }
        assert!(TAGS.iter().all(|tag| *tag < 1_000_000));
        // Whatever braces there are in the key itself.
        for key in ["PHPREDIS_CLUSTER_SESSION:abc", "{shop}:abc", "a{}b", "a}b{", "a{b", "{{a}}"] {
            assert_eq!(slot_of(tag_beside(key.as_bytes()).as_bytes()), slot_of(key.as_bytes()), "{key}");
        }
    }
}
