//! Every route of the probe, with every store call in turn going wrong in every way.
//!
//! Whatever fails: the answer is the one without the fault, or 503 without a cookie header, and the stored record is the
//! old one or the new one, whole. Nothing hangs past its deadline, and nothing is left locked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use cloakroom::store::{Ending, Loaded, Store};
use cloakroom::{Candidate, MemoryStore, Mode, SessionConfig, SessionManager};
use cloakroom_testing::{Fault, FaultStore, ManualClock};
use http::{Request, StatusCode};
use tower::ServiceExt;

/// The routes that ask the store for something. Those that sleep do it on the virtual clock.
const ROUTES: &[&str] = &[
    "/get/n",
    "/all",
    "/state",
    "/read-only/n",
    "/peek",
    "/set/n/7",
    "/remove/n",
    "/clear",
    "/take/n",
    "/save/n/7",
    "/reload/n/7",
    "/put/n/7",
    "/incr/n",
    "/count/n?ms=1",
    "/lock-count/n?ms=1",
    "/lock-drop/n/7",
    "/lock-rollback/n/7",
    "/release/n/7?ms=1",
    "/slow-set/n/7?ms=1",
    "/slow-put/n/7?ms=1",
    "/slow-regenerate?ms=1",
    "/slow-destroy?ms=1",
    "/regenerate",
    "/destroy",
    "/login/ada",
    "/bind/ada",
    "/logout",
    "/whoami",
    "/devices",
    "/revoke-others",
    "/revoke-user/ada",
    "/flash/hello",
    "/flash",
    "/ambient/n/7",
    "/cached/n",
    "/csrf",
    "/big/100",
    "/background",
];

const FAULTS: &[Fault] =
    &[Fault::Unavailable, Fault::Hang, Fault::LoseRequest, Fault::LoseAnswer, Fault::HangAfter, Fault::Twice];

struct Visit {
    status: StatusCode,
    cookies: Vec<String>,
    body: String,
}

async fn ask(app: &Router, path: &str, id: &str) -> Visit {
    let mut request = Request::get(path);
    if !id.is_empty() {
        request = request.header("cookie", format!("__Host-id={id}"));
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let cookies = response.headers().get_all("set-cookie");
    let cookies = cookies.iter().map(|c| c.to_str().unwrap().to_owned()).collect();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    Visit { status, cookies, body: String::from_utf8_lossy(&bytes).into_owned() }
}

/// The id that a cookie hands out; `None` for a deletion.
fn id_of(cookie: &str) -> Option<String> {
    let pair = cookie.split(';').next().unwrap();
    Some(pair.split_once('=').unwrap().1.to_owned()).filter(|id| !id.is_empty())
}

/// What the line of an id has come to: its data, or that it ended.
async fn stored(store: &dyn Store, id: &str) -> String {
    let mut key = Candidate::parse(id.as_bytes()).unwrap().store_key();
    loop {
        match store.load(key).await.unwrap() {
            Loaded::Live(s) | Loaded::Alias { snapshot: s, .. } => {
                let entries = s.record.payload.iter().map(|(k, v)| {
                    // Flash entries lie under random keys.
                    let k = if k.starts_with('\0') { "flash" } else { k };
                    format!("{k}={v:02x?}")
                });
                return format!("{:?} {:?}", s.record.user, entries.collect::<Vec<_>>());
            }
            Loaded::Ended(Ending::Moved { to, .. }) => key = to,
            Loaded::Ended(_) | Loaded::Missing => return "ended".to_owned(),
        }
    }
}

struct House {
    faults: FaultStore,
    truth: Arc<dyn Store>,
    clock: ManualClock,
    app: Router,
    id: String,
}

/// A visitor with n = 5, a flash message and a user.
async fn house(mode: Mode) -> House {
    let clock = ManualClock::new();
    let truth: Arc<dyn Store> = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
    let faults = FaultStore::new(Arc::clone(&truth));
    let config = SessionConfig::new().mode(mode).purge_every(None);
    let manager = SessionManager::over(Arc::new(faults.clone()), config).unwrap();
    let app = cloakroom_probe::router(manager, mode);
    let first = id_of(&ask(&app, "/set/n/5", "").await.cookies[0]).unwrap();
    let id = id_of(&ask(&app, "/login/bob", &first).await.cookies[0]).unwrap();
    assert_eq!(ask(&app, "/flash/hi", &id).await.status, StatusCode::OK);
    House { faults, truth, clock, app, id }
}

async fn every_call_of(route: &str, mode: Mode) {
    // Without a fault: what it answers, what it leaves, how many calls it makes.
    let well = house(mode).await;
    let old = stored(&*well.truth, &well.id).await;
    let before = well.faults.calls();
    let good = ask(&well.app, route, &well.id).await;
    let calls = well.faults.calls() - before;
    let new = stored(&*well.truth, &well.id).await;
    assert!(calls > 0, "{route} asks the store for nothing");

    for fault in FAULTS {
        for nth in 1..=calls {
            let house = house(mode).await;
            house.faults.at(nth, fault.clone());
            let case = format!("{route} in {mode:?}, call {nth} of {calls}: {}", fault.name());

            let began = tokio::time::Instant::now();
            let answer = ask(&house.app, route, &house.id).await;
            assert!(began.elapsed() < Duration::from_secs(15), "{case}: took {:?}", began.elapsed());
            // Whatever was detached comes to its end; then the store is well again.
            tokio::time::sleep(Duration::from_secs(11)).await;
            house.clock.advance(Duration::from_secs(11));
            house.faults.heal();

            let after = stored(&*house.truth, &house.id).await;
            assert!(after == old || after == new, "{case}: {after}\n is neither {old}\n nor {new}");
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                assert!(answer.cookies.is_empty(), "{case}: 503 with {:?}", answer.cookies);
            } else {
                assert_eq!(answer.status, good.status, "{case}: {}", answer.body);
                let hands_out =
                    |visit: &Visit| visit.cookies.iter().map(|c| id_of(c).is_some()).collect::<Vec<_>>();
                assert_eq!(hands_out(&answer), hands_out(&good), "{case}");
                assert_eq!(after, new, "{case}: success was told, yet the old record stands");
            }
            // Nothing is left locked, and nobody is left out: the visitor can go on.
            let id = answer.cookies.first().and_then(|c| id_of(c)).unwrap_or(house.id);
            let next = ask(&house.app, "/lock-count/later?ms=0", &id).await;
            assert_eq!(next.status, StatusCode::OK, "{case}: then {}", next.body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c6_c9_s59_every_route_ends_well_or_with_503_in_merge_mode() {
    for route in ROUTES {
        every_call_of(route, Mode::Merge).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c6_c9_s59_every_route_ends_well_or_with_503_in_exclusive_mode() {
    for route in ROUTES {
        every_call_of(route, Mode::Exclusive).await;
    }
}
