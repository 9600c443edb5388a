//! Runs concurrent requests in every order in which their store calls can happen.
//!
//! The store under the manager holds each call back until the explorer lets it through. When nothing moves any more, the
//! explorer picks one of the waiting calls; a depth-first search over its picks visits every interleaving of store calls.
//! It is the product's own code that runs, not a model of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom::store::*;
use cloakroom::{StoreKey, UserId};
use tokio::sync::oneshot;

/// A store whose calls wait to be let through.
#[derive(Clone)]
pub struct StepStore {
    inner: Arc<dyn Store>,
    waiting: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
}

impl StepStore {
    pub fn new(inner: Arc<dyn Store>) -> Self {
        StepStore { inner, waiting: Arc::default() }
    }

    fn step<T: Send + Unpin + 'static>(
        &self,
        call: impl FnOnce(&dyn Store) -> StoreFuture<T> + Send + 'static,
    ) -> StoreFuture<T> {
        let (go, gone) = oneshot::channel();
        self.waiting.lock().unwrap().push_back(go);
        let inner = Arc::clone(&self.inner);
        StoreFuture::boxed(async move {
            gone.await.ok();
            call(&*inner).await
        })
    }

    /// Calls that wait and whose caller still listens.
    fn waiting(&self) -> usize {
        let mut waiting = self.waiting.lock().unwrap();
        waiting.retain(|w| !w.is_closed());
        waiting.len()
    }

    fn let_through(&self, n: usize) {
        let go = self.waiting.lock().unwrap().remove(n);
        if let Some(go) = go {
            go.send(()).ok();
        }
    }
}

macro_rules! stepped {
    ($($name:ident: $request:ty => $answer:ty;)*) => {
        impl Store for StepStore {
            fn name(&self) -> &'static str {
                "stepped"
            }
            $(fn $name(&self, request: $request) -> StoreFuture<$answer> {
                self.step(move |store| store.$name(request))
            })*
            fn now(&self) -> StoreFuture<cloakroom::clock::Timestamp> {
                self.inner.now()
            }
            fn stats(&self) -> StoreFuture<StoreStats> {
                self.inner.stats()
            }
        }
    };
}

stepped! {
    load: StoreKey => Loaded;
    create: Create => Created;
    commit: Commit => Committed;
    rename: Rename => Renamed;
    touch: Touch => Touched;
    end: End => Ended;
    acquire: Acquire => Acquired;
    renew: Renew => Renewed;
    release: Release => Released;
    list_user: UserId => Vec<Summary>;
    revoke: Revoke => Revoked;
    scan: ScanFrom => ScanPage;
    purge: usize => Purged;
}

/// Which waiting call goes next, and how many there were to choose from.
#[derive(Clone, Copy, Debug)]
struct Pick {
    chosen: usize,
    of: usize,
}

/// The picks of one interleaving, and how far it has come.
#[derive(Default)]
struct Picks {
    path: Vec<Pick>,
    at: usize,
    /// There was another number of calls to choose from than when this path was first taken.
    diverged: bool,
}

/// The pauses between the tries for a lease are jittered, so that now and then two calls come together that came one after
/// the other before. Such a run is an interleaving like any other, and not the one to be visited: it is tried again.
const TRIES: u32 = 50;

/// Visits the interleavings of a scenario until all were seen, or `limit` of them. Returns how many, and whether that was all.
///
/// `run` is called once for each: it starts the requests as tasks and returns something to await them all with.
pub fn explore<F, Fut>(limit: usize, run: F) -> (usize, bool)
where
    F: Fn(Conductor) -> Fut,
    Fut: std::future::Future<Output = ()>,
{
    let mut path: Vec<Pick> = Vec::new();
    for n in 1..=limit {
        path = visit(&path, &run);
        // The last pick that has an alternative left takes it; what came after is forgotten.
        while let Some(last) = path.pop() {
            if last.chosen + 1 < last.of {
                path.push(Pick { chosen: last.chosen + 1, ..last });
                break;
            }
        }
        if path.is_empty() {
            return (n, true);
        }
    }
    (limit, false)
}

/// Takes this path and whatever comes first behind its end; answers with the whole of it.
fn visit<F, Fut>(path: &[Pick], run: &F) -> Vec<Pick>
where
    F: Fn(Conductor) -> Fut,
    Fut: std::future::Future<Output = ()>,
{
    for _ in 0..TRIES {
        let picks = Arc::new(Mutex::new(Picks { path: path.to_vec(), ..Picks::default() }));
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(Conductor { picks: Arc::clone(&picks) }));
        drop(runtime);
        let picks = std::mem::take(&mut *picks.lock().unwrap());
        if !picks.diverged {
            return picks.path;
        }
    }
    panic!("the scenario is not deterministic: the search would mean nothing");
}

/// Lets calls through, in the order of the interleaving at hand.
pub struct Conductor {
    picks: Arc<Mutex<Picks>>,
}

impl Conductor {
    /// Conducts until all tasks are done and nothing waits.
    pub async fn conduct<T: 'static>(
        &self,
        store: &StepStore,
        tasks: Vec<tokio::task::JoinHandle<T>>,
    ) -> Vec<T> {
        let mut idle_rounds = 0;
        loop {
            for _ in 0..40 {
                tokio::task::yield_now().await;
            }
            let waiting = store.waiting();
            if waiting > 0 {
                idle_rounds = 0;
                store.let_through(self.pick(waiting));
                continue;
            }
            if tasks.iter().all(tokio::task::JoinHandle::is_finished) {
                break;
            }
            // Only timers can move anything now: lock waits and their pauses. The clock is virtual.
            idle_rounds += 1;
            assert!(idle_rounds < 20_000, "the requests hang");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        // Leases that are given back, touches: detached work goes through in order.
        loop {
            for _ in 0..40 {
                tokio::task::yield_now().await;
            }
            if store.waiting() == 0 {
                return answers;
            }
            store.let_through(0);
        }
    }

    /// Everything in order: for setting up and looking afterwards.
    pub async fn straight<T>(&self, store: &StepStore, work: impl std::future::Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::task::yield_now() => {}
            }
            if store.waiting() > 0 {
                store.let_through(0);
            }
        }
    }

    fn pick(&self, of: usize) -> usize {
        let picks = &mut *self.picks.lock().unwrap();
        if picks.at == picks.path.len() {
            picks.path.push(Pick { chosen: 0, of });
        }
        let pick = picks.path[picks.at];
        picks.at += 1;
        picks.diverged |= pick.of != of;
        pick.chosen.min(of - 1)
    }
}
