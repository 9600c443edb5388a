//! Writing `serialize()` text.

use super::float;
use crate::error::EncodeError;
use crate::limits::Limits;
use crate::value::{Body, CellId, Document, Entry, Name, Node, ObjectId, Span, holders};

struct Frame<'d> {
    entries: std::slice::Iter<'d, Entry>,
    /// Where to cut off what the entries wrote: those of opaque data have been written already, and only count.
    silent: Option<usize>,
}

pub(crate) struct Writer<'d> {
    doc: &'d Document,
    pub(crate) out: Vec<u8>,
    pub(crate) slot: u32,
    /// The number of each cell and object that was written; 0 before.
    cells: Vec<u32>,
    objects: Vec<u32>,
    held: Vec<u32>,
    open: Vec<Frame<'d>>,
    limits: Limits,
}

impl<'d> Writer<'d> {
    pub(crate) fn new(doc: &'d Document, limits: Limits) -> Self {
        Self {
            doc,
            out: Vec::with_capacity(doc.text.len() + 64),
            slot: 0,
            cells: vec![0; doc.cells.len()],
            objects: vec![0; doc.objects.len()],
            held: holders(doc),
            open: Vec::new(),
            limits,
        }
    }

    pub(crate) fn number(&mut self, n: impl itoa::Integer) {
        self.out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
    }

    /// `LEN:"bytes"`
    #[inline]
    fn quoted(&mut self, span: Span) {
        self.number(span.len);
        self.out.extend_from_slice(b":\"");
        self.out.extend_from_slice(self.doc.bytes(span));
        self.out.push(b'"');
    }

    pub(crate) fn name(&mut self, name: Name) {
        match name {
            Name::Int(n @ 0..10) => self.out.extend_from_slice(&[b'i', b':', b'0' + n as u8, b';']),
            Name::Int(n) => {
                self.out.extend_from_slice(b"i:");
                self.number(n);
                self.out.push(b';');
            }
            Name::Str(span) => self.string(span),
            Name::Hole => {}
        }
    }

    #[inline]
    fn string(&mut self, span: Span) {
        if span.len < 100 {
            // As most are: fewer pieces.
            let (tens, ones) = (b'0' + (span.len / 10) as u8, b'0' + (span.len % 10) as u8);
            match tens {
                b'0' => self.out.extend_from_slice(&[b's', b':', ones, b':', b'"']),
                _ => self.out.extend_from_slice(&[b's', b':', tens, ones, b':', b'"']),
            }
            self.out.extend_from_slice(self.doc.bytes(span));
            self.out.extend_from_slice(b"\";");
            return;
        }
        self.out.extend_from_slice(b"s:");
        self.quoted(span);
        self.out.push(b';');
    }

    /// One value, with everything in it.
    pub(crate) fn value(&mut self, node: Node) -> Result<(), EncodeError> {
        let floor = self.open.len();
        self.begin(node)?;
        while self.open.len() > floor {
            let Some(frame) = self.open.last_mut() else { break };
            match frame.entries.next() {
                Some(Entry { name: Name::Hole, .. }) => {}
                Some(entry) => {
                    if frame.silent.is_none() {
                        self.name(entry.name);
                    }
                    self.begin(entry.node)?;
                    if self.out.len() > self.limits.memory() {
                        return Err(EncodeError::Memory(self.limits.memory()));
                    }
                }
                None => {
                    match frame.silent {
                        Some(len) => self.out.truncate(len),
                        None => self.out.push(b'}'),
                    }
                    self.open.pop();
                }
            }
        }
        Ok(())
    }

    fn enter(&mut self, entries: &'d [Entry], silent: Option<usize>) -> Result<(), EncodeError> {
        if self.open.len() >= self.limits.depth() {
            return Err(EncodeError::Depth(self.limits.depth()));
        }
        self.open.push(Frame { entries: entries.iter(), silent });
        Ok(())
    }

    fn count(&mut self, entries: &'d [Entry]) -> Result<(), EncodeError> {
        let count = entries.iter().filter(|entry| !matches!(entry.name, Name::Hole)).count();
        self.number(count);
        self.out.extend_from_slice(b":{");
        self.enter(entries, None)
    }

    /// The number of a cell or object that was written before, or 0 and this is its number from now on.
    fn seen(numbers: &mut [u32], id: u32, slot: u32) -> u32 {
        numbers.get_mut(id as usize).map_or(0, |number| {
            let before = *number;
            if before == 0 {
                *number = slot;
            }
            before
        })
    }

    fn back(&mut self, tag: &[u8], slot: u32) {
        self.out.extend_from_slice(tag);
        self.number(slot);
        self.out.push(b';');
    }

    fn begin(&mut self, node: Node) -> Result<(), EncodeError> {
        self.slot += 1;
        let reference = match node {
            Node::Ref(cell) => self.held.get(cell.0 as usize).is_some_and(|n| *n > 1).then_some(cell),
            _ => None,
        };
        match (self.doc.resolve(node), reference) {
            // A reference to an object goes by the object.
            (Node::Object(object), reference) => {
                let before = Self::seen(&mut self.objects, object.0, self.slot);
                if before == 0 {
                    return self.object(object);
                }
                if reference.is_some() {
                    self.slot -= 1;
                    self.back(b"R:", before);
                } else {
                    self.back(b"r:", before);
                }
            }
            (_, Some(CellId(cell))) if Self::seen(&mut self.cells, cell, self.slot) != 0 => {
                self.slot -= 1;
                let before = self.cells.get(cell as usize).copied().unwrap_or_default();
                self.back(b"R:", before);
            }
            (Node::Null | Node::Ref(_), _) => self.out.extend_from_slice(b"N;"),
            (Node::Bool(b), _) => self.out.extend_from_slice(if b { b"b:1;" } else { b"b:0;" }),
            (Node::Int(n), _) => {
                self.out.extend_from_slice(b"i:");
                self.number(n);
                self.out.push(b';');
            }
            (Node::Float(bits), _) => {
                self.out.extend_from_slice(b"d:");
                float::write(&mut self.out, f64::from_bits(bits));
                self.out.push(b';');
            }
            (Node::Str(span), _) => self.string(span),
            (Node::Array(array), _) => {
                self.out.extend_from_slice(b"a:");
                return self.count(self.doc.array(array));
            }
        }
        Ok(())
    }

    fn object(&mut self, object: ObjectId) -> Result<(), EncodeError> {
        let data = self.doc.object(object);
        match data.body {
            Body::Properties(run) => {
                self.out.extend_from_slice(b"O:");
                self.quoted(data.class);
                self.out.push(b':');
                self.count(self.doc.run(run))
            }
            Body::List(array) => {
                self.out.extend_from_slice(b"O:");
                self.quoted(data.class);
                self.out.push(b':');
                self.count(self.doc.array(array))
            }
            Body::Data(span, inner) => {
                self.out.extend_from_slice(b"C:");
                self.quoted(data.class);
                self.out.push(b':');
                self.number(span.len);
                self.out.extend_from_slice(b":{");
                self.out.extend_from_slice(self.doc.bytes(span));
                self.out.push(b'}');
                let Some(inner) = inner else { return Ok(()) };
                let len = self.out.len();
                self.enter(self.doc.array(inner), Some(len))
            }
            Body::Case(case) => {
                self.out.extend_from_slice(b"E:");
                self.number(data.class.len + 1 + case.len);
                self.out.extend_from_slice(b":\"");
                self.out.extend_from_slice(self.doc.bytes(data.class));
                self.out.push(b':');
                self.out.extend_from_slice(self.doc.bytes(case));
                self.out.extend_from_slice(b"\";");
                Ok(())
            }
        }
    }
}
