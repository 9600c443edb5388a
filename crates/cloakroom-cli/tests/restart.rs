//! What was acknowledged is there after the program ended, however it ended.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::Demo;
use support::http::Visitor;

const GOODS: [&str; 12] = [
    "overcoat",
    "duffle",
    "cape",
    "mackintosh",
    "bowler",
    "fedora",
    "beanie",
    "umbrella",
    "scarf",
    "gloves",
    "satchel",
    "ticket",
];

#[test]
fn c8_baskets_and_logins_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::on(folder.path());
    let mut visitor = demo.visitor();
    visitor.add("cape");
    visitor.get("/login");
    visitor.post("/login", "name=Ada");
    let token = demo.token.clone();
    let (status, said) = demo.terminate();
    assert!(status.success() && said.is_empty(), "{said}");

    let demo = Demo::on(folder.path());
    let mut again = demo.visitor();
    again.cookie = visitor.cookie;
    let page = again.get("/basket");
    assert_eq!(page.in_basket(), 1);
    assert!(page.body.contains("Ada"));
    assert_ne!(demo.token, token, "the admin's token is good until the program stops");
}

#[test]
fn a_clean_stop_leaves_one_tidy_file_and_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::on(folder.path());
    demo.visitor().add("cape");
    // A browser keeps its connection open.
    let _idle = std::net::TcpStream::connect(demo.address()).unwrap();
    let start = Instant::now();
    let (status, _) = demo.terminate();
    assert!(status.success());
    assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["sessions.db", "sessions.db-commits"]);
}

#[test]
fn a_request_that_is_under_way_is_answered_before_the_program_stops() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Demo::on(folder.path());
    let mut visitor = demo.visitor();
    visitor.add("cape");
    visitor.get("/counter");
    let mut slow = visitor.clone();
    let answer = demo.under_way(move || slow.post("/counter/update", ""));
    let (status, _) = demo.terminate();
    assert!(status.success());
    assert_eq!(answer.join().unwrap().status, 303);
    let demo = Demo::on(folder.path());
    let mut again = demo.visitor();
    again.cookie = visitor.cookie;
    assert!(again.get("/counter").body.contains("id=\"number-update\">1<"));
}

/// Visitors who click as fast as they can while the program is killed: after each restart every basket holds what was
/// acknowledged, and at most the one click more whose answer was lost.
#[test]
fn c8_kill_9_loses_nothing_that_was_acknowledged() {
    let rounds = if std::env::var_os("CLOAKROOM_LONG").is_some() { 50 } else { 20 };
    let folder = tempfile::tempdir().unwrap();
    let mut baskets: Vec<(Option<String>, u32)> = vec![(None, 0); 4];
    let (mut clicks, mut round) = (0, 0);
    // And more where hardly anybody comes to click before it is killed: such rounds test nothing.
    while round < rounds || clicks <= rounds as u32 {
        assert!(round < 10 * rounds, "{clicks} clicks in {round} rounds");
        let mut demo = Demo::on(folder.path());
        let mut visitors: Vec<Visitor> = Vec::new();
        for (cookie, acknowledged) in &mut baskets {
            let mut visitor = demo.visitor();
            visitor.cookie = cookie.take();
            let held = visitor.get("/basket").in_basket();
            assert!(
                held == *acknowledged || held == *acknowledged + 1,
                "round {round}: {held} in the basket, {acknowledged} acknowledged"
            );
            visitor.post("/basket/empty", "");
            visitors.push(visitor);
        }
        let acknowledged: Vec<AtomicU32> = baskets.iter().map(|_| AtomicU32::new(0)).collect();
        thread::scope(|scope| {
            for (visitor, acknowledged) in visitors.iter_mut().zip(&acknowledged) {
                scope.spawn(|| click_until_it_dies(visitor, acknowledged));
            }
            // At another moment each time: while the first sessions are made, and in the middle of it.
            thread::sleep(Duration::from_millis(5 + 37 * round % 211));
            // And every other time once something was acknowledged, however slow the machine is.
            let began = Instant::now();
            while round % 2 == 1 && acknowledged.iter().all(|n| n.load(Ordering::Relaxed) < 3) {
                assert!(began.elapsed() < Duration::from_secs(30), "round {round}: {acknowledged:?} clicks");
                thread::sleep(Duration::from_millis(1));
            }
            demo.kill();
        });
        for ((basket, visitor), acknowledged) in baskets.iter_mut().zip(visitors).zip(acknowledged) {
            clicks += acknowledged.load(Ordering::Relaxed);
            // Without a cookie there is no acknowledged click to look for.
            *basket = (visitor.cookie, acknowledged.into_inner());
        }
        round += 1;
    }
}

fn click_until_it_dies(visitor: &mut Visitor, acknowledged: &AtomicU32) {
    // Twenty of each is the most the shop hands out.
    for n in 0..GOODS.len() * 20 {
        let body = format!("csrf_token={}&good={}", visitor.token, GOODS[n % GOODS.len()]);
        match visitor.try_ask("POST", "/basket/add", &[("sec-fetch-site", "same-origin")], &body) {
            Ok(answer) => {
                assert_eq!(answer.status, 303, "{}", answer.body);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => return,
        }
    }
}
