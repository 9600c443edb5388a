//! Rust types from PHP values.

use std::cell::Cell;
use std::fmt::Display;

use serde::de::{self, Deserialize, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::DEPTH;
use crate::error::ValueError;
use crate::value::{Array, Key, Kind, ObjectKind, Value};

/// How many values one conversion visits. Arrays that share memory make a small payload a large tree.
const VISITS: u32 = 4_000_000;

/// A Rust value from a PHP value.
///
/// Strings can be borrowed from the session. What the type does not ask for is passed over.
///
/// ```
/// use cloakroom_php::{Format, Session, from_value};
///
/// #[derive(serde::Deserialize)]
/// struct Line<'a> { sku: &'a str, qty: u32 }
///
/// let payload = b"basket|a:1:{i:0;a:2:{s:3:\"sku\";s:2:\"A1\";s:3:\"qty\";i:2;}}";
/// let session = Session::decode(Format::Php, payload)?;
/// let basket: Vec<Line> = from_value(session.get("basket").unwrap())?;
/// assert_eq!((basket[0].sku, basket[0].qty), ("A1", 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Where the value is not what the type asks for; deeper than 128 levels; or more than four million values, which
/// arrays that share memory can amount to. The message tells sorts of values, never a value.
pub fn from_value<'d, T: Deserialize<'d>>(value: Value<'d>) -> Result<T, ValueError> {
    let visits = Cell::new(VISITS);
    T::deserialize(Deserializer { value, depth: DEPTH, visits: &visits })
}

/// As [`from_value`], for a type that takes more than the value to make.
///
/// # Errors
///
/// As [`from_value`].
pub fn from_value_seed<'d, S: de::DeserializeSeed<'d>>(
    seed: S,
    value: Value<'d>,
) -> Result<S::Value, ValueError> {
    let visits = Cell::new(VISITS);
    seed.deserialize(Deserializer { value, depth: DEPTH, visits: &visits })
}

impl de::Error for ValueError {
    fn custom<T: Display>(message: T) -> Self {
        Self { message: message.to_string() }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self { message: format!("invalid type: {}, expected {expected}", sort(found)) }
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self { message: format!("invalid value: {}, expected {expected}", sort(found)) }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self { message: format!("unknown variant, expected one of {expected:?}") }
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self { message: format!("unknown field, expected one of {expected:?}") }
    }
}

/// The sort of what was found, without the value that serde would show.
fn sort(found: de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Bool(_) => "boolean",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "integer",
        de::Unexpected::Float(_) => "float",
        de::Unexpected::Char(_) | de::Unexpected::Str(_) => "string",
        de::Unexpected::Bytes(_) => "bytes",
        de::Unexpected::Unit | de::Unexpected::Option => "null",
        de::Unexpected::Seq => "list",
        de::Unexpected::Map => "array",
        _ => "something else",
    }
}

fn fail<T>(message: &str) -> Result<T, ValueError> {
    Err(ValueError { message: message.to_owned() })
}

#[derive(Clone, Copy)]
struct Deserializer<'d, 'c> {
    value: Value<'d>,
    depth: u32,
    visits: &'c Cell<u32>,
}

impl<'d, 'c> Deserializer<'d, 'c> {
    fn deeper(self, value: Value<'d>) -> Result<Self, ValueError> {
        let Some(visits) = self.visits.get().checked_sub(1) else {
            return fail("the value amounts to more values than are converted at once");
        };
        self.visits.set(visits);
        Ok(Self { value, ..self })
    }

    fn inside(self) -> Result<Self, ValueError> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Self { depth, ..self }),
            None => fail("the value is nested too deep for a Rust type"),
        }
    }

    /// The name and value of each element or property.
    fn pairs(self) -> Option<Vec<(Key<'d>, Value<'d>)>> {
        if let Some(array) = self.value.as_array() {
            return Some(array.iter().collect());
        }
        let object = self.value.as_object().filter(|object| object.kind() == ObjectKind::Properties)?;
        Some(object.properties().map(|(property, value)| (property.name, value)).collect())
    }

    fn visit_map<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let Some(pairs) = self.pairs() else { return self.visit_plain(visitor) };
        visitor.visit_map(Pairs { inside: self.inside()?, pairs: pairs.into_iter(), value: None })
    }

    fn visit_list<V: Visitor<'d>>(self, array: Array<'d>, visitor: V) -> Result<V::Value, ValueError> {
        let items: Vec<Value<'d>> = array.iter().map(|(_, value)| value).collect();
        visitor.visit_seq(Items { inside: self.inside()?, items: items.into_iter() })
    }

    /// What is no array and no object with properties.
    fn visit_plain<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        let value = self.value;
        match value.kind() {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool => visitor.visit_bool(value.as_bool().unwrap_or_default()),
            Kind::Int => visitor.visit_i64(value.as_int().unwrap_or_default()),
            Kind::Float => visitor.visit_f64(value.as_float().unwrap_or_default()),
            Kind::String => match value.as_str() {
                Some(text) => visitor.visit_borrowed_str(text),
                None => visitor.visit_borrowed_bytes(value.as_bytes().unwrap_or_default()),
            },
            Kind::Array => self.visit_map(visitor),
            Kind::Object => match value.as_object().map(|object| (object.kind(), object)) {
                Some((ObjectKind::EnumCase, case)) => {
                    let name = case.case().and_then(|name| std::str::from_utf8(name).ok());
                    name.map_or_else(
                        || fail("the name of an enum's case is not UTF-8"),
                        |name| visitor.visit_borrowed_str(name),
                    )
                }
                Some((ObjectKind::Serializable, _)) => {
                    fail("the object's data is opaque: only its class can read it")
                }
                _ => self.visit_map(visitor),
            },
        }
    }
}

impl<'d> de::Deserializer<'d> for Deserializer<'d, '_> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.value.as_array() {
            Some(array) if array.is_list() => self.visit_list(array, visitor),
            _ => self.visit_plain(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        if self.value.is_null() { visitor.visit_none() } else { visitor.visit_some(self.inside()?) }
    }

    fn deserialize_bytes<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.value.as_bytes() {
            Some(bytes) => visitor.visit_borrowed_bytes(bytes),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self.inside()?)
    }

    fn deserialize_seq<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.value.as_array() {
            Some(array) if array.iter().all(|(key, _)| matches!(key, Key::Int(_))) => {
                self.visit_list(array, visitor)
            }
            _ => self.visit_plain(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'d>>(self, _: usize, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.visit_map(visitor)
    }

    fn deserialize_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.visit_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'d>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let case = self.value.as_object().and_then(|object| object.case());
        if let Some(name) = case.or_else(|| self.value.as_bytes()) {
            return match std::str::from_utf8(name) {
                Ok(name) => visitor.visit_enum(name.into_deserializer()),
                Err(_) => fail("the name of a variant is not UTF-8"),
            };
        }
        let mut pairs = self.pairs().unwrap_or_default().into_iter();
        match (pairs.next(), pairs.next()) {
            (Some((key, value)), None) => {
                visitor.visit_enum(Variant { key, content: self.inside()?.deeper(value)? })
            }
            _ => fail("expected the name of a variant, or an array of one element"),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'d>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct identifier
    }
}

struct Items<'d, 'c> {
    inside: Deserializer<'d, 'c>,
    items: std::vec::IntoIter<Value<'d>>,
}

impl<'d> de::SeqAccess<'d> for Items<'d, '_> {
    type Error = ValueError;

    fn next_element_seed<T: de::DeserializeSeed<'d>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ValueError> {
        let Some(value) = self.items.next() else { return Ok(None) };
        seed.deserialize(self.inside.deeper(value)?).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Pairs<'d, 'c> {
    inside: Deserializer<'d, 'c>,
    pairs: std::vec::IntoIter<(Key<'d>, Value<'d>)>,
    value: Option<Value<'d>>,
}

impl<'d> de::MapAccess<'d> for Pairs<'d, '_> {
    type Error = ValueError;

    fn next_key_seed<K: de::DeserializeSeed<'d>>(&mut self, seed: K) -> Result<Option<K::Value>, ValueError> {
        let Some((key, value)) = self.pairs.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(KeyDeserializer(key)).map(Some)
    }

    fn next_value_seed<V: de::DeserializeSeed<'d>>(&mut self, seed: V) -> Result<V::Value, ValueError> {
        match self.value.take() {
            Some(value) => seed.deserialize(self.inside.deeper(value)?),
            None => fail("a value was asked for before its key"),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.pairs.len())
    }
}

/// A key, which PHP may have turned into an integer: it serves as text as well.
struct KeyDeserializer<'d>(Key<'d>);

impl<'d> de::Deserializer<'d> for KeyDeserializer<'d> {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Key::Int(n) => visitor.visit_i64(n),
            Key::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(bytes),
            },
        }
    }

    fn deserialize_str<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        match self.0 {
            Key::Int(n) => visitor.visit_string(n.to_string()),
            Key::Bytes(_) => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'d>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'d>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'d>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        match self.0 {
            Key::Int(n) => visitor.visit_enum(n.to_string().into_deserializer()),
            Key::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => visitor.visit_enum(text.into_deserializer()),
                Err(_) => fail("the name of a variant is not UTF-8"),
            },
        }
    }

    forward_to_deserialize_any! {
        <V: Visitor<'d>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct ignored_any
    }
}

struct Variant<'d, 'c> {
    key: Key<'d>,
    content: Deserializer<'d, 'c>,
}

impl<'d, 'c> de::EnumAccess<'d> for Variant<'d, 'c> {
    type Error = ValueError;
    type Variant = Deserializer<'d, 'c>;

    fn variant_seed<V: de::DeserializeSeed<'d>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Deserializer<'d, 'c>), ValueError> {
        Ok((seed.deserialize(KeyDeserializer(self.key))?, self.content))
    }
}

impl<'d> de::VariantAccess<'d> for Deserializer<'d, '_> {
    type Error = ValueError;

    fn unit_variant(self) -> Result<(), ValueError> {
        if self.value.is_null() { Ok(()) } else { fail("expected a variant without content") }
    }

    fn newtype_variant_seed<T: de::DeserializeSeed<'d>>(self, seed: T) -> Result<T::Value, ValueError> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'d>>(self, len: usize, visitor: V) -> Result<V::Value, ValueError> {
        de::Deserializer::deserialize_tuple(self, len, visitor)
    }

    fn struct_variant<V: Visitor<'d>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        self.visit_map(visitor)
    }
}
