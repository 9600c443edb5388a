//! The `php` format: `name|value`, again and again.
//!
//! <https://www.php.net/manual/en/session.configuration.php#ini.session.serialize-handler>

use crate::error::{DecodeError, DecodeErrorKind as Wrong};
use crate::serialize::Cursor;
use crate::value::Span;

/// A name up to the first `|`.
pub(super) fn name(cursor: &mut Cursor<'_>) -> Result<Span, DecodeError> {
    let Some(len) = memchr::memchr(b'|', cursor.rest()) else {
        return cursor.wrong(Wrong::Expected("a name that ends in |"));
    };
    let span = cursor.raw(len)?;
    cursor.expect(b'|', "|")?;
    Ok(span)
}

/// Why the format cannot carry a variable of this name.
pub(super) fn refusal(name: &[u8]) -> Option<&'static str> {
    if memchr::memchr(b'|', name).is_some() {
        Some("the format ends a name at |; PHP would lose the whole session")
    } else if name.first() == Some(&b'!') {
        Some("a leading ! marks a variable without a value")
    } else {
        super::integer_refusal(name)
    }
}

pub(super) fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    out.extend_from_slice(name);
    out.push(b'|');
}
