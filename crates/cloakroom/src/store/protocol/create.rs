//! A new session.

use std::sync::Arc;

use super::change::renew_at;
use super::entry::{Entry, Table};
use super::user::{bind_to, make_room};
use crate::clock::Timestamp;
use crate::record::{Record, Version};
use crate::store::{Create, Created, Snapshot};

/// Stores a new record, unless something is under the key. What need not be remembered any more is nothing; a session past its
/// deadline is still something.
///
/// # Errors
/// Those of the table.
pub fn create<T: Table>(table: &mut T, now: Timestamp, request: Create) -> Result<Created, T::Error> {
    let Create { key, op, record_id, lifetime, bind, payload, marker } = request;
    match table.get(&key)? {
        Some(Entry::Live { record, .. }) if record.knows(op) && !record.is_expired(now) => {
            return Ok(Created::Created { snapshot: Snapshot { record, now }, evicted: Vec::new() });
        }
        Some(Entry::Live { .. }) => return Ok(Created::Exists),
        Some(entry) if now < entry.purge_at() => return Ok(Created::Exists),
        Some(_) | None => {}
    }
    let absolute_deadline = now.after(lifetime.absolute);
    let mut record = Record {
        id: record_id,
        version: Version::first(op),
        recent: Default::default(),
        epoch: 0,
        created: now,
        last_seen: now,
        idle_deadline: now.after(lifetime.idle).min(absolute_deadline),
        absolute_deadline,
        renew_at: renew_at(now, lifetime.renewal),
        user: None,
        device: None,
        payload,
    };
    let evicted = match &bind {
        Some(bind) => {
            bind_to(&mut record, bind);
            make_room(table, now, bind, key, op, marker)?
        }
        None => Vec::new(),
    };
    let record = Arc::new(record);
    table.put(&key, Entry::Live { record: Arc::clone(&record), lease: None })?;
    Ok(Created::Created { snapshot: Snapshot { record, now }, evicted })
}
