//! One value of a session, with the rest looked through.

use super::{Session, php, php_binary, verify};
use crate::error::DecodeError;
use crate::format::{Format, serialize_value};
use crate::igbinary;
use crate::limits::Limits;
use crate::serialize::TextSkim;
use crate::skim::{Skim, find};
use crate::value::{Document, Key, integer_key};

impl Session {
    /// Reads one value of a session, within the usual [`Limits`]: a variable, or what a path leads to in one. `None` where there is none.
    ///
    /// What is refused, and what it says, is the same as by [`Session::decode`] and [`Value::get`](crate::Value::get). But where nothing in the
    /// payload is told by the number of what came before, and it is not in `msgpack`, the rest is only looked through, and the answer costs a third of
    /// a decoded session, or less.
    ///
    /// The value is a document of its own. It holds no more than the value, in igbinary the text of the payload as well.
    ///
    /// ```
    /// use cloakroom_php::{Format, Session};
    ///
    /// let payload = b"user|i:7;basket|a:2:{s:5:\"items\";a:0:{}s:5:\"total\";d:9.5;}";
    /// let total = Session::read_one(Format::Php, payload, &["basket".into(), "total".into()])?;
    /// assert_eq!(total.and_then(|total| total.root().as_float()), Some(9.5));
    /// assert!(Session::read_one(Format::Php, payload, &["cart".into()])?.is_none());
    /// # Ok::<(), cloakroom_php::DecodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Session::decode`], wherever in the payload something is wrong.
    pub fn read_one(
        format: Format,
        payload: &[u8],
        path: &[Key<'_>],
    ) -> Result<Option<Document>, DecodeError> {
        Self::read_one_within(format, payload, path, Limits::default())
    }

    /// Reads one value of a session within these limits.
    ///
    /// # Errors
    ///
    /// As [`Session::read_one`].
    pub fn read_one_within(
        format: Format,
        payload: &[u8],
        path: &[Key<'_>],
        limits: Limits,
    ) -> Result<Option<Document>, DecodeError> {
        limits.hold(payload)?;
        match looked_up(format, payload, path, limits) {
            Some(found) => Ok(found),
            None => Self::decode_within(format, payload, limits).map(|session| session.into_one(path)),
        }
    }

    /// What a path leads to.
    fn into_one(self, path: &[Key<'_>]) -> Option<Document> {
        let root = match path {
            [] => self.document().root(),
            [name, inner @ ..] => {
                let variable = self.get(name_of(*name).as_ref())?;
                inner.iter().try_fold(variable, |value, key| value.get(*key))?
            }
        };
        let root = root.node();
        let mut document = self.doc;
        document.root = root;
        Some(document)
    }
}

/// The name of a variable, which is text.
fn name_of(key: Key<'_>) -> std::borrow::Cow<'_, [u8]> {
    match key {
        Key::Bytes(name) => name.into(),
        Key::Int(n) => n.to_string().into_bytes().into(),
    }
}

/// The value that the path leads to, `Some(None)` where it leads nowhere. `None` in doubt: then the whole is to be decoded.
fn looked_up(format: Format, payload: &[u8], path: &[Key<'_>], limits: Limits) -> Option<Option<Document>> {
    let [name, inner @ ..] = path else { return None };
    if payload.is_empty() || payload.len() >= limits.memory() / verify::BYTE {
        return None;
    }
    let found = match format {
        Format::Php | Format::PhpBinary => {
            let name = name_of(*name);
            let read = if format == Format::Php { php::name } else { php_binary::name };
            let mut skim = TextSkim::new(payload);
            let (mut met, mut found) = (false, None);
            // The session itself is a level.
            let depth = limits.depth().checked_sub(1)?;
            while !skim.is_at_end() {
                if skim.name(read)? == name.as_ref() {
                    if met {
                        return None;
                    }
                    met = true;
                    found = find(&mut skim, inner, depth)?;
                } else {
                    skim.value(depth)?;
                }
            }
            found
        }
        Format::PhpSerialize if payload.starts_with(b"a:") => {
            let name = match *name {
                Key::Bytes(name) => Key::from(name),
                number @ Key::Int(_) => number,
            };
            let path: Vec<Key<'_>> = std::iter::once(name).chain(inner.iter().copied()).collect();
            find(&mut TextSkim::new(payload), &path, limits.depth())?
        }
        // A name that is a number may be one, or text.
        Format::Igbinary if matches!(name, Key::Bytes(name) if integer_key(name).is_none()) => {
            return igbinary::one(payload, path, limits);
        }
        _ => return None,
    };
    let Some((start, end)) = found else { return Some(None) };
    let text = payload.get(start..end)?;
    // Of what is nested in other levels there are fewer below.
    let (mut document, extra) = serialize_value(text, limits).ok()?;
    document.text = text.to_vec();
    document.text.extend_from_slice(&extra);
    Some(Some(document))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::same;

    const FORMATS: [Format; 4] = [Format::Php, Format::PhpSerialize, Format::PhpBinary, Format::Igbinary];

    /// A session in which every value stands alone, in this format.
    fn payload(format: Format) -> Vec<u8> {
        let long = "x".repeat(300);
        let text = format!(
            "a|a:4:{{s:1:\"n\";a:3:{{i:0;d:0.5;i:-7;i:12345678901;s:2:\"k5\";b:1;}}s:2:\"07\";N;i:5;s:0:\"\";s:4:\"long\";s:300:\"{long}\";}}\
             o|O:4:\"User\":2:{{s:7:\"\0*\0name\";s:1:\"n\";s:1:\"n\";E:6:\"Suit:H\";}}n|s:1:\"n\";e|a:0:{{}}f|d:-1.0E+25;"
        );
        Session::decode(Format::Php, text).unwrap().encode_as(format).unwrap()
    }

    fn paths() -> Vec<Vec<Key<'static>>> {
        let names: [&[u8]; 9] = [b"a", b"o", b"n", b"e", b"f", b"long", b"k5", b"07", b""];
        let mut keys: Vec<Key<'static>> = names.iter().map(|name| Key::Bytes(name)).collect();
        keys.extend([0, 5, -7, 300].map(Key::Int));
        let mut paths: Vec<Vec<Key<'static>>> = Vec::new();
        for first in &keys {
            paths.push(vec![*first]);
            for second in &keys {
                paths.push(vec![*first, *second]);
                paths.extend([0, -7].map(|third| vec![*first, *second, Key::Int(third)]));
                paths.push(vec![*first, *second, Key::Bytes(b"k5")]);
            }
        }
        paths
    }

    fn whole(
        format: Format,
        payload: &[u8],
        path: &[Key<'_>],
        limits: Limits,
    ) -> Result<Option<Document>, DecodeError> {
        Session::decode_within(format, payload, limits).map(|session| session.into_one(path))
    }

    /// What is looked up is what the whole session has there. Says whether anything was.
    fn agrees(format: Format, payload: &[u8], path: &[Key<'_>], limits: Limits) -> bool {
        let Some(found) = looked_up(format, payload, path, limits) else { return false };
        let expected = whole(format, payload, path, limits)
            .unwrap_or_else(|error| panic!("{format}: {error}: {}", payload.escape_ascii()));
        match (&found, &expected) {
            (Some(found), Some(expected)) => {
                assert!(same(found, expected), "{format} {path:?}: {}", payload.escape_ascii());
            }
            (None, None) => {}
            _ => panic!("{format} {path:?}: {}", payload.escape_ascii()),
        }
        true
    }

    #[test]
    fn every_value_is_looked_up_as_the_whole_session_has_it() {
        for format in FORMATS {
            let payload = payload(format);
            let mut there = 0;
            for path in paths() {
                // In igbinary a variable whose name is a number may be a number or text.
                if matches!((format, path[0]), (Format::Igbinary, Key::Int(_))) {
                    continue;
                }
                assert!(agrees(format, &payload, &path, Limits::default()), "{format} {path:?}");
                there += usize::from(whole(format, &payload, &path, Limits::default()).unwrap().is_some());
            }
            assert_eq!(there, 12, "{format}");
        }
    }

    #[test]
    fn what_is_damaged_is_looked_up_as_the_whole_session_has_it_or_not_at_all() {
        for format in FORMATS {
            let bytes = payload(format);
            let (mut tried, mut taken) = (0, 0);
            let mut damaged = |damaged: &[u8]| {
                for path in [&[Key::Bytes(b"a"), Key::Bytes(b"n"), Key::Int(-7)][..], &[Key::Bytes(b"o")]] {
                    tried += 1;
                    taken += usize::from(agrees(format, damaged, path, Limits::default()));
                }
            };
            for at in 0..bytes.len() {
                damaged(&bytes[..at]);
                damaged(&[&bytes[..at], &bytes[at + 1..]].concat());
                let mut other = bytes.clone();
                for byte in (0..=255).step_by(7).chain(*b"abdiNsrRCSOE0123456789.:;{}|\"\x01\x25\x26") {
                    other[at] = byte;
                    damaged(&other);
                }
            }
            assert!(tried > 10_000 && taken > 1_000, "{format}: {taken} of {tried}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_not_looked_up() {
        for format in FORMATS {
            let payload = payload(format);
            let nested = [Key::Bytes(b"a"), Key::Bytes(b"n")];
            for path in [&nested[..], &nested[..1], &[Key::Bytes(b"x")]] {
                for depth in 0..6 {
                    let limits = Limits::default().with_depth(depth);
                    assert_eq!(agrees(format, &payload, path, limits), depth >= 3, "{format} {depth}");
                }
                assert!(!agrees(format, &payload, path, Limits::default().with_memory(payload.len() * 64)));
            }
        }
    }

    /// A string's number that none has yet, in each of its places; more of what is announced than there is.
    #[test]
    fn what_is_malformed_is_refused_with_the_readers_words() {
        let header = b"\0\0\0\x02\x14\x02\x11\x01a";
        let cases: [&[u8]; 7] = [
            b"\x0e\x01\x11\x01b\0",
            b"\0\x0e\x01\0",
            b"\x14\x01\x06\0\x0e\x01\x11\x01b\0",
            b"\x14\x01\x0e\x01\0\x11\x01b\0",
            b"\x1a\x01\x14\0\x11\x01b\0",
            b"\x14\x02\x06\0\0\x06\x01",
            b"\x11\x09b\x11\x01b\0",
        ];
        for inner in cases {
            let payload = [&header[..], inner].concat();
            for path in [&[Key::Bytes(b"a")][..], &[Key::Bytes(b"a"), Key::Int(0)], &[Key::Bytes(b"x")]] {
                assert!(
                    !agrees(Format::Igbinary, &payload, path, Limits::default()),
                    "{}",
                    inner.escape_ascii()
                );
                let refused = Session::read_one(Format::Igbinary, &payload, path).unwrap_err();
                assert_eq!(refused, Session::decode(Format::Igbinary, payload.as_slice()).unwrap_err());
            }
        }
    }

    #[test]
    fn what_is_told_by_a_number_is_left_to_the_readers() {
        let cases: [(Format, &[u8]); 7] = [
            (Format::Php, b"a|i:1;b|R:1;"),
            (Format::Php, b"a|O:1:\"N\":0:{}b|r:1;"),
            (Format::PhpSerialize, b"a:2:{s:1:\"a\";i:1;s:1:\"a\";i:2;}"),
            (Format::PhpBinary, b"\x01aC:1:\"L\":4:{i:1;}"),
            (Format::Php, b"a|S:1:\"\\61\";"),
            (Format::Igbinary, b"\0\0\0\x02\x14\x02\x11\x01a\x14\0\x11\x01b\x01\x01"),
            (Format::Igbinary, b"\0\0\0\x02\x14\x02\x11\x01a\x17\x01N\x14\0\x11\x01b\x22\x01"),
        ];
        for (format, payload) in cases {
            let path = [Key::Bytes(b"a")];
            assert!(!agrees(format, payload, &path, Limits::default()), "{}", payload.escape_ascii());
            assert!(Session::read_one(format, payload, &path).unwrap().is_some());
        }
        // A reference that nothing else refers to stands alone, and stays one.
        let alone = b"\0\0\0\x02\x14\x01\x11\x01a\x25\x14\x01\x06\0\x25\x06\x07";
        for path in [&[Key::Bytes(b"a")][..], &[Key::Bytes(b"a"), Key::Int(0)]] {
            assert!(agrees(Format::Igbinary, alone, path, Limits::default()));
            let value = Session::read_one(Format::Igbinary, alone, path).unwrap().unwrap();
            assert!(value.root().is_reference());
        }
    }
}
