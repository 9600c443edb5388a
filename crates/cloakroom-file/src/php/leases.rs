//! Leases: locks on PHP's files that this process holds for longer than a step.
//!
//! A lock is given back when its lease ends, whether or not anybody asks: PHP waits for the lock, and knows nothing of leases.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::Lease;
use parking_lot::{Condvar, Mutex};

use super::value::Locked;

/// All of them.
#[derive(Default)]
pub(super) struct Leases(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    held: HashMap<StoreKey, Leased>,
    /// Whether there is a thread that ends them.
    watched: bool,
    closed: bool,
}

#[derive(Clone)]
struct Leased {
    file: Arc<Locked>,
    lease: Lease,
    ends: Instant,
}

impl Leases {
    /// The lock of this session, if it is held for a lease.
    pub(super) fn of(&self, key: &StoreKey, now: Timestamp) -> Option<(Arc<Locked>, Lease)> {
        let mut state = self.0.state.lock();
        let leased = state.held.get(key)?;
        if leased.lease.until <= now {
            state.held.remove(key);
            return None;
        }
        Some((Arc::clone(&leased.file), leased.lease))
    }

    /// Whether a lock may be held for this session.
    pub(super) fn has(&self, key: &StoreKey) -> bool {
        self.0.state.lock().held.contains_key(key)
    }

    /// The lock is held for this lease from now on.
    pub(super) fn hold(
        &self,
        key: StoreKey,
        file: Arc<Locked>,
        lease: Lease,
        now: Timestamp,
    ) -> io::Result<()> {
        let mut state = self.0.state.lock();
        if !state.watched {
            let shared = Arc::clone(&self.0);
            std::thread::Builder::new().name("cloakroom-leases".into()).spawn(move || shared.watch())?;
            state.watched = true;
        }
        let since = Instant::now();
        let ends = since.checked_add(now.until(lease.until)).unwrap_or(since);
        state.held.insert(key, Leased { file, lease, ends });
        self.0.changed.notify_one();
        Ok(())
    }

    /// It is given back.
    pub(super) fn free(&self, key: &StoreKey) {
        self.0.state.lock().held.remove(key);
    }
}

impl Shared {
    fn watch(&self) {
        let mut state = self.state.lock();
        while !state.closed {
            let now = Instant::now();
            state.held.retain(|_, leased| now < leased.ends);
            match state.held.values().map(|leased| leased.ends).min() {
                Some(first) => {
                    self.changed.wait_until(&mut state, first);
                }
                None => self.changed.wait(&mut state),
            }
        }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.closed = true;
        state.held.clear();
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom::store::LeaseOwner;

    use super::*;

    #[test]
    fn c5_a_lock_is_given_back_when_its_lease_ends_though_nobody_asks() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || std::fs::File::open(file.path()).unwrap();
        let now = Timestamp::from_millis(1000);
        let lease = |millis: u64| Lease {
            owner: LeaseOwner(1),
            hold: 0,
            until: Timestamp::from_millis(1000 + millis),
        };
        let key = StoreKey::from_bytes([1; 35]);
        let leases = Leases::default();
        let held = Arc::new(Locked::try_new(open()).unwrap().unwrap());
        leases.hold(key, held.clone(), lease(60_000), now).unwrap();
        // Renewed, and shortened: it is the last word that counts.
        leases.hold(key, held, lease(80), now).unwrap();
        assert!(Locked::try_new(open()).unwrap().is_none());
        let began = Instant::now();
        while Locked::try_new(open()).unwrap().is_none() {
            assert!(began.elapsed() < Duration::from_secs(20), "it is not given back");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(began.elapsed() >= Duration::from_millis(50));
        assert!(leases.of(&key, now).is_none());
    }
}
