//! Stored entries: whatever the bytes, decoding ends in an error or in an entry that encodes to the same bytes.

#![no_main]

use cloakroom::StoreKey;
use cloakroom::store::wire::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((key, body)) = input.split_first_chunk::<{ StoreKey::LEN }>() else { return };
    let key = StoreKey::from_bytes(*key);
    // As it stands: nearly always a wrong checksum.
    let _ = decode(&key, body);

    // With the right checksum: the decoder itself.
    let mut sum = crc32fast::Hasher::new();
    sum.update(key.as_bytes());
    sum.update(body);
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(&sum.finalize().to_le_bytes());
    let Ok(entry) = decode(&key, &bytes) else { return };
    assert_eq!(encode(&key, &entry), bytes);

    // Under another key, or with a flipped bit, it is damaged.
    let mut other = *key.as_bytes();
    other[StoreKey::LEN - 1] ^= 1;
    assert!(decode(&StoreKey::from_bytes(other), &bytes).is_err());
    let at = usize::from(input[0]) % bytes.len();
    bytes[at] ^= 1 << (input[1] % 8);
    assert!(decode(&key, &bytes).is_err());
});
