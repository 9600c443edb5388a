//! A session is written to or used, under the id that it has.

use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, Table};
use super::lease::{LeaseCheck, check_lease};
use super::load::{Found, find};
use crate::clock::Timestamp;
use crate::record::Record;
use crate::store::{Commit, Committed, Ending, Snapshot, Touch, Touched};

/// Replaces a version of a record.
///
/// # Errors
/// Those of the table.
pub fn commit<T: Table>(table: &mut T, now: Timestamp, request: Commit) -> Result<Committed, T::Error> {
    let (mut record, held) = match find(table, &request.key, now)? {
        Found::Live(record, lease) => (record, lease),
        Found::Alias { successor, .. } => {
            return Ok(Committed::Ended(Ending::Moved { to: successor, user_changed: false }));
        }
        Found::Ended(ending, _) => return Ok(Committed::Ended(ending)),
        Found::Missing => return Ok(Committed::Missing),
    };
    if record.knows(request.op) {
        return Ok(Committed::Committed(Snapshot { record, now }));
    }
    let lease = match check_lease(held, request.lease) {
        LeaseCheck::Passed(lease) => lease,
        LeaseCheck::Locked(until) => return Ok(Committed::Locked { until, now }),
        LeaseCheck::Lost => return Ok(Committed::LeaseLost),
    };
    if record.version != request.expected {
        return Ok(Committed::Conflict(Snapshot { record, now }));
    }
    let slides = request.slides(record.last_seen, now);
    let next = Arc::make_mut(&mut record);
    next.advance(request.op);
    next.epoch = request.epoch;
    next.payload = request.payload;
    slide(next, now, slides);
    let lease = lease.filter(|_| !request.release);
    table.put(&request.key, Entry::Live { record: Arc::clone(&record), lease })?;
    Ok(Committed::Committed(Snapshot { record, now }))
}

/// Slides the idle deadline of a live record, forwards only.
///
/// # Errors
/// Those of the table.
pub fn touch<T: Table>(table: &mut T, now: Timestamp, request: Touch) -> Result<Touched, T::Error> {
    let (Touch { key, idle }, found) = (request, find(table, &request.key, now)?);
    let Found::Live(mut record, lease) = found else { return Ok(Touched::NotLive) };
    slide(Arc::make_mut(&mut record), now, Some(idle));
    let idle_deadline = record.idle_deadline;
    table.put(&key, Entry::Live { record, lease })?;
    Ok(Touched::Touched { idle_deadline })
}

/// The session was used.
pub(super) fn slide(record: &mut Record, now: Timestamp, idle: Option<Duration>) {
    if let Some(idle) = idle {
        record.last_seen = record.last_seen.max(now);
        // Never backwards, and never past the absolute deadline.
        record.idle_deadline = now.after(idle).max(record.idle_deadline).min(record.absolute_deadline);
    }
}

/// When its id is to be renewed.
pub(super) fn renew_at(now: Timestamp, renewal: Option<Duration>) -> Timestamp {
    renewal.map_or(Timestamp::NEVER, |d| now.after(d))
}
