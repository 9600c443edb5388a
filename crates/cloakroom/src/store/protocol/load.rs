//! Reading: what is under a key at this moment, and what a cookie may see of it.

use std::sync::Arc;

use super::entry::{Entry, Lease, Table};
use crate::clock::Timestamp;
use crate::ids::{OpId, StoreKey};
use crate::record::Record;
use crate::store::{Ending, Loaded, SealedId, Snapshot};

/// What is found under a key once time is taken into account.
pub(super) enum Found {
    Live(Arc<Record>, Option<Lease>),
    Alias { successor: StoreKey, sealed: SealedId, op: OpId },
    Ended(Ending, OpId),
    Missing,
}

/// What is under a key once time is taken into account: a lease past its time is none, an alias past its grace an end.
pub(super) fn find<T: Table>(table: &mut T, key: &StoreKey, now: Timestamp) -> Result<Found, T::Error> {
    Ok(match table.get(key)? {
        None => Found::Missing,
        Some(Entry::Live { record, .. }) if record.is_expired(now) => {
            Found::Ended(Ending::Expired, OpId::default())
        }
        Some(Entry::Live { record, lease }) => Found::Live(record, lease.filter(|l| now < l.until)),
        Some(Entry::Alias { successor, sealed, grace_until, op, .. }) if now < grace_until => {
            Found::Alias { successor, sealed, op }
        }
        Some(Entry::Alias { successor, op, until, .. }) if now < until => {
            Found::Ended(Ending::Moved { to: successor, user_changed: false }, op)
        }
        Some(Entry::Marker { ending, op, until }) if now < until => Found::Ended(ending, op),
        Some(Entry::Alias { .. } | Entry::Marker { .. } | Entry::Receipt { .. }) => Found::Missing,
    })
}

/// Reads what a cookie may see under `key`.
///
/// # Errors
/// Those of the table.
pub fn load<T: Table>(table: &mut T, now: Timestamp, key: StoreKey) -> Result<Loaded, T::Error> {
    if let Some(record) = table.live(&key, now)? {
        return Ok(Loaded::Live(Snapshot { record, now }));
    }
    Ok(match find(table, &key, now)? {
        Found::Live(record, _) => Loaded::Live(Snapshot { record, now }),
        Found::Ended(ending, _) => Loaded::Ended(ending),
        Found::Missing => Loaded::Missing,
        // An alias leads to a live successor and to nothing else: whatever ended the successor, a second change of
        // its id included, ended the grace as well.
        Found::Alias { successor, sealed, .. } => match find(table, &successor, now)? {
            Found::Live(record, _) => Loaded::Alias { successor, sealed, snapshot: Snapshot { record, now } },
            Found::Ended(ending, _) => Loaded::Ended(ending),
            Found::Alias { .. } | Found::Missing => {
                Loaded::Ended(Ending::Moved { to: successor, user_changed: false })
            }
        },
    })
}
