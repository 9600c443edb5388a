//! Removing what is past its time.

use cloakroom::clock::Timestamp;
use cloakroom::store::Purged;
use cloakroom::store::protocol::Entry;
use rusqlite::params;

use crate::batch::{Batch, StepError, column, decode, is_live, key};

/// Rows looked at in one transaction, at most: other requests wait meanwhile.
pub(crate) const SLICE: usize = 256;

/// Where an entry is filed that is never to be looked at again by a purge.
const NEVER: i64 = i64::MAX;

/// Removes up to `limit` entries that are past their time, and files anew those that were filed too early.
///
/// What is done is right row by row, so that it may be committed even if a later row fails.
pub(crate) fn purge(batch: &mut Batch<'_>, now: Timestamp, limit: usize) -> Result<Purged, StepError> {
    let limit = limit.min(SLICE);
    if limit == 0 {
        return Ok(Purged { removed: 0, more: true });
    }
    // The statements below see the file, not the slots.
    batch.flush()?;
    let by = column(now).min(NEVER - 1);
    let mut found = Vec::with_capacity(limit);
    let mut rows = batch.sql.due.query(params![by, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        if let Some(key) = key(row.get_ref(0)?) {
            found.push((key, decode(&key, row.get_ref(1)?)));
        }
    }
    drop(rows);

    let mut removed = 0;
    for (key, entry) in &found {
        let bytes = key.as_bytes().as_slice();
        let due = match entry {
            // Left as it is for whoever can make sense of it, and out of the way of the next purge.
            Err(error) => {
                tracing::error!(session = ?key, ?error, "a damaged record is left as it is");
                NEVER
            }
            Ok(entry) => due(entry, now),
        };
        if due > by {
            batch.sql.refile.execute(params![bytes, due])?;
        } else {
            batch.sql.delete.execute([bytes])?;
            batch.live_delta -= i64::from(entry.as_ref().is_ok_and(is_live));
            removed += 1;
        }
        batch.wrote = true;
        batch.forget(key);
    }
    Ok(Purged { removed, more: found.len() >= limit })
}

/// When an entry may go: after its time, and not while somebody holds its lease, who is to be told that the
/// session expired rather than that nobody has heard of it.
fn due(entry: &Entry, now: Timestamp) -> i64 {
    let leased_until = match entry {
        Entry::Live { lease: Some(lease), .. } if now < lease.until => lease.until,
        _ => Timestamp::default(),
    };
    column(entry.purge_at().max(leased_until))
}
