//! PHP under PHP-FPM and a service of ours, on the same sessions, and what a visitor does with both.

#![allow(dead_code, unreachable_pub)] // Each test program uses a part of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Locking, Session, SessionConfig, SessionHandle, SessionManager};
use http::{HeaderMap, Request, StatusCode};

use super::fpm::Fpm;

/// PHP's `session.serialize_handler`, each.
pub const FORMATS: [&str; 5] = ["php", "php_serialize", "php_binary", "igbinary", "msgpack"];

/// The page of these tests, behind what an application of its own begins with.
pub fn page(begins: &str) -> String {
    let parts = [begins, include_str!("../php/page.php")].map(|part| part.trim_start_matches("<?php"));
    format!("<?php\n{}", parts.join("\n"))
}

/// For a busy machine, on which PHP may keep a session for long.
pub fn patient(config: SessionConfig, locking: Locking) -> SessionConfig {
    let config = config.locking(Locking { wait: Duration::from_secs(30), ..locking });
    config.deadlines(Duration::from_secs(30), Duration::from_secs(20))
}

/// PHP and a service of ours.
#[derive(Clone)]
pub struct Both {
    pub php: Arc<Fpm>,
    pub rust: SessionManager,
    /// For messages: which of several.
    pub called: String,
}

impl Both {
    pub fn new(php: Fpm, rust: SessionManager, called: impl Into<String>) -> Self {
        Both { php: Arc::new(php), rust, called: called.into() }
    }

    /// Lets PHP do something; follows the id.
    pub fn php(&self, query: &str, id: &mut Option<String>) -> String {
        let page = self.php.get(query, id.as_deref());
        if page.id.is_some() {
            *id = page.id;
        }
        page.body
    }

    /// With the cookie of the session, beside another one.
    fn request(&self, by: &SessionManager, id: &Option<String>) -> SessionHandle {
        let mut request = Request::builder();
        if let Some(id) = id {
            request = request.header("cookie", format!("XSRF-TOKEN=x; {}={id}", self.php.cookie()));
        }
        by.open(&request.body(()).unwrap(), None)
    }

    /// Lets a handler of ours do something; follows the id.
    pub async fn rust<T>(&self, id: &mut Option<String>, handler: impl AsyncFnOnce(&Session) -> T) -> T {
        self.served(&self.rust, id, handler).await
    }

    /// The same, by another service on the same sessions.
    pub async fn served<T>(
        &self,
        by: &SessionManager,
        id: &mut Option<String>,
        handler: impl AsyncFnOnce(&Session) -> T,
    ) -> T {
        let handle = self.request(by, id);
        let session = handle.open().await.unwrap();
        let answer = handler(&session).await;
        let mut headers = HeaderMap::new();
        if let cloakroom::Outcome::Failed(error) = by.close(&handle, StatusCode::OK, &mut headers).await {
            panic!("{}: {error}", self.called);
        }
        if let Some(cookie) = headers.get("set-cookie") {
            let named = format!("{}=", self.php.cookie());
            let cookie = cookie.to_str().unwrap().strip_prefix(&named).unwrap().to_owned();
            *id = cookie.split(';').next().filter(|id| !id.is_empty()).map(str::to_owned);
        }
        answer
    }

    /// One more, in an atomic step of ours.
    pub async fn adds(&self, key: &str, id: &mut Option<String>) {
        self.rust(id, async |session| {
            session.update(key, |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap();
        })
        .await;
    }

    /// Who is logged in, as our side knows it.
    pub async fn user(&self, id: &mut Option<String>) -> Option<String> {
        self.rust(id, async |session| session.user().map(|user| user.as_str().to_owned())).await
    }

    /// Whether our side finds nothing there.
    pub async fn finds_nothing(&self, id: &mut Option<String>) -> bool {
        self.rust(id, async |session| session.is_empty()).await
    }

    pub fn php_is_content(&self) {
        assert_eq!(self.php.complaints(), "", "{}", self.called);
    }
}

/// What one visitor does on both sides. `plain`: without references, which PHP's msgpack cannot keep.
pub async fn a_visit(both: &Both, plain: bool) {
    let called = &both.called;
    // Each reads what the other set.
    let mut id = None;
    both.php("do=set&key=basket&value=%5B%7B%22sku%22%3A%22A1%22%2C%22qty%22%3A2%7D%5D", &mut id);
    let by_php = id.clone();
    assert!(by_php.is_some(), "{called}");
    let basket: Vec<BTreeMap<String, serde_json::Value>> =
        both.rust(&mut id, async |session| session.get("basket").unwrap().unwrap()).await;
    assert_eq!(serde_json::to_string(&basket).unwrap(), r#"[{"qty":2,"sku":"A1"}]"#, "{called}");
    let note = serde_json::json!({ "text": "für 5 €", "ok": true, "f": 0.5, "n": null });
    both.rust(&mut id, async |session| session.set("note", &note).unwrap()).await;
    assert_eq!(id, by_php, "{called}: the id stays");
    let told: serde_json::Value = serde_json::from_str(&both.php("do=read&key=note", &mut id)).unwrap();
    assert_eq!(told, note, "{called}");

    // What PHP alone understands is intact after a change beside it.
    let plain = if plain { "&plain=1" } else { "" };
    both.php(&format!("do=objects{plain}"), &mut id);
    both.rust(&mut id, async |session| session.put("note", "changed").await.unwrap()).await;
    assert_eq!(both.php(&format!("do=intact{plain}"), &mut id), "true", "{called}");

    // Logged in there is logged in here, on the new id.
    let mut before = id.clone();
    both.php("do=login", &mut id);
    assert_ne!(id, before, "{called}");
    assert_eq!(both.user(&mut id).await.as_deref(), Some("7"), "{called}");
    assert!(both.finds_nothing(&mut before).await, "{called}");

    // A new id on either side is followed by the other, and the old one is dead on both.
    both.php("do=regenerate", &mut id);
    let mut before = id.clone();
    both.rust(&mut id, async |session| session.regenerate().await.unwrap()).await;
    assert_ne!(id, before, "{called}");
    assert!(both.finds_nothing(&mut before.clone()).await, "{called}");
    assert_eq!(both.php("do=read&key=note", &mut before), "null", "{called}");
    assert_eq!(both.php("do=read&key=note", &mut id), "\"changed\"", "{called}");

    // A logout on either side is one on both.
    let mut gone = id.clone();
    both.rust(&mut id, async |session| session.destroy().await.unwrap()).await;
    assert_eq!(both.php("do=read&key=user_id", &mut gone), "null", "{called}");
    let mut id = None;
    both.rust(&mut id, async |session| {
        session.set("n", 1).unwrap();
        session.login("9").await.unwrap();
    })
    .await;
    assert_eq!(both.php("do=read&key=user_id", &mut id), "9", "{called}");
    both.php("do=logout", &mut id.clone());
    assert!(both.finds_nothing(&mut id).await, "{called}");
    both.php_is_content();
}

/// 200 increments at 20 in parallel on one counter, half of them in PHP.
pub async fn two_hundred_increments(both: &Both) {
    let mut id = None;
    both.php("do=set&key=n&value=0", &mut id);
    increments(both, "n", &id).await;
    assert_eq!(both.php("do=read&key=n", &mut id), "200", "{}", both.called);
    both.php_is_content();
}

/// Ten tabs add ten to PHP's `n`, each by a request of its own, and ten more to this one of ours, all at once.
pub async fn increments(both: &Both, ours: &'static str, id: &Option<String>) {
    let tabs = (0..10).flat_map(|_| {
        let (there, mut by_php) = (both.clone(), id.clone());
        let php = tokio::task::spawn_blocking(move || {
            (0..10).for_each(|_| {
                there.php("do=add", &mut by_php);
            });
        });
        let (here, mut by_us) = (both.clone(), id.clone());
        let rust = tokio::spawn(async move {
            for _ in 0..10 {
                here.adds(ours, &mut by_us).await;
            }
        });
        [php, rust]
    });
    for tab in tabs.collect::<Vec<_>>() {
        tab.await.unwrap();
    }
}
