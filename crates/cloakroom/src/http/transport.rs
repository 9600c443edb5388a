//! How the id travels: in a cookie, or in a header for clients that are no browsers.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};

use super::cookie::CookiePolicy;
use super::cookie::format;
use super::cookie::scan::{MAX_COOKIE_BYTES, Scanned, trim};
use crate::clock::Timestamp;
use crate::ids::{IdFormat, SessionId};

/// How a client holds its id.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// In a cookie: the browser keeps it and sends it along by itself.
    #[default]
    Cookie,
    /// In a request header of this name; a new id is told in a response header of the same name, an ended one by an
    /// empty value. For programs: nothing is sent along by itself, so cross-site requests are no danger.
    Header(HeaderName),
    /// As `Authorization: Bearer ID`; a new id is told in the response header `x-session-id`.
    Bearer,
}

impl Transport {
    /// The header's name where none is chosen: `x-session-id`.
    pub const DEFAULT_HEADER: HeaderName = HeaderName::from_static("x-session-id");

    /// [`Transport::Header`] under its default name.
    pub fn header() -> Self {
        Transport::Header(Self::DEFAULT_HEADER)
    }
}

/// What a request says its session is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presented {
    ids: Scanned,
    twice: bool,
}

/// An id in the header and one in a cookie. Which of the two is the client's own and which was planted cannot be told: the
/// request is refused, not served as somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PresentedTwice;

impl Presented {
    /// The ids, if any.
    pub(crate) fn ids(&self) -> Result<&Scanned, PresentedTwice> {
        if self.twice { Err(PresentedTwice) } else { Ok(&self.ids) }
    }
}

/// A [`Transport`] and the cookie it may use.
#[derive(Clone, Debug)]
pub(crate) struct IdTransport {
    transport: Transport,
    cookie: CookiePolicy,
    ids: IdFormat,
}

impl IdTransport {
    pub(crate) fn new(transport: Transport, cookie: CookiePolicy) -> Self {
        IdTransport { transport, cookie, ids: IdFormat::Own }
    }

    /// Reads ids of this form.
    pub(crate) fn read_as(&mut self, ids: IdFormat) {
        self.ids = ids;
    }

    /// Notes the ids that a request brings, in the place where they stay. Allocates nothing.
    pub(crate) fn read(&self, headers: &HeaderMap, secure: bool, presented: &mut Presented) {
        let name = self.cookie.name(secure);
        let ids = &mut presented.ids;
        match &self.transport {
            Transport::Cookie => return ids.add_cookies(headers, name, &self.ids),
            Transport::Header(header) => self.add_header(ids, headers, header, name, |value| Some(value)),
            Transport::Bearer => self.add_header(ids, headers, &AUTHORIZATION, name, bearer),
        }
        if !ids.saw_nothing() {
            let mut cookies = Scanned::default();
            cookies.add_cookies(headers, name, &self.ids);
            presented.twice = !cookies.saw_nothing();
        }
    }

    /// Notes the ids in a header. What they may be in is bound to the cookie's name here too.
    fn add_header(
        &self,
        found: &mut Scanned,
        headers: &HeaderMap,
        header: &HeaderName,
        cookie: &str,
        id: fn(&[u8]) -> Option<&[u8]>,
    ) {
        let mut size = 0;
        for field in headers.get_all(header) {
            size += field.len();
            if size > MAX_COOKIE_BYTES {
                *found = Scanned::oversized();
                return;
            }
            if let Some(id) = id(trim(field.as_bytes())) {
                found.add(id, cookie, &self.ids);
            }
        }
    }

    /// Tells the client its id.
    pub(crate) fn tell(&self, response: &mut HeaderMap, id: &SessionId, secure: bool, now: Timestamp) {
        let Some(told) = id.told(self.cookie.name(secure)) else {
            tracing::error!(target: "cloakroom", session = ?id.store_key(), "a client could not be told its session: the id cannot be sealed");
            return;
        };
        match &self.transport {
            Transport::Cookie => format::write(response, self.cookie.set_cookie(&told, secure, now)),
            Transport::Header(name) => insert(response, name, &told),
            Transport::Bearer => insert(response, &Transport::DEFAULT_HEADER, &told),
        }
    }

    /// Tells the client that its id is worth nothing any more.
    pub(crate) fn forget(&self, response: &mut HeaderMap, secure: bool) {
        match &self.transport {
            Transport::Cookie => format::write(response, self.cookie.deletion(secure)),
            Transport::Header(name) => insert(response, name, b""),
            Transport::Bearer => insert(response, &Transport::DEFAULT_HEADER, b""),
        }
    }

    /// The request header that responses vary by.
    pub(crate) fn varies_by(&self) -> HeaderName {
        match &self.transport {
            Transport::Cookie => COOKIE,
            Transport::Header(name) => name.clone(),
            Transport::Bearer => AUTHORIZATION,
        }
    }

    /// Whether the client's browser sends the id along by itself, so that another site can make it do so.
    pub(crate) fn is_ambient(&self) -> bool {
        self.transport == Transport::Cookie
    }
}

/// The token of `Bearer TOKEN`; other schemes are somebody else's.
fn bearer(credentials: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = credentials.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| trim(token))
}

fn insert(response: &mut HeaderMap, name: &HeaderName, id: &[u8]) {
    // Ids are base64url or percent-encoded, so this is always a header value.
    if let Ok(mut value) = HeaderValue::from_bytes(id) {
        value.set_sensitive(true);
        // Fails only past 32,768 header fields.
        let _ = response.try_insert(name.clone(), value);
    }
}
