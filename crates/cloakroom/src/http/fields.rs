//! Looking for a header field without hashing its name.
//!
//! A message has a dozen or two fields, and the names that are looked for here are standard ones, which compare as one
//! byte: passing over all of them costs less than the hash of one name, and that for one that is absent too.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The values of a field, in the order they came in.
pub(crate) fn all<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a HeaderValue> {
    headers.iter().filter(move |(named, _)| *named == name).map(|(_, value)| value)
}

/// Whether there is such a field.
pub(crate) fn has(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|named| named == name)
}
