//! A session as JSON.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use cloakroom_php::{Array, Identity, Key, Limits, Object, ObjectKind, Property, Session, Value, Visibility};

use crate::Trouble;

/// Arrays that share memory are written out each time, which may take more than there is.
const LONGEST: usize = 256 << 20;

pub(super) fn write(session: &Session) -> Result<String, Trouble> {
    let root = session.document().root();
    let mut writer = Writer { held: held(root), ..Writer::default() };
    writer.value(root)?;
    writer.out.push('\n');
    Ok(writer.out)
}

/// What stands in more than one place.
fn held(root: Value<'_>) -> HashSet<Identity> {
    let (mut seen, mut twice) = (HashSet::new(), HashSet::new());
    let mut open = vec![root];
    while let Some(value) = open.pop() {
        let mut again = |identity| {
            let again = !seen.insert(identity);
            if again {
                twice.insert(identity);
            }
            again
        };
        if value.reference().is_some_and(&mut again) {
            continue;
        }
        if let Some(array) = value.as_array().filter(|array| !again(array.identity())) {
            open.extend(array.iter().map(|(_, value)| value));
        } else if let Some(object) = value.as_object().filter(|object| !again(object.identity())) {
            open.extend(object.properties().map(|(_, value)| value));
        }
    }
    twice
}

#[derive(Default)]
struct Writer {
    out: String,
    depth: usize,
    held: HashSet<Identity>,
    /// The numbers of references and objects that were written.
    numbers: HashMap<Identity, usize>,
}

type Done = Result<(), Trouble>;

impl Writer {
    fn line(&mut self) {
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("  ", self.depth));
    }

    fn text(&mut self, text: &str) {
        // A string has no way to fail.
        self.out.push_str(&serde_json::to_string(text).unwrap_or_default());
    }

    fn string(&mut self, bytes: &[u8]) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text),
            Err(_) => {
                let _ = write!(self.out, r#"{{"$bytes": "{}"}}"#, data_encoding::HEXLOWER.encode(bytes));
            }
        }
    }

    /// `None` for the first time; otherwise the number that it has.
    fn again(&mut self, identity: Identity) -> (usize, bool) {
        let next = self.numbers.len() + 1;
        let number = *self.numbers.entry(identity).or_insert(next);
        (number, number < next)
    }

    fn value(&mut self, value: Value<'_>) -> Done {
        let Some(reference) = value.reference().filter(|reference| self.held.contains(reference)) else {
            return self.content(value);
        };
        let (number, again) = self.again(reference);
        let _ = write!(self.out, r#"{{"$ref": {number}"#);
        if !again {
            self.out.push_str(r#", "value": "#);
            self.content(value)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn content(&mut self, value: Value<'_>) -> Done {
        if self.out.len() > LONGEST {
            return Err("arrays in it share memory, and it takes too much when they are written out".into());
        }
        if let Some(array) = value.as_array() {
            return self.array(array);
        }
        if let Some(object) = value.as_object() {
            return self.object(object);
        }
        if let Some(bytes) = value.as_bytes() {
            self.string(bytes);
        } else if let Some(n) = value.as_int() {
            let _ = write!(self.out, "{n}");
        } else if let Some(b) = value.as_bool() {
            let _ = write!(self.out, "{b}");
        } else if let Some(float) = value.as_float() {
            let _ = match float {
                _ if float.is_nan() => write!(self.out, r#"{{"$float": "NAN"}}"#),
                f64::INFINITY => write!(self.out, r#"{{"$float": "INF"}}"#),
                f64::NEG_INFINITY => write!(self.out, r#"{{"$float": "-INF"}}"#),
                // With a point or an exponent, so that it is no integer.
                float => write!(self.out, "{float:?}"),
            };
        } else {
            self.out.push_str("null");
        }
        Ok(())
    }

    fn deeper(&mut self) -> Done {
        self.depth += 1;
        if self.depth > Limits::default().depth() {
            return Err("arrays in it share memory, and it is too deep when they are written out".into());
        }
        Ok(())
    }

    /// So many items, a line each.
    fn items<T>(
        &mut self,
        [open, close]: [char; 2],
        items: impl Iterator<Item = T>,
        mut item: impl FnMut(&mut Self, T) -> Done,
    ) -> Done {
        self.deeper()?;
        self.out.push(open);
        let mut empty = true;
        for each in items {
            if !empty {
                self.out.push(',');
            }
            empty = false;
            self.line();
            item(self, each)?;
        }
        self.depth -= 1;
        if !empty {
            self.line();
        }
        self.out.push(close);
        Ok(())
    }

    fn array(&mut self, array: Array<'_>) -> Done {
        if array.is_list() {
            return self.items(['[', ']'], array.iter(), |writer, (_, value)| writer.value(value));
        }
        // A text that looks like an integer stands for one; igbinary may have it as text.
        let plain = |(n, (key, _)): (usize, (Key<'_>, Value<'_>))| match key {
            Key::Int(_) => true,
            Key::Bytes(bytes) => {
                matches!(Key::from(bytes), Key::Bytes(_))
                    && std::str::from_utf8(bytes).is_ok()
                    && (n > 0 || !bytes.starts_with(b"$"))
            }
        };
        if array.iter().enumerate().all(plain) {
            return self.items(['{', '}'], array.iter(), |writer, (key, value)| {
                match key {
                    Key::Int(n) => {
                        let _ = write!(writer.out, "\"{n}\"");
                    }
                    Key::Bytes(bytes) => writer.string(bytes),
                }
                writer.out.push_str(": ");
                writer.value(value)
            });
        }
        self.out.push_str(r#"{"$pairs": "#);
        self.items(['[', ']'], array.iter(), |writer, (key, value)| writer.pair(key, value))?;
        self.out.push('}');
        Ok(())
    }

    fn pair(&mut self, key: Key<'_>, value: Value<'_>) -> Done {
        self.out.push('[');
        match key {
            Key::Int(n) => {
                let _ = write!(self.out, "{n}");
            }
            Key::Bytes(bytes) => self.string(bytes),
        }
        self.out.push_str(", ");
        self.value(value)?;
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, object: Object<'_>) -> Done {
        let held = self.held.contains(&object.identity());
        let mut id = None;
        if held {
            let (number, again) = self.again(object.identity());
            if again {
                let _ = write!(self.out, r#"{{"$same": {number}}}"#);
                return Ok(());
            }
            id = Some(number);
        }
        self.out.push_str(match object.kind() {
            ObjectKind::EnumCase => r#"{"$enum": "#,
            ObjectKind::Serializable => r#"{"$serializable": "#,
            _ => r#"{"$object": "#,
        });
        self.string(object.class());
        if let Some(id) = id {
            let _ = write!(self.out, r#", "$id": {id}"#);
        }
        if let Some(case) = object.case() {
            self.out.push_str(r#", "case": "#);
            self.string(case);
        } else if let Some(data) = object.data() {
            self.out.push_str(r#", "data": "#);
            self.string(data);
        } else {
            self.out.push_str(r#", "properties": "#);
            self.properties(object)?;
        }
        self.out.push('}');
        Ok(())
    }

    fn properties(&mut self, object: Object<'_>) -> Done {
        let named = |(property, _): (Property<'_>, Value<'_>)| match property.name {
            Key::Int(_) => false,
            Key::Bytes(_) => std::str::from_utf8(&mangled(property)).is_ok(),
        };
        if object.properties().all(named) {
            return self.items(['{', '}'], object.properties(), |writer, (property, value)| {
                writer.string(&mangled(property));
                writer.out.push_str(": ");
                writer.value(value)
            });
        }
        self.items(['[', ']'], object.properties(), |writer, (property, value)| match property.name {
            Key::Int(_) => writer.pair(property.name, value),
            Key::Bytes(_) => writer.pair(Key::Bytes(&mangled(property)), value),
        })
    }
}

/// The name as PHP writes it, with who may see it.
pub(super) fn mangled(property: Property<'_>) -> Vec<u8> {
    let Key::Bytes(name) = property.name else { return Vec::new() };
    match property.visibility {
        Visibility::Protected => [b"\0*\0", name].concat(),
        Visibility::Private(class) => [b"\0", class, b"\0", name].concat(),
        _ => name.to_vec(),
    }
}
