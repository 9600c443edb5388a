//! The layouts of applications that do not use phpredis' own session handler, beside a Redis in which this test plays PHP.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use std::time::{Duration, Instant};

use cloakroom::{ErrorKind, Mode};
use cloakroom_redis::php::Layout;
use php_support::service::{Service, opened};

const ID: &str = "0123456789abcdefghijklmnop";

fn uma(mode: Mode) -> Service {
    Service::of(Layout::uma().user_variable("user_id"), "PHPREDIS_SESSION:", "PHPSESSID", mode)
}

fn phalcon(mode: Mode) -> Service {
    Service::of(Layout::phalcon().user_variable("user_id"), "SESSIONS:", "PHPSESSID", mode)
}

/// The lock of 1ma and Phalcon.
fn lock(service: &Service) -> String {
    format!("{}_lock", service.key(ID))
}

/// As they take it: without an owner.
fn php_locks(service: &Service, seconds: u32) -> bool {
    service.server.raw(&format!("SET {} \"\" NX EX {seconds}", lock(service))).starts_with("+OK")
}

#[tokio::test]
async fn p01_each_has_its_prefix_its_format_and_its_lifetime() {
    for (service, before, after, lifetime) in [
        (uma(Mode::Merge), r#"a|O:1:"A":0:{}n|i:1;"#, r#"a|O:1:"A":0:{}n|i:2;"#, 1440),
        (
            phalcon(Mode::Merge),
            r#"a:2:{s:1:"a";O:1:"A":0:{}s:1:"n";i:1;}"#,
            r#"a:2:{s:1:"a";O:1:"A":0:{}s:1:"n";i:2;}"#,
            3600,
        ),
    ] {
        service.php_writes(ID, before);
        let handle = service.request(ID);
        let session = opened(&handle).await;
        assert_eq!(session.update("n", |n: Option<i64>| n.unwrap() + 1).await.unwrap(), 2);
        assert_eq!(service.close(&handle).await.unwrap(), None);
        assert_eq!(service.value(ID), after);
        let left = service.left(&service.key(ID));
        assert!((lifetime * 1000 - 60_000..=lifetime * 1000).contains(&left), "{left}");
        assert!(!service.exists(&lock(&service)));
    }
}

#[tokio::test]
async fn p05_an_unknown_id_gets_a_new_one_and_no_key() {
    for service in [uma(Mode::Exclusive), phalcon(Mode::Exclusive)] {
        let handle = service.request(ID);
        opened(&handle).await.set("n", 1).unwrap();
        let id = service.close(&handle).await.unwrap().unwrap();
        assert_ne!(id, ID);
        assert!(service.exists(&service.key(&id)));
        assert!(!service.exists(&service.key(ID)) && !service.exists(&lock(&service)));
    }
}

#[tokio::test]
async fn p03_php_and_a_holder_here_exclude_each_other() {
    for service in [uma(Mode::Exclusive), phalcon(Mode::Exclusive)] {
        let handle = service.request(ID);
        opened(&handle).await.set("n", 1).unwrap();
        let id = service.close(&handle).await.unwrap().unwrap();
        let lock = format!("{}_lock", service.key(&id));
        let php_locks =
            |nx: &str| service.server.raw(&format!("SET {lock} \"\" {nx} PX 400")).starts_with("+OK");
        // Ours is held, with an owner and an expiry, and PHP waits.
        let handle = service.request(&id);
        opened(&handle).await.set("n", 2).unwrap();
        assert!(service.server.raw(&format!("GET {lock}")).contains("cloakroom|rust-"));
        assert!((1..=10_000).contains(&service.left(&lock)));
        assert!(!php_locks("NX"));
        service.close(&handle).await.unwrap();
        // Given back when the response is ready; PHP has it, and we wait.
        assert!(php_locks("NX"));
        let began = Instant::now();
        let handle = service.request(&id);
        opened(&handle).await.set("n", 3).unwrap();
        assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
        service.close(&handle).await.unwrap();
        assert!(!service.exists(&lock));
    }
}

#[tokio::test]
async fn c5_a_holder_whose_lock_php_deleted_is_refused_and_writes_nothing() {
    for (service, by_php) in [(uma(Mode::Merge), "n|i:50;"), (phalcon(Mode::Merge), r#"a:1:{s:1:"n";i:50;}"#)]
    {
        service.php_writes(ID, by_php);
        let handle = service.request(ID);
        let session = opened(&handle).await;
        let mut guard = session.lock().await.unwrap();
        guard.set("n", 2).unwrap();
        // A request of PHP's ends that had held the lock for too long: it deletes it, whosever it is. Another one takes it.
        service.server.raw(&format!("DEL {}", lock(&service)));
        assert!(php_locks(&service, 20));
        let refused = guard.commit().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::LeaseLost, "{refused:?}");
        assert_eq!(service.value(ID), by_php);
        drop(session);
        let _ = service.close(&handle).await;
        // What is not ours stays.
        assert_eq!(service.server.raw(&format!("EXISTS {}", lock(&service))).lines().next(), Some(":1"));
    }
}

#[tokio::test]
async fn p13_what_vanished_under_a_request_is_not_written_again() {
    for service in [uma(Mode::Merge), phalcon(Mode::Merge)] {
        let handle = service.request(ID);
        opened(&handle).await.set("n", 1).unwrap();
        let id = service.close(&handle).await.unwrap().unwrap();
        let handle = service.request(&id);
        opened(&handle).await.set("n", 2).unwrap();
        service.server.raw(&format!("DEL {}", service.key(&id)));
        service.close(&handle).await.unwrap();
        assert!(!service.exists(&service.key(&id)));
    }
}

#[tokio::test]
async fn x07_a_session_that_php_began_is_kept_alive_by_reading_it_here() {
    let service = uma(Mode::Merge);
    service.php_writes_for(ID, "n|i:1;", 100);
    let handle = service.request(ID);
    assert_eq!(opened(&handle).await.get("n").unwrap(), Some(1));
    service.close(&handle).await.unwrap();
    let began = Instant::now();
    while service.left(&service.key(ID)) < 1_400_000 {
        assert!(began.elapsed() < Duration::from_secs(10), "it was not touched");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(service.value(ID), "n|i:1;");
}
