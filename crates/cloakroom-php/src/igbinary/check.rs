//! Reading what was written against what was to be written, without building it a second time.
//!
//! Only for what is a tree of arrays and plain values, as most sessions are. Everything else, and everything in doubt, is decoded and compared.

use super::read::Reader;
use super::tag;
use crate::limits::Limits;
use crate::value::{Document, Entry, Name, Node, Span};

/// Whether this text is read as this document. Sometimes no where it is.
pub(crate) fn is(doc: &Document, text: &[u8], limits: Limits) -> bool {
    let Node::Array(root) = doc.root else { return false };
    let Some(reader) = Reader::after_header(text, limits) else { return false };
    let mut check = Check { reader, same: [[0; 4]; 256] };
    let mut open: Vec<std::slice::Iter<'_, Entry>> = Vec::new();
    let mut array = Some(root);
    loop {
        if let Some(array) = array.take() {
            let entries = doc.array(array);
            if open.len() >= limits.depth() || !check.is_array(entries.len()) {
                return false;
            }
            open.push(entries.iter());
        }
        let Some(entries) = open.last_mut() else { return check.reader.is_at_end() };
        match entries.next() {
            None => {
                open.pop();
            }
            Some(entry) if !check.is_key(doc, entry.name) => return false,
            Some(Entry { node: Node::Array(inner), .. }) => array = Some(*inner),
            Some(entry) if check.is_plain(doc, entry.node) => {}
            Some(_) => return false,
        }
    }
}

/// What is read, and which of its strings were found to be which of the document's: if they were not, it has ended.
struct Check<'b> {
    reader: Reader<'b>,
    same: [[u32; 4]; 256],
}

impl Check<'_> {
    fn is_array(&mut self, len: usize) -> bool {
        match self.reader.byte() {
            Ok(tag @ tag::ARRAY..tag::OBJECT) => {
                self.reader.count(1 << (tag - tag::ARRAY)).is_ok_and(|count| count as usize == len)
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn is_key(&mut self, doc: &Document, name: Name) -> bool {
        match (self.reader.quick_key(), name) {
            (Some(Name::Str(found)), Name::Str(span)) => self.is_text(doc, found, span),
            (Some(Name::Int(found)), Name::Int(n)) => found == n,
            (None, Name::Str(span)) => self.is_plain(doc, Node::Str(span)),
            (None, Name::Int(n)) => self.is_plain(doc, Node::Int(n)),
            _ => false,
        }
    }

    #[inline(always)]
    fn is_plain(&mut self, doc: &Document, node: Node) -> bool {
        match (self.reader.quick_value(), node) {
            (Some(Node::Str(found)), Node::Str(span)) => self.is_text(doc, found, span),
            (Some(Node::Int(found)), Node::Int(n)) => found == n,
            (Some(Node::Bool(found)), Node::Bool(b)) => found == b,
            (Some(Node::Float(found)), Node::Float(bits)) => found == bits,
            (None, node) => self.is_long(doc, node),
            _ => false,
        }
    }

    /// Most strings are told by number again and again: then both were found the same before.
    #[inline(always)]
    fn is_text(&mut self, doc: &Document, found: Span, span: Span) -> bool {
        let same = [found.at, found.len, span.at, span.len];
        let place = self.same.get_mut((found.at.wrapping_mul(0x9e37_79b9) >> 24) as usize);
        if place.as_ref().is_some_and(|place| **place == same) {
            return true;
        }
        if let Some(place) = place {
            *place = same;
        }
        self.reader.text(found) == doc.bytes(span)
    }

    fn is_long(&mut self, doc: &Document, node: Node) -> bool {
        let Ok(tag) = self.reader.byte() else { return false };
        match node {
            Node::Null => tag == tag::NULL,
            Node::Str(span) => {
                matches!(self.reader.string(tag), Ok(Some(found)) if self.reader.text(found) == doc.bytes(span))
            }
            Node::Int(n) => self.reader.integer(tag) == Ok(Some(n)),
            _ => false,
        }
    }
}
