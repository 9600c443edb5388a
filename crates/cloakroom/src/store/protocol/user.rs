//! The sessions of a user: whose a session is, how many there may be, and ending them.

use std::time::Duration;

use super::end::leave_marker;
use super::entry::{Entry, RECEIPT_SESSIONS, Table};
use super::load::{Found, find};
use crate::clock::Timestamp;
use crate::ids::{OpId, StoreKey, UserId};
use crate::record::Record;
use crate::store::{BindUser, EndCause, Revoke, RevokeWhich, Revoked, Summary};

/// The live sessions of a user, oldest first.
///
/// # Errors
/// Those of the table.
pub fn list_user<T: Table>(table: &mut T, now: Timestamp, user: &UserId) -> Result<Vec<Summary>, T::Error> {
    let mut sessions = Vec::new();
    for key in table.keys_of(user)? {
        if let Found::Live(record, _) = find(table, &key, now)?
            && record.user.as_ref() == Some(user)
        {
            sessions.push(Summary { size: table.size(&key, &record), ..Summary::of(key, &record) });
        }
    }
    sessions.sort_by_key(|s| (s.created, s.record_id));
    Ok(sessions)
}

/// Ends sessions of a user; answers with those it ended: the sessions that are the user's the first time it is
/// executed. A receipt of that is kept for as long as markers are, so that executed again it ends nothing, a login
/// since then least of all, and answers the same, as far as the receipt tells.
///
/// # Errors
/// Those of the table.
pub fn revoke<T: Table>(table: &mut T, now: Timestamp, request: Revoke) -> Result<Revoked, T::Error> {
    let receipt = StoreKey::of_receipt(&request.user, request.op);
    if let Some(Entry::Receipt { count, ended, until }) = table.get(&receipt)?
        && now < until
    {
        return Ok(Revoked { count, ended: ended.to_vec() });
    }
    let mut ended = Vec::new();
    for session in list_user(table, now, &request.user)? {
        let chosen = match request.which {
            RevokeWhich::One(id) => session.record_id == id,
            RevokeWhich::Others(id) => session.record_id != id,
            RevokeWhich::All => true,
        };
        if chosen {
            leave_marker(table, now, session.key, request.op, EndCause::Revoked, request.marker)?;
            ended.push(session);
        }
    }
    let until = now.after(request.marker);
    let told = ended.iter().take(RECEIPT_SESSIONS).cloned().collect();
    table.put(&receipt, Entry::Receipt { count: ended.len(), ended: told, until })?;
    Ok(Revoked::all(ended))
}

/// The session becomes the user's.
pub(super) fn bind_to(record: &mut Record, bind: &BindUser) {
    record.user = Some(bind.user.clone());
    record.device.clone_from(&bind.device);
}

/// Ends the user's oldest sessions until one more fits under the cap.
pub(super) fn make_room<T: Table>(
    table: &mut T,
    now: Timestamp,
    bind: &BindUser,
    newcomer: StoreKey,
    op: OpId,
    marker: Duration,
) -> Result<Vec<Summary>, T::Error> {
    let Some(cap) = bind.cap else { return Ok(Vec::new()) };
    let mut others = list_user(table, now, &bind.user)?;
    others.retain(|s| s.key != newcomer);
    let room = usize::try_from(cap.get()).unwrap_or(usize::MAX).saturating_sub(1);
    let excess = others.len().saturating_sub(room);
    others.truncate(excess);
    for session in &others {
        leave_marker(table, now, session.key, op, EndCause::Revoked, marker)?;
    }
    Ok(others)
}
