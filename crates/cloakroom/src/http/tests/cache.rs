use std::time::Duration;

use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use super::cache_model::{allows, parse};
use super::{headers, joined};
use crate::clock::Timestamp;
use crate::http::cache_limiter::{CacheLimiter, CachePolicy, Involvement};

const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);
const HOUR: Duration = Duration::from_secs(3600);
const PAST: &str = "Thu, 19 Nov 1981 08:52:00 GMT";

const READ: Involvement = Involvement { opened: true, sets_cookie: false };
const SET: Involvement = Involvement { opened: true, sets_cookie: true };
const UNTOUCHED: Involvement = Involvement { opened: false, sets_cookie: false };

const LIMITERS: [CacheLimiter; 5] = [
    CacheLimiter::NoCache,
    CacheLimiter::Private { max_age: HOUR },
    CacheLimiter::PrivateNoExpire { max_age: HOUR },
    CacheLimiter::Public { max_age: HOUR },
    CacheLimiter::None,
];

fn apply(limiter: CacheLimiter, mut map: HeaderMap, involvement: Involvement) -> HeaderMap {
    CachePolicy::new(limiter).apply(StatusCode::OK, &mut map, involvement, NOW);
    map
}

fn limited<const N: usize>(
    limiter: CacheLimiter,
    involvement: Involvement,
    fields: [(&str, &str); N],
) -> (String, String, String) {
    let map = apply(limiter, headers(fields), involvement);
    (joined(&map, "cache-control"), joined(&map, "expires"), joined(&map, "pragma"))
}

#[test]
fn m09_each_limiter_says_what_php_says() {
    let says = |limiter, involvement| limited(limiter, involvement, []);
    let text = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    let [nocache, private, no_expire, public, none] = LIMITERS;
    for involvement in [READ, SET] {
        let expected = text("no-store, no-cache, must-revalidate", PAST, "no-cache");
        assert_eq!(says(nocache, involvement), expected);
        assert_eq!(says(private, involvement), text("private, max-age=3600", PAST, ""));
        assert_eq!(says(no_expire, involvement), text("private, max-age=3600", "", ""));
        // Its response did open the session.
        assert_eq!(says(public, involvement), text("private, max-age=3600", "", ""));
    }
    let in_an_hour = "Sun, 06 Nov 1994 09:49:37 GMT";
    assert_eq!(says(public, UNTOUCHED), text("public, max-age=3600", in_an_hour, ""));
    assert_eq!(says(none, READ), text("private", "", ""));
    assert_eq!(says(none, SET), text("no-store, no-cache, must-revalidate", "", ""));
}

#[test]
fn the_words_of_php_ini_are_understood() {
    let max_age = Duration::from_secs(180 * 60);
    assert_eq!("nocache".parse(), Ok(CacheLimiter::NoCache));
    assert_eq!("Private".parse(), Ok(CacheLimiter::Private { max_age }));
    assert_eq!("private_no_expire".parse(), Ok(CacheLimiter::PrivateNoExpire { max_age }));
    assert_eq!("public".parse(), Ok(CacheLimiter::Public { max_age }));
    assert_eq!("NONE".parse(), Ok(CacheLimiter::None));
    let wrong = "no-cache".parse::<CacheLimiter>().unwrap_err().to_string();
    assert_eq!(wrong, "\"no-cache\": expected one of nocache, private, private_no_expire, public, none");
}

#[test]
fn s52_a_response_without_a_session_is_left_alone() {
    for limiter in LIMITERS {
        let own = headers([
            ("cache-control", "public, max-age=604800"),
            ("expires", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("cdn-cache-control", "max-age=60"),
        ]);
        assert_eq!(apply(limiter, own.clone(), UNTOUCHED), own);
        if !matches!(limiter, CacheLimiter::Public { .. }) {
            assert!(apply(limiter, HeaderMap::new(), UNTOUCHED).is_empty());
        }
    }
}

#[test]
fn public_does_not_reach_errors_foreign_cookies_or_stated_wishes() {
    let policy = CachePolicy::new(CacheLimiter::Public { max_age: HOUR });
    let public_after = |status: StatusCode, mut map: HeaderMap| {
        policy.apply(status, &mut map, UNTOUCHED, NOW);
        joined(&map, "cache-control").contains("public")
    };
    assert!(public_after(StatusCode::OK, HeaderMap::new()));
    assert!(public_after(StatusCode::NOT_MODIFIED, HeaderMap::new()));
    for status in [StatusCode::SEE_OTHER, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR] {
        assert!(!public_after(status, HeaderMap::new()), "{status}");
    }
    for field in
        [("set-cookie", "theme=dark"), ("expires", "0"), ("pragma", "no-cache"), ("cache-control", "")]
    {
        assert!(!public_after(StatusCode::OK, headers([field])), "{field:?}");
    }
}

#[test]
fn s54_the_status_does_not_matter_where_a_session_is_involved() {
    for limiter in LIMITERS {
        for status in [200, 204, 206, 301, 303, 304, 308, 400, 401, 404, 410, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            let mut map = headers([("cache-control", "public, max-age=60")]);
            CachePolicy::new(limiter).apply(status, &mut map, READ, NOW);
            assert!(!allows(&map).shared_store, "{limiter:?} {status}");
        }
    }
}

#[test]
fn x08_s50_an_applications_own_header_gets_stricter_and_keeps_its_max_age() {
    let cc = |limiter, involvement, own: &str| limited(limiter, involvement, [("cache-control", own)]).0;
    let own = "public, max-age=604800, s-maxage=9";
    let [nocache, private, no_expire, public, none] = LIMITERS;
    for limiter in [private, no_expire, public, none] {
        assert_eq!(cc(limiter, READ, own), "max-age=604800, private", "{limiter:?}");
    }
    assert_eq!(cc(nocache, READ, own), "max-age=604800, private, no-store, no-cache, must-revalidate");
    // With a cookie it lives no longer than the limiter's own, or not at all.
    for limiter in [private, no_expire, public] {
        assert_eq!(cc(limiter, SET, own), "max-age=3600, private", "{limiter:?}");
        assert_eq!(cc(limiter, SET, "max-age=60"), "max-age=60, private", "{limiter:?}");
    }
    for limiter in [nocache, none] {
        assert_eq!(cc(limiter, SET, own), "private, no-store, no-cache, must-revalidate", "{limiter:?}");
    }
}

#[test]
fn none_leaves_an_application_that_closed_shared_caches_itself() {
    for own in ["private", "Private, max-age=60", "no-store", "max-age=5, PRIVATE, x=\"public\"", "private,,"]
    {
        for involvement in [READ, SET] {
            assert_eq!(limited(CacheLimiter::None, involvement, [("cache-control", own)]).0, own);
        }
    }
    for (own, closed) in [
        ("private=\"x-user\"", "private"),
        ("private, public", "private"),
        ("private, s-maxage=60", "private"),
        ("no-store, must-understand", "no-store, private"),
        ("no-cache=\"Set-Cookie\"", "no-cache=\"Set-Cookie\", private"),
        ("", "private"),
        ("max-age = 60", "max-age = 60, private"),
    ] {
        assert_eq!(limited(CacheLimiter::None, READ, [("cache-control", own)]).0, closed, "{own:?}");
    }
}

#[test]
fn several_fields_quotes_and_unknown_directives_are_read_as_they_are_meant() {
    let map = apply(
        CacheLimiter::None,
        headers([
            ("cache-control", "PUBLIC, x-ext=\"a, public, \\\"b\", no-transform"),
            ("cache-control", ", ,community=UCI , stale-while-revalidate=30,immutable"),
        ]),
        READ,
    );
    assert_eq!(
        joined(&map, "cache-control"),
        "x-ext=\"a, public, \\\"b\", no-transform, community=UCI, stale-while-revalidate=30, immutable, private"
    );
    assert_eq!(map.get_all("cache-control").iter().count(), 1);
}

#[test]
fn what_cannot_be_read_is_taken_for_the_strictest() {
    for own in [
        "no-store; private",
        "x=\"open, private",
        "=5",
        "a b",
        "max-age=\"1",
        "x=\"a\"b",
        "x=",
        "\"private\"",
    ] {
        let cc = limited(CacheLimiter::None, READ, [("cache-control", &format!("{own}, max-age=60"))]).0;
        assert!(cc.ends_with("private, no-store, no-cache, must-revalidate"), "{own:?} became {cc:?}");
    }
}

#[test]
fn c11_headers_for_one_kind_of_cache_do_not_open_a_back_door() {
    for limiter in LIMITERS {
        let map = apply(
            limiter,
            headers([
                ("cdn-cache-control", "public, max-age=600"),
                ("cloudflare-cdn-cache-control", "max-age=600"),
                ("vercel-cdn-cache-control", "max-age=600"),
                ("surrogate-control", "max-age=600"),
                ("x-accel-expires", "600"),
                ("edge-control", "cache-maxage=600"),
                ("x-litespeed-cache-control", "public,max-age=600"),
                ("content-type", "text/html"),
            ]),
            READ,
        );
        let left: Vec<&str> = map.keys().map(|name| name.as_str()).collect();
        assert!(
            left.iter().all(|name| matches!(*name, "content-type" | "cache-control" | "expires" | "pragma"))
        );
        assert!(left.contains(&"content-type"));
    }
}

fn directive() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "public",
        "private",
        "no-store",
        "no-cache",
        "must-revalidate",
        "proxy-revalidate",
        "must-understand",
        "no-transform",
        "immutable",
        "community=\"UCI\"",
        "ext=\"a, public\"",
        "ext=\"\\\", private\"",
        "Ext",
        "private=\"x-user\"",
        "no-cache=\"Set-Cookie\"",
        "stale-if-error=60",
        "stale-while-revalidate=60",
        "max-age=abc",
        "max-age",
        "max-age=\"120\"",
        "max-age=99999999999999999999999",
        "",
    ]);
    let timed = (prop::sample::select(vec!["max-age", "s-maxage", "max-age"]), 0u64..10_000)
        .prop_map(|(name, seconds)| format!("{name}={seconds}"));
    (prop_oneof![3 => plain.prop_map(str::to_owned), 1 => timed], 0u8..3).prop_map(
        |(text, case)| match case {
            0 => text.to_uppercase(),
            1 => text
                .split('-')
                .map(|part| part[..part.len().min(1)].to_uppercase() + &part[part.len().min(1)..])
                .collect::<Vec<_>>()
                .join("-"),
            _ => text,
        },
    )
}

fn own_header() -> impl Strategy<Value = HeaderMap> {
    let field = prop::collection::vec((directive(), prop::sample::select(vec![", ", ",", " ,\t"])), 0..6)
        .prop_map(|members| members.into_iter().map(|(d, s)| d + s).collect::<String>());
    prop::collection::vec(field, 0..3).prop_map(|fields| {
        let mut map = HeaderMap::new();
        for field in fields {
            map.append("cache-control", field.parse().unwrap());
        }
        map
    })
}

fn limiter() -> impl Strategy<Value = CacheLimiter> {
    prop::sample::select(LIMITERS.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn c11_s50_never_laxer_than_the_application_and_never_public(
        own in own_header(), limiter in limiter(), sets_cookie: bool,
    ) {
        let before = allows(&own);
        let spoke = own.contains_key("cache-control");
        let map = apply(limiter, own.clone(), Involvement { opened: true, sets_cookie });
        let after = allows(&map);
        let says = joined(&map, "cache-control");
        prop_assert!(!after.shared_store, "{says}");
        prop_assert!(before.private_store || !after.private_store, "{says}");
        prop_assert!(before.stale || !after.stale, "{says}");
        if spoke && after.private_store {
            match (before.private_fresh_for, after.private_fresh_for) {
                (Some(before), Some(after)) => prop_assert!(after <= before, "{says}"),
                (Some(_), None) => prop_assert!(false, "a lifetime was lost: {says}"),
                (None, Some(after)) => prop_assert_eq!(after, 0, "{}", says),
                (None, None) => {}
            }
        }
        // Whatever is not about sharing or lifetime is still there.
        let kept = parse(&map);
        for wish in parse(&own) {
            if matches!(wish.0.as_str(), "no-transform" | "community" | "ext" | "proxy-revalidate") {
                prop_assert!(kept.contains(&wish), "{wish:?} was lost in {says}");
            }
        }
    }

    #[test]
    fn limiting_twice_is_limiting_once(own in own_header(), limiter in limiter(), sets_cookie: bool) {
        let involvement = Involvement { opened: true, sets_cookie };
        let once = apply(limiter, own, involvement);
        let twice = apply(limiter, once.clone(), involvement);
        prop_assert_eq!(allows(&twice), allows(&once));
    }

    #[test]
    fn no_bytes_make_it_panic_or_public(
        raw in prop::collection::vec(any::<u8>(), 0..60), limiter in limiter(), sets_cookie: bool,
    ) {
        if let Ok(value) = http::HeaderValue::from_bytes(&raw) {
            let mut map = HeaderMap::new();
            map.insert("cache-control", value);
            let map = apply(limiter, map, Involvement { opened: true, sets_cookie });
            if map.get("cache-control").unwrap().to_str().is_ok() {
                prop_assert!(!allows(&map).shared_store, "{:?}", map);
            }
        }
    }
}
