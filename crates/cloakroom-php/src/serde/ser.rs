//! PHP values from Rust types.

use serde::ser::{self, Serialize};

use crate::error::{EncodeError, Excess};
use crate::limits::Limits;
use crate::value::{Builder, Document, Name, Node};

impl ser::Error for EncodeError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Type(message.to_string())
    }
}

/// Adds a value to a document, where nothing leads to it yet.
pub(crate) fn append<T: Serialize + ?Sized>(
    doc: &mut Document,
    value: &T,
    limits: Limits,
) -> Result<Node, EncodeError> {
    // The builder takes the tables and gives them back; what a value that fails half-way added is cut off again.
    let mut text = std::mem::take(&mut doc.text);
    let mut tables = std::mem::take(doc);
    let root = tables.root;
    let mark = (tables.entries.len(), tables.arrays.len());
    let mut builder = match Builder::resume(tables, &text, limits) {
        Ok(builder) => builder,
        Err((kept, excess)) => {
            *doc = kept;
            doc.text = text;
            return Err(excess.into());
        }
    };
    let done = value.serialize(Serializer(&mut builder));
    let (built, extra) = builder.finish();
    tables = built;
    let node = std::mem::replace(&mut tables.root, root);
    match done {
        Ok(()) => text.extend_from_slice(&extra),
        Err(_) => {
            tables.entries.truncate(mark.0);
            tables.arrays.truncate(mark.1);
        }
    }
    *doc = tables;
    doc.text = text;
    done.map(|()| node)
}

struct Serializer<'a, 't>(&'a mut Builder<'t>);

type Done = Result<(), EncodeError>;

impl<'a, 't> Serializer<'a, 't> {
    fn put(self, node: Node) -> Done {
        Ok(self.0.place(node)?)
    }

    fn string(self, bytes: &[u8]) -> Done {
        let span = self.0.text(bytes)?;
        self.put(Node::Str(span))
    }

    /// An array that fills.
    fn open(self) -> Result<Filling<'a, 't>, EncodeError> {
        let array = self.0.new_array()?;
        self.0.place(Node::Array(array))?;
        self.0.enter_array(array, u32::MAX)?;
        Ok(Filling { builder: self.0, next: 0, levels: 1 })
    }

    /// `[variant => [` fills `]]`
    fn open_variant(self, variant: &str) -> Result<Filling<'a, 't>, EncodeError> {
        let outer = self.open()?;
        name(outer.builder, variant.as_bytes())?;
        let inner = Serializer(outer.builder).open()?;
        Ok(Filling { levels: 2, ..inner })
    }
}

fn name(builder: &mut Builder<'_>, text: &[u8]) -> Result<(), Excess> {
    let span = builder.text(text)?;
    let name = builder.array_name(span);
    builder.name(name);
    Ok(())
}

struct Filling<'a, 't> {
    builder: &'a mut Builder<'t>,
    next: i64,
    levels: u8,
}

impl Filling<'_, '_> {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.builder.name(Name::Int(self.next));
        self.next += 1;
        value.serialize(Serializer(self.builder))
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Done {
        name(self.builder, key.as_bytes())?;
        value.serialize(Serializer(self.builder))
    }

    fn close(self) -> Done {
        for _ in 0..self.levels {
            self.builder.end();
        }
        Ok(())
    }
}

impl<'a, 't> ser::Serializer for Serializer<'a, 't> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Filling<'a, 't>;
    type SerializeTuple = Filling<'a, 't>;
    type SerializeTupleStruct = Filling<'a, 't>;
    type SerializeTupleVariant = Filling<'a, 't>;
    type SerializeMap = Filling<'a, 't>;
    type SerializeStruct = Filling<'a, 't>;
    type SerializeStructVariant = Filling<'a, 't>;

    fn serialize_bool(self, v: bool) -> Done {
        self.put(Node::Bool(v))
    }
    fn serialize_i8(self, v: i8) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_i16(self, v: i16) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_i32(self, v: i32) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_i64(self, v: i64) -> Done {
        self.put(Node::Int(v))
    }
    fn serialize_u8(self, v: u8) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_u16(self, v: u16) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_u32(self, v: u32) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_u64(self, v: u64) -> Done {
        let n = i64::try_from(v).map_err(|_| EncodeError::Type("an integer above 2^63 - 1".into()))?;
        self.serialize_i64(n)
    }
    fn serialize_f32(self, v: f32) -> Done {
        self.serialize_f64(v.into())
    }
    fn serialize_f64(self, v: f64) -> Done {
        self.put(Node::Float(v.to_bits()))
    }
    fn serialize_char(self, v: char) -> Done {
        self.string(v.encode_utf8(&mut [0; 4]).as_bytes())
    }
    fn serialize_str(self, v: &str) -> Done {
        self.string(v.as_bytes())
    }
    fn serialize_bytes(self, v: &[u8]) -> Done {
        self.string(v)
    }
    fn serialize_none(self) -> Done {
        self.put(Node::Null)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        self.put(Node::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Done {
        self.put(Node::Null)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Done {
        self.string(variant.as_bytes())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Done {
        let mut filling = self.open()?;
        filling.field(variant, value)?;
        filling.close()
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Filling<'a, 't>, EncodeError> {
        self.open()
    }
    fn serialize_tuple(self, _: usize) -> Result<Filling<'a, 't>, EncodeError> {
        self.open()
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Filling<'a, 't>, EncodeError> {
        self.open()
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Filling<'a, 't>, EncodeError> {
        self.open_variant(variant)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Filling<'a, 't>, EncodeError> {
        self.open()
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Filling<'a, 't>, EncodeError> {
        self.open()
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Filling<'a, 't>, EncodeError> {
        self.open_variant(variant)
    }
}

impl ser::SerializeSeq for Filling<'_, '_> {
    type Ok = ();
    type Error = EncodeError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.push(value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeTuple for Filling<'_, '_> {
    type Ok = ();
    type Error = EncodeError;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.push(value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Filling<'_, '_> {
    type Ok = ();
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.push(value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Filling<'_, '_> {
    type Ok = ();
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.push(value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeStruct for Filling<'_, '_> {
    type Ok = ();
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
        self.field(key, value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeStructVariant for Filling<'_, '_> {
    type Ok = ();
    type Error = EncodeError;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Done {
        self.field(key, value)
    }
    fn end(self) -> Done {
        self.close()
    }
}

impl ser::SerializeMap for Filling<'_, '_> {
    type Ok = ();
    type Error = EncodeError;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        // The key is built like a value and taken for a name: only a string or an integer can be one.
        let mut alone = Document::default();
        let node = append(&mut alone, key, Limits::default())?;
        match node {
            Node::Int(n) => self.builder.name(Name::Int(n)),
            Node::Str(span) => name(self.builder, alone.bytes(span))?,
            _ => return Err(EncodeError::Type("a key that is neither a string nor an integer".into())),
        }
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        value.serialize(Serializer(self.builder))
    }
    fn end(self) -> Done {
        self.close()
    }
}
