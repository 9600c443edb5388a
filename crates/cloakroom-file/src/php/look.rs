//! Reading a session: PHP's value, its lock, and what is beside, at one moment.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::store::LeaseOwner;
use cloakroom::store::protocol::Lease;
use cloakroom_php::layout::Held;

use super::ground::Core;
use super::kept;
use super::places::Target;
use super::trouble::Trouble;
use super::value::{self, For, Identity, Locked, Still};
use crate::stripes::Set;

/// What is there.
#[derive(Default)]
pub(super) struct Sighted {
    /// The value, and when it was last used.
    pub(super) data: Option<(Vec<u8>, Timestamp)>,
    pub(super) kept: Option<Vec<u8>>,
    pub(super) lock: Option<Held>,
}

/// What a glance came to.
enum Glance {
    Sighted(Sighted),
    /// Somebody is changing it at this moment.
    Wait,
    /// What a process that died was about to do is to be finished first; our own lock is needed for that.
    Unfinished,
}

impl Core {
    /// What is under these, in this order. No step of ours is between the first and the last.
    pub(super) fn look(&self, targets: &[Target], deadline: Instant) -> Result<Vec<Sighted>, Trouble> {
        let all = targets.iter().fold(Set::default(), |set, target| set.and(Set::entry(&target.key)));
        let mut pause = Duration::from_micros(50);
        // A session alone is read without a lock of ours, unless this process has PHP's.
        let mut under_lock = targets.len() != 1 || targets.iter().any(|target| self.leases.has(&target.key));
        'again: loop {
            let held = if under_lock { Some(self.stripes.lock(all, deadline)?) } else { None };
            let mut sighted = Vec::with_capacity(targets.len());
            for target in targets {
                match self.glance(target, held.is_some())? {
                    // Perhaps a step of another process of ours, which is through in a moment: it has our lock as well.
                    Glance::Sighted(there) if held.is_none() && there.lock.is_some() => {
                        under_lock = true;
                        continue 'again;
                    }
                    Glance::Sighted(there) => sighted.push(there),
                    Glance::Unfinished if held.is_none() => {
                        under_lock = true;
                        continue 'again;
                    }
                    Glance::Unfinished if self.recover(&target.key)? => continue 'again,
                    Glance::Unfinished | Glance::Wait => {
                        drop(held);
                        let now = Instant::now();
                        if now >= deadline {
                            return Err(Trouble::Busy);
                        }
                        std::thread::sleep(pause.min(deadline.saturating_duration_since(now)));
                        pause = (pause * 2).min(Duration::from_millis(2));
                        continue 'again;
                    }
                }
            }
            return Ok(sighted);
        }
    }

    /// One look at one session, without waiting for anybody. `alone`: no other step of ours is at it meanwhile.
    fn glance(&self, target: &Target, alone: bool) -> Result<Glance, Trouble> {
        let now = self.clock.now();
        let Some(path) = self.path(target) else { return self.without_value(target, now) };
        if alone && let Some((file, lease)) = self.leases.of(&target.key, now) {
            let there = file.metadata()?;
            if value::is_at(&there, &path)? {
                // PHP is kept out by the lock, we by our own.
                return self.sighted(target, &file, Some(ours(lease)));
            }
            // Removed by PHP's garbage collection, or by hand: there is nothing left to hold a lease on.
            self.leases.free(&target.key);
        }
        let Some(file) = value::open(&path, For::Reading)? else {
            self.check_place(&path)?;
            return self.without_value(target, now);
        };
        let there = file.metadata()?;
        value::trust(&there, self.mode)?;
        if let Some(_sharing) = Locked::try_shared(&file)? {
            if !value::is_at(&file.metadata()?, &path)? {
                return Ok(Glance::Wait);
            }
            return self.sighted(target, &file, None);
        }
        let Some(still) = Still::of(&file)? else { return Ok(Glance::Wait) };
        let held = by_somebody(Identity::of(&there));
        match self.sighted(target, &file, Some(held))? {
            Glance::Sighted(sighted) if still.holds(&file)? => Ok(Glance::Sighted(sighted)),
            // Of ours, and at it.
            _ => Ok(Glance::Wait),
        }
    }

    fn sighted(&self, target: &Target, file: &File, lock: Option<Held>) -> Result<Glance, Trouble> {
        let bytes = value::read(file)?;
        let used = value::modified(&file.metadata()?);
        if self.is_intended(target)? {
            return Ok(Glance::Unfinished);
        }
        let kept = kept::look(&self.places, &target.key, self.clock.now())?;
        Ok(Glance::Sighted(Sighted { data: Some((bytes, used)), kept: kept.map(|kept| kept.bytes), lock }))
    }

    fn without_value(&self, target: &Target, now: Timestamp) -> Result<Glance, Trouble> {
        if self.is_intended(target)? {
            return Ok(Glance::Unfinished);
        }
        let kept = kept::look(&self.places, &target.key, now)?.map(|kept| kept.bytes);
        Ok(Glance::Sighted(Sighted { kept, ..Sighted::default() }))
    }

    fn is_intended(&self, target: &Target) -> Result<bool, Trouble> {
        match self.places.intent(&target.key).symlink_metadata() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Trouble::Io(error)),
        }
    }

    /// That a file is not there means that there is no session only if the directories are as they should be.
    pub(super) fn check_place(&self, _: &Path) -> Result<(), Trouble> {
        match self.places.save_path.metadata() {
            Ok(there) if there.is_dir() => {}
            Ok(_) => return Err(Trouble::Gone),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Trouble::Gone),
            Err(error) => return Err(Trouble::Io(error)),
        }
        if self.places.own.is_dir() { Ok(()) } else { Err(Trouble::OwnGone) }
    }
}

/// A lock that this process holds.
fn ours(lease: Lease) -> Held {
    Held { lease, ours: true, token: token(&lease) }
}

/// What stands for a lease when it is compared.
pub(super) fn token(lease: &Lease) -> Vec<u8> {
    let mut token = lease.owner.0.to_le_bytes().to_vec();
    token.extend(lease.hold.to_le_bytes());
    token.extend(lease.until.as_millis().to_le_bytes());
    token
}

/// A lock that PHP holds, or another process of ours: nobody can tell, nor until when.
fn by_somebody(file: Identity) -> Held {
    let owner = LeaseOwner(u128::from(file.device) << 64 | u128::from(file.inode));
    Held { lease: Lease { owner, hold: 0, until: Timestamp::NEVER }, ours: false, token: Vec::new() }
}
