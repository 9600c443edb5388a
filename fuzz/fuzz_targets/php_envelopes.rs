//! Envelopes: whatever the bytes, an error, or a session that can be put back into its envelope.

#![no_main]

use cloakroom_php::{Amp, AppKey, Cipher, EncodeError, Laravel};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, payload)) = input.split_first() else { return };
    let key: AppKey = "0123456789abcdef".parse().unwrap();
    let laravel = match choice % 5 {
        0 => {
            if let Ok(session) = Amp.decode(payload) {
                let bytes = Amp.encode(&session).unwrap();
                assert_eq!(Amp.decode(&bytes).unwrap().encode(), session.encode());
            }
            return;
        }
        1 => Laravel::new(),
        2 => Laravel::new().with_json(),
        3 => Laravel::new().with_encryption(Cipher::Cbc, key, []),
        _ => Laravel::new().with_json().with_encryption(Cipher::Gcm, key, []),
    };
    if let Ok(session) = laravel.decode(payload) {
        // In JSON, what was written as an escape may come back as itself: the session counts. A double that is too large is read as infinite,
        // as PHP does, and there is no JSON for that.
        let bytes = match laravel.encode(&session) {
            Ok(bytes) => bytes,
            Err(EncodeError::Value { format: "JSON", .. }) if choice % 5 == 2 || choice % 5 == 4 => return,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(laravel.decode(&bytes).unwrap().encode(), session.encode());
    }
});
