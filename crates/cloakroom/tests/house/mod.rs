//! Requests in process, one after the other or side by side: a manager over a memory store on a clock of the test's own.

#![allow(dead_code)] // Each test binary uses some of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{
    Event, MemoryStore, Outcome, Session, SessionConfig, SessionError, SessionHandle, SessionManager,
};
use cloakroom_testing::{FaultStore, ManualClock};
use http::{HeaderMap, Response, StatusCode};

pub(crate) struct House {
    pub(crate) clock: ManualClock,
    pub(crate) faults: FaultStore,
    pub(crate) manager: SessionManager,
    events: Arc<Mutex<Vec<Event>>>,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

/// Lets the tasks that are under way come to their end.
pub(crate) async fn quiet() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

impl House {
    /// Completes when this many requests have begun to wait for a lease, since the house was made.
    pub(crate) async fn waiters(&self, n: u64) {
        let waiting = async {
            while self.manager.metrics().lock_waits < n {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("they wait");
    }

    pub(crate) fn new(config: SessionConfig) -> House {
        let clock = ManualClock::new();
        let store = MemoryStore::builder().clock(clock.clone()).build();
        Self::over(Arc::new(store), clock, config)
    }

    pub(crate) fn over(store: Arc<dyn Store>, clock: ManualClock, config: SessionConfig) -> House {
        let faults = FaultStore::new(store);
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let heard = Arc::clone(&events);
        let config = config
            .purge_every(None)
            .subscribe(move |event: &Event| heard.lock().unwrap().push(event.clone()));
        let manager = SessionManager::over(Arc::new(faults.clone()), config).unwrap();
        House { clock, faults, manager, events }
    }

    /// Two processes on one store.
    pub(crate) fn two(config: impl Fn() -> SessionConfig) -> (House, House) {
        let clock = ManualClock::new();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
        (Self::over(Arc::clone(&store), clock.clone(), config()), Self::over(store, clock, config()))
    }

    /// A request arrives with these ids in its cookies.
    pub(crate) fn arrive(&self, ids: &[&str]) -> SessionHandle {
        let mut request = http::Request::builder();
        for id in ids {
            request = request.header("cookie", format!("__Host-id={id}"));
        }
        self.manager.open(&request.body(()).unwrap(), None)
    }

    /// Its response leaves, or what stands in for it.
    pub(crate) async fn leave(&self, handle: &SessionHandle, status: StatusCode) -> Answer {
        let mut response = Response::new(());
        *response.status_mut() = status;
        let outcome = self.manager.close(handle, status, response.headers_mut()).await;
        if let Outcome::Failed(error) = outcome {
            let discarded = cloakroom::Discarded { status, headers: response.headers() };
            let (head, _) = self.manager.replace(handle, &error, discarded).into_parts();
            return Answer { status: head.status, headers: head.headers };
        }
        Answer { status, headers: std::mem::take(response.headers_mut()) }
    }

    /// One request that opens its session, works with it and is answered 200.
    pub(crate) async fn visit<F, Fut>(&self, id: Option<&str>, work: F) -> Answer
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Result<(), SessionError>>,
    {
        let ids: Vec<&str> = id.into_iter().collect();
        let handle = self.arrive(&ids);
        work(handle.open().await.unwrap()).await.unwrap();
        self.leave(&handle, StatusCode::OK).await
    }

    /// A visitor with a session; the id.
    pub(crate) async fn newcomer(&self) -> String {
        self.visit(None, |s| async move { s.set("n", 1) }).await.id().unwrap()
    }

    /// What the session under this id says is logged in; `None`: there is no such session.
    pub(crate) async fn who(&self, id: &str) -> Option<String> {
        let session = self.arrive(&[id]).open_existing().await.unwrap()?;
        Some(session.user().map_or_else(String::new, |user| user.as_str().to_owned()))
    }

    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// The events since the last time.
    pub(crate) fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

impl Answer {
    /// The id that the cookie gives, if there is a cookie and it gives one.
    pub(crate) fn id(&self) -> Option<String> {
        let text = self.headers.get("set-cookie")?.to_str().unwrap();
        let value = text.split(';').next().unwrap().split_once('=').unwrap().1;
        (!value.is_empty()).then(|| value.to_owned())
    }

    pub(crate) fn has_cookie(&self) -> bool {
        self.headers.contains_key("set-cookie")
    }
}
