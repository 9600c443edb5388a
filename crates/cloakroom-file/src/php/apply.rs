//! Changing sessions: if everything is as it was seen, to the byte.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom_php::layout::{Change, DataChange, LockChange, Seen, View};

use super::form::Form;
use super::ground::Core;
use super::intent::Intent;
use super::kept::{self, Kept, token};
use super::places::Target;
use super::trouble::Trouble;
use super::value::{self, For, Identity, Locked};
use crate::files::file_under;
use crate::stripes::Set;

/// PHP's lock is waited for by looking again: whoever has it for longer than it takes to read is a request.
const READERS: Duration = Duration::from_millis(5);

/// A session, and what is in hand of it.
struct Hand<'v> {
    target: &'v Target,
    seen: &'v Seen,
    change: Option<&'v Change>,
    /// PHP's file, whose lock is held; or which is about to be removed under somebody else's.
    file: Option<Arc<Locked>>,
    /// What is in it, where that was read.
    bytes: Option<Vec<u8>>,
    kept: Option<Kept>,
}

impl Core {
    /// Makes the changes, if everything in the view is still as it was seen.
    pub(super) fn apply(
        &self,
        targets: &[Target],
        view: &View,
        mut changes: Vec<Change>,
        form: Form,
        deadline: Instant,
        abandoned: &dyn Fn() -> bool,
    ) -> Result<bool, Trouble> {
        let all = targets.iter().fold(Set::default(), |set, target| set.and(Set::entry(&target.key)));
        let _held = self.stripes.lock(all, deadline)?;
        // Its caller has told the client that the write was refused: making it now would store what was refused.
        if abandoned() {
            return Err(Trouble::Abandoned);
        }
        if form.is_entry() {
            write_ends(&mut changes, view);
        }
        let mut hands = Vec::with_capacity(targets.len());
        for (at, (target, seen)) in targets.iter().zip(&view.sessions).enumerate() {
            let change = changes.iter().find(|change| change.at == at);
            match self.take(target, form, seen, change)? {
                Some(hand) => hands.push(hand),
                None => return Ok(false),
            }
        }
        self.make(&mut hands, form).map(|()| true)
    }

    /// Takes hold of a session. `None`: it is not as it was seen.
    fn take<'v>(
        &self,
        target: &'v Target,
        form: Form,
        seen: &'v Seen,
        change: Option<&'v Change>,
    ) -> Result<Option<Hand<'v>>, Trouble> {
        let now = self.clock.now();
        if self.places.intent(&target.key).symlink_metadata().is_ok() {
            return Ok(None);
        }
        let kept = kept::look(&self.places, &target.key, now)?;
        let is_same = kept.as_ref().and_then(Kept::beside) == seen.beside.as_ref();
        let leased = self.leases.of(&target.key, now);
        let lease = leased.as_ref().map(|(_, lease)| *lease).or(kept.as_ref().and_then(|kept| kept.lease));
        let is_ours = seen.lock.as_ref().filter(|held| held.ours).map(|held| held.token.clone());
        if !is_same || lease.as_ref().map(token) != is_ours {
            return Ok(None);
        }
        let mut hand = Hand { target, seen, change, file: None, bytes: None, kept };
        let path = self.path(target);
        let Some(data) = &seen.data else {
            // What mini has made and not written yet is no session.
            let is_there = |path: PathBuf| {
                path.symlink_metadata().is_ok_and(|there| !form.is_entry() || there.len() > 0)
            };
            return Ok((!path.is_some_and(is_there)).then_some(hand));
        };
        let Some(path) = path else { return Ok(None) };
        let by_others = seen.lock.as_ref().is_some_and(|held| !held.ours);
        let ends = change.is_some_and(|change| change.data == DataChange::Delete);
        let locks = change.is_some_and(|change| {
            matches!(change.data, DataChange::Write(..) | DataChange::Delete)
                || matches!(change.lock, LockChange::Hold(_)) && !by_others
        });
        if by_others && ends {
            // Its holder was waited for. It goes on with a file that has no name any more.
            let file = value::open(&path, For::Reading)?;
            return Ok(file.is_some().then_some(hand));
        }
        hand.file = match leased {
            Some((file, _)) => Some(file),
            None if locks => match value::open(&path, For::Writing)? {
                Some(file) => Locked::soon(file, READERS)?.map(Arc::new),
                None => None,
            },
            None => None,
        };
        let bytes = match &hand.file {
            Some(file) => {
                let there = file.metadata()?;
                value::trust(&there, self.mode)?;
                if !value::is_at(&there, &path)? {
                    return Ok(None);
                }
                value::read(file)?
            }
            None if locks => return Ok(None),
            // Nothing is written to it: it is enough that it is there, and what PHP may be writing is another version in any case.
            None => return Ok(path.symlink_metadata().is_ok().then_some(hand)),
        };
        let is_same = match form.read(bytes.clone(), now) {
            Ok(Some((value, _))) => value == *data,
            // It is looked at anew, which tells what is wrong with it.
            Ok(None) | Err(_) => false,
        };
        hand.bytes = Some(bytes);
        Ok(is_same.then_some(hand))
    }

    /// A session that is there is changed last: what takes its place is there by then.
    fn make(&self, hands: &mut [Hand<'_>], form: Form) -> Result<(), Trouble> {
        let new = |hand: &Hand<'_>| {
            hand.seen.data.is_none() && matches!(hand.change.map(|c| &c.data), Some(DataChange::Write(..)))
        };
        let heir = hands.iter().position(new);
        let old = hands.iter().position(|hand| {
            hand.seen.data.is_some()
                && matches!(hand.change.map(|c| &c.data), Some(DataChange::Write(..) | DataChange::Delete))
        });
        let heirs = heir
            .and_then(|at| hands.get(at))
            .and_then(|hand| Some((hand.target.key, hand.target.file.clone()?)));
        let intent = match old.and_then(|at| hands.get(at)) {
            Some(hand) => Some(self.intend(hand, form, heirs.clone())?),
            None => None,
        };
        if let Some(hand) = heir.and_then(|at| hands.get_mut(at))
            && let Err(trouble) = self.begin(hand, form)
        {
            // Nothing was done to what was there.
            if let Some((key, file)) = &heirs {
                let _ = self.remove_heir(key, file);
            }
            if let Some(hand) = old.and_then(|at| hands.get(at)) {
                self.unintend(&hand.target.key);
            }
            return Err(trouble);
        }
        if let (Some(hand), Some(intent)) = (old.and_then(|at| hands.get(at)), &intent) {
            self.carry_out(hand, intent)?;
        }
        for (at, hand) in hands.iter().enumerate() {
            let Some(change) = hand.change else { continue };
            if Some(at) != old && Some(at) != heir {
                self.set_beside(hand, form, change)?;
            }
            if !form.is_entry() {
                self.lock(hand, change)?;
            }
        }
        Ok(())
    }

    /// Writes down what is about to be done. Nothing has been done when this fails.
    fn intend(
        &self,
        hand: &Hand<'_>,
        form: Form,
        heir: Option<(cloakroom::StoreKey, PathBuf)>,
    ) -> Result<Intent, Trouble> {
        let (Some(change), Some(old), Some(file)) =
            (hand.change, hand.bytes.as_ref().or(hand.seen.data.as_ref()), hand.target.file.clone())
        else {
            return Err(Trouble::NoName);
        };
        let path = self.places.save_path.join(&file);
        let there = match &hand.file {
            Some(locked) => locked.metadata()?,
            None => path.symlink_metadata()?,
        };
        let (new, used) = match &change.data {
            DataChange::Write(value, until) => {
                let new = form.write(value, *until)?;
                if let Some(locked) = &hand.file {
                    value::reserve(locked, old.len() as u64, new.len() as u64)?;
                }
                (Some(new), form.modified(*until))
            }
            _ => (None, Timestamp::default()),
        };
        let kept = kept_after(change, form, hand);
        let old = (!form.is_entry()).then(|| old.clone());
        let intent = Intent { kept, file, identity: Identity::of(&there), old, new, used, heir };
        let at = self.places.intent(&hand.target.key);
        let written = kept::write(&at, &intent.encode(), intent.kept.due(), self.flushes())
            .and_then(|()| if self.flushes() { kept::sync_dir(&at) } else { Ok(()) });
        if let Err(error) = written {
            let _ = std::fs::remove_file(&at);
            return Err(Trouble::Io(error));
        }
        Ok(intent)
    }

    /// Does what was written down. What is left undone, the next one who looks finishes or forgets.
    fn carry_out(&self, hand: &Hand<'_>, intent: &Intent) -> Result<(), Trouble> {
        let key = &hand.target.key;
        let path = self.places.save_path.join(&intent.file);
        match (&intent.new, &intent.old, &hand.file) {
            (Some(new), Some(old), Some(file)) => {
                if let Err(error) = value::write_over(file, new) {
                    return Err(self.take_back(key, file, old, error));
                }
                value::settle(file, intent.used, self.durability).map_err(Trouble::Half)?;
            }
            (Some(new), None, Some(file)) => {
                let placed = value::replace(&path, file, new, intent.used, self.durability)
                    .inspect_err(|_| self.unintend(key))?;
                kept::sync_names(&path, &placed, self.durability).map_err(Trouble::Half)?;
            }
            (Some(_), _, None) => return Err(Trouble::Busy),
            (None, _, file) => {
                let opened = match file {
                    Some(_) => None,
                    None => value::open(&path, For::Writing)?,
                };
                std::fs::remove_file(&path).map_err(Trouble::Half)?;
                if let Some(file) = file.as_deref().map(|locked| &**locked).or(opened.as_ref()) {
                    // A PHP request that waits for the lock has it open. It is to find nothing: the session has ended.
                    let _ = file.set_len(0);
                    kept::sync_names(&path, file, self.durability).map_err(Trouble::Half)?;
                }
            }
        }
        self.finish(key, intent).map_err(|trouble| match trouble {
            Trouble::Io(error) => Trouble::Half(error),
            other => other,
        })
    }

    /// Removes what was written down, where nothing of it was done. Whoever looks next forgets it as well, so that what is told is why it was not done.
    fn unintend(&self, key: &cloakroom::StoreKey) {
        let _ = std::fs::remove_file(self.places.intent(key));
    }

    /// A value could not be written to its end: what it was has its place on the disk.
    fn take_back(
        &self,
        key: &cloakroom::StoreKey,
        file: &Locked,
        old: &[u8],
        error: std::io::Error,
    ) -> Trouble {
        let back = value::write_over(file, old).and_then(|()| std::fs::remove_file(self.places.intent(key)));
        if back.is_ok() { Trouble::Io(error) } else { Trouble::Half(error) }
    }

    /// A new session.
    fn begin(&self, hand: &mut Hand<'_>, form: Form) -> Result<(), Trouble> {
        let Some(change @ Change { data: DataChange::Write(value, until), .. }) = hand.change else {
            return Ok(());
        };
        let bytes = form.write(value, *until)?;
        let path = self.path(hand.target).ok_or(Trouble::NoName)?;
        // Its id was made this moment.
        let file = value::make(&path, self.mode)?.ok_or(Trouble::Busy)?;
        let made = value::write_over(&file, &bytes)
            .and_then(|()| value::settle(&file, form.modified(*until), self.durability))
            .and_then(|()| kept::sync_names(&path, &file, self.durability))
            .and_then(|()| {
                let kept = kept_after(change, form, hand);
                kept::replace(&self.places, &hand.target.key, &kept, self.flushes())
            });
        if let Err(error) = made {
            // Nobody knows of it.
            let _ = std::fs::remove_file(&path);
            return Err(Trouble::Io(error));
        }
        hand.file = Some(Arc::new(file));
        Ok(())
    }

    /// A session whose value stays, or is gone.
    fn set_beside(&self, hand: &Hand<'_>, form: Form, change: &Change) -> Result<(), Trouble> {
        if let (DataChange::Expire(until), Some(path)) = (&change.data, self.path(hand.target)) {
            let opened;
            let file = match &hand.file {
                Some(locked) => Some(&***locked),
                None => {
                    opened = value::open(&path, For::Reading)?;
                    opened.as_ref()
                }
            };
            if let Some(file) = file {
                file_under(file, form.modified(*until))?;
            }
        }
        if change.beside.is_some() || form.is_entry() && change.lock != LockChange::Keep {
            let kept = kept_after(change, form, hand);
            // That a session was used need not survive a power failure; that it ended must.
            let flush = self.flushes() && change.data == DataChange::Delete;
            kept::replace(&self.places, &hand.target.key, &kept, flush)?;
        }
        Ok(())
    }

    fn lock(&self, hand: &Hand<'_>, change: &Change) -> Result<(), Trouble> {
        let key = hand.target.key;
        match (change.lock, &hand.file) {
            _ if change.data == DataChange::Delete => self.leases.free(&key),
            (LockChange::Hold(lease), Some(file)) => {
                self.leases.hold(key, Arc::clone(file), lease, self.clock.now())?;
            }
            // Somebody else's, of whom nothing is known but that they hold it.
            (LockChange::Hold(_), None) | (LockChange::Keep, _) => {}
            (LockChange::Free, _) => self.leases.free(&key),
        }
        Ok(())
    }

    /// PHP's file of a session.
    pub(super) fn path(&self, target: &Target) -> Option<PathBuf> {
        target.file.as_ref().map(|file| self.places.save_path.join(file) as PathBuf)
    }
}

/// Where the file says when the session ends, another end is another file.
fn write_ends(changes: &mut [Change], view: &View) {
    for change in changes {
        let data = view.sessions.get(change.at).and_then(|seen| seen.data.clone());
        if let (DataChange::Expire(until), Some(data)) = (&change.data, data) {
            change.data = DataChange::Write(data, *until);
        }
    }
}

/// What is to be beside a session: what was, where nothing is said.
fn kept_after(change: &Change, form: Form, hand: &Hand<'_>) -> Kept {
    let mut kept = hand.kept.clone().unwrap_or_default();
    if let Some((bytes, until)) = &change.beside {
        (kept.bytes, kept.until) = (bytes.clone(), *until);
    }
    kept.lease = match change.lock {
        _ if !form.is_entry() || change.data == DataChange::Delete => None,
        LockChange::Keep => kept.lease,
        LockChange::Hold(lease) => Some(lease),
        LockChange::Free => None,
    };
    kept
}
