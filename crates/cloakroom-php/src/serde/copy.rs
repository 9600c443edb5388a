//! Values from one document as they are, into another one.

use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};

use super::DEPTH;
use crate::value::{Key, Kind, Value};

/// So that a value of one [`Document`](crate::Document) or [`Session`](crate::Session) can be set in another one.
///
/// Objects are an error: what an object is, only its class knows, and a copy would be another object. So is what is nested deeper than 128 levels, or
/// has no end because it holds itself: each level takes some of the thread's stack.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Level { value: *self, left: DEPTH }.serialize(serializer)
    }
}

/// A value, and how many levels may be in it.
struct Level<'d> {
    value: Value<'d>,
    left: u32,
}

impl Serialize for Level<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = self.value;
        match value.kind() {
            Kind::Null => serializer.serialize_none(),
            Kind::Bool => serializer.serialize_bool(value.as_bool().unwrap_or_default()),
            Kind::Int => serializer.serialize_i64(value.as_int().unwrap_or_default()),
            Kind::Float => serializer.serialize_f64(value.as_float().unwrap_or_default()),
            Kind::String => serializer.serialize_bytes(value.as_bytes().unwrap_or_default()),
            Kind::Array => {
                let Some(array) = value.as_array() else { return serializer.serialize_none() };
                let Some(left) = self.left.checked_sub(1) else {
                    let why = format_args!(
                        "it is nested deeper than {DEPTH} levels, and no value is copied that is"
                    );
                    return Err(S::Error::custom(why));
                };
                let inside = |value| Level { value, left };
                if array.is_list() {
                    let mut list = serializer.serialize_seq(Some(array.len()))?;
                    for (_, value) in array.iter() {
                        list.serialize_element(&inside(value))?;
                    }
                    return list.end();
                }
                let mut map = serializer.serialize_map(Some(array.len()))?;
                for (key, value) in array.iter() {
                    match key {
                        Key::Int(n) => map.serialize_entry(&n, &inside(value))?,
                        Key::Bytes(text) => match std::str::from_utf8(text) {
                            Ok(text) => map.serialize_entry(text, &inside(value))?,
                            Err(_) => return Err(S::Error::custom("a key is not UTF-8")),
                        },
                    }
                }
                map.end()
            }
            Kind::Object => Err(S::Error::custom("an object, which only PHP can put into a session")),
        }
    }
}
