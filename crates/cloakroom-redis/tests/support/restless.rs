//! Sessions of a user whose ids change all the time, and what a revocation makes of them.

use std::time::{Duration, Instant};

use cloakroom::store::{Created, Loaded, Renamed, RevokeWhich, Store};
use cloakroom::{StoreKey, UserId};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;
use tokio::task::JoinHandle;

/// How long anything of this may take on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(20);

/// Goes on until the session comes to an end, and answers with where it did.
fn restless(store: RedisStore, user: UserId) -> JoinHandle<StoreKey> {
    tokio::spawn(async move {
        let mut at = requests::key();
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
    let sessions: Vec<_> = (0..many).map(|_| restless(of_each(), user.clone())).collect();
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
