//! Writing igbinary, version 2.

use super::strings::Strings;
use super::tag;
use crate::error::EncodeError;
use crate::limits::Limits;
use crate::value::{ArrayId, Body, Document, Entry, Name, Node, ObjectId, Span};

const NONE: u32 = u32::MAX;

struct Writer<'d> {
    doc: &'d Document,
    out: Vec<u8>,
    /// Whether a string that came before is written by its number.
    compact: bool,
    strings: Strings<'d>,
    cells: Vec<u32>,
    arrays: Vec<u32>,
    objects: Vec<u32>,
    next: u32,
    open: Vec<std::slice::Iter<'d, Entry>>,
    limits: Limits,
}

/// Header and value.
pub(crate) fn write(doc: &Document, compact: bool, limits: Limits) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(doc.text.len() + 16);
    out.extend_from_slice(&[0, 0, 0, 2]);
    let mut writer = Writer {
        doc,
        out,
        compact,
        strings: Strings::new(doc),
        cells: vec![NONE; doc.cells.len()],
        arrays: vec![NONE; if doc.shared { doc.arrays.len() } else { 0 }],
        objects: vec![NONE; doc.objects.len()],
        next: 0,
        open: Vec::with_capacity(8),
        limits,
    };
    writer.run()?;
    Ok(writer.out)
}

/// The number that something has already, or `None`, and then this is its number.
fn register(numbers: &mut [u32], id: u32, next: &mut u32) -> Option<u32> {
    let known = numbers.get_mut(id as usize)?;
    if *known != NONE {
        return Some(*known);
    }
    *known = *next;
    *next += 1;
    None
}

impl<'d> Writer<'d> {
    fn run(&mut self) -> Result<(), EncodeError> {
        // PHP finds every array again but the root.
        match self.doc.root {
            Node::Array(root) => {
                self.next += 1;
                self.entries(self.doc.array(root))?;
            }
            root => self.begin(root)?,
        }
        let Some(mut entries) = self.open.pop() else { return Ok(()) };
        loop {
            let Some(entry) = entries.next() else {
                let Some(around) = self.open.pop() else { return Ok(()) };
                entries = around;
                continue;
            };
            match entry.name {
                Name::Str(span) => self.string(span),
                Name::Int(n) => self.integer(n),
                Name::Hole => {
                    self.out.push(tag::NULL);
                    continue;
                }
            }
            match entry.node {
                Node::Str(span) => self.string(span),
                Node::Int(n) => self.integer(n),
                Node::Null => self.out.push(tag::NULL),
                Node::Bool(b) => self.out.push(if b { tag::TRUE } else { tag::FALSE }),
                Node::Float(bits) => self.float(bits),
                node => {
                    // What is in it comes next, and then what is left here.
                    self.open.push(entries);
                    match node {
                        Node::Array(array) => self.array(array)?,
                        node => self.begin(node)?,
                    }
                    entries = self.open.pop().unwrap_or_default();
                }
            }
            if self.out.len() > self.limits.memory() {
                return Err(EncodeError::Memory(self.limits.memory()));
            }
        }
    }

    /// A tag for the width that a number needs, and the number.
    #[inline(always)]
    fn sized(&mut self, tag: u8, n: u32) {
        let bytes = n.to_be_bytes();
        let [_, _, high, low] = bytes;
        match n {
            0..=0xff => self.out.extend_from_slice(&[tag, low]),
            0x100..=0xffff => self.out.extend_from_slice(&[tag + 1, high, low]),
            _ => {
                self.out.push(tag + 2);
                self.out.extend_from_slice(&bytes);
            }
        }
    }

    #[inline(always)]
    fn integer(&mut self, n: i64) {
        let negative = u8::from(n < 0);
        let magnitude = n.unsigned_abs();
        if let Ok(small) = u32::try_from(magnitude) {
            let bytes = small.to_be_bytes();
            let [_, _, high, low] = bytes;
            match small {
                0..=0xff => self.out.extend_from_slice(&[tag::INT + negative, low]),
                0x100..=0xffff => self.out.extend_from_slice(&[tag::INT + 2 + negative, high, low]),
                _ => {
                    self.out.push(tag::INT + 4 + negative);
                    self.out.extend_from_slice(&bytes);
                }
            }
        } else {
            self.out.push(tag::INT64 + negative);
            self.out.extend_from_slice(&magnitude.to_be_bytes());
        }
    }

    #[inline(always)]
    fn float(&mut self, bits: u64) {
        let [a, b, c, d, e, f, g, h] = bits.to_be_bytes();
        self.out.extend_from_slice(&[tag::FLOAT, a, b, c, d, e, f, g, h]);
    }

    #[inline(always)]
    fn string(&mut self, span: Span) {
        if span.len == 0 {
            self.out.push(tag::EMPTY);
        } else if !self.compact {
            self.strings.literal(span);
            self.literal(tag::STRING, span);
        } else if let Some(number) = self.strings.number(span) {
            self.sized(tag::STRING_ID, number);
        } else {
            self.literal(tag::STRING, span);
        }
    }

    fn literal(&mut self, tag: u8, span: Span) {
        self.sized(tag, span.len);
        self.out.extend_from_slice(self.doc.bytes(span));
    }

    /// An array by value, which takes a number, or is told by the one that it has.
    #[inline(always)]
    fn array(&mut self, array: ArrayId) -> Result<(), EncodeError> {
        if !self.doc.shared {
            // None stands in two places.
            self.next += 1;
        } else if let Some(id) = register(&mut self.arrays, array.0, &mut self.next) {
            self.sized(tag::BACK, id);
            return Ok(());
        }
        self.entries(self.doc.array(array))
    }

    #[inline(always)]
    fn entries(&mut self, entries: &'d [Entry]) -> Result<(), EncodeError> {
        if self.open.len() >= self.limits.depth() {
            return Err(EncodeError::Depth(self.limits.depth()));
        }
        self.sized(tag::ARRAY, entries.len() as u32);
        self.open.push(entries.iter());
        Ok(())
    }

    fn begin(&mut self, node: Node) -> Result<(), EncodeError> {
        let value = self.doc.resolve(node);
        if let Node::Ref(cell) = node {
            self.out.push(tag::REFERENCE);
            // A reference to an object goes by the object.
            if !matches!(value, Node::Object(_))
                && let Some(id) = register(&mut self.cells, cell.0, &mut self.next)
            {
                self.sized(tag::BACK, id);
                return Ok(());
            }
        }
        match value {
            Node::Null | Node::Ref(_) => self.out.push(tag::NULL),
            Node::Bool(b) => self.out.push(if b { tag::TRUE } else { tag::FALSE }),
            Node::Int(n) => self.integer(n),
            Node::Float(bits) => self.float(bits),
            Node::Str(span) => self.string(span),
            Node::Array(array) if matches!(node, Node::Ref(_)) => {
                return self.entries(self.doc.array(array));
            }
            Node::Array(array) => return self.array(array),
            Node::Object(object) => match register(&mut self.objects, object.0, &mut self.next) {
                Some(id) => self.sized(tag::OBJECT_BACK, id),
                None => return self.object(object),
            },
        }
        Ok(())
    }

    fn object(&mut self, object: ObjectId) -> Result<(), EncodeError> {
        let data = self.doc.object(object);
        // The name of a class is told by its number even where strings are not.
        match self.strings.number(data.class) {
            Some(number) => self.sized(tag::OBJECT_ID, number),
            None => self.literal(tag::OBJECT, data.class),
        }
        match data.body {
            Body::Properties(run) => self.entries(self.doc.run(run)),
            Body::List(array) => self.entries(self.doc.array(array)),
            Body::Data(span, _) => {
                self.sized(tag::DATA, span.len);
                self.out.extend_from_slice(self.doc.bytes(span));
                Ok(())
            }
            Body::Case(case) => {
                self.out.push(tag::ENUM);
                self.string(case);
                Ok(())
            }
        }
    }
}
