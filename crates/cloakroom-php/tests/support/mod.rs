//! The vectors that PHP wrote, and a description of a value in their notation.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    missing_docs
)]

use cloakroom_php::{Array, Key, Kind, ObjectKind, Property, Value, Visibility};
use serde_json::{Value as Json, json};

/// How long this thread has been on the processor: what else the machine does takes none of it.
pub(crate) fn cpu_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines of a file of vectors.
pub(crate) fn vectors(file: &str) -> Vec<Json> {
    let path = format!("{}/tests/vectors/{file}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let parse = |line: &str| {
        let mut json = serde_json::Deserializer::from_str(line);
        json.disable_recursion_limit();
        serde::Deserialize::deserialize(&mut json).unwrap()
    };
    text.lines().map(parse).collect()
}

/// What a vector says, without how PHP came to it.
pub(crate) fn expected(json: &Json) -> Json {
    match json {
        Json::Object(map) => Json::Object(
            map.iter()
                .filter(|(key, _)| !["via", "was"].contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), expected(value)))
                .collect(),
        ),
        Json::Array(list) => Json::Array(list.iter().map(expected).collect()),
        other => other.clone(),
    }
}

/// A value in the vectors' notation.
pub(crate) fn describe(value: Value<'_>) -> Json {
    let mut description = Description::default();
    description.count(value);
    description.value(value)
}

#[derive(Default)]
struct Description<'d> {
    held: Vec<(Value<'d>, usize)>,
    references: Vec<Value<'d>>,
    objects: Vec<Value<'d>>,
    open: Vec<Array<'d>>,
}

fn key(key: Key<'_>) -> Json {
    match key {
        Key::Int(n) => json!({"t": "int", "v": n.to_string()}),
        Key::Bytes(bytes) => json!({"t": "str", "hex": hex(bytes)}),
    }
}

fn mangled(property: Property<'_>) -> Json {
    let Key::Bytes(name) = property.name else { return key(property.name) };
    let text = match property.visibility {
        Visibility::Protected => [b"\0*\0", name].concat(),
        Visibility::Private(class) => [b"\0", class, b"\0", name].concat(),
        _ => name.to_vec(),
    };
    json!({"t": "str", "hex": hex(&text)})
}

fn parts(value: Value<'_>) -> Vec<Value<'_>> {
    match (value.as_array(), value.as_object()) {
        (Some(array), _) => array.iter().map(|(_, value)| value).collect(),
        (_, Some(object)) => object.properties().map(|(_, value)| value).collect(),
        _ => Vec::new(),
    }
}

impl<'d> Description<'d> {
    fn count(&mut self, root: Value<'d>) {
        let mut stack = vec![root];
        let (mut arrays, mut objects): (Vec<Array<'d>>, Vec<Value<'d>>) = Default::default();
        while let Some(value) = stack.pop() {
            if value.is_reference() {
                match self.held.iter_mut().find(|(held, _)| held.is_same(value)) {
                    Some((_, count)) => {
                        *count += 1;
                        continue;
                    }
                    None => self.held.push((value, 1)),
                }
            }
            if let Some(array) = value.as_array() {
                if arrays.iter().any(|seen| seen.shares_memory(array)) {
                    continue;
                }
                arrays.push(array);
            } else if value.as_object().is_some() {
                if objects.iter().any(|seen| seen.is_same(value)) {
                    continue;
                }
                objects.push(value);
            }
            stack.extend(parts(value));
        }
    }

    fn place(&mut self, value: Value<'d>) -> Json {
        let held = self.held.iter().find(|(held, _)| value.is_reference() && held.is_same(value));
        if held.is_none_or(|(_, count)| *count < 2) {
            return self.value(value);
        }
        if let Some(id) = self.references.iter().position(|seen| seen.is_same(value)) {
            return json!({"t": "ref", "id": id + 1});
        }
        self.references.push(value);
        let id = self.references.len();
        json!({"t": "ref", "id": id, "v": self.value(value)})
    }

    fn value(&mut self, value: Value<'d>) -> Json {
        match value.kind() {
            Kind::Null => json!({"t": "null"}),
            Kind::Bool => json!({"t": "bool", "v": value.as_bool().unwrap()}),
            Kind::Int => json!({"t": "int", "v": value.as_int().unwrap().to_string()}),
            Kind::Float => {
                json!({"t": "float", "bits": format!("{:016x}", value.as_float().unwrap().to_bits())})
            }
            Kind::String => json!({"t": "str", "hex": hex(value.as_bytes().unwrap())}),
            Kind::Array => {
                let array = value.as_array().unwrap();
                if self.open.iter().any(|open| open.shares_memory(array)) {
                    return json!({"t": "cycle"});
                }
                self.open.push(array);
                let pairs: Vec<Json> =
                    array.iter().map(|(name, value)| json!([key(name), self.place(value)])).collect();
                self.open.pop();
                json!({"t": "array", "v": pairs})
            }
            _ => {
                if let Some(id) = self.objects.iter().position(|seen| seen.is_same(value)) {
                    return json!({"t": "objref", "id": id + 1});
                }
                self.objects.push(value);
                let (id, object) = (self.objects.len(), value.as_object().unwrap());
                let class = hex(object.class());
                match object.kind() {
                    ObjectKind::EnumCase => {
                        json!({"t": "enum", "id": id, "class": class, "case": hex(object.case().unwrap())})
                    }
                    ObjectKind::Serializable => {
                        json!({"t": "custom", "id": id, "class": class, "hex": hex(object.data().unwrap())})
                    }
                    _ => {
                        let props: Vec<Json> = object
                            .properties()
                            .map(|(name, value)| json!([mangled(name), self.place(value)]))
                            .collect();
                        json!({"t": "object", "id": id, "class": class, "props": props})
                    }
                }
            }
        }
    }
}
