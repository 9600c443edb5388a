//! Symfony's bags: variables of PHP's that hold an application's attributes, its flash messages, and when the session was used.

use cloakroom::clock::Timestamp;

use crate::value::integer_key;
use crate::{EncodeError, Key, Session, Value};

/// What `$session->get()` reads.
const ATTRIBUTES: &str = "_sf2_attributes";
/// When it was begun and last used, in seconds.
const META: &str = "_sf2_meta";

/// As Symfony begins it: last used, begun, and the cookie's lifetime, which is none.
#[derive(serde::Serialize)]
struct Meta {
    u: u64,
    c: u64,
    l: u64,
}

/// The attributes, in their order.
pub(super) fn attributes(session: &Session) -> impl Iterator<Item = (Key<'_>, Value<'_>)> {
    session.get(ATTRIBUTES).and_then(|bag| bag.as_array()).into_iter().flat_map(|bag| bag.iter())
}

/// What is around the attributes.
pub(super) struct Around {
    /// The session as `serialize()` has it, with the attributes as they were told.
    pub(super) whole: Vec<u8>,
    /// The other bags by their names, but for what nobody misses: an empty one, and when the session was used.
    pub(super) others: Vec<(String, Vec<u8>)>,
}

/// `attributes`: as `serialize()` has the array of them.
pub(super) fn around(session: &Session, attributes: &[u8]) -> Option<Around> {
    let mut whole = format!("a:{}:{{", session.len()).into_bytes();
    let mut others = Vec::new();
    for (key, text) in session.serialized() {
        let Key::Bytes(name) = key else { return None };
        let (name, text) = (std::str::from_utf8(name).ok()?, text.ok()?);
        whole.extend(format!("s:{}:\"{name}\";", name.len()).into_bytes());
        if name == ATTRIBUTES {
            whole.extend(attributes);
            continue;
        }
        whole.extend(&*text);
        if name != META && *text != *b"a:0:{}" {
            others.push((name.to_owned(), text.into_owned()));
        }
    }
    whole.push(b'}');
    Some(Around { whole, others })
}

fn path(name: &str) -> [Key<'_>; 2] {
    let name = match integer_key(name.as_bytes()) {
        Some(n) => Key::Int(n),
        None => Key::Bytes(name.as_bytes()),
    };
    [Key::Bytes(ATTRIBUTES.as_bytes()), name]
}

pub(super) fn set(session: &mut Session, name: &str, value: &Value<'_>) -> Result<(), EncodeError> {
    if session.get(ATTRIBUTES).is_none() {
        session.set(ATTRIBUTES, &[(); 0])?;
    }
    session.set_at(&path(name), value)
}

pub(super) fn remove(session: &mut Session, name: &str) -> Result<(), EncodeError> {
    session.remove_at(&path(name)).map(|_| ())
}

/// What Symfony does before it saves: an empty bag goes, and the session was used now. Its flash messages are its own.
pub(super) fn close(session: &mut Session, now: Timestamp) -> Result<(), EncodeError> {
    if session.get(ATTRIBUTES).and_then(|bag| bag.as_array()).is_some_and(|bag| bag.is_empty()) {
        session.remove(ATTRIBUTES)?;
    }
    let now = now.as_millis() / 1000;
    if session.get(META).is_some_and(|meta| meta.as_array().is_some()) {
        session.set_at(&[META.into(), "u".into()], &now)
    } else {
        session.set(META, &Meta { u: now, c: now, l: 0 })
    }
}
