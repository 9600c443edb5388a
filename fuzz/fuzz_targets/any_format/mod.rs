//! What holds for a session of PHP's in any format.

use cloakroom_php::{EncodeError, Format, Limits, Session, from_value};

/// Less than the fuzzer's own limit.
const MEMORY: usize = 16 << 20;

pub fn session(format: Format, payload: &[u8]) {
    let limits = Limits::default().with_memory(MEMORY);
    let mut session = match Session::decode_within(format, payload, limits) {
        Ok(session) => session,
        Err(error) => {
            assert!(error.at() <= payload.len());
            return;
        }
    };
    assert_eq!(session.encode().unwrap(), payload);

    // Every value can be asked for, and the session can be written in every format or says why not. What is written is read again there.
    for (_, value) in session.iter() {
        let _ = from_value::<std::collections::BTreeMap<String, Vec<Option<i64>>>>(value);
    }
    for format in Format::ALL {
        let _ = session.encode_as(*format);
    }

    let names: Vec<Vec<u8>> = session
        .iter()
        .filter_map(|(name, _)| match name {
            cloakroom_php::Key::Bytes(name) => Some(name.to_vec()),
            cloakroom_php::Key::Int(_) => None,
        })
        .collect();
    let name = if format == Format::Php { "fuzz" } else { "fuzz|" };
    let variables = session.len() + usize::from(session.get(name).is_none());
    if session.set(name, &1).is_ok() {
        assert_eq!(session.len(), variables);
        written(&session);
    }
    if let Some(name) = names.first() {
        let mut removed = session.clone();
        let before = removed.len();
        if let Ok(there) = removed.remove(name) {
            assert!(there);
            assert_eq!(removed.len(), before - 1);
            written(&removed);
        }
        let mut changed = session.clone();
        if changed.set(name, &[1, 2]).is_ok() {
            written(&changed);
        }
    }
}

/// A changed session is written and read again, or it is too large.
fn written(session: &Session) {
    match session.encode() {
        Ok(bytes) => {
            let again = Session::decode(session.format(), bytes).unwrap();
            assert_eq!(again.len(), session.len());
        }
        Err(EncodeError::Memory(_) | EncodeError::Depth(_)) => {}
        // Names that can be read and are not written.
        Err(EncodeError::Name { .. } | EncodeError::Value { .. } | EncodeError::ReadOnly(_)) => {
            assert!(matches!(session.format(), Format::Msgpack | Format::Igbinary), "{}", session.format());
        }
        // An array by value that a reference inside of it leads to: PHP writes no such thing.
        Err(EncodeError::Unverified) if session.format() == Format::Igbinary => {}
        Err(error) => panic!("{error}"),
    }
}
