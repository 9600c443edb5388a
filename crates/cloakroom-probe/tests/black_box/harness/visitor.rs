//! A browser, as far as sessions go: it keeps one cookie.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{InFlight, Request, Response, turn};

/// A request that pauses for longer than any test runs.
fn held(path: &str) -> String {
    format!("{path}?ms=600000")
}

/// What a busy machine may take for what it is merely waited for.
const PATIENCE: Duration = Duration::from_secs(30);

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

    /// A request that takes its time, under way once this returns: it has opened its session and come to its pause, or to where it waits
    /// for the lock.
    pub async fn start(&self, path: &str) -> InFlight {
        let started = self.try_start(path).await;
        started.unwrap_or_else(|answer| panic!("{path} comes to no pause: {answer:?}"))
    }

    /// As `start`; the response, where it has one already.
    pub async fn try_start(&self, path: &str) -> Result<InFlight, Response> {
        let before = self.under_way().await;
        let in_flight = self.send(Request::get(path)).await;
        tokio::select! {
            () = self.until_under_way(before + 1, path) => Ok(in_flight),
            () = in_flight.has_long_been_answered() => match self.under_way().await > before {
                true => Ok(in_flight),
                false => Err(in_flight.response().await),
            },
        }
    }

    /// As `start`, and it pauses until its response is asked for: whatever is asked meanwhile comes while it pauses.
    pub async fn hold(&self, path: &str) -> InFlight {
        self.start(&held(path)).await.pausing_at(self.processes().collect())
    }

    /// As `hold`, and it may still be on its way.
    pub async fn send_held(&self, path: &str) -> InFlight {
        self.send(Request::get(&held(path))).await.pausing_at(self.processes().collect())
    }

    fn processes(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.address).chain(self.beside)
    }

    /// A counter of `/metrics`, of all processes together.
    pub async fn counter(&self, name: &str) -> u64 {
        self.counters(&[name]).await
    }

    /// Counters of `/metrics`, added up.
    async fn counters(&self, names: &[&str]) -> u64 {
        let mut sum = 0;
        for process in self.processes() {
            let text = Request::get("/metrics").send(process).await.response().await.ok();
            for name in names {
                let line = text.lines().find_map(|l| l.strip_prefix(&format!("cloakroom_{name}_total ")));
                let count = line.unwrap_or_else(|| panic!("no counter {name} in {text}"));
                sum += count.parse::<u64>().unwrap();
            }
        }
        sum
    }

    /// How many requests have come to their pause so far, and how often one has begun to wait for a lock.
    pub async fn under_way(&self) -> u64 {
        self.counters(&["probe_pauses", "lock_waits"]).await
    }

    /// Waits until that many have; `what` was asked for.
    pub async fn until_under_way(&self, count: u64, what: &str) {
        let began = Instant::now();
        loop {
            let now = self.under_way().await;
            if now >= count {
                return;
            }
            let waited = began.elapsed();
            assert!(waited < PATIENCE, "{what}: {now} of {count} pause or wait for a lock after {waited:?}");
            super::sleep_ms(2).await;
        }
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
