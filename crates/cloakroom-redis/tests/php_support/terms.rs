//! The conformance suite's sessions in PHP's terms, and what PHP's layouts have no way to do.

#![allow(dead_code, unreachable_pub)]

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use cloakroom::payload::{Payload, PayloadBuilder};
use cloakroom::record::Record;
use cloakroom::store::{
    Acquire, Acquired, Commit, Committed, Create, Created, End, Ended, Ending, Loaded, Release, Released,
    Rename, Renamed, Renew, Renewed, Snapshot, Store, StoreFuture, Summary, Touch, Touched,
};
use cloakroom::{PlainId, StoreKey, UserId};
use cloakroom_testing::conformance::{Case, Outcome, Subject, run_case_in_time};
use tokio::sync::Semaphore;

/// What PHP's layout has no way to do. Everything else must pass, and each of these must not.
pub const WITHOUT: &[(&str, &str)] = &[
    ("awkward_keys_survive", "a format has names that it cannot carry; they are refused"),
    (
        "a_commit_to_nothing_is_told_what_became_of_it",
        "PHP ends a session by deleting it: what is missing was ended",
    ),
    ("a_rename_of_nothing_is_told_what_became_of_it", "the same"),
    ("a_lease_on_nothing_is_told_what_became_of_it", "the same"),
    ("names_of_users_and_devices_survive", "it lists a user's sessions"),
    ("an_alias_dies_with_its_successor", "it revokes"),
    ("many_sessions_at_once_do_not_disturb_each_other", "it lists a user's sessions"),
    ("everything_acknowledged_survives_reopening", "it lists a user's sessions"),
    ("what_one_handle_stores_another_sees", "the same"),
    ("a_parallel_rename_yields_one_successor", "the same, in the end"),
    ("a_lease_stops_neither_reading_nor_sliding_nor_ending", "the same, in the end"),
    ("an_idle_session_expires_for_every_operation", "the same, in the end"),
    (
        "a_commit_slides_nothing_where_the_session_was_seen_a_moment_ago",
        "PHP gives a session its time anew with each write",
    ),
];
/// Groups of cases about lists, which PHP has none of: a user's sessions, all sessions.
const WITHOUT_LISTS: &[&str] = &["user", "cap", "upkeep"];

/// The suite's sessions in PHP's terms: keys are digests of ids, values are PHP strings, a user is a variable.
#[derive(Clone)]
pub struct InPhpsTerms {
    inner: Arc<dyn Store>,
    ids: Arc<Mutex<HashMap<StoreKey, PlainId>>>,
    known: Arc<Mutex<Known>>,
}

/// What all handles on the same data know.
#[derive(Default)]
pub struct Known {
    keys: HashMap<StoreKey, StoreKey>,
    users: HashMap<StoreKey, UserId>,
    sizes: HashMap<StoreKey, usize>,
}

/// The variable of the user.
pub const USER: &str = "user";

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut text = format!("s:{}:\"", bytes.len()).into_bytes();
    text.extend(bytes);
    text.extend(b"\";");
    text
}

fn bytes_of(string: &[u8]) -> &[u8] {
    let open = string.iter().position(|byte| *byte == b'"').unwrap();
    &string[open + 1..string.len() - 2]
}

impl InPhpsTerms {
    /// Another handle on what is known.
    pub fn new(inner: Arc<dyn Store>, known: &Arc<Mutex<Known>>) -> Self {
        InPhpsTerms { inner, ids: Arc::default(), known: known.clone() }
    }

    /// The digest of an id that stands for this key.
    fn key(&self, key: StoreKey) -> StoreKey {
        let mut ids = self.ids.lock().unwrap();
        if let Some(id) = ids.get(&key) {
            return id.key();
        }
        let conventions = self.inner.conventions().unwrap();
        let rules = conventions.ids.rules();
        // Forty hexadecimal digits of its digest: every layout takes them.
        let text = key.as_bytes().iter().skip(3).take(20).fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        });
        // As long as the layout's ids are: the secret of a key is in its last bytes.
        let padded = format!("{text:0<length$}", length = rules.length);
        let excess = padded.len().saturating_sub(*rules.lengths.end());
        let id = conventions.ids.hold(&padded.as_bytes()[excess..]).unwrap();
        self.known.lock().unwrap().keys.insert(id.key(), key);
        ids.insert(key, id.clone());
        id.key()
    }

    fn back(&self, key: StoreKey) -> StoreKey {
        self.known.lock().unwrap().keys[&key]
    }

    fn payload(&self, payload: &Payload, user: Option<&UserId>) -> Payload {
        let mut entries = PayloadBuilder::default();
        for (key, value) in payload.iter() {
            entries.push(key, &string(value));
        }
        if let Some(user) = user {
            entries.push(USER, &string(user.as_str().as_bytes()));
        }
        entries.finish()
    }

    fn user(&self, key: StoreKey) -> Option<UserId> {
        self.known.lock().unwrap().users.get(&key).cloned()
    }

    /// A snapshot in the suite's terms, of the session under this key of the suite's.
    fn snapshot(&self, key: StoreKey, snapshot: Snapshot) -> Snapshot {
        let mut record = Record::clone(&snapshot.record);
        let mut entries = PayloadBuilder::default();
        for (key, value) in record.payload.iter().filter(|(key, _)| *key != USER) {
            entries.push(key, bytes_of(value));
        }
        record.payload = entries.finish();
        let mut known = self.known.lock().unwrap();
        known.sizes.insert(key, record.payload.len());
        match &record.user {
            Some(user) => known.users.insert(key, user.clone()),
            None => known.users.remove(&key),
        };
        Snapshot { record: Arc::new(record), now: snapshot.now }
    }

    fn ending(&self, ending: Ending) -> Ending {
        match ending {
            Ending::Moved { to, user_changed } => Ending::Moved { to: self.back(to), user_changed },
            other => other,
        }
    }

    fn loaded(&self, key: StoreKey, loaded: Loaded) -> Loaded {
        match loaded {
            Loaded::Live(snapshot) => Loaded::Live(self.snapshot(key, snapshot)),
            Loaded::Alias { successor, sealed, snapshot } => {
                let successor = self.back(successor);
                Loaded::Alias { successor, sealed, snapshot: self.snapshot(successor, snapshot) }
            }
            Loaded::Ended(ending) => Loaded::Ended(self.ending(ending)),
            Loaded::Missing => Loaded::Missing,
        }
    }

    fn summary(&self, summary: Summary) -> Summary {
        let key = self.back(summary.key);
        let size = self.known.lock().unwrap().sizes[&key];
        Summary { key, size, ..summary }
    }

    fn then<T: Send + 'static>(
        &self,
        answer: StoreFuture<T>,
        back: impl FnOnce(&Self, T) -> T + Send + 'static,
    ) -> StoreFuture<T> {
        let this = self.clone();
        StoreFuture::boxed(async move { Ok(back(&this, answer.await?)) })
    }
}

impl Store for InPhpsTerms {
    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        self.then(self.inner.load(self.key(key)), move |this, loaded| this.loaded(key, loaded))
    }

    fn load_many(&self, keys: Vec<StoreKey>) -> StoreFuture<Vec<Loaded>> {
        let asked = keys.iter().map(|key| self.key(*key)).collect();
        self.then(self.inner.load_many(asked), move |this, all| {
            keys.into_iter().zip(all).map(|(key, loaded)| this.loaded(key, loaded)).collect()
        })
    }

    fn create(&self, mut request: Create) -> StoreFuture<Created> {
        let key = request.key;
        request.key = self.key(key);
        request.payload = self.payload(&request.payload, None);
        self.then(self.inner.create(request), move |this, created| match created {
            Created::Created { snapshot, evicted } => {
                Created::Created { snapshot: this.snapshot(key, snapshot), evicted }
            }
            other => other,
        })
    }

    fn commit(&self, mut request: Commit) -> StoreFuture<Committed> {
        let key = request.key;
        request.key = self.key(key);
        request.payload = self.payload(&request.payload, self.user(key).as_ref());
        self.then(self.inner.commit(request), move |this, committed| match committed {
            Committed::Committed(snapshot) => Committed::Committed(this.snapshot(key, snapshot)),
            Committed::Conflict(snapshot) => Committed::Conflict(this.snapshot(key, snapshot)),
            Committed::Ended(ending) => Committed::Ended(this.ending(ending)),
            other => other,
        })
    }

    fn rename(&self, mut request: Rename) -> StoreFuture<Renamed> {
        let (from, to) = (request.from, request.to);
        request.from = self.key(from);
        request.to = self.key(to);
        let user = self.user(from).filter(|_| request.bind.is_none());
        request.payload = self.payload(&request.payload, user.as_ref());
        self.then(self.inner.rename(request), move |this, renamed| match renamed {
            Renamed::Renamed { snapshot, evicted } => {
                Renamed::Renamed { snapshot: this.snapshot(to, snapshot), evicted }
            }
            Renamed::Conflict(snapshot) => Renamed::Conflict(this.snapshot(from, snapshot)),
            Renamed::Ended(ending) => Renamed::Ended(this.ending(ending)),
            other => other,
        })
    }

    fn touch(&self, mut request: Touch) -> StoreFuture<Touched> {
        request.key = self.key(request.key);
        self.inner.touch(request)
    }

    fn end(&self, mut request: End) -> StoreFuture<Ended> {
        request.key = self.key(request.key);
        self.then(self.inner.end(request), |this, ended| match ended {
            Ended::Ended(Some(summary)) => Ended::Ended(Some(this.summary(summary))),
            other => other,
        })
    }

    fn acquire(&self, mut request: Acquire) -> StoreFuture<Acquired> {
        let key = request.key;
        request.key = self.key(key);
        self.then(self.inner.acquire(request), move |this, acquired| match acquired {
            Acquired::Acquired { snapshot, until } => {
                Acquired::Acquired { snapshot: this.snapshot(key, snapshot), until }
            }
            Acquired::Ended(ending) => Acquired::Ended(this.ending(ending)),
            other => other,
        })
    }

    fn renew(&self, mut request: Renew) -> StoreFuture<Renewed> {
        request.key = self.key(request.key);
        self.inner.renew(request)
    }

    fn release(&self, mut request: Release) -> StoreFuture<Released> {
        request.key = self.key(request.key);
        self.inner.release(request)
    }

    cloakroom_testing::hand_on!(inner: name conventions list_user revoke scan purge stats now);
}

/// Most of a case's time is waiting for deadlines: several at once, of all tests together, and not so many that they miss them.
static TURNS: Semaphore = Semaphore::const_new(24);

/// Runs the suite: everything must pass but what these layouts have no way to do, and that must not. `also`: what this place has no way to do;
/// `offered`: what this layout has a way to do after all.
pub async fn conforms<S>(
    subject: impl Fn() -> S + Clone + Send + Sync + 'static,
    also: &[(&str, &str)],
    offered: &[&str],
) where
    S: Future<Output = Subject> + Send + 'static,
{
    let mut wrong = String::new();
    let cases: Vec<&'static Case> =
        Case::all().iter().filter(|case| !WITHOUT_LISTS.contains(&case.group())).collect();
    let running: Vec<_> = cases.iter().map(|case| tokio::spawn(in_turn(case, subject.clone()))).collect();
    for (case, running) in cases.iter().zip(running) {
        let without =
            WITHOUT.iter().chain(also).any(|(name, _)| *name == case.name() && !offered.contains(name));
        match running.await.unwrap() {
            Outcome::Failed(_) if without => {}
            Outcome::Failed(why) => writeln!(wrong, "{}: {why:?}", case.name()).unwrap(),
            Outcome::Passed if without => writeln!(wrong, "{}: is offered after all", case.name()).unwrap(),
            _ => {}
        }
    }
    assert_eq!(wrong, "");
}

async fn in_turn<S>(case: &'static Case, subject: impl Fn() -> S) -> Outcome
where
    S: Future<Output = Subject>,
{
    let _turn = TURNS.acquire().await.unwrap();
    run_case_in_time(case, subject).await
}
