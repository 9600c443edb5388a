//! The memory store against the smallest correct store: the same operations, the same answers.

#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod store_requests;

use std::num::NonZeroU32;
use std::time::Duration;

use cloakroom::MemoryStore;
use cloakroom::StoreKey;
use cloakroom::record::{Lifetime, Version};
use cloakroom::store::{
    Acquire, BindUser, Commit, Create, Deadlines, End, EndCause, LeaseOwner, LeaseRef, Loaded, OldId,
    Release, Rename, Renew, Revoke, RevokeWhich, ScanFrom, SealedId, Store, Touch,
};
use cloakroom_testing::{ManualClock, ReferenceStore};
use proptest::prelude::*;
use store_requests::*;

/// What is done next. Numbers are drawn from few, so that operations meet.
#[derive(Clone, Debug)]
enum Step {
    Load(u32),
    Create {
        key: u32,
        op: u64,
        idle: u32,
        user: Option<u8>,
        cap: u32,
    },
    Commit {
        key: u32,
        op: u64,
        stale: bool,
        lease: Option<(u8, u8)>,
        release: bool,
        size: u16,
    },
    Rename {
        from: u32,
        to: u32,
        op: u64,
        user: Option<u8>,
        cap: u32,
        lease: Option<(u8, u8)>,
        old: u8,
        restart: bool,
    },
    Touch {
        key: u32,
        idle: u32,
    },
    End {
        key: u32,
        op: u64,
    },
    Acquire {
        key: u32,
        owner: u8,
    },
    Renew {
        key: u32,
        owner: u8,
    },
    Release {
        key: u32,
        owner: u8,
    },
    List(u8),
    Revoke {
        user: u8,
        op: u64,
        which: u8,
        of: u64,
    },
    Scan {
        after: Option<u32>,
        limit: usize,
    },
    Wait(u64),
    Back(u64),
}

/// Twelve keys in four lines, of which two share a shard.
fn key_of(n: u32) -> StoreKey {
    key([0, 1, 130, 255][n as usize % 4], n)
}

fn step() -> impl Strategy<Value = Step> {
    let k = 0..12u32;
    let o = 1..20u64;
    let u = 0..3u8;
    let lease = || prop::option::of((0..2u8, 0..3u8));
    prop_oneof![
        3 => k.clone().prop_map(Step::Load),
        6 => (k.clone(), o.clone(), 1..50u32, prop::option::of(u.clone()), 0..4u32)
            .prop_map(|(key, op, idle, user, cap)| Step::Create { key, op, idle, user, cap }),
        6 => (k.clone(), o.clone(), prop::bool::weighted(0.2), lease(), any::<bool>(), 0..600u16)
            .prop_map(|(key, op, stale, lease, release, size)| Step::Commit { key, op, stale, lease, release, size }),
        6 => (k.clone(), k.clone(), o.clone(), prop::option::of(u.clone()), 0..4u32, lease(), 0..3u8, any::<bool>())
            .prop_map(|(from, to, op, user, cap, lease, old, restart)| Step::Rename { from, to, op, user, cap, lease, old, restart }),
        2 => (k.clone(), 1..100u32).prop_map(|(key, idle)| Step::Touch { key, idle }),
        2 => (k.clone(), o.clone()).prop_map(|(key, op)| Step::End { key, op }),
        2 => (k.clone(), 0..2u8).prop_map(|(key, owner)| Step::Acquire { key, owner }),
        1 => (k.clone(), 0..2u8).prop_map(|(key, owner)| Step::Renew { key, owner }),
        1 => (k.clone(), 0..2u8).prop_map(|(key, owner)| Step::Release { key, owner }),
        2 => u.clone().prop_map(Step::List),
        1 => (u, o.clone(), 0..3u8, o).prop_map(|(user, op, which, of)| Step::Revoke { user, op, which, of }),
        1 => (prop::option::of(k), 0..5usize).prop_map(|(after, limit)| Step::Scan { after, limit: limit + 1 }),
        4 => (1..40_000u64).prop_map(Step::Wait),
        1 => (1..40_000u64).prop_map(Step::Back),
    ]
}

/// Applies a step to a store and writes the answer down.
fn apply(store: &dyn Store, step: &Step, expected: Option<Version>) -> String {
    let binding = |user: &Option<u8>, cap: u32| {
        user.map(|u| BindUser { user: user_of(u), device: None, cap: NonZeroU32::new(cap) })
    };
    let shown = |lease: &Option<(u8, u8)>| {
        lease.map(|(owner, hold)| LeaseRef { owner: LeaseOwner(owner.into()), hold: hold.into() })
    };
    let expected = expected.unwrap_or(Version::first(op(99)));
    let lifetime = |idle: u32| Lifetime {
        idle: Duration::from_secs(idle.into()),
        absolute: Duration::from_secs(90),
        renewal: idle.is_multiple_of(2).then_some(Duration::from_secs(10)),
    };
    match step.clone() {
        Step::Load(k) => format!("{:?}", now(store.load(key_of(k)))),
        Step::Create { key: k, op: o, idle, user, cap } => format!(
            "{:?}",
            now(store.create(Create {
                key: key_of(k),
                op: op(o),
                record_id: record_id(o),
                lifetime: lifetime(idle),
                bind: binding(&user, cap),
                payload: payload(&o.to_le_bytes()),
                marker: MARKER,
            }))
        ),
        Step::Commit { key: k, op: o, lease, release, size, .. } => format!(
            "{:?}",
            now(store.commit(Commit {
                key: key_of(k),
                op: op(o),
                expected,
                base: None,
                lease: shown(&lease),
                release,
                epoch: 1,
                payload: payload(&vec![7; size.into()]),
                slide: Some(Duration::from_secs(30)),
                unless_seen_within: Duration::ZERO,
            }))
        ),
        Step::Rename { from, to, op: o, user, cap, lease, old, restart } => {
            let old = match old {
                0 => OldId::Dead,
                1 => OldId::Alias { sealed: SealedId(Box::new([1, 2, 3])), grace: Duration::from_secs(5) },
                _ => OldId::Copy { record_id: record_id(1000 + o), keep: Duration::from_secs(8) },
            };
            format!(
                "{:?}",
                now(store.rename(Rename {
                    from: key_of(from),
                    to: key_of(to),
                    op: op(o),
                    expected,
                    lease: shown(&lease),
                    epoch: 2,
                    payload: payload(b"renamed"),
                    bind: binding(&user, cap),
                    deadlines: if restart {
                        Deadlines::Restart(lifetime(9))
                    } else {
                        Deadlines::Keep { renewal: None }
                    },
                    slide: Some(Duration::from_secs(20)),
                    old,
                    marker: MARKER,
                }))
            )
        }
        Step::Touch { key: k, idle } => {
            format!(
                "{:?}",
                now(store.touch(Touch { key: key_of(k), idle: Duration::from_secs(idle.into()) }))
            )
        }
        Step::End { key: k, op: o } => format!(
            "{:?}",
            now(store.end(End { key: key_of(k), op: op(o), cause: EndCause::Destroyed, marker: MARKER }))
        ),
        Step::Acquire { key: k, owner } => format!(
            "{:?}",
            now(store.acquire(Acquire {
                key: key_of(k),
                owner: LeaseOwner(owner.into()),
                lease: Duration::from_secs(10),
            }))
        ),
        Step::Renew { key: k, owner } => format!(
            "{:?}",
            now(store.renew(Renew {
                key: key_of(k),
                owner: LeaseOwner(owner.into()),
                lease: Duration::from_secs(10),
            }))
        ),
        Step::Release { key: k, owner } => {
            format!("{:?}", now(store.release(Release { key: key_of(k), owner: LeaseOwner(owner.into()) })))
        }
        Step::List(u) => format!("{:?}", now(store.list_user(user_of(u)))),
        Step::Revoke { user, op: o, which, of } => format!(
            "{:?}",
            now(store.revoke(Revoke {
                user: user_of(user),
                op: op(o),
                which: match which {
                    0 => RevokeWhich::One(record_id(of)),
                    1 => RevokeWhich::Others(record_id(of)),
                    _ => RevokeWhich::All,
                },
                marker: MARKER,
            }))
        ),
        Step::Scan { after, limit } => {
            format!("{:?}", now(store.scan(ScanFrom { after: after.map(key_of), limit })))
        }
        Step::Wait(_) | Step::Back(_) => String::new(),
    }
}

fn user_of(n: u8) -> cloakroom::UserId {
    user(["ann", "bob", "cy"][usize::from(n)])
}

/// The version under the key that the step names, so that most writes get past the comparison.
fn version(store: &ReferenceStore, step: &Step) -> Option<Version> {
    let key = match step {
        Step::Commit { stale: true, .. } => return None,
        Step::Commit { key, .. } => *key,
        Step::Rename { from, .. } => *from,
        _ => return None,
    };
    match now(store.load(key_of(key))) {
        Ok(Loaded::Live(snapshot)) => Some(snapshot.record.version),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(debug_assertions) { 300 } else { 3000 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_memory_store_answers_as_the_reference_does(steps in prop::collection::vec(step(), 1..120)) {
        let clock = ManualClock::new();
        let reference = ReferenceStore::with_clock(clock.clone());
        let memory = MemoryStore::builder().clock(clock.clone()).build();
        for step in &steps {
            match step {
                Step::Wait(ms) => { clock.advance(Duration::from_millis(*ms)); }
                Step::Back(ms) => {
                    use cloakroom::clock::{Clock, Timestamp};
                    clock.set(Timestamp::from_millis(clock.now().as_millis() - ms));
                }
                _ => {}
            }
            // What may be removed is removed from both: "expired" and "not there" are different answers.
            prop_assert_eq!(purge_all(&memory), purge_all(&reference), "purged before {:?}", step);
            let expected = version(&reference, step);
            prop_assert_eq!(
                apply(&memory, step, expected),
                apply(&reference, step, expected),
                "answers to {:?}", step
            );
            let live = |store: &dyn Store| now(store.stats()).unwrap().live;
            prop_assert_eq!(live(&memory), live(&reference));
        }
        // Once everything is past, nothing is left and nothing is accounted for.
        clock.advance(Duration::from_secs(1_000_000));
        purge_all(&memory);
        let stats = now(memory.stats()).unwrap();
        prop_assert_eq!((stats.live, stats.bytes), (Some(0), Some(0)));
    }
}
