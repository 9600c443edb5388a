//! A session gets a new id, and the old one an end.

use std::sync::Arc;

use super::change::{renew_at, slide};
use super::entry::{Entry, Table};
use super::lease::{LeaseCheck, check_lease};
use super::load::{Found, find};
use super::user::{bind_to, make_room};
use crate::clock::Timestamp;
use crate::ids::OpId;
use crate::record::Record;
use crate::store::{Deadlines, Ending, OldId, Rename, Renamed, Snapshot};

/// Moves a record to a new key.
///
/// # Errors
/// Those of the table.
pub fn rename<T: Table>(table: &mut T, now: Timestamp, request: Rename) -> Result<Renamed, T::Error> {
    let (old, held) = match find(table, &request.from, now)? {
        Found::Live(record, lease) => (record, lease),
        Found::Alias { successor, op, .. } => {
            let moved = Ending::Moved { to: successor, user_changed: false };
            return already_renamed(table, now, &request, op, moved);
        }
        Found::Ended(ending, op) => return already_renamed(table, now, &request, op, ending),
        Found::Missing => return Ok(Renamed::Missing),
    };
    if old.knows(request.op) {
        // Only a copy stays live under the old key; the record itself went to the new one.
        let moved = Ending::Moved { to: request.to, user_changed: false };
        return already_renamed(table, now, &request, request.op, moved);
    }
    let lease = match check_lease(held, request.lease) {
        LeaseCheck::Passed(lease) => lease,
        LeaseCheck::Locked(until) => return Ok(Renamed::Locked { until, now }),
        LeaseCheck::Lost => return Ok(Renamed::LeaseLost),
    };
    if old.version != request.expected {
        return Ok(Renamed::Conflict(Snapshot { record: old, now }));
    }
    if table.get(&request.to)?.is_some() {
        return Ok(Renamed::Exists);
    }

    let mut record = Record::clone(&old);
    record.advance(request.op);
    record.epoch = request.epoch;
    record.payload = request.payload;
    match request.deadlines {
        Deadlines::Keep { renewal } => {
            record.renew_at = renew_at(now, renewal);
            slide(&mut record, now, request.slide);
        }
        Deadlines::Restart(lifetime) => {
            record.last_seen = now;
            record.absolute_deadline = now.after(lifetime.absolute);
            record.idle_deadline = now.after(lifetime.idle).min(record.absolute_deadline);
            record.renew_at = renew_at(now, lifetime.renewal);
        }
    }
    if let Some(bind) = &request.bind {
        bind_to(&mut record, bind);
    }
    let user_changed = record.user != old.user;
    let marker_until = now.after(request.marker);
    let left_behind = match request.old {
        OldId::Alias { sealed, grace } if !user_changed => Entry::Alias {
            successor: request.to,
            sealed,
            grace_until: now.after(grace),
            op: request.op,
            until: now.after(grace).after(request.marker),
        },
        // Nobody is led across a change of user: who only knew the id from before is not told the one after.
        OldId::Dead | OldId::Alias { .. } => Entry::Marker {
            ending: Ending::Moved { to: request.to, user_changed },
            op: request.op,
            until: marker_until,
        },
        OldId::Copy { record_id, keep } => {
            let mut copy = Arc::unwrap_or_clone(old);
            copy.id = record_id;
            copy.absolute_deadline = copy.absolute_deadline.min(now.after(keep));
            copy.idle_deadline = copy.idle_deadline.min(copy.absolute_deadline);
            copy.renew_at = Timestamp::NEVER;
            copy.advance(request.op);
            Entry::Live { record: Arc::new(copy), lease: None }
        }
    };
    table.put(&request.from, left_behind)?;
    let evicted = match &request.bind {
        Some(bind) => make_room(table, now, bind, request.to, request.op, request.marker)?,
        None => Vec::new(),
    };
    let record = Arc::new(record);
    table.put(&request.to, Entry::Live { record: Arc::clone(&record), lease })?;
    Ok(Renamed::Renamed { snapshot: Snapshot { record, now }, evicted })
}

/// The old key does not hold the record any more: because this very operation moved it, or another one?
fn already_renamed<T: Table>(
    table: &mut T,
    now: Timestamp,
    request: &Rename,
    by: OpId,
    ending: Ending,
) -> Result<Renamed, T::Error> {
    // What is left under the old key names the operation for as long as it is there; the record itself may have
    // forgotten it over later ones.
    if by == request.op
        && matches!(ending, Ending::Moved { to, .. } if to == request.to)
        && let Found::Live(record, _) = find(table, &request.to, now)?
    {
        return Ok(Renamed::Renamed { snapshot: Snapshot { record, now }, evicted: Vec::new() });
    }
    Ok(Renamed::Ended(ending))
}
