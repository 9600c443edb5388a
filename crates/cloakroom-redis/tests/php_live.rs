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
use cloakroom_redis::php::{Layout, PhpStore};
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
            layout.session_config().locking(Locking { wait: Duration::from_secs(30), ..Locking::default() });
        let config = config.deadlines(Duration::from_secs(30), Duration::from_secs(2));
        let rust = SessionManager::new(PhpStore::new(server.builder(), layout).unwrap(), config).unwrap();
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
