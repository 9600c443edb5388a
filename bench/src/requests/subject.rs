//! A wrapped router and the requests that it gets.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::Context;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::header::{COOKIE, HOST, HeaderValue, SET_COOKIE};
use http::{Request, Response, StatusCode};
use tokio::runtime::{Builder, Runtime};
use tower_service::Service;

use super::Scenario;
use crate::alloc;

/// What one batch took.
pub struct Taken {
    /// Time of the whole batch.
    pub elapsed: Duration,
    /// Allocations of the whole batch.
    pub allocations: u64,
}

/// Something that answers a scenario's requests.
pub trait Subject {
    /// Runs a batch of requests, one after the other.
    fn batch(&mut self, requests: usize) -> Taken;

    /// Makes sure that the requests did what they were to do.
    fn check(&mut self);
}

/// A subject made of a router and whatever is around it.
pub struct Wrapped<S> {
    runtime: Runtime,
    service: S,
    scenario: Scenario,
    cookie: Option<HeaderValue>,
    answered: u64,
    /// Whether there is a session to be checked: not in the bare subject.
    has_sessions: bool,
}

impl<S, B> Wrapped<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
    B::Data: AsRef<[u8]>,
{
    /// Builds the service inside a runtime, and prepares the visitor's session.
    pub fn new(scenario: Scenario, has_sessions: bool, service: impl FnOnce() -> S) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let service = {
            let _inside = runtime.enter();
            service()
        };
        let mut subject = Wrapped { runtime, service, scenario, cookie: None, answered: 0, has_sessions };
        if let Some(path) = scenario.prepare() {
            let (head, _) = subject.one(path);
            let set = head.headers.get(SET_COOKIE).map(|value| value.to_str().expect("text"));
            if has_sessions {
                let pair = set.and_then(|set| set.split(';').next()).expect("a new session sets a cookie");
                subject.cookie = Some(HeaderValue::from_str(pair).expect("a cookie"));
            } else {
                // Of the usual size, and without a meaning.
                subject.cookie = Some(HeaderValue::from_static("id=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));
            }
        }
        subject
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

    /// One request, its response kept.
    fn one(&mut self, path: &'static str) -> (http::response::Parts, String) {
        let request = Self::request(path, self.cookie.as_ref());
        self.runtime.block_on(async {
            let response = call(&mut self.service, request).await;
            let (head, body) = response.into_parts();
            assert_eq!(head.status, StatusCode::OK, "{path}");
            let mut text = Vec::new();
            read(body, |data| text.extend_from_slice(data)).await;
            (head, String::from_utf8(text).expect("text"))
        })
    }
}

impl<S, B> Subject for Wrapped<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body,
    B::Error: std::fmt::Debug,
    B::Data: AsRef<[u8]>,
{
    fn batch(&mut self, requests: usize) -> Taken {
        // Making the requests is not what is measured.
        let path = self.scenario.path();
        let batch: Vec<_> = (0..requests).map(|_| Self::request(path, self.cookie.as_ref())).collect();
        let service = &mut self.service;
        let taken = self.runtime.block_on(async {
            let allocations = alloc::count();
            let begin = Instant::now();
            for request in batch {
                let (head, body) = call(service, request).await.into_parts();
                assert_eq!(head.status, StatusCode::OK);
                read(body, |_| ()).await;
            }
            Taken { elapsed: begin.elapsed(), allocations: alloc::count() - allocations }
        });
        self.answered += requests as u64;
        taken
    }

    fn check(&mut self) {
        if !self.has_sessions {
            return;
        }
        match self.scenario {
            Scenario::UntouchedWithoutCookie | Scenario::UntouchedWithCookie => {
                let (head, _) = self.one("/untouched");
                assert!(!head.headers.contains_key(SET_COOKIE), "an untouched session sets no cookie");
            }
            Scenario::Read | Scenario::ReadTheOnly | Scenario::ReadSmallOfLarge => {
                assert_eq!(self.one("/read").1, "1");
            }
            // The session began with a one.
            Scenario::Increment => assert_eq!(self.one("/read").1, (1 + self.answered).to_string()),
            Scenario::New => {
                let cookie = |head: http::response::Parts| head.headers[SET_COOKIE].clone();
                let (one, other) = (cookie(self.one("/new").0), cookie(self.one("/new").0));
                assert_ne!(one, other, "each visitor gets a session of their own");
            }
            Scenario::Basket => assert_eq!(self.one("/quantity").1, (1 + self.answered).to_string()),
        }
    }
}

async fn call<S, B>(service: &mut S, request: Request<Body>) -> Response<B>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    let ready = std::future::poll_fn(|cx: &mut Context<'_>| service.poll_ready(cx)).await;
    ready.and(service.call(request).await).unwrap_or_else(|never| match never {})
}

/// Reads a body to its end, as a server would.
async fn read<B>(body: B, mut take: impl FnMut(&[u8]))
where
    B: http_body::Body,
    B::Error: std::fmt::Debug,
    B::Data: AsRef<[u8]>,
{
    let mut body = pin!(body);
    while let Some(frame) = std::future::poll_fn(|cx| Pin::as_mut(&mut body).poll_frame(cx)).await {
        if let Some(data) = frame.expect("a body that does not fail").data_ref() {
            take(data.as_ref());
        }
    }
}
