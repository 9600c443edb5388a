//! The shop over plain HTTP: headers, forms, refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use support::http::{Answer, Visitor};
use support::{Demo, between};

const SHOP_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; \
                           base-uri 'none'";

fn assert_guarded(answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("data:"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    assert_eq!(answer.header("referrer-policy"), Some("same-origin"));
    assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"));
}

#[test]
fn every_response_carries_the_policy_and_its_fellows() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    for path in ["/", "/goods/cape", "/basket", "/login", "/devices", "/counter", "/goodbye"] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_guarded(&answer);
        assert_eq!(answer.header("content-security-policy"), Some(SHOP_POLICY), "{path}");
        assert!(!answer.body.contains("<script") && !answer.body.contains("style="), "{path}");
    }
    for (path, status) in [
        ("/nope", 404),
        ("/goods/nope", 404),
        ("/admin", 303),
        ("/admin/enter", 200),
        ("/assets/base.css", 200),
    ] {
        let answer = visitor.get(path);
        assert_eq!(answer.status, status, "{path}");
        assert_guarded(&answer);
    }
    assert_guarded(&visitor.add("cape"));
}

#[test]
fn no_page_asks_another_site_for_anything() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    visitor.add("cape");
    for path in ["/", "/goods/ticket", "/basket", "/login", "/devices", "/counter", "/admin/enter", "/nope"] {
        let body = visitor.get(path).body;
        for forbidden in ["http://", "https://", "src=\"//", "href=\"//", "@import"] {
            assert!(!body.contains(forbidden), "{path}: {forbidden}");
        }
    }
}

#[test]
fn s70_looking_around_makes_no_session_and_sends_no_cookie() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    for path in ["/", "/goods/cape", "/basket", "/login", "/devices", "/counter", "/nope", "/assets/shop.css"]
    {
        assert_eq!(visitor.get(path).header("set-cookie"), None, "{path}");
    }
    assert_eq!(visitor.cookie, None);
    let added = visitor.add("cape");
    assert_eq!((added.status, added.header("location")), (303, Some("/#cape")));
    let cookie = added.header("set-cookie").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"),
        "{cookie}"
    );
    assert_eq!(visitor.get("/").header("set-cookie"), None, "S28: nothing changed, nothing sent");
}

#[test]
fn s52_assets_are_kept_by_browsers_and_know_no_session() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    visitor.add("cape");
    let page = visitor.get("/").body;
    let sheet = between(&page, "<link rel=\"stylesheet\" href=\"", "\"").unwrap();
    let answer = visitor.get(sheet);
    assert_eq!(answer.header("content-type"), Some("text/css; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!((answer.header("vary"), answer.header("set-cookie")), (None, None));
    // A page with the visitor's own things on it is not kept.
    let page = visitor.get("/");
    assert!(page.header("cache-control").unwrap().contains("no-store"));
    assert_eq!(page.header("vary"), Some("Cookie"));
}

#[test]
fn a_page_that_is_not_there_and_a_wrong_method_are_pages_too() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    for (method, path, status, words) in [
        ("GET", "/nope", 404, "Nothing hangs here"),
        ("GET", "/goods/nope", 404, "Nothing hangs here"),
        ("GET", "/assets/nope.css", 404, "Nothing hangs here"),
        ("GET", "/admin/nope", 404, "Nothing hangs here"),
        ("GET", "/receipt", 404, "Nothing hangs here"),
        ("DELETE", "/", 405, "Not that way"),
        ("GET", "/checkout", 405, "Not that way"),
        ("GET", "/admin/revoke", 405, "Not that way"),
    ] {
        let answer = visitor.ask(method, path, &[("sec-fetch-site", "same-origin")], "");
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{method} {path}");
        assert!(answer.body.contains(words), "{method} {path}");
    }
}

#[test]
fn a_form_that_somebody_changed_is_refused_and_changes_nothing() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    visitor.add("cape");
    visitor.get("/");
    for (path, fields, status) in [
        ("/basket/add", "good=crown-jewels", 404),
        ("/basket/add", "", 422),
        ("/basket/quantity", "good=cape&quantity=-1", 422),
        ("/basket/quantity", "good=cape&quantity=many", 422),
        ("/counter/nope", "", 404),
        ("/login", "name=", 422),
        ("/login", "name=a%00b", 422),
        ("/login", "name=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 422),
    ] {
        let answer = visitor.post(path, fields);
        assert_eq!(answer.status, status, "{path} {fields}");
        assert!(answer.body.contains("<!doctype html>"), "{path} {fields}");
    }
    let huge = "x".repeat(20_000);
    assert_eq!(visitor.post("/login", &format!("name={huge}")).status, 413);
    assert_eq!(visitor.get("/basket").in_basket(), 1);
}

#[test]
fn s55_s56_requests_from_other_sites_are_refused_by_what_the_browser_says_and_by_token() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    visitor.add("cape");
    visitor.get("/");
    let token = visitor.token.clone();
    assert!(token.len() > 20);
    let own = demo.base.clone();
    let ask = |visitor: &mut Visitor, headers: &[(&str, &str)], token: &str| {
        visitor.ask("POST", "/basket/add", headers, &format!("csrf_token={token}&good=cape")).status
    };
    let site = |word| [("sec-fetch-site", word)];
    assert_eq!(ask(&mut visitor, &site("cross-site"), &token), 403, "cross-site, even with the token");
    assert_eq!(ask(&mut visitor, &[("origin", "https://evil.example")], &token), 403);
    assert_eq!(ask(&mut visitor, &[("origin", "null")], &token), 403);
    assert_eq!(ask(&mut visitor, &[], ""), 403, "a browser that says nothing, and no token");
    assert_eq!(ask(&mut visitor, &site("same-origin"), "wrong"), 403, "the second lock on the same door");
    assert_eq!(visitor.get("/basket").in_basket(), 1, "none of them did anything");
    // S58: the wrong one did not use the right one up.
    assert_eq!(ask(&mut visitor, &site("same-origin"), &token), 303);
    assert_eq!(ask(&mut visitor, &[("origin", &own)], &token), 303, "an older browser, by its Origin");
    assert_eq!(visitor.get("/basket").in_basket(), 3);
}

#[test]
fn s57_a_logged_in_visitor_needs_the_token_and_login_changes_it() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    visitor.add("cape");
    visitor.get("/login");
    let before = visitor.token.clone();
    assert_eq!(visitor.post("/login", "name=Ada").status, 303);
    let without = visitor.ask("POST", "/basket/add", &[("sec-fetch-site", "same-origin")], "good=cape");
    assert_eq!(without.status, 403);
    assert!(without.body.contains("older than your login"), "{}", without.body);
    visitor.token = before;
    assert_eq!(visitor.add("cape").status, 403, "the token from before the login");
    visitor.get("/");
    assert_eq!(visitor.add("cape").status, 303);
    assert_eq!(visitor.get("/basket").in_basket(), 2);
}

#[test]
fn s29_login_changes_the_id_keeps_the_basket_and_the_old_id_is_dead() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    visitor.add("cape");
    let mut thief = visitor.clone();
    visitor.get("/login");
    assert_eq!(visitor.post("/login", "name=Ada").status, 303);
    assert_ne!(visitor.cookie, thief.cookie);
    assert_eq!(visitor.get("/basket").in_basket(), 1);
    assert_eq!(thief.get("/basket").in_basket(), 0);
    assert!(!thief.get("/").body.contains("Ada"));
    // S12: the id is on no page.
    let id = visitor.cookie.clone().unwrap();
    let id = id.split_once('=').unwrap().1;
    for path in ["/", "/devices", "/basket"] {
        assert!(!visitor.get(path).body.contains(id), "{path}");
    }
    // Another user's login over it starts empty.
    visitor.get("/login");
    visitor.post("/login", "name=Grace");
    assert_eq!(visitor.get("/basket").in_basket(), 0);
}

#[test]
fn s42_logout_ends_the_session_and_its_cookie() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    visitor.add("cape");
    visitor.get("/login");
    visitor.post("/login", "name=Ada");
    visitor.get("/");
    let mut replay = visitor.clone();
    let left = visitor.post("/logout", "");
    assert_eq!((left.status, left.header("location")), (303, Some("/goodbye")));
    assert_eq!(visitor.cookie, None, "the cookie was taken back");
    assert!(visitor.get("/goodbye").body.contains("Your hook is empty"));
    assert_eq!(replay.get("/basket").in_basket(), 0, "the id means nothing any more");
}

#[test]
fn names_are_shown_as_text_whatever_they_are() {
    let demo = Demo::in_memory();
    let mut visitor = demo.visitor();
    visitor.post("/login", "name=%3Cimg%20src%3Dx%20onerror%3D1%3E%22'%26");
    let body = visitor.get("/devices").body;
    assert!(!body.contains("<img"), "{body}");
    assert!(body.contains("&#60;img") || body.contains("&lt;img"), "{body}");
}
