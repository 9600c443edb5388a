//! Bugs of acquire, renew and release.

use std::sync::Arc;

use cloakroom::OpId;
use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::{self, Entry};
use cloakroom::store::{Acquire, Acquired, Ending, Release, Released, Renew, Renewed, StoreError};

use crate::bugs::Bug;
use crate::store::Data;

pub fn acquire(data: &mut Data, now: Timestamp, mut request: Acquire) -> Result<Acquired, StoreError> {
    let key = request.key;
    let held = data.live(&key).and_then(|(_, lease)| lease).filter(|lease| now < lease.until);
    match data.bug {
        Bug::AcquireSteals => data.edit_lease(&key, |lease| *lease = None),
        Bug::OwnerMayNotAskAgain => {
            if let Some(held) = held {
                return Ok(Acquired::Locked { until: held.until, now });
            }
        }
        Bug::LeasesNeverExpire => request.lease = std::time::Duration::MAX,
        Bug::LockedTellsNoTime if held.is_some_and(|held| held.owner != request.owner) => {
            return Ok(Acquired::Locked { until: now, now });
        }
        Bug::AcquireFollowsTheMove => match data.entries.get(&key) {
            Some(Entry::Alias { successor, .. }) => request.key = *successor,
            Some(Entry::Marker { ending: Ending::Moved { to, .. }, .. }) => request.key = *to,
            _ => {}
        },
        Bug::AcquireRevives => {
            if let Some(record) = data.buried.get(&key).cloned().filter(|_| data.live(&key).is_none()) {
                data.entries.insert(key, Entry::Live { record, lease: None });
            }
        }
        _ => {}
    }
    let mut answer = protocol::acquire(data, now, request)?;
    match (data.bug, &mut answer) {
        (Bug::AcquireBumpsTheVersion, Acquired::Acquired { snapshot, .. }) => {
            data.edit(&key, |r| r.version = r.version.next(OpId::generate()));
            snapshot.record = data.live(&key).unwrap().0;
        }
        (Bug::HoldsAreForgotten, Acquired::Acquired { .. }) => {
            data.edit_lease(&key, |lease| lease.as_mut().unwrap().hold = 0);
        }
        (Bug::LeaseKeepsTheSessionAlive, Acquired::Acquired { until, .. }) => {
            let until = *until;
            data.edit(&key, |r| r.idle_deadline = r.idle_deadline.max(until));
        }
        (Bug::LeaseComesWithAnOldRecord, Acquired::Acquired { snapshot, .. }) => {
            if let Some(old) = data.buried.get(&key) {
                snapshot.record = old.clone();
                let version = &mut Arc::make_mut(&mut snapshot.record).version;
                version.counter = version.counter.saturating_sub(1);
            }
        }
        _ => {}
    }
    Ok(answer)
}

pub fn renew(data: &mut Data, now: Timestamp, mut request: Renew) -> Result<Renewed, StoreError> {
    let key = request.key;
    let lease = data.live(&key).and_then(|(_, lease)| lease);
    match data.bug {
        Bug::AnyoneRenews => {
            if let Some(held) = lease {
                request.owner = held.owner;
            }
        }
        Bug::VoidLeasesAreRenewed if lease.is_some_and(|l| l.owner == request.owner) => {
            data.edit_lease(&key, |lease| lease.as_mut().unwrap().until = Timestamp::NEVER);
        }
        Bug::RenewTakesAFreeLease if lease.is_none() => {
            acquire(data, now, Acquire { key, owner: request.owner, lease: request.lease })?;
        }
        Bug::RenewIsNotStored => {
            return Ok(match lease {
                Some(held) if held.owner == request.owner && now < held.until => {
                    Renewed::Renewed { until: now.after(request.lease) }
                }
                _ => Renewed::LeaseLost,
            });
        }
        _ => {}
    }
    let answer = protocol::renew(data, now, request)?;
    if data.bug == Bug::HoldsAreForgotten {
        data.edit_lease(&key, |lease| lease.as_mut().into_iter().for_each(|l| l.hold = 0));
    }
    Ok(answer)
}

pub fn release(data: &mut Data, now: Timestamp, mut request: Release) -> Result<Released, StoreError> {
    if data.bug == Bug::AnyoneReleases
        && let Some((_, Some(held))) = data.live(&request.key)
    {
        request.owner = held.owner;
    }
    if data.bug == Bug::ReleaseAlwaysSaysYes {
        protocol::release(data, now, request)?;
        return Ok(Released::Released);
    }
    if data.bug == Bug::ReleaseDoesNothing {
        return Ok(match data.live(&request.key) {
            Some((_, Some(lease))) if lease.owner == request.owner => Released::Released,
            _ => Released::NotHeld,
        });
    }
    protocol::release(data, now, request)
}
