//! Records by key, bounded and short-lived.
//!
//! The one race that matters: an answer on its way while the record changes. Whoever is to ask the store takes a [`Ticket`]
//! first, the generation of the key's shard; everything that makes a key outdated moves the generation on; an answer is kept
//! only if it has not moved since. So it does not matter over which connections answers and news arrive, or in which order.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::NearCacheCounts;
use crate::clock::Clock;
use crate::ids::StoreKey;
use crate::record::Record;
use crate::store::{ChangeListener, Loaded, Snapshot, StoreError};

/// Shards: what one change makes unkeepable is what is on its way for this part of the keys.
const SHARDS: usize = 64;
/// What an entry takes beside the data of its session: record, key, table, queue.
const ENTRY_BYTES: usize = 300;
/// The part of the idle time after which a session is touched; the engine's own default. Up to then it may be served.
const TOUCHED_AFTER: u32 = 10;

/// How much is kept, and for how long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) lifetime: Duration,
}

/// Measures time passing.
#[derive(Clone)]
pub(super) enum Watch {
    Running(Instant),
    Clock(Arc<dyn Clock>),
}

impl Watch {
    pub(super) fn running() -> Self {
        Watch::Running(Instant::now())
    }

    /// Milliseconds since some moment.
    fn millis(&self) -> u64 {
        match self {
            Watch::Running(since) => u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
            Watch::Clock(clock) => clock.now().as_millis(),
        }
    }
}

pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    limits: Limits,
    watch: Watch,
    /// The store tells of changes.
    connected: AtomicBool,
    hits: AtomicU64,
    misses: AtomicU64,
    told: AtomicU64,
}

#[derive(Default)]
struct Shard {
    records: HashMap<StoreKey, Kept>,
    /// In the order they were asked for, which is the order in which their time is over. Some are gone by now.
    order: VecDeque<(StoreKey, u64)>,
    bytes: usize,
    /// Moves on with everything that makes a key outdated.
    generation: u64,
}

struct Kept {
    snapshot: Snapshot,
    /// When it was asked for, and which of all entries it is.
    asked: u64,
    arrived: u64,
    number: u64,
}

/// The right to keep an answer that was asked for from here on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(Option<Asked>);

#[derive(Debug, Clone, Copy)]
struct Asked {
    generation: u64,
    at: u64,
}

pub(super) enum Lookup {
    Hit(Snapshot),
    Miss(Ticket),
}

impl Cache {
    pub(super) fn new(limits: Limits, watch: Watch) -> Self {
        Cache {
            shards: std::array::from_fn(|_| Mutex::default()),
            limits,
            watch,
            connected: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    fn shard(&self, key: &StoreKey) -> &Mutex<Shard> {
        let [first, ..] = &self.shards;
        let [.., last] = key.hash64().to_be_bytes();
        self.shards.get(usize::from(last) % SHARDS).unwrap_or(first)
    }

    /// What may be answered from memory, or the right to keep what the store answers.
    pub(super) fn look_up(&self, key: &StoreKey) -> Lookup {
        if !self.connected.load(Ordering::Acquire) {
            self.misses.fetch_add(1, Ordering::Relaxed);
            return Lookup::Miss(Ticket(None));
        }
        let now = self.watch.millis();
        let shard = self.shard(key).lock();
        match shard.records.get(key).and_then(|kept| kept.at(now, self.limits.lifetime)) {
            Some(snapshot) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                Lookup::Hit(snapshot)
            }
            None => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                Lookup::Miss(Ticket(Some(Asked { generation: shard.generation, at: now })))
            }
        }
    }

    /// Keeps an answer, unless it may be outdated by now.
    pub(super) fn keep(&self, key: StoreKey, ticket: Ticket, answer: &Result<Loaded, StoreError>) {
        let (Some(asked), Ok(Loaded::Live(snapshot))) = (ticket.0, answer) else { return };
        let bytes = bytes_of(&snapshot.record);
        let (entries_here, bytes_here) = self.share();
        if bytes > bytes_here || entries_here == 0 {
            return;
        }
        let arrived = self.watch.millis();
        let mut shard = self.shard(&key).lock();
        if shard.generation != asked.generation || !self.connected.load(Ordering::Acquire) {
            return;
        }
        shard.forget(&key);
        while shard.records.len() >= entries_here || shard.bytes + bytes > bytes_here {
            shard.forget_oldest();
        }
        shard.add(key, Kept { snapshot: snapshot.clone(), asked: asked.at, arrived, number: 0 });
        let life = u64::try_from(self.limits.lifetime.as_millis()).unwrap_or(u64::MAX);
        shard.tidy(arrived.saturating_sub(life));
    }

    /// What one shard may hold.
    fn share(&self) -> (usize, usize) {
        (self.limits.entries.div_ceil(SHARDS), self.limits.bytes / SHARDS)
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let generation = shard.generation + 1;
            *shard = Shard { generation, ..Shard::default() };
        }
    }

    pub(super) fn counts(&self) -> NearCacheCounts {
        let (mut entries, mut bytes) = (0, 0);
        for shard in &self.shards {
            let shard = shard.lock();
            entries += shard.records.len();
            bytes += shard.bytes;
        }
        NearCacheCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            told: self.told.load(Ordering::Relaxed),
            entries,
            bytes,
            connected: self.connected.load(Ordering::Acquire),
        }
    }

    /// A key is outdated, whether it is here or on its way here.
    pub(super) fn outdated(&self, key: &StoreKey) {
        let mut shard = self.shard(key).lock();
        shard.generation += 1;
        shard.forget(key);
    }
}

impl ChangeListener for Cache {
    fn connected(&self) {
        self.clear();
        self.connected.store(true, Ordering::Release);
    }

    fn disconnected(&self) {
        // First, so that nobody takes a ticket that clearing would not void.
        self.connected.store(false, Ordering::Release);
        self.clear();
    }

    fn changed(&self, key: StoreKey) {
        self.told.fetch_add(1, Ordering::Relaxed);
        self.outdated(&key);
    }
}

impl Kept {
    /// As it is now by the store's clock, if it may be served still.
    fn at(&self, now: u64, lifetime: Duration) -> Option<Snapshot> {
        // A clock that jumped back tells nothing.
        let age = Duration::from_millis(now.checked_sub(self.asked)?);
        let since = Duration::from_millis(now.checked_sub(self.arrived)?);
        let record = &self.snapshot.record;
        let now = self.snapshot.now.after(since);
        // Which is long before its deadline.
        let life = record.last_seen.until(record.deadline());
        let touch_due = now >= record.last_seen.after(life / TOUCHED_AFTER);
        let serves = age < lifetime && !touch_due;
        serves.then(|| Snapshot { record: Arc::clone(record), now })
    }
}

impl Shard {
    fn add(&mut self, key: StoreKey, mut kept: Kept) {
        kept.number = self.order.back().map_or(0, |(_, number)| number + 1);
        self.bytes += bytes_of(&kept.snapshot.record);
        self.order.push_back((key, kept.number));
        self.records.insert(key, kept);
    }

    fn forget(&mut self, key: &StoreKey) {
        if let Some(kept) = self.records.remove(key) {
            self.bytes -= bytes_of(&kept.snapshot.record);
        }
        if self.records.is_empty() {
            self.order.clear();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((key, number)) = self.order.pop_front() else { return };
        if self.records.get(&key).is_some_and(|kept| kept.number == number) {
            self.forget(&key);
        }
    }

    /// Lets go of a few whose time is over, and of a queue that is mostly gone.
    fn tidy(&mut self, over: u64) {
        for _ in 0..4 {
            let Some((key, number)) = self.order.front() else { return };
            match self.records.get(key).filter(|kept| kept.number == *number) {
                Some(kept) if kept.asked > over => break,
                _ => self.forget_oldest(),
            }
        }
        if self.order.len() > 64 + 2 * self.records.len() {
            let records = &self.records;
            self.order.retain(|(key, number)| records.get(key).is_some_and(|kept| kept.number == *number));
        }
    }
}

fn bytes_of(record: &Record) -> usize {
    ENTRY_BYTES + record.payload.len()
}
