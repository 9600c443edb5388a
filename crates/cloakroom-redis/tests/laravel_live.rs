//! One visitor on both sides: Laravel's own steps in PHP-FPM, and this library, on one Redis.
#![cfg(feature = "laravel")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod php_support;
mod support;

use std::ops::Deref;

use cloakroom::SessionManager;
use cloakroom_redis::php::{AppKey, Cipher, Encrypter, LaravelApp, Layout, PhpServer, PhpStore};
use cloakroom_testing::processes::rounds;
use php_support::both::{self, Both};
use php_support::fpm::Fpm;
use support::{Kind, Server};

/// `APP_KEY` and what is left of the one before, of 256 and of 128 bits.
const KEYS: [&str; 2] =
    ["AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="];
const SHORT_KEYS: [&str; 2] = ["AAECAwQFBgcICQoLDA0ODw==", "ICEiIyQlJicoKSorLC0uLw=="];

/// How an application is set.
#[derive(Clone, Copy, Debug)]
struct Settings {
    cipher: &'static str,
    json: bool,
    encrypt: bool,
    block: bool,
    since_13: bool,
}

const BY_DEFAULT: Settings =
    Settings { cipher: "aes-256-cbc", json: false, encrypt: false, block: false, since_13: false };

impl Settings {
    fn keys(&self) -> [&'static str; 2] {
        if self.cipher.contains("256") { KEYS } else { SHORT_KEYS }
    }

    fn prefix(&self) -> &'static str {
        if self.since_13 { "laravel-database-laravel-cache-" } else { "laravel_database_laravel_cache_" }
    }

    fn layout(&self) -> Layout {
        let cipher = if self.cipher.ends_with("gcm") { Cipher::Gcm } else { Cipher::Cbc };
        let [key, previous] = self.keys().map(|key| format!("base64:{key}").parse::<AppKey>().unwrap());
        let mut app = LaravelApp::new(Encrypter::new(cipher, key, [previous]));
        if self.json {
            app = app.json();
        }
        if self.encrypt {
            app = app.encrypt();
        }
        if self.since_13 {
            app = app.since_13();
        }
        Layout::laravel(app)
    }

    fn page(&self, port: u16) -> String {
        let [key, previous] = self.keys();
        format!(
            "<?php const SETTINGS = ['port' => {port}, 'prefix' => '{}', 'cookie' => 'laravel_session', 'cipher' => '{}', \
             'keys' => ['{key}', '{previous}'], 'json' => {}, 'encrypt' => {}, 'block' => {}];\n?>{}",
            self.prefix(),
            self.cipher,
            self.json,
            self.encrypt,
            self.block,
            include_str!("php/laravel.php")
        )
    }
}

/// An application of Laravel's and a service of ours. The cookie is what a visitor has of either.
struct Shop {
    both: Both,
    server: Server,
}

impl Deref for Shop {
    type Target = Both;

    fn deref(&self) -> &Both {
        &self.both
    }
}

impl Shop {
    fn open(settings: Settings) -> Self {
        let server = Server::start(Kind::Redis);
        let php = Fpm::start(&settings.page(server.port()), "laravel_session", &[]);
        let layout = settings.layout();
        let config = both::patient(layout.session_config(), layout.locking());
        let store = PhpStore::new(PhpServer::new(server.builder()).unwrap(), layout);
        let rust = SessionManager::new(store, config).unwrap();
        Shop { both: Both::new(php, rust, format!("{settings:?}")), server }
    }

    /// Lets PHP do something; follows the cookie, which Laravel sends with each response and seals anew.
    fn php(&self, query: &str, cookie: &mut Option<String>) -> String {
        let before = cookie.clone();
        let body = self.both.php(query, cookie);
        assert_ne!(*cookie, before, "{}: {body}", self.called);
        body
    }

    fn is_content(&self) {
        self.php_is_content();
        let script = "local all='' for _,key in ipairs(redis.call('KEYS','*')) do if string.find(key,'session:') or redis.call('PTTL',key)<0 then all=all..key..' ' end end return all";
        let answer = self.server.raw(&format!("EVAL \"{script}\" 0"));
        assert_eq!(answer.split_once("\r\n").unwrap().1.lines().next(), Some(""), "{}", self.called);
    }
}

/// What one visitor does on both sides.
async fn a_visit(settings: Settings) {
    let shop = Shop::open(settings);
    // Each reads what the other set.
    let mut cookie = None;
    shop.php("do=set&key=basket&value=%5B%7B%22sku%22%3A%22A1%22%2C%22qty%22%3A2%7D%5D", &mut cookie);
    let by_php = shop.php("do=id", &mut cookie);
    let basket: serde_json::Value =
        shop.rust(&mut cookie, async |session| session.get("basket").unwrap().unwrap()).await;
    assert_eq!(basket.to_string(), r#"[{"qty":2,"sku":"A1"}]"#, "{settings:?}");
    let note = serde_json::json!({ "text": "für 5 €", "ok": true, "f": 0.5, "n": null });
    shop.rust(&mut cookie, async |session| session.set("note", &note).unwrap()).await;
    let told: serde_json::Value = serde_json::from_str(&shop.php("do=read&key=note", &mut cookie)).unwrap();
    assert_eq!(told, note, "{settings:?}");
    assert_eq!(shop.php("do=id", &mut cookie), by_php, "{settings:?}");

    // What only PHP can make is as it was after a change of something else.
    if !settings.json {
        shop.php("do=objects", &mut cookie);
        shop.rust(&mut cookie, async |session| session.put("note", "changed").await.unwrap()).await;
        assert_eq!(shop.php("do=intact", &mut cookie), "true", "{settings:?}");
    }

    // A flash message is shown by the next page of Laravel's, whatever happens here in between.
    shop.php("do=flash", &mut cookie);
    shop.rust(&mut cookie, async |session| session.put("note", "changed").await.unwrap()).await;
    assert_eq!(shop.php("do=read&key=status", &mut cookie), "\"Saved.\"", "{settings:?}");
    assert_eq!(shop.php("do=read&key=status", &mut cookie), "null", "{settings:?}");

    // Logged in there is logged in here, under the new id.
    let mut before = cookie.clone();
    shop.php("do=login", &mut cookie);
    assert_ne!(shop.php("do=id", &mut cookie), by_php, "{settings:?}");
    assert_eq!(shop.user(&mut cookie).await.as_deref(), Some("7"), "{settings:?}");
    assert!(shop.finds_nothing(&mut before).await, "{settings:?}");

    // A new id on either side is followed by the other.
    shop.php("do=regenerate", &mut cookie);
    shop.rust(&mut cookie, async |session| session.regenerate().await.unwrap()).await;
    assert_eq!(shop.php("do=read&key=note", &mut cookie), "\"changed\"", "{settings:?}");
    assert_eq!(shop.php("do=user", &mut cookie), "7", "{settings:?}");

    // A logout on either side is one on both, and so is a login here.
    let mut gone = cookie.clone();
    shop.rust(&mut cookie, async |session| session.destroy().await.unwrap()).await;
    assert_eq!(shop.php("do=user", &mut gone), "null", "{settings:?}");
    let mut cookie = None;
    shop.rust(&mut cookie, async |session| {
        session.set("n", 1).unwrap();
        session.login("9").await.unwrap();
    })
    .await;
    assert_eq!(shop.php("do=user", &mut cookie), "9", "{settings:?}");
    let mut gone = cookie.clone();
    shop.php("do=logout", &mut cookie);
    assert!(shop.finds_nothing(&mut gone).await, "{settings:?}");
    shop.is_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_laravel_and_rust_as_laravel_12_has_it() {
    a_visit(BY_DEFAULT).await;
    a_visit(Settings { encrypt: true, block: true, ..BY_DEFAULT }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_laravel_and_rust_as_laravel_13_has_it() {
    let since_13 = Settings { cipher: "aes-256-gcm", json: true, since_13: true, ..BY_DEFAULT };
    a_visit(since_13).await;
    a_visit(Settings { encrypt: true, ..since_13 }).await;
    a_visit(Settings { cipher: "aes-128-cbc", encrypt: true, json: false, ..since_13 }).await;
}

/// A session and a cookie of before the key was changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_sealed_with_a_previous_key_is_known_and_sealed_with_the_new_one_from_then_on() {
    for cipher in ["aes-256-cbc", "aes-256-gcm"] {
        let shop = Shop::open(Settings { cipher, encrypt: true, ..BY_DEFAULT });
        let mut cookie = None;
        shop.php("do=set&key=n&value=5&old=1", &mut cookie);
        let mut by_rust = cookie.clone();
        shop.rust(&mut by_rust, async |session| {
            assert_eq!(session.get("n").unwrap(), Some(5));
            session.set("n", 6).unwrap();
            session.regenerate().await.unwrap();
        })
        .await;
        // Whoever has the old key alone reads neither any more.
        assert_eq!(shop.php("do=read&key=n", &mut by_rust.clone()), "6", "{cipher}");
        assert_eq!(shop.php("do=read&key=n&old=1", &mut by_rust), "null", "{cipher}");
        shop.is_content();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_two_hundred_increments_under_laravels_lock_are_two_hundred() {
    for _ in 0..rounds(1, 5) {
        let shop = Shop::open(Settings { encrypt: true, block: true, ..BY_DEFAULT });
        both::two_hundred_increments(&shop).await;
        shop.is_content();
    }
}
