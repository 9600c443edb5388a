//! Reading a session: PHP's value, its lock, and what is beside, at one moment.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::store::LeaseOwner;
use cloakroom::store::protocol::Lease;
use cloakroom_php::layout::Held;

use super::form::Form;
use super::ground::Core;
use super::kept::{self, token};
use super::places::Target;
use super::trouble::Trouble;
use super::value::{self, For, Identity, Locked, Still};
use crate::stripes::Set;

/// What is there.
#[derive(Default)]
pub(super) struct Sighted {
    /// The value, and when it ends.
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
    pub(super) fn look(
        &self,
        targets: &[Target],
        form: Form,
        deadline: Instant,
    ) -> Result<Vec<Sighted>, Trouble> {
        let all = targets.iter().fold(Set::default(), |set, target| set.and(Set::entry(&target.key)));
        let mut pause = Duration::from_micros(50);
        // A session alone is read without a lock of ours, unless this process has PHP's.
        let mut under_lock = targets.len() != 1 || targets.iter().any(|target| self.leases.has(&target.key));
        'again: loop {
            let held = if under_lock { Some(self.stripes.lock(all, deadline)?) } else { None };
            let mut sighted = Vec::with_capacity(targets.len());
            for target in targets {
                match self.glance(target, form, held.is_some())? {
                    // Perhaps a step of another process of ours, which is through in a moment: it has our lock as well.
                    Glance::Sighted(there)
                        if held.is_none() && there.lock.as_ref().is_some_and(|lock| !lock.ours) =>
                    {
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
    fn glance(&self, target: &Target, form: Form, alone: bool) -> Result<Glance, Trouble> {
        let now = self.clock.now();
        let Some(path) = self.path(target) else { return self.without_value(target, now) };
        if alone && let Some((file, lease)) = self.leases.of(&target.key, now) {
            let there = file.metadata()?;
            if value::is_at(&there, &path)? {
                // PHP is kept out by the lock, we by our own.
                return self.sighted(target, form, &file, Some(ours(lease)));
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
            return self.sighted(target, form, &file, None);
        }
        if form.is_entry() {
            // Somebody writes it, which takes a moment.
            return Ok(Glance::Wait);
        }
        let Some(still) = Still::of(&file)? else { return Ok(Glance::Wait) };
        let held = by_somebody(Identity::of(&there));
        match self.sighted(target, form, &file, Some(held))? {
            Glance::Sighted(sighted) if still.holds(&file)? => Ok(Glance::Sighted(sighted)),
            // Of ours, and at it.
            _ => Ok(Glance::Wait),
        }
    }

    fn sighted(
        &self,
        target: &Target,
        form: Form,
        file: &File,
        lock: Option<Held>,
    ) -> Result<Glance, Trouble> {
        let bytes = value::read(file)?;
        let modified = value::modified(&file.metadata()?);
        match self.without_value(target, self.clock.now())? {
            Glance::Sighted(beside) => {
                let data = form.read(bytes, modified)?;
                Ok(Glance::Sighted(Sighted { data, lock: lock.or(beside.lock), ..beside }))
            }
            unfinished => Ok(unfinished),
        }
    }

    /// What is beside.
    fn without_value(&self, target: &Target, now: Timestamp) -> Result<Glance, Trouble> {
        if self.is_intended(target)? {
            return Ok(Glance::Unfinished);
        }
        let kept = kept::look(&self.places, &target.key, now)?;
        let lock = kept.as_ref().and_then(|kept| kept.lease).map(ours);
        Ok(Glance::Sighted(Sighted { data: None, kept: kept.and_then(|kept| kept.beside().cloned()), lock }))
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

/// A lease of this process, or one that is kept beside.
fn ours(lease: Lease) -> Held {
    Held { lease, ours: true, token: token(&lease) }
}

/// A lock that PHP holds, or another process of ours: nobody can tell, nor until when.
fn by_somebody(file: Identity) -> Held {
    let owner = LeaseOwner(u128::from(file.device) << 64 | u128::from(file.inode));
    Held { lease: Lease { owner, hold: 0, until: Timestamp::NEVER }, ours: false, token: Vec::new() }
}
