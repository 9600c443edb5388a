//! The cookie scan against the `cookie` crate, on whatever a `Cookie` header can hold.
//!
//! A line of input is one header field. The crate trims Unicode white space around names and values, the scan on
//! purpose does not, and the crate reads text only: the two are compared where the field is ASCII.

#![no_main]

use cloakroom::{Candidate, fuzzing};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

const NAME: &str = "__Host-id";

fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in input.split(|b| *b == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append("cookie", value);
        }
    }
    let scanned = fuzzing::scan(&headers, NAME);
    assert!(scanned.candidates.len() <= 4);
    assert!(scanned.candidates.is_empty() || !scanned.oversized);

    // The order of the fields does not matter.
    let mut backwards = HeaderMap::new();
    for value in headers.get_all("cookie").iter().rev() {
        backwards.append("cookie", value.clone());
    }
    assert_eq!(scanned, fuzzing::scan(&backwards, NAME));

    let fields: Vec<&[u8]> = headers.get_all("cookie").iter().map(HeaderValue::as_bytes).collect();
    if scanned.oversized || !fields.iter().all(|field| field.is_ascii()) {
        return;
    }
    let mut expected: Vec<String> = Vec::new();
    let mut malformed = 0u16;
    for field in fields {
        let Ok(field) = std::str::from_utf8(field) else { continue };
        for cookie in cookie::Cookie::split_parse(field).flatten() {
            if cookie.name() != NAME {
                continue;
            }
            match Candidate::parse(cookie.value().as_bytes()) {
                Ok(_) => expected.push(cookie.value().to_owned()),
                Err(_) => malformed = malformed.saturating_add(1),
            }
        }
    }
    expected.sort();
    expected.dedup();
    assert_eq!(scanned.excess, expected.len() > 4);
    assert_eq!(scanned.malformed, malformed);
    let expected: Vec<Candidate> =
        expected.iter().take(4).map(|text| Candidate::parse(text.as_bytes()).unwrap()).collect();
    assert_eq!(scanned.candidates, expected);
});
