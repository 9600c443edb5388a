//! Writing `serialize()` text.

use super::float;
use crate::error::EncodeError;
use crate::limits::Limits;
use crate::value::{ArrayId, Body, CHUNK, CellId, Document, Entry, Name, Node, ObjectId, Span, holders};

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
            open: Vec::with_capacity(8),
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
            Name::Str(span) => self.string(span),
            Name::Int(n) => self.integer(n),
            Name::Hole => {}
        }
    }

    #[inline(always)]
    fn string(&mut self, span: Span) {
        let text = self.doc.bytes(span);
        // As most are: short, so that pieces of one size will do, cut off where they end.
        match (self.doc.chunk(span), text.len()) {
            (Some(chunk), len @ 0..=9) => {
                self.out.extend_from_slice(&[b's', b':', b'0' + len as u8, b':', b'"']);
                self.cut_off(chunk, len);
            }
            (Some(chunk), len @ 10..=16) => {
                self.out.extend_from_slice(&[b's', b':', b'1', b'0' + (len - 10) as u8, b':', b'"']);
                self.cut_off(chunk, len);
            }
            _ => {
                self.out.extend_from_slice(b"s:");
                self.quoted(span);
                self.out.push(b';');
                return;
            }
        }
        self.out.extend_from_slice(b"\";");
    }

    #[inline(always)]
    fn cut_off(&mut self, chunk: &[u8; CHUNK], len: usize) {
        let end = self.out.len() + len;
        self.out.extend_from_slice(chunk);
        self.out.truncate(end);
    }

    #[inline(always)]
    fn integer(&mut self, n: i64) {
        if let 0..10 = n {
            return self.out.extend_from_slice(&[b'i', b':', b'0' + n as u8, b';']);
        }
        self.out.extend_from_slice(b"i:");
        self.number(n);
        self.out.push(b';');
    }

    fn float(&mut self, bits: u64) {
        self.out.extend_from_slice(b"d:");
        float::write(&mut self.out, f64::from_bits(bits));
        self.out.push(b';');
    }

    /// One value, with everything in it.
    pub(crate) fn value(&mut self, node: Node) -> Result<(), EncodeError> {
        self.slot += 1;
        self.begin(node)?;
        let Some(mut frame) = self.open.pop() else { return Ok(()) };
        loop {
            let Some(entry) = frame.entries.next() else {
                match frame.silent {
                    Some(len) => self.out.truncate(len),
                    None => self.out.push(b'}'),
                }
                let Some(around) = self.open.pop() else { return Ok(()) };
                frame = around;
                continue;
            };
            if frame.silent.is_none() {
                self.name(entry.name);
            }
            if let Name::Hole = entry.name {
                continue;
            }
            self.slot += 1;
            match entry.node {
                Node::Str(span) => self.string(span),
                Node::Int(n) => self.integer(n),
                Node::Bool(b) => self.boolean(b),
                Node::Float(bits) => self.float(bits),
                Node::Null => self.out.extend_from_slice(b"N;"),
                node => {
                    // What is in it comes next, and then what is left here.
                    self.open.push(frame);
                    match node {
                        Node::Array(array) => self.array(array)?,
                        node => self.begin(node)?,
                    }
                    let Some(inner) = self.open.pop() else { return Ok(()) };
                    frame = inner;
                }
            }
            if self.out.len() > self.limits.memory() {
                return Err(EncodeError::Memory(self.limits.memory()));
            }
        }
    }

    #[inline(always)]
    fn boolean(&mut self, b: bool) {
        self.out.extend_from_slice(if b { b"b:1;" } else { b"b:0;" });
    }

    fn enter(&mut self, entries: &'d [Entry], silent: Option<usize>) -> Result<(), EncodeError> {
        if self.open.len() >= self.limits.depth() {
            return Err(EncodeError::Depth(self.limits.depth()));
        }
        self.open.push(Frame { entries: entries.iter(), silent });
        Ok(())
    }

    #[inline(always)]
    fn array(&mut self, array: ArrayId) -> Result<(), EncodeError> {
        let entries = self.doc.array(array);
        self.out.extend_from_slice(b"a:");
        self.begin_entries(entries, entries.len())
    }

    /// Typed properties that never got a value have no place in the text.
    fn properties(&mut self, entries: &'d [Entry]) -> Result<(), EncodeError> {
        let count = entries.iter().filter(|entry| !matches!(entry.name, Name::Hole)).count();
        self.begin_entries(entries, count)
    }

    #[inline(always)]
    fn begin_entries(&mut self, entries: &'d [Entry], count: usize) -> Result<(), EncodeError> {
        match count {
            0..10 => self.out.extend_from_slice(&[b'0' + count as u8, b':', b'{']),
            _ => {
                self.number(count);
                self.out.extend_from_slice(b":{");
            }
        }
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

    /// One value, which was counted; of an array or object only the beginning.
    fn begin(&mut self, node: Node) -> Result<(), EncodeError> {
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
            (Node::Bool(b), _) => self.boolean(b),
            (Node::Int(n), _) => self.integer(n),
            (Node::Float(bits), _) => self.float(bits),
            (Node::Str(span), _) => self.string(span),
            (Node::Array(array), _) => return self.array(array),
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
                self.properties(self.doc.run(run))
            }
            Body::List(array) => {
                self.out.extend_from_slice(b"O:");
                self.quoted(data.class);
                self.out.push(b':');
                self.properties(self.doc.array(array))
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
