//! A session ends, and is remembered as ended.

use std::time::Duration;

use super::entry::{Entry, Table};
use super::load::{Found, find};
use crate::clock::Timestamp;
use crate::ids::{OpId, StoreKey};
use crate::store::{End, EndCause, Ended, Ending, Summary};

/// Old ids that are followed from one to the next, at most, before an end is told it found nothing.
const MAX_HOPS: usize = 16;

/// Ends a session, following it where it moved. A lease does not protect from it: its holder's write is then
/// refused as ended.
///
/// # Errors
/// Those of the table.
pub fn end<T: Table>(table: &mut T, now: Timestamp, request: End) -> Result<Ended, T::Error> {
    let mut key = request.key;
    for _ in 0..MAX_HOPS {
        match find(table, &key, now)? {
            Found::Live(record, _) => {
                let summary = Summary::of(key, &record);
                leave_marker(table, now, key, request.op, request.cause, request.marker)?;
                return Ok(Ended::Ended(Some(summary)));
            }
            Found::Alias { successor, .. } => key = successor,
            Found::Ended(Ending::Moved { to, .. }, _) => key = to,
            Found::Ended(_, by) if by == request.op => return Ok(Ended::Ended(None)),
            Found::Ended(..) | Found::Missing => return Ok(Ended::NotLive),
        }
    }
    Ok(Ended::NotLive)
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
