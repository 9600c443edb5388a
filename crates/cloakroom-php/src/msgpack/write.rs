//! Writing msgpack: trees only. What would take a back reference is refused.

use super::DEPTH;
use crate::error::{EncodeError, ReadOnly};
use crate::limits::Limits;
use crate::value::{Body, Document, Entry, Name, Node, ObjectId, Span, holders};

struct Frame<'d> {
    entries: std::slice::Iter<'d, Entry>,
    names: bool,
}

struct Writer<'d> {
    doc: &'d Document,
    out: Vec<u8>,
    objects: Vec<bool>,
    held: Vec<u32>,
    open: Vec<Frame<'d>>,
    limits: Limits,
}

/// One value. The root of a session is marked as a reference, the way PHP's session extension hands it over.
pub(crate) fn write(doc: &Document, session: bool, limits: Limits) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer {
        doc,
        out: Vec::with_capacity(doc.text.len() + 16),
        objects: vec![false; doc.objects.len()],
        held: holders(doc),
        open: Vec::new(),
        limits,
    };
    writer.begin(doc.root, session)?;
    while let Some(frame) = writer.open.last_mut() {
        let Some(entry) = frame.entries.next() else {
            writer.open.pop();
            continue;
        };
        if frame.names {
            match entry.name {
                Name::Hole => continue,
                Name::Int(n) => writer.integer(n),
                Name::Str(span) => writer.string(span),
            }
        }
        writer.begin(entry.node, false)?;
        if writer.out.len() > limits.memory() {
            return Err(EncodeError::Memory(limits.memory()));
        }
    }
    Ok(writer.out)
}

impl<'d> Writer<'d> {
    /// The shortest form; what is not negative goes by the unsigned ones.
    fn integer(&mut self, n: i64) {
        match n {
            -32..=127 => self.out.push(n as u8),
            128..=0xff => self.out.extend_from_slice(&[0xcc, n as u8]),
            0x100..=0xffff => self.tagged(0xcd, &(n as u16).to_be_bytes()),
            0x1_0000..=0xffff_ffff => self.tagged(0xce, &(n as u32).to_be_bytes()),
            0x1_0000_0000.. => self.tagged(0xcf, &n.to_be_bytes()),
            -0x80..=-33 => self.out.extend_from_slice(&[0xd0, n as u8]),
            -0x8000..=-0x81 => self.tagged(0xd1, &(n as i16).to_be_bytes()),
            -0x8000_0000..=-0x8001 => self.tagged(0xd2, &(n as i32).to_be_bytes()),
            _ => self.tagged(0xd3, &n.to_be_bytes()),
        }
    }

    fn tagged(&mut self, tag: u8, bytes: &[u8]) {
        self.out.push(tag);
        self.out.extend_from_slice(bytes);
    }

    fn string(&mut self, span: Span) {
        match span.len {
            0..=31 => self.out.push(0xa0 | span.len as u8),
            32..=0xff => self.out.extend_from_slice(&[0xd9, span.len as u8]),
            0x100..=0xffff => self.tagged(0xda, &(span.len as u16).to_be_bytes()),
            _ => self.tagged(0xdb, &span.len.to_be_bytes()),
        }
        self.out.extend_from_slice(self.doc.bytes(span));
    }

    fn header(&mut self, short: u8, long: u8, count: usize) {
        match count {
            0..=15 => self.out.push(short | count as u8),
            16..=0xffff => self.tagged(long, &(count as u16).to_be_bytes()),
            _ => self.tagged(long + 1, &(count as u32).to_be_bytes()),
        }
    }

    fn enter(&mut self, entries: &'d [Entry], names: bool) -> Result<(), EncodeError> {
        let depth = self.limits.depth().min(DEPTH);
        if self.open.len() >= depth {
            return Err(EncodeError::Depth(depth));
        }
        self.open.push(Frame { entries: entries.iter(), names });
        Ok(())
    }

    fn array(&mut self, entries: &'d [Entry], reference: bool) -> Result<(), EncodeError> {
        let is_list =
            entries.iter().zip(0..).all(|(entry, n)| matches!(entry.name, Name::Int(key) if key == n));
        if entries.is_empty() {
            self.out.push(0x90);
        } else if reference {
            self.header(0x80, 0xde, entries.len() + 1);
            self.out.extend_from_slice(&[0xc0, 1]);
        } else if is_list {
            self.header(0x90, 0xdc, entries.len());
        } else {
            self.header(0x80, 0xde, entries.len());
        }
        self.enter(entries, reference || !is_list)
    }

    fn begin(&mut self, node: Node, session: bool) -> Result<(), EncodeError> {
        let reference = match node {
            Node::Ref(cell) => {
                if self.held.get(cell.0 as usize).is_some_and(|n| *n > 1) {
                    return Err(EncodeError::ReadOnly(ReadOnly::MsgpackReferences));
                }
                true
            }
            _ => session,
        };
        match self.doc.resolve(node) {
            Node::Null | Node::Ref(_) => self.out.push(0xc0),
            Node::Bool(b) => self.out.push(if b { 0xc3 } else { 0xc2 }),
            Node::Int(n) => self.integer(n),
            Node::Float(bits) => self.tagged(0xcb, &bits.to_be_bytes()),
            Node::Str(span) => self.string(span),
            Node::Array(array) => return self.array(self.doc.array(array), reference),
            Node::Object(object) => {
                let seen = self.objects.get_mut(object.0 as usize);
                if seen.is_some_and(|seen| std::mem::replace(seen, true)) {
                    return Err(EncodeError::ReadOnly(ReadOnly::MsgpackReferences));
                }
                return self.object(object, reference);
            }
        }
        Ok(())
    }

    fn object(&mut self, object: ObjectId, reference: bool) -> Result<(), EncodeError> {
        let data = self.doc.object(object);
        match data.body {
            Body::Data(span, _) => {
                self.out.extend_from_slice(&[0x82, 0xc0, 3]);
                self.string(data.class);
                self.string(span);
                Ok(())
            }
            Body::List(array) => {
                self.header(0x80, 0xde, 2 + usize::from(reference));
                if reference {
                    self.out.extend_from_slice(&[0xc0, 1]);
                }
                self.out.push(0xc0);
                self.string(data.class);
                self.out.push(0xc0);
                self.array(self.doc.array(array), false)
            }
            Body::Properties(run) => {
                let entries = self.doc.run(run);
                let count = entries.iter().filter(|entry| !matches!(entry.name, Name::Hole)).count();
                self.header(0x80, 0xde, count + 1 + usize::from(reference));
                if reference {
                    self.out.extend_from_slice(&[0xc0, 1]);
                }
                self.out.push(0xc0);
                self.string(data.class);
                self.enter(entries, true)
            }
            Body::Case(_) => Err(EncodeError::Value {
                format: "msgpack",
                what: "a case of an enum: PHP fails on reading it",
            }),
        }
    }
}
