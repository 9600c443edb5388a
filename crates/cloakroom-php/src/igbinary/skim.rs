//! Looking through igbinary.

use super::cursor::Cursor;
use super::tag;
use crate::error::DecodeError;
use crate::skim::{Elements, Skim};
use crate::value::{Key, Span};

/// A payload, as far as it was not looked through yet.
pub(super) struct IgbinarySkim<'b> {
    input: &'b [u8],
    rest: &'b [u8],
    pub(super) strings: Vec<Span>,
}

/// Where something stands, and how many strings there were before it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) strings: usize,
}

impl<'b> IgbinarySkim<'b> {
    pub(super) fn after_header(input: &'b [u8]) -> Option<Self> {
        let cursor = Cursor::after_header(input).ok()?;
        Some(Self { input, rest: cursor.rest(), strings: Vec::with_capacity((input.len() / 16).min(1024)) })
    }

    pub(super) const fn is_array(&self) -> bool {
        matches!(self.rest, [tag::ARRAY..tag::OBJECT, ..])
    }

    /// A string by its number or its length.
    fn string(&mut self) -> Option<&'b [u8]> {
        let before = self.strings.len();
        let tag = *self.rest.first()?;
        let number = match tag {
            tag::EMPTY => None,
            tag::STRING_ID..tag::STRING => {
                let (number, _) = read(self.rest, |cursor| cursor.number(1 << (tag - tag::STRING_ID)))?;
                Some(usize::try_from(number).ok()?)
            }
            _ => Some(before),
        };
        self.rest = string(self.input, self.rest, &mut self.strings)?;
        let Some(number) = number else { return Some(b"") };
        let span = self.strings.get(number)?;
        self.input.get(span.at as usize..(span.at + span.len) as usize)
    }
}

impl Skim for IgbinarySkim<'_> {
    type Place = Place;

    fn place(&self) -> Place {
        Place { at: self.input.len() - self.rest.len(), strings: self.strings.len() }
    }

    fn key(&mut self, wanted: Key<'_>) -> Option<bool> {
        let tag = *self.rest.first()?;
        let mut cursor = Cursor { input: self.rest, at: 1 };
        if let Some(n) = cursor.integer(tag).ok()? {
            self.rest = cursor.rest();
            return Some(wanted == Key::Int(n));
        }
        // Text that looks like an integer stays text here.
        self.string().map(|text| wanted == Key::Bytes(text))
    }

    fn array(&mut self) -> Option<Elements> {
        let mut rest = self.rest;
        while let [tag::REFERENCE, inner @ ..] = rest {
            rest = inner;
        }
        let Some((tag @ tag::ARRAY..tag::OBJECT, _)) = rest.split_first() else {
            return Some(Elements::None);
        };
        let (count, rest) = count(rest, *tag)?;
        self.rest = rest;
        Some(Elements::Of(count))
    }

    fn end(&mut self) -> Option<()> {
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.rest = value(self.input, self.rest, &mut self.strings, depth)?;
        Some(())
    }
}

/// What stands behind a value.
fn value<'b>(input: &'b [u8], mut rest: &'b [u8], strings: &mut Vec<Span>, depth: usize) -> Option<&'b [u8]> {
    // How many elements are left of the innermost array or object, and of each that is around it.
    let mut left: u32 = 0;
    let mut around: Vec<u32> = Vec::new();
    loop {
        rest = match rest {
            [tag::STRING_ID, number, behind @ ..] if usize::from(*number) < strings.len() => behind,
            [tag::INT, _, behind @ ..]
            | [tag::NULL | tag::FALSE | tag::TRUE, behind @ ..]
            | [tag::FLOAT, _, _, _, _, _, _, _, _, behind @ ..] => behind,
            [tag::EMPTY..tag::ARRAY | tag::STRING64, ..] => string(input, rest, strings)?,
            [tag @ tag::ARRAY..tag::OBJECT, ..] => {
                let (count, inner) = count(rest, *tag)?;
                if around.len() == depth {
                    return None;
                }
                around.push(left);
                left = count;
                inner
            }
            // It belongs to the value that comes next.
            [tag::REFERENCE, behind @ ..] => {
                rest = behind;
                continue;
            }
            [tag @ tag::OBJECT..tag::DATA, ..] => {
                let content = class(input, rest, *tag, strings)?;
                if let [tag::ARRAY..tag::OBJECT, ..] = content {
                    rest = content;
                    continue;
                }
                opaque(input, content, strings)?
            }
            _ => integer(rest)?,
        };
        loop {
            while left == 0 {
                match around.pop() {
                    Some(outer) => left = outer,
                    None => return Some(rest),
                }
            }
            left -= 1;
            rest = match rest {
                [tag::STRING_ID, number, behind @ ..] if usize::from(*number) < strings.len() => behind,
                [tag::INT, _, behind @ ..] => behind,
                // An element that has neither key nor value.
                [tag::NULL, behind @ ..] => {
                    rest = behind;
                    continue;
                }
                [tag::EMPTY..tag::ARRAY | tag::STRING64, ..] => string(input, rest, strings)?,
                _ => integer(rest)?,
            };
            break;
        }
    }
}

/// What a reader's cursor reads here behind a tag, and what stands behind that.
fn read<'b, T>(
    rest: &'b [u8],
    read: impl FnOnce(&mut Cursor<'b>) -> Result<T, DecodeError>,
) -> Option<(T, &'b [u8])> {
    let mut cursor = Cursor { input: rest, at: 1 };
    let taken = read(&mut cursor).ok()?;
    Some((taken, cursor.rest()))
}

fn integer(rest: &[u8]) -> Option<&[u8]> {
    let (n, behind) = read(rest, |cursor| cursor.integer(*rest.first().unwrap_or(&tag::NULL)))?;
    n.map(|_| behind)
}

/// How many elements an array has.
#[inline(always)]
fn count(rest: &[u8], tag: u8) -> Option<(u32, &[u8])> {
    match rest {
        [tag::ARRAY, count, behind @ ..] => Some((u32::from(*count), behind)),
        _ => read(rest, |cursor| cursor.count(1 << (tag - tag::ARRAY))),
    }
}

/// What stands behind a string, which takes the next number unless it is told by one.
#[inline(always)]
fn string<'b>(input: &'b [u8], rest: &'b [u8], strings: &mut Vec<Span>) -> Option<&'b [u8]> {
    match rest {
        [tag::STRING, len, text @ ..] => {
            strings.push(Span { at: (input.len() - text.len()) as u32, len: u32::from(*len) });
            text.get(usize::from(*len)..)
        }
        [tag::EMPTY, behind @ ..] => Some(behind),
        [tag @ tag::STRING_ID..tag::STRING, ..] => {
            let (number, behind) = read(rest, |cursor| cursor.number(1 << (tag - tag::STRING_ID)))?;
            (number < strings.len() as u64).then_some(behind)
        }
        [tag @ tag::STRING..tag::ARRAY, ..] => literal(input, rest, 1 << (tag - tag::STRING), strings),
        [tag::STRING64, ..] => literal(input, rest, 8, strings),
        _ => None,
    }
}

/// What stands behind a text whose length is so wide.
fn literal<'b>(input: &'b [u8], rest: &'b [u8], width: usize, strings: &mut Vec<Span>) -> Option<&'b [u8]> {
    let (len, text) = read(rest, |cursor| cursor.number(width))?;
    let behind = text.get(usize::try_from(len).ok()?..)?;
    strings.push(Span { at: (input.len() - text.len()) as u32, len: (text.len() - behind.len()) as u32 });
    Some(behind)
}

/// What stands behind the name of an object's class.
fn class<'b>(input: &'b [u8], rest: &'b [u8], tag: u8, strings: &mut Vec<Span>) -> Option<&'b [u8]> {
    if tag < tag::OBJECT_ID {
        return literal(input, rest, 1 << (tag - tag::OBJECT), strings);
    }
    let (number, behind) = read(rest, |cursor| cursor.number(1 << (tag - tag::OBJECT_ID)))?;
    (number < strings.len() as u64).then_some(behind)
}

/// What stands behind `Serializable` data, or behind the case of an enum.
fn opaque<'b>(input: &'b [u8], rest: &'b [u8], strings: &mut Vec<Span>) -> Option<&'b [u8]> {
    match rest {
        [tag @ tag::DATA..tag::INT64, ..] => {
            let (len, data) = read(rest, |cursor| cursor.number(1 << (tag - tag::DATA)))?;
            data.get(usize::try_from(len).ok()?..)
        }
        [tag::ENUM, case @ ..] => string(input, case, strings),
        _ => None,
    }
}
