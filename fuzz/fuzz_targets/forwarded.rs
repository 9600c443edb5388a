//! Who asks, and how they came: nothing that a visitor sends is believed.
//!
//! Each line of the input is one header: a byte that chooses the name, then the value.

#![no_main]

use std::net::{IpAddr, SocketAddr};

use cloakroom::{TrustedProxies, fuzzing};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = [
    "host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "forwarded",
    "via",
    "x-real-ip",
    "accept",
];

fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in input.split(|b| *b == b'\n') {
        let Some((name, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(NAMES[usize::from(*name) % NAMES.len()]);
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    let proxies = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"]).unwrap();
    let uri = Uri::from_static("/");
    let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (proxy, stranger, near) = (peer("10.0.0.1:1"), peer("203.0.113.9:1"), peer("127.0.0.1:1"));

    assert!(fuzzing::is_secure(&uri, &headers, None, &proxies));
    assert!(fuzzing::is_secure(&uri, &headers, Some(stranger), &proxies));
    assert_eq!(fuzzing::client_address(&headers, stranger, &proxies), Some(stranger.ip()));
    let _ = fuzzing::requested_host(&uri, &headers, true);
    let forwarded = headers.keys().any(|name| !matches!(name.as_str(), "host" | "accept"));
    if forwarded || !headers.contains_key("host") {
        assert!(fuzzing::is_secure(&uri, &headers, Some(near), &proxies));
    }
    let https = ["x-forwarded-proto", "forwarded"];
    if !https.iter().any(|name| headers.contains_key(*name)) {
        assert!(fuzzing::is_secure(&uri, &headers, Some(proxy), &proxies));
    }
    let _ = fuzzing::is_secure(&uri, &headers, Some(proxy), &proxies);
    let _ = fuzzing::client_address(&headers, proxy, &proxies);

    // What the trusted proxy appends decides, whatever stood there before.
    let real: IpAddr = "198.51.100.7".parse().unwrap();
    for (name, appended) in
        [("x-forwarded-for", "198.51.100.7"), ("forwarded", "for=198.51.100.7;proto=https")]
    {
        let mut passed_on = HeaderMap::new();
        for value in headers.get_all(name) {
            passed_on.append(name, value.clone());
        }
        let last = headers.get_all(name).iter().next_back().map(HeaderValue::as_bytes).unwrap_or_default();
        let joined = [last, b", ", appended.as_bytes()].concat();
        for value in [appended.as_bytes(), &joined] {
            let mut map = passed_on.clone();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
            assert_eq!(fuzzing::client_address(&map, proxy, &proxies), Some(real));
            if name == "forwarded" {
                assert!(fuzzing::is_secure(&uri, &map, Some(proxy), &proxies));
            }
        }
    }
});
