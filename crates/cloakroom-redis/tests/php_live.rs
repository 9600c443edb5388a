//! One visitor on both sides: PHP-FPM with phpredis' session handler, and this library, on one Redis.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "support/fpm.rs"]
mod fpm;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Locking, Session, SessionHandle, SessionManager};
use cloakroom_redis::php::{Layout, PhpServer, PhpStore};
use fpm::Fpm;
use http::{HeaderMap, Request, StatusCode};
use support::{Kind, Server};

const FORMATS: [&str; 5] = ["php", "php_serialize", "php_binary", "igbinary", "msgpack"];

/// A PHP application and a service of ours.
struct Shop {
    php: Fpm,
    rust: SessionManager,
    server: Server,
    format: &'static str,
}

impl Shop {
    fn open(format: &'static str, locking: &[(&str, &str)]) -> Arc<Self> {
        let server = Server::start(Kind::Redis);
        let save_path = format!("tcp://127.0.0.1:{}", server.port());
        let mut settings = vec![
            ("session.save_handler", "redis"),
            ("session.save_path", save_path.as_str()),
            ("session.serialize_handler", format),
            ("session.sid_length", "26"),
            ("session.sid_bits_per_character", "5"),
            ("session.use_strict_mode", "1"),
            ("serialize_precision", "-1"),
        ];
        settings.extend(locking);
        let php = Fpm::start(include_str!("page.php"), &settings);
        let layout = Layout::phpredis().serialize_handler(format).unwrap().user_variable("user_id");
        let config =
            layout.session_config().locking(Locking { wait: Duration::from_secs(30), ..layout.locking() });
        let config = config.deadlines(Duration::from_secs(30), Duration::from_secs(2));
        let rust =
            SessionManager::new(PhpStore::new(PhpServer::new(server.builder()).unwrap(), layout), config)
                .unwrap();
        Arc::new(Shop { php, rust, server, format })
    }

    /// Lets PHP do something; follows the id.
    fn php(&self, query: &str, id: &mut Option<String>) -> String {
        let page = self.php.get(query, id.as_deref());
        if page.id.is_some() {
            *id = page.id;
        }
        page.body
    }

    fn request(&self, id: &Option<String>) -> SessionHandle {
        let mut request = Request::builder();
        if let Some(id) = id {
            request = request.header("cookie", format!("PHPSESSID={id}"));
        }
        self.rust.open(&request.body(()).unwrap(), None)
    }

    /// Lets a handler of ours do something; follows the id.
    async fn rust<T>(&self, id: &mut Option<String>, handler: impl AsyncFnOnce(&Session) -> T) -> T {
        let handle = self.request(id);
        let session = handle.open().await.unwrap();
        let answer = handler(&session).await;
        let mut headers = HeaderMap::new();
        if let cloakroom::Outcome::Failed(error) =
            self.rust.close(&handle, StatusCode::OK, &mut headers).await
        {
            panic!("{}: {error}", self.format);
        }
        if let Some(cookie) = headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap().strip_prefix("PHPSESSID=").unwrap().to_owned();
            *id = cookie.split(';').next().filter(|id| !id.is_empty()).map(str::to_owned);
        }
        answer
    }

    fn leftovers(&self) -> String {
        let script = "local all='' for _,key in ipairs(redis.call('KEYS','*')) do if string.find(key,'_LOCK') or redis.call('PTTL',key)<0 then all=all..key..' ' end end return all";
        let answer = self.server.raw(&format!("EVAL \"{script}\" 0"));
        answer.split_once("\r\n").unwrap().1.split("\r\n").next().unwrap().to_owned()
    }

    fn is_content(&self) {
        assert_eq!(self.php.complaints(), "", "{}", self.format);
        assert_eq!(self.leftovers(), "", "{}", self.format);
    }
}

const LOCKING: [(&str, &str); 3] = [
    ("redis.session.locking_enabled", "1"),
    ("redis.session.lock_expire", "20"),
    ("redis.session.lock_retries", "-1"),
];

/// What one visitor does on both sides.
async fn a_visit(format: &'static str, locking: &[(&str, &str)]) {
    let shop = Shop::open(format, locking);
    // Each reads what the other set.
    let mut id = None;
    shop.php("do=set&key=basket&value=%5B%7B%22sku%22%3A%22A1%22%2C%22qty%22%3A2%7D%5D", &mut id);
    let by_php = id.clone();
    let basket: Vec<BTreeMap<String, serde_json::Value>> =
        shop.rust(&mut id, async |session| session.get("basket").unwrap().unwrap()).await;
    assert_eq!(serde_json::to_string(&basket).unwrap(), r#"[{"qty":2,"sku":"A1"}]"#, "{format}");
    shop.rust(&mut id, async |session| {
        session
            .set("note", serde_json::json!({ "text": "für 5 €", "ok": true, "f": 0.5, "n": null }))
            .unwrap();
    })
    .await;
    assert_eq!(id, by_php, "{format}: the id stays");
    let note: serde_json::Value = serde_json::from_str(&shop.php("do=read&key=note", &mut id)).unwrap();
    assert_eq!(note, serde_json::json!({ "text": "für 5 €", "ok": true, "f": 0.5, "n": null }), "{format}");

    // What PHP alone understands is intact after a change beside it. PHP's msgpack cannot keep references.
    let plain = if format == "msgpack" { "&plain=1" } else { "" };
    shop.php(&format!("do=objects{plain}"), &mut id);
    shop.rust(&mut id, async |session| session.put("note", "changed").await.unwrap()).await;
    assert_eq!(shop.php(&format!("do=intact{plain}"), &mut id), "true", "{format}");

    // Logged in there is logged in here, on the new id.
    let before = id.clone();
    shop.php("do=login", &mut id);
    assert_ne!(id, before, "{format}");
    let user = shop.rust(&mut id, async |session| session.user().map(|user| user.as_str().to_owned())).await;
    assert_eq!(user.as_deref(), Some("7"), "{format}");
    let mut old = before;
    assert!(shop.rust(&mut old, async |session| session.is_empty()).await, "{format}");

    // A new id on either side is followed by the other.
    shop.php("do=regenerate", &mut id);
    shop.rust(&mut id, async |session| session.regenerate().await.unwrap()).await;
    assert_eq!(shop.php("do=read&key=note", &mut id), "\"changed\"", "{format}");

    // A logout on either side is one on both.
    let mut gone = id.clone();
    shop.rust(&mut id, async |session| session.destroy().await.unwrap()).await;
    assert_eq!(shop.php("do=read&key=user_id", &mut gone), "null", "{format}");
    let mut id = None;
    shop.rust(&mut id, async |session| {
        session.set("n", 1).unwrap();
        session.login("9").await.unwrap();
    })
    .await;
    assert_eq!(shop.php("do=read&key=user_id", &mut id), "9", "{format}");
    shop.php("do=logout", &mut id.clone());
    assert!(shop.rust(&mut id, async |session| session.is_empty()).await, "{format}");
    shop.is_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_in_every_format_without_locking() {
    for format in FORMATS {
        a_visit(format, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_both_in_every_format_under_phps_lock() {
    for format in FORMATS {
        a_visit(format, &LOCKING).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_two_hundred_increments_on_both_sides_at_once_are_two_hundred() {
    let rounds = if std::env::var_os("CLOAKROOM_LONG").is_some() { 25 } else { 1 };
    for _ in 0..rounds {
        two_hundred_increments().await;
    }
}

async fn two_hundred_increments() {
    let shop = Shop::open("php", &LOCKING);
    let mut id = None;
    shop.php("do=set&key=n&value=0", &mut id);
    let mut tasks = Vec::new();
    for task in 0..20 {
        let (shop, mut id) = (shop.clone(), id.clone());
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                if task % 2 == 0 {
                    let (shop, mut id) = (shop.clone(), id.clone());
                    tokio::task::spawn_blocking(move || shop.php("do=add", &mut id)).await.unwrap();
                } else {
                    shop.rust(&mut id, async |session| {
                        session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap()
                    })
                    .await;
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(shop.php("do=read&key=n", &mut id), "200");
    shop.is_content();
}

/// With the patience that PHP has by default, 22 ms, and a `lock_expire`: what PHP drops, it drops because of itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_slow_handlers_here_cost_php_nothing_and_lose_nothing_themselves() {
    let impatient = [("redis.session.locking_enabled", "1"), ("redis.session.lock_expire", "20")];
    let shop = Shop::open("php", &impatient);
    let mut id = None;
    shop.php("do=set&key=n&value=0", &mut id);
    let mut ours = Vec::new();
    for n in 0..4 {
        let (shop, mut id) = (shop.clone(), id.clone());
        ours.push(tokio::spawn(async move {
            for round in 0..10 {
                shop.rust(&mut id, async |session| {
                    session.set(format!("rust{n}").as_str(), round).unwrap();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    session.update("both", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap();
                })
                .await;
            }
        }));
    }
    // One request of PHP's at a time: whatever it loses, it would lose to us.
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
    assert_eq!(shop.php("do=read&key=both", &mut id), "40");
    for n in 0..4 {
        assert_eq!(shop.php(&format!("do=read&key=rust{n}"), &mut id), "9");
    }
    shop.is_content();
}

/// The process of a holder: this very test program, which takes the lock and waits to be killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_of_the_lock() {
    let Ok(told) = std::env::var("CLOAKROOM_TEST_HOLDER") else { return };
    let (port, id) = told.split_once(' ').unwrap();
    let layout = Layout::phpredis();
    let short = Locking { lease: Duration::from_millis(1500), ..Locking::default() };
    let config = layout.session_config().locking(short);
    let server = cloakroom_redis::RedisStore::builder(&format!("redis://127.0.0.1:{port}/0")).unwrap();
    let sessions =
        SessionManager::new(PhpStore::new(PhpServer::new(server).unwrap(), layout), config).unwrap();
    let request = Request::builder().header("cookie", format!("PHPSESSID={id}")).body(()).unwrap();
    let session = sessions.open(&request, None).open().await.unwrap();
    let _guard = session.lock().await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c5_a_killed_holder_leaves_a_lock_with_an_owner_and_an_expiry_and_php_goes_on() {
    let shop = Shop::open("php", &LOCKING);
    let mut id = None;
    shop.php("do=set&key=n&value=1", &mut id);
    let told = id.clone().unwrap();
    let mut holder = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_holder_of_the_lock"])
        .env("CLOAKROOM_TEST_HOLDER", format!("{} {told}", shop.server.port()))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let lock = format!("PHPREDIS_SESSION:{told}_LOCK");
    let began = std::time::Instant::now();
    while !shop.server.raw(&format!("GET {lock}")).contains("cloakroom|rust-") {
        assert!(began.elapsed() < Duration::from_secs(20), "the lock is not taken");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let left = shop.server.raw(&format!("PTTL {lock}"));
    let left: i64 = left.strip_prefix(':').unwrap().lines().next().unwrap().parse().unwrap();
    assert!((1..=1500).contains(&left), "{left}");
    // PHP waits for it, and nobody else does anything about it.
    shop.php("do=add", &mut id);
    assert_eq!(shop.php("do=read&key=n", &mut id), "2");
    shop.is_content();
}
