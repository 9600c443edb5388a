//! One visitor on both sides: PHP-FPM with phpredis' session handler, and this library, on one Redis.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use std::sync::Arc;
use std::time::Duration;

use cloakroom_redis::php::Layout;
use cloakroom_testing::processes::rounds;
use php_support::both::{self, FORMATS};
use php_support::shop::{self, Setup, Shop};

const LOCKING: [(&str, &str); 3] = [
    ("redis.session.locking_enabled", "1"),
    ("redis.session.lock_expire", "20"),
    ("redis.session.lock_retries", "-1"),
];

/// phpredis' session handler, with the format and these settings of its lock.
fn open(format: &'static str, locking: &[(&'static str, &'static str)]) -> Arc<Shop> {
    let mut settings = vec![
        ("session.save_handler", "redis"),
        ("session.serialize_handler", format),
        ("session.use_strict_mode", "1"),
    ];
    settings.extend(locking);
    let layout = Layout::phpredis().serialize_handler(format).unwrap();
    Shop::open(Setup { called: format, settings, ..Setup::new(layout) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_in_every_format_without_locking() {
    for format in FORMATS {
        shop::a_visit(&open(format, &[]), format == "msgpack").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_in_every_format_under_phps_lock() {
    for format in FORMATS {
        shop::a_visit(&open(format, &LOCKING), format == "msgpack").await;
    }
}

/// phpredis 6 moves the expiry with the read itself (`GETEX`); phpredis 5 does not know the setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_where_php_moves_the_expiry_as_it_reads() {
    let early = ("redis.session.early_refresh", "1");
    shop::a_visit(&open("php", &[early]), false).await;
    shop::a_visit(&open("php", &[LOCKING.as_slice(), &[early]].concat()), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_two_hundred_increments_on_both_sides_at_once_are_two_hundred_in_every_format() {
    for format in FORMATS {
        for _ in 0..rounds(1, 5) {
            shop::two_hundred_increments(&open(format, &LOCKING)).await;
        }
    }
}

/// The patience that PHP has by default, 22 ms, with a `lock_expire`.
const IMPATIENT: [(&str, &str); 2] =
    [("redis.session.locking_enabled", "1"), ("redis.session.lock_expire", "20")];

/// PHP drops what it stored in a request that did not get the lock, and says so. Of ours nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_two_hundred_increments_with_phps_default_patience_lose_none_of_ours() {
    for _ in 0..rounds(1, 5) {
        let shop = open("php", &IMPATIENT);
        let mut id = None;
        shop.php("do=set&key=n&value=0", &mut id);
        both::increments(&shop, "ours", &id).await;
        assert_eq!(shop.php("do=read&key=ours", &mut id), "100");
        let lost = 100 - shop.php("do=read&key=n", &mut id).parse::<usize>().unwrap();
        let complaints = shop.php.complaints();
        assert!(complaints.lines().count() >= lost, "{lost} are lost, and PHP says only: {complaints}");
        let alone = shop::php_alone(&shop, &mut id).await;
        println!("PHP lost {lost} of its 100 increments beside 100 of ours, and {alone} of 100 alone");
        assert_eq!(shop.leftovers(), "");
    }
}

/// Six tenths of a second: longer than we have the lock for on however busy a machine, and shorter than a handler takes here.
const LESS_PATIENT_THAN_A_HANDLER: [(&str, &str); 4] = [
    ("redis.session.locking_enabled", "1"),
    ("redis.session.lock_expire", "20"),
    ("redis.session.lock_retries", "20"),
    ("redis.session.lock_wait_time", "30000"),
];

/// One request of PHP's at a time: whatever it dropped, it would drop because of us.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_slow_handlers_here_cost_php_nothing_and_lose_nothing_themselves() {
    let shop = open("php", &LESS_PATIENT_THAN_A_HANDLER);
    let mut id = None;
    shop.php("do=set&key=n&value=0", &mut id);
    let mut ours = Vec::new();
    for n in 0..4 {
        let (shop, mut id) = (shop.clone(), id.clone());
        ours.push(tokio::spawn(async move {
            for round in 0..4 {
                shop.rust(&mut id, async |session| {
                    session.set(format!("rust{n}").as_str(), round).unwrap();
                    tokio::time::sleep(Duration::from_millis(1_500)).await;
                    session.update("both", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap();
                })
                .await;
            }
        }));
    }
    let (theirs, mut by_php) = (shop.clone(), id.clone());
    let php = tokio::task::spawn_blocking(move || {
        (0..60).for_each(|_| {
            theirs.php("do=add", &mut by_php);
        });
    });
    php.await.unwrap();
    for task in ours {
        task.await.unwrap();
    }
    assert_eq!(shop.php("do=read&key=n", &mut id), "60");
    assert_eq!(shop.php("do=read&key=both", &mut id), "16");
    for n in 0..4 {
        assert_eq!(shop.php(&format!("do=read&key=rust{n}"), &mut id), "3");
    }
    shop.is_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_of_the_lock() {
    shop::hold_the_lock().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_killed_holder_leaves_a_lock_with_an_owner_and_an_expiry_and_php_goes_on() {
    let shop = open("php", &LOCKING);
    shop::a_holder_is_killed(&shop, "phpredis", "_LOCK").await;
}

/// Three servers, spread as phpredis does; without its lock, which does not work there.
fn spread() -> Arc<Shop> {
    let settings = vec![("session.save_handler", "redis"), ("session.use_strict_mode", "1")];
    Shop::open(Setup { weights: &[1, 3, 2], called: "spread", settings, ..Setup::new(Layout::phpredis()) })
}

#[cfg(feature = "config")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_servers_of_the_configuration_are_where_php_finds_its_sessions() {
    use cloakroom::SessionManager;
    use cloakroom::config::{Configuration, Drivers, Environment};

    let shop = spread();
    let weighed = shop.servers().iter().zip([1, 3, 2]);
    let listed: Vec<String> = weighed
        .map(|(server, weight)| format!("tcp://127.0.0.1:{}?weight={weight}", server.port()))
        .collect();
    let file =
        format!("driver = \"redis\"\n[connections.redis]\nlayout = \"phpredis\"\nphp_servers = {listed:?}\n");
    let env = Environment::of::<&str, &str>([]);
    let read = Configuration::parse("cloakroom.toml", file.as_bytes(), &env).unwrap();
    let drivers = Drivers::none().with(cloakroom_redis::driver(&env));
    let (store, config) = drivers.open_with_config(&read).await.unwrap();
    let sessions = SessionManager::over(store, config).unwrap();
    for n in 1..=12 {
        let mut id = None;
        shop.php(&format!("do=set&key=n&value={n}"), &mut id);
        let add = async |session: &cloakroom::Session| {
            session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap()
        };
        assert_eq!(shop.served(&sessions, &mut id, add).await, n + 1);
        assert_eq!(shop.php("do=read&key=n", &mut id), (n + 1).to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_of_several_servers_goes_on_when_php_goes() {
    let shop = spread();
    for _ in 0..6 {
        shop::a_move(&shop).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c4_visitors_are_served_by_both_on_several_servers_and_their_ids_lead_from_one_to_another() {
    let shop = spread();
    for _ in 0..12 {
        shop::a_visit(&shop, false).await;
    }
    // Ten ids in a row: each is where PHP finds it, and what it came from is nowhere.
    let mut id = None;
    shop.php("do=set&key=n&value=0", &mut id);
    for n in 1..=10 {
        let mut old = id.clone();
        shop.rust(&mut id, async |session| {
            session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap();
            session.regenerate().await.unwrap();
        })
        .await;
        assert_eq!(shop.php("do=read&key=n", &mut id), n.to_string());
        let key = format!("PHPREDIS_SESSION:{}", old.as_ref().unwrap());
        assert!(shop.servers().iter().all(|server| server.raw(&format!("EXISTS {key}")).starts_with(":0")));
        // A late logout on the old id ends the new one, wherever it is.
        if n == 10 {
            shop.rust(&mut old, async |session| session.destroy().await.unwrap()).await;
        }
    }
    assert!(shop.servers().iter().all(|server| !server.raw("DBSIZE").starts_with(":0")), "one has nothing");
    shop.is_content();
}
