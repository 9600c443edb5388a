//! The cache limiter against a model of an HTTP cache: never public, never laxer than the application.
//!
//! The first byte chooses the limiter and whether a cookie is set, each line after it is one `Cache-Control` field.

#![no_main]

use std::time::Duration;

use cloakroom::{CacheLimiter, fuzzing};
use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/cloakroom/src/http/tests/cache_model.rs"]
mod cache_model;

use cache_model::{allows, parse};

fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else { return };
    let max_age = Duration::from_secs(3600);
    let limiter = match choice % 5 {
        0 => CacheLimiter::NoCache,
        1 => CacheLimiter::Private { max_age },
        2 => CacheLimiter::PrivateNoExpire { max_age },
        3 => CacheLimiter::Public { max_age },
        _ => CacheLimiter::None,
    };
    let sets_cookie = choice & 0x80 != 0;
    let mut own = HeaderMap::new();
    for line in text.split(|b| *b == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            own.append("cache-control", value);
        }
    }
    let mut limited = own.clone();
    fuzzing::limit(limiter, &mut limited, sets_cookie);
    assert!(limited.contains_key("cache-control"));
    assert_eq!(limited.get("vary").map(HeaderValue::as_bytes), Some(&b"Cookie"[..]));

    // The model reads text.
    let is_text = |map: &HeaderMap| map.get_all("cache-control").iter().all(|value| value.to_str().is_ok());
    if !is_text(&own) || !is_text(&limited) {
        return;
    }
    let (before, after) = (allows(&own), allows(&limited));
    let said = || format!("{:?} became {:?}", parse(&own), parse(&limited));
    assert!(!after.shared_store, "{}", said());
    assert!(before.private_store || !after.private_store, "{}", said());
    assert!(before.stale || !after.stale, "{}", said());
    if own.contains_key("cache-control") && after.private_store {
        let fresh = |allowed: Option<u64>| allowed.unwrap_or(u64::MAX);
        assert!(fresh(after.private_fresh_for) <= fresh(before.private_fresh_for), "{}", said());
    }
    let mut twice = limited.clone();
    fuzzing::limit(limiter, &mut twice, sets_cookie);
    assert_eq!(allows(&twice), after, "{}", said());
});
