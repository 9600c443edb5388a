//! One entry as the memory store keeps it: a protocol entry, packed.
//!
//! A [`Record`] with its key and lease would take 240 bytes. What most sessions lack (a user, a device, a lease)
//! is behind one pointer here, which leaves 160.

use std::sync::Arc;

use crate::clock::Timestamp;
use crate::ids::{OpId, RecordId, StoreKey, UserId};
use crate::payload::Payload;
use crate::record::{Device, RecentOps, Record, Version};
use crate::store::protocol::{Entry, Lease};
use crate::store::{Ending, SealedId, Summary};

/// What an allocation costs beside its bytes: the counts of an `Arc`, the allocator's own.
const ALLOCATION: usize = 32;

/// What is in one place of a slab.
#[derive(Debug, Default)]
pub(super) enum Slot {
    /// Nothing.
    #[default]
    Vacant,
    /// A session.
    Live(Live),
    /// An old id that leads on for a grace.
    Alias(Alias),
    /// The memory of a session.
    Marker(Marker),
    /// The memory of a revocation.
    Receipt(Receipt),
}

// One million sessions pay for every byte here.
const _: () = assert!(size_of::<Slot>() <= 160);

/// A session: [`Record`] and lease, packed.
#[derive(Debug)]
pub(super) struct Live {
    key: StoreKey,
    // One byte between the key and the epoch that nothing else uses: the enum around keeps its tag in it.
    _tag: Tag,
    epoch: u32,
    id: RecordId,
    version: Version,
    recent: RecentOps,
    created: Timestamp,
    last_seen: Timestamp,
    idle_deadline: Timestamp,
    absolute_deadline: Timestamp,
    renew_at: Timestamp,
    payload: Payload,
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Clone, Copy)]
#[repr(u8)] // Without it, an enum of one variant has no byte.
enum Tag {
    Live,
}

/// What most sessions do not have.
#[derive(Debug)]
struct Rare {
    user: Option<UserId>,
    device: Option<Arc<Device>>,
    lease: Option<Box<Lease>>,
}

#[derive(Debug)]
pub(super) struct Alias {
    key: StoreKey,
    successor: StoreKey,
    sealed: SealedId,
    grace_until: Timestamp,
    op: OpId,
    until: Timestamp,
}

#[derive(Debug)]
pub(super) struct Marker {
    key: StoreKey,
    ending: Ending,
    op: OpId,
    until: Timestamp,
}

#[derive(Debug)]
pub(super) struct Receipt {
    key: StoreKey,
    count: usize,
    ended: Arc<[Summary]>,
    until: Timestamp,
}

impl Slot {
    pub(super) fn new(key: &StoreKey, entry: &Entry) -> Self {
        match *entry {
            Entry::Live { ref record, lease } => Slot::Live(Live::new(key, record, lease)),
            Entry::Alias { successor, ref sealed, grace_until, op, until } => {
                let sealed = sealed.clone();
                Slot::Alias(Alias { key: *key, successor, sealed, grace_until, op, until })
            }
            Entry::Marker { ending, op, until } => Slot::Marker(Marker { key: *key, ending, op, until }),
            Entry::Receipt { count, ref ended, until } => {
                Slot::Receipt(Receipt { key: *key, count, ended: Arc::clone(ended), until })
            }
        }
    }

    /// The entry, its payload shared.
    pub(super) fn entry(&self) -> Option<Entry> {
        match self {
            Slot::Vacant => None,
            Slot::Live(live) => Some(Entry::Live { record: Arc::new(live.record()), lease: live.lease() }),
            Slot::Alias(a) => Some(Entry::Alias {
                successor: a.successor,
                sealed: a.sealed.clone(),
                grace_until: a.grace_until,
                op: a.op,
                until: a.until,
            }),
            Slot::Marker(m) => Some(Entry::Marker { ending: m.ending, op: m.op, until: m.until }),
            Slot::Receipt(r) => {
                Some(Entry::Receipt { count: r.count, ended: Arc::clone(&r.ended), until: r.until })
            }
        }
    }

    /// The session, if it is one that is alive at `now`.
    pub(super) fn live(&self, now: Timestamp) -> Option<&Live> {
        match self {
            Slot::Live(live) if now < self.purge_at() => Some(live),
            _ => None,
        }
    }

    pub(super) fn key(&self) -> Option<&StoreKey> {
        match self {
            Slot::Vacant => None,
            Slot::Live(live) => Some(&live.key),
            Slot::Alias(alias) => Some(&alias.key),
            Slot::Marker(marker) => Some(&marker.key),
            Slot::Receipt(receipt) => Some(&receipt.key),
        }
    }

    pub(super) fn user(&self) -> Option<&UserId> {
        match self {
            Slot::Live(live) => live.rare.as_ref()?.user.as_ref(),
            _ => None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self, Slot::Live(_))
    }

    /// As [`Entry::purge_at`].
    pub(super) fn purge_at(&self) -> Timestamp {
        match self {
            Slot::Vacant => Timestamp::NEVER,
            Slot::Live(live) => live.idle_deadline.min(live.absolute_deadline),
            Slot::Alias(alias) => alias.until,
            Slot::Marker(marker) => marker.until,
            Slot::Receipt(receipt) => receipt.until,
        }
    }

    /// For listings, if it is a session that is alive at `now`.
    pub(super) fn summary(&self, now: Timestamp) -> Option<Summary> {
        self.live(now).map(|live| Summary::of(live.key, &live.record()))
    }

    /// Bytes of memory that the entry accounts for beside its place in the slab. An estimate, since it does not
    /// know the allocator.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Slot::Vacant | Slot::Marker(_) => 0,
            Slot::Alias(alias) => alias.sealed.0.len() + ALLOCATION,
            // A device that outlives its session counts here.
            Slot::Receipt(receipt) => {
                receipt.ended.iter().map(Rare::remembered_bytes).sum::<usize>() + ALLOCATION
            }
            Slot::Live(live) => {
                let rare = live.rare.as_deref().map_or(0, Rare::heap_bytes);
                live.payload.len() + ALLOCATION + rare
            }
        }
    }
}

impl Live {
    fn new(key: &StoreKey, record: &Record, lease: Option<Lease>) -> Self {
        let Record { id, version, recent, epoch, created, last_seen, .. } = *record;
        let Record { idle_deadline, absolute_deadline, renew_at, .. } = *record;
        let Record { user, device, payload, .. } = record;
        let rare = (user.is_some() || device.is_some() || lease.is_some()).then(|| {
            Box::new(Rare { user: user.clone(), device: device.clone(), lease: lease.map(Box::new) })
        });
        Live {
            key: *key,
            _tag: Tag::Live,
            epoch,
            id,
            version,
            recent,
            created,
            last_seen,
            idle_deadline,
            absolute_deadline,
            renew_at,
            payload: payload.clone(),
            rare,
        }
    }

    pub(super) fn record(&self) -> Record {
        let (user, device) = match &self.rare {
            Some(rare) => (rare.user.clone(), rare.device.clone()),
            None => (None, None),
        };
        Record {
            id: self.id,
            version: self.version,
            recent: self.recent,
            epoch: self.epoch,
            created: self.created,
            last_seen: self.last_seen,
            idle_deadline: self.idle_deadline,
            absolute_deadline: self.absolute_deadline,
            renew_at: self.renew_at,
            user,
            device,
            payload: self.payload.clone(),
        }
    }

    fn lease(&self) -> Option<Lease> {
        self.rare.as_ref()?.lease.as_deref().copied()
    }
}

impl Rare {
    fn remembered_bytes(session: &Summary) -> usize {
        let user = session.user.as_ref().map_or(0, |u| u.as_str().len());
        let device =
            session.device.as_ref().map_or(0, |d| d.address.len() + d.agent.len() + size_of::<Device>());
        size_of::<Summary>() + user + device + 2 * ALLOCATION
    }

    fn heap_bytes(&self) -> usize {
        // A user is counted with its place in the index. Devices are counted in full with each session,
        // although sessions may share one.
        let user = self.user.as_ref().map_or(0, |u| u.as_str().len() + ALLOCATION + 96);
        let device = self
            .device
            .as_ref()
            .map_or(0, |d| d.address.len() + d.agent.len() + size_of::<Device>() + 2 * ALLOCATION);
        let lease = self.lease.as_ref().map_or(0, |l| size_of_val(&**l));
        size_of::<Rare>() + ALLOCATION + user + device + lease
    }
}
