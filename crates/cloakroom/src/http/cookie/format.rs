//! Writing `Set-Cookie`.
//!
//! All but the id and the date is the same for every response, so it is put together once.

use std::fmt;
use std::io::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{Entry, HeaderMap, HeaderValue, SET_COOKIE};
use httpdate::HttpDate;

use super::policy::Attributes;
use super::scan::trim;
use crate::clock::Timestamp;

/// Bytes of an IMF-fixdate: `Sun, 06 Nov 1994 08:49:37 GMT`.
const DATE_LEN: usize = 29;
/// The last second that has a four-digit year: 9999-12-31 23:59:59.
const LAST_SECOND: u64 = 253_402_300_799;

/// A cookie with everything filled in but its value and the date.
#[derive(Clone)]
pub(super) struct Template {
    name: String,
    /// `; Path=/; HttpOnly; …`, for a persistent cookie with `; Expires=` at its end.
    suffix: String,
    /// Seconds, for a persistent cookie.
    max_age: Option<u64>,
    deletion: HeaderValue,
}

impl Template {
    pub(super) fn new(name: &str, attributes: &Attributes<'_>) -> Self {
        let fixed = fixed_attributes(attributes);
        let suffix = match attributes.max_age {
            Some(seconds) => format!("{fixed}; Max-Age={seconds}; Expires="),
            None => fixed.clone(),
        };
        // `Max-Age` for today's browsers, `Expires` for whoever does not know it.
        let deletion = format!("{name}={fixed}; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT");
        Template {
            name: name.to_owned(),
            suffix,
            max_age: attributes.max_age,
            deletion: header_value(deletion.into_bytes()),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn set(&self, value: &[u8], now: Timestamp) -> HeaderValue {
        let date_len = if self.max_age.is_some() { DATE_LEN } else { 0 };
        // Exactly what is needed: with room to spare, `Bytes` would allocate a second time.
        let len = self.name.len() + 1 + value.len() + self.suffix.len() + date_len;
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value);
        out.extend_from_slice(self.suffix.as_bytes());
        if let Some(seconds) = self.max_age {
            write_date(&mut out, now.after(Duration::from_secs(seconds)));
        }
        let mut header = header_value(out);
        header.set_sensitive(true);
        header
    }

    pub(super) fn deletion(&self) -> HeaderValue {
        self.deletion.clone()
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=…{}", self.name, self.suffix)
    }
}

/// Puts a `Set-Cookie` value in place of an earlier one for a cookie of the same name; other cookies are left alone.
///
/// Two fields for one name would be applied in an order that only the browser knows (RFC 6265bis §4.1.1).
pub(crate) fn write(headers: &mut HeaderMap, value: HeaderValue) {
    // Fails only past 32,768 header fields.
    let mut earlier = match headers.try_entry(SET_COOKIE) {
        Ok(Entry::Occupied(earlier)) => earlier,
        Ok(Entry::Vacant(place)) => {
            let _ = place.try_insert(value);
            return;
        }
        Err(_) => return,
    };
    let name = name_of(&value);
    if earlier.iter().any(|earlier| name_of(earlier) == name) {
        let (_, earlier) = earlier.remove_entry_mult();
        let kept: Vec<HeaderValue> = earlier.filter(|earlier| name_of(earlier) != name).collect();
        for other in kept {
            // There were more before.
            let _ = headers.try_append(SET_COOKIE, other);
        }
        let _ = headers.try_append(SET_COOKIE, value);
    } else {
        earlier.append(value);
    }
}

/// The name of the cookie that a `Set-Cookie` value sets; empty for one without a name.
fn name_of(value: &HeaderValue) -> &[u8] {
    let bytes = value.as_bytes();
    let pair = bytes.split(|b| *b == b';').next().unwrap_or_default();
    memchr::memchr(b'=', pair).and_then(|at| pair.get(..at)).map(trim).unwrap_or_default()
}

fn fixed_attributes(attributes: &Attributes<'_>) -> String {
    let mut out = format!("; Path={}", attributes.path);
    if let Some(domain) = attributes.domain {
        out.push_str("; Domain=");
        out.push_str(domain);
    }
    if attributes.secure {
        out.push_str("; Secure");
    }
    if attributes.http_only {
        out.push_str("; HttpOnly");
    }
    out.push_str("; SameSite=");
    out.push_str(match attributes.same_site {
        super::SameSite::Strict => "Strict",
        super::SameSite::Lax => "Lax",
        super::SameSite::None => "None",
    });
    if attributes.partitioned {
        out.push_str("; Partitioned");
    }
    out
}

/// Appends the moment as IMF-fixdate (RFC 9110 §5.6.7), the last one that has such a form at most.
pub(crate) fn write_date(out: &mut Vec<u8>, at: Timestamp) {
    let seconds = (at.as_millis() / 1000).min(LAST_SECOND);
    // Writing into a `Vec` does not fail.
    let _ = write!(out, "{}", HttpDate::from(UNIX_EPOCH + Duration::from_secs(seconds)));
}

/// Name and attributes were checked when the configuration was built and ids are base64url: there is nothing in the
/// bytes that a header value may not hold.
fn header_value(bytes: Vec<u8>) -> HeaderValue {
    let value = HeaderValue::from_maybe_shared(Bytes::from(bytes));
    debug_assert!(value.is_ok(), "a checked cookie is a header value");
    value.unwrap_or_else(|_| HeaderValue::from_static(""))
}
