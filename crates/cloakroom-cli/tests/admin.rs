//! The admin page over plain HTTP: who gets in, what it shows, what it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use support::http::Visitor;
use support::{Demo, between};

fn staff(demo: &Demo) -> Visitor {
    let mut staff = demo.visitor();
    let answer = staff.post("/admin/enter", &format!("token={}", demo.token));
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin")));
    staff.get("/admin");
    staff
}

fn user(demo: &Demo, name: &str) -> Visitor {
    let mut visitor = demo.visitor();
    assert_eq!(visitor.post("/login", &format!("name={name}")).status, 303);
    visitor
}

/// The value of a tile, as the page says it.
fn tile(page: &str, id: &str) -> String {
    let tile = between(page, &format!("data-tile=\"{id}\""), "</article>").unwrap();
    between(tile, "class=\"tile-value\">", "<").unwrap().to_owned()
}

#[test]
fn nothing_behind_the_counter_is_seen_or_done_without_the_token() {
    let demo = Demo::in_memory();
    let mut stranger = demo.visitor();
    let answer = stranger.get("/admin");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin/enter")));
    for path in ["/admin/numbers", "/admin/metrics"] {
        assert_eq!(stranger.get(path).status, 401, "{path}");
    }
    let mut victim = user(&demo, "Ada");
    for (path, fields) in [
        ("/admin/revoke-user", "user=Ada"),
        ("/admin/revoke-everybody", "sure=yes"),
        ("/admin/revoke", "handle=x"),
    ] {
        assert_eq!(stranger.post(path, fields).status, 401, "{path}");
    }
    for wrong in ["", "wrong", &demo.token[1..], &demo.token.to_lowercase()] {
        let answer = stranger.post("/admin/enter", &format!("token={wrong}"));
        assert_eq!(answer.status, 401);
        assert!(answer.body.contains("That is not the token"));
    }
    assert_eq!(stranger.cookie, None, "S70: wrong guesses leave no session behind");
    assert!(victim.get("/").body.contains("Ada"));
    // A user of the shop who calls himself what the staff is called inside is a user of the shop.
    let mut pretender = user(&demo, "staff");
    assert_eq!(pretender.get("/admin").status, 303);
    pretender.cookie = pretender.cookie.map(|cookie| cookie.replacen("id=", "admin=", 1));
    assert_eq!(pretender.get("/admin").status, 303);
}

#[test]
fn the_token_is_not_for_guessing() {
    let demo = Demo::in_memory();
    let mut guesser = demo.visitor();
    for _ in 0..10 {
        assert_eq!(guesser.post("/admin/enter", "token=guess").status, 401);
    }
    let answer = guesser.post("/admin/enter", "token=guess");
    assert_eq!(answer.status, 429);
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    // Not even the right one, or the answer would tell; by the other door neither.
    assert_eq!(guesser.post("/admin/enter", &format!("token={}", demo.token)).status, 429);
    let bearer = format!("Bearer {}", demo.token);
    assert_eq!(guesser.ask("GET", "/admin/metrics", &[("authorization", &bearer)], "").status, 429);
}

#[test]
fn the_staff_has_a_cookie_of_its_own_beside_the_shop_s() {
    let demo = Demo::in_memory();
    let mut staff = demo.visitor();
    let entered = staff.post("/admin/enter", &format!("token={}", demo.token));
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.starts_with("admin="), "{cookie}");
    assert!(cookie.contains("SameSite=Strict") && cookie.contains("HttpOnly"), "{cookie}");
    // Both at once: neither layer takes the other's.
    let mut customer = user(&demo, "Ada");
    customer.cookie = Some(format!("{}; {}", customer.cookie.unwrap(), staff.cookie.clone().unwrap()));
    assert!(customer.get("/").body.contains("Ada"));
    let page = customer.get("/admin");
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy").unwrap().contains("script-src 'self'; connect-src 'self'")
    );
    assert!(page.body.contains("<noscript><meta http-equiv=\"refresh\""), "without the script it moves too");
    // Leaving ends the one and not the other.
    assert_eq!(customer.post("/admin/leave", "").status, 303);
    assert_eq!(staff.get("/admin").status, 303);
    assert_eq!(demo.metric("cloakroom_sessions_ended_total"), 0);
}

#[test]
fn the_numbers_are_the_shop_s_and_they_move() {
    let demo = Demo::in_memory();
    let mut staff = staff(&demo);
    let before = staff.get("/admin").body;
    assert_eq!((tile(&before, "live").as_str(), tile(&before, "commits").as_str()), ("0", "0"));

    let mut visitor = demo.visitor();
    visitor.add("cape");
    visitor.get("/");
    visitor.add("cape");
    let mut unknown = demo.visitor();
    unknown.cookie = Some(format!(
        "id={}",
        visitor.cookie.clone().unwrap().split_at(3).1.chars().rev().collect::<String>()
    ));
    unknown.get("/");

    let after = staff.get("/admin").body;
    assert_eq!(tile(&after, "live"), "1");
    assert_ne!(tile(&after, "commits"), "0");
    assert_eq!(tile(&after, "unknown"), "1", "S10");
    let json = staff.get("/admin/numbers");
    assert_eq!(json.header("content-type"), Some("application/json"));
    let tiles: serde_json::Value = serde_json::from_str(&json.body).unwrap();
    assert_eq!(tiles["instance"].as_str().unwrap().split(',').next(), Some(demo.address()));
    let live = tiles["tiles"].as_array().unwrap().iter().find(|tile| tile["id"] == "live").unwrap();
    assert_eq!(live["value"], "1");
    assert!(live["spark"]["line"].as_str().unwrap().contains("180.0,"));
    assert_eq!(demo.metric("cloakroom_unknown_ids_total"), 1);
    assert_eq!(demo.metric("cloakroom_sessions_created_total"), 1);
    assert_eq!(staff.get("/admin/metrics").status, 200, "in the browser, without the header");
}

#[test]
fn s39_an_open_admin_page_is_no_sign_of_life() {
    let demo = Demo::in_memory();
    let mut staff = staff(&demo);
    for _ in 0..3 {
        // Polling sends no cookie anew and is answered from the same session.
        let answer = staff.get("/admin/numbers");
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
    }
}

#[test]
fn s46_one_session_is_found_by_its_user_and_ended() {
    let demo = Demo::in_memory();
    let mut staff = staff(&demo);
    let mut first = user(&demo, "Ada");
    let mut second = user(&demo, "Ada");
    let mut other = user(&demo, "Grace");
    let all = staff.get("/admin").body;
    assert_eq!(all.matches("name=\"handle\"").count(), 3);
    let found = staff.get("/admin?user=Ada").body;
    assert_eq!(found.matches("name=\"handle\"").count(), 2);
    assert!(staff.get("/admin?user=Nobody").body.contains("Nobody has no session"));
    let handle = between(&found, "name=\"handle\" value=\"", "\"").unwrap();
    let ended = staff.post("/admin/revoke", &format!("handle={handle}&user=Ada"));
    assert_eq!(ended.header("location"), Some("/admin?user=Ada#sessions"));
    assert!(staff.get("/admin?user=Ada").body.contains("That session is over"));
    // Exactly the one: which of the two the list named first does not matter.
    let still_in = [&mut first, &mut second].map(|visitor| visitor.get("/").body.contains("Ada"));
    assert!(still_in[0] != still_in[1], "{still_in:?}");
    assert!(other.get("/").body.contains("Grace"));
    staff.post("/admin/revoke", &format!("handle={handle}"));
    assert!(staff.get("/admin").body.contains("over already"));
}

#[test]
fn s46_all_sessions_of_a_user_and_everybody_s_are_ended() {
    let demo = Demo::in_memory();
    let mut staff = staff(&demo);
    let mut ada: Vec<Visitor> = (0..3).map(|_| user(&demo, "Ada")).collect();
    let mut grace = user(&demo, "Grace");
    let mut nobody = demo.visitor();
    nobody.add("cape");
    staff.post("/admin/revoke-user", "user=Ada");
    assert!(staff.get("/admin").body.contains("All 3 sessions of Ada are over"));
    assert!(ada.iter_mut().all(|visitor| !visitor.get("/").body.contains("Ada")));
    assert!(grace.get("/").body.contains("Grace"));
    staff.post("/admin/revoke-everybody", "");
    assert!(staff.get("/admin").body.contains("Tick the box"));
    assert!(grace.get("/").body.contains("Grace"));
    staff.post("/admin/revoke-everybody", "sure=yes");
    assert!(staff.get("/admin").body.contains("2 sessions are over"));
    assert!(!grace.get("/").body.contains("Grace"));
    assert_eq!(nobody.get("/basket").in_basket(), 0);
}

#[test]
fn a_long_list_has_pages() {
    let demo = Demo::in_memory();
    let mut staff = staff(&demo);
    for _ in 0..30 {
        demo.visitor().add("cape");
    }
    let first = staff.get("/admin").body;
    assert_eq!(first.matches("name=\"handle\"").count(), 25);
    assert!(first.contains("Next page") && !first.contains("Earlier page"));
    let second = staff.get("/admin?page=1").body;
    assert!(!second.contains("Next page") && second.contains("Earlier page"));
    assert_eq!(second.matches("name=\"handle\"").count(), 5);
    assert_eq!(staff.get("/admin?page=999999").status, 200);
}

#[test]
fn c10_neither_the_token_nor_an_id_is_ever_written_to_the_log() {
    let demo = Demo::start(
        support::program().env("RUST_LOG", "trace").args(["--listen", "0", "--store", "memory:"]),
    );
    let token = demo.token.clone();
    let mut staff = staff(&demo);
    let mut visitor = user(&demo, "Ada");
    visitor.get("/");
    visitor.add("cape");
    demo.visitor().post("/admin/enter", "token=a-wrong-guess-of-somebody");
    let handle = staff.get("/admin?user=Ada").body;
    let handle = between(&handle, "name=\"handle\" value=\"", "\"").unwrap().to_owned();
    staff.post("/admin/revoke", &format!("handle={handle}"));
    let secrets = [staff.cookie.clone().unwrap(), visitor.cookie.clone().unwrap()];
    let (status, log) = demo.terminate();
    assert!(status.success());
    assert!(log.contains("Created"), "the log is on: {log}");
    assert!(!log.contains(&token) && !log.contains("a-wrong-guess"));
    for cookie in &secrets {
        let id = cookie.split_once('=').unwrap().1;
        assert!(!log.contains(id), "an id in the log");
    }
}
