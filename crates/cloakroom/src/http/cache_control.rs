//! An application's `Cache-Control`, read directive by directive and made stricter (RFC 9111 §5.2.2).

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};

use super::cookie::policy::is_token_byte;
use super::cookie::scan::trim;

/// What is to be true of the result, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stricter {
    /// No cache keeps anything: `no-store`, and for old ones `no-cache, must-revalidate`.
    pub(crate) no_store: bool,
    /// What becomes of the application's `max-age`.
    pub(crate) max_age: MaxAge,
}

/// What becomes of an application's `max-age`: the visitor's own browser may keep a private response that long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaxAge {
    /// It stays.
    Keep,
    /// It stays where it is shorter than this.
    AtMost(Duration),
    /// It goes; only together with `no_store`, because a response without it may be kept by rule of thumb.
    Drop,
}

/// Whether the application has closed shared caches itself: `private` or `no-store`, and nothing that says otherwise.
///
/// `private="field"` closes only that field. With `must-understand`, a cache may ignore `no-store` (§5.2.2.3).
/// A directive that cannot be read makes it "no".
pub(crate) fn is_closed(headers: &HeaderMap) -> bool {
    let (mut private, mut no_store, mut opened) = (false, false, false);
    for directive in directives(headers) {
        match directive {
            Directive { well_formed: false, .. } => opened = true,
            d if d.is(b"private") && d.value.is_none() => private = true,
            d if d.is(b"no-store") => no_store = true,
            d if d.is(b"public") || d.is(b"s-maxage") || d.is(b"must-understand") => opened = true,
            _ => {}
        }
    }
    (private || no_store) && !opened
}

/// Replaces all `Cache-Control` fields by one that keeps what the application restricts, drops what it opens to shared
/// caches, and adds what is asked for. Directives that are not known are kept as they are.
///
/// A directive that cannot be read may have been meant as any: it goes, and `no-store` comes.
pub(crate) fn tighten(headers: &mut HeaderMap, rule: Stricter) {
    let mut out = Vec::with_capacity(96);
    let readable = directives(headers).all(|directive| directive.well_formed);
    let rule = Stricter { no_store: rule.no_store || !readable, ..rule };
    for directive in directives(headers) {
        if !directive.well_formed || directive.is_replaced() || (rule.no_store && directive.is_idle()) {
            continue;
        }
        if directive.is(b"max-age") {
            match rule.max_age {
                MaxAge::Drop => continue,
                MaxAge::AtMost(limit) if directive.seconds().is_some_and(|s| s > limit.as_secs()) => {
                    push(&mut out, format!("max-age={}", limit.as_secs()).as_bytes());
                    continue;
                }
                MaxAge::Keep | MaxAge::AtMost(_) => {}
            }
        }
        push(&mut out, directive.text);
    }
    push(&mut out, b"private");
    if rule.no_store {
        push(&mut out, b"no-store, no-cache, must-revalidate");
    }
    // What was a header value, without some of its parts, and constants: that is a header value.
    let value = HeaderValue::from_maybe_shared(Bytes::from(out));
    let value = value.unwrap_or(HeaderValue::from_static("no-store"));
    headers.remove(CACHE_CONTROL);
    // Fails only past 32,768 header fields, and there was one more before.
    let _ = headers.try_insert(CACHE_CONTROL, value);
}

fn push(out: &mut Vec<u8>, directive: &[u8]) {
    if !out.is_empty() {
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(directive);
}

/// One member of the list.
#[derive(Clone, Copy)]
struct Directive<'a> {
    /// As it stands, without the white space around it.
    text: &'a [u8],
    name: &'a [u8],
    /// What follows the `=`, quotes included.
    value: Option<&'a [u8]>,
    /// A token, and behind the `=` a token or a closed quoted string. A cache may read something else than we do in
    /// what is not, an open quote for one may swallow what follows: it is not passed on.
    well_formed: bool,
}

impl<'a> Directive<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let at = memchr::memchr(b'=', text);
        // White space around the `=` is not allowed, and not a reason to overlook a directive.
        let name = trim(at.and_then(|at| text.get(..at)).unwrap_or(text));
        let value = at.and_then(|at| text.get(at + 1..)).map(trim);
        let well_formed = is_token(name) && value.is_none_or(|value| is_token(value) || is_quoted(value));
        Directive { text, name, value, well_formed }
    }

    fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Gives way to an unqualified `private`. `must-understand` invites caches to ignore `no-store`.
    fn is_replaced(&self) -> bool {
        self.is(b"public") || self.is(b"private") || self.is(b"s-maxage") || self.is(b"must-understand")
    }

    /// Permits something that `no-store` takes back, or repeats it.
    fn is_idle(&self) -> bool {
        self.is(b"immutable")
            || self.is(b"stale-while-revalidate")
            || self.is(b"stale-if-error")
            || self.is(b"no-store")
            || self.is(b"must-revalidate")
            || self.is(b"no-cache")
    }

    /// The argument as delta-seconds, which may come in quotes; what overflows is for ever (§1.2.2).
    fn seconds(&self) -> Option<u64> {
        let digits = self.value?;
        let digits = digits.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(digits);
        if digits.is_empty() {
            return None;
        }
        digits.iter().try_fold(0u64, |sum, byte| {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
            Some(sum.saturating_mul(10).saturating_add(digit))
        })
    }
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

fn is_quoted(bytes: &[u8]) -> bool {
    let Some(inner) = bytes.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) else {
        return false;
    };
    let mut escaped = false;
    for byte in inner {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped
}

/// The members of all fields, in order; empty ones are skipped.
fn directives(headers: &HeaderMap) -> impl Iterator<Item = Directive<'_>> {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .flat_map(|field| Members(field.as_bytes()))
        .map(trim)
        .filter(|member| !member.is_empty())
        .map(Directive::parse)
}

/// Splits at the commas outside of quoted strings.
struct Members<'a>(&'a [u8]);

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let mut quoted = false;
        let mut escaped = false;
        let end = self.0.iter().position(|byte| {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' => return !quoted,
                _ => {}
            }
            false
        });
        let (member, rest) = match end {
            Some(end) => (self.0.get(..end), self.0.get(end + 1..)),
            None => (Some(self.0), None),
        };
        self.0 = rest.unwrap_or_default();
        member
    }
}
