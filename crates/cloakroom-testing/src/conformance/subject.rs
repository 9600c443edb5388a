use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::store::Store;

use crate::ManualClock;

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;
pub(super) type Open = Box<dyn Fn() -> Pending<Arc<dyn Store>> + Send + Sync>;
pub(super) type OpenWith<A> = Box<dyn Fn(A) -> Pending<Arc<dyn Store>> + Send + Sync>;
pub(super) type Act<A> = Box<dyn Fn(A) -> Pending<()> + Send + Sync>;

/// A store to be tested, fresh and empty, and what it can do beyond the trait.
///
/// Made anew for each case. Nothing but [`new`](Self::new) is required; each capability adds cases, or makes them
/// sharper or faster.
pub struct Subject {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Option<ManualClock>,
    pub(super) tick: Duration,
    pub(super) second: Option<Open>,
    pub(super) reopen: Option<OpenWith<Arc<dyn Store>>>,
    pub(super) bounded: Option<OpenWith<usize>>,
    pub(super) unavailable: Option<Open>,
    pub(super) damage: Option<Act<StoreKey>>,
    // Last, so that it is dropped after the store.
    pub(super) kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Subject {
    /// A store without further capabilities. It must hold no sessions.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Subject {
            store,
            clock: None,
            tick: Duration::from_millis(400),
            second: None,
            reopen: None,
            bounded: None,
            unavailable: None,
            damage: None,
            kept: Vec::new(),
        }
    }

    /// A store whose data are somewhere: this opens it there, once now, once more for a [second handle](Self::second_handle), and again where the
    /// one before is [dropped](Self::reopen) and nothing is closed.
    pub async fn opened<F>(open: impl Fn() -> F + Clone + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn Store>> + Send + 'static,
    {
        let again = open.clone();
        Self::new(open().await).second_handle(open).reopen(move |old| {
            // Rude: nothing is closed first.
            drop(old);
            again()
        })
    }

    /// The store (and every other handle opened here) reads the time from this clock. Deadlines then pass at once and
    /// are checked to the millisecond; without it the suite waits in real time.
    #[must_use]
    pub fn clock(mut self, clock: ManualClock) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Without a manual clock: the unit of time that cases wait in, 400 ms unless told. A session that must still be
    /// alive has at least two units left. A machine that stalls for longer fails cases for no fault of the store: such a case is run again
    /// with a longer unit ([`run_case_in_time`](super::run_case_in_time)).
    #[must_use]
    pub fn tick(mut self, tick: Duration) -> Self {
        self.tick = tick;
        self
    }

    /// Opens another handle on the same data, as a second process would. Concurrent cases then use both.
    #[must_use]
    pub fn second_handle<F>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn Store>> + Send + 'static,
    {
        self.second = Some(Box::new(move || Box::pin(open())));
        self
    }

    /// Closes the store it is given, in whatever rude way it claims to survive, and opens the same data again.
    #[must_use]
    pub fn reopen<F>(mut self, reopen: impl Fn(Arc<dyn Store>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn Store>> + Send + 'static,
    {
        self.reopen = Some(Box::new(move |store| Box::pin(reopen(store))));
        self
    }

    /// Opens another, empty store that takes at most this many sessions.
    #[must_use]
    pub fn bounded<F>(mut self, open: impl Fn(usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn Store>> + Send + 'static,
    {
        self.bounded = Some(Box::new(move |bound| Box::pin(open(bound))));
        self
    }

    /// Opens a store that cannot answer: its server is away, its disk is gone.
    #[must_use]
    pub fn unavailable<F>(mut self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn Store>> + Send + 'static,
    {
        self.unavailable = Some(Box::new(move || Box::pin(open())));
        self
    }

    /// Damages what is stored under a key, as a flipped bit on the disk would.
    #[must_use]
    pub fn damage<F>(mut self, damage: impl Fn(StoreKey) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.damage = Some(Box::new(move |key| Box::pin(damage(key))));
        self
    }

    /// Keeps something for as long as the case runs: a temporary folder, a server's process.
    #[must_use]
    pub fn keep(mut self, what: impl Any + Send + Sync) -> Self {
        self.kept.push(Box::new(what));
        self
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("store", &self.store.name())
            .field("manual_clock", &self.clock.is_some())
            .field("second_handle", &self.second.is_some())
            .field("reopen", &self.reopen.is_some())
            .field("bounded", &self.bounded.is_some())
            .field("unavailable", &self.unavailable.is_some())
            .field("damage", &self.damage.is_some())
            .finish_non_exhaustive()
    }
}
