//! Bugs of rename and end.

use cloakroom::OpId;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::{self, Entry};
use cloakroom::store::{
    Deadlines, End, EndCause, Ended, Ending, OldId, Rename, Renamed, SealedId, StoreError,
};
use cloakroom_testing::requests;

use crate::bugs::Bug;
use crate::store::Data;
use crate::users;

pub fn rename(data: &mut Data, now: Timestamp, mut request: Rename) -> Result<Renamed, StoreError> {
    let (from, to, op) = (request.from, request.to, request.op);
    let before = data.live(&from);
    let repeated = data.done.contains(&op);
    let held = before.as_ref().and_then(|(_, lease)| *lease).filter(|lease| now < lease.until);
    match (data.bug, &before) {
        (Bug::RenameOverwrites, _) if to != from && !repeated => drop(data.entries.remove(&to)),
        (Bug::RenameOntoItselfPasses, Some((record, _))) if to == from => {
            let snapshot = cloakroom::store::Snapshot { record: record.clone(), now };
            return Ok(Renamed::Renamed { snapshot, evicted: Vec::new() });
        }
        (Bug::RenameIgnoresTheVersion, Some((record, _))) => request.expected = record.version,
        (Bug::RenameForgetsItsOperation, _) => request.op = OpId::generate(),
        (Bug::RenameIgnoresTheLease, _) => {
            data.edit_lease(&from, |lease| *lease = None);
            request.lease = None;
        }
        (Bug::RenameLooksAtTheVersionFirst, Some((record, _))) if record.version != request.expected => {
            let snapshot = cloakroom::store::Snapshot { record: record.clone(), now };
            return Ok(Renamed::Conflict(snapshot));
        }
        (Bug::RenameOfTheEndedIsMissing, None) if !repeated => return Ok(Renamed::Missing),
        (Bug::KeptDeadlinesStartAgain, _) => {
            if let Deadlines::Keep { renewal } = request.deadlines {
                let (idle, absolute) = (requests::IDLE, requests::ABSOLUTE);
                request.deadlines =
                    Deadlines::Restart(cloakroom::record::Lifetime { idle, absolute, renewal });
            }
        }
        (Bug::RestartedDeadlinesAreKept, _) => request.deadlines = Deadlines::Keep { renewal: None },
        (Bug::RenewalIsForgotten, _) => {
            if let Deadlines::Keep { renewal } = &mut request.deadlines {
                *renewal = None;
            }
        }
        (Bug::AliasesLastForEver, _) => {
            if let OldId::Alias { grace, .. } = &mut request.old {
                *grace = requests::ABSOLUTE * 100;
            }
        }
        (Bug::AliasesAreMarkers, _) if matches!(request.old, OldId::Alias { .. }) => {
            request.old = OldId::Dead
        }
        (Bug::SealsAreCut, _) => {
            if let OldId::Alias { sealed, .. } = &mut request.old {
                sealed.0 = sealed.0.iter().copied().take(64).collect();
            }
        }
        (Bug::CopiesLastForEver, _) => {
            if let OldId::Copy { keep, .. } = &mut request.old {
                *keep = requests::ABSOLUTE * 100;
            }
        }
        (Bug::RepeatedRenameRevives, None) if repeated => {
            if let Some(record) = data.buried.get(&to).cloned().filter(|_| data.live(&to).is_none()) {
                data.entries.insert(to, Entry::Live { record, lease: None });
            }
        }
        _ => {}
    }
    request.marker = marker(data.bug, request.marker);
    users::before_login(data, now, request.bind.as_mut(), from, op)?;
    let (keep, is_copy, is_alias) = match &request.old {
        OldId::Copy { keep, .. } => (Some(*keep), true, false),
        OldId::Alias { .. } => (None, false, true),
        OldId::Dead => (None, false, false),
    };
    let answer = protocol::rename(data, now, request)?;
    let (Renamed::Renamed { mut snapshot, evicted }, Some((old, lease)), false) =
        (answer.clone(), before, repeated)
    else {
        return Ok(answer);
    };
    match data.bug {
        Bug::RenameLeavesTheOldAlive if !is_copy => {
            let record = old.clone();
            data.entries.insert(from, Entry::Live { record, lease: None });
        }
        Bug::RenameKeepsTheVersion => data.edit(&to, |r| r.version.counter = old.version.counter),
        Bug::RenameForgetsTheUser => data.edit(&to, |r| {
            r.user = r.user.take().filter(|_| old.user.is_none());
        }),
        Bug::RenameBeginsAgain => data.edit(&to, |r| r.created = now),
        Bug::RenameLosesTheLease => data.edit_lease(&to, |lease| *lease = None),
        Bug::CopiesKeepTheLease if is_copy => data.edit_lease(&from, |l| *l = held.or(lease)),
        Bug::CopiesKeepTheirName if is_copy => data.edit(&from, |r| r.id = old.id),
        Bug::CopiesKeepTheirVersion if is_copy => data.edit(&from, |r| r.version = old.version),
        Bug::CopiesOutliveTheOriginal if is_copy => data.edit(&from, |r| {
            r.absolute_deadline = now.after(keep.unwrap());
            r.idle_deadline = r.absolute_deadline;
        }),
        Bug::SlidesPastTheAbsoluteDeadline => data.edit(&to, |r| {
            r.absolute_deadline = r.absolute_deadline.max(r.idle_deadline).after(requests::IDLE);
        }),
        Bug::EndsFollowCopies if is_copy => {
            data.ends.insert(OpId::from_u64(from.hash64()), to);
        }
        Bug::AliasesCrossUsers if is_alias => {
            let sealed = SealedId([1; 60].into());
            let (grace_until, until) = (Timestamp::NEVER, Timestamp::NEVER);
            data.entries.insert(from, Entry::Alias { successor: to, sealed, grace_until, op, until });
        }
        Bug::UserChangeIsNotTold | Bug::UserChangeIsAlwaysTold if !is_alias => {
            let told = data.bug == Bug::UserChangeIsAlwaysTold;
            if let Some(Entry::Marker { ending: Ending::Moved { user_changed, .. }, .. }) =
                data.entries.get_mut(&from)
            {
                *user_changed = told;
            }
        }
        _ => {}
    }
    if let Some((record, _)) = data.live(&to) {
        snapshot.record = record;
    }
    Ok(Renamed::Renamed { snapshot, evicted: users::after_login(data, now, evicted, op) })
}

/// How long a store that keeps markers badly keeps them.
pub fn marker(bug: Bug, asked: std::time::Duration) -> std::time::Duration {
    match bug {
        Bug::MarkersLastForEver => requests::ABSOLUTE * 100,
        Bug::MarkersLastOneSecond => std::time::Duration::from_secs(1),
        _ => asked,
    }
}

pub fn end(data: &mut Data, now: Timestamp, mut request: End) -> Result<Ended, StoreError> {
    let key = request.key;
    request.marker = marker(data.bug, request.marker);
    match data.bug {
        Bug::EndLeavesNoMarker if data.live(&key).is_some() => {
            let answer = protocol::end(data, now, request)?;
            data.entries.remove(&key);
            return Ok(answer);
        }
        Bug::EndForgetsItsOperation if data.live(&key).is_none() => request.op = OpId::generate(),
        Bug::EndDoesNotFollow if data.live(&key).is_none() => return Ok(Ended::NotLive),
        Bug::EndFollowsOneStep => {
            let next = match data.entries.get(&key) {
                Some(Entry::Alias { successor, .. }) => Some(*successor),
                Some(Entry::Marker { ending: Ending::Moved { to, .. }, .. }) => Some(*to),
                _ => None,
            };
            if let Some(next) = next {
                if data.live(&next).is_none() {
                    return Ok(Ended::NotLive);
                }
                request.key = next;
            }
        }
        Bug::EndIsAlwaysByTheVisitor => request.cause = EndCause::Destroyed,
        Bug::EndWaitsForTheLease
            if data.live(&key).and_then(|(_, lease)| lease).is_some_and(|lease| now < lease.until) =>
        {
            return Ok(Ended::NotLive);
        }
        Bug::EndingTwiceSaysEnded => {
            protocol::end(data, now, request)?;
            return Ok(Ended::Ended(None));
        }
        Bug::EndRewritesTheMarker => {
            if let Some(Entry::Marker { ending: ending @ (Ending::Destroyed | Ending::Revoked), .. }) =
                data.entries.get_mut(&key)
            {
                *ending = match request.cause {
                    EndCause::Destroyed => Ending::Destroyed,
                    EndCause::Revoked => Ending::Revoked,
                };
            }
        }
        Bug::EndsFollowCopies => {
            if let Some(of) = data.ends.get(&OpId::from_u64(key.hash64())).copied() {
                protocol::end(data, now, End { key: of, ..request })?;
            }
        }
        _ => {}
    }
    let answer = protocol::end(data, now, request)?;
    Ok(match answer {
        Ended::Ended(Some(mut summary)) if data.bug == Bug::SummariesAreOld => {
            summary.size = 0;
            Ended::Ended(Some(summary))
        }
        answer => answer,
    })
}
