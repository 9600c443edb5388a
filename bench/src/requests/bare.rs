//! The routes without sessions, under a layer that does nothing.

use std::task::{Context, Poll};

use axum::Router;
use axum::routing::get;
use tower_layer::Layer;
use tower_service::Service;

use super::Scenario;
use super::subject::{Subject, Wrapped};

/// The bare subject.
pub fn subject(scenario: Scenario) -> Box<dyn Subject> {
    let router = Router::new()
        .route("/untouched", get(|| async { "ok" }))
        .route("/read", get(|| async { 1.to_string() }))
        .route("/increment", get(|| async { 1.to_string() }))
        .route("/new", get(|| async { "ok" }))
        .route("/prepare-usual", get(|| async { "ok" }))
        .route("/prepare-large", get(|| async { "ok" }))
        .route("/prepare-basket", get(|| async { "ok" }))
        .route("/basket", get(|| async { "ok" }));
    Box::new(Wrapped::new(scenario, false, || Identity.layer(router)))
}

/// Passes everything on.
struct Identity;

struct Same<S>(S);

impl<S> Layer<S> for Identity {
    type Service = Same<S>;

    fn layer(&self, inner: S) -> Same<S> {
        Same(inner)
    }
}

impl<S: Service<R>, R> Service<R> for Same<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}
