use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Uri};
use proptest::prelude::*;

use super::headers;
use crate::http::security::{client_address, is_loopback_host, is_proxied, is_secure, requested_host};
use crate::http::trusted_proxies::TrustedProxies;

const LOOPBACK: &str = "127.0.0.1:50000";
const PROXY: &str = "10.0.0.1:50000";
const STRANGER: &str = "203.0.113.9:50000";

fn proxies() -> TrustedProxies {
    TrustedProxies::parse(["10.0.0.0/8", "fd00::/8"]).unwrap()
}

fn secure_by<const N: usize>(proxies: &TrustedProxies, peer: &str, fields: [(&str, &str); N]) -> bool {
    is_secure(&Uri::from_static("/"), &headers(fields), Some(peer.parse().unwrap()), proxies)
}

fn secure<const N: usize>(peer: &str, fields: [(&str, &str); N]) -> bool {
    secure_by(&proxies(), peer, fields)
}

fn client<const N: usize>(peer: &str, fields: [(&str, &str); N]) -> String {
    client_address(&headers(fields), Some(peer.parse().unwrap()), &proxies()).unwrap().to_string()
}

#[test]
fn s15_plain_only_between_this_machine_and_itself() {
    for host in [
        "localhost",
        "LocalHost:8080",
        "shop.localhost",
        "localhost.",
        "127.0.0.1:3000",
        "127.8.8.8",
        "[::1]:80",
        "[::1]",
    ] {
        for peer in [LOOPBACK, "[::1]:4711", "[::ffff:127.0.0.1]:4711"] {
            assert!(!secure(peer, [("host", host)]), "{peer} {host}");
        }
        assert!(secure(STRANGER, [("host", host)]), "{host}");
    }
    for host in [
        "shop.example",
        "127.0.0.1.nip.io",
        "localhost.shop.example",
        "notlocalhost",
        "127.0.0.1@shop.example",
        "shop.example@localhost",
        "localhost:x",
        "localhost:80:80",
        "[::1",
        "[::1]x",
        "[::2]",
        "0.0.0.0",
        "10.0.0.1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "127.0.0.1:99999999",
        "",
        "local host",
        "é.localhost",
        "localhost..",
    ] {
        assert!(secure(LOOPBACK, [("host", host)]), "{host}");
    }
    assert!(secure(LOOPBACK, []), "no host at all");
    assert!(secure(LOOPBACK, [("host", "localhost"), ("host", "shop.example")]));
    assert!(
        is_secure(&Uri::from_static("/"), &headers([("host", "localhost")]), None, &proxies()),
        "no peer"
    );
}

#[test]
fn s15_the_target_counts_as_much_as_the_host_header() {
    let peer = Some(LOOPBACK.parse().unwrap());
    let judge = |uri: &'static str, map: HeaderMap| is_secure(&Uri::from_static(uri), &map, peer, &proxies());
    assert!(!judge("http://localhost:3000/x", HeaderMap::new()));
    assert!(judge("http://shop.example/x", HeaderMap::new()));
    assert!(judge("http://shop.example/x", headers([("host", "localhost")])));
    assert!(judge("http://localhost/x", headers([("host", "shop.example")])));
}

#[test]
fn s15_any_sign_of_a_proxy_means_secure() {
    for name in [
        "forwarded",
        "via",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-by-anyone",
        "x-real-ip",
        "cf-connecting-ip",
        "true-client-ip",
        "x-client-ip",
    ] {
        for value in ["", "http", "proto=http", "127.0.0.1"] {
            assert!(secure(LOOPBACK, [("host", "localhost"), (name, value)]), "{name}: {value}");
        }
    }
    assert!(!secure(LOOPBACK, [("host", "localhost"), ("accept", "*/*"), ("user-agent", "via x-forwarded")]));
}

#[test]
fn s71_the_scheme_is_believed_from_trusted_proxies_only() {
    let plain = [("host", "shop.example"), ("x-forwarded-proto", "http")];
    assert!(!secure(PROXY, plain));
    assert!(!secure("[fd12::1]:1", plain) && !secure("[::ffff:10.1.1.1]:1", plain));
    assert!(secure(STRANGER, plain) && secure(LOOPBACK, plain));
    assert!(!secure(PROXY, [("host", "shop.example"), ("forwarded", "for=1.2.3.4;Proto=\"HTTP\";host=x")]));
    assert!(secure(PROXY, [("host", "shop.example"), ("forwarded", "for=1.2.3.4;proto=https")]));
    assert!(secure(PROXY, [("host", "shop.example")]));
    // A trusted proxy on this machine: what it says counts, and not that it is near.
    let local = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    assert!(secure_by(&local, LOOPBACK, [("host", "localhost"), ("x-forwarded-proto", "https")]));
    assert!(!secure_by(&local, LOOPBACK, [("host", "shop.example"), ("x-forwarded-proto", "http")]));
    assert!(!secure_by(&local, LOOPBACK, [("host", "localhost")]));
    assert!(secure_by(&local, LOOPBACK, [("host", "shop.example")]));
    assert!(secure_by(&local, LOOPBACK, [("host", "localhost"), ("x-forwarded-for", "1.2.3.4")]));
}

#[test]
fn s71_only_unanimous_statements_make_a_request_plain() {
    let says = |fields: [(&'static str, &'static str); 2]| secure(PROXY, fields);
    assert!(!says([("x-forwarded-proto", "http"), ("x-forwarded-proto", "HTTP , http")]));
    assert!(says([("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")]));
    assert!(says([("x-forwarded-proto", "http, https"), ("accept", "")]));
    assert!(says([("x-forwarded-proto", "https, http"), ("accept", "")]));
    assert!(says([("x-forwarded-proto", "http"), ("forwarded", "proto=https")]));
    assert!(!says([("x-forwarded-proto", "http"), ("forwarded", "proto=http, for=x;proto=http")]));
    assert!(says([("x-forwarded-proto", "http,"), ("accept", "")]));
    assert!(says([("x-forwarded-proto", "httpx"), ("accept", "")]));
}

#[test]
fn s71_the_client_is_the_rightmost_address_that_is_no_trusted_proxy() {
    assert_eq!(
        client(STRANGER, [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=1.2.3.4")]),
        "203.0.113.9"
    );
    assert_eq!(client(PROXY, []), "10.0.0.1");
    assert_eq!(client(PROXY, [("x-forwarded-for", "6.6.6.6, 198.51.100.7")]), "198.51.100.7");
    assert_eq!(client(PROXY, [("x-forwarded-for", "6.6.6.6, 198.51.100.7, 10.2.2.2")]), "198.51.100.7");
    assert_eq!(
        client(PROXY, [("x-forwarded-for", "198.51.100.7"), ("x-forwarded-for", "10.2.2.2")]),
        "198.51.100.7"
    );
    assert_eq!(client(PROXY, [("x-forwarded-for", "10.3.3.3, 10.2.2.2")]), "10.3.3.3");
    assert_eq!(client(PROXY, [("x-forwarded-for", "6.6.6.6, unknown, 10.2.2.2")]), "10.2.2.2");
    assert_eq!(client(PROXY, [("x-forwarded-for", "6.6.6.6, <script>")]), "10.0.0.1");
    assert_eq!(client(PROXY, [("x-forwarded-for", "")]), "10.0.0.1");
    assert_eq!(client("[::ffff:10.0.0.1]:5", [("x-forwarded-for", "::ffff:198.51.100.7")]), "198.51.100.7");
}

#[test]
fn addresses_are_read_in_every_form_that_proxies_write() {
    for (written, address) in [
        ("198.51.100.7:4711", "198.51.100.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("198.51.100.7:_port", "198.51.100.7"),
    ] {
        assert_eq!(client(PROXY, [("x-forwarded-for", written)]), address);
        assert_eq!(client(PROXY, [("forwarded", &format!("by=x;FOR=\"{written}\";proto=http"))]), address);
    }
    assert_eq!(
        client(PROXY, [("forwarded", "for=\"6.6.6.6, For=7.7.7.7\", for=198.51.100.7")]),
        "198.51.100.7"
    );
    assert_eq!(client(PROXY, [("forwarded", "for=\"open, for=198.51.100.7")]), "198.51.100.7");
    assert_eq!(client(PROXY, [("forwarded", "for=198.51.100.7, for=_hidden")]), "10.0.0.1");
    assert_eq!(client(PROXY, [("forwarded", "proto=https")]), "10.0.0.1");
    assert_eq!(client(PROXY, [("forwarded", "x=\";for=6.6.6.6\";for=198.51.100.7")]), "198.51.100.7");
}

#[test]
fn s71_two_headers_that_disagree_are_both_ignored() {
    let both = |a: &'static str, b: &'static str| client(PROXY, [("x-forwarded-for", a), ("forwarded", b)]);
    assert_eq!(both("198.51.100.7", "for=198.51.100.7"), "198.51.100.7");
    assert_eq!(both("198.51.100.7", "for=6.6.6.6"), "10.0.0.1");
}

#[test]
fn the_requested_host_is_a_trusted_proxys_word_before_the_headers() {
    let ask = |uri: &'static str, peer: &str, map: &HeaderMap| {
        let uri = Uri::from_static(uri);
        let host = requested_host(&uri, map, is_proxied(Some(peer.parse().unwrap()), &proxies()));
        host.map(|host| String::from_utf8(host.to_vec()).unwrap())
    };
    let map = headers([("host", "backend:8080"), ("x-forwarded-host", "evil.example, shop.example")]);
    assert_eq!(ask("/", PROXY, &map).as_deref(), Some("shop.example"));
    assert_eq!(ask("/", STRANGER, &map).as_deref(), Some("backend:8080"));
    assert_eq!(ask("http://authority:1/", STRANGER, &map).as_deref(), Some("authority:1"));
    let map = headers([("host", "backend"), ("forwarded", "host=a, for=x;host=\"shop.example:8443\"")]);
    assert_eq!(ask("/", PROXY, &map).as_deref(), Some("shop.example:8443"));
    assert_eq!(ask("/", PROXY, &HeaderMap::new()), None);
}

#[test]
fn trusted_proxies_are_addresses_or_blocks_and_a_mistake_is_named() {
    for text in ["", "10.0.0.0/33", "10.0.0", "example.com", "fd00::/129", "10.0.0.0/", "10.0.0.1:80", "*"] {
        let error = TrustedProxies::parse(["127.0.0.1", text]).unwrap_err();
        assert!(error.to_string().contains(&format!("{text:?}")), "{text}");
    }
    let parsed: TrustedProxies = " 10.0.0.0/8 ".parse().unwrap();
    assert!(parsed.contains("10.255.0.1".parse().unwrap()) && !parsed.contains("11.0.0.1".parse().unwrap()));
    assert!(parsed.contains("::ffff:10.0.0.1".parse().unwrap()));
    assert!(
        TrustedProxies::none().is_empty() && !TrustedProxies::none().contains("127.0.0.1".parse().unwrap())
    );
}

fn forwarding_field() -> impl Strategy<Value = (String, String)> {
    let name = prop::sample::select(vec![
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "via",
        "host",
        "x-real-ip",
    ]);
    let value = prop_oneof![
        "(for|proto|host|by)=\"?[0-9a-f.:\\[\\]]{0,20}\"?[;,] ?for=[0-9.]{0,15}",
        "[0-9a-f.:, \\[\\]\"]{0,40}",
        "[ -~\t]{0,30}",
        Just("localhost".to_owned()),
        Just("http".to_owned()),
    ];
    (name.prop_map(str::to_owned), value)
}

proptest! {
    /// Nothing that an untrusted peer sends makes a request plain, except the absence of everything.
    #[test]
    fn s71_an_untrusted_peer_moves_nothing(fields in prop::collection::vec(forwarding_field(), 0..5)) {
        let mut map = HeaderMap::new();
        for (name, value) in &fields {
            map.append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap());
        }
        let uri = Uri::from_static("/");
        let stranger: SocketAddr = STRANGER.parse().unwrap();
        prop_assert!(is_secure(&uri, &map, Some(stranger), &proxies()));
        prop_assert_eq!(client_address(&map, Some(stranger), &proxies()), Some(stranger.ip()));
        let near: SocketAddr = LOOPBACK.parse().unwrap();
        if fields.iter().any(|(name, _)| name != "host") {
            prop_assert!(is_secure(&uri, &map, Some(near), &proxies()));
        }
        // With a trusted one: whatever comes out was vouched for, or is the proxy itself.
        let proxy: SocketAddr = PROXY.parse().unwrap();
        let _ = (is_secure(&uri, &map, Some(proxy), &proxies()), requested_host(&uri, &map, true));
        prop_assert!(client_address(&map, Some(proxy), &proxies()).is_some());
    }

    /// The visitor's own additions are to the left of what the proxy saw, and change nothing.
    #[test]
    fn s71_a_visitor_cannot_choose_the_address(planted in "[ -~]{0,40}", real: [u8; 4]) {
        let real = IpAddr::from(real);
        prop_assume!(!proxies().contains(real));
        let map = headers([("x-forwarded-for", &format!("{planted}, {real}, 10.9.9.9"))]);
        prop_assert_eq!(client_address(&map, Some(PROXY.parse().unwrap()), &proxies()), Some(real));
        let map = headers([("forwarded", &format!("{planted}, for={real};proto=https"))]);
        prop_assert_eq!(client_address(&map, Some(PROXY.parse().unwrap()), &proxies()), Some(real));
    }

    #[test]
    fn no_host_makes_it_panic(host in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = is_loopback_host(&host);
    }
}
