//! Bugs of the user index, revocation and the cap.

use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::{self, Entry};
use cloakroom::store::{BindUser, End, EndCause, Revoke, RevokeWhich, Revoked, StoreError, Summary};
use cloakroom::{OpId, StoreKey, UserId};
use cloakroom_testing::requests;

use crate::bugs::Bug;
use crate::store::Data;
use crate::successors;

pub fn keys_of(data: &Data, user: &UserId) -> Vec<StoreKey> {
    let matches = |found: &UserId| match data.bug {
        Bug::UsersMatchByPrefix => found.as_str().starts_with(user.as_str()),
        Bug::UsersMatchWithoutCase => found.as_str().eq_ignore_ascii_case(user.as_str()),
        Bug::UsersMatchTrimmed => found.as_str().trim() == user.as_str().trim(),
        _ => found == user,
    };
    let found = data.entries.iter().filter(|(_, entry)| entry.user().is_some_and(matches));
    let mut keys: Vec<StoreKey> = found.map(|(key, _)| *key).collect();
    match data.bug {
        Bug::IndexIsLostOnRename => {
            keys.retain(|key| matches!(data.entries.get(key), Some(Entry::Live { record, .. }) if record.version.counter == 1));
        }
        Bug::IndexIsLostOnCommit => {
            keys.retain(|key| !data.buried.contains_key(key));
        }
        _ => {}
    }
    keys
}

pub fn list(data: &mut Data, now: Timestamp, user: &UserId) -> Result<Vec<Summary>, StoreError> {
    let asked = if data.bug == Bug::ListShowsTheExpired { Timestamp::default() } else { now };
    let mut sessions = protocol::list_user(data, asked, user)?;
    match data.bug {
        Bug::UsersMatchByPrefix | Bug::UsersMatchWithoutCase | Bug::UsersMatchTrimmed => {
            sessions = keys_of(data, user)
                .into_iter()
                .filter_map(|key| data.live(&key).map(|(record, _)| Summary::of(key, &record)))
                .collect();
        }
        Bug::ListShowsTheDead | Bug::ListShowsOldUsers => {
            for key in data.index.get(user).cloned().unwrap_or_default() {
                let live = data.live(&key).is_some();
                let shown = sessions.iter().any(|s| s.key == key);
                if !shown
                    && live == (data.bug == Bug::ListShowsOldUsers)
                    && let Some(record) = data.buried.get(&key).cloned().or(data.live(&key).map(|(r, _)| r))
                {
                    sessions.push(Summary::of(key, &record));
                }
            }
        }
        Bug::ListIsNewestFirst => sessions.reverse(),
        Bug::ListIsUnordered => sessions.sort_by_key(|s| s.key),
        Bug::SummariesAreOld => sessions.iter_mut().for_each(|s| {
            s.last_seen = s.created;
            s.size = 0;
        }),
        _ => {}
    }
    Ok(sessions)
}

pub fn revoke(data: &mut Data, now: Timestamp, mut request: Revoke) -> Result<Revoked, StoreError> {
    request.marker = successors::marker(data.bug, request.marker);
    let all = list(data, now, &request.user)?;
    let mut ended = Vec::new();
    let mut finish = |data: &mut Data, session: &Summary, cause| -> Result<(), StoreError> {
        protocol::end(data, now, End { cause, marker: request.marker, ..requests::end(session.key) })?;
        ended.push(session.clone());
        Ok(())
    };
    match (data.bug, request.which) {
        (Bug::RevocationIsDestruction, _) => {
            for session in protocol::revoke(&mut data.clone(), now, request.clone())?.ended {
                finish(data, &session, EndCause::Destroyed)?;
            }
        }
        (Bug::RevokeOneAsksForNoUser, RevokeWhich::One(id)) => {
            let found = data.entries.iter().find_map(|(key, entry)| match entry {
                Entry::Live { record, .. } if record.id == id => Some(Summary::of(*key, record)),
                _ => None,
            });
            if let Some(session) = found {
                finish(data, &session, EndCause::Revoked)?;
            }
        }
        (Bug::RevokeOneEndsAll, RevokeWhich::One(_)) => {
            for session in &all {
                finish(data, session, EndCause::Revoked)?;
            }
        }
        (Bug::RevokeOthersEndsAll, RevokeWhich::Others(_)) => {
            for session in &all {
                finish(data, session, EndCause::Revoked)?;
            }
        }
        (Bug::RevokeAllMissesOne, RevokeWhich::All) => {
            for session in all.iter().skip(1) {
                finish(data, session, EndCause::Revoked)?;
            }
        }
        (Bug::RevokeTellsNothing, _) => {
            protocol::revoke(data, now, request)?;
        }
        (Bug::RevokeSkipsTheLeased, _) => {
            for session in &all {
                if data.live(&session.key).is_some_and(|(_, lease)| lease.is_none()) {
                    finish(data, session, EndCause::Revoked)?;
                }
            }
        }
        (Bug::UsersMatchByPrefix | Bug::UsersMatchWithoutCase | Bug::UsersMatchTrimmed, RevokeWhich::All) => {
            for session in &all {
                finish(data, session, EndCause::Revoked)?;
            }
        }
        (Bug::RevokeForgetsItRan, _) => {
            data.entries.retain(|_, entry| !matches!(entry, Entry::Receipt { .. }));
            return protocol::revoke(data, now, request);
        }
        (Bug::RevokeForgetsItEndedNothing, _) => {
            let empty = |entry: &Entry| matches!(entry, Entry::Receipt { ended, .. } if ended.is_empty());
            data.entries.retain(|_, entry| !empty(entry));
            return protocol::revoke(data, now, request);
        }
        (Bug::RevokeAnswersNothingAgain, _) => {
            let repeated = !data.done.insert(request.op);
            let answer = protocol::revoke(data, now, request)?;
            return Ok(if repeated { Revoked::default() } else { answer });
        }
        (Bug::RevokeCountsWhatItsReceiptTells, _) => {
            let repeated = !data.done.insert(request.op);
            let answer = protocol::revoke(data, now, request)?;
            return Ok(if repeated { Revoked::all(answer.ended) } else { answer });
        }
        (Bug::RevokeTellsTheDeadAgain, _) => {
            ended = protocol::revoke(data, now, request.clone())?.ended;
            if ended.is_empty() {
                for key in data.index.get(&request.user).cloned().unwrap_or_default() {
                    ended.extend(data.buried.get(&key).map(|record| Summary::of(key, record)));
                }
            }
        }
        _ => return protocol::revoke(data, now, request),
    }
    Ok(Revoked::all(ended))
}

/// What a store with a bad cap does before it looks at anything else.
pub fn before_login(
    data: &mut Data,
    now: Timestamp,
    bind: Option<&mut BindUser>,
    key: StoreKey,
    op: OpId,
) -> Result<(), StoreError> {
    let Some(bind) = bind else { return Ok(()) };
    let Some(cap) = bind.cap else { return Ok(()) };
    let room = cap.get() as usize - 1;
    match data.bug {
        Bug::CapIsIgnored => bind.cap = None,
        Bug::CapIsOneLess => {
            bind.cap = std::num::NonZeroU32::new(cap.get() - 1).or(Some(std::num::NonZeroU32::MIN))
        }
        Bug::CapIsOneMore => bind.cap = cap.checked_add(1),
        Bug::CapEndsTheNewest => {
            let mut others = protocol::list_user(data, now, &bind.user)?;
            others.retain(|s| s.key != key);
            for session in others.iter().skip(room) {
                protocol::end(data, now, End { cause: EndCause::Revoked, ..requests::end(session.key) })?;
            }
        }
        Bug::CapActsBeforeTheChecks => {
            let others = protocol::list_user(data, now, &bind.user)?;
            let excess = others.iter().filter(|s| s.key != key).count().saturating_sub(room);
            for session in others.iter().filter(|s| s.key != key).take(excess) {
                protocol::end(data, now, End { cause: EndCause::Revoked, ..requests::end(session.key) })?;
            }
        }
        Bug::CapCountsItself => {
            let own = protocol::list_user(data, now, &bind.user)?.iter().any(|s| s.key == key);
            if own && room == 0 {
                protocol::end(data, now, End { cause: EndCause::Revoked, ..requests::end(key) })?;
            }
        }
        Bug::CapCountsTheDead => {
            let ever = data.index.get(&bind.user).map_or(0, Vec::len);
            let excess = ever.saturating_sub(room);
            for session in protocol::list_user(data, now, &bind.user)?.iter().take(excess) {
                if session.key != key && !data.done.contains(&op) {
                    protocol::end(data, now, End { cause: EndCause::Revoked, ..requests::end(session.key) })?;
                }
            }
        }
        Bug::CapActsAgainWhenRepeated if data.done.contains(&op) => {
            if let Some(session) = protocol::list_user(data, now, &bind.user)?.first() {
                protocol::end(data, now, End { cause: EndCause::Revoked, ..requests::end(session.key) })?;
            }
        }
        _ => {}
    }
    Ok(())
}

pub fn after_login(data: &mut Data, now: Timestamp, mut evicted: Vec<Summary>, op: OpId) -> Vec<Summary> {
    let _ = (now, op);
    match data.bug {
        Bug::CapTellsNothing => evicted.clear(),
        Bug::CapLeavesThemDestroyed => {
            for session in &evicted {
                if let Some(Entry::Marker { ending, .. }) = data.entries.get_mut(&session.key) {
                    *ending = cloakroom::store::Ending::Destroyed;
                }
            }
        }
        _ => {}
    }
    evicted
}
