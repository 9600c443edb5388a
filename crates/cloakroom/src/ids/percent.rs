//! The encoding that PHP gives the values of its cookies.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Decodes what PHP encodes in a cookie; `None` for an escape that is none.
pub(super) fn decode(value: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !value.contains(&b'%') {
        return Some(Cow::Borrowed(value));
    }
    let mut text = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [byte, after @ ..] = rest {
        if *byte == b'%' {
            let [high, low, after @ ..] = after else { return None };
            text.push(digit(*high)? << 4 | digit(*low)?);
            rest = after;
        } else {
            text.push(*byte);
            rest = after;
        }
    }
    Some(Cow::Owned(text))
}

/// A hexadecimal digit (`u8::from_str_radix` would take a sign for the first of two).
fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Encodes what is not unreserved in an address (RFC 3986 §2.3), as PHP's `rawurlencode` does.
pub(super) fn encode(value: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if value.bytes().all(is_plain) {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len() + 16);
    for byte in value.bytes() {
        if is_plain(byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a `String` does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_what_is_no_escape_is_refused() {
        for plain in ["", "abc-_.~09", "a,b", "eyJpdiI6+/==", "ä %"] {
            assert_eq!(decode(encode(plain).as_bytes()).as_deref(), Some(plain.as_bytes()), "{plain}");
        }
        assert_eq!(encode("a+/=,"), "a%2B%2F%3D%2C");
        assert_eq!(decode(b"%2c%2C").as_deref(), Some(&b",,"[..]));
        for wrong in ["%", "%2", "a%zz", "%\u{e4}", "%+f", "%-0", "% 1", "%2+"] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
