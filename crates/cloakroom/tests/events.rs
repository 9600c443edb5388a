//! What happens to sessions, as a subscriber is told it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::{Arc, Weak};
use std::time::Duration;

use cloakroom::store::{ExpiryListener, Store};
use cloakroom::{Event, Locking, MemoryStore, Session, SessionConfig, SessionManager};
use cloakroom_testing::ManualClock;
use http::{HeaderMap, Request, StatusCode};
use parking_lot::Mutex;

struct Bed {
    manager: SessionManager,
    clock: ManualClock,
    events: Arc<Mutex<Vec<Event>>>,
    /// Every id that was ever issued.
    ids: Mutex<Vec<String>>,
}

impl Bed {
    fn new() -> Self {
        let (clock, events) = (ManualClock::new(), Arc::new(Mutex::new(Vec::new())));
        let seen = Arc::clone(&events);
        let locking = Locking { wait: Duration::from_millis(20), ..Locking::default() };
        let config = SessionConfig::new()
            .idle(Duration::from_secs(3600))
            .renewal(Duration::from_secs(600), Duration::from_secs(30))
            .locking(locking)
            .purge_every(None)
            .subscribe(move |event: &Event| seen.lock().push(event.clone()));
        let store = MemoryStore::builder().clock(clock.clone()).build();
        let manager = SessionManager::new(store, config).unwrap();
        Bed { manager, clock, events, ids: Mutex::default() }
    }

    /// One request with this cookie; the cookie it leaves the visitor with, and what was told of it.
    async fn ask(&self, cookie: &str, does: impl AsyncFnOnce(Session)) -> (String, Vec<Event>) {
        self.events.lock().clear();
        let handle = self.manager.open(&cookie_request(cookie), None);
        does(handle.open().await.unwrap()).await;
        let mut headers = HeaderMap::new();
        let _ = self.manager.close(&handle, StatusCode::OK, &mut headers).await;
        let told =
            headers.get("set-cookie").map(|c| c.to_str().unwrap().split(';').next().unwrap().to_owned());
        let cookie = told.unwrap_or_else(|| cookie.to_owned());
        self.ids
            .lock()
            .extend(cookie.strip_prefix("__Host-id=").filter(|id| !id.is_empty()).map(str::to_owned));
        (cookie, self.events.lock().clone())
    }
}

#[tokio::test]
async fn s72_the_life_of_a_session_is_told_with_digests_only() {
    let bed = Bed::new();
    let mut all = Vec::new();

    let (first, told) = bed.ask("", async |s| s.set("k", 1).unwrap()).await;
    assert!(matches!(told[..], [Event::Created(_)]), "{told:?}");
    all.extend(told);

    let (second, told) = bed.ask(&first, async |s| s.regenerate().await.unwrap()).await;
    let [Event::Regenerated { from, to }] = told[..] else { panic!("{told:?}") };
    assert_ne!(from, to);
    all.extend(told);

    let (_, told) = bed.ask(&first, async |_| {}).await;
    assert_eq!(told, [Event::ObsoleteId(from)]);
    all.extend(told);

    bed.clock.advance(Duration::from_secs(601));
    let (third, told) = bed.ask(&second, async |_| {}).await;
    let [Event::Renewed { from: renewed, to: third_key }] = told[..] else { panic!("{told:?}") };
    assert_eq!(renewed, to);
    all.extend(told);

    let (fourth, told) = bed.ask(&third, async |s| s.login("ada").await.unwrap()).await;
    let [Event::Regenerated { from, .. }, Event::LoggedIn { key, ref user }] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((from, user.as_str()), (third_key, "ada"));
    all.extend(told);

    let (_, told) = bed
        .ask(&fourth, async |s| {
            let other = bed.manager.open(&cookie_request(&fourth), None).open().await.unwrap();
            let guard = other.lock().await.unwrap();
            assert!(s.lock().await.is_err());
            drop(guard);
        })
        .await;
    assert_eq!(told, [Event::LockTimeout(key)]);
    all.extend(told);

    let (_, told) = bed.ask(&fourth, async |s| s.destroy().await.unwrap()).await;
    assert_eq!(told, [Event::Destroyed(key)]);
    all.extend(told);

    bed.ask("", async |s| s.login("eve").await.unwrap()).await;
    bed.events.lock().clear();
    assert_eq!(bed.manager.revoke_user("eve").await.unwrap(), 1);
    let told = bed.events.lock().clone();
    assert!(matches!(told[..], [Event::Revoked(_)]), "{told:?}");
    all.extend(told);

    let (idle, _) = bed.ask("", async |s| s.set("k", 1).unwrap()).await;
    bed.clock.advance(Duration::from_secs(3601));
    let (_, told) = bed.ask(&idle, async |_| {}).await;
    assert!(matches!(told[..], [Event::Expired(_)]), "{told:?}");
    all.extend(told);

    let unknown = format!("__Host-id={}", "A".repeat(32));
    let (_, told) = bed.ask(&unknown, async |_| {}).await;
    assert!(matches!(told[..], [Event::UnknownId(_)]), "{told:?}");
    all.extend(told);

    let (one, _) = bed.ask("", async |s| s.set("k", 1).unwrap()).await;
    let (two, _) = bed.ask("", async |s| s.set("k", 1).unwrap()).await;
    let (_, told) = bed.ask(&format!("{one}; {two}"), async |_| {}).await;
    assert_eq!(told, [Event::AmbiguousIds(2)]);
    all.extend(told);

    // Whoever writes events down writes no id down.
    let written = format!("{all:?}");
    let ids = bed.ids.lock();
    assert!(ids.len() > 8);
    for id in ids.iter() {
        assert!(!written.contains(id.as_str()), "an event shows an id");
    }
}

fn cookie_request(cookie: &str) -> Request<()> {
    let mut request = Request::new(());
    request.headers_mut().insert("cookie", cookie.parse().unwrap());
    request
}

/// Notes how long it is to take nothing for a session that is left of one.
struct Noting {
    store: MemoryStore,
    told: Mutex<Vec<Duration>>,
}

impl Store for Noting {
    fn tell_expired(&self, _: Weak<dyn ExpiryListener>, remembered: Duration) {
        self.told.lock().push(remembered);
    }

    cloakroom_testing::hand_on!(store: name conventions load load_many create commit rename touch end);
    cloakroom_testing::hand_on!(store: acquire renew release list_user revoke scan purge stats now released);
}

/// An id that was renewed leads to its successor through the grace, and is remembered for as long as any other after that.
#[tokio::test]
async fn a_store_that_tells_of_expiry_hears_how_long_what_is_left_of_a_session_is_kept() {
    let store = Arc::new(Noting { store: MemoryStore::new(), told: Mutex::default() });
    let config = SessionConfig::new()
        .marker(Duration::from_secs(60))
        .renewal(Duration::from_secs(600), Duration::from_secs(30))
        .subscribe(|_: &Event| {});
    let manager = SessionManager::over(Arc::clone(&store) as Arc<dyn Store>, config).unwrap();
    for _ in 0..2 {
        manager.open(&cookie_request(""), None).open().await.unwrap();
    }
    assert_eq!(*store.told.lock(), [Duration::from_secs(90)]);
}
