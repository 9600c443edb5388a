//! A user that lacks one of the permissions of the manual is told which, by an error or in the log.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom/tests/log/mod.rs"]
mod log;
mod support;

use std::fmt::Display;
use std::time::{Duration, Instant};

use cloakroom::store::{RevokeWhich, ScanFrom, Store, StoreErrorKind};
use cloakroom_redis::{Durability, RedisStore};
use cloakroom_testing::requests;
use log::Log;
use support::{Kind, Server};

const USER: &str = "hush-user";
const PASSWORD: &str = "hush-password";

/// What the manual tells to permit, word for word.
fn permissions() -> Vec<String> {
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/redis.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    let block = manual.split("ACL SETUSER shop").nth(1).unwrap().split("```").next().unwrap();
    let granted = block.split_whitespace().filter(|word| word.starts_with(['+', '~', '&']));
    let granted: Vec<String> = granted.map(str::to_owned).collect();
    assert!(granted.len() > 15, "{granted:?}");
    granted
}

/// What is named where one of them is missing: of a category, the first of its commands that is missed.
fn named(permission: &str) -> &str {
    match permission {
        "+@connection" => "+ping",
        "+@scripting" => "+evalsha",
        "+@pubsub" => "+ssubscribe",
        other => other,
    }
}

/// Uses all of the store; answers with what went wrong.
async fn everything(store: &RedisStore) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut note = |trouble: &dyn Display| wrong.push(trouble.to_string());
    macro_rules! does {
        ($call:expr) => {
            match $call.await {
                Ok(answer) => Some(answer),
                Err(error) => {
                    note(&error);
                    None
                }
            }
        };
    }
    let (ann, key, bound) = (requests::user("ann"), requests::key(), requests::key());
    does!(store.ping());
    does!(store.create(requests::create(key, requests::data(&[]))));
    does!(store.load(key));
    does!(store.touch(requests::touch(key)));
    does!(store.create(requests::create_for(bound, requests::bind_capped(&ann, 2))));
    does!(store.list_user(ann.clone()));
    does!(store.acquire(requests::acquire(key, 1)));
    does!(store.acquire(requests::acquire(key, 2)));
    if let Some(waiting) = store.released(key) {
        tokio::spawn(waiting);
    }
    does!(store.release(requests::release(key, 1)));
    does!(store.revoke(requests::revoke(&ann, RevokeWhich::All)));
    does!(store.end(requests::end(key)));
    does!(store.scan(ScanFrom { after: None, limit: 10 }));
    does!(store.stats());
    wrong
}

async fn each_permission_that_is_missing_is_named(kind: Kind) {
    let server = Server::start(kind);
    let granted = permissions();
    for (n, missing) in granted.iter().map(Some).chain([None]).enumerate() {
        let log = Log::listen();
        let rest: Vec<&str> =
            granted.iter().filter(|one| Some(*one) != missing).map(String::as_str).collect();
        // A user of its own for each: connections of the one before keep what they may.
        let user = format!("{USER}{n}");
        let told = server.raw(&format!("ACL SETUSER {user} on >{PASSWORD} {}", rest.join(" ")));
        assert!(told.starts_with("+OK"), "{told}");
        let store = server.builder().user(&user).password(PASSWORD).build().unwrap();
        let wrong = everything(&store).await;
        let said = || wrong.iter().cloned().chain(log.lines()).collect::<Vec<_>>();
        match missing {
            Some(missing) => {
                let (began, words) = (Instant::now(), format!("give it {}", named(missing)));
                while !said().iter().any(|said| said.contains(&words)) {
                    assert!(began.elapsed() < Duration::from_secs(20), "{missing}: {words} in {:#?}", said());
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            None => assert!(said().iter().all(|said| !said.contains("NOPERM")), "{:#?}", said()),
        }
        for said in said() {
            assert!(!said.contains("hush"), "{said}");
        }
    }
}

#[tokio::test]
async fn each_permission_that_is_missing_is_named_on_redis() {
    each_permission_that_is_missing_is_named(Kind::Redis).await;
}

#[tokio::test]
async fn each_permission_that_is_missing_is_named_on_valkey() {
    each_permission_that_is_missing_is_named(Kind::Valkey).await;
}

/// A write that waits is made, and what is missing for the wait is named with it.
#[tokio::test]
async fn who_may_not_wait_is_told_so() {
    for kind in [Kind::Redis, Kind::Valkey] {
        let server = Server::start(kind);
        for (n, missing) in ["", "-wait", "-spublish"].into_iter().enumerate() {
            let user = format!("{USER}{n}");
            let granted = permissions().join(" ");
            let told = server.raw(&format!("ACL SETUSER {user} on >{PASSWORD} {granted} {missing}"));
            assert!(told.starts_with("+OK"), "{told}");
            let builder = server.builder().user(&user).password(PASSWORD);
            let store = builder.durability(Durability::replicas(0)).build().unwrap();
            let created = store.create(requests::create(requests::key(), requests::data(&[]))).await;
            match missing.strip_prefix('-') {
                None => assert!(created.is_ok(), "{created:?}"),
                Some(missing) => {
                    let error = created.unwrap_err();
                    assert_eq!(error.kind(), StoreErrorKind::Undurable, "{error}");
                    assert!(error.to_string().contains(&format!("give it +{missing}")), "{error}");
                }
            }
        }
    }
}

/// The scripts tell by courtesy, so that nothing fails where they may not.
#[tokio::test]
async fn scripts_that_may_not_tell_are_told_of() {
    let server = Server::start(Kind::Redis);
    let log = Log::listen();
    let told =
        server.raw(&format!("ACL SETUSER {USER} on >{PASSWORD} {} -spublish", permissions().join(" ")));
    assert!(told.starts_with("+OK"), "{told}");
    let store = server.builder().user(USER).password(PASSWORD).build().unwrap();
    assert_eq!(everything(&store).await, Vec::<String>::new());
    let began = Instant::now();
    while log.count("WARN", "give it +spublish") == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{:#?}", log.lines());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
