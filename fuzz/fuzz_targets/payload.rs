//! The session's data: whatever the bytes, an error or a sequence of entries that builds the same bytes.

#![no_main]

use cloakroom::payload::{Payload, PayloadBuilder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let payload = match Payload::from_bytes(input) {
        Ok(payload) => payload,
        Err(damaged) => {
            // What stands before the damage is whole.
            assert!(damaged.at < input.len());
            assert!(Payload::from_bytes(&input[..damaged.at]).is_ok());
            return;
        }
    };
    let mut copy = PayloadBuilder::with_capacity(payload.len());
    for (key, value) in payload.iter() {
        assert!(copy.push(key, value));
        let (_, first) = payload.iter().find(|(other, _)| *other == key).unwrap();
        assert_eq!(payload.get(key), Some(first));
    }
    assert_eq!(copy.finish().as_bytes(), input);
    assert_eq!(payload.get("no such key, of this length"), None);
});
