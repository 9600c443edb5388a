//! C9: what of a request is on its way to the store while another of its calls answers for the same: nothing is acknowledged before the
//! store has it, whoever took it along.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod answers;
#[path = "../house/mod.rs"]
mod house;
mod seen;
mod undurable;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use cloakroom::{ErrorKind, Locking, Mode, Session, SessionConfig, SessionError, SessionHandle};
use cloakroom_testing::{Fault, Gate, Op};
use house::{House, quiet};
use http::StatusCode;
use http_body::Body as _;
use tokio::task::JoinHandle;

/// Calls that answer for what is buffered, and store it first.
const CALLS: [&str; 4] = ["save", "lock", "login", "put over a clear"];

async fn call(session: &Session, which: &str) -> Result<(), SessionError> {
    match which {
        "save" => session.save().await,
        "lock" => session.lock().await.map(drop),
        "login" => session.login("ada").await,
        "destroy" => session.destroy().await,
        _ => session.put("later", 1).await, // "put", or over a clear
    }
}

/// Such a call in a task of its own, which has come as far as it can.
async fn begin(session: &Session, which: &'static str) -> JoinHandle<Result<(), SessionError>> {
    let session = session.clone();
    let begun = tokio::spawn(async move { call(&session, which).await });
    quiet().await;
    begun
}

async fn stored(house: &House, id: &str, key: &str) -> Option<i64> {
    house.arrive(&[id]).read_only().await.unwrap().get(key).unwrap()
}

async fn kind(call: JoinHandle<Result<(), SessionError>>) -> Option<ErrorKind> {
    let answer = tokio::time::timeout(Duration::from_secs(60), call).await.expect("it waits for ever");
    answer.unwrap().err().map(|error| error.kind())
}

/// The last commit of a request, before its head or at the end of its body.
fn end(house: &Arc<House>, handle: &SessionHandle, body: bool) -> JoinHandle<Result<(), SessionError>> {
    let (house, handle) = (Arc::clone(house), handle.clone());
    tokio::spawn(async move {
        if body {
            let mut body = Box::pin(house.manager.wrap_body(&handle, Body::from("text")));
            drop(poll_fn(|cx| body.as_mut().poll_frame(cx)).await);
        } else {
            drop(house.leave(&handle, StatusCode::OK).await);
        }
        Ok(())
    })
}

/// A key that was read and then written, and another one; for some calls over a clear.
fn buffer(session: &Session, which: &str) {
    assert_eq!(session.get::<u32>("n").unwrap(), Some(1));
    if which == "put over a clear" {
        session.clear().unwrap();
    }
    session.set("n", 2).unwrap();
    session.set("order", 7).unwrap();
}
