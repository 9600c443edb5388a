use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::payload::Payload;
use cloakroom::record::{Lifetime, Record};
use cloakroom::store::{
    Acquired, Commit, Committed, Create, Created, Ending, Loaded, Rename, Renamed, ScanFrom, Store, Summary,
};
use cloakroom::{StoreKey, UserId};

use super::Subject;
use super::verdict::{Failure, Verdict};
use crate::{ManualClock, requests};

/// What a case works on: the subject, time in its units, and the steps every case takes.
pub(crate) struct Bed {
    pub(super) subject: Subject,
    pace: Arc<Pace>,
}

/// Whether a case got on as it meant to, which decides what a failure of it tells.
pub(super) struct Pace {
    began: Instant,
    /// What it is late from: sessions that must still be alive have twice as much left.
    tick: Duration,
    /// Milliseconds that it let pass on purpose.
    passed: AtomicU64,
}

impl Pace {
    /// Whether it took so much longer than it meant to that a deadline may have passed meanwhile.
    pub(super) fn was_late(&self) -> bool {
        let meant = Duration::from_millis(self.passed.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(meant) >= self.tick
    }
}

impl Bed {
    pub(super) fn new(subject: Subject) -> Self {
        let pace = Pace { began: Instant::now(), tick: subject.tick, passed: AtomicU64::new(0) };
        Bed { subject, pace: Arc::new(pace) }
    }

    pub(super) fn pace(&self) -> Arc<Pace> {
        self.pace.clone()
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.subject.store
    }

    /// The store, and a second handle on the same data where there is one.
    pub(crate) async fn handles(&self) -> Vec<Arc<dyn Store>> {
        let mut handles = vec![Arc::clone(self.store())];
        if let Some(open) = &self.subject.second {
            handles.push(open().await);
        }
        handles
    }

    pub(crate) fn manual_clock(&self) -> Verdict<&ManualClock> {
        self.subject.clock.as_ref().ok_or_else(|| Failure::new("the case needs a manual clock"))
    }

    /// So many units of time: seconds by a manual clock, shorter and real without. Cases let at most nine pass, less
    /// than the leases and markers of `requests` last.
    pub(crate) fn ticks(&self, n: u32) -> Duration {
        let tick = if self.subject.clock.is_some() { Duration::from_secs(1) } else { self.subject.tick };
        tick * n
    }

    /// Lets so many units of time pass.
    pub(crate) async fn pass(&self, ticks: u32) {
        let time = self.ticks(ticks);
        match &self.subject.clock {
            Some(clock) => {
                clock.advance(time);
            }
            None => {
                // A few milliseconds more: stores round, and are not all on this machine's clock.
                let time = time + Duration::from_millis(10);
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                self.pace.passed.fetch_add(millis, Ordering::Relaxed);
                tokio::time::sleep(time).await;
            }
        }
    }

    /// A lifetime in units of time.
    pub(crate) fn lifetime(&self, idle: u32, absolute: u32) -> Lifetime {
        Lifetime { idle: self.ticks(idle), absolute: self.ticks(absolute), renewal: None }
    }

    /// Creates, and expects no trouble.
    #[track_caller]
    pub(crate) fn create(&self, request: Create) -> impl Future<Output = Verdict<Arc<Record>>> {
        let answer = self.store().create(request);
        async move { Ok(expect!(answer.await?, Created::Created { snapshot, .. } => snapshot.record)) }
    }

    /// A new anonymous session with one entry.
    pub(crate) async fn session(&self) -> Verdict<(StoreKey, Arc<Record>)> {
        let key = requests::key();
        let record = self.create(requests::create(key, requests::data(&[("a", b"1")]))).await?;
        Ok((key, record))
    }

    /// A new session that lives as told, in units of time.
    pub(crate) async fn session_living(&self, idle: u32, absolute: u32) -> Verdict<(StoreKey, Arc<Record>)> {
        let key = requests::key();
        let mut request = requests::create(key, requests::data(&[("a", b"1")]));
        request.lifetime = self.lifetime(idle, absolute);
        Ok((key, self.create(request).await?))
    }

    /// A new session of a user.
    pub(crate) async fn session_of(&self, user: &UserId) -> Verdict<(StoreKey, Arc<Record>)> {
        let key = requests::key();
        let record = self.create(requests::create_for(key, requests::bind(user))).await?;
        Ok((key, record))
    }

    /// Commits, and expects it to be stored.
    pub(crate) async fn commit(&self, request: Commit) -> Verdict<Arc<Record>> {
        Ok(expect!(self.store().commit(request).await?, Committed::Committed(s) => s.record))
    }

    /// Commits this data over the record, and expects it to be stored.
    pub(crate) async fn write(&self, key: StoreKey, over: &Record, payload: Payload) -> Verdict<Arc<Record>> {
        self.commit(requests::commit(key, over.version, payload)).await
    }

    /// Renames, and expects it to be done.
    pub(crate) async fn rename(&self, request: Rename) -> Verdict<Arc<Record>> {
        Ok(expect!(self.store().rename(request).await?, Renamed::Renamed { snapshot, .. } => snapshot.record))
    }

    /// Moves a session to a new key, with the same data; answers with the key.
    pub(crate) async fn moved(&self, from: StoreKey, record: &Record) -> Verdict<(StoreKey, Arc<Record>)> {
        let to = requests::successor(from);
        let request = requests::rename(from, to, record.version, record.payload.clone());
        Ok((to, self.rename(request).await?))
    }

    /// Acquires, and expects to hold the lease.
    pub(crate) async fn lease(&self, key: StoreKey, owner: u128) -> Verdict<(Arc<Record>, Timestamp)> {
        let answer = self.store().acquire(requests::acquire(key, owner)).await?;
        Ok(expect!(answer, Acquired::Acquired { snapshot, until } => (snapshot.record, until)))
    }

    /// Expects a live record, not past its deadline by the store's own account.
    pub(crate) async fn live(&self, key: StoreKey) -> Verdict<Arc<Record>> {
        let snapshot = expect!(self.store().load(key).await?, Loaded::Live(s) => s);
        ensure!(
            !snapshot.record.is_expired(snapshot.now),
            "a session was served at {:?}, past its deadline {:?}",
            snapshot.now,
            snapshot.record.deadline()
        );
        Ok(snapshot.record)
    }

    /// Expects a marker that tells this ending.
    pub(crate) async fn ended(&self, key: StoreKey, expected: Ending) -> Verdict {
        let ending = expect!(self.store().load(key).await?, Loaded::Ended(ending) => ending);
        ensure_eq!(ending, expected, "how {key:?} ended");
        Ok(())
    }

    /// Expects a session that passed its deadline: told as expired, or not known any more.
    pub(crate) async fn expired(&self, key: StoreKey) -> Verdict {
        expect!(self.store().load(key).await?, Loaded::Ended(Ending::Expired) | Loaded::Missing);
        Ok(())
    }

    /// Expects that nothing is known.
    pub(crate) async fn missing(&self, key: StoreKey) -> Verdict {
        expect!(self.store().load(key).await?, Loaded::Missing);
        Ok(())
    }

    /// All live sessions, by scanning in pages of `limit`.
    pub(crate) async fn scanned(&self, limit: usize) -> Verdict<Vec<Summary>> {
        let (mut sessions, mut after) = (Vec::new(), None);
        for _ in 0..10_000 {
            let page = self.store().scan(ScanFrom { after, limit }).await?;
            ensure!(page.sessions.len() <= limit, "{} sessions on a page of {limit}", page.sessions.len());
            sessions.extend(page.sessions);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(sessions),
            }
        }
        Err(Failure::new("the scan does not end"))
    }
}
