use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::headers;
use crate::http::csrf::form::{MAX_FORM_BYTES, find};
use crate::http::csrf::origin::{Asked, CsrfRefusal, Verdict, check};
use crate::http::csrf::token::{TOKEN_LEN, issue, verify};
use crate::http::csrf::trusted_origins::TrustedOrigins;

fn judge_with(
    method: &Method,
    map: &HeaderMap,
    host: Option<&str>,
    secure: bool,
    trusted: &[&str],
) -> Verdict {
    let trusted = TrustedOrigins::parse(trusted).unwrap();
    check(Asked { method, headers: map, host: host.map(str::as_bytes), secure }, &trusted)
}

fn judge<const N: usize>(fields: [(&str, &str); N]) -> Verdict {
    judge_with(&Method::POST, &headers(fields), Some("shop.example"), true, &["https://app.example"])
}

#[test]
fn safe_methods_pass_and_all_others_are_judged() {
    let hostile = headers([("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")]);
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        assert_eq!(judge_with(&method, &hostile, Some("shop.example"), true, &[]), Verdict::Safe);
    }
    let odd = Method::from_bytes(b"PURGE").unwrap();
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::CONNECT, odd] {
        let verdict = judge_with(&method, &hostile, Some("shop.example"), true, &[]);
        assert_eq!(verdict, Verdict::Refused(CsrfRefusal::CrossSite), "{method}");
    }
}

#[test]
fn s07_a_token_with_any_one_of_its_bits_changed_is_no_token() {
    let secret = [7; 32];
    let token = data_encoding::BASE64URL_NOPAD.decode(issue(&secret).as_bytes()).unwrap();
    for bit in 0..8 * token.len() {
        let mut wrong = token.clone();
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify(&secret, data_encoding::BASE64URL_NOPAD.encode(&wrong).as_bytes()), "bit {bit}");
    }
    assert!(verify(&secret, data_encoding::BASE64URL_NOPAD.encode(&token).as_bytes()));
}

#[test]
fn s55_fetch_metadata_decides_first() {
    use CsrfRefusal::{CrossSite, SameSite};
    assert_eq!(judge([("sec-fetch-site", "same-origin")]), Verdict::SameOrigin);
    assert_eq!(judge([("sec-fetch-site", "none")]), Verdict::SameOrigin);
    assert_eq!(judge([("sec-fetch-site", "cross-site")]), Verdict::Refused(CrossSite));
    assert_eq!(judge([("sec-fetch-site", "same-site")]), Verdict::Refused(SameSite));
    // Neither an own `Origin` nor a token makes up for it.
    let own = ("origin", "https://shop.example");
    assert_eq!(judge([("sec-fetch-site", "cross-site"), own]), Verdict::Refused(CrossSite));
    assert_eq!(judge([("sec-fetch-site", "same-site"), own]), Verdict::Refused(SameSite));
    // A trusted origin does.
    let trusted = ("origin", "https://app.example");
    assert_eq!(judge([("sec-fetch-site", "cross-site"), trusted]), Verdict::SameOrigin);
    assert_eq!(judge([("sec-fetch-site", "same-site"), trusted]), Verdict::SameOrigin);
    // What is not known, or said twice, is the worst.
    for odd in ["", "Same-Origin", "same-origin ", "nearly-same-site", "same-origin, cross-site"] {
        assert_eq!(judge([("sec-fetch-site", odd)]), Verdict::Refused(CrossSite), "{odd:?}");
    }
    let twice = [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")];
    assert_eq!(judge(twice), Verdict::Refused(CrossSite));
}

#[test]
fn s56_without_fetch_metadata_origin_decides() {
    use CsrfRefusal::{ForeignOrigin, OpaqueOrigin};
    for own in
        ["https://shop.example", "HTTPS://Shop.Example", "https://shop.example:443", "https://shop.example:"]
    {
        assert_eq!(judge([("origin", own)]), Verdict::SameOrigin, "{own}");
    }
    assert_eq!(judge([("origin", "https://app.example")]), Verdict::SameOrigin);
    assert_eq!(judge([("origin", "null")]), Verdict::Refused(OpaqueOrigin));
    for foreign in [
        "https://evil.example",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evilshop.example",
        "https://shop.example@evil.example",
        "https://shop.example/",
        "shop.example",
        "",
        "https://",
        "https://shop.example https://evil.example",
        "NULL",
        "https://app.example:444",
        "http://app.example",
        "https://shop.example:x",
        "https://shop.example:99999",
    ] {
        let verdict = judge([("origin", foreign)]);
        assert!(verdict == Verdict::Refused(ForeignOrigin) || foreign == "{foreign:?}");
    }
    let own = ("origin", "https://shop.example");
    assert_eq!(judge([own, own]), Verdict::Refused(ForeignOrigin));
    assert_eq!(judge([]), Verdict::NeedsToken);
}

#[test]
fn s56_host_scheme_and_port_are_those_of_the_request() {
    let with = |origin: &str, host: Option<&str>, secure| {
        judge_with(&Method::POST, &headers([("origin", origin)]), host, secure, &[]) == Verdict::SameOrigin
    };
    assert!(with("http://localhost:3000", Some("localhost:3000"), false));
    assert!(with("http://[::1]:3000", Some("[::1]:3000"), false));
    assert!(with("http://127.0.0.1", Some("127.0.0.1:80"), false));
    assert!(with("https://shop.example:8443", Some("shop.example:8443"), true));
    assert!(!with("https://localhost:3000", Some("localhost:3000"), false));
    assert!(!with("http://localhost:3000", Some("localhost:3001"), false));
    assert!(!with("https://shop.example", None, true));
    assert!(!with("https://shop.example", Some(""), true));
    assert!(!with("https://shop.example", Some("x@shop.example"), true));
}

#[test]
fn a_websocket_handshake_from_another_site_is_refused() {
    let handshake = |fields: [(&'static str, &'static str); 2]| {
        judge_with(&Method::GET, &headers(fields), Some("shop.example"), true, &["https://app.example"])
    };
    let upgrade = ("upgrade", "WebSocket");
    assert_eq!(
        handshake([upgrade, ("sec-fetch-site", "cross-site")]),
        Verdict::Refused(CsrfRefusal::CrossSite)
    );
    assert_eq!(
        handshake([upgrade, ("origin", "https://evil.example")]),
        Verdict::Refused(CsrfRefusal::ForeignOrigin)
    );
    assert_eq!(handshake([upgrade, ("origin", "https://shop.example")]), Verdict::SameOrigin);
    assert_eq!(handshake([upgrade, ("origin", "https://app.example")]), Verdict::SameOrigin);
    assert_eq!(handshake([upgrade, ("accept", "*/*")]), Verdict::Safe);
    assert_eq!(handshake([("upgrade", "h2c"), ("sec-fetch-site", "cross-site")]), Verdict::Safe);
}

#[test]
fn trusted_origins_are_named_one_by_one_and_a_mistake_is_named() {
    for (text, problem) in [
        ("app.example", "scheme://host"),
        ("https://*.example", "wildcards"),
        ("https://app.example/", "without a path"),
        ("https://me@app.example", "without a user"),
        ("https://bücher.example", "xn--"),
        ("https://", "scheme://host"),
        ("https://app.example:port", "scheme://host"),
        ("null", "scheme://host"),
        ("https://app.example?x", "without a path"),
    ] {
        let error = TrustedOrigins::parse([text]).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains(&format!("{text:?}")), "{error}");
    }
    let odd = TrustedOrigins::parse(["capacitor://localhost", "HTTP://LocalHost:5173"]).unwrap();
    assert_eq!(format!("{odd:?}"), "TrustedOrigins([capacitor://localhost, http://localhost:5173])");
}

#[test]
fn s57_tokens_differ_each_time_and_all_are_right() {
    let secret = [7; 32];
    let tokens: Vec<String> = (0..50).map(|_| issue(&secret)).collect();
    for token in &tokens {
        assert_eq!(token.len(), TOKEN_LEN);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert!(verify(&secret, token.as_bytes()));
        assert!(!verify(&[8; 32], token.as_bytes()));
    }
    let mut distinct = tokens.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), tokens.len());
}

#[test]
fn s58_a_wrong_token_does_not_use_up_the_right_one() {
    let secret = [7; 32];
    let right = issue(&secret);
    for at in 0..right.len() {
        let mut wrong = right.clone().into_bytes();
        wrong[at] = if wrong[at] == b'A' { b'B' } else { b'A' };
        assert!(!verify(&secret, &wrong), "character {at}");
        assert!(verify(&secret, right.as_bytes()));
    }
    for wrong in
        ["", "A", &right[1..], &format!("{right}A"), &"A".repeat(TOKEN_LEN), &"é".repeat(TOKEN_LEN / 2)]
    {
        assert!(!verify(&secret, wrong.as_bytes()), "{wrong}");
    }
}

fn field(body: &str) -> Option<String> {
    find(body.as_bytes(), "csrf_token").map(|value| String::from_utf8(value.as_bytes().to_vec()).unwrap())
}

#[test]
fn the_form_field_is_found_and_decoded() {
    for (body, value) in [
        ("csrf_token=abc", Some("abc")),
        ("a=b&csrf_token=abc&c=d", Some("abc")),
        ("csrf%5Ftoken=%61b%63", Some("abc")),
        ("csrf_token=a+b%2B", Some("a b+")),
        ("csrf_token=100%&x", Some("100%")),
        ("csrf_token=%zz%4", Some("%zz%4")),
        ("csrf_token", Some("")),
        ("csrf_token=", Some("")),
        ("csrf_token=first&csrf_token=second", Some("first")),
        ("&&=x&csrf_token=a=b", Some("a=b")),
        ("", None),
        ("xcsrf_token=abc", None),
        ("csrf_tokenx=abc", None),
        ("x=csrf_token=abc", None),
        ("csrf+token=abc", None),
    ] {
        assert_eq!(field(body).as_deref(), value, "{body:?}");
    }
    let token = issue(&[7; 32]);
    assert_eq!(field(&format!("a=b&csrf_token={token}")).as_deref(), Some(token.as_str()));
    assert_eq!(field(&format!("csrf_token={token}A")), None, "longer than any token");
}

#[test]
fn c13_only_the_beginning_of_a_body_is_searched() {
    let filler = |n: usize| format!("f={}&", "x".repeat(n - 3));
    let fits = format!("{}csrf_token=abc&y=z", filler(MAX_FORM_BYTES - 20));
    assert_eq!(field(&fits).as_deref(), Some("abc"));
    let cut = format!("{}csrf_token=abcdef&y=z", filler(MAX_FORM_BYTES - 13));
    assert_eq!(field(&cut), None);
    let beyond = format!("{}csrf_token=abc", filler(MAX_FORM_BYTES));
    assert_eq!(field(&beyond), None);
    let whole = format!("{}csrf_token=abc", filler(MAX_FORM_BYTES - 14));
    assert_eq!((whole.len(), field(&whole).as_deref()), (MAX_FORM_BYTES, Some("abc")));
}

proptest! {
    #[test]
    fn s57_every_secret_has_tokens_and_no_other_secret_does(secret: [u8; 32], other: [u8; 32]) {
        let token = issue(&secret);
        prop_assert!(verify(&secret, token.as_bytes()));
        prop_assert_eq!(verify(&other, token.as_bytes()), secret == other);
    }

    #[test]
    fn no_bytes_make_it_panic(secret: [u8; 32], bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        prop_assert!(!verify(&secret, &bytes));
        let _ = find(&bytes, "csrf_token");
        if let Ok(value) = http::HeaderValue::from_bytes(&bytes) {
            let mut map = HeaderMap::new();
            map.insert("origin", value);
            let verdict = judge_with(&Method::POST, &map, Some("shop.example"), true, &[]);
            prop_assert!(matches!(verdict, Verdict::Refused(_)));
        }
    }
}
