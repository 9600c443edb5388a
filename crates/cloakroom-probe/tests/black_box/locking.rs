//! The lock, across requests and processes.

use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::clock::{Clock, SystemClock, Timestamp};
use cloakroom::store::protocol::Entry;
use cloakroom::store::wire;
use tokio::task::JoinHandle;

use crate::harness::servers::Server;
use crate::harness::{
    Disk, Place, Probe, Response, Since, Visitor, across_processes, as_turn, assert_wait,
    everywhere_and_side_by_side, given_time, in_parallel, takes_less_than, time, until,
};
use crate::holders::{Stopped, guest, locked_anew, stopped_past_its_lease};

everywhere_and_side_by_side! {
    c5_a_client_that_leaves_frees_the_lock_within_a_second,
    c5_a_client_that_leaves_the_queue_does_not_hold_it_up,
    c5_a_write_without_the_lock_waits_for_it_and_a_read_does_not,
    c5_dropping_or_rolling_back_stores_nothing_and_frees_the_lock,
    c5_waiting_has_a_deadline,
    s67_a_panic_or_a_disconnect_releases_the_lease_of_exclusive_mode,
    s68_a_lock_is_renewed_while_it_is_held,
    s69_one_session_cannot_take_all_workers,
    x04_a_second_lock_waits_for_the_first,
    p03_exclusive_mode_serves_one_request_at_a_time_and_release_lets_go_early,
    p03_readers_and_other_visitors_do_not_wait_in_exclusive_mode,
    c5_logging_out_does_not_wait_for_the_lock,
}

across_processes! {
    c5_the_lock_holds_across_processes,
    c5_s68_a_holder_that_was_paused_past_its_lease_is_refused,
    p04_a_killed_holder_frees_the_lock_within_one_lease,
    c5_who_begins_to_wait_when_the_holder_is_killed_gets_the_lock_though_it_waits_no_longer_than_a_lease,
}

/// How long `visitor` waits for the lock now.
async fn wait_for_lock(visitor: &Visitor) -> Duration {
    time(async { visitor.get("/lock-count/other").await.ok() }).await
}

/// Nobody waits for as long as this in vain who is waiting rightly.
const PATIENT: [&str; 2] = ["--lock-wait-ms", "120000"];

async fn c5_a_client_that_leaves_frees_the_lock_within_a_second(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    takes_less_than(Duration::from_secs(1), "the lock of a client that left", async || {
        visitor.hold("/lock-count/n").await.hang_up();
        wait_for_lock(&visitor).await
    })
    .await;
    assert_eq!(visitor.get("/get/n").await.status, 404, "what it had not committed is not stored");
}

async fn c5_a_client_that_leaves_the_queue_does_not_hold_it_up(place: Place) {
    let probe = place.start(&PATIENT);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.hold("/lock-count/n").await;
    let leaver = visitor.hold("/lock-count/n").await;
    let last = visitor.start("/lock-count/n").await;
    leaver.hang_up();
    assert_eq!(holder.response().await.number(), 1);
    // The one that left would pause for ten minutes.
    let took = time(async { assert_eq!(last.response().await.number(), 2) }).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
}

async fn c5_a_write_without_the_lock_waits_for_it_and_a_read_does_not(place: Place) {
    let probe = place.start(&PATIENT);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.hold("/lock-count/n").await;
    // It is not given back before they are answered.
    for read in ["/get/seed", "/read-only/seed", "/all"] {
        visitor.get(read).await.ok();
    }
    let mut waiting = Vec::new();
    for (n, write) in
        ["/set/a/1", "/put/b/1", "/incr/c", "/flash/hi", "/count/d", "/regenerate"].into_iter().enumerate()
    {
        let visitor = visitor.stolen();
        let asked = as_turn(n, async move { visitor.get(write).await.status });
        waiting.push((write, tokio::spawn(asked)));
    }
    assert_wait(&waiting).await;
    assert_eq!(holder.response().await.number(), 1);
    for (write, asked) in waiting {
        let status = asked.await.unwrap();
        // Those that were overtaken by the change of id are told so; none is lost in silence.
        assert!(status == 200 || (status == 410 && write != "/set/a/1"), "{write}: {status}");
    }
}

async fn c5_dropping_or_rolling_back_stores_nothing_and_frees_the_lock(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    for route in ["/lock-drop/seed/2", "/lock-rollback/seed/2"] {
        takes_less_than(Duration::from_millis(500), route, async || {
            visitor.get(route).await.without_cookie().ok();
            wait_for_lock(&visitor).await
        })
        .await;
        assert_eq!(visitor.get("/get/seed").await.number(), 1);
    }
    // Nobody's lock makes nobody a session; a commit does (X5).
    probe.get("/lock-drop/k/1").await.without_cookie().ok();
    assert!(probe.get("/lock-count/k").await.set_cookie().is_some());
}

async fn c5_waiting_has_a_deadline(place: Place) {
    let probe = place.start(&["--lock-wait-ms", "100"]);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.hold("/lock-count/n").await;
    for route in ["/lock-count/n", "/put/k/1", "/set/k/1", "/incr/k"] {
        visitor.get(route).await.without_cookie().refused(423, "lock_timeout");
    }
    assert_eq!(holder.response().await.number(), 1);
    assert_eq!(visitor.get("/get/k").await.status, 404);
    assert_eq!(probe.counter("lock_timeouts").await, 4);
}

async fn s67_a_panic_or_a_disconnect_releases_the_lease_of_exclusive_mode(place: Place) {
    let probe = place.start(&["--mode", "exclusive"]);
    let visitor = &probe.visitor_with_session().await;
    async fn quick(visitor: &Visitor, after: &str, once: impl AsyncFn()) {
        takes_less_than(Duration::from_secs(1), &format!("a read after {after}"), async || {
            once().await;
            time(async { visitor.get("/get/seed").await.ok() }).await
        })
        .await;
    }
    quick(visitor, "a panic", async || assert_eq!(visitor.get("/panic/k/1").await.status, 500)).await;
    quick(visitor, "a failure", async || assert_eq!(visitor.get("/fail/k/1").await.status, 500)).await;
    quick(visitor, "a client that left", async || visitor.hold("/slow-set/k/1").await.hang_up()).await;
    quick(visitor, "a client that left the queue", async || {
        let holder = visitor.hold("/slow-set/k/1").await;
        visitor.hold("/slow-set/k/1").await.hang_up();
        holder.response().await.ok();
    })
    .await;
    quick(visitor, "a stream that was cut", async || visitor.hold("/stream/k/1").await.hang_up()).await;
}

async fn s68_a_lock_is_renewed_while_it_is_held(place: Place) {
    // A busy machine takes its time where a server has to answer as well: a renewal must not come a lease late.
    given_time(if place.is_served() { 500 } else { 150 }, async |lease| {
        let probe = place.start(&["--lock-lease-ms", &lease.to_string(), PATIENT[0], PATIENT[1]]);
        let visitor = probe.visitor_with_session().await;
        let since = Since::now();
        let holder = visitor.start(&format!("/lock-count/n?ms={}", 4 * lease)).await;
        // It would have run out four times by the time the first one is done.
        let second = visitor.start("/lock-count/n").await;
        let (first, second) = (holder.response().await, second.response().await);
        if first.status == 409 {
            // A renewal that came too late.
            first.refused(409, "lease_lost");
            return Err(since.too_late(lease));
        }
        assert_eq!((first.number(), second.number()), (1, 2));
        Ok(())
    })
    .await;
}

async fn s69_one_session_cannot_take_all_workers(place: Place) {
    // So many may wait in each process.
    const WAITERS: usize = 128;
    let probe = place.start(&PATIENT);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.hold("/lock-count/n").await;
    let before = visitor.under_way().await;
    let many = 300 * place.processes();
    let crowd = tokio::spawn(in_parallel(many, many, {
        let visitor = visitor.clone();
        move |_| {
            let visitor = visitor.stolen();
            async move { visitor.get("/lock-count/n").await.status }
        }
    }));
    visitor.until_under_way(before + (WAITERS * place.processes()) as u64, "a crowd").await;
    // All others are refused at once; of another process one waits for the lock, and so many for that one.
    let at_once = many - (WAITERS + 1) * place.processes();
    until("the rest of the crowd is refused", async || {
        visitor.counter("lock_timeouts").await >= at_once as u64
    })
    .await;
    // Everybody else is served as if nothing were: if they waited, it would be for minutes.
    let other = probe.visitor();
    let took = time(async {
        for _ in 0..10 {
            other.get("/incr/n").await.ok();
        }
    });
    let took = took.await;
    assert!(took < Duration::from_secs(10), "{took:?}");
    holder.response().await.ok();
    let statuses = crowd.await.unwrap();
    let served = statuses.iter().filter(|s| **s == 200).count();
    let refused = statuses.iter().filter(|s| **s == 423).count();
    assert_eq!(served + refused, many, "{statuses:?}");
    assert!(refused >= at_once, "only so many may wait: {refused}");
    assert_eq!(visitor.get("/get/n").await.number(), served as i64 + 1);
}

async fn x04_a_second_lock_waits_for_the_first(place: Place) {
    let probe = place.start(&PATIENT);
    let visitor = probe.visitor_with_session().await;
    let first = visitor.hold("/lock-count/n").await;
    let second = waiting(&visitor, "/lock-count/n").await;
    assert_eq!(first.response().await.number(), 1);
    assert_eq!(second.await.unwrap().number(), 2);
}

/// What is asked for in a task, and has to wait.
async fn waiting(visitor: &Visitor, path: &'static str) -> JoinHandle<Response> {
    let visitor = visitor.clone();
    let asked = [(path, tokio::spawn(async move { visitor.get(path).await }))];
    assert_wait(&asked).await;
    let [(_, asked)] = asked;
    asked
}

async fn p03_exclusive_mode_serves_one_request_at_a_time_and_release_lets_go_early(place: Place) {
    let probe = place.start(&["--mode", "exclusive", PATIENT[0], PATIENT[1]]);
    let visitor = probe.visitor_with_session().await;
    let first = visitor.hold("/slow-set/k/1").await;
    let second = waiting(&visitor, "/get/k").await;
    first.response().await.ok();
    // It sees what the first one wrote.
    assert_eq!(second.await.unwrap().number(), 1);

    let released = visitor.hold("/release/k/2").await;
    assert_eq!(visitor.get("/get/k").await.number(), 2);
    released.hang_up();

    // The head gives the lease back, not the body's end.
    let streaming = visitor.hold("/stream/k/3").await;
    assert_eq!(visitor.get("/get/k").await.number(), 2);
    streaming.response().await.ok();
    assert_eq!(visitor.get("/get/k").await.number(), 3);
}

async fn p03_readers_and_other_visitors_do_not_wait_in_exclusive_mode(place: Place) {
    let probe = place.start(&["--mode", "exclusive"]);
    let (visitor, other) = (probe.visitor_with_session().await, probe.visitor_with_session().await);
    // It has its session until they are answered.
    let holder = visitor.hold("/slow-set/k/1").await;
    visitor.get("/read-only/seed").await.ok();
    visitor.get("/plain").await.ok();
    other.get("/get/seed").await.ok();
    holder.response().await.ok();
}

async fn c5_logging_out_does_not_wait_for_the_lock(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    let holder = visitor.hold("/lock-count/n").await;
    visitor.get("/destroy").await.ok();
    holder.response().await.without_cookie().refused(410, "gone");
}

async fn c5_the_lock_holds_across_processes(place: Place) {
    let here = place.start(&PATIENT);
    let there = here.start_again(&PATIENT);
    let visitor = here.visitor_with_session().await;
    let elsewhere = Visitor::presenting(there.address, &visitor.cookie().unwrap());
    let responses = in_parallel(60, 12, |i| {
        let visitor = if i % 2 == 0 { visitor.clone() } else { elsewhere.clone() };
        async move { visitor.get("/lock-count/n?ms=1").await.number() }
    })
    .await;
    let mut numbers = responses;
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=60).collect::<Vec<i64>>());
    let increments = in_parallel(60, 12, |i| {
        let visitor = if i % 2 == 0 { visitor.clone() } else { elsewhere.clone() };
        async move { visitor.get("/incr/m").await.number() }
    })
    .await;
    assert_eq!(increments.into_iter().max(), Some(60));
}

async fn c5_s68_a_holder_that_was_paused_past_its_lease_is_refused(place: Place) {
    let lease = Duration::from_millis(300);
    let flags = ["--lock-lease-ms", "300"];
    let here = place.start(&flags);
    let there = here.start_again(&flags);
    // The whole process stands still, as in a long collection of garbage or a migration of the machine.
    let mut rounds = Vec::new();
    for _ in 0..9 {
        let (visitor, elsewhere) = guest(&here, there.address).await;
        let stopped = stopped_past_its_lease(&here, &visitor, &elsewhere, lease).await;
        if stopped == Stopped::Refused {
            assert_eq!(visitor.get("/lock-count/n").await.number(), 2);
            return;
        }
        rounds.push(stopped);
    }
    panic!("no holder was stopped: {rounds:?}");
}

async fn p04_a_killed_holder_frees_the_lock_within_one_lease(place: Place) {
    let flags = ["--lock-lease-ms", "400"];
    let there = place.start(&flags);
    takes_less_than(Duration::from_millis(900), "the lock of a killed holder", async || {
        let mut here = there.start_again(&flags);
        let (visitor, elsewhere) = guest(&here, there.address).await;
        let _holder = visitor.hold("/lock-count/n").await;
        here.kill();
        time(async { assert_eq!(locked_anew(&elsewhere).await, 1) }).await
    })
    .await;
}

async fn c5_who_begins_to_wait_when_the_holder_is_killed_gets_the_lock_though_it_waits_no_longer_than_a_lease(
    place: Place,
) {
    const LEASE: Duration = Duration::from_millis(400);
    /// The stores' clocks may be that much behind.
    const TICK: Duration = Duration::from_millis(10);
    let flags = ["--lock-lease-ms", "400", "--lock-wait-ms", "400"];
    let there = place.start(&flags);
    let (mut got, mut renewed_late) = (0, Vec::new());
    while got < 3 {
        let mut here = there.start_again(&flags);
        let visitor = here.visitor_with_session().await;
        let elsewhere = Visitor::presenting(there.address, &visitor.cookie().unwrap());
        let _holder = visitor.hold("/lock-count/n").await;
        // Just renewed: all of the lease is still to come.
        let first = leased_until(&there);
        until("the lease is renewed", async || leased_until(&there) > first).await;
        here.kill();
        let deadline = SystemClock.now().after(LEASE);
        let answer = elsewhere.get("/lock-count/n").await;
        let leased = leased_until(&there);
        if answer.status == 423 && leased.after(TICK) > deadline {
            // On a busy machine a renewal that the killed one had sent is made only after somebody began to wait.
            renewed_late.push((leased, deadline));
            assert!(renewed_late.len() < 9, "got the lock {got} times, else renewed late: {renewed_late:?}");
            continue;
        }
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, "1"),
            "session {got}, waiting until {deadline:?}, leased until {leased:?}"
        );
        got += 1;
    }
}

/// Until when the lease that ends last is held, of all sessions.
fn leased_until(probe: &Probe) -> Timestamp {
    match probe.place.is_served() {
        true => probe.servers().into_iter().map(leased_in_server).max().unwrap(),
        false => leased_on(&Disk::of(probe)),
    }
}

/// Of those on the disk.
fn leased_on(disk: &Disk) -> Timestamp {
    let lease = |(key, entry): (StoreKey, Vec<u8>)| match wire::decode(&key, &entry).unwrap() {
        Entry::Live { lease: Some(lease), .. } => lease.until,
        _ => Timestamp::default(),
    };
    disk.entries().into_iter().map(lease).max().unwrap_or_default()
}

fn leased_in_server(server: &Server) -> Timestamp {
    let latest = "local latest = 0 \
        for _, key in ipairs(redis.call('KEYS', '*')) do \
          latest = math.max(latest, (struct.unpack('>I8', redis.call('GETRANGE', key, 26, 33)))) \
        end \
        return latest";
    let said = server.raw(&format!("EVAL \"{latest}\" 0"));
    let millis = said.lines().next().and_then(|line| line.strip_prefix(':'));
    Timestamp::from_millis(millis.unwrap_or_else(|| panic!("{said}")).parse().unwrap())
}
