use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::headers;
use crate::http::cookie::scan::{MAX_COOKIE_BYTES, Scanned};
use crate::ids::{Candidate, SessionId};

const NAME: &str = "__Host-id";
const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";

fn candidate(text: &str) -> Candidate {
    Candidate::parse(text.as_bytes()).unwrap()
}

fn found(scanned: &Scanned) -> Vec<Candidate> {
    scanned.candidates().cloned().collect()
}

fn scan(headers: &HeaderMap, name: &str) -> Scanned {
    let mut found = Scanned::default();
    found.add_cookies(headers, name, &crate::ids::IdFormat::Own);
    found
}

fn scan_one(cookie: &str) -> Scanned {
    scan(&headers([("cookie", cookie)]), NAME)
}

#[test]
fn an_id_is_found_among_other_cookies() {
    let id = SessionId::generate();
    for cookie in [
        format!("__Host-id={}", id.expose()),
        format!("a=b; __Host-id={}; c=d", id.expose()),
        format!("a=b;__Host-id={};c=d", id.expose()),
        format!(" \t__Host-id \t=\t {} \t;", id.expose()),
        format!(";;; ;__Host-id={}", id.expose()),
        format!("no pair; =nameless; __Host-id={}", id.expose()),
        format!("x=\"quoted; __Host-id={}", id.expose()),
    ] {
        let scanned = scan_one(&cookie);
        assert_eq!(scanned.single(), Some(&candidate(id.expose())), "{cookie:?}");
        assert_eq!((scanned.malformed, scanned.excess, scanned.oversized), (0, false, false));
    }
}

#[test]
fn s15_s18_only_the_very_name_is_read() {
    for other in [
        format!("id={A}"),
        format!("__host-id={A}"),
        format!("__HOST-ID={A}"),
        format!("x__Host-id={A}"),
        format!("__Host-idx={A}"),
        "__Host-id".to_owned(),
        format!("=__Host-id={A}"),
        format!("\"__Host-id\"={A}"),
        format!("x=y __Host-id={A}"),
        format!("x=y,__Host-id={A}"),
        // Unicode spaces that a browser takes for part of the name, and so does not protect.
        format!("\u{a0}__Host-id={A}"),
        format!("\u{2000}__Host-id={A}"),
        format!("__Host-id\u{3000}={A}"),
    ] {
        assert!(scan_one(&other).saw_nothing(), "{other:?}");
    }
    assert!(scan(&headers([("cookie", &format!("__Host-id={A}"))]), "id").saw_nothing());
}

#[test]
fn s09_malformed_values_are_counted_and_never_looked_up() {
    for value in [
        "".to_owned(),
        "short".to_owned(),
        format!("{A}A"),
        format!("\"{A}\""),
        format!("{} ", &A[..31]),
        format!("{}=", &A[..31]),
        format!("{}é", &A[..30]),
        "../../../../../../../../etc/passw".to_owned(),
        "x".repeat(10_000),
    ] {
        let scanned = scan_one(&format!("a=b; __Host-id={value}; c=d"));
        assert!(scanned.is_empty(), "{value:?}");
        assert_eq!(scanned.malformed, 1, "{value:?}");
    }
    // NUL cannot be in a header value at all; every other byte can only make a value malformed.
    for byte in (0x80..=0xff).chain([b'%', b'/', b'+', b'.']) {
        let mut raw = format!("__Host-id={A}").into_bytes();
        *raw.last_mut().unwrap() = byte;
        let mut map = HeaderMap::new();
        map.insert("cookie", HeaderValue::from_bytes(&raw).unwrap());
        let scanned = scan(&map, NAME);
        assert!(scanned.is_empty() && scanned.malformed == 1, "byte {byte:#x}");
    }
}

#[test]
fn s14_several_cookie_fields_are_read_as_one() {
    let split = headers([
        ("cookie", "a=b"),
        ("cookie", &format!("c=d; __Host-id={B}")),
        ("cookie", &format!("__Host-id={A}")),
    ]);
    let together = headers([("cookie", &format!("__Host-id={A}; a=b; c=d; __Host-id={B}"))]);
    assert_eq!(scan(&split, NAME), scan(&together, NAME));
    assert_eq!(found(&scan(&split, NAME)), [candidate(A), candidate(B)]);
}

#[test]
fn s13_duplicates_count_once_and_at_most_four_are_kept() {
    let scanned = scan_one(&format!("__Host-id={A}; __Host-id={A}; __Host-id={A}"));
    assert_eq!(found(&scanned), [candidate(A)]);
    let many: Vec<String> = ('A'..='F').map(|c| format!("__Host-id={}", c.to_string().repeat(32))).collect();
    let scanned = scan_one(&many.join("; "));
    assert_eq!(scanned.len(), 4);
    assert!(scanned.excess);
    assert_eq!(scanned.single(), None);
    let four = scan_one(&many[..4].join("; "));
    assert!(!four.excess);
    assert_eq!(found(&four), found(&scanned));
}

#[test]
fn c13_a_huge_header_is_not_read() {
    let filler = "x".repeat(MAX_COOKIE_BYTES);
    for map in [
        headers([("cookie", &format!("__Host-id={A}; f={filler}"))]),
        headers([("cookie", &format!("__Host-id={A}")), ("cookie", &filler)]),
        headers([("cookie", &filler), ("cookie", &format!("__Host-id={A}"))]),
    ] {
        let scanned = scan(&map, NAME);
        assert!(scanned.oversized && scanned.is_empty());
    }
    // The limit itself is still read.
    let head = format!("__Host-id={A}; f=");
    let fits = format!("{head}{}", "x".repeat(MAX_COOKIE_BYTES - head.len()));
    assert_eq!(scan_one(&fits).single(), Some(&candidate(A)));
}

#[test]
fn c10_debug_of_a_scan_shows_no_id() {
    let scanned = scan_one(&format!("__Host-id={A}"));
    assert!(!format!("{scanned:?}").contains("AAAA"));
}

/// What the well-known parser makes of the same header.
fn by_the_cookie_crate(fields: &[String]) -> (Vec<Candidate>, u16) {
    let mut candidates = Vec::new();
    let mut malformed = 0;
    for field in fields {
        for cookie in cookie::Cookie::split_parse(field.as_str()).flatten() {
            if cookie.name() == NAME {
                match Candidate::parse(cookie.value().as_bytes()) {
                    Ok(candidate) => candidates.push(candidate),
                    Err(_) => malformed += 1,
                }
            }
        }
    }
    candidates.sort_by(|a, b| a.text().cmp(b.text()));
    candidates.dedup();
    (candidates, malformed)
}

/// Pieces that make every interesting header when they are thrown together.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(format!("__Host-id={A}")),
        3 => Just(format!("__Host-id={B}")),
        3 => "[A-Za-z0-9_-]{31,33}".prop_map(|v| format!("__Host-id={v}")),
        2 => Just("__Host-id".to_owned()),
        4 => Just(";".to_owned()),
        2 => Just("=".to_owned()),
        2 => "[ \t]{0,2}",
        1 => Just("\"".to_owned()),
        1 => "[a-zA-Z]{1,8}=[!-~]{0,12}",
        2 => "[ -~\t]{0,6}",
    ]
}

fn field() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..14).prop_map(|pieces| pieces.concat())
}

fn map_of(fields: &[String]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for field in fields {
        map.append("cookie", HeaderValue::from_str(field).unwrap());
    }
    map
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_scan_agrees_with_the_cookie_crate(fields in prop::collection::vec(field(), 0..4)) {
        let scanned = scan(&map_of(&fields), NAME);
        let (candidates, malformed) = by_the_cookie_crate(&fields);
        let kept: Vec<Candidate> = candidates.iter().take(4).cloned().collect();
        prop_assert_eq!(found(&scanned), kept);
        prop_assert_eq!(scanned.malformed, malformed);
        prop_assert_eq!(scanned.excess, candidates.len() > 4);
    }

    #[test]
    fn s13_the_order_of_cookies_and_fields_never_matters(
        (one, other) in prop::collection::vec("[A-C]{1}", 0..9).prop_flat_map(|ids| {
            let ids: Vec<String> = ids.iter().enumerate()
                .map(|(i, c)| format!("__Host-id={}{}", c.repeat(31), i % 5)).collect();
            (Just(ids.clone()), Just(ids).prop_shuffle())
        })
    ) {
        let in_one_field = vec![one.join("; ")];
        prop_assert_eq!(scan(&map_of(&in_one_field), NAME), scan(&map_of(&other), NAME));
    }

    #[test]
    fn no_bytes_make_it_panic(raw in prop::collection::vec(any::<u8>(), 0..200), name in "[!-~]{1,12}") {
        if let Ok(value) = HeaderValue::from_bytes(&raw) {
            let mut map = HeaderMap::new();
            map.insert("cookie", value);
            let _ = scan(&map, &name);
        }
    }
}
