//! A session from JSON: it is written as `serialize()` text, which is read and checked like anything else.

use std::collections::HashMap;
use std::fmt;
use std::io::Write;

use cloakroom_php::{Key, Limits};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::Trouble;

/// JSON whose objects keep their order.
enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, b: bool) -> Result<Json, E> {
                Ok(Json::Bool(b))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Json, E> {
                Ok(Json::Int(n))
            }
            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Json, E> {
                i64::try_from(n).map(Json::Int).map_err(|_| E::custom("an integer above 2^63 - 1"))
            }
            fn visit_f64<E>(self, float: f64) -> Result<Json, E> {
                Ok(Json::Float(float))
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut map = Vec::new();
                while let Some(item) = items.next_entry()? {
                    map.push(item);
                }
                Ok(Json::Map(map))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

pub(super) fn write(json: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    // A thread with a large stack reads it; what is deeper than PHP nests is refused before it is read.
    if deepest(json) > Limits::default().depth() * 4 {
        return Err("the JSON is nested too deep".into());
    }
    deserializer.disable_recursion_limit();
    let root = Json::deserialize(&mut deserializer)?;
    deserializer.end()?;
    let is_session = match &root {
        Json::List(_) => true,
        Json::Map(map) => map.first().is_none_or(|(key, _)| !key.starts_with('$') || key == "$pairs"),
        _ => false,
    };
    if !is_session {
        return Err("a session is a JSON object, or {\"$pairs\": […]}".into());
    }
    let mut writer = Writer::default();
    writer.value(&root)?;
    Ok(writer.out)
}

/// No less than how deep the JSON is nested.
fn deepest(json: &[u8]) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    /// The number of the value that was written last, as `R:` and `r:` count.
    slot: u32,
    references: HashMap<i64, u32>,
    objects: HashMap<i64, u32>,
    /// Whether there was `Serializable` data, in which values may count that nobody but its class knows of.
    opaque: bool,
}

type Done = Result<(), Trouble>;

impl Writer {
    fn put(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a vector cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn quoted(&mut self, bytes: &[u8]) {
        self.put(format_args!("{}:\"", bytes.len()));
        self.out.extend_from_slice(bytes);
        self.out.push(b'"');
    }

    fn string(&mut self, bytes: &[u8]) {
        self.put(format_args!("s:"));
        self.quoted(bytes);
        self.out.push(b';');
    }

    fn value(&mut self, json: &Json) -> Done {
        if let Json::Map(map) = json
            && let Some((key, first)) = map.first()
            && key.starts_with('$')
        {
            return self.special(key, first, map);
        }
        self.slot += 1;
        match json {
            Json::Null => self.put(format_args!("N;")),
            Json::Bool(b) => self.put(format_args!("b:{};", u8::from(*b))),
            Json::Int(n) => self.put(format_args!("i:{n};")),
            Json::Float(float) => self.put(format_args!("d:{float:e};")),
            Json::Text(text) => self.string(text.as_bytes()),
            Json::List(list) => {
                self.put(format_args!("a:{}:{{", list.len()));
                for (n, value) in list.iter().enumerate() {
                    self.put(format_args!("i:{n};"));
                    self.value(value)?;
                }
                self.out.push(b'}');
            }
            Json::Map(map) => {
                self.put(format_args!("a:{}:{{", map.len()));
                for (key, value) in map {
                    self.key(key.as_str().into());
                    self.value(value)?;
                }
                self.out.push(b'}');
            }
        }
        Ok(())
    }

    fn may_refer(&self) -> Done {
        if self.opaque {
            return Err(
                "a \"$ref\" or \"$same\" comes after \"$serializable\" data, whose inner values may count"
                    .into(),
            );
        }
        Ok(())
    }

    fn key(&mut self, key: Key<'_>) {
        match key {
            Key::Int(n) => self.put(format_args!("i:{n};")),
            Key::Bytes(bytes) => self.string(bytes),
        }
    }

    /// What JSON has no word for; its first key says what it is.
    fn special(&mut self, key: &str, first: &Json, map: &[(String, Json)]) -> Done {
        let wrong = || Trouble::from(format!("\"{key}\" is not written like this"));
        let field = |name: &str| map.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let slot = self.slot + 1;
        let numbered = |writer: &mut Self| match field("$id") {
            Some(Json::Int(id)) => {
                writer.objects.insert(*id, slot);
                Ok(())
            }
            Some(_) => Err(wrong()),
            None => Ok(()),
        };
        match (key, first) {
            ("$ref", Json::Int(n)) => match field("value") {
                Some(value) => {
                    self.references.insert(*n, slot);
                    return self.value(value);
                }
                None => {
                    self.may_refer()?;
                    let target = *self.references.get(n).ok_or("a \"$ref\" comes before its \"value\"")?;
                    self.put(format_args!("R:{target};"));
                    return Ok(());
                }
            },
            ("$same", Json::Int(n)) => {
                self.may_refer()?;
                let target = *self.objects.get(n).ok_or("a \"$same\" comes before its \"$id\"")?;
                self.put(format_args!("r:{target};"));
            }
            ("$float", Json::Text(text)) if ["NAN", "INF", "-INF"].contains(&text.as_str()) => {
                self.put(format_args!("d:{text};"));
            }
            ("$bytes", Json::Text(hex)) => self.string(&unhex(hex).ok_or_else(wrong)?),
            ("$pairs", Json::List(pairs)) => {
                self.put(format_args!("a:{}:{{", pairs.len()));
                self.slot = slot;
                self.pairs(pairs, true).map_err(|trouble| trouble.unwrap_or_else(wrong))?;
                return Ok(());
            }
            ("$enum", class) => {
                numbered(self)?;
                let class = bytes(class).ok_or_else(wrong)?;
                let case = field("case").and_then(bytes).ok_or_else(wrong)?;
                self.put(format_args!("E:"));
                self.quoted(&[class, b":".to_vec(), case].concat());
                self.out.push(b';');
            }
            ("$serializable", class) => {
                numbered(self)?;
                self.opaque = true;
                let class = bytes(class).ok_or_else(wrong)?;
                let data = field("data").and_then(bytes).ok_or_else(wrong)?;
                self.put(format_args!("C:"));
                self.quoted(&class);
                self.put(format_args!(":{}:{{", data.len()));
                self.out.extend_from_slice(&data);
                self.out.push(b'}');
            }
            ("$object", class) => {
                numbered(self)?;
                self.put(format_args!("O:"));
                self.quoted(&bytes(class).ok_or_else(wrong)?);
                self.slot = slot;
                match field("properties") {
                    Some(Json::Map(properties)) => {
                        self.put(format_args!(":{}:{{", properties.len()));
                        for (name, value) in properties {
                            self.string(name.as_bytes());
                            self.value(value)?;
                        }
                        self.out.push(b'}');
                    }
                    Some(Json::List(pairs)) => {
                        self.put(format_args!(":{}:{{", pairs.len()));
                        self.pairs(pairs, false).map_err(|trouble| trouble.unwrap_or_else(wrong))?;
                    }
                    _ => return Err(wrong()),
                }
                return Ok(());
            }
            _ => return Err(wrong()),
        }
        self.slot = slot;
        Ok(())
    }

    /// Keys and values up to the closing brace. `None` where they are no pairs.
    fn pairs(&mut self, pairs: &[Json], of_array: bool) -> Result<(), Option<Trouble>> {
        for pair in pairs {
            let Json::List(pair) = pair else { return Err(None) };
            let [key, value] = pair.as_slice() else { return Err(None) };
            match key {
                Json::Int(n) => self.key(Key::Int(*n)),
                key => {
                    let text = bytes(key).ok_or(None)?;
                    // Names of properties are no keys of arrays.
                    self.key(if of_array { Key::from(text.as_slice()) } else { Key::Bytes(&text) });
                }
            }
            self.value(value)?;
        }
        self.out.push(b'}');
        Ok(())
    }
}

/// The bytes of a text, or of `{"$bytes": "…"}`.
fn bytes(json: &Json) -> Option<Vec<u8>> {
    match json {
        Json::Text(text) => Some(text.clone().into_bytes()),
        Json::Map(map) => match map.as_slice() {
            [(key, Json::Text(hex))] if key == "$bytes" => unhex(hex),
            _ => None,
        },
        _ => None,
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}
