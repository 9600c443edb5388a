//! Lines of `docs/threat-model.md` that are not seen from outside, or need a clock, a store or a hook of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloakroom::payload::PayloadBuilder;
use cloakroom::record::Lifetime;
use cloakroom::store::{Acquire, Acquired, Create, Created, Loaded, Snapshot, Store, StoreFuture};
use cloakroom::{
    Codec, ErrorKind, Event, OnObsoleteId, OnUnavailable, OpId, RecordId, SessionConfig, SessionId, StoreKey,
};
use cloakroom_testing::{Fault, ManualClock, Op, ReferenceStore};
use data_encoding::BASE64URL_NOPAD;
use house::House;
use http::StatusCode;

/// The bits of an id, as the browser gets them.
fn bits(id: &SessionId) -> Vec<bool> {
    let bytes = BASE64URL_NOPAD.decode(id.expose().as_bytes()).unwrap();
    bytes.iter().flat_map(|byte| (0..8).map(move |n| byte >> n & 1 == 1)).collect()
}

/// By reading the code: how long a comparison takes is nothing that a busy machine can tell.
#[test]
fn s07_secrets_are_compared_by_what_takes_constant_time_and_by_nothing_else() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    // Where a secret is compared, by what, and the names that it and what is presented have there.
    for (file, by, secrets) in [
        ("cloakroom/src/http/csrf/token.rs", "masked.ct_eq(secret)", &["secret", "masked", "presented"][..]),
        ("cloakroom-cli/src/admin/token.rs", "as_bytes().ct_eq(", &["self.text", "presented"]),
        ("cloakroom-php/src/envelope/laravel/cookie.rs", "mac.verify_slice(", &["mac", "prefix"]),
        ("cloakroom-php/src/envelope/laravel/encrypter.rs", ".verify_slice(&mac)", &["mac"]),
    ] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert!(code.contains(by), "{file}: not by {by} any more");
        for line in code.lines().filter(|line| line.contains("==") || line.contains("!=")) {
            // How long it is, is no secret.
            let line = line.replace("presented.len()", "");
            let mut words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c)));
            assert!(!words.any(|word| secrets.contains(&word)), "{file}: {line}");
        }
    }
}

/// Ids are looked up by their digests, and there is no other way to tell whether two are the same.
#[test]
fn s07_ids_cannot_be_compared() {
    // Which of the two is meant is only clear for a type without `==`; for one with it, this does not compile.
    trait Known<How> {
        const HOW: &str = "by its digest";
    }
    struct Compared;
    impl<T> Known<()> for T {}
    impl<T: PartialEq> Known<Compared> for T {}
    assert_eq!(<SessionId as Known<_>>::HOW, "by its digest");
}

#[tokio::test]
async fn s10_cookies_too_large_to_be_read_are_counted() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let request = http::Request::builder().header("cookie", format!("__Host-id={id}"));
    let request = request.header("cookie", format!("padding={}", "x".repeat(64 * 1024)));
    let handle = house.manager.open(&request.body(()).unwrap(), None);
    assert!(handle.open_existing().await.unwrap().is_none());
    assert_eq!(house.manager.metrics().malformed_ids, 1, "a visitor who lost their session shows somewhere");
}

#[tokio::test]
async fn s10_ids_beyond_those_that_are_looked_up_are_counted() {
    let house = House::new(SessionConfig::new());
    let ids: Vec<SessionId> = (0..6).map(|_| SessionId::generate()).collect();
    let ids: Vec<&str> = ids.iter().map(SessionId::expose).collect();
    for (sent, counted) in [(&ids[..4], 0), (&ids[..5], 1), (&ids[..], 2)] {
        assert!(house.arrive(sent).open_existing().await.unwrap().is_none());
        assert_eq!(house.manager.metrics().excess_ids, counted, "{} ids", sent.len());
    }
    assert!(house.manager.metrics_text().contains("cloakroom_excess_ids_total 2"));
}

#[test]
fn s01_s02_each_of_the_192_bits_of_an_id_is_drawn_anew() {
    const IDS: usize = 4096;
    let mut ones = vec![0usize; 192];
    for _ in 0..IDS {
        let drawn = bits(&SessionId::generate());
        assert_eq!(drawn.len(), 192);
        for (count, bit) in ones.iter_mut().zip(drawn) {
            *count += usize::from(bit);
        }
    }
    // Half of 4096 with a standard deviation of 32: ten of them are never exceeded by chance.
    for (position, count) in ones.iter().enumerate() {
        assert!(count.abs_diff(IDS / 2) < 320, "bit {position} was set {count} times in {IDS}");
    }
}

#[test]
fn s02_a_successor_keeps_the_tag_of_24_bits_and_draws_168_anew() {
    let first = SessionId::generate();
    let mut changed = [false; 192];
    for _ in 0..64 {
        let next = bits(&first.successor());
        for (seen, (old, new)) in changed.iter_mut().zip(bits(&first).into_iter().zip(next)) {
            *seen |= old != new;
        }
    }
    assert_eq!(changed.iter().filter(|c| **c).count(), 168);
    assert!(changed[..24].iter().all(|c| !c), "the tag is what successors share");
}

#[tokio::test]
async fn s32_where_it_is_asked_for_the_use_of_an_obsolete_id_ends_the_users_sessions() {
    let house = House::new(SessionConfig::new().on_obsolete_id(OnObsoleteId::RevokeUser));
    let old = house.newcomer().await;
    let new = house.visit(Some(&old), |s| async move { s.login("ada").await }).await.id().unwrap();
    let other = house.visit(None, |s| async move { s.login("ada").await }).await.id().unwrap();
    let stranger = house.visit(None, |s| async move { s.login("bob").await }).await.id().unwrap();

    assert_eq!(house.who(&old).await, None);
    house.manager.shutdown().await;
    assert_eq!(house.who(&new).await, None);
    assert_eq!(house.who(&other).await, None);
    assert_eq!(house.who(&stranger).await.as_deref(), Some("bob"));
}

#[tokio::test]
async fn s32_by_default_it_is_an_event_and_nothing_more() {
    let house = House::new(SessionConfig::new());
    let old = house.newcomer().await;
    let new = house.visit(Some(&old), |s| async move { s.login("ada").await }).await.id().unwrap();
    house.events();
    assert_eq!(house.who(&old).await, None);
    house.manager.shutdown().await;
    assert!(matches!(house.events()[..], [Event::ObsoleteId(_)]));
    assert_eq!(house.who(&new).await.as_deref(), Some("ada"));
}

#[tokio::test]
async fn s40_a_record_past_its_deadline_is_not_served_though_the_store_does() {
    let clock = ManualClock::new();
    let store = Arc::new(Forgetful { inner: ReferenceStore::with_clock(clock.clone()) });
    let house = House::over(store, clock, SessionConfig::new().idle(Duration::from_secs(60)));
    let id = house.newcomer().await;
    assert!(house.who(&id).await.is_some());
    house.events();
    house.pass(61);
    assert_eq!(house.who(&id).await, None);
    assert!(matches!(house.events()[..], [Event::Expired(_)]));
}

#[tokio::test]
async fn s59_a_request_may_go_on_without_its_session_where_that_is_asked_for() {
    let house = House::new(SessionConfig::new().on_unavailable(OnUnavailable::Anonymous));
    let id = house.newcomer().await;
    house.faults.always(None, Fault::Unavailable);

    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    assert_eq!(session.get::<u8>("n").unwrap(), None);
    assert_eq!(session.set("n", 2).unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(session.put("n", 2).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(session.destroy().await.unwrap_err().kind(), ErrorKind::Unavailable);
    let answer = house.leave(&handle, StatusCode::OK).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.has_cookie());

    house.faults.heal();
    let session = house.arrive(&[&id]).open().await.unwrap();
    assert_eq!(session.get::<u8>("n").unwrap(), Some(1), "the session was there all along");
}

#[tokio::test]
async fn s59_no_session_is_started_over_one_that_could_not_be_loaded() {
    let house = House::new(SessionConfig::new().on_unavailable(OnUnavailable::Anonymous));
    let id = house.visit(None, |s| async move { s.login("ada").await }).await.id().unwrap();
    // One call fails; whatever else the request asks of the store is answered.
    house.faults.at_op(Op::Load, 1, Fault::Unavailable);
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    let refused = [
        ("csrf_token", session.csrf_token().await.map(drop)),
        ("put", session.put("n", 1).await),
        ("increment", session.increment("n", 1).await.map(drop)),
        ("flash", session.flash("hello")),
        ("lock", session.lock().await.map(drop)),
        ("regenerate", session.regenerate().await),
        ("login", session.login("eve").await),
        ("destroy", session.destroy().await),
    ];
    for (call, done) in refused {
        assert_eq!(done.map_err(|error| error.kind()), Err(ErrorKind::Unavailable), "{call}");
    }
    assert!(!house.leave(&handle, StatusCode::OK).await.has_cookie());
    assert_eq!(house.who(&id).await.as_deref(), Some("ada"), "the visitor has the cookie still");
}

#[tokio::test]
async fn s59_a_login_that_was_stored_is_told_by_the_answer_that_stands_in_for_a_failed_one() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    session.login("ada").await.unwrap();
    session.set("n", 2).unwrap();
    house.faults.always(None, Fault::Unavailable);
    let answer = house.leave(&handle, StatusCode::OK).await;
    house.faults.heal();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(house.who(&answer.id().expect("the new id")).await.as_deref(), Some("ada"));
    assert_eq!(house.who(&id).await, None);
}

#[tokio::test]
async fn s60_the_answer_in_place_of_a_success_that_was_not_stored_can_be_chosen() {
    let config = SessionConfig::new().on_failure(|error, discarded| {
        assert_eq!(discarded.status, StatusCode::OK);
        assert_eq!(discarded.headers["x-page"], "basket");
        let mut page = http::Response::new(Bytes::from_static(b"try again"));
        *page.status_mut() = error.status();
        page.headers_mut().insert("x-chosen", http::HeaderValue::from_static("yes"));
        page
    });
    let house = House::new(config);
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    handle.open().await.unwrap().set("n", 2).unwrap();
    house.faults.always(None, Fault::Unavailable);
    let mut headers = http::HeaderMap::new();
    headers.insert("x-page", http::HeaderValue::from_static("basket"));
    let outcome = house.manager.close(&handle, StatusCode::OK, &mut headers).await;
    let cloakroom::Outcome::Failed(error) = outcome else { panic!("{outcome:?}") };
    let discarded = cloakroom::Discarded { status: StatusCode::OK, headers: &headers };
    let page = house.manager.replace(&handle, &error, discarded);
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page.headers()["x-chosen"], "yes");
    assert!(!page.headers().contains_key("set-cookie"));
}

/// Types that go down a level with every few bytes: through arrays, and through enums, which decoders count differently.
#[derive(Debug, serde::Deserialize)]
#[allow(dead_code, reason = "what is in it is of no interest")]
struct Nested(Vec<Nested>);

#[derive(Debug, serde::Serialize, serde::Deserialize)]
enum Chain {
    More(Box<Chain>),
    End,
}

#[tokio::test]
async fn s63_a_stored_value_nested_too_deep_is_an_error_and_no_overflow() {
    const DEPTH: usize = 50_000;
    for codec in [Codec::MessagePack, Codec::Json] {
        let house = House::new(SessionConfig::new().codec(codec));
        let id = SessionId::generate();
        let (arrays, enums) = match codec {
            Codec::Json => (
                [b"[".repeat(DEPTH), b"]".repeat(DEPTH)].concat(),
                [b"{\"More\":".repeat(DEPTH), b"\"End\"".to_vec(), b"}".repeat(DEPTH)].concat(),
            ),
            // An array, or a map, of one element, again and again.
            _ => (
                [vec![0x91; DEPTH], vec![0x90]].concat(),
                [b"\x81\xa4More".repeat(DEPTH), b"\xa3End".to_vec()].concat(),
            ),
        };
        plant(&house, &id, &[("arrays", &arrays), ("enums", &enums)]).await;
        let session = house.arrive(&[id.expose()]).open().await.unwrap();
        assert_eq!(session.get::<Nested>("arrays").unwrap_err().kind(), ErrorKind::Decode, "{codec:?}");
        assert_eq!(session.get::<Chain>("enums").unwrap_err().kind(), ErrorKind::Decode, "{codec:?}");
    }
}

#[tokio::test]
async fn s63_what_could_not_be_read_again_is_not_stored() {
    for codec in [Codec::MessagePack, Codec::Json] {
        let house = House::new(SessionConfig::new().codec(codec));
        let session = house.arrive(&[]).open().await.unwrap();
        let chain = |levels| (0..levels).fold(Chain::End, |inner, _| Chain::More(Box::new(inner)));
        session.set("chain", chain(127)).unwrap();
        assert!(session.get::<Chain>("chain").unwrap().is_some());
        assert_eq!(session.set("chain", chain(128)).unwrap_err().kind(), ErrorKind::Encode, "{codec:?}");
        assert!(session.get::<Chain>("chain").unwrap().is_some(), "what was there before");
    }
}

#[tokio::test]
async fn s63_a_length_that_promises_more_than_there_is_takes_no_memory() {
    let house = House::new(SessionConfig::new());
    let id = SessionId::generate();
    // An array of 4,294,967,295 elements, of which none follow.
    plant(&house, &id, &[("liar", &[0xdd, 0xff, 0xff, 0xff, 0xff])]).await;
    let session = house.arrive(&[id.expose()]).open().await.unwrap();
    assert_eq!(session.get::<Vec<u64>>("liar").unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(session.get::<String>("liar").unwrap_err().kind(), ErrorKind::Decode);
}

/// Puts a session into the store past the library, as a hostile writer of the store would.
async fn plant(house: &House, id: &SessionId, values: &[(&str, &[u8])]) {
    let mut data = PayloadBuilder::default();
    for (key, value) in values {
        data.push(key, value);
    }
    let request = Create {
        key: id.store_key(),
        op: OpId::generate(),
        record_id: RecordId::generate(),
        lifetime: Lifetime {
            idle: Duration::from_secs(600),
            absolute: Duration::from_secs(600),
            renewal: None,
        },
        bind: None,
        payload: data.finish(),
        marker: Duration::from_secs(60),
    };
    assert!(matches!(house.faults.create(request).await.unwrap(), Created::Created { .. }));
}

/// A store that has forgotten that sessions end: what is past its deadline is served as if it were alive.
struct Forgetful {
    inner: ReferenceStore,
}

impl Store for Forgetful {
    fn load(&self, key: StoreKey) -> StoreFuture<Loaded> {
        use cloakroom::store::protocol::Entry;
        let inner = self.inner.clone();
        match inner.entry(key) {
            Some(Entry::Live { record, .. }) => StoreFuture::boxed(async move {
                let now = inner.now().await?;
                Ok(Loaded::Live(Snapshot { record, now }))
            }),
            _ => inner.load(key),
        }
    }

    fn name(&self) -> &'static str {
        "forgetful"
    }

    cloakroom_testing::hand_on!(inner: create commit rename touch end acquire renew release list_user);
    cloakroom_testing::hand_on!(inner: revoke scan purge stats now);
}

#[tokio::test]
async fn s68_a_lease_that_another_took_over_is_refused_at_the_commit_and_not_before() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let session = house.arrive(&[&id]).open().await.unwrap();
    let mut guard = session.lock().await.unwrap();
    guard.set("n", 2).unwrap();
    // The holder is paused for longer than its lease; its renewals do not come through.
    house.faults.always(Some(Op::Renew), Fault::Unavailable);
    house.pass(11);
    let other = house.arrive(&[&id]).open().await.unwrap();
    other.put("n", 3).await.unwrap();
    let other_guard = {
        let key = session.id().unwrap().store_key();
        let request = Acquire { key, owner: cloakroom::store::LeaseOwner(7), lease: Duration::from_secs(10) };
        house.faults.acquire(request).await.unwrap()
    };
    assert!(matches!(other_guard, Acquired::Acquired { .. }));
    assert_eq!(guard.commit().await.unwrap_err().kind(), ErrorKind::LeaseLost);
    let seen = house.arrive(&[&id]).open().await.unwrap();
    assert_eq!(seen.get::<u8>("n").unwrap(), Some(3));
}

/// However long the idle time is: of several writes in a row the store need note one only, and after a second the next visit begins.
#[tokio::test]
async fn s38_a_write_restarts_the_idle_deadline_from_a_second_after_the_last_one_on() {
    const HOURS: u64 = 3 * 60 * 60;
    let idle = Duration::from_secs(HOURS);
    let house = House::new(SessionConfig::new().idle(idle));
    let id = house.newcomer().await;
    house.pass(2);
    house.visit(Some(&id), |s| async move { s.set("later", 1) }).await;
    house.pass(HOURS - 1);
    assert!(house.arrive(&[&id]).read_only().await.unwrap().has("later"));
}
