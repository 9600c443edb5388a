use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName};
use proptest::prelude::*;

use super::{headers, joined};
use crate::http::vary::add;

fn varied<const N: usize>(fields: [(&str, &str); N]) -> HeaderMap {
    let mut map = headers(fields);
    add(&mut map, &COOKIE);
    map
}

#[test]
fn s53_cookie_is_added_to_what_is_there() {
    assert_eq!(joined(&varied([]), "vary"), "Cookie");
    assert_eq!(joined(&varied([("vary", "Accept-Encoding")]), "vary"), "Accept-Encoding, Cookie");
    let two = varied([("vary", "Accept"), ("vary", "Accept-Language, Origin")]);
    assert_eq!(joined(&two, "vary"), "Accept, Cookie, Accept-Language, Origin");
    assert_eq!(joined(&varied([("vary", "")]), "vary"), "Cookie");
    assert_eq!(joined(&varied([("vary", "X-Cookie, Cookies")]), "vary"), "X-Cookie, Cookies, Cookie");
}

#[test]
fn s53_none_twice_and_the_star_is_untouched() {
    for kept in ["Cookie", "cookie", "COOKIE", "Accept, cOOkie", "Cookie,Accept", " Accept ,\tcookie\t"] {
        let map = varied([("vary", kept)]);
        assert_eq!(map.get("vary").unwrap(), kept.as_bytes(), "{kept:?}");
        assert_eq!(map.get_all("vary").iter().count(), 1);
    }
    assert_eq!(joined(&varied([("vary", "*")]), "vary"), "*");
    assert_eq!(joined(&varied([("vary", "Accept"), ("vary", "\t*")]), "vary"), "Accept, \t*");
    assert_eq!(joined(&varied([("vary", "Accept"), ("vary", "cookie")]), "vary"), "Accept, cookie");
}

#[test]
fn other_transports_have_their_own_header() {
    let mut map = HeaderMap::new();
    add(&mut map, &HeaderName::from_static("x-session-id"));
    add(&mut map, &AUTHORIZATION);
    assert_eq!(joined(&map, "vary"), "x-session-id, Authorization");
}

proptest! {
    #[test]
    fn s53_adding_keeps_every_value_and_twice_is_once(
        fields in prop::collection::vec("[A-Za-z, *-]{0,20}|(Accept|Cookie|\\*)(, ?[a-zA-Z-]{1,8}){0,3}", 0..4)
    ) {
        let members = |map: &HeaderMap| -> Vec<String> {
            map.get_all("vary").iter().flat_map(|v| v.to_str().unwrap().split(',').map(|m| m.trim().to_lowercase()))
                .filter(|m| !m.is_empty()).collect()
        };
        let mut map = HeaderMap::new();
        for field in &fields {
            map.append("vary", field.parse().unwrap());
        }
        let before = members(&map);
        add(&mut map, &COOKIE);
        let after = members(&map);
        let covered = before.iter().any(|m| m == "*" || m == "cookie");
        let mut left = after.clone();
        for member in &before {
            let at = left.iter().position(|m| m == member);
            prop_assert!(at.is_some(), "{member} was lost");
            left.remove(at.unwrap());
        }
        prop_assert_eq!(left, if covered { vec![] } else { vec!["cookie".to_owned()] });
        add(&mut map, &COOKIE);
        prop_assert_eq!(members(&map), after);
    }
}
