use std::collections::VecDeque;
use std::time::Duration;

use cloakroom::{IdRules, PlainIds};
use parking_lot::Mutex;

use super::*;

/// A place that answers as it is told to, and remembers what it was asked to change.
struct Told {
    name: &'static str,
    asked: Mutex<Vec<(View, Vec<Change>)>>,
    answers: Mutex<VecDeque<Result<bool, StoreErrorKind>>>,
}

impl Ground for Told {
    fn place(&self) -> &str {
        self.name
    }

    fn deadline(&self) -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    async fn look(&self, _: Instant, _: &Layout, ids: &[PlainId]) -> Result<View, StoreError> {
        let sessions = ids.iter().map(|id| seen(id, Some(self.name))).collect();
        Ok(View { now: NOW, sessions })
    }

    async fn apply(
        &self,
        _: Instant,
        _: &Layout,
        view: &View,
        changes: Vec<Change>,
        _: Matter,
    ) -> Result<bool, StoreError> {
        self.asked.lock().push((view.clone(), changes));
        self.answers.lock().pop_front().unwrap().map_err(|kind| match kind {
            StoreErrorKind::Undurable => StoreError::undurable("told so", true),
            kind => StoreError::new(kind, "told so"),
        })
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        Ok(NOW)
    }
}

const NOW: Timestamp = Timestamp::from_millis(1000);
const LATER: Timestamp = Timestamp::from_millis(9000);
const ACCEPTED: &[u8] = b"0123456789abcdefghijklmnopqrstuv";

fn seen(id: &PlainId, data: Option<&str>) -> Seen {
    let data = data.map(|data| data.as_bytes().to_vec());
    Seen { id: id.clone(), data, idle_deadline: LATER, lock: None, beside: None }
}

fn told(name: &'static str, answers: &[Result<bool, StoreErrorKind>]) -> Told {
    Told { name, asked: Mutex::default(), answers: Mutex::new(answers.iter().copied().collect()) }
}

fn ids() -> PlainIds {
    PlainIds::new(IdRules { alphabet: ACCEPTED, length: 26, accepted: ACCEPTED, lengths: 22..=256 })
}

fn id(ids: &PlainIds, first: &str) -> PlainId {
    ids.hold(format!("{first}efghijklmnopqrstuv0123").as_bytes()).unwrap()
}

/// A change of id that leads from the second place to the first.
fn change_of_id(ids: &PlainIds) -> (View, Vec<Change>, [PlainId; 2]) {
    // 0x30303030 and 0x30303031: the last server comes first.
    let (old, new) = (id(ids, "0000"), id(ids, "1000"));
    let mut view = View { now: NOW, sessions: vec![seen(&old, Some("n|i:1;")), seen(&new, None)] };
    view.sessions[0].beside = Some(b"old".to_vec());
    let changes = vec![
        Change {
            at: 0,
            data: DataChange::Delete,
            beside: Some((b"moved".to_vec(), LATER)),
            lock: LockChange::Keep,
        },
        Change {
            at: 1,
            data: DataChange::Write(b"n|i:1;".to_vec(), LATER),
            beside: Some((b"new".to_vec(), LATER)),
            lock: LockChange::Keep,
        },
    ];
    (view, changes, [old, new])
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

#[test]
fn phpredis_counts_from_the_last_server_on() {
    let ids = ids();
    let two = Spread::over(vec![(told("a", &[]), 1), (told("b", &[]), 1)]).unwrap();
    assert_eq!(two.place(), "a, b");
    assert_eq!(
        (two.at(&Layout::phpredis(), &id(&ids, "0000")), two.at(&Layout::phpredis(), &id(&ids, "1000"))),
        (1, 0)
    );
    // 0x30303030 is 1 modulo 5, and so on: b has 0, 1 and 2, nobody by itself has less than its weight.
    let weighed = Spread::over(vec![(told("a", &[]), 2), (told("b", &[]), 3)]).unwrap();
    let of = |n: u8| weighed.at(&Layout::phpredis(), &id(&ids, &format!("{n}000")));
    let expected = |n: u8| if (0x3030_3030_u32 + u32::from(n)) % 5 < 3 { 1 } else { 0 };
    assert!((0..10).all(|n| of(n) == expected(n)));
    assert!(Spread::over(vec![(told("a", &[]), 0)]).is_none());
    assert!(Spread::<Told>::over(Vec::new()).is_none());
    assert!(Spread::over(vec![(told("a", &[]), u32::MAX), (told("b", &[]), 1)]).is_none());
}

#[test]
fn in_a_cluster_a_session_is_where_its_key_is_and_everything_is_asked_of_the_cluster() {
    let ids = ids();
    let cluster = Spread::over_slots(told("cluster", &[]));
    let layout = Layout::phpredis().in_cluster().unwrap();
    let session = id(&ids, "0000");
    let key = format!("PHPREDIS_CLUSTER_SESSION:{}", session.expose());
    assert_eq!(cluster.at(&layout, &session), usize::from(slot_of(key.as_bytes())));
    let elsewhere = layout.prefix("{shop}:");
    assert_eq!(cluster.at(&elsewhere, &session), usize::from(slot_of(b"shop")));
    assert_eq!(cluster.ground(16_383).unwrap().name, "cluster");
}

#[tokio::test]
async fn each_id_is_looked_at_where_it_is_and_told_in_the_order_asked() {
    let ids = ids();
    let spread = Spread::over(vec![(told("a", &[]), 1), (told("b", &[]), 1)]).unwrap();
    let asked = ["0000", "1000", "2000"].map(|first| id(&ids, first));
    let view = spread.look(soon(), &Layout::phpredis(), &asked).await.unwrap();
    let found: Vec<_> =
        view.sessions.iter().map(|seen| (seen.id.key(), seen.data.clone().unwrap())).collect();
    let expected =
        [(0, "b"), (1, "a"), (2, "b")].map(|(at, place)| (asked[at].key(), place.as_bytes().to_vec()));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn c4_across_servers_the_new_id_is_there_before_the_old_one_ends() {
    let ids = ids();
    // The place of the new session refuses: the old one's is not even asked.
    let spread = Spread::over(vec![(told("a", &[Ok(false)]), 1), (told("b", &[]), 1)]).unwrap();
    let (view, changes, _held) = change_of_id(&ids);
    assert!(
        !spread.apply(soon(), &Layout::phpredis(), &view, changes.clone(), Matter::Identity).await.unwrap()
    );
    assert!(spread.ground(1).unwrap().asked.lock().is_empty());

    let spread = Spread::over(vec![(told("a", &[Ok(true)]), 1), (told("b", &[Ok(true)]), 1)]).unwrap();
    assert!(spread.apply(soon(), &Layout::phpredis(), &view, changes, Matter::Identity).await.unwrap());
    for ground in spread.grounds() {
        let asked = ground.asked.lock();
        // Each compares what it has, and nothing else.
        assert_eq!((asked.len(), asked[0].0.sessions.len(), asked[0].1.len()), (1, 1, 1));
    }
}

#[tokio::test]
async fn c1_across_servers_a_change_of_id_that_is_not_made_leaves_nothing_under_the_new_id() {
    let ids = ids();
    for (refusal, answer) in
        [(Ok(false), Ok(false)), (Err(StoreErrorKind::Unavailable), Err(StoreErrorKind::Unavailable))]
    {
        let answers = [Ok(true), Ok(true)];
        let spread = Spread::over(vec![(told("a", &answers), 1), (told("b", &[refusal]), 1)]).unwrap();
        let (view, changes, _held) = change_of_id(&ids);
        let told = spread.apply(soon(), &Layout::phpredis(), &view, changes, Matter::Identity).await;
        assert_eq!(told.map_err(|error| error.kind()), answer);
        let asked = spread.ground(0).unwrap().asked.lock();
        let (view, undone) = &asked[1];
        // It is removed if it is still what was put there.
        assert_eq!(view.sessions[0].data.as_deref(), Some(&b"n|i:1;"[..]));
        assert_eq!(view.sessions[0].beside.as_deref(), Some(&b"new"[..]));
        assert!(undone[0].data == DataChange::Delete && undone[0].beside == Some((Vec::new(), NOW)));
    }
    // It may have been made: the new session stays.
    let unknown = [Err(StoreErrorKind::Unknown)];
    let spread = Spread::over(vec![(told("a", &[Ok(true)]), 1), (told("b", &unknown), 1)]).unwrap();
    let (view, changes, _held) = change_of_id(&ids);
    let told = spread.apply(soon(), &Layout::phpredis(), &view, changes, Matter::Identity).await.unwrap_err();
    assert_eq!(told.kind(), StoreErrorKind::Unknown);
    assert_eq!(spread.ground(0).unwrap().asked.lock().len(), 1);
}

#[tokio::test]
async fn c8_across_servers_what_is_not_confirmed_in_one_place_is_made_in_both_and_told() {
    let ids = ids();
    for answers in [[Err(StoreErrorKind::Undurable), Ok(true)], [Ok(true), Err(StoreErrorKind::Undurable)]] {
        let [a, b] = answers.map(|answer| [answer]);
        let spread = Spread::over(vec![(told("a", &a), 1), (told("b", &b), 1)]).unwrap();
        let (view, changes, _held) = change_of_id(&ids);
        let told = spread.apply(soon(), &Layout::phpredis(), &view, changes, Matter::Identity).await;
        let mut error = told.unwrap_err();
        assert_eq!((error.kind(), error.take_made()), (StoreErrorKind::Undurable, Some(true)));
        assert!(spread.grounds().all(|ground| ground.asked.lock().len() == 1));
    }
    // Confirmed is what was seen, wherever that was.
    let spread = Spread::over(vec![(told("a", &[Ok(true)]), 1), (told("b", &[Ok(false)]), 1)]).unwrap();
    let (view, _, _held) = change_of_id(&ids);
    assert!(!spread.apply(soon(), &Layout::phpredis(), &view, Vec::new(), Matter::Identity).await.unwrap());
    let asked = |ground: &Told| ground.asked.lock().iter().map(|(view, _)| view.sessions.len()).collect();
    let asked: Vec<Vec<usize>> = spread.grounds().map(asked).collect();
    assert_eq!(asked, [[1], [1]]);
}
