//! The `php_binary` format: the length of the name in a byte, the name, the value, again and again.
//!
//! <https://www.php.net/manual/en/session.configuration.php#ini.session.serialize-handler>

use crate::error::DecodeError;
use crate::serialize::Cursor;
use crate::value::Span;

/// The highest bit once marked a variable without a value; PHP still masks it.
const LENGTH: u8 = 0x7f;

pub(super) fn name(cursor: &mut Cursor<'_>) -> Result<Span, DecodeError> {
    let len = cursor.byte()? & LENGTH;
    cursor.raw(len.into())
}

/// Why the format cannot carry a variable of this name.
pub(super) fn refusal(name: &[u8]) -> Option<&'static str> {
    if name.len() > LENGTH.into() {
        return Some("names are at most 127 bytes long; PHP would drop the variable");
    }
    super::integer_refusal(name)
}

pub(super) fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    out.push(name.len() as u8 & LENGTH);
    out.extend_from_slice(name);
}
