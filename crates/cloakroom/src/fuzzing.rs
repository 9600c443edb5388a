//! What the fuzz targets reach into. Exists only where `cargo fuzz` builds the crate.

use std::net::{IpAddr, SocketAddr};

use ::http::{HeaderMap, Method, StatusCode, Uri};

use crate::clock::Timestamp;
use crate::http::cache_limiter::{CacheLimiter, CachePolicy, Involvement};
use crate::http::csrf::trusted_origins::TrustedOrigins;
use crate::http::csrf::{Asked, Verdict, check, form};
use crate::http::trusted_proxies::TrustedProxies;
use crate::http::{cookie, security, vary};
use crate::ids::Candidate;

/// What the scan of the `Cookie` header found.
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned {
    /// At most four, ascending by their text.
    pub candidates: Vec<Candidate>,
    /// Values of the name that are no ids.
    pub malformed: u16,
    /// There were more than four.
    pub excess: bool,
    /// The header was not read.
    pub oversized: bool,
}

/// The scan of the `Cookie` header.
pub fn scan(headers: &HeaderMap, name: &str) -> Scanned {
    let mut found = cookie::scan::Scanned::default();
    found.add_cookies(headers, name, &crate::ids::IdFormat::Own);
    Scanned {
        candidates: found.candidates().cloned().collect(),
        malformed: found.malformed,
        excess: found.excess,
        oversized: found.oversized,
    }
}

/// The caching headers of a response that opened its session.
pub fn limit(limiter: CacheLimiter, headers: &mut HeaderMap, sets_cookie: bool) {
    let involvement = Involvement { opened: true, sets_cookie };
    CachePolicy::new(limiter).apply(StatusCode::OK, headers, involvement, Timestamp::default());
    vary::add(headers, &::http::header::COOKIE);
}

/// Whether the request is secure.
pub fn is_secure(uri: &Uri, headers: &HeaderMap, peer: Option<SocketAddr>, proxies: &TrustedProxies) -> bool {
    security::is_secure(uri, headers, peer, proxies)
}

/// The visitor's address.
pub fn client_address(headers: &HeaderMap, peer: SocketAddr, proxies: &TrustedProxies) -> Option<IpAddr> {
    security::client_address(headers, Some(peer), proxies)
}

/// The host the visitor asked for.
pub fn requested_host<'a>(uri: &'a Uri, headers: &'a HeaderMap, proxied: bool) -> Option<&'a [u8]> {
    security::requested_host(uri, headers, proxied)
}

/// Whether a `POST` with these headers is taken for the own origin's.
pub fn is_own_origin(headers: &HeaderMap, host: &[u8], secure: bool, trusted: &TrustedOrigins) -> bool {
    let asked = Asked { method: &Method::POST, headers, host: Some(host), secure };
    check(asked, trusted) == Verdict::SameOrigin
}

/// The value of a form field, if a token can be as long.
pub fn form_field(body: &[u8], name: &str) -> Option<Vec<u8>> {
    form::find(body, name).map(|value| value.as_bytes().to_vec())
}
