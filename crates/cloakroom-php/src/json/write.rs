//! Writing JSON with the flags that PHP has by default.

use std::io::Write;

use super::DEPTH;
use crate::error::EncodeError;
use crate::limits::Limits;
use crate::serialize::write_float;
use crate::value::{Document, Entry, Name, Node, Span};

const fn refuse<T>(what: &'static str) -> Result<T, EncodeError> {
    Err(EncodeError::Value { format: "JSON", what })
}

struct Frame<'d> {
    entries: std::slice::Iter<'d, Entry>,
    names: bool,
    first: bool,
}

struct Writer<'d> {
    doc: &'d Document,
    out: Vec<u8>,
    open: Vec<Frame<'d>>,
    limits: Limits,
}

/// The whole document. References are written as the values that they are: JSON knows none.
pub(crate) fn write(doc: &Document, limits: Limits) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer { doc, out: Vec::with_capacity(doc.text.len()), open: Vec::new(), limits };
    writer.begin(doc.root)?;
    while let Some(frame) = writer.open.last_mut() {
        let Some(entry) = frame.entries.next() else {
            let end = if frame.names { b'}' } else { b']' };
            writer.out.push(end);
            writer.open.pop();
            continue;
        };
        let names = frame.names;
        if !std::mem::replace(&mut frame.first, false) {
            writer.out.push(b',');
        }
        if names {
            match entry.name {
                Name::Int(n) => {
                    let _ = write!(writer.out, "\"{n}\":");
                }
                Name::Str(span) => {
                    writer.string(span)?;
                    writer.out.push(b':');
                }
                Name::Hole => continue,
            }
        }
        writer.begin(entry.node)?;
        if writer.out.len() > limits.memory() {
            return Err(EncodeError::Memory(limits.memory()));
        }
    }
    Ok(writer.out)
}

impl<'d> Writer<'d> {
    fn begin(&mut self, node: Node) -> Result<(), EncodeError> {
        match self.doc.resolve(node) {
            Node::Null | Node::Ref(_) => self.out.extend_from_slice(b"null"),
            Node::Bool(b) => self.out.extend_from_slice(if b { b"true" } else { b"false" }),
            Node::Int(n) => self.out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
            Node::Float(bits) => self.float(f64::from_bits(bits))?,
            Node::Str(span) => self.string(span)?,
            Node::Object(_) => return refuse("an object"),
            Node::Array(array) => {
                if self.open.len() >= DEPTH.min(self.limits.depth()) {
                    return Err(EncodeError::Depth(DEPTH.min(self.limits.depth())));
                }
                let entries = self.doc.array(array);
                let is_list = entries
                    .iter()
                    .zip(0..)
                    .all(|(entry, n)| matches!(entry.name, Name::Int(key) if key == n));
                self.out.push(if is_list { b'[' } else { b'{' });
                self.open.push(Frame { entries: entries.iter(), names: !is_list, first: true });
            }
        }
        Ok(())
    }

    fn float(&mut self, float: f64) -> Result<(), EncodeError> {
        if !float.is_finite() {
            return refuse("a double that is infinite or not a number");
        }
        let start = self.out.len();
        write_float(&mut self.out, float);
        let mut whole = true;
        for byte in self.out.iter_mut().skip(start) {
            if *byte == b'E' {
                *byte = b'e';
            }
            whole &= byte.is_ascii_digit() || *byte == b'-';
        }
        if whole {
            // Or it would be an integer when it is read. PHP itself makes one of it.
            self.out.extend_from_slice(b".0");
        }
        Ok(())
    }

    fn string(&mut self, span: Span) -> Result<(), EncodeError> {
        let Ok(text) = std::str::from_utf8(self.doc.bytes(span)) else {
            return refuse("a string that is not UTF-8");
        };
        self.out.push(b'"');
        for c in text.chars() {
            match c {
                '"' | '\\' | '/' => self.out.extend_from_slice(&[b'\\', c as u8]),
                '\u{8}' => self.out.extend_from_slice(b"\\b"),
                '\u{c}' => self.out.extend_from_slice(b"\\f"),
                '\n' => self.out.extend_from_slice(b"\\n"),
                '\r' => self.out.extend_from_slice(b"\\r"),
                '\t' => self.out.extend_from_slice(b"\\t"),
                ' '..='\u{7f}' => self.out.push(c as u8),
                c => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.out.push(b'"');
        Ok(())
    }
}
