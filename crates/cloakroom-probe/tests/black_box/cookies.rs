//! The cookie as it is written, and when.

use std::time::{Duration, Instant, SystemTime};

use crate::harness::probe::refused;
use crate::harness::{Place, Probe, Request, SetCookie, everywhere, sleep_ms};

everywhere! {
    s15_secure_always_save_between_loopback_and_loopback,
    s15_on_a_secure_request_the_unprefixed_name_is_never_read,
    s16_s17_http_only_and_same_site_are_explicit,
    s18_the_host_prefix_and_its_rules_by_default,
    s20_one_cookie_and_no_attribute_twice,
    s23_expires_is_computed_for_each_response,
    s25_a_browser_session_cookie_unless_asked_otherwise,
    s26_only_a_destroy_that_ended_something_deletes_the_cookie,
    s28_a_cookie_only_when_the_id_changed,
    s28_a_persistent_cookie_slides_with_the_session,
    s71_forwarding_headers_count_only_from_trusted_proxies,
    the_header_transport_sets_no_cookie,
    an_id_in_the_header_and_one_in_a_cookie_are_refused_together,
}

async fn fresh(probe: &Probe, request: Request) -> SetCookie {
    probe.ask(request).await.set_cookie().unwrap()
}

fn set() -> Request {
    Request::get("/set/k/1")
}

async fn s15_secure_always_save_between_loopback_and_loopback(place: Place) {
    let probe = place.start(&[]);
    let port = probe.address.port();
    for host in
        ["127.0.0.1", "localhost", "[::1]", &format!("127.0.0.1:{port}"), &format!("localhost:{port}")]
    {
        let cookie = fresh(&probe, set().host(host)).await;
        assert!(!cookie.has("secure"), "{host}: {cookie:?}");
        assert_eq!(cookie.name, "id");
    }
    for host in ["shop.example", "localhost.shop.example", "127.0.0.1.shop.example", "10.0.0.1", "0.0.0.0"] {
        let cookie = fresh(&probe, set().host(host)).await;
        assert!(cookie.has("secure"), "{host}: {cookie:?}");
        assert_eq!(cookie.name, "__Host-id");
    }
    for (name, value) in [
        ("forwarded", "for=192.0.2.1;proto=http"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-host", "localhost"),
    ] {
        let cookie = fresh(&probe, set().header(name, value)).await;
        assert!(cookie.has("secure"), "a proxy is in between ({name}): {cookie:?}");
    }
    let always = place.start(&["--secure", "always"]);
    assert!(fresh(&always, set()).await.has("secure"));
    let never = place.start(&["--secure", "never"]);
    let cookie = fresh(&never, set().host("shop.example")).await;
    assert!(!cookie.has("secure"));
    assert_eq!(cookie.name, "id");
}

async fn s15_on_a_secure_request_the_unprefixed_name_is_never_read(place: Place) {
    let probe = place.start(&[]);
    let id = fresh(&probe, set()).await.value;
    let secure = |cookie: String| Request::get("/peek").host("shop.example").header("cookie", cookie);
    assert_eq!(probe.ask(secure(format!("id={id}"))).await.json()["present"], false);
    assert_eq!(probe.ask(secure(format!("__Host-id={id}"))).await.json()["present"], true);
}

async fn s16_s17_http_only_and_same_site_are_explicit(place: Place) {
    let probe = place.start(&[]);
    for host in ["localhost", "shop.example"] {
        let cookie = fresh(&probe, set().host(host)).await;
        assert!(cookie.has("httponly"));
        assert_eq!(cookie.attribute("samesite"), Some("Lax"));
    }
    let strict = place.start(&["--same-site", "strict"]);
    assert_eq!(fresh(&strict, set()).await.attribute("samesite"), Some("Strict"));
    let none = place.start(&["--same-site", "none"]);
    let cookie = fresh(&none, set().host("shop.example")).await;
    assert_eq!(cookie.attribute("samesite"), Some("None"));
    assert!(cookie.has("secure"));
    // Where the cookie cannot be `Secure`, browsers would refuse `None`.
    assert_eq!(fresh(&none, set().host("localhost")).await.attribute("samesite"), Some("Lax"));
}

async fn s18_the_host_prefix_and_its_rules_by_default(place: Place) {
    let probe = place.start(&[]);
    let cookie = fresh(&probe, set().host("shop.example")).await;
    assert_eq!(cookie.name, "__Host-id");
    assert_eq!(cookie.attribute("path"), Some("/"));
    assert!(cookie.has("secure"));
    assert!(!cookie.has("domain"));
}

async fn s20_one_cookie_and_no_attribute_twice(place: Place) {
    let probe = place.start(&[
        "--cookie-lifetime",
        "60",
        "--cookie-name",
        "shop",
        "--domain",
        "shop.example",
        "--partitioned",
    ]);
    let visitor = probe.visitor();
    for path in ["/login/ada", "/regenerate", "/login-then-fail/eve", "/destroy"] {
        let request = match visitor.cookie() {
            Some(cookie) => Request::get(path).host("shop.example").header("cookie", cookie),
            None => Request::get(path).host("shop.example"),
        };
        let response = probe.ask(request).await;
        visitor.note(&response);
        assert_eq!(response.header_all("set-cookie").len(), 1, "{path}");
        let cookie = response.set_cookie().unwrap();
        let mut names: Vec<String> = cookie.attributes.iter().map(|(n, _)| n.to_lowercase()).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "{path}: {cookie:?}");
    }
}

/// Seconds since 1970 of an IMF-fixdate, RFC 9110 §5.6.7; anything else panics.
fn imf_fixdate(text: &str) -> u64 {
    let parts: Vec<&str> = text.split([' ', ':']).collect();
    let [weekday, day, month, year, hour, minute, second, "GMT"] = parts[..] else { panic!("{text}") };
    assert_eq!(text.len(), "Sun, 06 Nov 1994 08:49:37 GMT".len(), "{text}");
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|m| *m == month).unwrap() as u64 + 1;
    let [day, year, hour, minute, second] =
        [day, year, hour, minute, second].map(|n| n.parse::<u64>().unwrap());
    // Days since 0000-03-01 in the proleptic Gregorian calendar; years begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let weekdays = ["Thu,", "Fri,", "Sat,", "Sun,", "Mon,", "Tue,", "Wed,"];
    assert_eq!(weekday, weekdays[(days % 7) as usize], "{text}");
    days * 86_400 + hour * 3600 + minute * 60 + second
}

async fn s23_expires_is_computed_for_each_response(place: Place) {
    let probe = place.start(&["--cookie-lifetime", "3600"]);
    let mut seen = Vec::new();
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    for pause in [1010, 0] {
        let before = now();
        let cookie = fresh(&probe, set()).await;
        assert_eq!(cookie.attribute("max-age"), Some("3600"));
        let expires = imf_fixdate(cookie.attribute("expires").unwrap());
        assert!((before + 3599..=now() + 3601).contains(&expires), "{before}: {cookie:?}");
        seen.push(expires);
        sleep_ms(pause).await;
    }
    assert!(seen[1] > seen[0]);
    let deletion = {
        let visitor = probe.visitor_with_session().await;
        visitor.get("/destroy").await.set_cookie().unwrap()
    };
    assert!(imf_fixdate(deletion.attribute("expires").unwrap()) < seen[0] - 3600);
}

async fn s25_a_browser_session_cookie_unless_asked_otherwise(place: Place) {
    let probe = place.start(&[]);
    let cookie = fresh(&probe, set()).await;
    assert!(!cookie.has("max-age") && !cookie.has("expires"), "{cookie:?}");
    let zero = place.start(&["--cookie-lifetime", "0"]);
    assert!(!fresh(&zero, set()).await.has("max-age"));
}

async fn s26_only_a_destroy_that_ended_something_deletes_the_cookie(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let dead = visitor.cookie().unwrap();
    let gone = visitor.get("/destroy").await.set_cookie().unwrap();
    assert!(gone.deletes());
    assert_eq!(gone.value, "");
    let unknown = "id=AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH";
    for cookie in [dead.as_str(), unknown, "id=malformed"] {
        for route in [
            "/plain",
            "/state",
            "/get/k",
            "/peek",
            "/remove/k",
            "/clear",
            "/destroy",
            "/regenerate",
            "/devices",
        ] {
            probe.get_with(cookie, route).await.without_cookie();
        }
    }
}

async fn s28_a_cookie_only_when_the_id_changed(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor();
    let mut told = Vec::new();
    for route in [
        "/state",
        "/set/a/1",
        "/set/a/2",
        "/put/a/3",
        "/login/ada",
        "/whoami",
        "/regenerate",
        "/get/a",
        "/bind/eve",
        "/destroy",
    ] {
        if visitor.get(route).await.set_cookie().is_some() {
            told.push(route);
        }
    }
    assert_eq!(told, ["/set/a/1", "/login/ada", "/regenerate", "/bind/eve", "/destroy"]);
}

async fn s28_a_persistent_cookie_slides_with_the_session(place: Place) {
    let tenth = Duration::from_secs(1);
    let probe = place.start(&["--cookie-lifetime", "3600", "--idle", "10"]);
    let began = Instant::now();
    let visitor = probe.visitor_with_session().await;
    let before = visitor.cookie();
    // When a tenth of the idle time has passed, the session's deadline slides, and the browser's with it; not before.
    let told = loop {
        assert!(began.elapsed() < 9 * tenth, "the cookie does not slide");
        if let Some(told) = visitor.get("/get/seed").await.set_cookie() {
            break told;
        }
        sleep_ms(20).await;
    };
    // The store's clock is not quite this one.
    assert!(began.elapsed() > tenth / 2, "it slid after {:?}", began.elapsed());
    assert_eq!(Some(told.pair()), before);
}

async fn s71_forwarding_headers_count_only_from_trusted_proxies(place: Place) {
    let plain = || {
        set().host("shop.example").header("x-forwarded-proto", "http").header("x-forwarded-for", "192.0.2.1")
    };
    let untrusted = place.start(&[]);
    assert!(fresh(&untrusted, plain()).await.has("secure"), "anyone can write such a header");
    let trusted = place.start(&["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "127.0.0.1/32"]);
    let cookie = fresh(&trusted, plain()).await;
    assert!(!cookie.has("secure"), "{cookie:?}");
    assert_eq!(cookie.name, "id");
    let over_tls =
        set().host("localhost").header("x-forwarded-proto", "https").header("x-forwarded-for", "192.0.2.1");
    let cookie = fresh(&trusted, over_tls).await;
    assert!(cookie.has("secure"));
    assert_eq!(cookie.name, "__Host-id");
    let forwarded = set().host("localhost").header("forwarded", "for=192.0.2.1;proto=https");
    assert!(fresh(&trusted, forwarded).await.has("secure"));
}

async fn the_header_transport_sets_no_cookie(place: Place) {
    let probe = place.start(&["--transport", "header"]);
    let response = probe.get("/set/k/1").await;
    response.without_cookie().ok();
    let id = response.header("x-session-id").unwrap().to_owned();
    let with = |path: &str| Request::get(path).header("x-session-id", &id);
    let read = probe.ask(with("/get/k")).await;
    assert_eq!(read.number(), 1);
    assert_eq!(read.header("x-session-id"), None);
    assert_eq!(read.header("vary").map(str::to_ascii_lowercase).as_deref(), Some("x-session-id"));
    // The same id in a cookie is none.
    assert_eq!(probe.get_with(&format!("id={id}"), "/peek").await.json()["present"], false);
    assert_eq!(probe.ask(with("/destroy")).await.header("x-session-id"), Some(""));
    assert_eq!(probe.ask(with("/peek")).await.json()["present"], false);
}

async fn an_id_in_the_header_and_one_in_a_cookie_are_refused_together(place: Place) {
    let probe = place.start(&["--transport", "header"]);
    let id = probe.get("/set/k/1").await.header("x-session-id").unwrap().to_owned();
    let both = Request::get("/get/k").header("x-session-id", &id).header("cookie", format!("id={id}"));
    let response = probe.ask(both).await;
    assert_eq!(response.status, 403, "{response:?}");
}

#[test]
fn s18_s19_what_breaks_a_prefix_is_refused_at_start() {
    for name in ["__Host-id", "__HOST-id", "__host-id"] {
        refused(&["--store", "memory:", "--cookie-name", name, "--domain", "shop.example"], "no Domain");
        refused(&["--store", "memory:", "--cookie-name", name, "--secure", "never"], "Secure");
    }
    refused(&["--store", "memory:", "--cookie-name", "__Secure-id", "--secure", "never"], "Secure");
    refused(&["--store", "memory:", "--domain", "shop.example"], "no Domain");
}

#[test]
fn s17_s27_what_needs_secure_is_refused_without() {
    refused(&["--store", "memory:", "--same-site", "none", "--secure", "never"], "Secure");
    refused(&["--store", "memory:", "--partitioned", "--secure", "never"], "Secure");
}

#[test]
fn s21_s22_names_and_attributes_that_no_browser_takes_are_refused_at_start() {
    let long = "n".repeat(4096);
    refused(&["--store", "memory:", "--cookie-name", &long], "4064");
    for name in ["", "a b", "a;b", "a=b", "a\tb", "a\u{7f}b", "caf\u{e9}", "a\r\nset-cookie: x"] {
        refused(&["--store", "memory:", "--cookie-name", name], "name");
    }
    let domain = format!("{}.example", "d".repeat(1024));
    for domain in [domain.as_str(), "a;b", "a b", "", "shop.example\r\n"] {
        refused(&["--store", "memory:", "--cookie-name", "shop", "--domain", domain], "omain");
    }
}

#[test]
fn s24_a_cookie_does_not_outlive_400_days() {
    refused(&["--store", "memory:", "--cookie-lifetime", "34560001"], "400 days");
    drop(Place::MEMORY_AXUM.start(&["--cookie-lifetime", "34560000"]));
}
