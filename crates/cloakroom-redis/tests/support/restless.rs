//! Sessions whose ids change all the time, and what a revocation or a logout makes of them.
#![allow(dead_code, unreachable_pub, missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use cloakroom::store::{Created, Ended, Ending, Loaded, Renamed, RevokeWhich, Store};
use cloakroom::{StoreKey, UserId};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use tokio::task::JoinHandle;

/// How long anything of this may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(20);

/// A session of the user, from this id on. Goes on until it comes to an end, and answers with where it did.
fn restless(store: RedisStore, first: StoreKey, user: UserId) -> JoinHandle<StoreKey> {
    tokio::spawn(async move {
        let mut at = first;
        let created = store.create(requests::create_for(at, requests::bind(&user))).await.unwrap();
        let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
        let mut version = snapshot.record.version;
        loop {
            let to = requests::successor(at);
            match store.rename(requests::rename(at, to, version, requests::data(&[]))).await.unwrap() {
                Renamed::Renamed { snapshot, .. } => (at, version) = (to, snapshot.record.version),
                Renamed::Ended(_) => return at,
                other => panic!("{other:?}"),
            }
        }
    })
}

/// Revokes so many of them through a store, while each of them keeps a store of its own busy.
pub async fn are_revoked(many: usize, revoker: &RedisStore, of_each: impl Fn() -> RedisStore) {
    let user = requests::user("mallory");
    let sessions: Vec<_> = (0..many).map(|_| restless(of_each(), requests::key(), user.clone())).collect();
    let near = of_each();
    while near.list_user(user.clone()).await.unwrap().len() < many {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (revoke, began) = (requests::revoke(&user, RevokeWhich::All), Instant::now());
    let first = revoker.revoke(revoke.clone()).await;
    if let Ok(revoked) = &first {
        assert_eq!(revoked.count, many);
    }
    // A machine that is busy with other things may not come to an end within one call, which says so.
    let mut last_try = first;
    while let Err(error) = last_try {
        assert!(began.elapsed() < PATIENCE, "{error}");
        last_try = revoker.revoke(revoke.clone()).await;
    }
    for session in sessions {
        let last = tokio::time::timeout(PATIENCE, session).await.expect("it ends").unwrap();
        assert!(!matches!(near.load(last).await.unwrap(), Loaded::Live(_)));
    }
}

/// Ends one of them by the first of its ids, when it has changed it so often.
pub async fn is_ended(changes: usize, by: &RedisStore, of_its_own: &RedisStore) {
    let (first, user) = (requests::key(), requests::user("mallory"));
    let session = restless(of_its_own.clone(), first, user);
    let (mut at, mut changed) = (first, 0);
    let began = Instant::now();
    while changed < changes {
        assert!(began.elapsed() < PATIENCE);
        match by.load(at).await.unwrap() {
            Loaded::Ended(Ending::Moved { to, .. }) => (at, changed) = (to, changed + 1),
            _ => tokio::task::yield_now().await,
        }
    }
    let ended = by.end(requests::end(first)).await.unwrap();
    assert!(matches!(ended, Ended::Ended(Some(_))), "{ended:?}");
    let last = tokio::time::timeout(PATIENCE, session).await.expect("it ends").unwrap();
    assert!(!matches!(by.load(last).await.unwrap(), Loaded::Live(_)));
}
