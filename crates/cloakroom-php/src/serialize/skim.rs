//! Looking through `serialize()` text.

use super::cursor::Cursor;
use crate::error::DecodeError;
use crate::skim::{Elements, Skim};
use crate::value::{Key, Span};

/// Text, as far as it was not looked through yet.
pub(crate) struct TextSkim<'b> {
    input: &'b [u8],
    rest: &'b [u8],
}

impl<'b> TextSkim<'b> {
    pub(crate) const fn new(input: &'b [u8]) -> Self {
        Self { input, rest: input }
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// What a session's own format reads, as text.
    pub(crate) fn name(
        &mut self,
        read: impl FnOnce(&mut Cursor<'b>) -> Result<Span, DecodeError>,
    ) -> Option<&'b [u8]> {
        let mut cursor = Cursor::new(self.rest);
        let name = read(&mut cursor).ok()?;
        self.rest = cursor.rest();
        Some(cursor.text(name))
    }

    /// A key of an array, as PHP takes it.
    pub(crate) fn array_key(&mut self) -> Option<Key<'b>> {
        let mut cursor = Cursor { input: self.rest, at: 2 };
        let key = match self.rest {
            [b's', b':', ..] => {
                let text = cursor.string().ok()?;
                Key::from(cursor.text(text))
            }
            [b'i', b':', ..] => Key::Int(cursor.integer().ok()?),
            _ => return None,
        };
        self.rest = cursor.rest();
        Some(key)
    }
}

impl Skim for TextSkim<'_> {
    type Place = usize;

    fn place(&self) -> usize {
        self.input.len() - self.rest.len()
    }

    fn key(&mut self, wanted: Key<'_>) -> Option<bool> {
        self.array_key().map(|key| key == wanted)
    }

    fn array(&mut self) -> Option<Elements> {
        let [b'a', b':', rest @ ..] = self.rest else { return Some(Elements::None) };
        let (count, rest) = count(rest)?;
        self.rest = rest;
        Some(Elements::Of(count))
    }

    fn end(&mut self) -> Option<()> {
        self.rest = self.rest.strip_prefix(b"}")?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.rest = value(self.rest, depth)?;
        Some(())
    }
}

/// What stands behind a value.
fn value(mut rest: &[u8], depth: usize) -> Option<&[u8]> {
    // How many elements are left of the innermost array or object, and of each that is around it.
    let mut left: u32 = 0;
    let mut around: Vec<u32> = Vec::new();
    loop {
        rest = match rest {
            [b's', ..] => string(rest)?,
            [b'i', ..] => integer(rest)?,
            [kind @ (b'a' | b'O'), b':', inner @ ..] => {
                let inner =
                    if *kind == b'O' { read(inner, Cursor::class)?.strip_prefix(b":")? } else { inner };
                let (count, inner) = count(inner)?;
                if around.len() == depth {
                    return None;
                }
                around.push(left);
                left = count;
                inner
            }
            [b'd', b':', digits @ ..] => double(digits)?,
            [b'b', b':', b'0' | b'1', b';', behind @ ..] | [b'N', b';', behind @ ..] => behind,
            [b'E', b':', case @ ..] => read(case, Cursor::case)?,
            _ => return None,
        };
        while left == 0 {
            let Some(outer) = around.pop() else { return Some(rest) };
            rest = rest.strip_prefix(b"}")?;
            left = outer;
        }
        left -= 1;
        rest = match rest {
            [b's', ..] => string(rest)?,
            [b'i', ..] => integer(rest)?,
            _ => return None,
        };
    }
}

/// What stands behind something that a reader's cursor reads here.
fn read<'b, T>(
    rest: &'b [u8],
    read: impl FnOnce(&mut Cursor<'b>) -> Result<T, DecodeError>,
) -> Option<&'b [u8]> {
    let mut cursor = Cursor::new(rest);
    read(&mut cursor).ok()?;
    Some(cursor.rest())
}

/// `N:{`
#[inline(always)]
fn count(rest: &[u8]) -> Option<(u32, &[u8])> {
    if let [digit @ b'0'..=b'9', b':', b'{', rest @ ..] = rest {
        return Some((u32::from(digit - b'0'), rest));
    }
    let mut cursor = Cursor::new(rest);
    let count = cursor.count().ok()?;
    Some((count, cursor.rest()))
}

/// What stands behind a string.
#[inline(always)]
fn string(rest: &[u8]) -> Option<&[u8]> {
    const ONE: u64 = u64::from_le_bytes(*b"s:\0:\"\0\0\0");
    const TWO: u64 = u64::from_le_bytes(*b"s:\0\0:\"\0\0");
    let digit = |word: u64, at: u32| u64::from(((word >> (8 * at)) as u8).wrapping_sub(b'0'));
    if let Some(word) = rest.first_chunk() {
        let word = u64::from_le_bytes(*word);
        let (ones, tens) = (digit(word, 2), digit(word, 3));
        let end = if word & 0xff_ff00_ffff == ONE && ones < 10 {
            5 + ones
        } else if word & 0xffff_0000_ffff == TWO && ones < 10 && tens < 10 {
            6 + 10 * ones + tens
        } else {
            return long_string(rest);
        };
        return match rest.get(end as usize..) {
            Some([b'"', b';', behind @ ..]) => Some(behind),
            _ => None,
        };
    }
    long_string(rest)
}

#[cold]
fn long_string(rest: &[u8]) -> Option<&[u8]> {
    read(rest.strip_prefix(b"s:")?, Cursor::string)
}

/// What stands behind an integer.
#[inline(always)]
fn integer(rest: &[u8]) -> Option<&[u8]> {
    if let [b'i', b':', b'0'..=b'9', b';', behind @ ..] = rest {
        return Some(behind);
    }
    let digits = rest.strip_prefix(b"i:")?;
    if let Some(word) = digits.first_chunk() {
        let first = leading_digits(*word);
        // Where there are eight, there may be eight more. So many fit into 64 bits.
        let count = match digits.get(8..).and_then(<[u8]>::first_chunk) {
            Some(word) if first == 8 => 8 + leading_digits(*word),
            _ => first,
        };
        if let Some([b';', behind @ ..]) = digits.get(count..)
            && count > 0
        {
            return Some(behind);
        }
    }
    read(digits, Cursor::integer)
}

/// How many of eight bytes are digits before one is none.
#[inline(always)]
const fn leading_digits(bytes: [u8; 8]) -> usize {
    let value = u64::from_le_bytes(bytes) ^ u64::from_le_bytes([b'0'; 8]);
    // The highest bit of a byte is set where it is more than 9. What overflows spoils only bytes that come after such a one.
    let more = value.wrapping_add(u64::from_le_bytes([0x76; 8])) | value;
    ((more & u64::from_le_bytes([0x80; 8])).trailing_zeros() / 8) as usize
}

/// What stands behind a double, after its `d:`
fn double(rest: &[u8]) -> Option<&[u8]> {
    let (mut digits, mut points) = (0, 0);
    for (at, byte) in rest.iter().enumerate().take(16) {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'.' if points == 0 => points = 1,
            b';' if digits > 0 => return rest.get(at + 1..),
            _ => break,
        }
    }
    read(rest, Cursor::double)
}

#[cfg(test)]
mod tests {
    use super::leading_digits;

    #[test]
    fn digits_are_counted_up_to_what_is_none() {
        for at in 0..8 {
            for byte in 0..=255_u8 {
                for behind in [b'0', b'/', b':', 0, 0xff] {
                    let mut bytes = [behind; 8];
                    bytes[..at].copy_from_slice(&b"01234567"[..at]);
                    bytes[at] = byte;
                    let count = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(8);
                    assert_eq!(leading_digits(bytes), count, "{}", bytes.escape_ascii());
                }
            }
        }
    }
}
