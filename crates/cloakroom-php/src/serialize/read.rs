//! Reading `serialize()` text: strictly, without recursion, one pass.

use super::float;
use crate::error::{DecodeError, DecodeErrorKind as Wrong, Excess};
use crate::value::{Body, Builder, CellId, Name, Node, Span};

/// How often Serializable data may hold Serializable data whose values count.
const OPAQUE_DEPTH: u32 = 16;

/// A place where a value is referred to by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackReference {
    /// Where the digits of the number are.
    pub(crate) digits: Span,
    pub(crate) target: u32,
    /// `R:`, which makes both places one PHP reference, or `r:`, which means the same object.
    pub(crate) is_reference: bool,
}

pub(crate) struct Reader<'b> {
    input: &'b [u8],
    at: usize,
    /// Where the values end that are being read: inside of opaque data this is earlier than the input's end.
    end: usize,
    /// The number of the value that was read last. `R:` and `r:` count values so, in the order in which they begin.
    pub(crate) slot: u32,
    /// The cell of each number, where every value has one.
    slots: Vec<CellId>,
    opaque: u32,
    /// Set where a back reference turned up and values have no cells: it is all to be read again, with cells.
    pub(crate) wants_cells: bool,
    pub(crate) back_references: Vec<BackReference>,
    /// Whether there is `Serializable` data.
    pub(crate) has_opaque: bool,
    /// Whether such data may hold back references of its own.
    pub(crate) opaque_refers: bool,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(input: &'b [u8]) -> Self {
        Self {
            input,
            at: 0,
            end: input.len(),
            slot: 0,
            slots: Vec::new(),
            opaque: 0,
            wants_cells: false,
            back_references: Vec::new(),
            has_opaque: false,
            opaque_refers: false,
        }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    pub(crate) const fn wrong<T>(&self, kind: Wrong) -> Result<T, DecodeError> {
        Err(DecodeError::new(kind, self.at))
    }

    pub(crate) fn excess(&self, excess: Excess) -> DecodeError {
        DecodeError::new(excess.into(), self.at)
    }

    #[inline(always)]
    pub(crate) fn text(&self, span: Span) -> &'b [u8] {
        self.input.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default()
    }

    #[inline]
    pub(super) fn rest(&self) -> &'b [u8] {
        self.input.get(self.at..self.end).unwrap_or_default()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        match self.rest().first() {
            Some(byte) => {
                self.at += 1;
                Ok(*byte)
            }
            None => self.wrong(Wrong::End),
        }
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), DecodeError> {
        match self.rest().first() {
            Some(found) if *found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => self.wrong(Wrong::Expected(what)),
            None => self.wrong(Wrong::End),
        }
    }

    /// So many bytes as they are.
    pub(crate) fn raw(&mut self, len: usize) -> Result<Span, DecodeError> {
        if len > self.end - self.at {
            return self.wrong(Wrong::Length);
        }
        let span = Span { at: self.at as u32, len: len as u32 };
        self.at += len;
        Ok(span)
    }

    /// Digits up to a byte that ends them.
    #[inline]
    fn unsigned(&mut self, end: u8, what: &'static str) -> Result<u64, DecodeError> {
        let mut n: u64 = 0;
        let start = self.at;
        for byte in self.rest() {
            match byte {
                b'0'..=b'9' => match n.checked_mul(10).and_then(|n| n.checked_add(u64::from(byte - b'0'))) {
                    Some(next) => n = next,
                    None => return self.wrong(Wrong::Length),
                },
                byte if *byte == end && self.at > start => {
                    self.at += 1;
                    return Ok(n);
                }
                _ => return self.wrong(Wrong::Expected(what)),
            }
            self.at += 1;
        }
        self.wrong(Wrong::End)
    }

    #[inline]
    pub(super) fn integer(&mut self) -> Result<i64, DecodeError> {
        let negative = match self.rest().first() {
            Some(sign @ (b'-' | b'+')) => {
                self.at += 1;
                *sign == b'-'
            }
            _ => false,
        };
        let start = self.at;
        let mut n: i64 = 0;
        for byte in self.rest() {
            match byte {
                b'0'..=b'9' => {
                    // Counted downwards, because there is one negative number more.
                    match n.checked_mul(10).and_then(|n| n.checked_sub(i64::from(byte - b'0'))) {
                        Some(next) => n = next,
                        None => return self.wrong(Wrong::Integer),
                    }
                }
                b';' if self.at > start => {
                    let n = if negative { Some(n) } else { n.checked_neg() };
                    let Some(n) = n else { return self.wrong(Wrong::Integer) };
                    self.at += 1;
                    return Ok(n);
                }
                _ => return self.wrong(Wrong::Expected("an integer")),
            }
            self.at += 1;
        }
        self.wrong(Wrong::End)
    }

    /// `LEN:"bytes"`
    #[inline]
    fn quoted(&mut self) -> Result<Span, DecodeError> {
        let len = self.unsigned(b':', "a length")?;
        self.expect(b'"', "a quote")?;
        let span = self.raw(usize::try_from(len).unwrap_or(usize::MAX))?;
        self.expect(b'"', "a quote where the length ends")?;
        Ok(span)
    }

    /// A string after its `s:`
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Span, DecodeError> {
        let span = self.quoted()?;
        self.expect(b';', "a semicolon")?;
        Ok(span)
    }

    /// `LEN:"a\62c";`, which PHP reads and does not write: LEN counts what the escapes stand for.
    fn escaped(&mut self, b: &mut Builder<'_>) -> Result<Span, DecodeError> {
        let len = self.unsigned(b':', "a length")?;
        self.expect(b'"', "a quote")?;
        if len > (self.end - self.at) as u64 {
            return self.wrong(Wrong::Length);
        }
        let mut text = Vec::new();
        for _ in 0..len {
            let mut byte = self.byte()?;
            if byte == b'\\' {
                byte = 0;
                for _ in 0..2 {
                    let digit = (self.byte()? as char).to_digit(16);
                    let Some(digit) = digit else {
                        return self.wrong(Wrong::Expected("a hexadecimal digit"));
                    };
                    byte = byte << 4 | digit as u8;
                }
            }
            text.push(byte);
        }
        self.expect(b'"', "a quote where the length ends")?;
        self.expect(b';', "a semicolon")?;
        b.text(&text).map_err(|excess| self.excess(excess))
    }

    /// `N:{`
    pub(crate) fn count(&mut self) -> Result<u32, DecodeError> {
        let count = self.unsigned(b':', "a number of elements")?;
        // The shortest element is `i:0;N;`.
        if count > ((self.end - self.at) / 6) as u64 {
            return self.wrong(Wrong::Count);
        }
        self.expect(b'{', "an opening brace")?;
        Ok(count as u32)
    }

    /// A short string as most are, with its tag. `None`, and nothing is taken, for the others.
    #[inline(always)]
    pub(super) fn quick_string(&mut self, rest: &[u8]) -> Option<Span> {
        let digit = |byte: u8| usize::from(byte - b'0');
        let (start, len) = match *rest {
            [b's', b':', a @ b'0'..=b'9', b':', b'"', ..] => (5, digit(a)),
            [b's', b':', a @ b'0'..=b'9', b @ b'0'..=b'9', b':', b'"', ..] => (6, 10 * digit(a) + digit(b)),
            _ => return None,
        };
        if rest.get(start + len..)?.first_chunk() != Some(b"\";") {
            return None;
        }
        let span = Span { at: (self.at + start) as u32, len: len as u32 };
        self.at += start + len + 2;
        Some(span)
    }

    /// The same for an integer without a sign.
    #[inline(always)]
    pub(super) fn quick_integer(&mut self, rest: &[u8]) -> Option<i64> {
        let [b'i', b':', digits @ ..] = rest else { return None };
        let mut n = 0;
        for (count, byte) in digits.iter().take(12).enumerate() {
            match byte {
                b'0'..=b'9' => n = 10 * n + i64::from(byte - b'0'),
                b';' if count > 0 => {
                    self.at += 3 + count;
                    return Some(n);
                }
                _ => return None,
            }
        }
        None
    }

    /// A key, which becomes the name of the next value.
    #[inline(always)]
    pub(crate) fn key(&mut self, b: &mut Builder<'_>) -> Result<Name, DecodeError> {
        let rest = self.rest();
        let quick = match rest.first() {
            Some(b's') => self.quick_string(rest).map(|span| {
                let text = rest.get(span.at as usize + rest.len() - self.end..).unwrap_or_default();
                // What does not begin like an integer is none.
                match text.first() {
                    Some(b'-' | b'0'..=b'9') if !b.in_object() => b.array_name(span),
                    _ => Name::Str(span),
                }
            }),
            Some(b'i') => self.quick_integer(rest).map(Name::Int),
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
        let tag = self.byte()?;
        if tag != b'i' && tag != b's' && tag != b'S' {
            self.at -= 1;
            return self.wrong(Wrong::Expected("a key"));
        }
        self.expect(b':', "a colon")?;
        let name = match tag {
            b'i' => Name::Int(self.integer()?),
            tag => {
                let span = if tag == b's' { self.string()? } else { self.escaped(b)? };
                if b.in_object() { Name::Str(span) } else { b.array_name(span) }
            }
        };
        b.name(name);
        Ok(name)
    }

    /// The beginning of the array that is the whole session.
    pub(crate) fn root(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        self.expect(b'a', "an array")?;
        self.expect(b':', "a colon")?;
        self.begin_array(b)
    }

    fn begin_array(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let count = self.count()?;
        let array = b.new_array().map_err(|excess| self.excess(excess))?;
        self.put(b, Node::Array(array))?;
        b.enter_array(array, count).map_err(|excess| self.excess(excess))
    }

    /// One value, with everything in it.
    pub(crate) fn value(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let floor = b.depth();
        loop {
            match self.quick_value() {
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
                self.expect(b'}', "a closing brace")?;
                b.end();
            }
            self.key(b)?;
        }
    }

    /// A value as most are. `None`, and nothing is taken, for the others.
    #[inline(always)]
    pub(super) fn quick_value(&mut self) -> Option<Node> {
        let rest = self.rest();
        match rest {
            [b's', ..] => self.quick_string(rest).map(Node::Str),
            [b'i', ..] => self.quick_integer(rest).map(Node::Int),
            [b'b', b':', bit @ (b'0' | b'1'), b';', ..] => {
                self.at += 4;
                Some(Node::Bool(*bit == b'1'))
            }
            _ => None,
        }
    }

    #[inline(always)]
    fn put(&mut self, b: &mut Builder<'_>, node: Node) -> Result<(), DecodeError> {
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
        let start = self.at;
        let tag = self.byte()?;
        if tag == b'N' {
            self.expect(b';', "a semicolon")?;
            return self.put(b, Node::Null);
        }
        if !matches!(tag, b'b' | b'i' | b'd' | b's' | b'S' | b'a' | b'O' | b'C' | b'E' | b'r' | b'R') {
            self.at = start;
            return self.wrong(Wrong::Expected("a value"));
        }
        self.expect(b':', "a colon")?;
        match tag {
            b's' => {
                let span = self.string()?;
                self.put(b, Node::Str(span))
            }
            b'i' => {
                let n = self.integer()?;
                self.put(b, Node::Int(n))
            }
            b'a' => self.begin_array(b),
            b'b' => {
                let byte = self.byte()?;
                if byte != b'0' && byte != b'1' {
                    self.at -= 1;
                    return self.wrong(Wrong::Expected("0 or 1"));
                }
                self.expect(b';', "a semicolon")?;
                self.put(b, Node::Bool(byte == b'1'))
            }
            b'd' => {
                // No double that anyone writes is longer; a text without an end is not searched to its end again and again.
                let Some(len) = memchr::memchr(b';', self.rest()) else { return self.wrong(Wrong::End) };
                let text = self.rest().get(..len).unwrap_or_default();
                let Some(float) = float::read(text) else { return self.wrong(Wrong::Expected("a double")) };
                self.at += len + 1;
                self.put(b, Node::Float(float.to_bits()))
            }
            b'S' => {
                let span = self.escaped(b)?;
                self.put(b, Node::Str(span))
            }
            b'O' => {
                let class = self.class()?;
                self.expect(b':', "a colon")?;
                let count = self.count()?;
                let object = b
                    .new_object(class, Body::Properties(crate::value::Run::default()))
                    .map_err(|excess| self.excess(excess))?;
                self.put(b, Node::Object(object))?;
                b.enter_object(object, count).map_err(|excess| self.excess(excess))
            }
            b'C' => self.opaque(b),
            b'E' => {
                let start = self.at;
                let span = self.quoted()?;
                self.expect(b';', "a semicolon")?;
                let text =
                    self.input.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default();
                let Some(colon) = memchr::memchr(b':', text) else {
                    self.at = start;
                    return self.wrong(Wrong::Expected("a class and a case"));
                };
                let (class, case) = (colon as u32, span.len - colon as u32 - 1);
                let class = Span { at: span.at, len: class };
                let case = Span { at: class.at + class.len + 1, len: case };
                let object = b.new_object(class, Body::Case(case)).map_err(|excess| self.excess(excess))?;
                self.put(b, Node::Object(object))
            }
            tag => self.back_reference(b, tag == b'R'),
        }
    }

    /// A class's name in quotes.
    fn class(&mut self) -> Result<Span, DecodeError> {
        let start = self.at;
        let span = self.quoted()?;
        let name = self.input.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default();
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\\' | 0x7f..);
        if name.is_empty() || !name.iter().all(good) {
            self.at = start;
            return self.wrong(Wrong::ClassName);
        }
        Ok(span)
    }

    /// `Serializable` data. A call of `serialize()` inside of it goes on counting: where the data is made of serialized values
    /// altogether, they have numbers too.
    fn opaque(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let class = self.class()?;
        self.expect(b':', "a colon")?;
        let len = self.unsigned(b':', "a length")?;
        self.expect(b'{', "an opening brace")?;
        let data = self.raw(usize::try_from(len).unwrap_or(usize::MAX))?;
        self.has_opaque = true;
        let bytes = self.input.get(data.at as usize..self.at).unwrap_or_default();
        let refers = |tag: &[u8]| memchr::memmem::find(bytes, tag).is_some();
        self.opaque_refers |= refers(b"r:") || refers(b"R:");
        let object = b.new_object(class, Body::Data(data, None)).map_err(|excess| self.excess(excess))?;
        self.put(b, Node::Object(object))?;
        if b.wraps() {
            let inner = self.inner(b, data)?;
            b.set_body(object, Body::Data(data, inner));
        }
        self.expect(b'}', "a closing brace")
    }

    fn inner(
        &mut self,
        b: &mut Builder<'_>,
        data: Span,
    ) -> Result<Option<crate::value::ArrayId>, DecodeError> {
        if self.opaque >= OPAQUE_DEPTH {
            return self.wrong(Wrong::Depth(OPAQUE_DEPTH as usize));
        }
        let (at, end, slot, references) = (self.at, self.end, self.slot, self.back_references.len());
        let mark = b.mark();
        self.at = data.at as usize;
        self.end = at;
        self.opaque += 1;
        let mut read = || {
            let list = b.new_array().map_err(|excess| self.excess(excess))?;
            b.enter_array(list, 0).map_err(|excess| self.excess(excess))?;
            let mut n = 0;
            while !self.is_at_end() {
                b.name(Name::Int(n));
                n += 1;
                self.value(b)?;
            }
            b.end();
            Ok::<_, DecodeError>(Some(list).filter(|_| n > 0))
        };
        let list = read();
        self.opaque -= 1;
        (self.at, self.end) = (at, end);
        match list {
            Ok(list) => Ok(list),
            Err(error) if matches!(error.kind(), Wrong::Memory(_) | Wrong::Depth(_)) => Err(error),
            Err(_) => {
                b.back_to(&mark);
                self.slot = slot;
                self.slots.truncate(slot as usize);
                self.back_references.truncate(references);
                Ok(None)
            }
        }
    }

    fn back_reference(&mut self, b: &mut Builder<'_>, is_reference: bool) -> Result<(), DecodeError> {
        let start = self.at;
        let target = self.unsigned(b';', "a number")?;
        if !b.wraps() {
            self.wants_cells = true;
            return self.wrong(Wrong::BackReference);
        }
        let cell = usize::try_from(target)
            .ok()
            .and_then(|target| target.checked_sub(1))
            .and_then(|index| self.slots.get(index).copied());
        let Some(cell) = cell else {
            self.at = start;
            return self.wrong(Wrong::BackReference);
        };
        if self.opaque == 0 {
            let digits = Span { at: start as u32, len: (self.at - 1 - start) as u32 };
            self.back_references.push(BackReference { digits, target: target as u32, is_reference });
        }
        if is_reference {
            b.refer(cell);
            b.place(Node::Ref(cell)).map_err(|excess| self.excess(excess))
        } else if let object @ Node::Object(_) = b.cell(cell) {
            self.put(b, object)
        } else {
            self.at = start;
            self.wrong(Wrong::BackReference)
        }
    }
}
