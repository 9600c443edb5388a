//! Reading msgpack: strictly, without recursion. PHP's extension makes something of any bytes; here what it would lose is an error.

use super::DEPTH;
use crate::error::{DecodeError, DecodeErrorKind as Wrong, Excess};
use crate::limits::Limits;
use crate::value::{
    ArrayId, Body, Builder, CellId, Document, Name, Node, ObjectId, Run, Span, with_cells_where_needed,
};

const NIL: u8 = 0xc0;

pub(crate) struct Read {
    pub(crate) doc: Document,
    pub(crate) extra: Vec<u8>,
    /// Where the value ends.
    pub(crate) end: usize,
    /// Whether something is told by its number.
    pub(crate) refers: bool,
}

/// What an open array or map is.
#[derive(Clone, Copy)]
enum Open {
    List,
    Map,
}

struct Reader<'b> {
    input: &'b [u8],
    at: usize,
    open: Vec<Open>,
    /// The cell of each array and object, where they have cells.
    cells: Vec<CellId>,
    wants_cells: bool,
    refers: bool,
}

/// Reads one value.
pub(crate) fn read(input: &[u8], limits: Limits) -> Result<Read, DecodeError> {
    let limits = limits.with_depth(limits.depth().min(DEPTH));
    with_cells_where_needed(|wrap| attempt(input, limits, wrap))
}

fn attempt(input: &[u8], limits: Limits, wrap: bool) -> Result<Option<Read>, DecodeError> {
    let mut reader =
        Reader { input, at: 0, open: Vec::new(), cells: Vec::new(), wants_cells: false, refers: false };
    let mut builder = Builder::new(input, 8, limits).map_err(|excess| reader.excess(excess))?;
    if wrap {
        builder.wrap();
    }
    let read = reader.value(&mut builder);
    if reader.wants_cells {
        return Ok(None);
    }
    read?;
    let (doc, extra) = builder.finish();
    Ok(Some(Read { doc, extra, end: reader.at, refers: reader.refers }))
}

impl<'b> Reader<'b> {
    const fn wrong<T>(&self, kind: Wrong) -> Result<T, DecodeError> {
        Err(DecodeError::new(kind, self.at))
    }

    fn excess(&self, excess: Excess) -> DecodeError {
        DecodeError::new(excess.into(), self.at)
    }

    fn peek(&self) -> Result<u8, DecodeError> {
        match self.input.get(self.at) {
            Some(byte) => Ok(*byte),
            None => self.wrong(Wrong::End),
        }
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self, width: usize) -> Result<u64, DecodeError> {
        let Some(bytes) = self.input.get(self.at..self.at + width) else { return self.wrong(Wrong::End) };
        self.at += width;
        Ok(bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn raw(&mut self, len: u64) -> Result<Span, DecodeError> {
        let len = usize::try_from(len).ok().filter(|len| *len <= self.input.len() - self.at);
        let Some(len) = len else { return self.wrong(Wrong::Length) };
        let span = Span { at: self.at as u32, len: len as u32 };
        self.at += len;
        Ok(span)
    }

    fn count(&self, count: u64, each: usize) -> Result<u32, DecodeError> {
        if count > ((self.input.len() - self.at) / each) as u64 {
            return self.wrong(Wrong::Count);
        }
        Ok(count as u32)
    }

    /// A string after its tag, if the tag is one of a string.
    fn string(&mut self, tag: u8) -> Result<Option<Span>, DecodeError> {
        let len = match tag {
            0xa0..=0xbf => u64::from(tag & 31),
            0xc4..=0xc6 => self.number(1 << (tag - 0xc4))?,
            0xd9..=0xdb => self.number(1 << (tag - 0xd9))?,
            _ => return Ok(None),
        };
        self.raw(len).map(Some)
    }

    /// An integer after its tag, if the tag is one of an integer.
    fn integer(&mut self, tag: u8) -> Result<Option<i64>, DecodeError> {
        Ok(Some(match tag {
            0x00..=0x7f | 0xe0..=0xff => i64::from(tag as i8),
            0xcc..=0xcf => match i64::try_from(self.number(1 << (tag - 0xcc))?) {
                Ok(n) => n,
                Err(_) => return self.wrong(Wrong::Integer),
            },
            0xd0..=0xd3 => {
                let width = 1 << (tag - 0xd0);
                let spare = 64 - 8 * width as u32;
                ((self.number(width)? << spare) as i64) >> spare
            }
            _ => return Ok(None),
        }))
    }

    fn value(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        self.begin(b)?;
        while let Some(open) = self.open.last().copied() {
            if b.left() == 0 {
                b.end();
                self.open.pop();
                continue;
            }
            match open {
                Open::List => b.name(Name::Int(b.count() as i64)),
                Open::Map => self.key(b)?,
            }
            self.begin(b)?;
        }
        Ok(())
    }

    fn key(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let at = self.at;
        let tag = self.byte()?;
        let name = if let Some(span) = self.string(tag)? {
            if b.in_object() { Name::Str(span) } else { b.array_name(span) }
        } else if let Some(n) = self.integer(tag)? {
            Name::Int(n)
        } else {
            self.at = at;
            return self.wrong(Wrong::Expected("a key"));
        };
        b.name(name);
        Ok(())
    }

    fn enter_array(
        &mut self,
        b: &mut Builder<'_>,
        array: ArrayId,
        count: u32,
        open: Open,
    ) -> Result<(), DecodeError> {
        b.enter_array(array, count).map_err(|excess| self.excess(excess))?;
        self.open.push(open);
        Ok(())
    }

    /// Places an array or object, which takes the next number.
    fn put(&mut self, b: &mut Builder<'_>, node: Node, reference: bool) -> Result<(), DecodeError> {
        let node = if b.wraps() || reference {
            let cell = b.new_cell(node).map_err(|excess| self.excess(excess))?;
            self.cells.push(cell);
            if reference {
                b.refer(cell);
            }
            Node::Ref(cell)
        } else {
            node
        };
        b.place(node).map_err(|excess| self.excess(excess))
    }

    fn begin(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let at = self.at;
        let tag = self.byte()?;
        let node = match tag {
            NIL => Node::Null,
            0xc2 | 0xc3 => Node::Bool(tag == 0xc3),
            0xca => Node::Float(f64::from(f32::from_bits(self.number(4)? as u32)).to_bits()),
            0xcb => Node::Float(self.number(8)?),
            0x90..=0x9f | 0xdc | 0xdd => {
                let count = self.list_count(tag)?;
                let array = b.new_array().map_err(|excess| self.excess(excess))?;
                self.put(b, Node::Array(array), false)?;
                return self.enter_array(b, array, count, Open::List);
            }
            0x80..=0x8f | 0xde | 0xdf => {
                let count = self.map_count(tag)?;
                return self.map(b, count);
            }
            0xc7..=0xc9 | 0xd4..=0xd8 => {
                self.at = at;
                return self.wrong(Wrong::Unsupported("a MessagePack extension type"));
            }
            _ => {
                if let Some(span) = self.string(tag)? {
                    Node::Str(span)
                } else if let Some(n) = self.integer(tag)? {
                    Node::Int(n)
                } else {
                    self.at = at;
                    return self.wrong(Wrong::Expected("a value"));
                }
            }
        };
        b.place(node).map_err(|excess| self.excess(excess))
    }

    fn list_count(&mut self, tag: u8) -> Result<u32, DecodeError> {
        let count = if tag < 0xa0 { u64::from(tag & 15) } else { self.number(2 << (tag - 0xdc))? };
        self.count(count, 1)
    }

    fn map_count(&mut self, tag: u8) -> Result<u32, DecodeError> {
        let count = if tag < 0x90 { u64::from(tag & 15) } else { self.number(2 << (tag - 0xde))? };
        self.count(count, 2)
    }

    /// A map, whose first keys may say that it is something else.
    fn map(&mut self, b: &mut Builder<'_>, mut left: u32) -> Result<(), DecodeError> {
        if left == 0 {
            // PHP makes an empty object of it.
            let class = b.text(b"stdClass").map_err(|excess| self.excess(excess))?;
            let object = b
                .new_object(class, Body::Properties(Run::default()))
                .map_err(|excess| self.excess(excess))?;
            return self.put(b, Node::Object(object), false);
        }
        let mut reference = false;
        let mut object: Option<ObjectId> = None;
        while left > 0 && self.peek()? == NIL {
            self.at += 1;
            left -= 1;
            let at = self.at;
            let tag = self.byte()?;
            match tag {
                1 if !reference && object.is_none() => reference = true,
                2 | 4 | 5 if left == 1 && !reference && object.is_none() => return self.back(b, tag),
                3 if left == 1 && !reference && object.is_none() => return self.opaque(b),
                _ => match (self.string(tag)?, object) {
                    (Some(class), None) => {
                        let body = Body::Properties(Run::default());
                        object = Some(b.new_object(class, body).map_err(|excess| self.excess(excess))?);
                    }
                    (None, Some(object)) if left == 0 && matches!(tag, 0x80..=0x9f | 0xdc..=0xdf) => {
                        return self.list_body(b, object, tag, reference);
                    }
                    _ => {
                        self.at = at;
                        return self.wrong(Wrong::Unsupported("what nil stands for here"));
                    }
                },
            }
        }
        // The session itself is marked as a reference, and is none that anything shares.
        let reference = reference && b.depth() > 0;
        if let Some(object) = object {
            self.put(b, Node::Object(object), reference)?;
            b.enter_object(object, left).map_err(|excess| self.excess(excess))?;
            self.open.push(Open::Map);
            return Ok(());
        }
        if reference && left == 0 {
            // PHP makes null of it; it writes an empty array without a mark.
            return self.wrong(Wrong::Unsupported("a reference to nothing"));
        }
        let array = b.new_array().map_err(|excess| self.excess(excess))?;
        self.put(b, Node::Array(array), reference)?;
        self.enter_array(b, array, left, Open::Map)
    }

    /// What `__serialize` returned: an array that takes a number of its own, and stands nowhere but in the object.
    fn list_body(
        &mut self,
        b: &mut Builder<'_>,
        object: ObjectId,
        tag: u8,
        reference: bool,
    ) -> Result<(), DecodeError> {
        self.put(b, Node::Object(object), reference)?;
        let array = b.new_array().map_err(|excess| self.excess(excess))?;
        b.set_body(object, Body::List(array));
        if b.wraps() {
            let cell = b.new_cell(Node::Array(array)).map_err(|excess| self.excess(excess))?;
            self.cells.push(cell);
        }
        let is_list = matches!(tag, 0x90..=0x9f | 0xdc | 0xdd);
        let count = if is_list { self.list_count(tag)? } else { self.map_count(tag)? };
        self.enter_array(b, array, count, if is_list { Open::List } else { Open::Map })
    }

    fn opaque(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let tag = self.byte()?;
        let Some(class) = self.string(tag)? else {
            return self.wrong(Wrong::Expected("the name of a class"));
        };
        let tag = self.byte()?;
        let Some(data) = self.string(tag)? else { return self.wrong(Wrong::Expected("Serializable data")) };
        let object = b.new_object(class, Body::Data(data, None)).map_err(|excess| self.excess(excess))?;
        self.put(b, Node::Object(object), false)
    }

    /// What came before under a number: 2 an array by reference, 4 an object, 5 an object by reference.
    fn back(&mut self, b: &mut Builder<'_>, kind: u8) -> Result<(), DecodeError> {
        if !b.wraps() {
            self.wants_cells = true;
            return self.wrong(Wrong::BackReference);
        }
        self.refers = true;
        let tag = self.byte()?;
        if tag != 0 {
            return self.wrong(Wrong::Expected("0"));
        }
        let tag = self.byte()?;
        let id = self.integer(tag)?.and_then(|id| usize::try_from(id).ok()?.checked_sub(1));
        let Some(cell) = id.and_then(|id| self.cells.get(id).copied()) else {
            return self.wrong(Wrong::BackReference);
        };
        if kind == 4 {
            let node = b.cell(cell);
            if matches!(node, Node::Array(_)) {
                b.share();
            }
            self.put(b, node, false)
        } else {
            // The pair takes a number too, which stands for the same.
            self.cells.push(cell);
            b.refer(cell);
            b.place(Node::Ref(cell)).map_err(|excess| self.excess(excess))
        }
    }
}
