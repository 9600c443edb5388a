//! The layout of Symfony, beside a Redis in which this test plays Symfony.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use cloakroom::{ErrorKind, Mode};
use cloakroom_redis::php::Layout;
use php_support::service::{Service, opened};

const ID: &str = "0123456789abcdefghijklmnop";
/// A login of Symfony's, and what follows the attributes.
const TOKEN: &str = r#"s:14:"_security_main";s:12:"O:5:"T":0:{}";"#;

fn service(layout: Layout) -> Service {
    Service::of(layout, "sf_s", "PHPSESSID", Mode::Merge)
}

/// What Symfony has of these attributes.
fn session(attributes: &str, used: u64) -> String {
    format!(
        "_sf2_attributes|{attributes}_sf2_meta|a:3:{{s:1:\"u\";i:{used};s:1:\"c\";i:1700000000;s:1:\"l\";i:0;}}"
    )
}

/// A stored session, and when it was used last: that was just now.
fn used_now(stored: &str) -> u64 {
    let (_, used) = stored.split_once("s:1:\"u\";i:").unwrap();
    let used: u64 = used.split(';').next().unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((now - 60..=now + 1).contains(&used), "{used}");
    used
}

#[tokio::test]
async fn attributes_are_the_sessions_keys_and_the_rest_is_symfonys() {
    let service = service(Layout::symfony());
    service.php_writes(ID, session(&format!("a:2:{{s:1:\"n\";i:1;{TOKEN}}}"), 1_700_000_000));
    let handle = service.request(ID);
    let opened = opened(&handle).await;
    assert_eq!(opened.keys(), ["n", "_security_main"]);
    opened.set("n", 2).unwrap();
    opened.set("a|b", "any name is carried in a bag").unwrap();
    service.close(&handle).await.unwrap();
    let stored = service.value(ID);
    let attributes =
        format!("a:3:{{s:1:\"n\";i:2;{TOKEN}s:3:\"a|b\";s:28:\"any name is carried in a bag\";}}");
    assert_eq!(stored, session(&attributes, used_now(&stored)));
    assert!(service.left(&service.key(ID)) <= 1_440_000);
}

#[tokio::test]
async fn a_session_is_begun_as_symfony_begins_one_and_an_empty_bag_is_not_stored() {
    let service = service(Layout::symfony().user_variable("user_id"));
    let handle = service.request(ID);
    let session = opened(&handle).await;
    session.set("n", 1).unwrap();
    session.login("7").await.unwrap();
    let id = service.close(&handle).await.unwrap().unwrap();
    let stored = service.value(&id);
    let used = used_now(&stored);
    assert_eq!(
        stored,
        format!(
            "_sf2_attributes|a:2:{{s:1:\"n\";i:1;s:7:\"user_id\";i:7;}}_sf2_meta|a:3:{{s:1:\"u\";i:{used};s:1:\"c\";i:{used};s:1:\"l\";i:0;}}"
        )
    );
    // The last attribute goes, and its bag with it.
    service.php_writes(ID, self::session("a:1:{s:1:\"n\";i:1;}", 1_700_000_000));
    let handle = service.request(ID);
    opened(&handle).await.remove("n").unwrap();
    service.close(&handle).await.unwrap();
    assert!(service.value(ID).starts_with("_sf2_meta|a:3:{"), "{}", service.value(ID));
}

#[tokio::test]
async fn a_login_is_refused_where_no_attribute_says_who_it_is() {
    let service = service(Layout::symfony());
    service.php_writes(ID, session(&format!("a:1:{{{TOKEN}}}"), 1_700_000_000));
    let handle = service.request(ID);
    let session = opened(&handle).await;
    assert!(session.user().is_none(), "Symfony's token is not looked into");
    let refused = session.login("7").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Encode);
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("user_variable"));
    assert!(service.value(ID).contains(TOKEN));
}

#[tokio::test]
async fn c5_the_lock_is_a_key_of_ours_and_excludes_our_writes() {
    let service = service(Layout::symfony());
    service.php_writes(ID, session("a:1:{s:1:\"n\";i:1;}", 1_700_000_000));
    let handle = service.request(ID);
    let session = opened(&handle).await;
    let mut guard = session.lock().await.unwrap();
    let keys =
        "EVAL \"local n='' for _,k in ipairs(redis.call('KEYS','*lock*')) do n=n..k..' ' end return n\" 0";
    let locks = service.server.raw(keys);
    assert!(locks.contains("cloakroom:php-lock:") && !locks.contains(ID), "{locks}");
    let other = service.request(ID);
    let waits = opened(&other).await;
    let waiting = tokio::spawn(async move { waits.update("n", |n: Option<i64>| n.unwrap_or(0) + 10).await });
    guard.set("n", 2).unwrap();
    guard.commit().await.unwrap();
    service.close(&handle).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 12);
    service.close(&other).await.unwrap();
    assert!(!service.server.raw(keys).contains("php-lock"));
}
