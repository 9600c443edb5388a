//! What others do to sessions that a near cache keeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom::StoreKey;
use cloakroom::record::Version;
use cloakroom::store::{Loaded, RevokeWhich, Store};
use cloakroom_redis::RedisStore;
use cloakroom_testing::requests;

use super::{Near, live, new_session, write};

/// Those who keep a server and a process busy with other sessions.
pub(super) struct Bustle {
    stop: Arc<AtomicBool>,
    running: tokio::task::JoinSet<()>,
}

impl Bustle {
    pub(super) async fn of(writer: &RedisStore, reader: &Near) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let key = new_session(writer).await;
            let (writer, reader, stop) = (writer.clone(), reader.clone(), stop.clone());
            running.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    write(&writer, key).await;
                    live(&reader, key).await;
                    live(&reader, key).await;
                }
            });
        }
        Bustle { stop, running }
    }

    pub(super) async fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
    }
}

/// What somebody else did to a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Write,
    End,
    Revoke,
}

impl Deed {
    pub(super) const ALL: [Deed; 3] = [Deed::Write, Deed::End, Deed::Revoke];

    /// Does it to a session of this user.
    pub(super) async fn done_by(self, store: &RedisStore, key: StoreKey, user: &cloakroom::UserId) {
        match self {
            Deed::Write => drop(write(store, key).await),
            Deed::End => drop(store.end(requests::end(key)).await.unwrap()),
            Deed::Revoke => {
                let revoked = store.revoke(requests::revoke(user, RevokeWhich::All)).await.unwrap();
                assert!(revoked.ended.iter().any(|session| session.key == key));
            }
        }
    }

    pub(super) fn shows(self, loaded: &Loaded, old: Version) -> bool {
        match self {
            Deed::Write => matches!(loaded, Loaded::Live(snapshot) if snapshot.record.version != old),
            Deed::End | Deed::Revoke => matches!(loaded, Loaded::Ended(_)),
        }
    }
}

/// A session of this user.
pub(super) async fn session_of(store: &RedisStore, user: &cloakroom::UserId) -> StoreKey {
    let key = requests::key();
    store.create(requests::create_for(key, requests::bind(user))).await.unwrap();
    key
}
