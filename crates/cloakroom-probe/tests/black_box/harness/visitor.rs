//! A browser, as far as sessions go: it keeps one cookie.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{InFlight, Request, Response};

/// Clones share the cookie, as the tabs of a browser do.
#[derive(Clone)]
pub struct Visitor {
    address: SocketAddr,
    cookie: Arc<Mutex<Option<String>>>,
}

impl Visitor {
    pub fn new(address: SocketAddr) -> Self {
        Visitor { address, cookie: Arc::default() }
    }

    /// Somebody who presents this cookie, `name=value`.
    pub fn presenting(address: SocketAddr, cookie: &str) -> Self {
        let visitor = Self::new(address);
        visitor.keep(Some(cookie.to_owned()));
        visitor
    }

    /// Another browser with the cookie that this one holds now.
    pub fn stolen(&self) -> Self {
        Visitor { address: self.address, cookie: Arc::new(Mutex::new(self.cookie())) }
    }

    /// What is sent in the `cookie` header: `name=value`.
    pub fn cookie(&self) -> Option<String> {
        self.cookie.lock().unwrap().clone()
    }

    fn keep(&self, cookie: Option<String>) {
        *self.cookie.lock().unwrap() = cookie;
    }

    /// Asks, and keeps the cookie that comes back as a browser does.
    pub async fn get(&self, path: &str) -> Response {
        self.ask(Request::get(path)).await
    }

    pub async fn ask(&self, request: Request) -> Response {
        let response = self.send(request).await.response().await;
        self.note(&response);
        response
    }

    /// As `get`; nothing when the probe is gone before it has answered.
    pub async fn try_get(&self, path: &str) -> Option<Response> {
        let request = Request::get(path).header("cookie", self.cookie()?);
        request.try_send(self.address).await?.try_response().await
    }

    /// Asks without waiting for the answer; its cookie is not kept.
    pub async fn send(&self, request: Request) -> InFlight {
        let request = match self.cookie() {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        request.send(self.address).await
    }

    /// A request that takes its time, under way once this returns: it has opened its session.
    pub async fn start(&self, path: &str) -> InFlight {
        let opened = opened(self.address).await;
        let in_flight = self.send(Request::get(path)).await;
        until_opened(self.address, opened + 1).await;
        in_flight
    }

    /// Keeps the cookie of a response.
    pub fn note(&self, response: &Response) {
        if let Some(cookie) = response.set_cookie() {
            self.keep((!cookie.deletes()).then(|| cookie.pair()));
        }
    }

    /// Whether the cookie still opens a session.
    pub async fn is_alive(&self) -> bool {
        self.get("/state").await.json()["present"] == true
    }
}

/// How many requests have opened their session so far.
pub async fn opened(address: SocketAddr) -> u64 {
    let text = Visitor::new(address).get("/metrics").await.ok();
    let line = text.lines().find_map(|l| l.strip_prefix("cloakroom_opened_total "));
    line.unwrap().parse().unwrap()
}

/// Waits until that many have, and the last of them has got to where it sleeps.
pub async fn until_opened(address: SocketAddr, count: u64) {
    let soon = Instant::now() + Duration::from_secs(5);
    while opened(address).await < count {
        assert!(Instant::now() < soon, "the request did not open its session");
        super::sleep_ms(2).await;
    }
    super::sleep_ms(25).await;
}
