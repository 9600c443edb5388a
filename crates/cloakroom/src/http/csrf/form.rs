//! Finding the token in a submitted form, without taking the form apart for anybody else.

use super::token::TOKEN_LEN;

/// Bytes of a body that are looked at. The token is a hidden field and stands first, or early; what comes later than this
/// is better sent in the header.
pub(crate) const MAX_FORM_BYTES: usize = 64 * 1024;

/// The value of a field, as far as a token can go; longer values are no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FieldValue {
    bytes: [u8; TOKEN_LEN],
    len: usize,
}

impl FieldValue {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The first field called `name` in an `application/x-www-form-urlencoded` body, percent-decoded.
///
/// `None` where there is none within the first [`MAX_FORM_BYTES`], or where it is too long for a token. Allocates nothing.
pub(crate) fn find(body: &[u8], name: &str) -> Option<FieldValue> {
    let looked_at = body.get(..MAX_FORM_BYTES).unwrap_or(body);
    let cut = looked_at.len() < body.len();
    let mut fields = looked_at.split(|b| *b == b'&').peekable();
    while let Some(field) = fields.next() {
        // The last one may have been cut in the middle: half a token is none.
        if cut && fields.peek().is_none() {
            return None;
        }
        let (key, value) = match memchr::memchr(b'=', field) {
            Some(at) => (field.get(..at)?, field.get(at + 1..)?),
            None => (field, &[][..]),
        };
        if decoded(key).eq(name.bytes()) {
            return collect(value);
        }
    }
    None
}

fn collect(value: &[u8]) -> Option<FieldValue> {
    let mut found = FieldValue { bytes: [0; TOKEN_LEN], len: 0 };
    for byte in decoded(value) {
        *found.bytes.get_mut(found.len)? = byte;
        found.len += 1;
    }
    Some(found)
}

/// `+` is a space, `%41` is `A`; a `%` that is not followed by two digits stands for itself, as browsers' parsers have it.
fn decoded(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (byte, next) = match rest {
            [] => return None,
            [b'+', next @ ..] => (b' ', next),
            [b'%', high, low, next @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, next),
                _ => (b'%', rest.get(1..)?),
            },
            [byte, next @ ..] => (*byte, next),
        };
        rest = next;
        Some(byte)
    })
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
