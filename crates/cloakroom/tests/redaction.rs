//! C10: whatever is printed of what the library has in its hands, no id and no value of a session is in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::payload::PayloadBuilder;
use cloakroom::record::{Record, Version};
use cloakroom::store::protocol::Entry;
use cloakroom::store::{
    Acquired, Committed, Created, Ended, Ending, LeaseOwner, Loaded, Renamed, Snapshot, Store, Summary, wire,
};
use cloakroom::{
    Candidate, Event, IdRules, MemoryStore, OpId, PlainIds, RawValue, RecordId, SessionConfig, SessionId,
};
use cloakroom_testing::{ManualClock, requests};
use house::House;
use proptest::prelude::*;

/// What must not be seen: every run of six characters of the secrets, and their bytes as a list of numbers.
struct Secrets(Vec<String>);

impl Secrets {
    fn of(ids: &[&str], values: &[&[u8]]) -> Secrets {
        let mut secrets = Vec::new();
        for id in ids {
            secrets.extend((0..=id.len() - 6).map(|at| id[at..at + 6].to_owned()));
        }
        for bytes in values.iter().copied().chain(ids.iter().map(|id| id.as_bytes())) {
            let listed = format!("{:?}", &bytes[..4.min(bytes.len())]);
            secrets.push(listed.trim_matches(['[', ']']).to_owned());
            if let Ok(text) = std::str::from_utf8(bytes) {
                secrets.push(text.to_owned());
            }
        }
        Secrets(secrets)
    }

    fn not_in(&self, shown: &dyn Debug) {
        for shown in [format!("{shown:?}"), format!("{shown:#?}").replace(",\n", ", ")] {
            let shown: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            for secret in &self.0 {
                assert!(!shown.contains(secret.as_str()), "{secret:?} is seen in {shown}");
            }
        }
    }
}

fn snapshot(data: &cloakroom::payload::Payload) -> Snapshot {
    let time = Timestamp::from_millis(7);
    let record = Record {
        id: RecordId::generate(),
        version: Version::first(OpId::generate()),
        recent: Default::default(),
        epoch: 0,
        created: time,
        last_seen: time,
        idle_deadline: time,
        absolute_deadline: time,
        renew_at: time,
        user: None,
        device: None,
        payload: data.clone(),
    };
    Snapshot { record: Arc::new(record), now: time }
}

proptest! {
    /// Ids drawn anew each time, and values of letters that occur nowhere else.
    #[test]
    fn c10_no_debug_of_a_public_type_shows_an_id_or_a_value(value in "[ÄÖÜäöü]{6,40}") {
        let (id, next) = (SessionId::generate(), SessionId::generate());
        let (text, next_text) = (id.expose().to_owned(), next.expose().to_owned());
        let secrets = Secrets::of(&[&text, &next_text], &[value.as_bytes()]);
        let candidate = Candidate::parse(text.as_bytes()).unwrap();
        let (key, to) = (id.store_key(), next.store_key());
        let data = requests::data(&[("k", value.as_bytes())]);
        let mut builder = PayloadBuilder::default();
        builder.push("k", value.as_bytes());
        let version = Version::first(OpId::generate());
        let snapshot = snapshot(&data);
        let summary = Summary::of(key, &snapshot.record);
        let live = Entry::Live { record: Arc::clone(&snapshot.record), lease: None };
        let moved = Ending::Moved { to, user_changed: false };
        let shown: &[&dyn Debug] = &[
            &id, &candidate, &key, &data, &data.iter(), &builder, &snapshot, &summary, &live, &moved,
            &requests::create(key, data.clone()),
            &requests::commit(key, version, data.clone()),
            &requests::rename(key, to, version, data.clone()),
            &requests::touch(key), &requests::end(key), &requests::acquire(key, 1), &requests::renew(key, 1),
            &requests::release(key, 1),
            &Loaded::Live(snapshot.clone()), &Loaded::Ended(moved),
            &Acquired::Acquired { snapshot: snapshot.clone(), until: Timestamp::from_millis(7) },
            &Created::Created { snapshot: snapshot.clone(), evicted: vec![summary.clone()] },
            &Committed::Committed(snapshot.clone()), &Committed::Conflict(snapshot.clone()),
            &Renamed::Conflict(snapshot.clone()), &Ended::Ended(Some(summary.clone())),
            &Event::Created(key), &Event::Renewed { from: key, to }, &LeaseOwner(1),
            &wire::decode(&key, &wire::encode(&to, &live)),
        ];
        for shown in shown {
            secrets.not_in(*shown);
        }
    }

    /// Ids of another system, which are kept as they are while a request holds them.
    #[test]
    fn c10_nor_does_that_of_an_id_of_another_system(text in "[a-v0-9]{32}") {
        let digits = b"0123456789abcdefghijklmnopqrstuv";
        let ids = PlainIds::new(IdRules { alphabet: digits, length: 32, accepted: digits, lengths: 32..=32 });
        let before = format!("{ids:?}");
        let held = ids.hold(text.as_bytes()).unwrap();
        Secrets::of(&[&text], &[]).not_in(&held);
        // Its alphabet, which the rules do show, may well hold a part of an id.
        assert_eq!(format!("{ids:?}"), before);
    }

    /// What a handler has in its hands, and what it is told when something fails.
    #[test]
    fn c10_nor_does_anything_that_a_handler_holds(value in "[ÄÖÜäöü]{6,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(handler_holds(value));
    }
}

async fn handler_holds(value: String) {
    let seen: Arc<Mutex<Vec<Event>>> = Arc::default();
    let heard = Arc::clone(&seen);
    let clock = ManualClock::new();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
    let config = SessionConfig::new()
        .renewal(Duration::from_secs(60), Duration::from_secs(30))
        .subscribe(move |event: &Event| heard.lock().unwrap().push(event.clone()));
    let house = House::over(store, clock, config);
    let text = value.clone();
    let id = house.visit(None, |s| async move { s.set("k", text) }).await.id().unwrap();
    house.pass(61);
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    let raw: RawValue = session.iter().next().unwrap().1;
    let wrong = session.get::<u32>("k").unwrap_err();
    session.set("other", value.clone()).unwrap();
    let guard = session.lock().await.unwrap();
    let read_only = handle.read_only().await.unwrap();
    let shown: [&dyn Debug; 7] = [&handle, &session, &raw, &wrong, &guard, &read_only, &house.manager];
    let told = |new: &str| Secrets::of(&[&id, new], &[value.as_bytes()]);
    let (before, again) = (told(&id), format!("{wrong}"));
    for shown in shown {
        before.not_in(shown);
    }
    before.not_in(&again);
    drop(guard);
    let new = house.leave(&handle, http::StatusCode::OK).await.id().expect("it was renewed");
    let after = told(&new);
    after.not_in(&session);
    after.not_in(&*seen.lock().unwrap());
    after.not_in(&house.manager.list_user("nobody").await);
}
