//! Every route that touches a session answers on each store as it does in memory.

use serde_json::Value;

use crate::harness::{Place, Probe, Response, everywhere_and_side_by_side};

everywhere_and_side_by_side! { every_route_answers_as_in_memory }

/// In the order in which one visitor asks: later ones find what earlier ones left.
const ROUTES: &[&str] = &[
    "/get/seed",
    "/all",
    "/read-only/seed",
    "/peek",
    "/background",
    "/set/n/7",
    "/get/n",
    "/take/n",
    "/get/n",
    "/save/n/7",
    "/reload/n/8",
    "/put/n/9",
    "/incr/n",
    "/count/n?ms=1",
    "/ambient/a/7",
    "/slow-set/s/7?ms=1",
    "/slow-put/s/8?ms=1",
    "/lock-count/n?ms=1",
    "/lock-drop/n/7",
    "/lock-rollback/n/7",
    "/release/n/7?ms=1",
    "/slow-regenerate?ms=1",
    "/regenerate",
    "/all",
    "/flash/hello",
    "/flash",
    "/flash",
    "/whoami",
    "/bind/ada",
    "/login/ada",
    "/login/bob",
    "/all",
    "/set/n/7",
    "/fail/n/8",
    "/panic/n/8",
    "/login-then-fail/eve",
    "/whoami",
    "/login-then-panic/dan",
    "/whoami",
    "/cached/n",
    "/cached-plain",
    "/csrf",
    "/protected",
    "/stream/n/9",
    "/big/100",
    "/big/100000",
    "/remove/big",
    "/clear",
    "/all",
    "/revoke-others",
    "/revoke-user/dan",
    "/get/seed",
    "/login/ada",
    "/slow-destroy?ms=1",
    "/destroy",
    "/login/ada",
    "/destroy",
    "/get/seed",
];

/// What two stores must agree on: not ids, which are random.
#[derive(PartialEq, Eq, Debug)]
struct Answer {
    status: u16,
    body: String,
    cookies: usize,
    deletes: bool,
}

impl Answer {
    fn of(route: &str, response: &Response) -> Self {
        let random = route.starts_with("/csrf");
        Answer {
            status: response.status,
            body: if random { String::new() } else { response.body.clone() },
            cookies: response.header_all("set-cookie").len(),
            deletes: response.set_cookie().is_some_and(|cookie| cookie.deletes()),
        }
    }
}

async fn visit(probe: &Probe) -> Vec<(&'static str, Answer)> {
    let visitor = probe.visitor_with_session().await;
    let mut answers = Vec::new();
    for route in ROUTES {
        answers.push((*route, Answer::of(route, &visitor.get(route).await)));
    }
    answers
}

async fn every_route_answers_as_in_memory(place: Place) {
    let memory = Place { store: "memory", beside: None, near_cache: false, php: None, ..place }.start(&[]);
    let probe = place.start(&[]);
    let (expected, found) = (visit(&memory).await, visit(&probe).await);
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found);
    }
    // Two devices of one user: their handles are random, the rest is not.
    for probe in [&memory, &probe] {
        let (here, there) = (probe.logged_in("ann").await, probe.logged_in("ann").await);
        let Value::Array(devices) = here.get("/devices").await.json() else { panic!("a list") };
        assert_eq!(devices.len(), 2, "{devices:?}");
        let other = devices.iter().find(|device| device["current"] != true).unwrap();
        let handle = other["handle"].as_str().unwrap();
        here.get(&format!("/revoke/{handle}")).await.ok();
        assert!(here.is_alive().await && !there.is_alive().await);
        assert!(!probe.presenting(there.cookie().as_deref()).is_alive().await);
    }
}
