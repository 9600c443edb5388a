//! Many requests at once give the answers they would give one after the other.
//!
//! Requests are handed in without waiting, so that they share transactions, touch the same keys, and are answered from
//! the batch rather than from the file. The reference store gets the same requests one by one.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use cloakroom::record::{Lifetime, Version};
use cloakroom::store::{
    BindUser, Commit, Create, Deadlines, LeaseOwner, LeaseRef, Loaded, OldId, Rename, Renew, RevokeWhich,
    SealedId, Store, StoreFuture, Touch,
};
use cloakroom::{OpId, RecordId, UserId};
use cloakroom_sqlite::SqliteStore;
use cloakroom_testing::processes::rounds;
use cloakroom_testing::{ManualClock, ReferenceStore, Rng};
use support::*;

/// Few, so that requests of a batch meet.
const KEYS: u64 = 12;
const USERS: [&str; 3] = ["ann", "bob", "cid"];

#[tokio::test]
async fn a_batch_answers_as_if_its_requests_came_one_after_the_other() {
    for seed in 0..rounds(20, 400) as u64 {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let store = SqliteStore::builder(dir.path().join("s.db")).clock(clock.clone()).open().await.unwrap();
    let model = ReferenceStore::with_clock(clock.clone());
    let mut dice = Rng::new(seed * 2 + 1);
    let mut versions = vec![Version::first(OpId::from_u64(1)); KEYS as usize];
    let mut ops = vec![OpId::generate()];
    for batch in 0..30 {
        let mut asked = Vec::new();
        for _ in 0..dice.below(24) + 1 {
            let request = Request::random(&mut dice, &versions, &mut ops);
            let (ours, expected) = (request.ask(&store), request.ask(&model).await);
            asked.push((request, ours, expected));
        }
        for (n, (request, ours, expected)) in asked.into_iter().enumerate() {
            assert_eq!(ours.await, expected, "seed {seed}, batch {batch}, request {n}: {request:#?}");
        }
        for n in 0..KEYS {
            let expected = model.load(key(n)).await.unwrap();
            if let Loaded::Live(at) = &expected {
                versions[n as usize] = at.record.version;
            }
            assert_eq!(store.load(key(n)).await.unwrap(), expected, "seed {seed}, batch {batch}, key {n}");
        }
        for user in USERS.map(|name| UserId::new(name).unwrap()) {
            let listed = store.list_user(user.clone()).await.unwrap();
            assert_eq!(listed, model.list_user(user).await.unwrap(), "seed {seed}, batch {batch}");
        }
        clock.advance(Duration::from_secs(dice.below(1200)));
    }
}

#[derive(Debug, Clone)]
enum Request {
    Create(Create),
    Commit(Commit),
    Rename(Rename),
    Touch(Touch),
    End(cloakroom::store::End),
    Acquire(cloakroom::store::Acquire),
    Renew(Renew),
    Release(cloakroom::store::Release),
    Revoke(cloakroom::store::Revoke),
}

impl Request {
    fn random(dice: &mut Rng, versions: &[Version], ops: &mut Vec<OpId>) -> Self {
        let at = dice.below(KEYS);
        let (key, other) = (key(at), key(dice.below(KEYS)));
        // Now and then a request is executed a second time, or under a name that another one has.
        let op = if dice.below(8) == 0 { ops[dice.index(ops.len())] } else { OpId::generate() };
        ops.push(op);
        let expected = versions[at as usize];
        let lease = (dice.below(3) == 0)
            .then(|| LeaseRef { owner: LeaseOwner(dice.below(3).into()), hold: dice.below(3) });
        let user = UserId::new(USERS[dice.index(3)]).unwrap();
        let cap = NonZeroU32::new(dice.below(4) as u32);
        let bind = (dice.below(2) == 0).then(|| BindUser { user: user.clone(), device: None, cap });
        let lifetime =
            Lifetime { idle: Duration::from_secs(600 + dice.below(9000)), absolute: 4 * HOUR, renewal: None };
        let text = dice.below(1000).to_string();
        let owner = dice.below(3).into();
        let length = Duration::from_secs(dice.below(900));
        match dice.below(14) {
            0..=2 => Request::Create(Create { op, bind, lifetime, ..create(key, &text) }),
            3..=6 => {
                let release = dice.below(2) == 0;
                Request::Commit(Commit { op, lease, release, ..commit(key, expected, &text) })
            }
            7 | 8 => {
                let old = match dice.below(3) {
                    0 => OldId::Dead,
                    1 => OldId::Alias { sealed: SealedId(vec![7; 9].into()), grace: length },
                    _ => OldId::Copy {
                        record_id: RecordId::from_bytes([dice.below(255) as u8; 16]),
                        keep: length,
                    },
                };
                let deadlines = match dice.below(2) {
                    0 => Deadlines::Keep { renewal: Some(length) },
                    _ => Deadlines::Restart(lifetime),
                };
                Request::Rename(Rename {
                    op,
                    bind,
                    lease,
                    old,
                    deadlines,
                    ..rename(key, other, expected, &text)
                })
            }
            9 => Request::Touch(Touch { key, idle: lifetime.idle }),
            10 => Request::End(cloakroom::store::End { op, ..end(key) }),
            11 => Request::Acquire(acquire(key, owner, length)),
            12 if dice.below(2) == 0 => {
                Request::Renew(Renew { key, owner: LeaseOwner(owner), lease: length })
            }
            12 => Request::Release(release(key, owner)),
            _ => {
                let which = match dice.below(3) {
                    0 => RevokeWhich::All,
                    _ => RevokeWhich::Others(RecordId::from_bytes([dice.below(255) as u8; 16])),
                };
                Request::Revoke(cloakroom::store::Revoke { op, which, ..revoke(user.as_str()) })
            }
        }
    }

    /// Asked at once, answered later: as text, because the answers are of many types.
    fn ask(&self, store: &dyn Store) -> impl Future<Output = String> + use<> {
        let answer: std::pin::Pin<Box<dyn Future<Output = String>>> = match self.clone() {
            Request::Create(request) => text_of(store.create(request)),
            Request::Commit(request) => text_of(store.commit(request)),
            Request::Rename(request) => text_of(store.rename(request)),
            Request::Touch(request) => text_of(store.touch(request)),
            Request::End(request) => text_of(store.end(request)),
            Request::Acquire(request) => text_of(store.acquire(request)),
            Request::Renew(request) => text_of(store.renew(request)),
            Request::Release(request) => text_of(store.release(request)),
            Request::Revoke(request) => text_of(store.revoke(request)),
        };
        answer
    }
}

fn text_of<A: Debug + Unpin + 'static>(
    answer: StoreFuture<A>,
) -> std::pin::Pin<Box<dyn Future<Output = String>>> {
    Box::pin(async move { format!("{:?}", answer.await.unwrap()) })
}
