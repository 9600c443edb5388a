//! 200,000 levels of nesting, and values that lead back to themselves: no step of ours is a step down the stack, in any format or envelope.
//!
//! Everything runs on threads whose stack would hold a small part of that: one that is used up ends the whole test program.
#![cfg(all(feature = "amp", feature = "compression", feature = "laravel", feature = "layout"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::collections::BTreeMap;

use cloakroom_php::{
    Amp, CacheEntry, Compression, DecodeErrorKind, EncodeError, Encoding, Format, Key, Laravel, Limits,
    Session, Variables, from_value,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use support::unhex;

const LEVELS: usize = 200_000;
const STACK: usize = 512 << 10;

/// Of a service that lets its sessions be of any depth.
fn roomy() -> Limits {
    Limits::default().with_depth(usize::MAX).with_memory(1 << 30)
}

fn on_a_small_stack(check: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK).spawn(check).unwrap().join().unwrap();
}

/// What is in one another.
#[derive(Clone, Copy, Debug)]
enum Nest {
    Arrays,
    Objects,
    /// Each of them a PHP reference.
    References,
}

fn text(nest: Nest, levels: usize) -> Vec<u8> {
    let open: &[u8] = match nest {
        Nest::Objects => b"O:1:\"N\":1:{s:1:\"a\";",
        Nest::Arrays | Nest::References => b"a:1:{i:0;",
    };
    // A reference to the outermost one.
    let last: &[u8] = if let Nest::References = nest { b"R:2;" } else { b"i:1;" };
    [&open.repeat(levels), last, &b"}".repeat(levels)].concat()
}

/// A session with one variable, `a`, which is so deep.
fn nested(format: Format, nest: Nest, levels: usize) -> Vec<u8> {
    let text = || text(nest, levels);
    match format {
        // There the session itself has no number.
        Format::Php => {
            [b"a|", String::from_utf8(text()).unwrap().replace("R:2;", "R:1;").as_bytes()].concat()
        }
        Format::PhpBinary => {
            [b"\x01a", String::from_utf8(text()).unwrap().replace("R:2;", "R:1;").as_bytes()].concat()
        }
        Format::PhpSerialize => [b"a:1:{s:1:\"a\";", text().as_slice(), b"}"].concat(),
        Format::Igbinary => {
            // The outermost object tells its class, the others the number of that name.
            let (first, open): (&[u8], &[u8]) = match nest {
                Nest::Arrays => (b"\x14\x01\x06\0", b"\x14\x01\x06\0"),
                Nest::References => (b"\x25\x14\x01\x06\0", b"\x25\x14\x01\x06\0"),
                Nest::Objects => (b"\x17\x01N\x14\x01\x0e\0", b"\x1a\x01\x14\x01\x0e\0"),
            };
            let last: &[u8] = if let Nest::References = nest { b"\x25\x01\x01" } else { b"\x06\x01" };
            [b"\0\0\0\x02\x14\x01\x11\x01a", first, &open.repeat(levels - 1), last].concat()
        }
        Format::Msgpack => {
            let open: &[u8] = match nest {
                Nest::Arrays => b"\x91",
                Nest::References => b"\x82\xc0\x01\0",
                Nest::Objects => b"\x82\xc0\xa1N\xa1a",
            };
            [b"\x82\xc0\x01\xa1a", open.repeat(levels).as_slice(), b"\x01"].concat()
        }
        _ => unreachable!("a format of its own"),
    }
}

#[derive(Deserialize)]
struct Lists(#[allow(dead_code)] Vec<Lists>);

#[derive(Deserialize)]
struct Maps(#[allow(dead_code)] BTreeMap<String, Maps>);

/// Everything that is done with a session, whatever comes of it.
fn use_it(session: &Session) {
    let value = session.get("a").unwrap();
    assert!(from_value::<Lists>(value).is_err());
    assert!(from_value::<Maps>(value).is_err());
    assert!(from_value::<serde_json::Value>(value).is_err());
    // What is not asked for is passed over.
    from_value::<IgnoredAny>(value).unwrap();
    assert!(serde_json::to_string(&value).is_err());
    assert!(value.to_serialized().is_err());
    for format in Format::ALL {
        match session.encode_as(*format) {
            Ok(bytes) => {
                drop(Session::decode_within(*format, bytes, roomy()).unwrap());
            }
            Err(error) => assert!(!matches!(error, EncodeError::Unverified), "{format}: {error}"),
        }
    }
    for encoding in [Encoding::Serialize, Encoding::Igbinary, Encoding::Msgpack] {
        assert!(session.document().encode(encoding).is_err());
    }
    let mut changed = session.clone();
    assert!(changed.set("copy", &value).is_err());
    assert!(Laravel::new().with_json().encode(session).is_err());
    let _ = changed.set_at(&["a".into(), 0.into(), 0.into(), 0.into()], "other");
    let _ = changed.set("b", &7);
    let _ = changed.remove("a");
    let _ = changed.encode();
    assert!(!format!("{session:?}").is_empty());
}

fn within_usual_limits(format: Format, payload: &[u8]) {
    let is_deep =
        |kind: &DecodeErrorKind| matches!(kind, DecodeErrorKind::Depth(_) | DecodeErrorKind::Memory(_));
    let refused = Session::decode(format, payload).unwrap_err();
    assert!(is_deep(refused.kind()), "{format}: {refused}");
    assert_eq!(Variables::read(format, payload).unwrap_err(), refused, "{format}");
    let path: [Key<'_>; 3] = ["a".into(), 0.into(), 0.into()];
    assert_eq!(Session::read_one(format, payload, &path).unwrap_err(), refused, "{format}");
}

#[test]
fn no_depth_of_nesting_is_a_depth_of_calls() {
    for format in Format::ALL {
        for nest in [Nest::Arrays, Nest::Objects, Nest::References] {
            on_a_small_stack(move || {
                let payload = nested(*format, nest, LEVELS);
                within_usual_limits(*format, &payload);
                match Session::decode_within(*format, payload.as_slice(), roomy()) {
                    Ok(session) => {
                        assert_eq!(session.encode().unwrap(), payload, "{format}");
                        use_it(&session);
                        drop(session);
                        let variables = Variables::read_within(*format, &payload, roomy()).unwrap();
                        assert_eq!(variables.iter().count(), 1);
                        let path: [Key<'_>; 3] = ["a".into(), 0.into(), 0.into()];
                        let _ = Session::read_one_within(*format, &payload, &path, roomy()).unwrap();
                    }
                    // PHP's extension reads so many, and so do we.
                    Err(error) => {
                        assert_eq!(error.kind(), &DecodeErrorKind::Depth(1023), "{format} {nest:?}")
                    }
                }
            });
        }
    }
}

/// What is read within the usual limits is as deep as they allow.
#[test]
fn the_deepest_session_that_is_read_takes_no_stack_either() {
    for format in Format::ALL {
        let most = if *format == Format::Msgpack { 1022 } else { 4095 };
        for nest in [Nest::Arrays, Nest::Objects] {
            on_a_small_stack(move || {
                within_usual_limits(*format, &nested(*format, nest, most + 1));
                let payload = nested(*format, nest, most);
                let session = Session::decode(*format, payload.as_slice())
                    .unwrap_or_else(|e| panic!("{format} {nest:?}: {e}"));
                let value = session.get("a").unwrap();
                assert!(from_value::<serde_json::Value>(value).is_err());
                assert!(serde_json::to_string(&value).is_err());
                value.to_serialized().unwrap();
                assert_eq!(session.encode().unwrap(), payload);
                assert_eq!(session.encode_as(*format).unwrap(), payload, "{format} {nest:?}");
                assert!(session.clone().set("copy", &value).is_err());
            });
        }
    }
}

#[test]
fn what_leads_back_to_itself_ends() {
    let circles: [(Format, Vec<u8>); 7] = [
        (Format::Php, b"a|a:1:{i:0;R:1;}".to_vec()),
        (Format::PhpSerialize, b"a:1:{s:1:\"a\";a:1:{i:0;R:2;}}".to_vec()),
        (Format::PhpBinary, b"\x01aa:1:{i:0;R:1;}".to_vec()),
        (Format::Igbinary, unhex("0000000214011101612514010600250101")),
        (Format::Igbinary, unhex("00000002140111016117014e14010e002201")),
        (Format::Php, b"a|O:1:\"N\":1:{s:1:\"a\";r:1;}".to_vec()),
        (Format::Msgpack, unhex("82c001a16182c0020001")),
    ];
    for (format, payload) in circles {
        on_a_small_stack(move || match Session::decode(format, payload.as_slice()) {
            Err(error) => panic!("{format}: {error}"),
            Ok(session) => {
                let value = session.get("a").unwrap();
                assert!(from_value::<Lists>(value).is_err());
                assert!(from_value::<Maps>(value).is_err());
                assert!(from_value::<serde_json::Value>(value).is_err());
                assert!(serde_json::to_string(&value).is_err());
                assert!(session.clone().set("copy", &value).is_err());
                assert_eq!(session.encode().unwrap(), payload);
                match session.encode_as(format) {
                    Ok(bytes) => assert_eq!(bytes, payload, "{format}"),
                    // Its back references are not written anew.
                    Err(error) => assert_eq!(format, Format::Msgpack, "{error}"),
                }
                assert!(Laravel::new().with_json().encode(&session).is_err());
            }
        });
    }
}

#[test]
fn envelopes_take_no_stack_either() {
    on_a_small_stack(|| {
        let is_deep =
            |kind: &DecodeErrorKind| matches!(kind, DecodeErrorKind::Depth(_) | DecodeErrorKind::Memory(_));
        for nest in [Nest::Arrays, Nest::Objects, Nest::References] {
            let inner = nested(Format::PhpSerialize, nest, LEVELS);
            let deep = Session::decode_within(Format::PhpSerialize, inner.as_slice(), roomy()).unwrap();
            let amp = Amp.encode(&deep).unwrap();
            assert!(is_deep(Amp.decode(&amp).unwrap_err().kind()));
            use_it(&Amp.decode_within(&amp, roomy()).unwrap());

            let laravel = Laravel::new();
            let envelope = laravel.encode(&deep).unwrap();
            assert!(is_deep(laravel.decode(&envelope).unwrap_err().kind()));
            use_it(&laravel.decode_within(&envelope, roomy()).unwrap());

            for by in Compression::ALL {
                let stored = by.compress(&inner).unwrap();
                let text = by.decompress(&stored, Limits::default()).unwrap();
                assert_eq!(&*text, inner);
                within_usual_limits(Format::PhpSerialize, &text);
            }

            let value = text(nest, LEVELS);
            let file = [b"a:2:{s:5:\"value\";", value.as_slice(), b"s:10:\"expires_at\";i:5;}"].concat();
            assert!(is_deep(CacheEntry::decode(&file).unwrap_err().kind()));
            assert!(CacheEntry { value, expires_at: 5 }.encode().is_err());
        }
        let json = ["[".repeat(LEVELS), "]".repeat(LEVELS)].concat();
        let laravel = Laravel::new().with_json();
        let envelope = format!("s:{}:\"{json}\";", json.len());
        for limits in [Limits::default(), roomy()] {
            assert!(is_deep(laravel.decode_within(envelope.as_bytes(), limits).unwrap_err().kind()));
        }
    });
}
