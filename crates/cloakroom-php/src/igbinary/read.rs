//! Reading igbinary: strictly, without recursion, one pass.

use super::cursor::Cursor;
use super::tag;
use crate::error::{DecodeError, DecodeErrorKind as Wrong, Excess};
use crate::limits::Limits;
use crate::value::{ArrayId, Body, Builder, CellId, Document, Name, Node, ObjectId, Run, Span};

/// What a number of the reference table stands for.
#[derive(Clone, Copy)]
enum Known {
    Array(ArrayId),
    Object(ObjectId),
    Cell(CellId),
}

pub(super) struct Reader<'b> {
    cursor: Cursor<'b>,
    strings: Vec<Span>,
    known: Vec<Known>,
    /// Whether a string came by its number.
    string_ids: bool,
    /// Whether a value is a reference to the whole.
    refers_to_root: bool,
    /// Whether a key came twice.
    duplicates: bool,
    limits: Limits,
}

/// What a payload is.
pub(crate) struct Read {
    pub(crate) doc: Document,
    /// Where the value ends.
    pub(crate) end: usize,
    /// Whether strings that came before are told by number. Where none came twice, this is not known and true.
    pub(crate) compact: bool,
    /// Whether a value is a reference to the whole.
    pub(crate) refers_to_root: bool,
    /// Whether a key came twice.
    pub(crate) duplicates: bool,
}

/// Reads the header and one value.
pub(crate) fn read(input: &[u8], limits: Limits) -> Result<Read, DecodeError> {
    let (doc, reader) = run(input, limits)?;
    // Without a single number the strings are literal, or none came twice: that is looked into when it matters.
    Ok(Read {
        doc,
        end: reader.cursor.at,
        compact: reader.string_ids,
        refers_to_root: reader.refers_to_root,
        duplicates: reader.duplicates,
    })
}

/// Whether a payload that tells no string by number has one twice: then it was written that way on purpose.
pub(crate) fn repeats_strings(input: &[u8], limits: Limits) -> bool {
    let Ok((_, reader)) = run(input, limits) else { return false };
    let mut seen = std::collections::HashSet::<&[u8], foldhash::fast::RandomState>::default();
    reader.strings.iter().any(|span| !seen.insert(reader.cursor.text(*span)))
}

fn run(input: &[u8], limits: Limits) -> Result<(Document, Reader<'_>), DecodeError> {
    let cursor = Cursor::after_header(input);
    let excess = |excess: Excess| DecodeError::new(excess.into(), 0);
    let mut builder = Builder::new(input, 6, limits).map_err(excess)?;
    let mut reader = Reader::new(cursor?, limits);
    reader.value(&mut builder)?;
    reader.duplicates = builder.duplicates;
    let (doc, _) = builder.finish();
    Ok((doc, reader))
}

impl<'b> Reader<'b> {
    fn new(cursor: Cursor<'b>, limits: Limits) -> Self {
        let input = cursor.input;
        Self {
            cursor,
            strings: Vec::with_capacity((input.len() / 16).min(1024)),
            known: Vec::with_capacity((input.len() / 48).min(1024)),
            string_ids: false,
            refers_to_root: false,
            duplicates: false,
            limits,
        }
    }

    /// At a value in the middle, with the strings that came before it.
    pub(super) const fn between(input: &'b [u8], at: usize, strings: Vec<Span>, limits: Limits) -> Self {
        Self {
            cursor: Cursor { input, at },
            strings,
            known: Vec::new(),
            string_ids: false,
            refers_to_root: false,
            duplicates: false,
            limits,
        }
    }

    fn excess(&self, excess: Excess) -> DecodeError {
        DecodeError::new(excess.into(), self.cursor.at)
    }

    /// A literal, which takes the next number of the string table.
    fn literal(&mut self, len: u64) -> Result<Span, DecodeError> {
        // The table is as long as the payload at most: each of its entries cost two bytes there.
        if self.strings.len() * 2 * size_of::<Span>() > self.limits.memory() {
            return self.cursor.wrong(Wrong::Memory(self.limits.memory()));
        }
        let span = self.cursor.raw(len)?;
        self.strings.push(span);
        Ok(span)
    }

    fn string_id(&mut self, width: usize) -> Result<Span, DecodeError> {
        let id = self.cursor.number(width)?;
        match usize::try_from(id).ok().and_then(|id| self.strings.get(id)) {
            Some(span) => Ok(*span),
            None => self.cursor.wrong(Wrong::BackReference),
        }
    }

    /// A string after its tag, if the tag is one of a string.
    #[inline(always)]
    fn string(&mut self, tag: u8) -> Result<Option<Span>, DecodeError> {
        Ok(Some(match tag {
            tag::EMPTY => Span { at: self.cursor.at as u32, len: 0 },
            tag::STRING_ID..tag::STRING => {
                self.string_ids = true;
                self.string_id(1 << (tag - tag::STRING_ID))?
            }
            tag::STRING..tag::ARRAY => {
                let len = self.cursor.number(1 << (tag - tag::STRING))?;
                self.literal(len)?
            }
            tag::STRING64 => {
                let len = self.cursor.number(8)?;
                self.literal(len)?
            }
            _ => return Ok(None),
        }))
    }

    /// One value, with everything in it.
    pub(super) fn value(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        self.begin(b)?;
        while b.depth() > 0 {
            if b.left() == 0 {
                b.end();
                continue;
            }
            match self.quick_key() {
                Some(name) => b.name(name),
                None if self.key(b)? => {}
                None => continue,
            }
            match self.quick_value() {
                Some(node) => b.place(node).map_err(|excess| self.excess(excess))?,
                None => self.begin(b)?,
            }
        }
        Ok(())
    }

    /// A short string that is here, or that came before.
    #[inline(always)]
    fn quick_string(&mut self, tag: u8, n: u8, rest: &[u8]) -> Option<Span> {
        if tag == tag::STRING_ID {
            let span = *self.strings.get(usize::from(n))?;
            self.string_ids = true;
            self.cursor.at += 2;
            return Some(span);
        }
        // Where the table has room: it grows where its size is looked at.
        if rest.len() < usize::from(n) || self.strings.len() == self.strings.capacity() {
            return None;
        }
        let span = Span { at: self.cursor.at as u32 + 2, len: n.into() };
        self.strings.push(span);
        self.cursor.at += 2 + usize::from(n);
        Some(span)
    }

    /// A key as most are. `None`, and nothing is taken, for the others.
    #[inline(always)]
    fn quick_key(&mut self) -> Option<Name> {
        let [tag, n, rest @ ..] = self.cursor.input.get(self.cursor.at..)? else { return None };
        match *tag {
            tag @ (tag::STRING_ID | tag::STRING) => self.quick_string(tag, *n, rest).map(Name::Str),
            tag::INT => {
                self.cursor.at += 2;
                Some(Name::Int((*n).into()))
            }
            _ => None,
        }
    }

    /// A value as most are. `None`, and nothing is taken, for the others.
    #[inline(always)]
    fn quick_value(&mut self) -> Option<Node> {
        let [tag, n, rest @ ..] = self.cursor.input.get(self.cursor.at..)? else { return None };
        match *tag {
            tag @ (tag::STRING_ID | tag::STRING) => self.quick_string(tag, *n, rest).map(Node::Str),
            tag::INT => {
                self.cursor.at += 2;
                Some(Node::Int((*n).into()))
            }
            tag::FALSE | tag::TRUE => {
                self.cursor.at += 1;
                Some(Node::Bool(*tag == tag::TRUE))
            }
            tag::FLOAT => {
                let bits = self.cursor.input.get(self.cursor.at + 1..)?.first_chunk()?;
                self.cursor.at += 9;
                Some(Node::Float(u64::from_be_bytes(*bits)))
            }
            _ => None,
        }
    }

    /// A key; false for an element that has neither key nor value.
    #[inline(always)]
    fn key(&mut self, b: &mut Builder<'_>) -> Result<bool, DecodeError> {
        let at = self.cursor.at;
        let tag = self.cursor.byte()?;
        if tag == tag::NULL {
            b.name(Name::Hole);
            if b.in_object() {
                b.place(Node::Null).map_err(|excess| self.excess(excess))?;
            }
            return Ok(false);
        }
        if let Some(span) = self.string(tag)? {
            b.name(Name::Str(span));
        } else if let Some(n) = self.cursor.integer(tag)? {
            b.name(Name::Int(n));
        } else {
            return self.cursor.wrong_at(at, Wrong::Expected("a key"));
        }
        Ok(true)
    }

    /// Places a container, in a cell where it is a PHP reference, and gives it a number.
    #[inline(always)]
    fn register(
        &mut self,
        b: &mut Builder<'_>,
        node: Node,
        known: Known,
        reference: bool,
    ) -> Result<(), DecodeError> {
        if reference {
            let cell = b.new_cell(node).map_err(|excess| self.excess(excess))?;
            self.known.push(Known::Cell(cell));
            b.place(Node::Ref(cell)).map_err(|excess| self.excess(excess))
        } else {
            self.known.push(known);
            b.place(node).map_err(|excess| self.excess(excess))
        }
    }

    /// One value; of an array or object only the beginning.
    fn begin(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let at = self.cursor.at;
        let mut tag = self.cursor.byte()?;
        let mut reference = false;
        while tag == tag::REFERENCE {
            reference = true;
            tag = self.cursor.byte()?;
        }
        let node = match tag {
            tag::ARRAY..tag::OBJECT => {
                let count = self.cursor.count(1 << (tag - tag::ARRAY))?;
                let array = b.new_array().map_err(|excess| self.excess(excess))?;
                self.register(b, Node::Array(array), Known::Array(array), reference)?;
                return b.enter_array(array, count).map_err(|excess| self.excess(excess));
            }
            tag::OBJECT..tag::DATA => return self.object(b, tag, reference),
            tag::BACK..tag::FALSE => return self.back(b, 1 << (tag - tag::BACK), reference),
            tag::OBJECT_BACK..tag::REFERENCE => {
                return self.back(b, 1 << (tag - tag::OBJECT_BACK), reference);
            }
            tag::NULL => Node::Null,
            tag::FALSE => Node::Bool(false),
            tag::TRUE => Node::Bool(true),
            tag::FLOAT => Node::Float(self.cursor.number(8)?),
            _ => {
                if let Some(span) = self.string(tag)? {
                    Node::Str(span)
                } else if let Some(n) = self.cursor.integer(tag)? {
                    Node::Int(n)
                } else {
                    return self.cursor.wrong_at(at, Wrong::Expected("a value"));
                }
            }
        };
        if reference {
            let cell = b.new_cell(node).map_err(|excess| self.excess(excess))?;
            self.known.push(Known::Cell(cell));
            return b.place(Node::Ref(cell)).map_err(|excess| self.excess(excess));
        }
        b.place(node).map_err(|excess| self.excess(excess))
    }

    fn object(&mut self, b: &mut Builder<'_>, tag: u8, reference: bool) -> Result<(), DecodeError> {
        let class = if tag < tag::OBJECT_ID {
            let len = self.cursor.number(1 << (tag - tag::OBJECT))?;
            self.literal(len)?
        } else {
            self.string_id(1 << (tag - tag::OBJECT_ID))?
        };
        let object =
            b.new_object(class, Body::Properties(Run::default())).map_err(|excess| self.excess(excess))?;
        self.register(b, Node::Object(object), Known::Object(object), reference)?;
        let at = self.cursor.at;
        match self.cursor.byte()? {
            tag @ tag::ARRAY..tag::OBJECT => {
                let count = self.cursor.count(1 << (tag - tag::ARRAY))?;
                b.enter_object(object, count).map_err(|excess| self.excess(excess))
            }
            tag @ tag::DATA..tag::INT64 => {
                let len = self.cursor.number(1 << (tag - tag::DATA))?;
                let data = self.cursor.raw(len)?;
                b.set_body(object, Body::Data(data, None));
                Ok(())
            }
            tag::ENUM => {
                let tag = self.cursor.byte()?;
                let Some(case) = self.string(tag)? else {
                    return self.cursor.wrong(Wrong::Expected("the name of an enum's case"));
                };
                b.set_body(object, Body::Case(case));
                Ok(())
            }
            _ => self.cursor.wrong_at(at, Wrong::Expected("an object's content")),
        }
    }

    fn back(&mut self, b: &mut Builder<'_>, width: usize, reference: bool) -> Result<(), DecodeError> {
        let id = self.cursor.number(width)?;
        let place = usize::try_from(id).ok().and_then(|id| self.known.get(id).copied());
        let Some(known) = place else { return self.cursor.wrong(Wrong::BackReference) };
        let plain = match known {
            Known::Array(array) => Node::Array(array),
            Known::Object(object) => Node::Object(object),
            Known::Cell(cell) => b.cell(cell),
        };
        if id == 0 && matches!(plain, Node::Array(_)) {
            if !reference {
                // The session in itself, by value.
                return self.cursor.wrong(Wrong::Cycle);
            }
            self.refers_to_root = true;
        }
        let node = match known {
            Known::Cell(cell) if reference => Node::Ref(cell),
            _ if reference => {
                // From now on this is a reference; the first place is not.
                let cell = b.new_cell(plain).map_err(|excess| self.excess(excess))?;
                if let Some(known) = usize::try_from(id).ok().and_then(|id| self.known.get_mut(id)) {
                    *known = Known::Cell(cell);
                }
                Node::Ref(cell)
            }
            _ => plain,
        };
        if matches!(plain, Node::Array(_)) {
            b.share();
        }
        b.place(node).map_err(|excess| self.excess(excess))
    }
}
