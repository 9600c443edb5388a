//! Everything that PHP wrote is read as what it says, and written again to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use cloakroom_php::{EncodeError, Format, Session};
use support::{describe, expected, hex, unhex, vectors};

/// Reads and writes every vector of a file; says how many there were.
fn round_trip(file: &str) -> usize {
    let mut count = 0;
    for vector in vectors(file) {
        let (name, Some(payload)) = (vector["name"].as_str().unwrap(), vector["hex"].as_str()) else {
            continue;
        };
        let payload = unhex(payload);
        let format: Format = vector["handler"].as_str().unwrap().parse().unwrap();
        let session = Session::decode(format, payload.as_slice()).unwrap_or_else(|e| panic!("{name}: {e}"));
        if vector["json"]["t"] != "recipe" {
            assert_eq!(describe(session.document().root()), expected(&vector["json"]), "{name}");
        }
        assert_eq!(session.encode().unwrap(), payload, "{name}");
        count += 1;
        match session.encode_as(format) {
            Ok(bytes) => assert_eq!(hex(&bytes), hex(&payload), "{name}, written anew"),
            // Such names can be read, and are not written anew.
            Err(EncodeError::Name { .. }) => {
                assert!(name.contains("key_bang") || name.contains("key_only_int"), "{name}");
            }
            Err(EncodeError::ReadOnly(reason)) => {
                assert_eq!(session.read_only(), Some(reason), "{name}");
                assert_eq!(format.name(), "msgpack", "{name}");
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    count
}

#[test]
fn php_is_read_and_written_byte_for_byte() {
    assert!(round_trip("php") > 100);
}

#[test]
fn php_serialize_is_read_and_written_byte_for_byte() {
    assert!(round_trip("php_serialize") > 100);
}

#[test]
fn php_binary_is_read_and_written_byte_for_byte() {
    assert!(round_trip("php_binary") > 100);
}
