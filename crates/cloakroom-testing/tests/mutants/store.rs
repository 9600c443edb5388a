//! A correct store with one bug at a time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::{Clock, SystemClock, Timestamp};
use cloakroom::record::Record;
use cloakroom::store::protocol::{self, Entry, Lease, Table};
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Loaded, Purged, Release, Released,
    Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage, Snapshot, Store, StoreError,
    StoreErrorKind, StoreFuture, StoreStats, Summary, Touch, Touched,
};
use cloakroom::{OpId, StoreKey, UserId};
use cloakroom_testing::ManualClock;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::bugs::Bug;
use crate::{leases, records, successors, upkeep, users};

#[derive(Clone)]
pub struct Mutant {
    pub bug: Bug,
    pub data: Arc<Mutex<Data>>,
    pub clock: ManualClock,
    /// Counts leases that were given back.
    pub freed: watch::Sender<u64>,
}

/// The table, and what the bugs remember that a correct store has forgotten.
#[derive(Clone)]
pub struct Data {
    pub bug: Bug,
    pub entries: BTreeMap<StoreKey, Entry>,
    /// The last live record under each key.
    pub buried: HashMap<StoreKey, Arc<Record>>,
    /// Operations that ended, and where.
    pub ends: HashMap<OpId, StoreKey>,
    /// Every operation that ever took effect.
    pub done: HashSet<OpId>,
    /// Keys a user ever had.
    pub index: HashMap<UserId, Vec<StoreKey>>,
    /// The highest hold under each key, whoever held.
    pub holds: HashMap<StoreKey, u64>,
    pub damaged: HashSet<StoreKey>,
    pub bound: Option<usize>,
}

impl Data {
    pub fn live(&self, key: &StoreKey) -> Option<(Arc<Record>, Option<Lease>)> {
        match self.entries.get(key) {
            Some(Entry::Live { record, lease }) => Some((record.clone(), *lease)),
            _ => None,
        }
    }

    /// Changes the record under a key behind the protocol's back.
    pub fn edit(&mut self, key: &StoreKey, change: impl FnOnce(&mut Record)) {
        if let Some(Entry::Live { record, .. }) = self.entries.get_mut(key) {
            change(Arc::make_mut(record));
        }
    }

    pub fn edit_lease(&mut self, key: &StoreKey, change: impl FnOnce(&mut Option<Lease>)) {
        if let Some(Entry::Live { lease, .. }) = self.entries.get_mut(key) {
            change(lease);
        }
    }
}

impl Table for Data {
    type Error = StoreError;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, StoreError> {
        if self.damaged.contains(key) {
            return match self.bug {
                Bug::DamageIsMissing => Ok(None),
                Bug::DamageIsServed => Ok(self.entries.get(key).cloned()),
                _ => Err(StoreError::new(StoreErrorKind::Corrupt, format!("{key:?} is damaged"))),
            };
        }
        Ok(self.entries.get(key).cloned())
    }

    fn put(&mut self, key: &StoreKey, entry: Entry) -> Result<(), StoreError> {
        if let Some(Entry::Live { record, .. }) = self.entries.get(key) {
            self.buried.insert(*key, record.clone());
        }
        if let Entry::Live { record, .. } = &entry {
            self.done.insert(record.version.op);
            if let Some(user) = &record.user {
                let keys = self.index.entry(user.clone()).or_default();
                if !keys.contains(key) {
                    keys.push(*key);
                }
            }
        }
        let entry = records::stored(self.bug, entry);
        self.entries.insert(*key, entry);
        Ok(())
    }

    fn keys_of(&mut self, user: &UserId) -> Result<Vec<StoreKey>, StoreError> {
        Ok(users::keys_of(self, user))
    }
}

impl Mutant {
    pub fn new(bug: Bug, clock: ManualClock, bound: Option<usize>) -> Self {
        let data = Data {
            bug,
            entries: BTreeMap::new(),
            buried: HashMap::new(),
            ends: HashMap::new(),
            done: HashSet::new(),
            index: HashMap::new(),
            holds: HashMap::new(),
            damaged: HashSet::new(),
            bound,
        };
        Mutant { bug, data: Arc::new(Mutex::new(data)), clock, freed: watch::Sender::new(0) }
    }

    /// A handle that shares nothing: what a store without a common medium would open.
    pub fn detached(&self) -> Self {
        let data = Arc::new(Mutex::new(self.data.lock().clone()));
        Mutant { data, freed: watch::Sender::new(0), ..self.clone() }
    }

    fn step<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Data, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> StoreFuture<T> {
        if self.bug == Bug::StepsAreNotAtomic {
            // Decides on a copy, and writes it back a little later.
            let this = self.clone();
            return StoreFuture::boxed(async move {
                let mut copy = this.data.lock().clone();
                let before = copy.entries.clone();
                let answer = step(&mut copy, this.clock.now());
                tokio::time::sleep(Duration::from_millis(1)).await;
                let mut data = this.data.lock();
                for (key, entry) in copy.entries {
                    if before.get(&key) != Some(&entry) {
                        data.entries.insert(key, entry);
                    }
                }
                answer
            });
        }
        let mut data = self.data.lock();
        StoreFuture::ready(step(&mut data, self.clock.now()))
    }
}

impl Store for Mutant {
    fn name(&self) -> &'static str {
        "mutant"
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        if self.bug == Bug::LoadWaitsForTheLease
            && self.data.lock().live(&key).is_some_and(|(_, l)| l.is_some())
        {
            return StoreFuture::boxed(std::future::pending());
        }
        self.step(move |data, now| records::load(data, now, key))
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        self.step(move |data, now| records::load_many(data, now, keys))
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        self.step(move |data, now| records::create(data, now, request))
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        if self.bug == Bug::CommitsAreTorn {
            // The version first, the data when the answer is waited for.
            let this = self.clone();
            let stripped = Commit { payload: cloakroom_testing::requests::data(&[]), ..request.clone() };
            let answer = protocol::commit(&mut *this.data.lock(), this.clock.now(), stripped);
            return StoreFuture::boxed(async move {
                let mut data = this.data.lock();
                data.edit(&request.key, |record| record.payload = request.payload.clone());
                match (answer?, data.live(&request.key)) {
                    (Committed::Committed(s), Some((record, _))) => {
                        Ok(Committed::Committed(Snapshot { record, ..s }))
                    }
                    (answer, _) => Ok(answer),
                }
            });
        }
        let freed = request.release && self.bug != Bug::CommitsSignalNothing;
        let answer = self.step(move |data, now| records::commit(data, now, request));
        self.freed.send_modify(|count| *count += u64::from(freed));
        answer
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.step(move |data, now| successors::rename(data, now, request))
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        self.step(move |data, now| records::touch(data, now, request))
    }

    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.step(move |data, now| successors::end(data, now, request))
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.step(move |data, now| leases::acquire(data, now, request))
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.step(move |data, now| leases::renew(data, now, request))
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        let answer = self.step(move |data, now| leases::release(data, now, request));
        self.freed.send_modify(|count| *count += u64::from(self.bug != Bug::ReleasesSignalNothing));
        answer
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        self.step(move |data, now| users::list(data, now, &user))
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        self.step(move |data, now| users::revoke(data, now, request))
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        self.step(move |data, now| Ok(upkeep::scan(data, now, from)))
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.step(move |data, now| Ok(upkeep::purge(data, now, limit)))
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.step(|data, now| Ok(upkeep::stats(data, now)))
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        let now = if self.bug == Bug::NowIsTheMachines { SystemClock.now() } else { self.clock.now() };
        StoreFuture::ready(Ok(now))
    }

    fn released(&self, _: StoreKey) -> Option<StoreFuture<()>> {
        let mut freed = self.freed.subscribe();
        let mut counted = *freed.borrow_and_update();
        let listener = async move {
            while freed.changed().await.is_ok() {
                if std::mem::replace(&mut counted, *freed.borrow_and_update()) != counted {
                    return Ok(());
                }
            }
            std::future::pending().await
        };
        Some(StoreFuture::boxed(listener))
    }
}
