use http::HeaderMap;

use super::{headers, joined};
use crate::clock::Timestamp;
use crate::http::cookie::CookieConfig;
use crate::http::cookie::scan::Scanned;
use crate::http::transport::{IdTransport, Presented, PresentedTwice, Transport};
use crate::ids::{Candidate, SessionId};

const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);

fn with(transport: Transport) -> IdTransport {
    IdTransport::new(transport, CookieConfig::new().build().unwrap())
}

fn ids<const N: usize>(transport: Transport, fields: [(&str, &str); N]) -> (Vec<Candidate>, u16) {
    let scanned = read(&with(transport), &headers(fields), true).unwrap();
    (scanned.candidates().cloned().collect(), scanned.malformed)
}

fn read(transport: &IdTransport, headers: &HeaderMap, secure: bool) -> Result<Scanned, PresentedTwice> {
    let mut presented = Presented::default();
    transport.read(headers, secure, &mut presented);
    presented.ids().cloned()
}

fn of(text: &str) -> Candidate {
    Candidate::parse(text.as_bytes()).unwrap()
}

#[test]
fn s11_the_cookie_transport_reads_the_cookie_alone() {
    let cookie = format!("__Host-id={A}");
    let bearer = format!("Bearer {B}");
    let fields = [("cookie", cookie.as_str()), ("x-session-id", B), ("authorization", &bearer)];
    assert_eq!(ids(Transport::Cookie, fields), (vec![of(A)], 0));
    assert_eq!(ids(Transport::Cookie, [("x-session-id", B)]), (vec![], 0));
}

#[test]
fn s15_the_unprefixed_cookie_is_not_read_on_a_secure_request() {
    let transport = with(Transport::Cookie);
    let map = headers([("cookie", &format!("id={A}; __Host-id={B}"))]);
    let found = |secure| read(&transport, &map, secure).unwrap().single().cloned();
    assert_eq!((found(true), found(false)), (Some(of(B)), Some(of(A))));
}

#[test]
fn the_header_transport_reads_its_header() {
    assert_eq!(ids(Transport::header(), [("x-session-id", A)]), (vec![of(A)], 0));
    assert_eq!(ids(Transport::header(), [("x-session-id", &format!("\t{A} "))]), (vec![of(A)], 0));
    assert_eq!(ids(Transport::header(), [("x-session-id", "nonsense")]), (vec![], 1));
    assert_eq!(ids(Transport::header(), [("x-session-id", B), ("x-session-id", A)]), (vec![of(A), of(B)], 0));
    assert_eq!(ids(Transport::header(), []), (vec![], 0));
    // A cookie alone is nothing to it.
    assert_eq!(ids(Transport::header(), [("cookie", &format!("__Host-id={A}"))]), (vec![], 0));
    let own_name = Transport::Header("x-ticket".parse().unwrap());
    assert_eq!(ids(own_name, [("x-ticket", A), ("x-session-id", B)]), (vec![of(A)], 0));
}

#[test]
fn the_bearer_transport_reads_bearer_tokens_only() {
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(ids(Transport::Bearer, [("authorization", &format!("{scheme}  {A}"))]), (vec![of(A)], 0));
    }
    for other in
        [format!("Basic {A}"), format!("Bearer{A}"), A.to_owned(), "Bearer".to_owned(), String::new()]
    {
        assert_eq!(ids(Transport::Bearer, [("authorization", &other)]), (vec![], 0), "{other}");
    }
    assert_eq!(ids(Transport::Bearer, [("authorization", "Bearer eyJhbGciOi.eyJzdWIi.c2ln")]), (vec![], 1));
}

#[test]
fn header_and_cookie_together_are_refused() {
    let cookie = format!("__Host-id={A}");
    let bearer = format!("Bearer {A}");
    for transport in [Transport::header(), Transport::Bearer] {
        let map = headers([("x-session-id", A), ("authorization", &bearer), ("cookie", &cookie)]);
        assert_eq!(read(&with(transport.clone()), &map, true), Err(PresentedTwice));
        // Even where neither is an id: somebody tries something.
        let map = headers([("x-session-id", "?"), ("authorization", "Bearer ?"), ("cookie", "__Host-id=?")]);
        assert_eq!(read(&with(transport.clone()), &map, true), Err(PresentedTwice));
        // Other cookies are other people's.
        let map = headers([("x-session-id", A), ("authorization", &bearer), ("cookie", "theme=dark")]);
        assert_eq!(read(&with(transport), &map, true).unwrap().len(), 1);
    }
}

#[test]
fn c13_a_huge_header_is_not_read() {
    let map = headers([("x-session-id", A), ("x-session-id", &"x".repeat(64 * 1024))]);
    let scanned = read(&with(Transport::header()), &map, true).unwrap();
    assert!(scanned.oversized && scanned.is_empty());
}

#[test]
fn each_transport_tells_and_forgets_in_its_own_way() {
    let id = SessionId::generate();
    for (transport, name, varies) in [
        (Transport::Cookie, "set-cookie", "cookie"),
        (Transport::header(), "x-session-id", "x-session-id"),
        (Transport::Bearer, "x-session-id", "authorization"),
    ] {
        let transport = with(transport);
        assert_eq!(transport.varies_by(), varies);
        assert_eq!(transport.is_ambient(), name == "set-cookie");
        let mut map = HeaderMap::new();
        transport.tell(&mut map, &SessionId::generate(), true, NOW);
        transport.tell(&mut map, &id, true, NOW);
        assert_eq!(map.len(), 1);
        assert!(joined(&map, name).contains(id.expose()));
        assert!(map.get(name).unwrap().is_sensitive());
        transport.forget(&mut map, true);
        assert_eq!(map.len(), 1);
        assert!(!joined(&map, name).contains(id.expose()));
    }
}
