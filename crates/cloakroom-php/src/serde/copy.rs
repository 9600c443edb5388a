//! Values from one document as they are, into another one.

use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};

use crate::value::{Key, Kind, Value};

/// So that a value of one [`Document`](crate::Document) or [`Session`](crate::Session) can be set in another one.
///
/// Objects are an error: what an object is, only its class knows, and a copy would be another object.
impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.kind() {
            Kind::Null => serializer.serialize_none(),
            Kind::Bool => serializer.serialize_bool(self.as_bool().unwrap_or_default()),
            Kind::Int => serializer.serialize_i64(self.as_int().unwrap_or_default()),
            Kind::Float => serializer.serialize_f64(self.as_float().unwrap_or_default()),
            Kind::String => serializer.serialize_bytes(self.as_bytes().unwrap_or_default()),
            Kind::Array => {
                let Some(array) = self.as_array() else { return serializer.serialize_none() };
                if array.is_list() {
                    let mut list = serializer.serialize_seq(Some(array.len()))?;
                    for (_, value) in array.iter() {
                        list.serialize_element(&value)?;
                    }
                    return list.end();
                }
                let mut map = serializer.serialize_map(Some(array.len()))?;
                for (key, value) in array.iter() {
                    match key {
                        Key::Int(n) => map.serialize_entry(&n, &value)?,
                        Key::Bytes(text) => match std::str::from_utf8(text) {
                            Ok(text) => map.serialize_entry(text, &value)?,
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
