//! Scan, purge and stats, right and with bugs.

use std::ops::Bound;

use cloakroom::StoreKey;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::Entry;
use cloakroom::store::{Purged, ScanFrom, ScanPage, StoreStats, Summary};

use crate::bugs::Bug;
use crate::store::Data;

pub fn scan(data: &Data, now: Timestamp, from: ScanFrom) -> ScanPage {
    let start = match (data.bug, from.after) {
        (_, None) => Bound::Unbounded,
        (Bug::PagesOverlap, Some(key)) => Bound::Included(key),
        (_, Some(key)) => Bound::Excluded(key),
    };
    let shown =
        |record: &cloakroom::record::Record| data.bug == Bug::ScanShowsTheExpired || !record.is_expired(now);
    let mut live = data.entries.range((start, Bound::Unbounded)).filter_map(|(key, entry)| match entry {
        Entry::Live { record, .. } if shown(record) => Some(Summary::of(*key, record)),
        _ => None,
    });
    let limit = if data.bug == Bug::PagesAreTooLong { from.limit + 1 } else { from.limit };
    let mut sessions: Vec<Summary> = live.by_ref().take(limit).collect();
    let next = live.next().and(sessions.last().map(|s| s.key));
    match data.bug {
        Bug::PagesHaveGaps if sessions.len() > 2 => drop(sessions.remove(1)),
        Bug::ScanEndsAfterOnePage => return ScanPage { sessions, next: None },
        Bug::ScanNeverEnds => return ScanPage { sessions, next: Some(StoreKey::from_bytes([0; 35])) },
        Bug::SummariesAreOld => sessions.iter_mut().for_each(|s| s.size = 0),
        _ => {}
    }
    ScanPage { sessions, next }
}

pub fn purge(data: &mut Data, now: Timestamp, limit: usize) -> Purged {
    let bug = data.bug;
    let due = |entry: &Entry| match (bug, entry) {
        (Bug::PurgeTakesMarkersEarly, Entry::Marker { .. } | Entry::Alias { .. }) => true,
        (Bug::PurgeTakesTheLiving, Entry::Live { .. }) => true,
        (Bug::PurgeForgetsTheTouch, Entry::Live { record, .. }) if record.created != record.last_seen => {
            record.created.after(std::time::Duration::from_secs(3)) <= now
        }
        (Bug::PurgeLeavesMarkers, Entry::Marker { .. } | Entry::Alias { .. }) => false,
        (Bug::PurgeDoesNothing, _) => false,
        _ => entry.purge_at() <= now,
    };
    let all: Vec<StoreKey> = data.entries.iter().filter(|(_, e)| due(e)).map(|(key, _)| *key).collect();
    let limit = if bug == Bug::PurgeIgnoresItsLimit { usize::MAX } else { limit };
    let batch: Vec<StoreKey> = all.iter().copied().take(limit).collect();
    for key in &batch {
        data.entries.remove(key);
    }
    let more = match bug {
        Bug::PurgeNeverHasMore => false,
        Bug::PurgeAlwaysHasMore => true,
        _ => all.len() > batch.len(),
    };
    let removed = if bug == Bug::PurgeCountsWhatItSaw { all.len().min(limit) + 1 } else { batch.len() };
    Purged { removed, more }
}

pub fn stats(data: &Data, now: Timestamp) -> StoreStats {
    let live = data.entries.values().filter(|entry| match data.bug {
        Bug::StatsCountTheDead => true,
        Bug::StatsCountNothing => false,
        _ => matches!(entry, Entry::Live { record, .. } if !record.is_expired(now)),
    });
    StoreStats { live: Some(live.count() as u64), bytes: None }
}
