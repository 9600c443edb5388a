//! Every route of the probe, with every store call in turn going wrong in every way: through axum and through hyper, for a
//! visitor with a session and for one without.
//!
//! Whatever fails: the answer is the one without the fault, or 503 without a cookie header, and the stored record is the
//! old one or the new one, whole. Nothing hangs past its deadline, and nothing is left locked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use cloakroom::store::{Ending, Loaded, Store};
use cloakroom::{Candidate, MemoryStore, Mode, SessionConfig, SessionManager};
use cloakroom_testing::{Fault, FaultStore, ManualClock};
use http::{Method, Request, Response, StatusCode};
use tower::ServiceExt;

/// The routes that ask the store for something. Those that sleep do it on the virtual clock. `HANDLE` is that of the visitor's
/// other device, `TOKEN` one against forgery.
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
    "/regenerate?keep_old_ms=60000",
    "/destroy",
    "/login/ada",
    "/login-then-fail/ada",
    "/login-then-panic/ada",
    "/bind/ada",
    "/logout",
    "/whoami",
    "/devices",
    "/revoke/HANDLE",
    "/revoke-others",
    "/revoke-user/ada",
    "/revoke-user/bob",
    "/flash/hello",
    "/flash",
    "/ambient/n/7",
    "/fail/n/7",
    "/panic/n/7",
    "/stream/n/7?ms=1",
    "/cached/n",
    "/csrf",
    "POST /protected TOKEN",
    "/big/100",
    "/background",
];

/// What a visitor without a session asks the store for nothing with.
const NOTHING_WITHOUT_A_SESSION: &[&str] = &[
    "/get/n",
    "/all",
    "/state",
    "/read-only/n",
    "/peek",
    "/remove/n",
    "/clear",
    "/take/n",
    "/lock-drop/n/7",
    "/lock-rollback/n/7",
    "/slow-regenerate?ms=1",
    "/slow-destroy?ms=1",
    "/regenerate",
    "/regenerate?keep_old_ms=60000",
    "/destroy",
    "/logout",
    "/whoami",
    "/devices",
    "/revoke/HANDLE",
    "/revoke-others",
    "/flash",
    "/fail/n/7",
    "/panic/n/7",
    "/stream/n/7?ms=1",
    "/cached/n",
    "POST /protected TOKEN",
    "/background",
    "/reload/n/7",
];

const FAULTS: &[Fault] =
    &[Fault::Unavailable, Fault::Hang, Fault::LoseRequest, Fault::LoseAnswer, Fault::HangAfter, Fault::Twice];

#[derive(Clone, Copy, Debug)]
enum Framework {
    Axum,
    Hyper,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Visitor {
    /// With n = 5, a flash message, a user and another device.
    Known,
    /// With n = 5: only such a one's old id can be kept.
    Guest,
    /// Without a session.
    New,
}

struct Visit {
    status: StatusCode,
    cookies: Vec<String>,
    /// What came of the body; `None`: it broke off.
    body: Option<String>,
}

impl Visit {
    /// The id that the last cookie hands out.
    fn id(&self) -> Option<String> {
        self.cookies.last().and_then(|cookie| id_of(cookie))
    }

    /// For each cookie, whether it hands out an id.
    fn hands_out(&self) -> Vec<bool> {
        self.cookies.iter().map(|cookie| id_of(cookie).is_some()).collect()
    }
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
                let entries = s.record.payload.iter().map(|(k, v)| match k {
                    "n" | "big" => format!("{k}={v:02x?}"),
                    // Flash entries lie under random keys, and tokens are drawn at random.
                    _ => "other".to_owned(),
                });
                return format!("{:?} {:?}", s.record.user, entries.collect::<Vec<_>>());
            }
            Loaded::Ended(Ending::Moved { to, .. }) => key = to,
            Loaded::Ended(_) | Loaded::Missing => return "ended".to_owned(),
        }
    }
}

struct House {
    framework: Framework,
    mode: Mode,
    manager: SessionManager,
    faults: FaultStore,
    truth: Arc<dyn Store>,
    clock: ManualClock,
    /// The visitor's; empty: none.
    id: String,
    /// Of the same user.
    other_device: Option<String>,
    route: String,
}

impl House {
    /// A visitor who is about to ask for this route.
    async fn new(framework: Framework, mode: Mode, visitor: Visitor, route: &str) -> House {
        let clock = ManualClock::new();
        let truth: Arc<dyn Store> = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
        let faults = FaultStore::new(Arc::clone(&truth));
        let config = SessionConfig::new().mode(mode).purge_every(None);
        let manager = SessionManager::over(Arc::new(faults.clone()), config).unwrap();
        let (id, other_device, route) = (String::new(), None, route.to_owned());
        let mut house = House { framework, mode, manager, faults, truth, clock, id, other_device, route };
        if visitor != Visitor::New {
            house.id = house.ask("/set/n/5", "").await.id().unwrap();
        }
        if visitor == Visitor::Known {
            house.other_device = house.ask("/login/bob", "").await.id();
            let devices = house.ask("/devices", house.other_device.as_ref().unwrap()).await.body.unwrap();
            let devices: serde_json::Value = serde_json::from_str(&devices).unwrap();
            house.route = house.route.replace("HANDLE", devices[0]["handle"].as_str().unwrap());
            house.id = house.ask("/login/bob", &house.id).await.id().unwrap();
            assert_eq!(house.ask("/flash/hi", &house.id).await.status, StatusCode::OK);
        }
        if house.route.contains("TOKEN") && visitor != Visitor::New {
            let token = house.ask("/csrf", &house.id).await.body.unwrap();
            house.route = house.route.replace("TOKEN", token.trim_matches('"'));
        }
        house
    }

    /// `[METHOD ]PATH[ TOKEN]`.
    async fn ask(&self, route: &str, id: &str) -> Visit {
        let (method, route) = match route.split_once(' ') {
            Some((method, rest)) => (method.parse().unwrap(), rest),
            None => (Method::GET, route),
        };
        let (path, token) = route.split_once(' ').unwrap_or((route, ""));
        let mut request = Request::builder().method(method).uri(path);
        if !id.is_empty() {
            request = request.header("cookie", format!("__Host-id={id}"));
        }
        if !token.is_empty() {
            request = request.header("x-csrf-token", token);
        }
        let response = self.respond(request.body(Body::empty()).unwrap()).await;
        let status = response.status();
        let cookies = response.headers().get_all("set-cookie");
        let cookies = cookies.iter().map(|c| c.to_str().unwrap().to_owned()).collect();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.ok();
        Visit { status, cookies, body: body.map(|body| String::from_utf8_lossy(&body).into_owned()) }
    }

    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let manager = self.manager.clone();
        match self.framework {
            Framework::Axum => cloakroom_probe::router(manager, self.mode).oneshot(request).await.unwrap(),
            Framework::Hyper => {
                let peer = ([192, 0, 2, 1], 40_000).into();
                cloakroom_probe::answer(manager, self.mode, request, peer).await.map(Body::new)
            }
        }
    }

    /// What is stored of the visitor's session and of the other device's. Of a visitor who came without one: of what it was given.
    async fn stored(&self, answer: Option<&Visit>) -> Option<String> {
        let given = answer.and_then(Visit::id);
        let own = if self.id.is_empty() { given? } else { self.id.clone() };
        let mut all = stored(&*self.truth, &own).await;
        if let Some(other) = &self.other_device {
            all = format!("{all}, other device {}", stored(&*self.truth, other).await);
        }
        Some(all)
    }
}

async fn every_call_of(route: &str, framework: Framework, mode: Mode, visitor: Visitor) {
    // Without a fault: what it answers, what it leaves, how many calls it makes.
    let well = House::new(framework, mode, visitor, route).await;
    let old = well.stored(None).await;
    let before = well.faults.calls();
    let good = well.ask(&well.route, &well.id).await;
    let calls = well.faults.calls() - before;
    let new = well.stored(Some(&good)).await;
    let asks = visitor != Visitor::New || !NOTHING_WITHOUT_A_SESSION.contains(&route);
    assert_eq!(calls > 0, asks, "{route} asks the store {calls} times for a {visitor:?} visitor");
    assert!(!good.body.as_deref().is_some_and(|body| body.contains("no_route")), "{route}");

    for fault in FAULTS {
        for nth in 1..=calls {
            let house = House::new(framework, mode, visitor, route).await;
            house.faults.at(nth, fault.clone());
            let fault = fault.name();
            let case = format!(
                "{route} through {framework:?} in {mode:?} for a {visitor:?} visitor, call {nth} of {calls}: {fault}"
            );

            let began = tokio::time::Instant::now();
            let answer = house.ask(&house.route, &house.id).await;
            assert!(began.elapsed() < Duration::from_secs(15), "{case}: took {:?}", began.elapsed());
            assert_eq!(house.faults.injected().len(), 1, "{case}");
            // Whatever was detached comes to its end; then the store is well again.
            tokio::time::sleep(Duration::from_secs(11)).await;
            house.clock.advance(Duration::from_secs(11));
            house.faults.heal();

            let after = house.stored(Some(&answer)).await;
            assert!(after == old || after == new, "{case}: {after:?}\n is neither {old:?}\n nor {new:?}");
            if answer.status == StatusCode::SERVICE_UNAVAILABLE {
                assert!(answer.cookies.is_empty(), "{case}: 503 with {:?}", answer.cookies);
            } else {
                assert_eq!(answer.status, good.status, "{case}: {:?}", answer.body);
                assert_eq!(answer.hands_out(), good.hands_out(), "{case}");
                // A body that breaks off tells that its end was not committed.
                if answer.body.is_some() {
                    assert_eq!(after, new, "{case}: success was told, yet the old record stands");
                } else {
                    assert!(route.starts_with("/stream"), "{case}");
                }
            }
            // Nothing is left locked, and nobody is left out: the visitor can go on.
            let id = answer.id().unwrap_or_else(|| house.id.clone());
            let next = house.ask("/lock-count/later?ms=0", &id).await;
            assert_eq!(next.status, StatusCode::OK, "{case}: then {:?}", next.body);
        }
    }
}

async fn every_route(framework: Framework, mode: Mode) {
    for route in ROUTES {
        // The old id of a session that has a user is not kept.
        let known = if route.contains("keep_old_ms") { Visitor::Guest } else { Visitor::Known };
        every_call_of(route, framework, mode, known).await;
        every_call_of(route, framework, mode, Visitor::New).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c6_c9_s59_every_route_ends_well_or_with_503_in_merge_mode() {
    every_route(Framework::Axum, Mode::Merge).await;
}

#[tokio::test(start_paused = true)]
async fn c6_c9_s59_every_route_ends_well_or_with_503_in_exclusive_mode() {
    every_route(Framework::Axum, Mode::Exclusive).await;
}

#[tokio::test(start_paused = true)]
async fn c6_c9_s59_every_route_ends_well_or_with_503_through_hyper_in_merge_mode() {
    every_route(Framework::Hyper, Mode::Merge).await;
}

#[tokio::test(start_paused = true)]
async fn c6_c9_s59_every_route_ends_well_or_with_503_through_hyper_in_exclusive_mode() {
    every_route(Framework::Hyper, Mode::Exclusive).await;
}
