//! The lock, across requests and processes.

use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::Entry;
use cloakroom::store::wire;

use crate::harness::servers::Server;
use crate::harness::{
    Disk, Place, Probe, Request, Visitor, across_processes, everywhere_and_side_by_side, in_parallel, signal,
    sleep_ms,
};

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
    let started = Instant::now();
    visitor.get("/lock-count/other").await.ok();
    started.elapsed()
}

async fn c5_a_client_that_leaves_frees_the_lock_within_a_second(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.start("/lock-count/n?ms=8000").await;
    holder.hang_up();
    assert!(wait_for_lock(&visitor).await < Duration::from_secs(1));
    assert_eq!(visitor.get("/get/n").await.status, 404, "what it had not committed is not stored");
}

async fn c5_a_client_that_leaves_the_queue_does_not_hold_it_up(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.start("/lock-count/n?ms=300").await;
    let leaver = visitor.start("/lock-count/n?ms=8000").await;
    let last = visitor.start("/lock-count/n").await;
    leaver.hang_up();
    assert_eq!(holder.response().await.number(), 1);
    let started = Instant::now();
    assert_eq!(last.response().await.number(), 2);
    assert!(started.elapsed() < Duration::from_secs(1));
}

async fn c5_a_write_without_the_lock_waits_for_it_and_a_read_does_not(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.start("/lock-count/n?ms=300").await;
    let started = Instant::now();
    visitor.get("/get/seed").await.ok();
    visitor.get("/read-only/seed").await.ok();
    visitor.get("/all").await.ok();
    assert!(started.elapsed() < Duration::from_millis(200), "reads waited");
    let writes = ["/set/a/1", "/put/b/1", "/incr/c", "/flash/hi", "/count/d", "/regenerate"];
    let waited = in_parallel(writes.len(), writes.len(), |i| {
        let visitor = visitor.stolen();
        async move {
            let response = visitor.get(writes[i]).await;
            (writes[i], response.status)
        }
    })
    .await;
    assert!(started.elapsed() > Duration::from_millis(200), "a write did not wait");
    assert_eq!(holder.response().await.number(), 1);
    for (write, status) in waited {
        // Those that were overtaken by the change of id are told so; none is lost in silence.
        assert!(status == 200 || (status == 410 && write != "/set/a/1"), "{write}: {status}");
    }
}

async fn c5_dropping_or_rolling_back_stores_nothing_and_frees_the_lock(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    for route in ["/lock-drop/seed/2", "/lock-rollback/seed/2"] {
        visitor.get(route).await.without_cookie().ok();
        assert!(wait_for_lock(&visitor).await < Duration::from_millis(500));
        assert_eq!(visitor.get("/get/seed").await.number(), 1);
    }
    // Nobody's lock makes nobody a session; a commit does (X5).
    probe.get("/lock-drop/k/1").await.without_cookie().ok();
    assert!(probe.get("/lock-count/k").await.set_cookie().is_some());
}

async fn c5_waiting_has_a_deadline(place: Place) {
    let probe = place.start(&["--lock-wait-ms", "100"]);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.start("/lock-count/n?ms=2500").await;
    for route in ["/lock-count/n", "/put/k/1", "/set/k/1", "/incr/k"] {
        visitor.get(route).await.without_cookie().refused(423, "lock_timeout");
    }
    assert_eq!(holder.response().await.number(), 1);
    assert_eq!(visitor.get("/get/k").await.status, 404);
    assert_eq!(probe.counter("lock_timeouts").await, 4);
}

async fn s67_a_panic_or_a_disconnect_releases_the_lease_of_exclusive_mode(place: Place) {
    let probe = place.start(&["--mode", "exclusive"]);
    let visitor = probe.visitor_with_session().await;
    let quick = async |after: &str| {
        let started = Instant::now();
        visitor.get("/get/seed").await.ok();
        assert!(started.elapsed() < Duration::from_secs(1), "{after} kept the lease");
    };
    assert_eq!(visitor.get("/panic/k/1").await.status, 500);
    quick("a panic").await;
    assert_eq!(visitor.get("/fail/k/1").await.status, 500);
    quick("a failure").await;
    visitor.start("/slow-set/k/1?ms=8000").await.hang_up();
    quick("a client that left").await;
    let holder = visitor.start("/slow-set/k/1?ms=200").await;
    visitor.start("/slow-set/k/1?ms=8000").await.hang_up();
    holder.response().await.ok();
    quick("a client that left the queue").await;
    visitor.start("/stream/k/1?ms=8000").await.hang_up();
    quick("a stream that was cut").await;
}

async fn s68_a_lock_is_renewed_while_it_is_held(place: Place) {
    // A busy machine takes its time where a server has to answer as well: a renewal must not come a lease late.
    let (lease, hold) = if place.is_served() { ("500", 2000) } else { ("150", 600) };
    let probe = place.start(&["--lock-lease-ms", lease]);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.start(&format!("/lock-count/n?ms={hold}")).await;
    // It would have run out four times by the time the first one is done.
    let second = visitor.start("/lock-count/n").await;
    assert_eq!(holder.response().await.number(), 1);
    assert_eq!(second.response().await.number(), 2);
}

async fn s69_one_session_cannot_take_all_workers(place: Place) {
    let probe = place.start(&["--lock-wait-ms", "2500"]);
    let visitor = probe.visitor_with_session().await;
    let holder = visitor.start("/lock-count/n?ms=1500").await;
    // As many for each process.
    let many = 300 * place.processes();
    let crowd = tokio::spawn(in_parallel(many, many, {
        let visitor = visitor.clone();
        move |_| {
            let visitor = visitor.stolen();
            async move { visitor.get("/lock-count/n").await.status }
        }
    }));
    sleep_ms(300).await;
    // Everybody else is served as if nothing were.
    let other = probe.visitor();
    let started = Instant::now();
    for _ in 0..10 {
        other.get("/incr/n").await.ok();
    }
    assert!(started.elapsed() < Duration::from_millis(600), "{:?}", started.elapsed());
    holder.response().await.ok();
    let statuses = crowd.await.unwrap();
    let served = statuses.iter().filter(|s| **s == 200).count();
    let refused = statuses.iter().filter(|s| **s == 423).count();
    assert_eq!(served + refused, many, "{statuses:?}");
    // 128 may wait; a few more may have come after the lock was free again.
    assert!(refused >= many / 3, "only so many may wait: {refused}");
    assert_eq!(visitor.get("/get/n").await.number(), served as i64 + 1);
}

async fn x04_a_second_lock_waits_for_the_first(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.visitor_with_session().await;
    let first = visitor.start("/lock-count/n?ms=200").await;
    let started = Instant::now();
    assert_eq!(visitor.get("/lock-count/n").await.number(), 2);
    assert!(started.elapsed() > Duration::from_millis(120));
    assert_eq!(first.response().await.number(), 1);
}

async fn p03_exclusive_mode_serves_one_request_at_a_time_and_release_lets_go_early(place: Place) {
    let probe = place.start(&["--mode", "exclusive"]);
    let visitor = probe.visitor_with_session().await;
    let first = visitor.start("/slow-set/k/1?ms=250").await;
    let started = Instant::now();
    // It waits, and then sees what the first one wrote.
    assert_eq!(visitor.get("/get/k").await.number(), 1);
    assert!(started.elapsed() > Duration::from_millis(150));
    first.response().await.ok();

    let released = visitor.start("/release/k/2?ms=1000").await;
    let started = Instant::now();
    assert_eq!(visitor.get("/get/k").await.number(), 2);
    assert!(started.elapsed() < Duration::from_millis(600));
    released.hang_up();

    let streaming = visitor.start("/stream/k/3?ms=300").await;
    let started = Instant::now();
    assert_eq!(visitor.get("/get/k").await.number(), 2);
    assert!(
        started.elapsed() < Duration::from_millis(200),
        "the head gives the lease back, not the body's end"
    );
    streaming.response().await.ok();
    assert_eq!(visitor.get("/get/k").await.number(), 3);
}

async fn p03_readers_and_other_visitors_do_not_wait_in_exclusive_mode(place: Place) {
    let probe = place.start(&["--mode", "exclusive"]);
    let (visitor, other) = (probe.visitor_with_session().await, probe.visitor_with_session().await);
    let holder = visitor.start("/slow-set/k/1?ms=400").await;
    let started = Instant::now();
    visitor.get("/read-only/seed").await.ok();
    visitor.get("/plain").await.ok();
    other.get("/get/seed").await.ok();
    assert!(started.elapsed() < Duration::from_millis(250));
    holder.response().await.ok();
}

async fn c5_logging_out_does_not_wait_for_the_lock(place: Place) {
    let probe = place.start(&[]);
    let visitor = probe.logged_in("ada").await;
    let holder = visitor.start("/lock-count/n?ms=400").await;
    let started = Instant::now();
    visitor.get("/destroy").await.ok();
    assert!(started.elapsed() < Duration::from_millis(250));
    holder.response().await.without_cookie().refused(410, "gone");
}

async fn c5_the_lock_holds_across_processes(place: Place) {
    let here = place.start(&[]);
    let there = here.start_again(&[]);
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
    let flags = ["--lock-lease-ms", "300"];
    let here = place.start(&flags);
    let there = here.start_again(&flags);
    let visitor = here.visitor_with_session().await;
    let elsewhere = Visitor::presenting(there.address, &visitor.cookie().unwrap());
    let paused = visitor.start("/lock-count/n?ms=100").await;
    // The whole process stands still, as in a long collection of garbage or a migration of the machine.
    signal(here.pid(), "-STOP");
    sleep_ms(3 * 300 + 50).await;
    assert_eq!(elsewhere.get("/lock-count/n").await.number(), 1);
    signal(here.pid(), "-CONT");
    paused.response().await.without_cookie().refused(409, "lease_lost");
    assert_eq!(elsewhere.get("/get/n").await.number(), 1);
    assert_eq!(visitor.get("/lock-count/n").await.number(), 2);
}

async fn p04_a_killed_holder_frees_the_lock_within_one_lease(place: Place) {
    let flags = ["--lock-lease-ms", "400"];
    let mut here = place.start(&flags);
    let there = here.start_again(&flags);
    let visitor = here.visitor_with_session().await;
    let elsewhere = Visitor::presenting(there.address, &visitor.cookie().unwrap());
    let _holder = visitor.start("/lock-count/n?ms=5000").await;
    here.kill();
    let started = Instant::now();
    assert_eq!(elsewhere.get("/lock-count/n").await.number(), 1);
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}

async fn c5_who_begins_to_wait_when_the_holder_is_killed_gets_the_lock_though_it_waits_no_longer_than_a_lease(
    place: Place,
) {
    let lease = Duration::from_millis(400);
    let flags = ["--lock-lease-ms", "400", "--lock-wait-ms", "400"];
    let there = place.start(&flags);
    for n in 1..=3 {
        let mut here = there.start_again(&flags);
        let visitor = here.visitor_with_session().await;
        let elsewhere = Visitor::presenting(there.address, &visitor.cookie().unwrap());
        let _holder = visitor.send(Request::get("/lock-count/n?ms=20000")).await;
        // Just renewed: all of the lease is still to come.
        let first = until_leased(&there, Timestamp::default()).await;
        let _renewed = until_leased(&there, first).await;
        here.kill();
        let started = Instant::now();
        let got = elsewhere.get("/lock-count/n").await;
        assert_eq!(got.number(), 1, "session {n}, after {:?}", started.elapsed());
        assert!(started.elapsed() < lease + Duration::from_millis(500), "{:?}", started.elapsed());
    }
}

/// Waits until some session is leased for longer than until `than`; until when it is.
async fn until_leased(probe: &Probe, than: Timestamp) -> Timestamp {
    let soon = Instant::now() + Duration::from_secs(5);
    loop {
        let until = match probe.place.is_served() {
            true => probe.servers().into_iter().map(leased_in_server).max().unwrap(),
            false => leased_on(&Disk::of(probe)),
        };
        if until > than {
            return until;
        }
        assert!(Instant::now() < soon, "nobody takes the lease");
        sleep_ms(1).await;
    }
}

/// Until when the lease that ends last is held.
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
