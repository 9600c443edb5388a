//! Cross-site requests: no `Origin` but the very own one passes, and a form field is what other parsers say it is.

#![no_main]

use arbitrary::Arbitrary;
use cloakroom::{TrustedOrigins, fuzzing};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    origin: Origin<'a>,
    host: &'a [u8],
    secure: bool,
    trusted: Option<&'a str>,
    form: &'a [u8],
}

/// Bytes without a relation to the host are hardly ever its origin: most are made from it.
#[derive(Arbitrary, Debug)]
enum Origin<'a> {
    Anything(&'a [u8]),
    OfHost { https: bool, before: &'a [u8], after: &'a [u8] },
    OfHostWithPort { https: bool, port: u16 },
}

impl Origin<'_> {
    fn bytes(&self, host: &[u8]) -> Vec<u8> {
        let scheme = |https: &bool| if *https { &b"https://"[..] } else { b"http://" };
        match self {
            Origin::Anything(bytes) => bytes.to_vec(),
            Origin::OfHost { https, before, after } => [scheme(https), before, host, after].concat(),
            Origin::OfHostWithPort { https, port } => {
                [scheme(https), host, b":", port.to_string().as_bytes()].concat()
            }
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let none = TrustedOrigins::none();
    let origin_bytes = input.origin.bytes(input.host);
    if let Ok(origin) = HeaderValue::from_bytes(&origin_bytes) {
        let mut headers = HeaderMap::new();
        headers.insert("origin", origin.clone());
        if fuzzing::is_own_origin(&headers, input.host, input.secure, &none) {
            // Then it is the host behind the scheme, up to case and the scheme's own port.
            let text = std::str::from_utf8(&origin_bytes).unwrap().to_ascii_lowercase();
            let host = std::str::from_utf8(input.host).unwrap().to_ascii_lowercase();
            let (scheme, own_port) = if input.secure { ("https", ":443") } else { ("http", ":80") };
            let rest = text.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")).unwrap();
            assert_eq!(bare(rest, own_port), bare(&host, own_port));
        }
        for site in ["cross-site", "same-site", ""] {
            let mut headers = headers.clone();
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            assert!(!fuzzing::is_own_origin(&headers, input.host, input.secure, &none));
        }
        if let Some(Ok(trusted)) = input.trusted.map(|text| TrustedOrigins::parse([text])) {
            let _ = fuzzing::is_own_origin(&headers, input.host, input.secure, &trusted);
            // A trusted origin is trusted as it was written.
            let mut written = HeaderMap::new();
            if let Ok(origin) = HeaderValue::from_str(input.trusted.unwrap()) {
                written.insert("origin", origin);
                assert!(fuzzing::is_own_origin(&written, input.host, input.secure, &trusted));
            }
        }
    }

    let found = fuzzing::form_field(input.form, "csrf_token");
    let expected = form_urlencoded::parse(input.form).find(|(name, _)| name == "csrf_token");
    match (found, expected) {
        (Some(found), Some((_, expected))) => {
            // The other parser replaces what is not text.
            assert_eq!(String::from_utf8_lossy(&found), expected);
        }
        (None, Some((_, expected))) => {
            // Longer than a token, or further down than is searched.
            assert!(expected.len() > 86 || input.form.len() > 64 * 1024);
        }
        (Some(_), None) => panic!("found what is not there"),
        (None, None) => {}
    }
});

/// Without the scheme's own port, leading zeros of the port, or a colon with nothing behind it.
fn bare(authority: &str, own_port: &str) -> String {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, port.trim_start_matches('0'))
        }
        _ => (authority, ""),
    };
    let written = authority.len() > host.len() + 1;
    let zero = written && port.is_empty();
    match (zero, format!(":{port}")) {
        (true, _) => format!("{host}:0"),
        (_, port) if port == own_port || port == ":" => host.to_owned(),
        (_, port) => format!("{host}{port}"),
    }
}
