//! How a request came in: over TLS or not, and from whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::header::{FORWARDED, HOST, HeaderName, VIA};
use http::{HeaderMap, Uri};

use super::forwarded::{self, Scheme};
use super::trusted_proxies::TrustedProxies;

/// Whether the cookies of this request are to be `Secure`.
///
/// A proxy that is trusted knows how the visitor came. Else the answer is yes, unless the peer and the host asked for are
/// both loopback and nothing hints at a proxy: then it is a developer's own browser, and there is no wire to listen on.
/// Assuming TLS where there is none costs a session that does not work; assuming none where there is costs the
/// session's secrecy.
///
/// With a peer that is neither loopback nor a trusted proxy this looks at no header at all.
pub(crate) fn is_secure(
    uri: &Uri,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    proxies: &TrustedProxies,
) -> bool {
    let Some(peer) = peer.map(|peer| peer.ip().to_canonical()) else { return true };
    if proxies.contains(peer) {
        match forwarded::scheme(headers) {
            Scheme::Http => return false,
            Scheme::Https => return true,
            Scheme::Unstated => {}
        }
    }
    !(peer.is_loopback() && asks_for_loopback(uri, headers) && !was_forwarded(headers))
}

/// The visitor's address as far as it is known; `None` where the peer is not.
///
/// Worth computing only when asked for: it parses an address for every hop. Allocates nothing.
pub(crate) fn client_address(
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    proxies: &TrustedProxies,
) -> Option<IpAddr> {
    peer.map(|peer| forwarded::client_address(headers, peer.ip(), proxies))
}

/// Whether the connection comes from a proxy that is trusted.
pub(crate) fn is_proxied(peer: Option<SocketAddr>, proxies: &TrustedProxies) -> bool {
    peer.is_some_and(|peer| proxies.contains(peer.ip()))
}

/// The host and port that the visitor's browser was talking to: what a trusted proxy reports (if it `is_proxied`), else
/// the target's authority (HTTP/2, absolute form), else `Host`.
pub(crate) fn requested_host<'a>(uri: &'a Uri, headers: &'a HeaderMap, proxied: bool) -> Option<&'a [u8]> {
    let reported = if proxied { forwarded::host(headers) } else { None };
    let authority = || uri.authority().map(|authority| authority.as_str().as_bytes());
    reported.or_else(authority).or_else(|| headers.get(HOST).map(|host| host.as_bytes()))
}

/// Every host the request names is loopback, and it names one. Several that disagree are nobody's browser.
fn asks_for_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let fields = headers.get_all(HOST).iter().map(|host| host.as_bytes());
    let mut named = authority.into_iter().chain(fields).peekable();
    named.peek().is_some() && named.all(is_loopback_host)
}

/// `localhost` and names below it (RFC 6761 §6.3: they never leave the machine), `127.0.0.0/8`, `[::1]`; with or
/// without a port.
pub(crate) fn is_loopback_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    if let Some(rest) = host.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port_is_fine = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return port_is_fine && address.parse::<Ipv6Addr>().is_ok_and(|a| a.to_canonical().is_loopback());
    }
    let name = match host.split_once(':') {
        Some((name, port)) if is_port(port) => name,
        Some(_) => return false,
        None => host,
    };
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let top = name.rsplit('.').next().unwrap_or_default();
    top.eq_ignore_ascii_case("localhost") && name.bytes().all(is_host_byte)
}

fn is_port(text: &str) -> bool {
    text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit())
}

const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// Whether anything says that the request passed through somebody else: a tunnel or a proxy on this very machine is
/// loopback too, and its visitor is not.
fn was_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        let text = name.as_str();
        *name == FORWARDED || *name == VIA || text.starts_with("x-forwarded") || KNOWN.contains(name)
    })
}

/// Further headers by which proxies, balancers and tunnels pass on an address or a scheme.
const KNOWN: [HeaderName; 10] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-forwarded-for"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
    HeaderName::from_static("fastly-client-ip"),
    HeaderName::from_static("fly-client-ip"),
    HeaderName::from_static("front-end-https"),
];
