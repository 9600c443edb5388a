//! One value of a payload, and its variables as text, are what the whole session has, and what is refused is refused with the same words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use cloakroom_php::{Document, Encoding, Format, Key, Session, Value, Variables};
use support::{unhex, vectors};

const FILES: [&str; 7] = ["php", "php_serialize", "php_binary", "igbinary", "msgpack", "malformed", "extra"];

/// So many keys of each level are asked for.
const KEYS: usize = 8;

fn same(found: Option<Document>, value: Value<'_>, what: &str) {
    let found = found.unwrap_or_else(|| panic!("{what}: not found"));
    assert_eq!(found.root().kind(), value.kind(), "{what}");
    assert_eq!(found.root().is_reference(), value.is_reference(), "{what}");
    // An array that a reference inside of it leads to, which no PHP writes, has no end where it is by value. As a document of its own it is a circle.
    if let Ok(text) = value.to_serialized() {
        assert_eq!(found.root().to_serialized().unwrap(), text, "{what}");
    }
}

/// Everything that can be asked of a payload in two ways.
fn compare(format: Format, payload: &[u8]) {
    let what = || format!("{format}: {}", payload[..payload.len().min(2_000)].escape_ascii());
    let session = match Session::decode(format, payload) {
        Ok(session) => session,
        Err(error) => {
            let path = ["a".into(), 0.into()];
            assert_eq!(Session::read_one(format, payload, &path).unwrap_err(), error, "{}", what());
            assert_eq!(Variables::read(format, payload).unwrap_err(), error, "{}", what());
            return;
        }
    };
    let read = |path: &[Key<'_>]| Session::read_one(format, payload, path).unwrap();
    for (name, value) in session.iter().take(KEYS) {
        // A name that igbinary has as text and as a number is one of them.
        let value = if let Key::Bytes(name) = name { session.get(name).unwrap() } else { value };
        same(read(&[name]), value, &what());
        assert!(read(&[name, "no such key".into()]).is_none(), "{}", what());
        for (key, inner) in value.as_array().iter().flat_map(|array| array.iter()).take(KEYS) {
            same(read(&[name, key]), inner, &what());
        }
    }
    let variables = Variables::read(format, payload).unwrap();
    assert_eq!(variables.len(), session.len(), "{}", what());
    assert!(variables.iter().eq(session.serialized()), "{}", what());
    // igbinary and msgpack carry names of classes and keys that text does not.
    let is_text = !matches!(format, Format::Igbinary | Format::Msgpack);
    for ((_, text), (_, value)) in variables.iter().zip(session.iter()).filter(|_| is_text) {
        // Each text stands alone, and is the variable. Only a session that is in itself has no end.
        let Ok(text) = text else { continue };
        let document = Document::decode(Encoding::Serialize, text.into_owned()).unwrap();
        assert_eq!(document.root().to_serialized(), value.to_serialized(), "{}", what());
    }
}

/// What PHP wrote, what is malformed, and all of it with a byte changed, left out, or the rest cut off.
#[test]
fn what_is_looked_up_is_what_the_whole_session_has() {
    let mut random = 1_u64;
    let mut below = |n: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % n.max(1)
    };
    let mut count = 0;
    for vector in FILES.iter().flat_map(|file| vectors(file)) {
        let Some(payload) = vector["hex"].as_str().map(unhex) else { continue };
        let Some(Ok(format)) = vector["handler"].as_str().map(str::parse::<Format>) else { continue };
        // A bomb says what it is at a length that takes its time.
        if payload.len() > 100_000 || vector["name"].as_str().is_some_and(|name| name.contains("bomb")) {
            continue;
        }
        count += 1;
        compare(format, &payload);
        for _ in 0..if payload.len() > 2_000 { 2 } else { 12 } {
            let at = below(payload.len());
            let mut damaged = payload.clone();
            match below(4) {
                0 => damaged.truncate(at),
                1 if !payload.is_empty() => drop(damaged.remove(at)),
                2 => damaged.insert(at, b"i:{};}0R"[below(8)]),
                _ => {
                    let from = below(payload.len());
                    if let Some(byte) = payload.get(from).copied() {
                        damaged[at] = byte;
                    }
                }
            }
            compare(format, &damaged);
        }
    }
    assert!(count > 700, "{count}");
}
