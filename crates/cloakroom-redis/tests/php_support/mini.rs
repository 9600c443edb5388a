//! mini and a service of ours on one cache, wherever that is.

#![allow(unreachable_pub)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{Locking, Session, SessionManager};
use cloakroom_php::layout::Layout;
use http::{HeaderMap, Request, StatusCode};

use super::fpm::Fpm;

/// An application of mini's and a service of ours.
pub struct Shop {
    pub php: Fpm,
    rust: SessionManager,
}

impl Shop {
    /// `cache`: what mini does with its cache, as PHP.
    pub fn open(cache: &str, layout: &Layout, store: impl Store) -> Arc<Self> {
        let parts = [cache, include_str!("../php/mini.php"), include_str!("../php/page.php")];
        let page = format!("<?php\n{}", parts.map(|part| part.trim_start_matches("<?php")).join("\n"));
        let php = Fpm::start(&page, "PHPSESSID", &[("serialize_precision", "-1")]);
        let locking = Locking { wait: Duration::from_secs(30), ..layout.locking() };
        let config = layout.session_config().locking(locking);
        let config = config.deadlines(Duration::from_secs(30), Duration::from_secs(2));
        Arc::new(Shop { php, rust: SessionManager::new(store, config).unwrap() })
    }

    /// Lets PHP do something; follows the id.
    pub fn php(&self, query: &str, id: &mut Option<String>) -> String {
        let page = self.php.get(query, id.as_deref());
        if page.id.is_some() {
            *id = page.id;
        }
        page.body
    }

    /// Lets a handler of ours do something; follows the id.
    pub async fn rust<T>(&self, id: &mut Option<String>, handler: impl AsyncFnOnce(&Session) -> T) -> T {
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
}

/// What one visitor does on both sides.
pub async fn a_visit(shop: &Shop) {
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
}

/// mini takes no lock, so its requests undo what others wrote while they run: here they run between ours, and ours all at once.
pub async fn increments(shop: &Arc<Shop>) {
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
}
