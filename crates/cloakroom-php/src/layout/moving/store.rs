//! The store that a session is asked of while it is on its way.

use cloakroom::clock::Timestamp;
use cloakroom::store::Ending;
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Conventions, Create, Created, End, Ended, ExpiryListener, Handover,
    Loaded, Purged, Release, Released, Rename, Renamed, Renew, Renewed, Revoke, Revoked, ScanFrom, ScanPage,
    Store, StoreError, StoreErrorKind, StoreFuture, StoreStats, Summary, Touch, Touched,
};
use cloakroom::{StoreKey, UserId};

use super::aside::is_aside;
use super::flag::is_flagged;
use super::{Moving, Parts, Stage};
use crate::layout::ground::Ground;
use crate::layout::picture::no_index;

/// Whether an end may be one of a copy, which was taken away, or is past its deadline while the session is used where it is.
fn is_no_end(ending: &Ending) -> bool {
    *ending == Ending::Expired || is_aside(ending)
}

/// Whether an answer of the new place is about a copy that nobody is served, or about nothing.
fn is_no_word(answer: &Committed) -> bool {
    match answer {
        Committed::Missing => true,
        Committed::Ended(ending) => is_no_end(ending),
        Committed::Conflict(snapshot) => is_flagged(&snapshot.record),
        _ => false,
    }
}

fn is_no_new_id(answer: &Renamed) -> bool {
    match answer {
        Renamed::Missing => true,
        Renamed::Ended(ending) => is_no_end(ending),
        Renamed::Conflict(snapshot) => is_flagged(&snapshot.record),
        _ => false,
    }
}

impl<G: Ground> Parts<G> {
    /// The lease of what the new place has. Of nothing but a session is there one: a copy that is over could be held as well.
    async fn acquire(&self, request: Acquire, found: Loaded) -> Result<Acquired, StoreError> {
        match found {
            Loaded::Live(_) => self.new.acquire(request).await,
            Loaded::Alias { successor, .. } => {
                Ok(Acquired::Ended(Ending::Moved { to: successor, user_changed: false }))
            }
            Loaded::Ended(ending) => Ok(Acquired::Ended(ending)),
            Loaded::Missing => Ok(Acquired::Missing),
        }
    }

    async fn rename(&self, request: Rename) -> Result<Renamed, StoreError> {
        let payload = self.told(&request.payload, request.bind.as_ref());
        let ours = Rename { payload, ..request.clone() };
        let answer = self.new.rename(ours.clone()).await?;
        let elsewhere = is_no_new_id(&answer) || answer == Renamed::LeaseLost;
        if !elsewhere || !self.may_be_phps(&request.from) {
            return Ok(answer);
        }
        let theirs = self.php.rename(request).await?;
        if !matches!(theirs, Renamed::Ended(_)) || self.moved(ours.from).await?.is_none() {
            return Ok(theirs);
        }
        let there = self.new.rename(ours).await?;
        Ok(if is_no_new_id(&there) { theirs } else { there })
    }

    /// A change of id that was made before, and was not heard. The place that made it may say that it was another one, where one of the two
    /// sessions has moved since: the successor itself knows.
    async fn renamed(&self, request: Rename, answer: Renamed) -> Result<Renamed, StoreError> {
        match self.load(request.to).await? {
            Loaded::Live(snapshot) if snapshot.record.knows(request.op) => {
                Ok(Renamed::Renamed { snapshot, evicted: Vec::new() })
            }
            _ => Ok(answer),
        }
    }
}

/// Asked again, it is done in both places.
fn half_done(error: StoreError) -> StoreError {
    if error.kind() == StoreErrorKind::Undurable {
        return error;
    }
    let what =
        "a session ended in PHP's place, and it is not known whether in the one that it moves to as well";
    StoreError::new(StoreErrorKind::Unknown, what).with_source(error)
}

/// So many changes of an id are followed.
const LINE: usize = 20;

impl<G: Ground> Store for Moving<G> {
    fn name(&self) -> &'static str {
        self.0.new.name()
    }

    fn conventions(&self) -> Option<Conventions> {
        let handover = match self.0.stage {
            Stage::Prepare | Stage::Move => Handover::Prepared,
            Stage::Done => Handover::Done,
        };
        self.0.php.conventions().map(|conventions| Conventions { handover, ..conventions })
    }

    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.ask(|parts| async move { parts.load(key).await })
    }

    fn create(&self, request: Create) -> StoreFuture<Created> {
        if self.0.stage == Stage::Prepare {
            return self.0.php.create(request);
        }
        let payload = self.0.told(&request.payload, request.bind.as_ref());
        self.0.new.create(Create { payload, ..request })
    }

    fn commit(&self, request: Commit) -> StoreFuture<Committed> {
        self.ask(move |parts| async move {
            let answer = parts.new.commit(request.clone()).await?;
            // The lease may be PHP's lock, and the copy one that nobody holds.
            let elsewhere = is_no_word(&answer) || answer == Committed::LeaseLost;
            if !elsewhere || !parts.may_be_phps(&request.key) {
                return Ok(answer);
            }
            let theirs = parts.php.commit(request.clone()).await?;
            if !matches!(theirs, Committed::Ended(_)) || parts.moved(request.key).await?.is_none() {
                return Ok(theirs);
            }
            // It moved between the two: then it is another version there, and the change is decided anew.
            let there = parts.new.commit(request).await?;
            Ok(if is_no_word(&there) { theirs } else { there })
        })
    }

    fn rename(&self, request: Rename) -> StoreFuture<Renamed> {
        self.ask(move |parts| async move {
            let answer = parts.rename(request.clone()).await?;
            match answer {
                Renamed::Ended(Ending::Moved { to, .. }) if to == request.to => {
                    parts.renamed(request, answer).await
                }
                answer => Ok(answer),
            }
        })
    }

    fn touch(&self, request: Touch) -> StoreFuture<Touched> {
        // Asked now, while the request that holds the id is there.
        let theirs = self.0.may_be_phps(&request.key).then(|| self.0.php.touch(request));
        self.ask(|parts| async move {
            // Both: what the new place has beside a session of PHP's is a copy that nobody uses, and a session that has moved is not to wait
            // for PHP's place.
            let ours = parts.new.touch(request).await;
            let Some(theirs) = theirs else { return ours };
            match (theirs.await, ours) {
                (touched @ Ok(Touched::Touched { .. }), _) | (touched, Ok(Touched::NotLive)) => touched,
                (_, ours) => ours,
            }
        })
    }

    /// Both places, PHP's first: a move that is under way finds its session ended, and takes its copy back.
    fn end(&self, request: End) -> StoreFuture<Ended> {
        self.ask(|parts| async move {
            if !parts.may_be_phps(&request.key) {
                return parts.new.end(request).await;
            }
            let mut request = request;
            for _ in 0..LINE {
                let theirs = parts.php.end(request).await?;
                let ours = parts.new.end(request).await.map_err(|error| match theirs {
                    Ended::NotLive => error,
                    Ended::Ended(_) => half_done(error),
                })?;
                match (ours, theirs) {
                    (Ended::NotLive, Ended::NotLive) => {}
                    (Ended::NotLive, theirs) => return Ok(theirs),
                    (ours, _) => return Ok(ours),
                }
                // Its id was changed in PHP's place, and its successor has moved since.
                request.key = match parts.load(request.key).await? {
                    Loaded::Ended(Ending::Moved { to, .. }) => to,
                    Loaded::Alias { successor, .. } => successor,
                    _ => break,
                };
            }
            Ok(Ended::NotLive)
        })
    }

    fn acquire(&self, request: Acquire) -> StoreFuture<Acquired> {
        self.ask(|parts| async move {
            if let Some(settled) = parts.settle(request.key).await? {
                return parts.acquire(request, settled).await;
            }
            match parts.php.acquire(request).await? {
                Acquired::Ended(ending) => match parts.moved(request.key).await? {
                    Some(moved) => parts.acquire(request, moved).await,
                    None => Ok(Acquired::Ended(ending)),
                },
                answer => Ok(answer),
            }
        })
    }

    fn renew(&self, request: Renew) -> StoreFuture<Renewed> {
        self.ask(|parts| async move {
            match parts.new.renew(request).await? {
                Renewed::LeaseLost if parts.may_be_phps(&request.key) => parts.php.renew(request).await,
                answer => Ok(answer),
            }
        })
    }

    fn release(&self, request: Release) -> StoreFuture<Released> {
        self.ask(|parts| async move {
            match parts.new.release(request).await? {
                Released::NotHeld if parts.may_be_phps(&request.key) => parts.php.release(request).await,
                answer => Ok(answer),
            }
        })
    }

    fn list_user(&self, user: UserId) -> StoreFuture<Vec<Summary>> {
        match self.0.stage {
            Stage::Done => self.0.new.list_user(user),
            _ => StoreFuture::ready(Err(no_index())),
        }
    }

    fn revoke(&self, request: Revoke) -> StoreFuture<Revoked> {
        match self.0.stage {
            Stage::Done => self.0.new.revoke(request),
            _ => StoreFuture::ready(Err(no_index())),
        }
    }

    fn scan(&self, from: ScanFrom) -> StoreFuture<ScanPage> {
        match self.0.stage {
            Stage::Done => self.0.new.scan(from),
            _ => self.0.php.scan(from),
        }
    }

    fn purge(&self, limit: usize) -> StoreFuture<Purged> {
        self.ask(move |parts| async move {
            let here = parts.new.purge(limit).await?;
            if parts.stage == Stage::Done {
                return Ok(here);
            }
            let there = parts.php.purge(limit.saturating_sub(here.removed)).await?;
            Ok(Purged { removed: here.removed + there.removed, more: here.more || there.more })
        })
    }

    /// Of sessions that have moved: PHP tells nobody.
    fn tell_expired(&self, listener: std::sync::Weak<dyn ExpiryListener>, remembered: std::time::Duration) {
        self.0.new.tell_expired(listener, remembered);
    }

    fn stats(&self) -> StoreFuture<StoreStats> {
        self.0.new.stats()
    }

    fn now(&self) -> StoreFuture<Timestamp> {
        self.0.new.now()
    }

    fn released(&self, key: StoreKey) -> Option<StoreFuture<()>> {
        self.0.new.released(key)
    }
}
