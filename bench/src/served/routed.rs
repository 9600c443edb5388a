//! Subjects that are an axum router under a layer, called without sockets.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{COOKIE, HOST, HeaderValue, SET_COOKIE};
use http::{Request, Response};
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;

use super::{Subject, VISITORS, Work};

/// A router with everything around it, and its visitors.
pub struct Routed<S> {
    name: &'static str,
    runtime: Runtime,
    service: S,
    cookies: Vec<HeaderValue>,
    /// Increments of each visitor.
    counted: Vec<u64>,
    /// Whether there is a session to be checked: not in the bare subject.
    has_sessions: bool,
}

/// The routes without a session.
pub fn bare() -> Box<dyn Subject> {
    let router = || {
        let answer = || async { "1" };
        Router::new()
            .route("/read", get(answer))
            .route("/increment", get(answer))
            .route("/prepare", get(answer))
    };
    Box::new(Routed::new("bare", false, async move || router()))
}

impl<S, B> Routed<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Error: std::fmt::Debug, Data: AsRef<[u8]> + Send> + Send + 'static,
{
    /// Builds the service inside a runtime, and prepares the visitors' sessions by its route `/prepare`.
    pub fn new(name: &'static str, has_sessions: bool, service: impl AsyncFnOnce() -> S) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let service = runtime.block_on(service());
        let mut subject =
            Routed { name, runtime, service, cookies: Vec::new(), counted: vec![0; VISITORS], has_sessions };
        for _ in 0..VISITORS {
            let (head, _) = subject.one("/prepare", None);
            let cookie = if has_sessions {
                let set = head.get_all(SET_COOKIE).iter().map(|set| set.to_str().expect("text"));
                let pairs: Vec<&str> = set.filter_map(|set| set.split(';').next()).collect();
                HeaderValue::from_str(&pairs.join("; ")).expect("a cookie")
            } else {
                HeaderValue::from_static("id=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
            };
            subject.cookies.push(cookie);
        }
        subject
    }

    fn one(&self, path: &'static str, cookie: Option<&HeaderValue>) -> (http::HeaderMap, Vec<u8>) {
        let mut service = self.service.clone();
        self.runtime.block_on(answer(&mut service, request(path, cookie)))
    }
}

fn request(path: &'static str, cookie: Option<&HeaderValue>) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static(path);
    request.headers_mut().insert(HOST, HeaderValue::from_static("shop.example.com"));
    if let Some(cookie) = cookie {
        request.headers_mut().insert(COOKIE, cookie.clone());
    }
    request
}

/// The answer with its whole body; only a success counts.
async fn answer<S, B>(service: &mut S, request: Request<Body>) -> (http::HeaderMap, Vec<u8>)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Error: std::fmt::Debug, Data: AsRef<[u8]>>,
{
    std::future::poll_fn(|cx| service.poll_ready(cx)).await.expect("infallible");
    let (head, body) = service.call(request).await.expect("infallible").into_parts();
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        if let Ok(data) = frame.expect("a body").into_data() {
            bytes.extend_from_slice(data.as_ref());
        }
    }
    assert!(head.status.is_success(), "{}: {}", head.status, String::from_utf8_lossy(&bytes));
    (head.headers, bytes)
}

impl<S, B> Subject for Routed<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body<Error: std::fmt::Debug, Data: AsRef<[u8]> + Send> + Send + 'static,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn batch(&mut self, work: Work, requests: usize, at_once: usize) -> Duration {
        let each = requests / at_once;
        if work == Work::Increment {
            for counted in self.counted.iter_mut().take(at_once) {
                *counted += each as u64;
            }
        }
        let visitors: Vec<HeaderValue> = self.cookies.iter().take(at_once).cloned().collect();
        let service = self.service.clone();
        self.runtime.block_on(async move {
            let began = Instant::now();
            let mut running = tokio::task::JoinSet::new();
            for cookie in visitors {
                let mut service = service.clone();
                running.spawn(async move {
                    for _ in 0..each {
                        answer(&mut service, request(work.path(), Some(&cookie))).await;
                    }
                });
            }
            running.join_all().await;
            began.elapsed()
        })
    }

    fn check(&mut self) {
        if !self.has_sessions {
            return;
        }
        for (cookie, counted) in self.cookies.iter().zip(&self.counted) {
            let (_, body) = self.one("/read", Some(cookie));
            assert_eq!(String::from_utf8_lossy(&body), (counted + 1).to_string(), "{}", self.name);
        }
    }
}
