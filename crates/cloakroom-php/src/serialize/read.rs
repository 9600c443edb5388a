//! Reading `serialize()` text: strictly, without recursion, one pass.

use super::back::BackReference;
use super::cursor::Cursor;
use crate::error::{DecodeError, DecodeErrorKind as Wrong, Excess};
use crate::value::{Body, Builder, CellId, Name, Node, Run};

pub(crate) struct Reader<'b> {
    pub(crate) cursor: Cursor<'b>,
    /// The number of the value that was read last. `R:` and `r:` count values so, in the order in which they begin.
    pub(crate) slot: u32,
    /// The cell of each number, where every value has one.
    pub(super) slots: Vec<CellId>,
    /// How many opaque data this is inside of.
    pub(super) opaque: u32,
    /// Set where a back reference turned up and values have no cells: it is all to be read again, with cells.
    pub(crate) wants_cells: bool,
    pub(crate) back_references: Vec<BackReference>,
    /// Whether there is `Serializable` data.
    pub(crate) has_opaque: bool,
    /// Whether such data may hold back references of its own.
    pub(crate) opaque_refers: bool,
}

impl<'b> Reader<'b> {
    pub(crate) const fn new(input: &'b [u8]) -> Self {
        Self {
            cursor: Cursor::new(input),
            slot: 0,
            slots: Vec::new(),
            opaque: 0,
            wants_cells: false,
            back_references: Vec::new(),
            has_opaque: false,
            opaque_refers: false,
        }
    }

    pub(crate) fn excess(&self, excess: Excess) -> DecodeError {
        DecodeError::new(excess.into(), self.cursor.at())
    }

    fn escaped(&mut self, b: &mut Builder<'_>) -> Result<crate::value::Span, DecodeError> {
        let text = self.cursor.unescaped()?;
        b.text(&text).map_err(|excess| self.excess(excess))
    }

    /// A key, which becomes the name of the next value.
    #[inline(always)]
    pub(crate) fn key(&mut self, b: &mut Builder<'_>) -> Result<Name, DecodeError> {
        let rest = self.cursor.rest();
        let quick = match rest.first() {
            Some(b's') => self.cursor.quick_string(rest).map(|span| {
                // What does not begin like an integer is none.
                match self.cursor.text(span).first() {
                    Some(b'-' | b'0'..=b'9') if !b.in_object() => b.array_name(span),
                    _ => Name::Str(span),
                }
            }),
            Some(b'i') => self.cursor.quick_integer(rest).map(Name::Int),
            _ => None,
        };
        match quick {
            Some(name) => {
                b.name(name);
                Ok(name)
            }
            None => self.any_key(b),
        }
    }

    fn any_key(&mut self, b: &mut Builder<'_>) -> Result<Name, DecodeError> {
        let tag = self.cursor.byte()?;
        if tag != b'i' && tag != b's' && tag != b'S' {
            return self.cursor.wrong_at(self.cursor.at - 1, Wrong::Expected("a key"));
        }
        self.cursor.expect(b':', "a colon")?;
        let name = match tag {
            b'i' => Name::Int(self.cursor.integer()?),
            tag => {
                let span = if tag == b's' { self.cursor.string()? } else { self.escaped(b)? };
                if b.in_object() { Name::Str(span) } else { b.array_name(span) }
            }
        };
        b.name(name);
        Ok(name)
    }

    /// The beginning of the array that is the whole session.
    pub(crate) fn root(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        self.cursor.expect(b'a', "an array")?;
        self.cursor.expect(b':', "a colon")?;
        self.begin_array(b)
    }

    fn begin_array(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let count = self.cursor.count()?;
        let array = b.new_array().map_err(|excess| self.excess(excess))?;
        self.put(b, Node::Array(array))?;
        b.enter_array(array, count).map_err(|excess| self.excess(excess))
    }

    /// One value, with everything in it.
    pub(crate) fn value(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let floor = b.depth();
        loop {
            match self.cursor.quick_value() {
                Some(node) => self.put(b, node)?,
                None => self.begin(b)?,
            }
            loop {
                if b.depth() == floor {
                    return Ok(());
                }
                if b.left() > 0 {
                    break;
                }
                self.cursor.expect(b'}', "a closing brace")?;
                b.end();
            }
            self.key(b)?;
        }
    }

    #[inline(always)]
    pub(super) fn put(&mut self, b: &mut Builder<'_>, node: Node) -> Result<(), DecodeError> {
        self.slot += 1;
        let placed = if b.wraps() {
            b.new_cell(node).and_then(|cell| {
                self.slots.push(cell);
                b.place(Node::Ref(cell))
            })
        } else {
            b.place(node)
        };
        placed.map_err(|excess| self.excess(excess))
    }

    /// One value; of an array or object only the beginning.
    fn begin(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let start = self.cursor.at;
        let tag = self.cursor.byte()?;
        if tag == b'N' {
            self.cursor.expect(b';', "a semicolon")?;
            return self.put(b, Node::Null);
        }
        if !matches!(tag, b'b' | b'i' | b'd' | b's' | b'S' | b'a' | b'O' | b'C' | b'E' | b'r' | b'R') {
            return self.cursor.wrong_at(start, Wrong::Expected("a value"));
        }
        self.cursor.expect(b':', "a colon")?;
        let node = match tag {
            b's' => Node::Str(self.cursor.string()?),
            b'S' => Node::Str(self.escaped(b)?),
            b'i' => Node::Int(self.cursor.integer()?),
            b'b' => Node::Bool(self.cursor.boolean()?),
            b'd' => Node::Float(self.cursor.double()?.to_bits()),
            b'a' => return self.begin_array(b),
            b'O' => {
                let class = self.cursor.class()?;
                self.cursor.expect(b':', "a colon")?;
                let count = self.cursor.count()?;
                let object = b
                    .new_object(class, Body::Properties(Run::default()))
                    .map_err(|excess| self.excess(excess))?;
                self.put(b, Node::Object(object))?;
                return b.enter_object(object, count).map_err(|excess| self.excess(excess));
            }
            b'C' => return self.opaque(b),
            b'E' => {
                let (class, case) = self.cursor.case()?;
                Node::Object(b.new_object(class, Body::Case(case)).map_err(|excess| self.excess(excess))?)
            }
            tag => return self.back_reference(b, tag == b'R'),
        };
        self.put(b, node)
    }
}
