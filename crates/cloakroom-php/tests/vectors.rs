//! Everything that PHP wrote is read as what it says, and written again to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use cloakroom_php::{EncodeError, Format, Session, from_value};
use support::{cpu_time, describe, expected, hex, unhex, vectors};

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

#[test]
fn igbinary_is_read_and_written_byte_for_byte() {
    assert!(round_trip("igbinary") > 100);
}

#[test]
fn msgpack_is_read_and_written_byte_for_byte() {
    assert!(round_trip("msgpack") > 100);
}

#[test]
fn large_sessions_are_read_and_written_byte_for_byte() {
    assert!(round_trip("big") >= 10);
}

/// Read although PHP refuses them, or described otherwise than by the vector. Which classes there are, which of them are enums, and what
/// may be made of them is known to PHP alone: here they are kept as they are. Names that are numbers are kept, and PHP drops them. Of what
/// is nested deep the vectors tell a number only.
const OTHERWISE: [&str; 24] = [
    "php_serialize/bad/v_R_parent (accepted)",
    "php_serialize/bad/v_obj_lcase (accepted)",
    "php_serialize/bad/v_obj_abstract_closure (exception)",
    "php_serialize/bad/v_obj_enum_as_O (exception)",
    "php_serialize/bad/v_obj_incomplete_name (accepted)",
    "php_serialize/bad/v_C_std (accepted)",
    "php_serialize/bad/v_O_on_legacy (rejected)",
    "php_serialize/bad/v_E_unknown_class (rejected)",
    "php/bad/v_E_unknown_class (rejected)",
    "php_serialize/bad/v_E_not_enum (rejected)",
    "igbinary/bad/root_list (accepted)",
    "igbinary/bad/obj_ser_std (rejected)",
    "igbinary/bad/obj_closure (exception)",
    "igbinary/bad/enum_unknown_case (rejected)",
    "igbinary/bad/obj_enum_as_object (exception)",
    "msgpack/bad/key_int (accepted)",
    "msgpack/bad/cls_closure (exception)",
    "msgpack/bad/custom_unknown (accepted)",
    "msgpack/bad/custom_ok (accepted)",
    "msgpack/bad/back_root (accepted)",
    "msgpack/bad/back_rec_root (accepted)",
    "msgpack/bad/depth_100 (accepted)",
    "msgpack/bad/depth_1000 (accepted)",
    "msgpack/bad/depth_1022 (accepted)",
];

/// What PHP takes is read as PHP reads it, or refused; what PHP refuses is refused, or can be written again to the byte.
#[test]
fn what_is_malformed_is_refused_or_read_as_php_reads_it() {
    // The description, not the session, is made by a function that calls itself.
    let roomy = std::thread::Builder::new().stack_size(256 << 20);
    roomy.spawn(malformed).unwrap().join().unwrap();
}

fn malformed() {
    let (mut refused, mut read) = (0, Vec::new());
    for vector in vectors("malformed") {
        let (name, outcome) = (vector["name"].as_str().unwrap(), vector["php_outcome"].as_str().unwrap());
        let payload = unhex(vector["hex"].as_str().unwrap());
        let format: Format = vector["handler"].as_str().unwrap().parse().unwrap();
        let began = cpu_time();
        let decoded = Session::decode(format, payload.as_slice());
        // Not what comes after: to describe what is nested deep takes longer than to read it.
        let took = cpu_time() - began;
        assert!(took < std::time::Duration::from_secs(1), "{name}: {took:?}");
        match decoded {
            Err(error) => {
                assert!(error.at() <= payload.len(), "{name}: {error}");
                refused += 1;
            }
            Ok(session) => {
                // A bomb describes itself at a length that no memory holds.
                let same = name.contains("bomb")
                    || describe(session.document().root()) == expected(&vector["session_after"]);
                if outcome != "accepted" || !same {
                    read.push(format!("{name} ({outcome})"));
                }
                assert_eq!(session.encode().unwrap(), payload, "{name}");
            }
        }
    }
    assert!(refused > 100, "{refused} refused");
    assert_eq!(read, OTHERWISE);
}

/// Of classes whose objects run commands, write files or call functions as soon as PHP makes or drops one, and of such that nobody has: it
/// is read, looked into, converted and written again, and is nothing but names and values in between.
#[test]
fn s64_an_object_is_data_whatever_its_class_would_do() {
    #[derive(serde::Deserialize)]
    struct Job {
        command: String,
    }
    let text = br#"a|O:11:"ProcessPipe":2:{s:7:"command";s:10:"rm -rf ~/.";s:8:"__wakeup";s:6:"system";}b|C:11:"ArrayObject":4:{boom}c|E:7:"Suit:No";d|O:6:"Nobody":1:{s:4:"next";R:1;}"#;
    for format in [Format::Php, Format::PhpSerialize, Format::PhpBinary, Format::Igbinary, Format::Msgpack] {
        let written = Session::decode(Format::Php, &text[..]).unwrap().encode_as(format);
        let Ok(payload) = written else {
            // msgpack has no way to write some of it.
            assert_eq!(format, Format::Msgpack);
            continue;
        };
        let session = Session::decode(format, payload.as_slice()).unwrap();
        let job = session.get("a").unwrap();
        let object = job.as_object().unwrap();
        assert_eq!(object.class(), b"ProcessPipe", "{format}");
        assert_eq!(object.property("__wakeup").unwrap().as_str(), Some("system"), "{format}");
        assert_eq!(from_value::<Job>(job).unwrap().command, "rm -rf ~/.", "{format}");
        assert_eq!(session.get("b").unwrap().as_object().unwrap().data(), Some(&b"boom"[..]), "{format}");
        assert_eq!(session.get("c").unwrap().as_object().unwrap().case(), Some(&b"No"[..]), "{format}");
        assert_eq!(session.encode().unwrap(), payload, "{format}");
    }
}
