//! One holder at a time: taking, extending and giving back a lease, and what it means to a write.

use std::sync::Arc;

use super::entry::{Entry, Lease, Table};
use super::load::{Found, find};
use crate::clock::Timestamp;
use crate::store::{Acquire, Acquired, Ending, LeaseRef, Release, Released, Renew, Renewed, Snapshot};

/// Takes the lease of a record, and reads it.
///
/// # Errors
/// Those of the table.
pub fn acquire<T: Table>(table: &mut T, now: Timestamp, request: Acquire) -> Result<Acquired, T::Error> {
    let (record, held) = match find(table, &request.key, now)? {
        Found::Live(record, lease) => (record, lease),
        Found::Alias { successor, .. } => {
            return Ok(Acquired::Ended(Ending::Moved { to: successor, user_changed: false }));
        }
        Found::Ended(ending, _) => return Ok(Acquired::Ended(ending)),
        Found::Missing => return Ok(Acquired::Missing),
    };
    let hold = match held {
        Some(lease) if lease.owner != request.owner => {
            return Ok(Acquired::Locked { until: lease.until, now });
        }
        Some(lease) => lease.hold,
        None => 0,
    };
    let until = now.after(request.lease);
    let lease = Lease { owner: request.owner, hold, until };
    table.put(&request.key, Entry::Live { record: Arc::clone(&record), lease: Some(lease) })?;
    Ok(Acquired::Acquired { snapshot: Snapshot { record, now }, until })
}

/// Extends a lease that is still held.
///
/// # Errors
/// Those of the table.
pub fn renew<T: Table>(table: &mut T, now: Timestamp, request: Renew) -> Result<Renewed, T::Error> {
    match find(table, &request.key, now)? {
        Found::Live(record, Some(lease)) if lease.owner == request.owner => {
            let until = now.after(request.lease);
            let lease = Lease { until, ..lease };
            table.put(&request.key, Entry::Live { record, lease: Some(lease) })?;
            Ok(Renewed::Renewed { until })
        }
        _ => Ok(Renewed::LeaseLost),
    }
}

/// Gives a lease back.
///
/// # Errors
/// Those of the table.
pub fn release<T: Table>(table: &mut T, now: Timestamp, request: Release) -> Result<Released, T::Error> {
    match find(table, &request.key, now)? {
        Found::Live(record, Some(lease)) if lease.owner == request.owner => {
            table.put(&request.key, Entry::Live { record, lease: None })?;
            Ok(Released::Released)
        }
        _ => Ok(Released::NotHeld),
    }
}

/// What a lease on the record means to a write.
pub(super) enum LeaseCheck {
    Passed(Option<Lease>),
    Locked(Timestamp),
    Lost,
}

/// Compares the lease in force with the one that a write shows.
pub(super) fn check_lease(held: Option<Lease>, shown: Option<LeaseRef>) -> LeaseCheck {
    match (held, shown) {
        (None, None) => LeaseCheck::Passed(None),
        (Some(held), None) => LeaseCheck::Locked(held.until),
        (Some(held), Some(shown)) if held.owner == shown.owner && shown.hold >= held.hold => {
            LeaseCheck::Passed(Some(Lease { hold: shown.hold, ..held }))
        }
        (_, Some(_)) => LeaseCheck::Lost,
    }
}
