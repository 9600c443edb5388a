//! Every route of the probe, with every store call in turn going wrong in every way: through axum and through hyper, for a
//! visitor with a session and for one without.
//!
//! Whatever fails: the answer is the one without the fault, or 503 without a cookie header, and the stored record is the
//! old one or the new one, whole. Nothing hangs past its deadline, and nothing is left locked.
//!
//! On every store in the same way: time is virtual, also where the store is a server, which is real (`apart.rs`).
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

mod apart;
mod house;
#[path = "../black_box/harness/lent.rs"]
#[allow(dead_code)]
mod lent;
mod place;
mod routes;
#[path = "../../../cloakroom-redis/tests/support/mod.rs"]
mod servers;

use std::time::Duration;

use cloakroom::Mode;
use cloakroom_testing::Fault;
use http::StatusCode;

use house::{Framework, House, Setting, Visitor};
use place::Place;
use routes::{NOTHING_WITHOUT_A_SESSION, ROUTES};
use servers::Kind;

const FAULTS: &[Fault] =
    &[Fault::Unavailable, Fault::Hang, Fault::LoseRequest, Fault::LoseAnswer, Fault::HangAfter, Fault::Twice];

/// Longer than a lease, and than anything that is detached from its request goes on.
const QUIET: Duration = Duration::from_secs(11);

async fn until_all_is_quiet() {
    tokio::time::sleep(QUIET).await;
}

/// Asks for a route as often as there are store calls and faults, with one of them in each.
async fn every_call_of(route: &str, setting: &Setting, visitor: Visitor) {
    let Setting { framework, mode, .. } = setting;
    // Without a fault: what it answers, what it leaves, how many calls it makes.
    let well = House::new(setting, visitor, route).await;
    let old = well.stored(None).await;
    let before = well.faults.calls();
    let good = well.ask(&well.route, &well.id).await;
    until_all_is_quiet().await;
    let calls = well.faults.calls() - before;
    let new = well.stored(Some(&good)).await;
    let asks = visitor != Visitor::New || !NOTHING_WITHOUT_A_SESSION.contains(&route);
    assert_eq!(calls > 0, asks, "{route} asks the store {calls} times for a {visitor:?} visitor");
    assert!(!good.body.as_deref().is_some_and(|body| body.contains("no_route")), "{route}");

    for fault in FAULTS {
        for nth in 1..=calls {
            let house = House::new(setting, visitor, route).await;
            house.faults.at(nth, fault.clone());
            let fault = fault.name();
            let case = format!(
                "{route} through {framework:?} in {mode:?} for a {visitor:?} visitor, call {nth} of {calls}: {fault}"
            );

            let began = tokio::time::Instant::now();
            let answer = house.ask(&house.route, &house.id).await;
            assert!(began.elapsed() < Duration::from_secs(15), "{case}: took {:?}", began.elapsed());
            // Then the store is well again.
            until_all_is_quiet().await;
            assert_eq!(house.faults.injected().len(), 1, "{case}");
            house.clock.advance(QUIET);
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

async fn every_route(setting: &Setting) {
    for route in ROUTES {
        // The old id of a session that has a user is not kept.
        let known = if route.contains("keep_old_ms") { Visitor::Guest } else { Visitor::Known };
        every_call_of(route, setting, known).await;
        every_call_of(route, setting, Visitor::New).await;
    }
}

fn run(place: Place, framework: Framework, mode: Mode) {
    let virtual_time = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    virtual_time.unwrap().block_on(every_route(&Setting { place, framework, mode }));
}

macro_rules! on {
    ($($name:ident: $place:expr;)*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn c6_c9_s59_every_route_ends_well_or_with_503_in_merge_mode() {
                run($place, Framework::Axum, Mode::Merge);
            }

            #[test]
            fn c6_c9_s59_every_route_ends_well_or_with_503_in_exclusive_mode() {
                run($place, Framework::Axum, Mode::Exclusive);
            }

            #[test]
            fn c6_c9_s59_every_route_ends_well_or_with_503_through_hyper_in_merge_mode() {
                run($place, Framework::Hyper, Mode::Merge);
            }

            #[test]
            fn c6_c9_s59_every_route_ends_well_or_with_503_through_hyper_in_exclusive_mode() {
                run($place, Framework::Hyper, Mode::Exclusive);
            }
        }
    )* };
}

on! {
    memory: Place::in_memory();
    redis: Place::on_a_server(Kind::Redis);
    valkey: Place::on_a_server(Kind::Valkey);
    redis_cluster: Place::on_a_cluster(Kind::Redis);
    valkey_cluster: Place::on_a_cluster(Kind::Valkey);
}
