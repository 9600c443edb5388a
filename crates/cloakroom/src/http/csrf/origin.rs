//! What the browser says about where a request comes from. Neither header can be set by a page's script.

use http::header::{HeaderMap, HeaderName, ORIGIN, UPGRADE};
use http::{HeaderValue, Method};

use super::trusted_origins::{OriginRef, TrustedOrigins};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is known of a request's source before any token is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It changes nothing by its method: whoever asks gets a page that they cannot read.
    Safe,
    /// The browser vouches for it: the own origin, the visitor's own hand, or a trusted origin.
    SameOrigin,
    /// Nobody says anything: an old browser, or none. The token decides.
    NeedsToken,
    /// Another site is behind it. No token helps.
    Refused(CsrfRefusal),
}

/// Why a request was refused, for the log and the error's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsrfRefusal {
    /// Fetch metadata says that another site made the browser send it.
    #[error("the request was caused by another site")]
    CrossSite,
    /// Fetch metadata says that a sibling host of the same site did, and it is not a trusted origin.
    #[error("the request was caused by another host of the same site, which is not a trusted origin")]
    SameSite,
    /// `Origin` is another one than the host asked for, and not trusted.
    #[error("the request comes from an origin that is neither this host nor trusted")]
    ForeignOrigin,
    /// `Origin` is `null`: a sandboxed frame, a local file, a redirect across sites.
    #[error("the request comes from an opaque origin")]
    OpaqueOrigin,
}

/// The parts of a request that the check reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    /// The host and port that the browser was talking to.
    pub(crate) host: Option<&'a [u8]>,
    /// Whether it did so over TLS.
    pub(crate) secure: bool,
}

/// Judges a request by fetch metadata, and by `Origin` where there is none.
///
/// `Sec-Fetch-Site` decides where it is present, save that an `Origin` that is trusted passes from any site. A WebSocket
/// handshake is a `GET` that opens a channel in the visitor's name, and scripts may read it from any site: it is judged as
/// the unsafe methods are, except that a client that says nothing is no browser, and passes.
pub(crate) fn check(asked: Asked<'_>, trusted: &TrustedOrigins) -> Verdict {
    let handshake = is_websocket(&asked);
    if is_safe(asked.method) && !handshake {
        return Verdict::Safe;
    }
    match fetch_site(asked.headers) {
        Some(Site::Own) => return Verdict::SameOrigin,
        Some(site) => {
            let origin = single(asked.headers, ORIGIN).flatten().and_then(OriginRef::parse);
            return match (site, origin) {
                (_, Some(origin)) if trusted.contains(&origin) => Verdict::SameOrigin,
                (Site::Sibling, _) => Verdict::Refused(CsrfRefusal::SameSite),
                _ => Verdict::Refused(CsrfRefusal::CrossSite),
            };
        }
        None => {}
    }
    let origin = match single(asked.headers, ORIGIN) {
        None if handshake => return Verdict::Safe,
        None => return Verdict::NeedsToken,
        Some(origin) => origin,
    };
    match origin {
        Some(b"null") => Verdict::Refused(CsrfRefusal::OpaqueOrigin),
        Some(origin) if is_own_or_trusted(origin, &asked, trusted) => Verdict::SameOrigin,
        _ => Verdict::Refused(CsrfRefusal::ForeignOrigin),
    }
}

/// RFC 9110 §9.2.1.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

fn is_websocket(asked: &Asked<'_>) -> bool {
    let upgrades = || asked.headers.get_all(UPGRADE).iter().map(HeaderValue::as_bytes);
    *asked.method == Method::GET
        && upgrades().any(|value| value.get(..9).is_some_and(|v| v.eq_ignore_ascii_case(b"websocket")))
}

enum Site {
    /// The own origin, or no site at all: an address typed in, a bookmark.
    Own,
    Sibling,
    Other,
}

/// A value that is not known yet is another site's: browsers add words for what is further away, not nearer.
fn fetch_site(headers: &HeaderMap) -> Option<Site> {
    Some(match single(headers, SEC_FETCH_SITE)? {
        Some(b"same-origin" | b"none") => Site::Own,
        Some(b"same-site") => Site::Sibling,
        _ => Site::Other,
    })
}

/// The header's only value: `None` where there is none, `Some(None)` where there are several.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<Option<&[u8]>> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let first = values.next()?;
    Some(values.next().is_none().then_some(first))
}

/// Over TLS, a page of the same host that came without it is another origin: anyone on the wire can have written it.
fn is_own_or_trusted(origin: &[u8], asked: &Asked<'_>, trusted: &TrustedOrigins) -> bool {
    let Some(origin) = OriginRef::parse(origin) else { return false };
    let scheme: &[u8] = if asked.secure { b"https" } else { b"http" };
    let own = asked.host.and_then(|host| OriginRef::of_request(scheme, host));
    own.is_some_and(|own| own.same_as(&origin)) || trusted.contains(&origin)
}
