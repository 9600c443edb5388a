//! What a session costs in memory, as the operating system sees it. A test binary of its own: nothing else may
//! allocate meanwhile.

#![cfg(all(feature = "memory", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod store_requests;

use std::time::{Duration, Instant};

use cloakroom::MemoryStore;
use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::store::{Created, Store};
use cloakroom_testing::ManualClock;
use store_requests::*;

/// A million in a release build, where it takes a second. The bound per session is the same.
const SESSIONS: u32 = if cfg!(debug_assertions) { 200_000 } else { 1_000_000 };
/// Bytes of data in each.
const DATA: usize = 300;
/// What a session may cost beside its data.
const ALLOWED: usize = 250;

/// How long a purge may keep the thread, and whoever waits for a shard, at a time.
const PAUSE: Duration = Duration::from_millis(5);

/// The time that this thread has had of a processor: on a busy machine the clock on the wall goes on without it.
fn on_the_processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

/// A payload of exactly [`DATA`] bytes.
fn data(n: u32) -> Payload {
    let mut builder = PayloadBuilder::with_capacity(DATA);
    let mut value = [0; DATA - 6 - 1];
    value[..4].copy_from_slice(&n.to_le_bytes());
    assert!(builder.push("k", &value));
    assert_eq!(builder.len(), DATA);
    builder.finish()
}

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The memory number: a million live sessions of 300 bytes at no more than 250 bytes each over the payload, and
/// all of them gone soon after they expired, in steps that hand the thread back within 5 ms.
#[test]
fn a_session_of_300_bytes_costs_at_most_250_more() {
    let clock = ManualClock::new();
    let before = resident();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let began = Instant::now();
    for n in 0..SESSIONS {
        let request = cloakroom::store::Create { payload: data(n), ..create(key(n, n)) };
        assert!(matches!(now(store.create(request)).unwrap(), Created::Created { .. }));
    }
    let created_in = began.elapsed();
    let sessions = SESSIONS as usize;
    let stats = now(store.stats()).unwrap();
    assert_eq!(stats.live, Some(u64::from(SESSIONS)));
    let measured = (resident() - before) / sessions - DATA;
    let accounted = usize::try_from(stats.bytes.unwrap()).unwrap() / sessions - DATA;
    println!(
        "{SESSIONS} sessions in {created_in:?}: {measured} bytes each over the data, {accounted} accounted"
    );
    assert!(measured <= ALLOWED, "{measured} bytes over the data, {ALLOWED} allowed");
    // The store's own account, by which max_bytes is judged, is no fantasy.
    assert!(accounted.abs_diff(measured) <= measured / 4, "{accounted} accounted, {measured} measured");

    clock.advance(IDLE + Duration::from_secs(1));
    let began = Instant::now();
    let (mut calls, mut longest, mut removed) = (0, Duration::ZERO, 0);
    loop {
        let call = on_the_processor();
        let purged = now(store.purge(100_000)).unwrap();
        longest = longest.max(on_the_processor() - call);
        calls += 1;
        removed += purged.removed;
        if !purged.more {
            break;
        }
    }
    println!("purged in {:?} by {calls} calls, the longest {longest:?}", began.elapsed());
    assert!(longest <= PAUSE, "the thread was held up for {longest:?}");
    assert_eq!(removed, sessions);
    assert_eq!(now(store.stats()).unwrap().live, Some(0));
    assert!(began.elapsed() < Duration::from_secs(60));
    let left = resident().saturating_sub(before);
    println!("{} bytes of {} still resident", left, measured * sessions + DATA * sessions);
}
