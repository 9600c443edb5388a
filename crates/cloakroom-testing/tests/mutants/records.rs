//! Bugs of load, create, commit and touch.

use std::sync::Arc;

use std::time::Duration;

use cloakroom::OpId;
use cloakroom::StoreKey;
use cloakroom::clock::{Clock, SystemClock, Timestamp};
use cloakroom::payload::PayloadBuilder;
use cloakroom::record::{RecentOps, Version};
use cloakroom::store::protocol::{self, Entry};
use cloakroom::store::{
    Commit, Committed, Create, Created, Ending, Loaded, Snapshot, StoreError, StoreErrorKind, Touch, Touched,
};
use cloakroom_testing::requests;

use crate::bugs::Bug;
use crate::store::Data;
use crate::users;

/// What a store that keeps data badly makes of an entry.
pub fn stored(bug: Bug, mut entry: Entry) -> Entry {
    if let Entry::Live { record, .. } = &mut entry {
        let record = Arc::make_mut(record);
        let mut entries: Vec<(String, Vec<u8>)> =
            record.payload.iter().map(|(k, v)| (k.to_owned(), v.to_vec())).collect();
        match bug {
            Bug::ValuesAreText => {
                entries
                    .iter_mut()
                    .for_each(|(_, v)| *v = String::from_utf8_lossy(v).into_owned().into_bytes());
            }
            Bug::ValuesAreCutAt32KiB => entries.iter_mut().for_each(|(_, v)| v.truncate(32 * 1024)),
            Bug::EntriesAreSorted => entries.sort(),
            Bug::EmptyValuesAreDropped => entries.retain(|(_, v)| !v.is_empty()),
            Bug::KeysEndAtNul => {
                entries.iter_mut().for_each(|(k, _)| *k = k.split('\0').next().unwrap().to_owned());
            }
            Bug::EpochHas16Bits => record.epoch &= 0xffff,
            Bug::UsersAreLowerCased => {
                record.user = record.user.as_ref().map(|user| requests::user(&user.as_str().to_lowercase()));
            }
            Bug::DevicesAreLost => record.device = None,
            _ => return entry,
        }
        let mut builder = PayloadBuilder::default();
        entries.iter().for_each(|(k, v)| assert!(builder.push(k, v)));
        record.payload = builder.finish();
    }
    entry
}

pub fn load(data: &mut Data, now: Timestamp, key: StoreKey) -> Result<Loaded, StoreError> {
    if data.bug == Bug::LoadTouches {
        data.edit(&key, |record| record.last_seen = now);
    }
    let asked = if data.bug == Bug::ExpiredIsServed { Timestamp::default() } else { now };
    let asked = if data.bug == Bug::DeadlineIsALittleLate { before(now) } else { asked };
    let asked = if data.bug == Bug::TimeIsTheMachines { SystemClock.now() } else { asked };
    let alias = match data.entries.get(&key) {
        Some(Entry::Alias { successor, sealed, .. }) => Some((*successor, sealed.clone())),
        _ => None,
    };
    let answer = protocol::load(data, asked, key)?;
    Ok(match (data.bug, answer, alias) {
        (Bug::MissingIsEnded, Loaded::Missing, _) => Loaded::Ended(Ending::Destroyed),
        (Bug::EndedIsMissing, Loaded::Ended(_), _) => Loaded::Missing,
        (Bug::AliasOutlivesItsSuccessor, Loaded::Ended(_), Some((successor, sealed))) => {
            match data.buried.get(&successor).cloned() {
                Some(record) => Loaded::Alias { successor, sealed, snapshot: Snapshot { record, now } },
                None => Loaded::Missing,
            }
        }
        (Bug::AliasShowsOldData, Loaded::Alias { successor, sealed, .. }, _) => {
            let record = data.buried.get(&key).cloned().unwrap();
            Loaded::Alias { successor, sealed, snapshot: Snapshot { record, now } }
        }
        (_, answer, _) => answer,
    })
}

fn before(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.as_millis() - 1)
}

pub fn load_many(
    data: &mut Data,
    now: Timestamp,
    mut keys: Vec<StoreKey>,
) -> Result<Vec<Loaded>, StoreError> {
    match data.bug {
        Bug::ManyAreDeduplicated => keys.dedup(),
        Bug::ManyAreSorted => keys.sort(),
        _ => {}
    }
    let mut answers = Vec::new();
    for key in keys {
        answers.push(match load(data, now, key)? {
            Loaded::Alias { successor, .. } if data.bug == Bug::ManyKnowNoAlias => {
                Loaded::Ended(Ending::Moved { to: successor, user_changed: false })
            }
            answer => answer,
        });
    }
    if data.bug == Bug::ManyLeaveOutTheMissing {
        answers.retain(|answer| *answer != Loaded::Missing);
    }
    Ok(answers)
}

pub fn create(data: &mut Data, now: Timestamp, mut request: Create) -> Result<Created, StoreError> {
    let key = request.key;
    if let Some(bound) = data.bound {
        let live = data.entries.values().filter(|e| matches!(e, Entry::Live { .. })).count();
        if live >= bound {
            match data.bug {
                Bug::BoundIsIgnored => {}
                Bug::BoundEvictsTheOldest => {
                    let oldest = *data.entries.keys().next().unwrap();
                    data.entries.remove(&oldest);
                }
                Bug::ErrorsTellTheKey => {
                    let hex: String = key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
                    return Err(StoreError::new(StoreErrorKind::Full, format!("no room for {hex}")));
                }
                Bug::FullIsUnavailable => {
                    return Err(StoreError::new(StoreErrorKind::Unavailable, "no room"));
                }
                _ => return Err(StoreError::new(StoreErrorKind::Full, "no room for new sessions")),
            }
        }
    }
    let known = data.live(&key).is_some_and(|(record, _)| record.knows(request.op));
    match data.bug {
        Bug::CreateOverwrites => drop(data.entries.remove(&key)),
        Bug::CreateOverwritesMarkers if data.live(&key).is_none() => drop(data.entries.remove(&key)),
        Bug::CreateForgetsItsOperation if known => return Ok(Created::Exists),
        Bug::CreateStartsAgainWhenRepeated if known => drop(data.entries.remove(&key)),
        Bug::CreateComparesContent => {
            if let Some((record, _)) = data.live(&key)
                && record.payload == request.payload
            {
                return Ok(Created::Created { snapshot: Snapshot { record, now }, evicted: Vec::new() });
            }
        }
        Bug::CreateForgetsTheUser => request.bind = None,
        Bug::CreateForgetsTheRenewal => request.lifetime.renewal = None,
        _ => {}
    }
    users::before_login(data, now, request.bind.as_mut(), key, request.op)?;
    let idle = request.lifetime.idle;
    let op = request.op;
    let answer = protocol::create(data, now, request)?;
    match data.bug {
        Bug::IdleIsNotCappedAtFirst => data.edit(&key, |record| record.idle_deadline = now.after(idle)),
        Bug::EveryIdIsDue => {
            data.edit(&key, |r| r.renew_at = r.renew_at.min(now.after(Duration::from_secs(60))))
        }
        _ => {}
    }
    Ok(match answer {
        Created::Created { mut snapshot, evicted } => {
            if data.bug != Bug::AnswersAreNotWhatIsStored
                && let Some((record, _)) = data.live(&key)
            {
                snapshot.record = record;
            } else {
                Arc::make_mut(&mut snapshot.record).last_seen = Timestamp::default();
            }
            Created::Created { snapshot, evicted: users::after_login(data, now, evicted, op) }
        }
        answer => answer,
    })
}

pub fn commit(data: &mut Data, now: Timestamp, mut request: Commit) -> Result<Committed, StoreError> {
    let key = request.key;
    let before = data.live(&key);
    let held = before.as_ref().and_then(|(_, lease)| *lease).filter(|lease| now < lease.until);
    match (data.bug, &before) {
        (Bug::VersionIsIgnored, Some((record, _))) => request.expected = record.version,
        (Bug::OnlyTheCounterIsCompared, Some((record, _))) => request.expected.op = record.version.op,
        (Bug::OnlyTheOperationIsCompared, Some((record, _))) => {
            request.expected.counter = record.version.counter;
        }
        (Bug::OlderVersionsPass, Some((record, _))) if request.expected.counter > record.version.counter => {
            request.expected = record.version;
        }
        (Bug::CommitForgetsItsOperation, Some((record, _))) if record.knows(request.op) => {
            request.op = OpId::generate();
        }
        (Bug::OnlyTheLastOperationIsKnown, Some(_)) => {
            data.edit(&key, |record| record.recent = RecentOps::default());
        }
        (Bug::RepeatedCommitAppliesAgain, Some((record, _)))
            if data.done.contains(&request.op) && record.version.op != request.op =>
        {
            request.expected = record.version;
            data.edit(&key, |record| record.recent = RecentOps::default());
        }
        (Bug::EveryWriteSlides, _) => request.unless_seen_within = Duration::ZERO,
        (Bug::NoWriteSlidesThatMayNotHaveTo, _) if request.unless_seen_within > Duration::ZERO => {
            request.slide = None;
        }
        (Bug::BackgroundSlides, _) => request.slide = request.slide.or(Some(requests::IDLE)),
        (Bug::CommitToMissingCreates, None) if !data.entries.contains_key(&key) => {
            create(data, now, requests::create(key, request.payload.clone()))?;
        }
        (Bug::CommitRevives, None) => {
            if let Some(record) = data.buried.get(&key).cloned().filter(|_| data.entries.contains_key(&key)) {
                data.entries.insert(key, Entry::Live { record, lease: None });
            }
        }
        (Bug::CommitFollowsTheMove, None) => match data.entries.get(&key) {
            Some(Entry::Alias { successor, .. }) => request.key = *successor,
            Some(Entry::Marker { ending: Ending::Moved { to, .. }, .. }) => request.key = *to,
            _ => {}
        },
        (Bug::DoneIsToldBeforeTheEnd, None) if data.done.contains(&request.op) => {
            let record = data.buried.get(&key).cloned().unwrap();
            return Ok(Committed::Committed(Snapshot { record, now }));
        }
        (Bug::LeaseIsToldBeforeDone, Some((record, _))) if record.knows(request.op) => {
            if let Some(lease) = held
                && request.lease.is_none_or(|shown| shown.owner != lease.owner)
            {
                return Ok(Committed::Locked { until: lease.until, now });
            }
        }
        (Bug::VersionIsToldBeforeTheLease, Some((record, _)))
            if record.version != request.expected && !record.knows(request.op) =>
        {
            return Ok(Committed::Conflict(Snapshot { record: record.clone(), now }));
        }
        (Bug::CommitNeverReleases, _) => request.release = false,
        (Bug::LeaseIsIgnored, _) => {
            data.edit_lease(&key, |lease| *lease = None);
            request.lease = None;
        }
        (Bug::HoldIsIgnored, _) => {
            if let Some(lease) = &mut request.lease {
                lease.hold = held.map_or(lease.hold, |held| held.hold.max(lease.hold));
            }
        }
        (Bug::HoldsOutliveTheirOwner, _) => {
            let seen = *data.holds.get(&key).unwrap_or(&0);
            if let Some(lease) = request.lease {
                if lease.hold < seen {
                    return Ok(Committed::LeaseLost);
                }
                data.holds.insert(key, lease.hold);
            }
        }
        (Bug::VoidLeasesPass, _) if held.is_none() => request.lease = None,
        (Bug::LockedIsLeaseLost, _) if held.is_some() && request.lease.is_none() => {
            return Ok(Committed::LeaseLost);
        }
        _ => {}
    }
    let slide = request.slide;
    let (payload, release) = (request.payload.clone(), request.release);
    let answer = protocol::commit(data, now, request)?;
    let (Committed::Committed(mut snapshot), Some((old, _))) = (answer.clone(), before) else {
        if data.bug == Bug::RefusedCommitsRelease && release {
            data.edit_lease(&key, |lease| *lease = None);
        }
        return Ok(answer);
    };
    match data.bug {
        Bug::SameDataKeepsItsVersion if old.payload == payload => {
            data.edit(&key, |r| r.version = old.version)
        }
        Bug::VersionsStartAgain => data.edit(&key, |r| r.version = Version::first(OpId::from_u64(7))),
        Bug::CommitMergesEntries => {
            let mut builder = PayloadBuilder::default();
            payload.iter().for_each(|(k, v)| assert!(builder.push(k, v)));
            let kept = old.payload.iter().filter(|(k, _)| payload.get(k).is_none());
            kept.for_each(|(k, v)| assert!(builder.push(k, v)));
            data.edit(&key, |record| record.payload = builder.finish());
        }
        Bug::CommitSlidesBackwards => {
            if let Some(slide) = slide {
                data.edit(&key, |record| record.idle_deadline = now.after(slide));
            }
        }
        Bug::SlidesPastTheAbsoluteDeadline => {
            if let Some(slide) = slide {
                data.edit(&key, |record| {
                    record.idle_deadline = now.after(slide);
                    record.absolute_deadline = record.absolute_deadline.max(record.idle_deadline);
                });
            }
        }
        Bug::SeenGoesBackwards => data.edit(&key, |record| record.last_seen = now),
        Bug::CommitAlwaysReleases => data.edit_lease(&key, |lease| *lease = None),
        _ => {}
    }
    if let Some((record, _)) = data.live(&key) {
        snapshot.record = record;
    }
    Ok(Committed::Committed(snapshot))
}

pub fn touch(data: &mut Data, now: Timestamp, request: Touch) -> Result<Touched, StoreError> {
    let key = request.key;
    let asked = if data.bug == Bug::TouchRevivesTheExpired { Timestamp::default() } else { now };
    if data.bug == Bug::TouchRevivesTheEnded
        && data.live(&key).is_none()
        && let Some(record) = data.buried.get(&key).cloned()
    {
        data.entries.insert(key, Entry::Live { record, lease: None });
    }
    if data.bug == Bug::TouchCreates && !data.entries.contains_key(&key) {
        create(data, now, requests::create(key, requests::data(&[])))?;
    }
    if data.bug == Bug::TouchRefusesUnderALease && data.live(&key).is_some_and(|(_, lease)| lease.is_some()) {
        return Ok(Touched::NotLive);
    }
    let saved = data.entries.get(&key).cloned();
    let mut answer = protocol::touch(data, asked, request)?;
    let slid = now.after(request.idle);
    match data.bug {
        Bug::TouchBumpsTheVersion => data.edit(&key, |r| r.version = r.version.next(OpId::generate())),
        Bug::TouchSlidesBackwards => data.edit(&key, |r| r.idle_deadline = slid.min(r.absolute_deadline)),
        Bug::SlidesPastTheAbsoluteDeadline => data.edit(&key, |r| {
            r.idle_deadline = r.idle_deadline.max(slid);
            r.absolute_deadline = r.absolute_deadline.max(slid);
        }),
        Bug::TouchRevivesTheExpired => data.edit(&key, |r| {
            r.idle_deadline = slid;
            r.last_seen = now;
        }),
        Bug::TouchIsNotStored => drop(saved.map(|saved| data.entries.insert(key, saved))),
        Bug::TouchDropsTheLease => data.edit_lease(&key, |lease| *lease = None),
        Bug::TouchIsNotSeen => {
            if let Some(Entry::Live { record: old, .. }) = saved {
                data.edit(&key, |r| r.last_seen = old.last_seen);
            }
        }
        Bug::SeenGoesBackwards => data.edit(&key, |r| r.last_seen = now),
        _ => {}
    }
    if let (Touched::Touched { .. }, Some((record, _)), true) =
        (answer, data.live(&key), data.bug != Bug::TouchIsNotStored)
    {
        answer = Touched::Touched { idle_deadline: record.idle_deadline };
    }
    Ok(answer)
}
