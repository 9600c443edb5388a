//! A directory as a place of PHP's sessions.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::PlainId;
use cloakroom::clock::{Clock, Timestamp, deadline_in};
use cloakroom::store::{Purged, StoreError};
use cloakroom_php::layout::{Change, Ground, Layout, Matter, Seen, View};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::PhpFilesBuilder;
use super::form::Form;
use super::leases::Leases;
use super::places::{Places, Target};
use super::purge::Round;
use super::trouble::Trouble;
use crate::error::{closed, overloaded, unanswered};
use crate::pool::{Pool, Refused};
use crate::stripes::Stripes;
use crate::{Durability, OpenError, OpenErrorKind};

/// A directory in which a PHP application keeps sessions.
///
/// What waits for locks or for the disk runs on threads of its own. Dropping it finishes what is queued and gives all leases back.
pub struct PhpFiles {
    core: Arc<Core>,
    pool: Pool,
    place: String,
}

/// What the threads work with.
pub(super) struct Core {
    pub(super) places: Places,
    /// Of new files.
    pub(super) mode: u32,
    pub(super) stripes: Stripes,
    pub(super) leases: Leases,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) durability: Durability,
    pub(super) busy_timeout: Duration,
    pub(super) round: Mutex<Round>,
}

impl PhpFiles {
    /// PHP's `session.save_path`, with the default settings.
    ///
    /// # Errors
    /// [`OpenError`]: what is wrong with a directory, and what to do about it.
    pub async fn open(save_path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder(save_path).open().await
    }

    /// Settings, to be finished with [`PhpFilesBuilder::open`].
    pub fn builder(save_path: impl AsRef<Path>) -> PhpFilesBuilder {
        PhpFilesBuilder::new(save_path.as_ref().to_owned())
    }

    pub(super) async fn start(settings: PhpFilesBuilder) -> Result<Self, OpenError> {
        let (ready, opened) = oneshot::channel();
        let pool = Pool::new(settings.queue_bound, settings.threads);
        let path = settings.save_path.clone();
        // Opening waits for the disk as well.
        let open = Box::new(move || {
            let core = settings.core().inspect(Core::recover_all);
            let _ = ready.send(core);
        });
        // The thread cannot end without having answered, unless it panicked or could not be started.
        let failed = || OpenError::new(OpenErrorKind::Io, &path);
        pool.push(open).map_err(|_| failed())?;
        let core = opened.await.unwrap_or_else(|_| Err(failed()))?;
        let place = core.places.save_path.display().to_string();
        Ok(PhpFiles { core: Arc::new(core), pool, place })
    }

    /// Does something on a thread of our own. Dropping the future takes back what has not been begun.
    fn submit<A: Send + 'static>(
        &self,
        work: impl FnOnce(&Core, &dyn Fn() -> bool) -> Result<A, Trouble> + Send + 'static,
    ) -> impl Future<Output = Result<A, StoreError>> + Send {
        let core = Arc::clone(&self.core);
        let (reply, answer) = oneshot::channel();
        let job = Box::new(move || {
            if reply.is_closed() {
                return;
            }
            let outcome = work(&core, &|| reply.is_closed());
            let _ = reply.send(outcome.map_err(|trouble| trouble.explain(&core.places.save_path)));
        });
        let pushed = self.pool.push(job);
        let path = self.core.places.save_path.clone();
        async move {
            match pushed {
                Ok(()) => answer.await.unwrap_or_else(|_| Err(unanswered(&path))),
                Err(Refused::Closed) => Err(closed(&path)),
                Err(Refused::Full) => Err(overloaded(&path)),
            }
        }
    }

    fn targets<'i>(&self, layout: &Layout, ids: impl Iterator<Item = &'i PlainId>) -> Vec<Target> {
        ids.map(|id| self.core.places.target(layout, id)).collect()
    }
}

impl Drop for PhpFiles {
    fn drop(&mut self) {
        self.pool.close();
    }
}

impl Ground for PhpFiles {
    fn place(&self) -> &str {
        &self.place
    }

    fn deadline(&self) -> Instant {
        deadline_in(self.core.busy_timeout)
    }

    async fn look(&self, deadline: Instant, layout: &Layout, ids: &[PlainId]) -> Result<View, StoreError> {
        let targets = self.targets(layout, ids.iter());
        let form = Form::of(layout);
        let looked = self.submit(move |core, _| {
            let sighted = core.look(&targets, form, deadline)?;
            // Not before: what was read may have been written until now.
            Ok((sighted, core.clock.now()))
        });
        let (sighted, now) = looked.await?;
        let sessions = ids.iter().zip(sighted).map(|(id, there)| {
            let (data, ends) = there.data.unzip();
            Seen {
                id: id.clone(),
                data,
                idle_deadline: ends.unwrap_or_else(|| now.after(layout.lifetime())),
                lock: there.lock,
                beside: there.kept,
            }
        });
        Ok(View { now, sessions: sessions.collect() })
    }

    async fn apply(
        &self,
        deadline: Instant,
        layout: &Layout,
        view: &View,
        changes: Vec<Change>,
        _: Matter,
    ) -> Result<bool, StoreError> {
        let targets = self.targets(layout, view.sessions.iter().map(|seen| &seen.id));
        let (view, form) = (view.clone(), Form::of(layout));
        self.submit(move |core, abandoned| core.apply(&targets, &view, changes, form, deadline, abandoned))
            .await
    }

    async fn purge(&self, layout: &Layout, limit: usize) -> Result<Purged, StoreError> {
        let layout = layout.clone();
        self.submit(move |core, _| core.purge(&layout, limit)).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(self.core.clock.now())
    }
}

impl std::fmt::Debug for PhpFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhpFiles")
            .field("save_path", &self.core.places.save_path)
            .field("depth", &self.core.places.depth)
            .finish_non_exhaustive()
    }
}
