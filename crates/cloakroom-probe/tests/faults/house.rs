//! A visitor, and the house that is asked: what came of a request, and what is stored afterwards.

use std::sync::Arc;

use axum::body::Body;
use cloakroom::store::{Ending, Loaded, Store};
use cloakroom::{Candidate, Mode, SessionConfig, SessionManager};
use cloakroom_testing::{FaultStore, ManualClock};
use http::{Method, Request, Response, StatusCode};
use tower::ServiceExt;

use super::place::Place;
use super::until_all_is_quiet;

#[derive(Clone, Copy, Debug)]
pub enum Framework {
    Axum,
    Hyper,
}

/// How sessions are kept, and what serves them.
pub struct Setting {
    pub place: Place,
    pub framework: Framework,
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Visitor {
    /// With n = 5, a flash message, a user and another device.
    Known,
    /// With n = 5: only such a one's old id can be kept.
    Guest,
    /// Without a session.
    New,
}

pub struct Visit {
    pub status: StatusCode,
    pub cookies: Vec<String>,
    /// What came of the body; `None`: it broke off.
    pub body: Option<String>,
}

impl Visit {
    /// The id that the last cookie hands out.
    pub fn id(&self) -> Option<String> {
        self.cookies.last().and_then(|cookie| id_of(cookie))
    }

    /// For each cookie, whether it hands out an id.
    pub fn hands_out(&self) -> Vec<bool> {
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

pub struct House {
    framework: Framework,
    mode: Mode,
    manager: SessionManager,
    pub faults: FaultStore,
    truth: Arc<dyn Store>,
    pub clock: ManualClock,
    /// The visitor's; empty: none.
    pub id: String,
    /// Of the same user.
    other_device: Option<String>,
    pub route: String,
}

impl House {
    /// A visitor who is about to ask for this route.
    pub async fn new(setting: &Setting, visitor: Visitor, route: &str) -> House {
        let Setting { place, framework, mode } = setting;
        let (framework, mode) = (*framework, *mode);
        let clock = ManualClock::new();
        let truth = place.store(&clock);
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
        // A lease is given back behind the response.
        until_all_is_quiet().await;
        house
    }

    /// `[METHOD ]PATH[ TOKEN]`.
    pub async fn ask(&self, route: &str, id: &str) -> Visit {
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
    pub async fn stored(&self, answer: Option<&Visit>) -> Option<String> {
        let given = answer.and_then(Visit::id);
        let own = if self.id.is_empty() { given? } else { self.id.clone() };
        let mut all = stored(&*self.truth, &own).await;
        if let Some(other) = &self.other_device {
            all = format!("{all}, other device {}", stored(&*self.truth, other).await);
        }
        Some(all)
    }
}
