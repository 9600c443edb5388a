//! A table of the protocol: an ordered map, and a time that stands still until it is moved.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::record::Record;
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::*;
use cloakroom::{OpId, StoreKey, UserId};

use crate::store_requests as requests;

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct World {
    pub(crate) entries: BTreeMap<StoreKey, Entry>,
    pub(crate) now: Timestamp,
}

impl Table for World {
    type Error = Infallible;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Infallible> {
        Ok(self.entries.get(key).cloned())
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), Infallible> {
        self.entries.insert(*key, entry);
        Ok(())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, Infallible> {
        Ok(self.entries.iter().filter(|(_, e)| e.user() == Some(user)).map(|(k, _)| *k).collect())
    }
}

fn told<T>(Ok(answer): Result<T, Infallible>) -> T {
    answer
}

pub(crate) fn key(n: u32) -> StoreKey {
    requests::key(7, n)
}

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

impl World {
    pub(crate) fn new() -> Self {
        World { entries: BTreeMap::new(), now: Timestamp::from_millis(1_000_000_000) }
    }

    /// A world with a session under `key(0)`.
    pub(crate) fn with_session() -> (Self, Arc<Record>) {
        let mut world = World::new();
        let record = world.session(0);
        (world, record)
    }

    pub(crate) fn session(&mut self, n: u32) -> Arc<Record> {
        match self.create(requests::create(key(n))) {
            Created::Created { snapshot, .. } => snapshot.record,
            other => panic!("{other:?}"),
        }
    }

    /// A session of `user`, a second younger than all before it.
    pub(crate) fn session_of(&mut self, n: u32, user: &str) -> Arc<Record> {
        self.wait(1);
        match self.create(Create { bind: Some(requests::bind(user, None)), ..requests::create(key(n)) }) {
            Created::Created { snapshot, .. } => snapshot.record,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(secs(seconds));
    }

    pub(crate) fn live(&mut self, n: u32) -> Arc<Record> {
        match self.load(n) {
            Loaded::Live(snapshot) => snapshot.record,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn load(&mut self, n: u32) -> Loaded {
        let now = self.now;
        told(protocol::load(self, now, key(n)))
    }
    pub(crate) fn create(&mut self, request: Create) -> Created {
        let now = self.now;
        told(protocol::create(self, now, request))
    }
    pub(crate) fn commit(&mut self, request: Commit) -> Committed {
        let now = self.now;
        told(protocol::commit(self, now, request))
    }
    pub(crate) fn rename(&mut self, request: Rename) -> Renamed {
        let now = self.now;
        told(protocol::rename(self, now, request))
    }
    pub(crate) fn touch(&mut self, n: u32, idle: Duration) -> Touched {
        let now = self.now;
        told(protocol::touch(self, now, Touch { key: key(n), idle }))
    }
    pub(crate) fn end(&mut self, request: End) -> Ended {
        let now = self.now;
        told(protocol::end(self, now, request))
    }
    pub(crate) fn acquire(&mut self, n: u32, owner: u128) -> Acquired {
        let now = self.now;
        let request = Acquire { key: key(n), owner: LeaseOwner(owner), lease: secs(10) };
        told(protocol::acquire(self, now, request))
    }
    pub(crate) fn renew(&mut self, n: u32, owner: u128) -> Renewed {
        let now = self.now;
        let request = Renew { key: key(n), owner: LeaseOwner(owner), lease: secs(10) };
        told(protocol::renew(self, now, request))
    }
    pub(crate) fn release(&mut self, n: u32, owner: u128) -> Released {
        let now = self.now;
        told(protocol::release(self, now, Release { key: key(n), owner: LeaseOwner(owner) }))
    }
    pub(crate) fn list(&mut self, user: &str) -> Vec<Summary> {
        let now = self.now;
        told(protocol::list_user(self, now, &requests::user(user)))
    }
    pub(crate) fn revoke(&mut self, user: &str, which: RevokeWhich) -> Vec<Summary> {
        self.revoke_as(revoke(user, which))
    }
    pub(crate) fn revoke_as(&mut self, request: Revoke) -> Vec<Summary> {
        let now = self.now;
        told(protocol::revoke(self, now, request)).ended
    }
}

/// A revocation under a name of its own.
pub(crate) fn revoke(user: &str, which: RevokeWhich) -> Revoke {
    let user = requests::user(user);
    Revoke { user, op: OpId::generate(), which, marker: requests::MARKER }
}

/// Where the sessions of a listing are.
pub(crate) fn places(sessions: &[Summary]) -> Vec<StoreKey> {
    sessions.iter().map(|s| s.key).collect()
}
