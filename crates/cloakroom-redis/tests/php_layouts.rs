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
        let began = Instant::now();
        assert!(php_locks("NX"));
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
        assert!(began.elapsed() < Duration::from_secs(20), "it was not touched");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(service.value(ID), "n|i:1;");
}

const AMP_ID: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEF-_0123";

fn amp(layout: Layout) -> Service {
    Service::of(layout.user_variable("user_id"), "session:", "session", Mode::Merge)
}

/// A lock of ours where PHP takes none.
fn own_locks(service: &Service) -> i64 {
    let count = "local n=0 for _,k in ipairs(redis.call('KEYS','cloakroom:php-lock:*')) do if redis.call('PTTL',k)>0 then n=n+1 end end return n";
    let answer = service.server.raw(&format!("EVAL \"{count}\" 0"));
    answer.strip_prefix(':').unwrap().lines().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn x06_ids_are_48_characters_of_base64url_and_nothing_else_is_looked_up() {
    let service = amp(Layout::amp());
    let handle = service.request(AMP_ID);
    opened(&handle).await.set("n", 1).unwrap();
    let id = service.close(&handle).await.unwrap().unwrap();
    assert_ne!(id, AMP_ID);
    assert!(!service.exists(&service.key(AMP_ID)));
    assert!(id.len() == 48 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{id}");
    let left = service.left(&service.key(&id));
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    service.server.forget_calls();
    for strange in [&AMP_ID[1..], &format!("{AMP_ID}0"), &AMP_ID.replace('-', "+")] {
        let handle = service.request(strange);
        assert!(opened(&handle).await.is_empty(), "{strange}");
    }
    assert_eq!(service.server.calls("evalsha"), 0);
}

#[tokio::test]
async fn x01_values_of_amphp_are_read_and_written_compressed_or_not() {
    let service = amp(Layout::amp());
    service.php_writes(AMP_ID, b"\0a:1:{s:1:\"n\";i:1;}");
    let handle = service.request(AMP_ID);
    let session = opened(&handle).await;
    session.put("n", 2).await.unwrap();
    assert_eq!(service.bytes(AMP_ID), b"\0a:1:{s:1:\"n\";i:2;}");
    session.put("long", "x".repeat(1000)).await.unwrap();
    let stored = service.bytes(AMP_ID);
    assert!(stored[0] == 1 && stored.len() < 100, "{}", stored.len());
    service.close(&handle).await.unwrap();
    let handle = service.request(AMP_ID);
    assert_eq!(opened(&handle).await.get::<String>("long").unwrap().unwrap().len(), 1000);
}

#[tokio::test]
async fn x05_an_emptied_session_is_no_key_of_phps_and_goes_on_here() {
    let service = amp(Layout::amp());
    service.php_writes(AMP_ID, b"\0a:1:{s:1:\"n\";i:1;}");
    // Another request began before, and writes after.
    let late = service.request(AMP_ID);
    let other = opened(&late).await;
    other.set("late", true).unwrap();
    let handle = service.request(AMP_ID);
    let session = opened(&handle).await;
    session.remove("n").unwrap();
    session.flash("Emptied.").unwrap();
    service.close(&handle).await.unwrap();
    assert!(!service.exists(&service.key(AMP_ID)));
    let handle = service.request(AMP_ID);
    let told: Vec<String> = opened(&handle).await.flashes().unwrap();
    assert_eq!(told, ["Emptied."]);
    assert_eq!(service.close(&handle).await.unwrap(), None);
    assert!(!service.exists(&service.key(AMP_ID)));
    // C1: nothing that was acknowledged is lost, and the id is the same.
    assert_eq!(service.close(&late).await.unwrap(), None);
    assert_eq!(service.bytes(AMP_ID), b"\0a:1:{s:4:\"late\";b:1;}");
    // PHP goes on with it as well.
    service.php_writes(AMP_ID, b"\0a:1:{s:1:\"n\";i:7;}");
    let handle = service.request(AMP_ID);
    assert_eq!(opened(&handle).await.get("n").unwrap(), Some(7));
    // PHP's logout is one: there were variables.
    service.server.raw(&format!("DEL {}", service.key(AMP_ID)));
    let handle = service.request(AMP_ID);
    let session = opened(&handle).await;
    session.set("n", 1).unwrap();
    assert_ne!(service.close(&handle).await.unwrap().unwrap(), AMP_ID);
    assert!(!service.exists(&service.key(AMP_ID)));
}

#[tokio::test]
async fn x04_a_lock_is_ours_alone_or_amphps_where_it_has_one() {
    let service = amp(Layout::amp());
    service.php_writes(AMP_ID, b"\0a:1:{s:1:\"n\";i:1;}");
    let handle = service.request(AMP_ID);
    let session = opened(&handle).await;
    let mut guard = session.lock().await.unwrap();
    assert_eq!(own_locks(&service), 1);
    guard.set("n", 2).unwrap();
    guard.commit().await.unwrap();
    assert_eq!(own_locks(&service), 0);

    let service = amp(Layout::amp().redis_mutex("shop:").unwrap());
    service.php_writes(AMP_ID, b"\0a:1:{s:1:\"n\";i:1;}");
    let lock = format!("shop:lock:{AMP_ID}");
    let handle = service.request(AMP_ID);
    let session = opened(&handle).await;
    let mut guard = session.lock().await.unwrap();
    assert!((1..=10_000).contains(&service.left(&lock)));
    guard.set("n", 2).unwrap();
    guard.commit().await.unwrap();
    assert!(!service.exists(&lock));
    // Theirs is waited for.
    let began = Instant::now();
    service.server.raw(&format!("SET {lock} c29tZWJvZHkgb2YgYW1w PX 400"));
    session.put("n", 3).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    assert!(Layout::uma().redis_mutex("").unwrap_err().to_string().contains("RedisMutex"));
}

#[tokio::test]
async fn r03_the_cookies_of_resonance_and_phenix_are_theirs() {
    let handle_of = async |service: &Service| {
        let handle = service.request("");
        opened(&handle).await.set("n", 1).unwrap();
        service.close_with_cookie(&handle).await.unwrap().unwrap()
    };
    let resonance = Service::of(Layout::resonance(), "dm:.session", "dmsession", Mode::Merge);
    let cookie = handle_of(&resonance).await;
    let id = cookie.strip_prefix("dmsession=").unwrap().split(';').next().unwrap();
    assert!(id.len() == 256 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{id}");
    for attribute in ["Secure", "HttpOnly", "SameSite=Strict", "Max-Age=86400", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let phenix = Service::of(Layout::phenix(), "session:", "phenix_session", Mode::Merge);
    let cookie = handle_of(&phenix).await;
    assert!(cookie.starts_with("phenix_session=") && cookie.contains("Max-Age=7200"), "{cookie}");
}

#[tokio::test]
async fn r06_a_key_of_resonance_that_never_expires_is_read_and_gets_an_expiry() {
    let service = Service::of(Layout::resonance(), "dm:.session", "dmsession", Mode::Merge);
    let id = "0123456789abcdef".repeat(16);
    // igbinary_serialize(['n' => 1])
    let stored = b"\0\0\0\x02\x14\x01\x11\x01n\x06\x01";
    let expires = async || {
        let began = Instant::now();
        while !(80_000_000..=86_400_000).contains(&service.left(&service.key(&id))) {
            assert!(began.elapsed() < Duration::from_secs(20), "{}", service.left(&service.key(&id)));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    service.php_writes_for(&id, stored, 0);
    let handle = service.request(&id);
    assert_eq!(opened(&handle).await.get("n").unwrap(), Some(1));
    service.close(&handle).await.unwrap();
    expires().await;
    assert_eq!(service.bytes(&id), stored);
    // PHP's next write takes it away, ours gives it again.
    service.php_writes_for(&id, stored, 0);
    assert_eq!(service.left(&service.key(&id)), -1);
    let handle = service.request(&id);
    opened(&handle).await.put("n", 2).await.unwrap();
    service.close(&handle).await.unwrap();
    expires().await;
}

/// `igbinary_unserialize()` refuses it; what `unserialize()` makes of it depends on PHP's version.
#[tokio::test]
async fn r06_what_stands_behind_a_value_of_resonance_or_instead_of_it_is_an_error_and_stays() {
    let id = "0123456789abcdef".repeat(16);
    let igbinary = b"\0\0\0\x02\x14\x01\x11\x01n\x06\x01";
    for (format, stored) in [("igbinary", igbinary.as_slice()), ("php_serialize", br#"a:1:{s:1:"n";i:1;}"#)] {
        let layout = Layout::resonance().serialize_handler(format).unwrap();
        let service = Service::of(layout, "dm:.session", "dmsession", Mode::Merge);
        service.php_writes_for(&id, stored, 0);
        let handle = service.request(&id);
        assert_eq!(opened(&handle).await.get("n").unwrap(), Some(1), "{format}");
        service.close(&handle).await.unwrap();
        for wrong in
            [[stored, b"x"].concat(), [stored, stored].concat(), [stored, b"\0"].concat(), Vec::new()]
        {
            service.php_writes_for(&id, &wrong, 0);
            let handle = service.request(&id);
            assert_eq!(handle.open().await.unwrap_err().kind(), ErrorKind::Decode, "{format} {wrong:?}");
            assert_eq!(service.bytes(&id), wrong, "{format}");
        }
    }
}
