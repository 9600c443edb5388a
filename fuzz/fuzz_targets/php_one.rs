//! Looking through a payload against reading it: whatever the bytes, one value, and every variable as text, are what the whole session has, and what
//! is refused is refused with the same words.

#![no_main]

use cloakroom_php::{Document, Format, Key, Limits, Session, Value, Variables};
use libfuzzer_sys::fuzz_target;

/// Less than the fuzzer's own limit.
const MEMORY: usize = 16 << 20;

/// So many keys of each level are asked for.
const KEYS: usize = 6;

fuzz_target!(|input: &[u8]| {
    let Some((choice, payload)) = input.split_first() else { return };
    let format = Format::ALL[usize::from(*choice) % Format::ALL.len()];
    // Some of them at a depth that the payload may reach.
    let depth = if choice & 0x80 == 0 { 4096 } else { 3 };
    let limits = Limits::default().with_memory(MEMORY).with_depth(depth);
    let session = match Session::decode_within(format, payload, limits) {
        Ok(session) => session,
        Err(error) => {
            for path in [&["a".into()][..], &["a".into(), 0.into()]] {
                assert_eq!(Session::read_one_within(format, payload, path, limits).unwrap_err(), error);
            }
            assert_eq!(Variables::read_within(format, payload, limits).unwrap_err(), error);
            return;
        }
    };
    let read = |path: &[Key<'_>]| Session::read_one_within(format, payload, path, limits).unwrap();
    assert!(read(&["no such variable".into()]).is_none() || session.get("no such variable").is_some());
    for (name, value) in session.iter().take(KEYS) {
        let name = [name];
        // A name that igbinary has as text and as a number is one of them.
        let value = if let [Key::Bytes(name)] = name { session.get(name).unwrap() } else { value };
        same(read(&name), value);
        assert!(read(&[name[0], "no such key".into()]).is_none() || value.get("no such key").is_some());
        for (key, inner) in value.as_array().iter().flat_map(|array| array.iter()).take(KEYS) {
            let path = [name[0], key];
            same(read(&path), inner);
            for (key, inner) in inner.as_array().iter().flat_map(|array| array.iter()).take(KEYS) {
                same(read(&[path[0], path[1], key]), inner);
            }
        }
    }

    let variables = Variables::read_within(format, payload, limits).unwrap();
    assert_eq!(variables.len(), session.len());
    assert!(variables.iter().eq(session.serialized()));
});

fn same(found: Option<Document>, value: Value<'_>) {
    let found = found.unwrap();
    assert_eq!(found.root().kind(), value.kind());
    assert_eq!(found.root().is_reference(), value.is_reference());
    // An array that a reference inside of it leads to, which no PHP writes, has no end where it is by value. As a document of its own it is a circle.
    if let Ok(text) = value.to_serialized() {
        assert_eq!(found.root().to_serialized().unwrap(), text);
    }
}
