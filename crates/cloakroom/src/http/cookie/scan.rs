//! Finding the session's cookie among all the others, on every request.
//!
//! The reading is that of RFC 6265bis, tolerant the way servers are: pairs split at `;`, spaces and tabs around a
//! name and a value do not count, names are compared byte by byte, everything else belongs to the value. A value
//! in double quotes keeps them (browsers send back what they were given, and no id is ever sent in quotes), so
//! it is malformed. Only space and tab are trimmed: a server that trims Unicode spaces reads a cookie which
//! the browser did not recognise as `__Host-…`, and so did not protect.

use http::HeaderMap;
use http::header::COOKIE;

use crate::http::fields;
use crate::ids::{Candidate, IdFormat};
use crate::store::MAX_CANDIDATES;

/// `Cookie` fields of more than this many bytes together are not read at all: work per request is bounded, and the
/// outcome does not depend on the order of the cookies. Browsers and servers stop long before.
pub(crate) const MAX_COOKIE_BYTES: usize = 64 * 1024;

/// What a request says its session is.
///
/// Candidates are distinct, in ascending order, and so independent of the order they were sent in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scanned {
    first: Option<Candidate>,
    /// Elsewhere, because hardly a request has any, and each carries its `Scanned` along.
    further: Option<Box<[Option<Candidate>; MAX_CANDIDATES - 1]>>,
    /// Values under the session's name that no server of this library issued (saturating).
    pub(crate) malformed: u16,
    /// There were more distinct candidates than are looked up; those that sort last were left out. An attacker who can
    /// plant that many cookies can make the visitor anonymous either way; what matters is that the order does not.
    pub(crate) excess: bool,
    /// The header was too large to be read: there are no candidates.
    pub(crate) oversized: bool,
}

/// The value of a pair, if it has this name. A pair without `=` has a value and no name, so it is never ours.
#[inline]
fn value_of<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = trim_start(pair).strip_prefix(name)?;
    let value = trim_start(rest).strip_prefix(b"=")?;
    Some(trim(value))
}

impl Scanned {
    /// Scans every `Cookie` field for the cookie called `name`.
    ///
    /// Allocates nothing where there is one candidate; linear in the size of the header, which is bounded by
    /// [`MAX_COOKIE_BYTES`].
    pub(crate) fn add_cookies(&mut self, headers: &HeaderMap, name: &str, ids: &IdFormat) {
        let mut size = 0;
        for field in fields::all(headers, &COOKIE) {
            let field = field.as_bytes();
            size += field.len();
            if size > MAX_COOKIE_BYTES {
                *self = Scanned::oversized();
                return;
            }
            let mut rest = field;
            loop {
                let end = memchr::memchr(b';', rest);
                let pair = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
                if let Some(value) = value_of(pair, name.as_bytes()) {
                    self.add(value, name, ids);
                }
                match end.and_then(|end| rest.get(end + 1..)) {
                    Some(next) => rest = next,
                    None => break,
                }
            }
        }
    }

    /// At most [`MAX_CANDIDATES`] distinct candidates, ascending.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.first.iter().chain(self.further.iter().flat_map(|further| further.iter().flatten()))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.candidates().count()
    }

    /// Whether there is nothing to look up.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The one candidate of nearly every request; `None` when there are none or several.
    pub(crate) fn single(&self) -> Option<&Candidate> {
        self.first.as_ref().filter(|_| self.further.is_none())
    }

    /// Whether nothing at all was sent under the session's name.
    pub(crate) fn saw_nothing(&self) -> bool {
        *self == Scanned::default()
    }

    /// Nothing was read, because there was too much.
    pub(crate) fn oversized() -> Self {
        Scanned { oversized: true, ..Scanned::default() }
    }

    /// Takes up one value that was sent under the session's name; `name` is the cookie's, wherever it was.
    pub(crate) fn add(&mut self, value: &[u8], name: &str, ids: &IdFormat) {
        match ids.parse(name, value) {
            Ok(candidate) => self.insert(candidate),
            Err(_) => self.malformed = self.malformed.saturating_add(1),
        }
    }

    /// Keeps the smallest, in order: each candidate pushes the larger ones one place on.
    fn insert(&mut self, candidate: Candidate) {
        let Some(first) = &mut self.first else {
            self.first = Some(candidate);
            return;
        };
        let mut carried = candidate;
        if settles(first, &mut carried) {
            return;
        }
        let further = self.further.get_or_insert_default();
        self.excess |= !further.iter_mut().any(|place| keep(place, &mut carried));
    }
}

/// Whether the candidate is in its place now; else it is one that belongs further on.
fn keep(place: &mut Option<Candidate>, carried: &mut Candidate) -> bool {
    match place {
        None => {
            *place = Some(carried.clone());
            true
        }
        Some(held) => settles(held, carried),
    }
}

/// Whether the candidate is the one in this place; else the larger one of the two is carried on.
fn settles(held: &mut Candidate, carried: &mut Candidate) -> bool {
    if held == carried {
        return true;
    }
    if carried.text() < held.text() {
        std::mem::swap(held, carried);
    }
    false
}

/// Optional white space of RFC 9110 §5.6.3.
const fn is_ows(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_ows(*first)
    {
        bytes = rest;
    }
    bytes
}

/// Without the white space around it.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut bytes = trim_start(bytes);
    while let [rest @ .., last] = bytes
        && is_ows(*last)
    {
        bytes = rest;
    }
    bytes
}
