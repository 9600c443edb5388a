//! Whether a value is what a vector says of it.

use std::collections::HashMap;

use cloakroom_php::{Identity, Key, Object, ObjectKind, Value};
use data_encoding::HEXLOWER;
use serde_json::Value as Json;

use super::readable::mangled;

/// `None` where the vector does not describe the value, but gives its size, say.
pub(super) fn is_described(value: Value<'_>, json: &Json) -> Option<bool> {
    if json.get("v").is_none() && part(json, "t") == "array" {
        return None;
    }
    let mut described = Described::default();
    Some(described.place(value, json) && described.plain_is_plain())
}

/// A part of a description; null where there is none.
pub(super) fn part(json: &Json, index: impl serde_json::value::Index) -> &Json {
    json.get(index).unwrap_or(&Json::Null)
}

#[derive(Default)]
struct Described {
    /// What the description's numbers are here.
    objects: HashMap<u64, Identity>,
    references: HashMap<u64, Identity>,
    /// References at places that the description has plain values at: it knows only those that several places hold.
    plain: Vec<Identity>,
    open: Vec<Identity>,
}

impl Described {
    fn plain_is_plain(&mut self) -> bool {
        let count = self.plain.len();
        self.plain.sort_by_key(|identity| format!("{identity:?}"));
        self.plain.dedup();
        self.plain.len() == count
            && self.plain.iter().all(|plain| !self.references.values().any(|r| r == plain))
    }

    fn place(&mut self, value: Value<'_>, json: &Json) -> bool {
        if part(json, "t") != "ref" {
            self.plain.extend(value.reference());
            return self.value(value, json);
        }
        let (Some(id), Some(reference)) = (part(json, "id").as_u64(), value.reference()) else {
            return false;
        };
        match json.get("v") {
            None => self.references.get(&id) == Some(&reference),
            Some(inner) => {
                let new = !self.references.values().any(|known| *known == reference);
                self.references.insert(id, reference).is_none() && new && self.value(value, inner)
            }
        }
    }

    fn value(&mut self, value: Value<'_>, json: &Json) -> bool {
        let text = part(json, "v").as_str();
        match part(json, "t").as_str() {
            Some("null") => value.is_null(),
            Some("bool") => value.as_bool().is_some() && value.as_bool() == part(json, "v").as_bool(),
            Some("int") => value.as_int().map(|n| n.to_string()).as_deref().is_some_and(|n| Some(n) == text),
            Some("float") => value
                .as_float()
                .is_some_and(|float| *part(json, "bits") == format!("{:016x}", float.to_bits())),
            Some("str") => value.as_bytes().is_some_and(|bytes| *part(json, "hex") == HEXLOWER.encode(bytes)),
            Some("array") => self.array(value, json),
            Some("cycle") => value.as_array().is_some_and(|array| self.open.contains(&array.identity())),
            Some("recipe") => recipe(value, json),
            Some("objref") => {
                let known = part(json, "id").as_u64().and_then(|id| self.objects.get(&id));
                known.is_some() && known == value.as_object().map(Object::identity).as_ref()
            }
            Some("object" | "enum" | "custom") => {
                value.as_object().is_some_and(|object| self.object(object, json))
            }
            _ => false,
        }
    }

    fn array(&mut self, value: Value<'_>, json: &Json) -> bool {
        let (Some(array), Some(pairs)) = (value.as_array(), part(json, "v").as_array()) else { return false };
        self.open.push(array.identity());
        let same = array.iter().count() == pairs.len()
            && array
                .iter()
                .zip(pairs)
                .all(|((name, value), pair)| key(name, part(pair, 0)) && self.place(value, part(pair, 1)));
        self.open.pop();
        same
    }

    fn object(&mut self, object: Object<'_>, json: &Json) -> bool {
        let Some(id) = part(json, "id").as_u64() else { return false };
        let new = !self.objects.values().any(|known| *known == object.identity());
        if !new || self.objects.insert(id, object.identity()).is_some() {
            return false;
        }
        let kind = match object.kind() {
            ObjectKind::EnumCase => "enum",
            ObjectKind::Serializable => "custom",
            _ => "object",
        };
        if *part(json, "t") != kind || *part(json, "class") != HEXLOWER.encode(object.class()) {
            return false;
        }
        if let Some(case) = object.case() {
            return *part(json, "case") == HEXLOWER.encode(case);
        }
        if let Some(data) = object.data() {
            return *part(json, "hex") == HEXLOWER.encode(data);
        }
        let Some(pairs) = part(json, "props").as_array() else { return false };
        object.properties().count() == pairs.len()
            && object.properties().zip(pairs).all(|((property, value), pair)| {
                let named = match property.name {
                    Key::Int(_) => key(property.name, part(pair, 0)),
                    Key::Bytes(_) => key(Key::Bytes(&mangled(property)), part(pair, 0)),
                };
                named && self.place(value, part(pair, 1))
            })
    }
}

fn key(key: Key<'_>, json: &Json) -> bool {
    match key {
        Key::Int(n) => part(json, "t") == "int" && part(json, "v").as_str() == Some(&n.to_string()),
        Key::Bytes(bytes) => part(json, "t") == "str" && *part(json, "hex") == HEXLOWER.encode(bytes),
    }
}

/// What is too long to be described: so many elements, or so many lists in one another, under a name.
fn recipe(value: Value<'_>, json: &Json) -> bool {
    let Some(under) = part(json, "under").as_str().and_then(|name| value.get(name)) else { return false };
    let (mut levels, mut value) = (0, Some(under));
    if let Some(n) = part(json, "n").as_u64() {
        return under.as_array().is_some_and(|array| array.len() as u64 == n);
    }
    while let Some(array) = value.and_then(Value::as_array) {
        levels += 1;
        value = array.get(0);
    }
    part(json, "depth").as_u64() == Some(levels)
}
