//! Requests of one visitor at the same time: nothing lost, nothing twice, nothing silent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::thread;

use support::http::{Answer, Visitor};
use support::{Demo, between};

/// The same visitor, in this many tabs, at once.
fn at_once(
    visitor: &Visitor,
    tabs: usize,
    act: impl Fn(&mut Visitor, usize) -> Answer + Sync,
) -> Vec<Answer> {
    thread::scope(|scope| {
        let tabs: Vec<_> = (0..tabs)
            .map(|tab| {
                let mut visitor = visitor.clone();
                let act = &act;
                scope.spawn(move || act(&mut visitor, tab))
            })
            .collect();
        tabs.into_iter().map(|tab| tab.join().unwrap()).collect()
    })
}

fn with_session(demo: &Demo) -> Visitor {
    let mut visitor = demo.visitor();
    visitor.add("ticket");
    visitor.get("/counter");
    visitor
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses
}

fn counted(visitor: &mut Visitor, way: &str) -> u32 {
    let page = visitor.get("/counter").body;
    between(&page, &format!("id=\"number-{way}\">"), "<").unwrap().parse().unwrap()
}

#[test]
fn c1_sixty_clicks_in_six_tabs_put_sixty_things_in_the_basket() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::on(folder.path());
    let visitor = with_session(&demo);
    let goods = ["scarf", "gloves", "cape", "bowler", "fedora", "beanie"];
    let answers = at_once(&visitor, 6, |tab, n| {
        for _ in 0..9 {
            assert_eq!(tab.add(goods[n]).status, 303);
        }
        // The last one goes for the same thing as everybody's.
        tab.add("umbrella")
    });
    assert_eq!(statuses(&answers), [303; 6]);
    assert_eq!(visitor.clone().get("/basket").in_basket(), 61);
}

#[test]
fn c9_the_forgetful_clerk_is_refused_with_a_page_and_only_successes_count() {
    let demo = Demo::in_memory();
    let mut visitor = with_session(&demo);
    let answers = at_once(&visitor, 3, |tab, _| tab.post("/counter/count", ""));
    assert_eq!(statuses(&answers), [303, 409, 409]);
    let refused = answers.iter().find(|answer| answer.status == 409).unwrap();
    assert!(refused.body.contains("Two hands on one hanger"), "{}", refused.body);
    assert_eq!(refused.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(refused.header("content-security-policy").is_some());
    assert_eq!(counted(&mut visitor, "count"), 1);
}

#[test]
fn c1_the_quick_clerk_loses_nothing() {
    let demo = Demo::in_memory();
    let mut visitor = with_session(&demo);
    let answers = at_once(&visitor, 5, |tab, _| tab.post("/counter/update", ""));
    assert_eq!(statuses(&answers), [303; 5]);
    assert_eq!(counted(&mut visitor, "update"), 5);
}

#[test]
fn c5_the_careful_clerk_serves_one_after_the_other() {
    let demo = Demo::in_memory();
    let mut visitor = with_session(&demo);
    let start = std::time::Instant::now();
    let answers = at_once(&visitor, 2, |tab, _| tab.post("/counter/lock", ""));
    assert_eq!(statuses(&answers), [303, 303]);
    assert!(start.elapsed().as_secs() >= 4, "two seconds each, one after the other: {:?}", start.elapsed());
    assert_eq!(counted(&mut visitor, "lock"), 2);
}

#[test]
fn c5_a_lock_that_is_not_to_be_had_in_time_is_a_page_423() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("cloakroom.toml");
    std::fs::write(&config, "driver = \"memory\"\n[concurrency]\nwait = \"200ms\"\n").unwrap();
    let demo = Demo::start(support::program().args(["--listen", "0", "--config"]).arg(&config));
    let visitor = with_session(&demo);
    let answers = at_once(&visitor, 2, |tab, _| tab.post("/counter/lock", ""));
    assert_eq!(statuses(&answers), [303, 423]);
    let refused = answers.iter().find(|answer| answer.status == 423).unwrap();
    assert!(refused.body.contains("Somebody is at the counter"), "{}", refused.body);
}

#[test]
fn a_checkout_in_four_tabs_buys_once() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::on(folder.path());
    let mut visitor = with_session(&demo);
    visitor.add("cape");
    let answers = at_once(&visitor, 4, |tab, _| tab.post("/checkout", ""));
    let went = |to| answers.iter().filter(|answer| answer.header("location") == Some(to)).count();
    assert_eq!((went("/receipt"), went("/basket")), (1, 3));
    let receipt = visitor.get("/receipt").body;
    assert!(receipt.contains("<strong>1</strong>") && receipt.contains("€289"), "{receipt}");
    assert_eq!(visitor.get("/basket").in_basket(), 0);
}

#[test]
fn c2_a_click_in_flight_does_not_bring_a_session_back_that_was_logged_out() {
    let demo = Demo::in_memory();
    let mut visitor = with_session(&demo);
    visitor.post("/login", "name=Ada");
    visitor.get("/counter");
    let mut late = visitor.clone();
    let writer = demo.under_way(move || late.post("/counter/update", ""));
    let mut replay = visitor.clone();
    assert_eq!(visitor.post("/logout", "").status, 303);
    let answer = writer.join().unwrap();
    assert_eq!(answer.status, 410);
    assert!(answer.body.contains("That ticket was handed in"), "{}", answer.body);
    assert_eq!(answer.header("set-cookie"), None);
    assert!(!replay.get("/").body.contains("Ada"));
}
