//! One visitor on both sides: mini's own steps in PHP-FPM, and this library, on one file.
#![cfg(feature = "php")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

#[path = "../../cloakroom-redis/tests/php_support/fpm.rs"]
mod fpm;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::{Locking, Session, SessionManager};
use cloakroom_sqlite::php::{Layout, PhpCache, PhpCacheStore};
use fpm::Fpm;
use http::{HeaderMap, Request, StatusCode};

/// An application of mini's and a service of ours.
struct Shop {
    php: Fpm,
    rust: SessionManager,
    file: tempfile::TempDir,
}

impl Shop {
    fn open() -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mini-cache.sqlite3");
        let page = format!(
            "<?php const FILE = '{}';\n{}\n{}",
            file.display(),
            include_str!("php/mini.php").trim_start_matches("<?php"),
            include_str!("../../cloakroom-redis/tests/php/page.php").trim_start_matches("<?php")
        );
        let php = Fpm::start(&page, "PHPSESSID", &[("serialize_precision", "-1")]);
        let layout = Layout::mini().user_variable("user_id");
        let locking = Locking { wait: Duration::from_secs(30), ..layout.locking() };
        let config = layout.session_config().locking(locking);
        let config = config.deadlines(Duration::from_secs(30), Duration::from_secs(2));
        let store = PhpCacheStore::new(PhpCache::open(&file).unwrap(), layout);
        Arc::new(Shop { php, rust: SessionManager::new(store, config).unwrap(), file: folder })
    }

    /// Lets PHP do something; follows the id.
    fn php(&self, query: &str, id: &mut Option<String>) -> String {
        let page = self.php.get(query, id.as_deref());
        if page.id.is_some() {
            *id = page.id;
        }
        page.body
    }

    /// Lets a handler of ours do something; follows the id.
    async fn rust<T>(&self, id: &mut Option<String>, handler: impl AsyncFnOnce(&Session) -> T) -> T {
        let mut request = Request::builder();
        if let Some(id) = id {
            request = request.header("cookie", format!("PHPSESSID={id}"));
        }
        let handle = self.rust.open(&request.body(()).unwrap(), None);
        let session = handle.open().await.unwrap();
        let answer = handler(&session).await;
        let mut headers = HeaderMap::new();
        let outcome = self.rust.close(&handle, StatusCode::OK, &mut headers).await;
        assert!(!matches!(outcome, cloakroom::Outcome::Failed(_)), "{outcome:?}");
        if let Some(cookie) = headers.get("set-cookie") {
            let cookie = cookie.to_str().unwrap().strip_prefix("PHPSESSID=").unwrap().to_owned();
            *id = cookie.split(';').next().filter(|id| !id.is_empty()).map(str::to_owned);
        }
        answer
    }

    fn is_content(&self) {
        assert_eq!(self.php.complaints(), "");
        let conn = rusqlite::Connection::open(self.file.path().join("mini-cache.sqlite3")).unwrap();
        let held = "SELECT count(*) FROM cloakroom_php WHERE owner IS NOT NULL";
        assert_eq!(conn.query_row(held, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "leases");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_visitor_is_served_by_mini_and_rust() {
    let shop = Shop::open();
    // Each reads what the other set.
    let mut id = None;
    shop.php("do=set&key=basket&value=%7B%22A1%22%3A2%7D", &mut id);
    let by_php = id.clone();
    let basket: BTreeMap<String, u32> =
        shop.rust(&mut id, async |session| session.get("basket").unwrap().unwrap()).await;
    assert_eq!(basket, BTreeMap::from([("A1".to_owned(), 2)]));
    shop.rust(&mut id, async |session| session.set("note", "für 5 €").unwrap()).await;
    assert_eq!(id, by_php, "the id stays");
    assert_eq!(shop.php("do=read&key=note", &mut id), r#""f\u00fcr 5 \u20ac""#);

    // What PHP alone understands is intact after a change beside it; private properties have a NUL in their names.
    shop.php("do=objects", &mut id);
    shop.rust(&mut id, async |session| session.put("note", "changed").await.unwrap()).await;
    assert_eq!(shop.php("do=intact", &mut id), "true");

    // Logged in there is logged in here, on the new id.
    let mut before = id.clone();
    shop.php("do=login", &mut id);
    assert_ne!(id, before);
    let user = shop.rust(&mut id, async |session| session.user().map(|user| user.as_str().to_owned())).await;
    assert_eq!(user.as_deref(), Some("7"));
    assert!(shop.rust(&mut before, async |session| session.is_empty()).await);

    // A new id on either side is followed by the other.
    shop.php("do=regenerate", &mut id);
    shop.rust(&mut id, async |session| session.regenerate().await.unwrap()).await;
    assert_eq!(shop.php("do=read&key=note", &mut id), "\"changed\"");

    // A logout on either side is one on both, and so is a login here.
    let mut gone = id.clone();
    shop.rust(&mut id, async |session| session.destroy().await.unwrap()).await;
    assert_eq!(shop.php("do=read&key=user_id", &mut gone), "null");
    let mut id = None;
    shop.rust(&mut id, async |session| {
        session.set("n", 1).unwrap();
        session.login("9").await.unwrap();
    })
    .await;
    assert_eq!(shop.php("do=read&key=user_id", &mut id), "9");
    shop.php("do=logout", &mut id.clone());
    assert!(shop.rust(&mut id, async |session| session.is_empty()).await);
    shop.is_content();
}

/// mini takes no lock, so PHP's requests undo what others wrote while they run: here they run between ours, and ours all at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c1_nothing_is_lost_between_requests_here() {
    let shop = Shop::open();
    let mut id = None;
    shop.php("do=set&key=n&value=0", &mut id);
    for round in 1..=5 {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (shop, mut id) = (shop.clone(), id.clone());
                tokio::spawn(async move {
                    shop.rust(&mut id, async |session| {
                        session.update("n", |n: Option<i64>| n.unwrap_or(0) + 1).await.unwrap()
                    })
                    .await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        shop.php("do=add", &mut id);
        assert_eq!(shop.php("do=read&key=n", &mut id), (21 * round).to_string());
    }
    shop.is_content();
}
