//! What phpredis compresses: whatever the bytes, an error, the bytes themselves, or something that can be compressed again.

#![no_main]

use cloakroom_php::{Compression, Limits};
use libfuzzer_sys::fuzz_target;

const MOST: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else { return };
    let by = Compression::ALL[usize::from(*choice) % Compression::ALL.len()];
    // As a value of PHP's: no more comes out than may.
    if let Ok(plain) = by.decompress(bytes, Limits::default().with_memory(MOST)) {
        assert!(plain.len() <= MOST.max(bytes.len()));
    }
    // As a session: it comes back, and PHP's limits are kept.
    let stored = by.compress(bytes).unwrap();
    assert_eq!(*by.decompress(&stored, Limits::default()).unwrap(), *bytes);
});
