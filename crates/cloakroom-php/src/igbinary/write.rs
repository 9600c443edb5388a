//! Writing igbinary, version 2.

use std::collections::HashMap;

use super::tag;
use crate::error::EncodeError;
use crate::limits::Limits;
use crate::value::{Body, Document, Entry, Name, Node, ObjectId, Span};

const NONE: u32 = u32::MAX;

/// A string that stands here has this number.
#[derive(Clone, Copy)]
struct Place {
    span: Span,
    id: u32,
}

/// How many of them are remembered; a power of two. No string that is looked up is empty, so an empty one stands for none.
const PLACES: usize = 256;
const NOWHERE: Place = Place { span: Span { at: 0, len: 0 }, id: 0 };

const fn slot(span: Span) -> usize {
    (span.at.wrapping_mul(0x9e37_79b9) >> 24) as usize % PLACES
}

struct Writer<'d> {
    doc: &'d Document,
    out: Vec<u8>,
    /// Whether a string that came before is written by its number.
    compact: bool,
    strings: HashMap<&'d [u8], u32, foldhash::fast::RandomState>,
    /// The numbers of strings by where they stand in the text, which is quicker to look up: where the payload told strings by number, all that are
    /// the same stand at the same place.
    places: [Place; PLACES],
    next_string: u32,
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
        strings: HashMap::with_capacity_and_hasher((doc.text.len() / 24).min(1024), Default::default()),
        places: [NOWHERE; PLACES],
        next_string: 0,
        cells: vec![NONE; doc.cells.len()],
        arrays: vec![NONE; doc.arrays.len()],
        objects: vec![NONE; doc.objects.len()],
        next: 0,
        open: Vec::new(),
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
        while let Some(entries) = self.open.last_mut() {
            let Some(entry) = entries.next() else {
                self.open.pop();
                continue;
            };
            match entry.name {
                Name::Hole => {
                    self.out.push(tag::NULL);
                    continue;
                }
                Name::Int(n) => self.integer(n),
                Name::Str(span) => self.string(span)?,
            }
            self.begin(entry.node)?;
            if self.out.len() > self.limits.memory() {
                return Err(EncodeError::Memory(self.limits.memory()));
            }
        }
        Ok(())
    }

    /// A tag for the width that a number needs, and the number.
    #[inline]
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

    #[inline]
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

    /// The number of a text that came before; otherwise it gets the next one.
    fn known(&mut self, text: &'d [u8]) -> Option<u32> {
        use std::collections::hash_map::Entry;
        match self.strings.entry(text) {
            Entry::Occupied(known) => Some(*known.get()),
            Entry::Vacant(place) => {
                place.insert(self.next_string);
                self.next_string += 1;
                None
            }
        }
    }

    #[inline]
    fn string(&mut self, span: Span) -> Result<(), EncodeError> {
        if span.len == 0 {
            self.out.push(tag::EMPTY);
            return Ok(());
        }
        let text = self.doc.bytes(span);
        if self.compact {
            let place = self.places.get(slot(span)).filter(|place| place.span == span);
            let known = match place {
                Some(place) => Some(place.id),
                None => {
                    let next = self.next_string;
                    let known = self.known(text);
                    if let Some(place) = self.places.get_mut(slot(span)) {
                        *place = Place { span, id: known.unwrap_or(next) };
                    }
                    known
                }
            };
            if let Some(id) = known {
                self.sized(tag::STRING_ID, id);
                return Ok(());
            }
        } else {
            // It takes a number all the same.
            self.strings.entry(text).or_insert(self.next_string);
            self.next_string += 1;
        }
        self.sized(tag::STRING, span.len);
        self.out.extend_from_slice(text);
        Ok(())
    }

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
            Node::Float(bits) => {
                self.out.push(tag::FLOAT);
                self.out.extend_from_slice(&bits.to_be_bytes());
            }
            Node::Str(span) => self.string(span)?,
            Node::Array(array) => {
                if !matches!(node, Node::Ref(_))
                    && let Some(id) = register(&mut self.arrays, array.0, &mut self.next)
                {
                    self.sized(tag::BACK, id);
                    return Ok(());
                }
                return self.entries(self.doc.array(array));
            }
            Node::Object(object) => match register(&mut self.objects, object.0, &mut self.next) {
                Some(id) => self.sized(tag::OBJECT_BACK, id),
                None => return self.object(object),
            },
        }
        Ok(())
    }

    fn object(&mut self, object: ObjectId) -> Result<(), EncodeError> {
        let data = self.doc.object(object);
        let class = self.doc.bytes(data.class);
        // The name of a class is told by its number even where strings are not.
        match self.known(class) {
            Some(id) => self.sized(tag::OBJECT_ID, id),
            None => {
                self.sized(tag::OBJECT, data.class.len);
                self.out.extend_from_slice(class);
            }
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
                self.string(case)
            }
        }
    }
}
