//! The words of `serialize()` text, read strictly: numbers, quoted strings, names of classes. What they make together is for others to know.

use super::float;
use crate::error::{DecodeError, DecodeErrorKind as Wrong};
use crate::value::{Node, Span};

/// A place in a text, and what stands behind it.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'b> {
    /// As far as it is read: inside of opaque data no further than that goes.
    pub(super) input: &'b [u8],
    pub(super) at: usize,
}

impl<'b> Cursor<'b> {
    pub(crate) const fn new(input: &'b [u8]) -> Self {
        Self { input, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.at >= self.input.len()
    }

    pub(crate) const fn wrong<T>(&self, kind: Wrong) -> Result<T, DecodeError> {
        Err(DecodeError::new(kind, self.at))
    }

    /// The same, seen at an earlier place.
    pub(super) const fn wrong_at<T>(&mut self, at: usize, kind: Wrong) -> Result<T, DecodeError> {
        self.at = at;
        self.wrong(kind)
    }

    #[inline(always)]
    pub(crate) fn text(&self, span: Span) -> &'b [u8] {
        self.input.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default()
    }

    #[inline(always)]
    pub(crate) fn rest(&self) -> &'b [u8] {
        self.input.get(self.at..).unwrap_or_default()
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
        if len > self.input.len() - self.at {
            return self.wrong(Wrong::Length);
        }
        let span = Span { at: self.at as u32, len: len as u32 };
        self.at += len;
        Ok(span)
    }

    /// Digits up to a byte that ends them.
    #[inline]
    pub(super) fn unsigned(&mut self, end: u8, what: &'static str) -> Result<u64, DecodeError> {
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
    pub(super) fn quoted(&mut self) -> Result<Span, DecodeError> {
        let len = self.unsigned(b':', "a length")?;
        self.expect(b'"', "a quote")?;
        let span = self.raw(usize::try_from(len).unwrap_or(usize::MAX))?;
        self.expect(b'"', "a quote where the length ends")?;
        Ok(span)
    }

    /// A string after its `s:`
    #[inline]
    pub(super) fn string(&mut self) -> Result<Span, DecodeError> {
        let span = self.quoted()?;
        self.expect(b';', "a semicolon")?;
        Ok(span)
    }

    /// `LEN:"a\62c";`, which PHP reads and does not write: LEN counts what the escapes stand for.
    pub(super) fn unescaped(&mut self) -> Result<Vec<u8>, DecodeError> {
        let len = self.unsigned(b':', "a length")?;
        self.expect(b'"', "a quote")?;
        if len > (self.input.len() - self.at) as u64 {
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
        Ok(text)
    }

    /// `N:{`
    pub(super) fn count(&mut self) -> Result<u32, DecodeError> {
        let count = self.unsigned(b':', "a number of elements")?;
        // The shortest element is `i:0;N;`.
        if count > ((self.input.len() - self.at) / 6) as u64 {
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

    /// A double after its `d:`
    pub(super) fn double(&mut self) -> Result<f64, DecodeError> {
        // No double that anyone writes is longer; a text without an end is not searched to its end again and again.
        let Some(len) = memchr::memchr(b';', self.rest()) else { return self.wrong(Wrong::End) };
        let text = self.rest().get(..len).unwrap_or_default();
        let Some(float) = float::read(text) else { return self.wrong(Wrong::Expected("a double")) };
        self.at += len + 1;
        Ok(float)
    }

    /// A boolean after its `b:`
    pub(super) fn boolean(&mut self) -> Result<bool, DecodeError> {
        let byte = self.byte()?;
        if byte != b'0' && byte != b'1' {
            return self.wrong_at(self.at - 1, Wrong::Expected("0 or 1"));
        }
        self.expect(b';', "a semicolon")?;
        Ok(byte == b'1')
    }

    /// A class's name in quotes.
    pub(super) fn class(&mut self) -> Result<Span, DecodeError> {
        let start = self.at;
        let span = self.quoted()?;
        let name = self.text(span);
        let good = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'\\' | 0x7f..);
        if name.is_empty() || !name.iter().all(good) {
            return self.wrong_at(start, Wrong::ClassName);
        }
        Ok(span)
    }

    /// An enum's class and case after their `E:`
    pub(super) fn case(&mut self) -> Result<(Span, Span), DecodeError> {
        let start = self.at;
        let span = self.quoted()?;
        self.expect(b';', "a semicolon")?;
        let Some(colon) = memchr::memchr(b':', self.text(span)) else {
            return self.wrong_at(start, Wrong::Expected("a class and a case"));
        };
        let class = Span { at: span.at, len: colon as u32 };
        Ok((class, Span { at: class.at + class.len + 1, len: span.len - class.len - 1 }))
    }
}
