//! Ten thousand damaged sessions for each format, read here and by PHP: what both read is the same, and where only one reads it there is a
//! reason that docs/php.md tells.

use cloakroom_php::{Array, DecodeError, DecodeErrorKind, Format, Key, Session, Value};

use super::invent::{self, Random};
use super::server::{Php, Seen};
use super::{BATCH, fail, seed};

const INPUTS: usize = 10_000;

/// Something that PHP wrote, or would have written, with a few bytes changed.
fn damaged(random: &mut Random, whole: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = whole[random.below(whole.len())].clone();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 if at < bytes.len() => {
                bytes.remove(at);
            }
            4 => bytes.insert(at, random.next() as u8),
            5 => {
                // What stands in another one.
                let other = &whole[random.below(whole.len())];
                let from = random.below(other.len() + 1);
                let len = random.below(12).min(other.len() - from);
                bytes.splice(at..at, other[from..from + len].iter().copied());
            }
            _ => {
                // A digit, or a tag, that is another one.
                if let Some(digit) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_alphanumeric()) {
                    *digit = b"0123456789aNbidsOCErR"[random.below(21)];
                }
            }
        }
    }
    bytes
}

/// Which classes there are, and what may be made of them, only PHP knows. One may be gone again, because its variable came twice.
fn has_objects(session: &Session, input: &[u8]) -> bool {
    let is_text = !matches!(session.format(), Format::Igbinary | Format::Msgpack);
    if is_text && input.windows(2).any(|tag| [b"O:", b"E:", b"C:"].contains(&tag.try_into().unwrap())) {
        return true;
    }
    let mut open = vec![session.document().root()];
    let mut seen = std::collections::HashSet::new();
    while let Some(value) = open.pop() {
        if value.as_object().is_some() {
            return true;
        }
        if let Some(array) = value.as_array().filter(|array| seen.insert(array.identity())) {
            open.extend(array.iter().map(|(_, value)| value));
        }
    }
    false
}

/// Whether an array holds a copy of itself: serialize() says null where the circle closes.
fn holds_itself(session: &Session) -> bool {
    fn walk<'s>(value: Value<'s>, open: &mut Vec<Array<'s>>) -> bool {
        let Some(array) = value.as_array() else { return false };
        if open.iter().any(|around| around.shares_memory(array)) {
            return true;
        }
        open.push(array);
        let found = array.iter().any(|(_, value)| walk(value, open));
        open.pop();
        found
    }
    walk(session.document().root(), &mut Vec::new())
}

/// Whether a variable's name is an integer, which PHP drops.
fn has_integer_name(session: &Session) -> bool {
    session.iter().any(|(name, _)| match name {
        Key::Int(_) => true,
        Key::Bytes(bytes) => matches!(Key::from(bytes), Key::Int(_)),
    })
}

/// Why a session that PHP reads may be refused here.
fn is_told(format: Format, input: &[u8], kind: &DecodeErrorKind) -> bool {
    match kind {
        // Of an object, PHP takes a number that is not there for 0, and a sign.
        DecodeErrorKind::Expected("a number of elements" | "a length") => {
            format == Format::Msgpack
                || input.windows(3).any(|text| [b"::{", b"\":+", b"\":-"].contains(&text.try_into().unwrap()))
        }
        // PHP makes something else of these.
        DecodeErrorKind::Integer | DecodeErrorKind::Cycle | DecodeErrorKind::Unsupported(_) => true,
        DecodeErrorKind::Depth(_) | DecodeErrorKind::Memory(_) => true,
        // PHP's $_SESSION may become an object, or an integer.
        DecodeErrorKind::NotASession => true,
        // PHP makes something of any bytes.
        _ => format == Format::Msgpack,
    }
}

#[derive(Debug, Default)]
struct Outcomes {
    same: usize,
    refused_by_both: usize,
    refused_here: usize,
    refused_by_php: usize,
    not_compared: usize,
}

fn differential(format: Format) {
    let seed = seed();
    let (mut random, mut php) = (Random(seed), Php::start(format));
    let mut whole: Vec<Vec<u8>> =
        (0..BATCH).filter_map(|_| invent::session(&mut random, format).encode_as(format).ok()).collect();
    whole.extend(php.invent(random.next() as u32, BATCH).into_iter().map(|seen| seen.written));
    whole.retain(|payload| payload.len() < 600);
    let mut outcomes = Outcomes::default();
    for _ in 0..INPUTS / BATCH {
        let inputs: Vec<Vec<u8>> = (0..BATCH).map(|_| damaged(&mut random, &whole)).collect();
        for (input, seen) in inputs.iter().zip(php.read_one_by_one(&inputs)) {
            let ours = Session::decode(format, input.as_slice());
            let is_told = |kind: &DecodeErrorKind| is_told(format, input, kind);
            compare(format, seed, input, ours, is_told, seen, &mut outcomes);
        }
    }
    // PHP's msgpack makes something of any bytes: what is refused is refused here.
    let (same, refused) = match format {
        Format::Msgpack => (INPUTS / 5, outcomes.refused_here),
        _ => (INPUTS / 50, outcomes.refused_by_both),
    };
    assert!(outcomes.same > same && refused > INPUTS / 5, "{outcomes:?}");
}

fn compare(
    format: Format,
    seed: u64,
    input: &[u8],
    ours: Result<Session, DecodeError>,
    is_told: impl Fn(&DecodeErrorKind) -> bool,
    seen: Option<Seen>,
    outcomes: &mut Outcomes,
) {
    // PHP died of it.
    let Some(Seen { complaints, says, .. }) = seen else {
        outcomes.not_compared += 1;
        return;
    };
    let refused = complaints.contains("session_decode says no");
    match ours {
        Err(_) if refused => outcomes.refused_by_both += 1,
        Err(error) if !complaints.is_empty() || is_told(error.kind()) => outcomes.refused_here += 1,
        Err(error) => fail(&format!("refused, and PHP reads it: {error}"), seed, format, &[input, &says]),
        Ok(session) if refused => {
            if !has_objects(&session, input) && session.read_only().is_none() {
                fail(&format!("read, and PHP says: {complaints}"), seed, format, &[input]);
            }
            outcomes.refused_by_php += 1;
        }
        Ok(session) => match session.encode_as(Format::PhpSerialize) {
            Ok(text) if text == says => outcomes.same += 1,
            Ok(text) => {
                let told = has_objects(&session, input)
                    || has_integer_name(&session)
                    || session.read_only().is_some()
                    || holds_itself(&session)
                    || !complaints.is_empty();
                if !told {
                    fail("read as something else", seed, format, &[input, &says, &text]);
                }
                outcomes.not_compared += 1;
            }
            Err(_) => outcomes.not_compared += 1,
        },
    }
}

macro_rules! formats {
    ($($name:ident $format:ident)*) => { $(
        #[test]
        fn $name() {
            differential(Format::$format);
        }
    )* };
}

formats! {
    php Php
    php_serialize PhpSerialize
    php_binary PhpBinary
    igbinary Igbinary
    msgpack Msgpack
}

/// Damaged in the envelope or in what is in it.
#[cfg(all(feature = "amp", feature = "laravel"))]
fn envelopes(kind: &str, decode: impl Fn(&[u8]) -> Result<Session, DecodeError>) {
    let seed = seed();
    let (mut random, mut php) = (Random(seed), Php::start(Format::PhpSerialize));
    let texts: Vec<Vec<u8>> = (0..BATCH)
        .filter_map(|_| invent::session(&mut random, Format::Msgpack).encode_as(Format::PhpSerialize).ok())
        .collect();
    let mut whole = php.envelope("wrap", kind, b"", &texts);
    whole.retain(|payload| payload.len() < 600);
    let mut outcomes = Outcomes::default();
    for _ in 0..INPUTS / BATCH {
        let inputs: Vec<Vec<u8>> = (0..BATCH).map(|_| damaged(&mut random, &whole)).collect();
        for (input, seen) in inputs.iter().zip(php.open(kind, &inputs)) {
            let format = Format::PhpSerialize;
            // What is behind an envelope, and a DEFLATE stream without its end.
            let is_told = |kind: &DecodeErrorKind| {
                matches!(kind, DecodeErrorKind::Trailing | DecodeErrorKind::End)
                    || is_told(format, input, kind)
            };
            compare(format, seed, input, decode(input), is_told, Some(seen), &mut outcomes);
        }
    }
    assert!(outcomes.same > INPUTS / 50 && outcomes.refused_by_both > INPUTS / 5, "{outcomes:?}");
}

#[cfg(all(feature = "amp", feature = "laravel"))]
#[test]
fn envelope_of_amp() {
    envelopes("amp", |bytes| cloakroom_php::Amp.decode(bytes));
}

#[cfg(all(feature = "amp", feature = "laravel"))]
#[test]
fn envelope_of_laravel() {
    envelopes("php", |bytes| cloakroom_php::Laravel::new().decode(bytes));
}
