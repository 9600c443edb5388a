//! A session ends, and is remembered as ended.

use std::collections::HashSet;
use std::time::Duration;

use super::entry::{Entry, Table};
use super::load::{Found, find};
use crate::clock::Timestamp;
use crate::ids::{OpId, StoreKey};
use crate::store::{End, EndCause, Ended, Ending, Summary};

/// Ends a session, following it where it moved, however often: a logout on an id that is long out of date is a logout. A lease does not protect from it: its holder's write is then
/// refused as ended.
///
/// # Errors
/// Those of the table.
pub fn end<T: Table>(table: &mut T, now: Timestamp, request: End) -> Result<Ended, T::Error> {
    let mut key = request.key;
    // Nothing makes a circle of ids; damage might.
    let mut left = HashSet::new();
    loop {
        let next = match find(table, &key, now)? {
            Found::Live(record, _) => {
                let summary = Summary::of(key, &record);
                leave_marker(table, now, key, request.op, request.cause, request.marker)?;
                return Ok(Ended::Ended(Some(summary)));
            }
            Found::Alias { successor, .. } => successor,
            Found::Ended(Ending::Moved { to, .. }, _) => to,
            Found::Ended(_, by) if by == request.op => return Ok(Ended::Ended(None)),
            Found::Ended(..) | Found::Missing => return Ok(Ended::NotLive),
        };
        if !left.insert(key) {
            return Ok(Ended::NotLive);
        }
        key = next;
    }
}

/// Puts the memory of an end in place of a session.
pub(super) fn leave_marker<T: Table>(
    table: &mut T,
    now: Timestamp,
    key: StoreKey,
    op: OpId,
    cause: EndCause,
    marker: Duration,
) -> Result<(), T::Error> {
    let ending = match cause {
        EndCause::Destroyed => Ending::Destroyed,
        EndCause::Revoked => Ending::Revoked,
    };
    table.put(&key, Entry::Marker { ending, op, until: now.after(marker) })
}
