//! `Vary`: which request headers a response depends on (RFC 9110 §12.5.5).

use http::header::{AUTHORIZATION, COOKIE, Entry, HeaderMap, HeaderName, HeaderValue, VARY};

use super::cookie::scan::trim;
use super::fields;

/// Adds `name` to `Vary`, unless it is there already or `*` says more than it would.
///
/// What is there is kept as it is. Allocates only when there is something to add to.
pub(crate) fn add(headers: &mut HeaderMap, name: &HeaderName) {
    if !fields::has(headers, &VARY) {
        // Fails only past 32,768 header fields.
        let _ = headers.try_insert(VARY, value_of(name));
        return;
    }
    let Ok(Entry::Occupied(mut entry)) = headers.try_entry(VARY) else { return };
    let mut listed = entry.iter().flat_map(|field| field.as_bytes().split(|b| *b == b','));
    if listed.any(|member| covers(trim(member), name)) {
        return;
    }
    // The field that is there is extended, not a second one added: some caches read only one.
    let value = match trim(entry.get().as_bytes()) {
        b"" => value_of(name),
        first => {
            let mut joined = Vec::with_capacity(first.len() + 2 + name.as_str().len());
            joined.extend_from_slice(first);
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(value_of(name).as_bytes());
            // Two header values and a comma are a header value.
            HeaderValue::from_maybe_shared(bytes::Bytes::from(joined))
                .unwrap_or(HeaderValue::from_static("*"))
        }
    };
    *entry.get_mut() = value;
}

fn covers(member: &[u8], name: &HeaderName) -> bool {
    member == b"*" || member.eq_ignore_ascii_case(name.as_str().as_bytes())
}

/// In the spelling that people read.
fn value_of(name: &HeaderName) -> HeaderValue {
    if *name == COOKIE {
        HeaderValue::from_static("Cookie")
    } else if *name == AUTHORIZATION {
        HeaderValue::from_static("Authorization")
    } else {
        HeaderValue::from(name.clone())
    }
}
