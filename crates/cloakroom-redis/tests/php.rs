//! The layout of phpredis, beside a Redis in which this test plays PHP.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use std::time::Duration;

use cloakroom::{ErrorKind, LockGuard, Mode, SessionManager};
use cloakroom_redis::php::{Layout, PhpServer, PhpStore};
use php_support::service::{Service, opened};
use support::{Kind, Server};

const ID: &str = "0123456789abcdefghijklmnop";

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn what_php_wrote_is_read_and_php_reads_what_is_written() {
    let service = Service::new();
    service.php_writes(ID, r#"who|O:4:"User":1:{s:4:"name";s:3:"Ann";}basket|a:1:{i:0;s:2:"A1";}again|r:1;"#);
    let handle = service.request(ID);
    let session = opened(&handle).await;
    let mut basket: Vec<String> = session.get("basket").unwrap().unwrap();
    assert_eq!(basket, ["A1"]);
    basket.push("B2".to_owned());
    session.set("basket", &basket).unwrap();
    assert_eq!(service.close(&handle).await.unwrap(), None);
    // The object and what refers to it are as they were.
    let now = r#"who|O:4:"User":1:{s:4:"name";s:3:"Ann";}basket|a:2:{i:0;s:2:"A1";i:1;s:2:"B2";}again|r:1;"#;
    assert_eq!(service.value(ID), now);
    assert!(!service.exists(&format!("PHPREDIS_SESSION:{ID}_LOCK")));
    let without_expiry = service.server.raw("EVAL \"local n=0 for _,k in ipairs(redis.call('KEYS','*')) do if redis.call('PTTL',k)<0 then n=n+1 end end return n\" 0");
    assert!(without_expiry.starts_with(":0"), "{without_expiry}");
}

#[tokio::test]
async fn c3_an_id_that_php_does_not_have_is_not_adopted_and_new_ones_fit_phps_checks() {
    let service = Service::on(Layout::phpredis().sid(32, 6).unwrap(), Mode::Merge);
    let handle = service.request(ID);
    let session = opened(&handle).await;
    assert!(session.is_empty());
    session.set("n", 1).unwrap();
    let id = service.close(&handle).await.unwrap().unwrap();
    assert_ne!(id, ID);
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
    assert!(!service.exists(&format!("PHPREDIS_SESSION:{ID}")));
    assert_eq!(service.value(&id), "n|i:1;");
}

#[tokio::test]
async fn c1_a_write_of_phps_in_between_is_noticed_by_its_bytes_and_both_survive() {
    let service = Service::new();
    service.php_writes(ID, "a|i:1;b|i:1;");
    let handle = service.request(ID);
    let session = opened(&handle).await;
    assert_eq!(session.get("a").unwrap(), Some(1));
    session.set("b", 22).unwrap();
    service.php_writes(ID, "a|i:99;b|i:1;c|i:3;");
    service.close(&handle).await.unwrap();
    assert_eq!(service.value(ID), "a|i:99;b|i:22;c|i:3;");

    // What was read and then written is a conflict.
    let handle = service.request(ID);
    let session = opened(&handle).await;
    let a: i64 = session.get("a").unwrap().unwrap();
    session.set("a", a + 1).unwrap();
    service.php_writes(ID, "a|i:100;b|i:22;c|i:3;");
    assert_eq!(service.close(&handle).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(service.value(ID), "a|i:100;b|i:22;c|i:3;");
}

#[tokio::test]
async fn c5_a_write_waits_for_phps_lock_and_leaves_none() {
    let service = Service::new();
    service.php_writes(ID, "n|i:1;");
    let began = std::time::Instant::now();
    service.php_locks(ID, 400);
    let handle = service.request(ID);
    let session = opened(&handle).await;
    assert_eq!(session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap(), 2);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    service.close(&handle).await.unwrap();
    assert_eq!(service.value(ID), "n|i:2;");
    assert!(!service.exists(&format!("PHPREDIS_SESSION:{ID}_LOCK")));
}

#[tokio::test]
async fn c5_lock_and_exclusive_mode_hold_phps_lock_with_an_expiry_and_give_it_back() {
    let lock = format!("PHPREDIS_SESSION:{ID}_LOCK");
    let held = |service: &Service| {
        let left = service.server.raw(&format!("PTTL {lock}"));
        left.strip_prefix(':').unwrap().lines().next().unwrap().parse::<i64>().unwrap()
    };
    let service = Service::new();
    service.php_writes(ID, "n|i:1;");
    let handle = service.request(ID);
    let session = opened(&handle).await;
    let mut guard: LockGuard = assert_send(session.lock().await.unwrap());
    assert!((1..=10_000).contains(&held(&service)));
    // What phpredis would send is refused.
    assert!(!service.server.raw(&format!("SET {lock} web-1|1 NX PX 100")).starts_with("+OK"));
    guard.set("n", 5).unwrap();
    guard.commit().await.unwrap();
    service.close(&handle).await.unwrap();
    assert_eq!((service.value(ID).as_str(), held(&service)), ("n|i:5;", -2));

    let service = Service::on(Layout::phpredis(), Mode::Exclusive);
    service.php_writes(ID, "n|i:1;");
    let handle = service.request(ID);
    let session = opened(&handle).await;
    assert!((1..=10_000).contains(&held(&service)));
    session.set("n", 2).unwrap();
    service.close(&handle).await.unwrap();
    assert_eq!((service.value(ID).as_str(), held(&service)), ("n|i:2;", -2));
}

#[tokio::test]
async fn c2_c4_a_logout_or_change_of_id_on_either_side_is_one_on_both() {
    let service = Service::new();
    // PHP logs out while a request of ours runs: what it buffered was before that.
    service.php_writes(ID, "n|i:1;user_id|i:7;");
    let handle = service.request(ID);
    let session = opened(&handle).await;
    assert_eq!(session.user().map(|user| user.as_str().to_owned()), Some("7".to_owned()));
    session.set("n", 2).unwrap();
    service.server.raw(&format!("DEL PHPREDIS_SESSION:{ID}"));
    service.close(&handle).await.unwrap();
    assert!(!service.exists(&format!("PHPREDIS_SESSION:{ID}")));

    // Ours: PHP's key is gone, and an old id does not load, whoever writes it back.
    service.php_writes(ID, "n|i:1;user_id|i:7;");
    let handle = service.request(ID);
    opened(&handle).await.destroy().await.unwrap();
    service.close(&handle).await.unwrap();
    assert!(!service.exists(&format!("PHPREDIS_SESSION:{ID}")));
    service.php_writes(ID, "n|i:1;user_id|i:7;");
    let handle = service.request(ID);
    assert!(opened(&handle).await.is_empty());

    // A new id has all that the old one had.
    let other = ID.replace('0', "z");
    service.php_writes(&other, r#"who|O:4:"User":0:{}n|i:1;"#);
    let handle = service.request(&other);
    opened(&handle).await.regenerate().await.unwrap();
    let id = service.close(&handle).await.unwrap().unwrap();
    assert!(!service.exists(&format!("PHPREDIS_SESSION:{other}")));
    assert_eq!(service.value(&id), r#"who|O:4:"User":0:{}n|i:1;"#);
}

#[tokio::test]
async fn a_login_is_phps_own_variable_and_is_not_taken_back_by_what_follows() {
    let service = Service::new();
    service.php_writes(ID, "n|i:1;");
    let handle = service.request(ID);
    let session = opened(&handle).await;
    session.login("7").await.unwrap();
    session.set("n", 2).unwrap();
    let id = service.close(&handle).await.unwrap().unwrap();
    assert_eq!(service.value(&id), "n|i:2;user_id|i:7;");
    // PHP takes the user away: nobody is logged in here either.
    service.php_writes(&id, "n|i:2;");
    let handle = service.request(&id);
    assert!(opened(&handle).await.user().is_none());

    let service = Service::on(Layout::phpredis(), Mode::Merge);
    service.php_writes(ID, "n|i:1;");
    let handle = service.request(ID);
    let refused = opened(&handle).await.login("7").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Encode);
    assert!(
        std::error::Error::source(&refused).unwrap().to_string().contains("user_variable"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_connection_that_outlives_its_request_is_told_of_the_end_under_a_later_id() {
    let service = Service::new();
    service.php_writes(ID, "n|i:1;");
    let handle = service.request(ID);
    let ended = opened(&handle).await.ended();
    service.close(&handle).await.unwrap();
    drop(handle);
    let handle = service.request(ID);
    opened(&handle).await.regenerate().await.unwrap();
    let id = service.close(&handle).await.unwrap().unwrap();
    drop(handle);
    let waiting = tokio::spawn(ended);
    // The first look follows the session to its new id, by what is left under the old one.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    service.server.raw(&format!("DEL PHPREDIS_SESSION:{id}"));
    tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap().unwrap();
}

/// PHP began it, and nothing is beside it.
#[tokio::test]
async fn a_visit_that_is_due_keeps_a_session_of_phps_alive_though_nothing_is_written() {
    let service = Service::new();
    service.php_writes(ID, "n|i:1;");
    let left = || -> i64 {
        let left = service.server.raw(&format!("TTL PHPREDIS_SESSION:{ID}"));
        left.strip_prefix(':').unwrap().lines().next().unwrap().parse().unwrap()
    };
    service.server.raw(&format!("EXPIRE PHPREDIS_SESSION:{ID} 1000"));
    let handle = service.request(ID);
    assert_eq!(opened(&handle).await.get("n").unwrap(), Some(1));
    service.close(&handle).await.unwrap();
    // The touch is detached from the request, and made when that is gone.
    drop(handle);
    let began = std::time::Instant::now();
    while left() < 1400 {
        assert!(began.elapsed() < Duration::from_secs(20), "it was not touched: {} s are left", left());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(service.value(ID), "n|i:1;");
}

#[tokio::test]
async fn an_id_with_a_comma_is_read_as_php_sends_it() {
    let service = Service::new();
    let id = "0123456789,abcdef-GHIJKLMN";
    service.php_writes(id, "n|i:1;");
    for sent in [id.replace(',', "%2C"), id.replace(',', "%2c"), id.to_owned()] {
        let handle = service.request(&sent);
        assert_eq!(opened(&handle).await.get("n").unwrap(), Some(1), "{sent}");
    }
    // Nothing else is an id, whatever Redis has under such a key.
    for strange in ["0123456789", "0123456789%00abcdefghijklmnop", "../../../../../../../etc/passwd"] {
        let handle = service.request(strange);
        assert!(opened(&handle).await.is_empty(), "{strange}");
    }
}

#[tokio::test]
async fn reading_is_one_command_and_writing_two() {
    let service = Service::new();
    service.php_writes(ID, "n|i:1;");
    let visit = async || {
        let handle = service.request(ID);
        let session = opened(&handle).await;
        let n: i64 = session.get("n").unwrap().unwrap();
        session.set("n", n + 1).unwrap();
        service.close(&handle).await.unwrap();
    };
    // The scripts are known after the first time.
    visit().await;
    service.server.forget_calls();
    visit().await;
    assert_eq!(service.server.calls("evalsha"), 3, "one to open; one to look and one to write");
    assert_eq!(service.server.calls("eval"), 0);
}

#[tokio::test]
async fn c9_what_the_format_cannot_carry_is_refused_and_phps_value_left_alone() {
    let service = Service::new();
    service.php_writes(ID, "n|i:1;");
    let handle = service.request(ID);
    let session = opened(&handle).await;
    assert_eq!(session.put("a|b", 1).await.unwrap_err().kind(), ErrorKind::Encode);
    assert_eq!(service.value(ID), "n|i:1;");
    // What PHP could not read either is an error, and stays.
    service.php_writes(ID, "n|i:1");
    let handle = service.request(ID);
    assert_eq!(handle.open().await.unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(service.value(ID), "n|i:1");
}

#[tokio::test]
async fn flash_messages_and_csrf_tokens_stay_out_of_phps_value() {
    let service = Service::new();
    service.php_writes(ID, "n|i:1;");
    let handle = service.request(ID);
    opened(&handle).await.flash("Added.").unwrap();
    service.close(&handle).await.unwrap();
    assert_eq!(service.value(ID), "n|i:1;");
    let handle = service.request(ID);
    let told: Vec<String> = opened(&handle).await.flashes().unwrap();
    assert_eq!(told, ["Added."]);
}

/// The cookie that a response sets tells the new id, whichever of the two the request came with; and no lock is left on either.
#[tokio::test]
async fn s30_an_old_id_in_its_grace_is_told_the_new_one() {
    for mode in [Mode::Merge, Mode::Exclusive] {
        let layout = Layout::phpredis();
        let server = Server::start(Kind::Redis);
        let (every, grace) = (Duration::from_millis(3000), Duration::from_millis(2900));
        let config = layout.session_config().mode(mode).renewal(every, grace);
        let store = PhpStore::new(PhpServer::new(server.builder()).unwrap(), layout);
        let service = Service::over(server, SessionManager::new(store, config).unwrap());
        let old = one_request(&service, ID).await.unwrap();
        tokio::time::sleep(Duration::from_millis(3010)).await;
        let new = one_request(&service, &old).await.unwrap();
        assert_ne!(new, old);
        until_free(&service, &new).await;
        assert_eq!(one_request(&service, &old).await, Some(new.clone()), "{mode:?}");
        until_free(&service, &new).await;
        assert!(!service.exists(&format!("PHPREDIS_SESSION:{old}_LOCK")));
    }
}

/// A request that begins the session, or finds it; tells the id in its response.
async fn one_request(service: &Service, id: &str) -> Option<String> {
    let handle = service.request(id);
    let session = opened(&handle).await;
    match session.get::<i64>("n").unwrap() {
        None => session.set("n", 1).unwrap(),
        Some(n) => assert_eq!(n, 1),
    }
    drop(session);
    service.close(&handle).await.unwrap()
}

/// The lock is given back behind the response, and long before it would end by itself.
async fn until_free(service: &Service, id: &str) {
    let since = std::time::Instant::now();
    while service.exists(&format!("PHPREDIS_SESSION:{id}_LOCK")) {
        assert!(since.elapsed() < Duration::from_secs(7), "a lock is left");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
