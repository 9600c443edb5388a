//! The worked migration through nginx: one visitor in two languages, and the day on which PHP goes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use support::{House, Visitor};

#[test]
fn a_visitor_has_one_basket_one_login_and_one_logout_in_both_languages() {
    let house = House::open();
    let mut visitor = house.visitor();
    assert!(visitor.get("/").body.contains("made by <b>PHP</b>"));
    visitor.post("/add", "good=scarf").sees_other("/");
    let page = visitor.get("/basket");
    assert!(page.body.contains("made by <b>Rust</b>"), "{}", page.body);
    assert_eq!(page.count(), 1, "PHP's scarf");
    visitor.post("/basket", "more=scarf").sees_other("/basket");
    visitor.post("/add", "good=bowler").sees_other("/");
    assert_eq!(visitor.get("/").count(), 3, "Rust's scarf is in it");

    // Logged in by PHP, on a new id; known to Rust.
    visitor.get("/account").sees_other("/login");
    let before = visitor.cookie.clone();
    visitor.post("/login", "name=Ada+%26+Co").sees_other("/");
    assert_ne!(visitor.cookie, before);
    assert_eq!(visitor.get("/account").user(), Some("Ada &amp; Co"));
    assert_eq!(visitor.get("/basket").count(), 3, "the basket came along");
    let mut thief = visitor.clone();
    thief.cookie = before;
    assert_eq!(
        (thief.get("/").count(), thief.get("/basket").count()),
        (0, 0),
        "the old id is dead on both sides"
    );

    // Out on Rust's side is out on PHP's; and the other way round.
    let mut tab = visitor.clone();
    visitor.post("/account/logout", "").sees_other("/");
    assert_eq!((tab.get("/").user(), tab.get("/basket").count()), (None, 0));
    let mut visitor = house.visitor();
    visitor.post("/login", "name=Grace").sees_other("/");
    let mut tab = visitor.clone();
    assert_eq!(tab.get("/account").user(), Some("Grace"));
    visitor.post("/logout", "").sees_other("/");
    tab.get("/account").sees_other("/login");
    assert_eq!(house.complaints(), "");
}

#[test]
fn c1_c2_sessions_move_under_load_and_none_is_lost_forked_or_revived() {
    const VISITORS: usize = 4;
    let mut house = House::open();
    let visitors: Vec<Visitor> = (0..VISITORS)
        .map(|n| {
            let mut visitor = house.visitor();
            visitor.post("/login", &format!("name=visitor{n}")).sees_other("/");
            visitor
        })
        .collect();
    let (over, added) = (AtomicBool::new(false), [const { AtomicU32::new(0) }; VISITORS]);
    let mut leaver = house.visitor();
    leaver.post("/login", "name=leaver").sees_other("/");
    std::thread::scope(|scope| {
        for (visitor, added) in visitors.iter().zip(&added) {
            // Two tabs, one in each language to begin with.
            for (path, form) in [("/add", "good=scarf"), ("/basket", "more=gloves")] {
                let (mut tab, over) = (visitor.clone(), &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let answer = tab.post(path, form);
                        match answer.status {
                            303 => added.fetch_add(1, Ordering::Relaxed),
                            // Said to be undone; a busy machine may take its time.
                            423 | 503 => 0,
                            other => panic!("{path}: {other} {}", answer.body),
                        };
                        assert_eq!(tab.cookie, visitor.cookie, "nobody is given another session");
                    }
                });
            }
        }
        let some = |more: u32| {
            let enough: Vec<u32> = added.iter().map(|n| n.load(Ordering::Relaxed) + more).collect();
            let began = Instant::now();
            while added.iter().zip(&enough).any(|(n, enough)| n.load(Ordering::Relaxed) < *enough) {
                assert!(began.elapsed() < Duration::from_secs(60), "hardly anything is added: {added:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
        };
        some(10);
        house.go_on("Every route is Rust's");
        some(10);
        over.store(true, Ordering::Relaxed);
    });
    for (n, (visitor, added)) in visitors.iter().zip(&added).enumerate() {
        let mut visitor = visitor.clone();
        let page = visitor.get("/");
        assert!(page.body.contains("made by <b>Rust</b>"));
        assert_eq!(page.user(), Some(format!("visitor{n}").as_str()));
        assert_eq!(page.count(), added.load(Ordering::Relaxed), "visitor {n}");
    }
    // Who was not there during the move, is logged in all the same; and logged out for good.
    let mut tab = leaver.clone();
    assert_eq!(tab.get("/").user(), Some("leaver"));
    leaver.post("/logout", "").sees_other("/");
    assert_eq!(tab.get("/").user(), None);
    tab.get("/account").sees_other("/login");

    house.go_on("PHP is gone");
    let mut visitor = visitors[0].clone();
    assert_eq!(visitor.get("/").user(), Some("visitor0"));
    visitor.post("/login", "name=Somebody").sees_other("/");
    assert_eq!(visitor.get("/account").user(), Some("Somebody"));
    assert_eq!(house.complaints(), "");
}

#[test]
fn told_to_stop_while_it_opens_it_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();
    let house = House::start(scratch.path());
    let began = Instant::now();
    // Redis and PHP-FPM run by now, the service and nginx do not.
    while !has(scratch.path(), "php.sock") {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not open");
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(house);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0, "its folder is still there");
}

/// Whether there is something of this name in a folder of this one.
fn has(scratch: &Path, name: &str) -> bool {
    let mut folders = std::fs::read_dir(scratch).unwrap();
    folders.any(|folder| folder.is_ok_and(|folder| folder.path().join(name).exists()))
}
