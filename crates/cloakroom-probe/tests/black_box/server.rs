//! A server under the sessions: what is asked of it, and what its troubles look like from outside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::monitor::Asked;
use crate::harness::{Place, Visitor, cached, dump, on_redis, on_redis_and_clusters, sleep_ms};

on_redis_and_clusters! {
    c12_a_request_asks_as_little_of_the_server_as_it_can,
    p09_a_server_that_was_flushed_gives_a_new_session_and_no_error,
    s06_a_dump_of_the_server_holds_no_usable_cookie,
}

// What becomes of the nodes of a cluster: the soak.
on_redis! {
    c9_while_the_server_is_away_nothing_is_lost_and_no_cookie_touched,
    c9_a_server_that_stands_still_holds_nobody_up,
    c1_c9_a_crowd_is_answered_in_time_and_truly_whatever_befalls_the_server,
}

cached! { c9_a_server_that_stands_still_holds_nobody_up }

/// Every command that the servers are sent, by their own count: the time is told by each script, and not asked for until none came for ten
/// seconds.
async fn c12_a_request_asks_as_little_of_the_server_as_it_can(place: Place) {
    let probe = place.start(&[]);
    let (visitor, nobody) = (probe.visitor_with_session().await, probe.visitor());
    // Each script was sent once to each server, and its clock is known.
    for _ in 0..40 {
        probe.get("/set/k/0").await.ok();
    }
    for route in ["/set/k/0", "/put/k/0"] {
        visitor.get(route).await.ok();
    }
    let mut asked = Asked::of(&probe);
    for (who, route, commands) in [
        (Some(&visitor), "/plain", &[][..]),
        (None, "/plain", &[]),
        (None, "/get/k", &[]),
        (Some(&visitor), "/get/k", &["GET"]),
        (Some(&visitor), "/all", &["GET"]),
        (Some(&visitor), "/set/k/1", &["GET", "WRITE"]),
        (Some(&visitor), "/put/k/2", &["GET", "WRITE"]),
        (Some(&visitor), "/incr/n", &["GET", "WRITE"]),
        (None, "/set/k/1", &["WRITE"]),
    ] {
        drop(asked.since());
        who.unwrap_or(&nobody).get(route).await;
        assert_eq!(asked.since(), commands, "{route}, with a session: {}", who.is_some());
    }
}

/// Waits until a visitor is served again; how long that took.
async fn back(visitor: &Visitor) -> Duration {
    let began = Instant::now();
    while visitor.get("/get/seed").await.without_cookie().status != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "the service does not come back");
        sleep_ms(10).await;
    }
    began.elapsed()
}

const ROUTES: [&str; 7] =
    ["/get/seed", "/set/seed/2", "/put/seed/2", "/login/ada", "/regenerate", "/destroy", "/lock-count/n"];

async fn c9_while_the_server_is_away_nothing_is_lost_and_no_cookie_touched(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    probe.server().kill();
    let began = Instant::now();
    for route in ROUTES {
        let response = visitor.get(route).await;
        assert_eq!(response.without_cookie().status, 503, "{route}: {response:?}");
    }
    assert_eq!(probe.get("/set/k/1").await.without_cookie().status, 503);
    visitor.get("/plain").await.ok();
    // Refused at once, not after a deadline each.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    probe.server().start_again();
    let took = back(&visitor).await;
    assert!(took < Duration::from_secs(1), "back {took:?} after the server");
    assert_eq!(visitor.get("/get/seed").await.number(), 1, "what was refused is not there");
    assert_eq!(visitor.get("/whoami").await.status, 404);
    visitor.get("/set/seed/3").await.ok();
}

async fn c9_a_server_that_stands_still_holds_nobody_up(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    probe.server().pause();
    for route in ROUTES {
        let began = Instant::now();
        let response = visitor.get(route).await;
        assert_eq!(response.without_cookie().status, 503, "{route}: {response:?}");
        assert!(began.elapsed() < Duration::from_secs(7), "{route} took {:?}", began.elapsed());
    }
    let began = Instant::now();
    visitor.get("/get/seed").await.without_cookie();
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    probe.server().resume();
    let took = back(&visitor).await;
    assert!(took < Duration::from_secs(1), "back {took:?} after the server");
    assert_eq!(visitor.get("/get/seed").await.number(), 1);
}

/// What befalls a server while dozens of requests are under way, each of which is answered in time; afterwards the service is back within a
/// second, and what is stored is what was acknowledged, and beyond that at most what was told as unknown.
async fn c1_c9_a_crowd_is_answered_in_time_and_truly_whatever_befalls_the_server(place: Place) {
    const VISITORS: usize = 12;
    const TABS: usize = 3;
    // Whoever races too often waits for the lock, and whoever had it may have been cut off from giving it back.
    let probe = place.start(&["--lock-lease-ms", "1000", "--lock-wait-ms", "2000"]);
    let known = probe.visitor_with_session().await;
    for trouble in
        ["killed and started again", "stopped for five seconds", "connections cut", "scripts forgotten"]
    {
        let over = Arc::new(AtomicBool::new(false));
        let mut crowd = JoinSet::new();
        for _ in 0..VISITORS {
            let visitor = probe.visitor_with_session().await;
            crowd.spawn(counting(visitor, TABS, over.clone()));
        }
        sleep_ms(200).await;
        match trouble {
            "killed and started again" => {
                probe.server().kill();
                sleep_ms(500).await;
                probe.server().start_again();
            }
            "stopped for five seconds" => {
                probe.server().pause();
                sleep_ms(5_000).await;
                probe.server().resume();
            }
            "connections cut" => drop(probe.server().raw("CLIENT KILL TYPE normal")),
            _ => drop(probe.server().raw("SCRIPT FLUSH")),
        }
        let took = back(&known).await;
        assert!(took < Duration::from_secs(1), "back {took:?} after the server was {trouble}");
        sleep_ms(200).await;
        over.store(true, Ordering::SeqCst);
        let mut acknowledged = 0;
        for (visitor, counts) in crowd.join_all().await {
            let numbers: BTreeSet<i64> = counts.acknowledged.iter().copied().collect();
            assert_eq!(numbers.len(), counts.acknowledged.len(), "{trouble}: a number was told twice");
            let stored = visitor.get("/get/n").await.number();
            let told = numbers.len() as i64;
            assert!(numbers.last() <= Some(&stored), "{trouble}: lost {:?} of {stored}", numbers.last());
            assert!(
                (told..=told + counts.unknown).contains(&stored),
                "{trouble}: {stored} stored, {told} acknowledged, {} unknown",
                counts.unknown
            );
            acknowledged += told;
        }
        assert!(acknowledged > VISITORS as i64, "{trouble}: hardly anything was asked: {acknowledged}");
    }
}

struct Counts {
    acknowledged: Vec<i64>,
    /// Which may have been made.
    unknown: i64,
}

/// Counts in so many tabs at once until it is over.
async fn counting(visitor: Visitor, tabs: usize, over: Arc<AtomicBool>) -> (Visitor, Counts) {
    let mut all = JoinSet::new();
    for _ in 0..tabs {
        let (visitor, over) = (visitor.clone(), over.clone());
        all.spawn(async move {
            let mut counts = Counts { acknowledged: Vec::new(), unknown: 0 };
            while !over.load(Ordering::SeqCst) {
                let began = Instant::now();
                let answer = visitor.get("/incr/n").await;
                let took = began.elapsed();
                // That wait, and the deadline of a commit; and what a busy machine takes.
                assert!(took < Duration::from_secs(8), "{took:?} for {answer:?}");
                match answer.without_cookie().status {
                    200 => counts.acknowledged.push(answer.number()),
                    423 => answer.refused(423, "lock_timeout"),
                    _ if answer.body.contains("unknown") => {
                        answer.refused(503, "unknown");
                        counts.unknown += 1;
                    }
                    // Not made, for certain. Not at once again: it may be refused without asking.
                    _ => {
                        answer.refused(503, "unavailable");
                        sleep_ms(5).await;
                    }
                }
            }
            counts
        });
    }
    let mut counts = Counts { acknowledged: Vec::new(), unknown: 0 };
    for tab in all.join_all().await {
        counts.acknowledged.extend(tab.acknowledged);
        counts.unknown += tab.unknown;
    }
    (visitor, counts)
}

async fn p09_a_server_that_was_flushed_gives_a_new_session_and_no_error(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    for server in probe.servers() {
        server.raw("FLUSHALL");
    }
    let before = visitor.cookie();
    assert_eq!(visitor.get("/incr/n").await.number(), 1);
    assert_ne!(visitor.cookie(), before);
}

async fn s06_a_dump_of_the_server_holds_no_usable_cookie(place: Place) {
    let probe = place.start(dump::RENEWALS);
    let ids = dump::ids_of_all_sorts(&probe).await;
    // Everything that was ever written.
    let dump: Vec<u8> = probe.servers().into_iter().flat_map(|server| server.append_only_file()).collect();
    dump::holds_no_usable_cookie(&probe, &ids, &dump).await;
}
