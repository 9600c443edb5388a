//! S55–S58 at the seam: what an adapter lets through to its handler, and what that costs the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod log;

use std::sync::Arc;

use cloakroom::{
    CsrfConfig, Discarded, ErrorKind, MemoryStore, SessionConfig, SessionManager, Transport, TrustedOrigins,
    TrustedProxies,
};
use cloakroom_testing::SpyStore;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use log::Log;

struct House {
    spy: SpyStore,
    manager: SessionManager,
}

fn house(config: SessionConfig) -> House {
    let spy = SpyStore::new(Arc::new(MemoryStore::new()));
    let csrf = CsrfConfig {
        allowed_origins: TrustedOrigins::parse(["https://app.example"]).unwrap(),
        ..CsrfConfig::default()
    };
    let manager = SessionManager::over(Arc::new(spy.clone()), config.csrf(csrf).purge_every(None)).unwrap();
    House { spy, manager }
}

fn post(fields: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(Method::POST).uri("/basket").header("host", "shop.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

impl House {
    /// A visitor's cookie and a token of their session.
    async fn visitor(&self) -> (String, String) {
        let handle = self.manager.open(&Request::new(()), None);
        let token = handle.open().await.unwrap().csrf_token().await.unwrap();
        let mut response = Response::new(());
        let _ = self.manager.close(&handle, response.status(), response.headers_mut()).await;
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        (cookie.split(';').next().unwrap().to_owned(), token)
    }

    async fn admits(&self, request: &Request<()>) -> bool {
        self.admits_from(request, None).await
    }

    async fn admits_from(&self, request: &Request<()>, peer: Option<&str>) -> bool {
        let handle = self.manager.open(request, peer.map(|peer| peer.parse().unwrap()));
        fine(self.manager.admit(request, &handle).await)
    }

    async fn admits_form(&self, request: &Request<()>, form: &str) -> bool {
        let handle = self.manager.open(request, None);
        fine(self.manager.admit_form(request, &handle, form.as_bytes()).await)
    }

    fn calls(&self) -> usize {
        self.spy.calls().ops().len()
    }
}

fn fine(admitted: Result<(), cloakroom::SessionError>) -> bool {
    match admitted {
        Ok(()) => true,
        Err(error) => {
            assert_eq!((error.kind(), error.status().as_u16()), (ErrorKind::CrossSite, 403));
            false
        }
    }
}

#[tokio::test]
async fn s55_s56_the_browsers_own_word_costs_no_store_call() {
    let house = house(SessionConfig::new());
    let (cookie, token) = house.visitor().await;
    let before = house.calls();
    let with = |name: &'static str, value: &'static str| {
        post(&[("cookie", cookie.as_str()), ("x-csrf-token", token.as_str()), (name, value)])
    };
    assert!(house.admits(&with("sec-fetch-site", "same-origin")).await);
    assert!(house.admits(&with("origin", "https://shop.example")).await);
    assert!(house.admits(&with("origin", "https://app.example")).await);
    // Not even a right token helps another site.
    assert!(!house.admits(&with("sec-fetch-site", "cross-site")).await);
    assert!(!house.admits(&with("origin", "https://evil.example")).await);
    assert!(!house.admits(&with("origin", "null")).await);
    assert_eq!(house.calls(), before);
}

#[tokio::test]
async fn s56_s58_where_the_browser_says_nothing_the_token_decides() {
    let house = house(SessionConfig::new());
    let (cookie, token) = house.visitor().await;
    let (other_cookie, other_token) = house.visitor().await;
    let with = |cookie: &str, token: &str| post(&[("cookie", cookie), ("x-csrf-token", token)]);
    assert!(house.admits(&with(&cookie, &token)).await);
    assert!(!house.admits(&with(&cookie, &other_token)).await);
    assert!(!house.admits(&with(&other_cookie, &token)).await);
    assert!(!house.admits(&with(&cookie, "")).await);
    assert!(!house.admits(&post(&[("cookie", &cookie)])).await);
    assert!(!house.admits(&post(&[("x-csrf-token", &token)])).await, "no session, so no token of it");
    // Nothing of this used the right one up.
    assert!(house.admits(&with(&cookie, &token)).await);
    assert!(house.admits(&with(&other_cookie, &other_token)).await);
}

#[tokio::test]
async fn the_token_may_be_in_the_form() {
    let house = house(SessionConfig::new());
    let (cookie, token) = house.visitor().await;
    let request = post(&[("cookie", &cookie)]);
    assert!(house.admits_form(&request, &format!("item=7&csrf_token={token}&n=1")).await);
    assert!(!house.admits_form(&request, &format!("item=7&token={token}")).await);
    assert!(!house.admits_form(&request, "item=7&csrf_token=wrong").await);
    assert!(!house.admits_form(&request, "").await);
    // The header comes first: a wrong one there is wrong.
    let wrong = post(&[("cookie", &cookie), ("x-csrf-token", "wrong")]);
    assert!(!house.admits_form(&wrong, &format!("csrf_token={token}")).await);
    // A form does not speak for another site.
    let foreign = post(&[("cookie", &cookie), ("origin", "https://evil.example")]);
    assert!(!house.admits_form(&foreign, &format!("csrf_token={token}")).await);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_origin_is_that_of_the_public_host() {
    let proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
    let house = house(SessionConfig::new().trusted_proxies(proxies));
    let forwarded = |proto: &'static str, origin: &'static str| {
        post(&[("x-forwarded-host", "www.example"), ("x-forwarded-proto", proto), ("origin", origin)])
    };
    let (proxy, stranger) = (Some("10.0.0.1:1"), Some("203.0.113.9:1"));
    assert!(house.admits_from(&forwarded("https", "https://www.example"), proxy).await);
    assert!(house.admits_from(&forwarded("http", "http://www.example"), proxy).await);
    assert!(!house.admits_from(&forwarded("https", "http://www.example"), proxy).await);
    assert!(!house.admits_from(&forwarded("https", "https://shop.example"), proxy).await);
    assert!(!house.admits_from(&forwarded("https", "https://www.example"), stranger).await);
    assert!(house.admits_from(&forwarded("http", "https://shop.example"), stranger).await);
}

#[tokio::test]
async fn an_id_that_no_browser_sends_by_itself_needs_no_protection() {
    let house = house(SessionConfig::new().transport(Transport::header()));
    assert!(house.admits(&post(&[("sec-fetch-site", "cross-site")])).await);
    assert!(house.admits(&post(&[])).await);
}

#[tokio::test]
async fn an_id_in_the_header_and_one_in_a_cookie_are_refused_without_a_look_up() {
    let house = house(SessionConfig::new().transport(Transport::header()));
    let id = "A".repeat(32);
    let cookie = format!("__Host-id={id}");
    let request = post(&[("x-session-id", &id), ("cookie", &cookie)]);
    let handle = house.manager.open(&request, None);
    assert_eq!(handle.open().await.unwrap_err().kind(), ErrorKind::CrossSite);
    assert_eq!(house.calls(), 0);
}

#[tokio::test]
async fn the_log_says_of_a_refusal_what_it_is_and_not_that_a_commit_failed() {
    let house = house(SessionConfig::new());
    let (cookie, _) = house.visitor().await;
    for fields in [
        // Nothing but a token could tell, and there is none; the browser's own word.
        &[("cookie", cookie.as_str())][..],
        &[("cookie", &cookie), ("sec-fetch-site", "cross-site")],
    ] {
        let log = Log::listen();
        let request = post(fields);
        let handle = house.manager.open(&request, None);
        let refusal = house.manager.admit(&request, &handle).await.unwrap_err();
        let discarded = Discarded { status: StatusCode::FORBIDDEN, headers: &HeaderMap::new() };
        assert_eq!(house.manager.replace(&handle, &refusal, discarded).status(), StatusCode::FORBIDDEN);
        assert_eq!(log.count("INFO", "kept from its handler"), 1, "{:?}", log.lines());
        assert_eq!((log.count("WARN", ""), log.count("ERROR", "")), (0, 0), "{:?}", log.lines());
        assert!(log.lines().iter().all(|line| !line.contains("commit")), "{:?}", log.lines());
    }
}
