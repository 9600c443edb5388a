//! A browser, as far as sessions go: it keeps one cookie.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{InFlight, Request, Response, turn};

/// Clones share the cookie, as the tabs of a browser do.
#[derive(Clone)]
pub struct Visitor {
    address: SocketAddr,
    /// Another process over the same store, if there is one. Of requests in parallel every second goes there, and so does what takes
    /// its time while the others go on here.
    beside: Option<SocketAddr>,
    cookie: Arc<Mutex<Option<String>>>,
}

impl Visitor {
    pub fn new(address: SocketAddr) -> Self {
        Self::at(address, None, None)
    }

    /// Somebody who presents this cookie, `name=value`.
    pub fn presenting(address: SocketAddr, cookie: &str) -> Self {
        Self::at(address, None, Some(cookie))
    }

    pub fn at(address: SocketAddr, beside: Option<SocketAddr>, cookie: Option<&str>) -> Self {
        Visitor { address, beside, cookie: Arc::new(Mutex::new(cookie.map(str::to_owned))) }
    }

    /// Another browser with the cookie that this one holds now.
    pub fn stolen(&self) -> Self {
        Self::at(self.address, self.beside, self.cookie().as_deref())
    }

    /// Whom a request goes to, counted from whose turn it is.
    fn process(&self, after: usize) -> SocketAddr {
        match self.beside {
            Some(beside) if (turn() + after) % 2 == 1 => beside,
            _ => self.address,
        }
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
        let response = self.with_cookie(request).send(self.process(0)).await.response().await;
        self.note(&response);
        response
    }

    /// As `get`; nothing when the probe is gone before it has answered.
    pub async fn try_get(&self, path: &str) -> Option<Response> {
        let request = Request::get(path).header("cookie", self.cookie()?);
        request.try_send(self.process(0)).await?.try_response().await
    }

    fn with_cookie(&self, request: Request) -> Request {
        match self.cookie() {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        }
    }

    /// Asks without waiting for the answer; its cookie is not kept. What is asked with `get` meanwhile is asked of another
    /// process, where there are two.
    pub async fn send(&self, request: Request) -> InFlight {
        self.with_cookie(request).send(self.process(1)).await
    }

    /// A request that takes its time, under way once this returns: it has opened its session.
    pub async fn start(&self, path: &str) -> InFlight {
        let opened = self.opened().await;
        let in_flight = self.send(Request::get(path)).await;
        self.until_opened(opened + 1).await;
        in_flight
    }

    /// A counter of `/metrics`, of all processes together.
    pub async fn counter(&self, name: &str) -> u64 {
        let mut sum = 0;
        for process in std::iter::once(self.address).chain(self.beside) {
            let text = Request::get("/metrics").send(process).await.response().await.ok();
            let line = text.lines().find_map(|l| l.strip_prefix(&format!("cloakroom_{name}_total ")));
            let count = line.unwrap_or_else(|| panic!("no counter {name} in {text}"));
            sum += count.parse::<u64>().unwrap();
        }
        sum
    }

    /// How many requests have opened their session so far.
    pub async fn opened(&self) -> u64 {
        self.counter("opened").await
    }

    /// Waits until that many have, and the last of them has got to where it sleeps.
    pub async fn until_opened(&self, count: u64) {
        let soon = Instant::now() + Duration::from_secs(5);
        while self.opened().await < count {
            assert!(Instant::now() < soon, "the request did not open its session");
            super::sleep_ms(2).await;
        }
        super::sleep_ms(25).await;
    }

    /// Keeps the cookie of a response.
    pub fn note(&self, response: &Response) {
        if let Some(cookie) = response.set_cookie() {
            self.keep((!cookie.deletes()).then(|| cookie.pair()));
        }
    }

    /// Whether the cookie still opens a session; every process must say the same.
    pub async fn is_alive(&self) -> bool {
        let state = Request::get("/state");
        let alive = self.ask(state.clone()).await.json()["present"] == true;
        if self.beside.is_some() {
            let response = self.send(state).await.response().await;
            self.note(&response);
            assert_eq!(response.json()["present"] == true, alive, "the processes do not agree");
        }
        alive
    }
}
