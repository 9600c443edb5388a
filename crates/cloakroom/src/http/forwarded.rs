//! Reading `X-Forwarded-*` and `Forwarded` (RFC 7239), from right to left: the rightmost element was added by the
//! nearest proxy, and each one further left is worth as much as the proxies to its right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::{FORWARDED, HeaderName};

use super::cookie::scan::trim;
use super::trusted_proxies::TrustedProxies;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Elements looked at, counted from the right. Longer chains are somebody's game.
const MAX_HOPS: usize = 32;

/// What the forwarding headers say about the visitor's own connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// No header says anything.
    Unstated,
    /// Every statement is `http`.
    Http,
    /// At least one statement is something else.
    Https,
}

/// The scheme of the visitor's connection, by all headers together.
///
/// Which of several statements comes from the trusted proxy and which was passed through unread cannot be known, so it
/// takes unanimity to leave the safe side: only if all say `http` was it `http`.
pub(crate) fn scheme(headers: &HeaderMap) -> Scheme {
    let mut stated = Scheme::Unstated;
    for field in headers.get_all(X_FORWARDED_PROTO) {
        for element in field.as_bytes().split(|b| *b == b',') {
            stated = stated.and(trim(element));
        }
    }
    for field in headers.get_all(FORWARDED) {
        for element in rsplit_list(field.as_bytes()) {
            if let Some(proto) = parameter(element, b"proto") {
                stated = stated.and(proto);
            }
        }
    }
    stated
}

impl Scheme {
    fn and(self, statement: &[u8]) -> Self {
        match self {
            Scheme::Https => Scheme::Https,
            _ if statement.eq_ignore_ascii_case(b"http") => Scheme::Http,
            _ => Scheme::Https,
        }
    }
}

/// The address nearest to the visitor that the chain of trusted proxies vouches for.
///
/// Goes from the peer leftwards through the trusted addresses and ends with the first that is not. An element that is no
/// address (`unknown`, `_hidden`, nonsense) ends the walk at the proxy that reported it. Where `Forwarded` and
/// `X-Forwarded-For` are both present and disagree, one of them was sent by the visitor and passed through unread:
/// then neither is believed, and the peer is all that is known.
pub(crate) fn client_address(headers: &HeaderMap, peer: IpAddr, proxies: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    if !proxies.contains(peer) {
        return peer;
    }
    let old = headers.contains_key(X_FORWARDED_FOR).then(|| {
        let elements = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let elements = elements.flat_map(|field| field.as_bytes().rsplit(|b| *b == b','));
        let elements = elements.map(trim).filter(|element| !element.is_empty());
        walk(elements.map(address), peer, proxies)
    });
    let new = headers.contains_key(FORWARDED).then(|| {
        let elements = headers.get_all(FORWARDED).iter().rev();
        let elements = elements.flat_map(|field| rsplit_list(field.as_bytes()));
        let elements = elements.filter(|element| !trim(element).is_empty());
        walk(elements.map(|element| parameter(element, b"for").and_then(address)), peer, proxies)
    });
    match (old, new) {
        (Some(old), Some(new)) if old != new => peer,
        (Some(only), _) | (_, Some(only)) => only,
        (None, None) => peer,
    }
}

fn walk(hops: impl Iterator<Item = Option<IpAddr>>, peer: IpAddr, proxies: &TrustedProxies) -> IpAddr {
    let mut vouched = peer;
    for hop in hops.take(MAX_HOPS) {
        match hop {
            Some(hop) => vouched = hop,
            None => break,
        }
        if !proxies.contains(vouched) {
            break;
        }
    }
    vouched
}

/// The host that the visitor asked for, where a proxy that is trusted replaced the `Host` header: the rightmost one.
pub(crate) fn host(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(field) = headers.get_all(X_FORWARDED_HOST).iter().next_back() {
        return field.as_bytes().rsplit(|b| *b == b',').map(trim).next().filter(|host| !host.is_empty());
    }
    let field = headers.get_all(FORWARDED).iter().next_back()?;
    rsplit_list(field.as_bytes()).next().and_then(|element| parameter(element, b"host"))
}

/// An address as forwarding headers write it: bare, with a port, IPv6 with or without brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    // The longest is an IPv6 address with an embedded IPv4 one, in brackets and with a port: 54 characters.
    if text.len() > 64 {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    // `192.0.2.1:_port`: an obfuscated port says nothing of the address (RFC 7239 §6.3).
    let v4_with_port = || text.split_once(':')?.0.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    let found = text.parse::<IpAddr>().ok().or_else(bracketed);
    let found = found.or_else(|| text.parse::<SocketAddr>().ok().map(|a| a.ip())).or_else(v4_with_port);
    found.map(|address| address.to_canonical())
}

/// The value of a `name=value` pair of one `Forwarded` element, without the quotes it may have.
///
/// Hosts, addresses and schemes need no backslash in their quotes; a value with one is not any of them.
fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = element;
    while !rest.is_empty() {
        let (pair, next) = split_outside_quotes(rest, b';');
        rest = next;
        let Some(at) = memchr::memchr(b'=', pair) else { continue };
        let (Some(key), Some(value)) = (pair.get(..at), pair.get(at + 1..)) else { continue };
        if trim(key).eq_ignore_ascii_case(name) {
            let value = trim(value);
            return Some(value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value));
        }
    }
    None
}

/// The part before the first `separator` that is not in a quoted string, and what follows it.
fn split_outside_quotes(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b if *b == separator && !quoted => {
                return (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default());
            }
            _ => {}
        }
    }
    (bytes, &[])
}

/// The elements of a comma-separated list, the rightmost first; commas within quotes do not separate.
///
/// Seen from the right, a quote opens where its string ends; an escaped quote (`\"`) has no place in what is
/// looked for here, and at worst makes an element that is no address.
fn rsplit_list(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let mut quoted = false;
        for (at, byte) in bytes.iter().enumerate().rev() {
            match byte {
                b'"' => quoted = !quoted,
                b',' if !quoted => {
                    rest = bytes.get(..at);
                    return bytes.get(at + 1..);
                }
                _ => {}
            }
        }
        rest = None;
        Some(bytes)
    })
}
