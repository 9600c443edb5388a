//! Live sessions on their way out of a place of PHP's in memory, where this test plays PHP: the suite of every place,
//! and what would take too long with any other one.
#![cfg(feature = "layout")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/moving/mod.rs"]
mod moving;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cloakroom::clock::{Clock, SystemClock, Timestamp};
use cloakroom::store::protocol::Lease;
use cloakroom::store::{LeaseOwner, Loaded, Store, StoreError, Touch, Touched};
use cloakroom::{PlainId, SessionManager, StoreKey};
use cloakroom_php::layout::{
    Change, DataChange, Ground, Held, Layout, LockChange, Matter, Moving, PhpSessions, Seen, Stage, View,
};
use cloakroom_testing::ReferenceStore;
use cloakroom_testing::fault::{Fault, Gate};
use http::Request;
use moving::late::{Calls, Late};
use moving::{Application, Instance, Visitor, config, moving_suite, number};

/// What is under an id.
#[derive(Default)]
struct Row {
    data: Option<(Vec<u8>, Timestamp)>,
    beside: Option<(Vec<u8>, Timestamp)>,
    /// And whether it is ours.
    lock: Option<(Lease, bool)>,
}

impl Row {
    fn seen(&self, id: &PlainId, now: Timestamp) -> Seen {
        let live = |kept: &Option<(Vec<u8>, Timestamp)>| kept.clone().filter(|(_, until)| now < *until);
        let (data, idle_deadline) = live(&self.data).unzip();
        let lock = self.lock.filter(|(lease, _)| now < lease.until).map(|(lease, ours)| {
            let token = format!("{:?}", (lease.owner, lease.hold, lease.until)).into_bytes();
            Held { lease, ours, token }
        });
        let beside = live(&self.beside).map(|(beside, _)| beside);
        Seen { id: id.clone(), data, idle_deadline: idle_deadline.unwrap_or_default(), lock, beside }
    }

    fn change(&mut self, change: Change) {
        match change.data {
            DataChange::Keep => {}
            DataChange::Write(data, until) => self.data = Some((data, until)),
            DataChange::Expire(until) => self.data.as_mut().unwrap().1 = until,
            DataChange::Delete => self.data = None,
        }
        self.beside = change.beside.or(self.beside.take());
        match change.lock {
            LockChange::Keep => {}
            LockChange::Hold(lease) => self.lock = Some((lease, true)),
            LockChange::Free => self.lock = None,
        }
    }
}

/// A place of PHP's. Clones are the same.
#[derive(Clone, Default)]
struct InMemory(Arc<Mutex<HashMap<String, Row>>>);

impl InMemory {
    fn row<A>(&self, id: &str, work: impl FnOnce(&mut Row) -> A) -> A {
        work(self.0.lock().unwrap().entry(id.to_owned()).or_default())
    }
}

fn in_a(moment: Duration) -> Timestamp {
    SystemClock.now().after(moment)
}

impl Ground for InMemory {
    fn place(&self) -> &str {
        "memory"
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    async fn look(&self, _: Instant, _: &Layout, ids: &[PlainId]) -> Result<View, StoreError> {
        let (mut rows, now) = (self.0.lock().unwrap(), SystemClock.now());
        let seen = ids.iter().map(|id| rows.entry(id.expose().to_owned()).or_default().seen(id, now));
        Ok(View { now, sessions: seen.collect() })
    }

    async fn apply(
        &self,
        _: Instant,
        _: &Layout,
        view: &View,
        changes: Vec<Change>,
        _: Matter,
    ) -> Result<bool, StoreError> {
        let (mut rows, now) = (self.0.lock().unwrap(), SystemClock.now());
        for was in &view.sessions {
            let is = rows.entry(was.id.expose().to_owned()).or_default().seen(&was.id, now);
            let token = |seen: &Seen| seen.lock.as_ref().map(|held| held.token.clone());
            if (&is.data, &is.beside, token(&is)) != (&was.data, &was.beside, token(was)) {
                return Ok(false);
            }
        }
        for change in changes {
            let id = &view.sessions[change.at].id;
            rows.entry(id.expose().to_owned()).or_default().change(change);
        }
        Ok(true)
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(SystemClock.now())
    }
}

/// An application that keeps its sessions there.
struct There {
    php: InMemory,
    new: Arc<dyn Store>,
}

fn all() -> [There; 1] {
    [There { php: InMemory::default(), new: Arc::new(ReferenceStore::new()) }]
}

impl Application for There {
    fn layout(&self) -> Layout {
        Layout::mini().user_variable("user_id")
    }

    async fn moving_with(&self, stage: Stage, new: Arc<dyn Store>, calls: Calls) -> Arc<dyn Store> {
        let php = PhpSessions::new(Late::new(self.php.clone(), calls), self.layout());
        Arc::new(Moving::new(php, new, stage))
    }

    async fn place(&self) -> Arc<dyn Store> {
        self.new.clone()
    }

    fn writes(&self, id: &str, variables: &str) {
        let data = (variables.as_bytes().to_vec(), in_a(Duration::from_secs(10_800)));
        self.php.row(id, |row| row.data = Some(data));
    }

    fn ends(&self, id: &str) {
        self.php.row(id, |row| row.data = None);
    }

    fn has(&self, id: &str) -> bool {
        self.php.row(id, |row| row.data.is_some())
    }

    fn locks(&self, id: &str) -> bool {
        let lease = Lease { owner: LeaseOwner(1), hold: 0, until: in_a(Duration::from_secs(60)) };
        self.php.row(id, |row| {
            let free = row.lock.is_none_or(|(held, _)| held.until <= SystemClock.now());
            if free {
                row.lock = Some((lease, false));
            }
            free
        })
    }

    fn unlocks(&self, id: &str) {
        self.php.row(id, |row| row.lock = None);
    }
}

moving_suite!(all());

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_c2_c4_of_two_requests_while_a_session_moves_each_is_held_at_every_call_of_either_place() {
    moving::pairs::of_two_requests_each_is_held_at_every_call_of_either_place(&all()[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_c2_c4_while_a_session_moves_php_acts_at_every_call_of_a_request() {
    moving::pairs::of_a_request_and_one_of_phps_the_first_is_held_at_every_call_of_either_place(&all()[0])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_c2_c4_while_a_session_moves_every_call_of_a_request_fails() {
    moving::pairs::a_request_fails_at_every_call_of_either_place_and_is_done_once_or_not_at_all(&all()[0])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c13_a_session_that_has_moved_is_touched_while_phps_place_does_not_answer() {
    let [application] = all();
    let visitor = Visitor::new(&application, &number(1)).await;
    Instance::at(&application, Stage::Move).await.add(&visitor.cookie).await.unwrap();
    let deadline = async || match visitor.moved().await {
        Loaded::Live(snapshot) => snapshot.record.idle_deadline,
        other => panic!("{other:?}"),
    };
    let (before, calls, gate) = (deadline().await, Calls::default(), Gate::new());
    let store = application.moving_with(Stage::Move, application.place().await, calls.clone()).await;
    // PHP's place is asked by the id, which is known while a request has it.
    let sessions = SessionManager::over(store.clone(), config(&application)).unwrap();
    let request = Request::builder().header("cookie", &visitor.cookie).body(()).unwrap();
    let opened = sessions.open(&request, None);
    let _held = opened.open().await.unwrap();
    calls.at(1, Fault::Hold(gate.clone()));
    let (key, idle) = (StoreKey::of_plain(visitor.id.as_bytes()), Duration::from_secs(100_000));
    let touched = tokio::spawn(async move { store.touch(Touch { key, idle }).await });
    gate.arrived().await;
    assert!(deadline().await > before, "it waits for PHP's place");
    gate.open();
    assert!(matches!(touched.await.unwrap().unwrap(), Touched::Touched { .. }));
}
