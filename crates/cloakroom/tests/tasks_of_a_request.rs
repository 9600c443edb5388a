//! C1: what one task of a request has stored is not written over by another one that knows an older value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod house;

use cloakroom::{ErrorKind, Session, SessionConfig, SessionError};
use house::House;
use http::StatusCode;

/// Awaited writes of one key.
const WRITES: [&str; 4] = ["put", "update", "a guard's commit", "a guard's clear"];

async fn write(session: &Session, which: &str) -> Result<(), SessionError> {
    match which {
        "put" => session.put("n", 2).await,
        "update" => session.increment("n", 1).await.map(drop),
        _ => {
            let mut guard = session.lock().await?;
            if which == "a guard's clear" {
                guard.clear();
            }
            guard.set("n", 2)?;
            guard.commit().await
        }
    }
}

/// It is stored when this returns.
async fn write_in_a_task(session: &Session, which: &'static str) {
    let session = session.clone();
    tokio::spawn(async move { write(&session, which).await }).await.unwrap().unwrap();
}

async fn stored(house: &House, id: &str) -> Option<i64> {
    house.arrive(&[id]).read_only().await.unwrap().get("n").unwrap()
}

#[tokio::test]
async fn c1_who_has_read_what_another_task_buffered_since_knows_it() {
    let house = House::new(SessionConfig::new());
    let id = house.newcomer().await;
    let handle = house.arrive(&[&id]);
    let session = handle.open().await.unwrap();
    session.get::<i64>("n").unwrap();
    write_in_a_task(&session, "put").await;
    let buffers = session.clone();
    tokio::spawn(async move { buffers.set("n", 3) }).await.unwrap().unwrap();
    assert_eq!(session.get::<i64>("n").unwrap(), Some(3));
    session.save().await.unwrap();
    session.set("n", 4).unwrap();
    assert_eq!(house.leave(&handle, StatusCode::OK).await.status, StatusCode::OK);
    assert_eq!(stored(&house, &id).await, Some(4));
}

#[tokio::test]
async fn c1_what_another_task_of_the_request_stored_is_not_overwritten_by_one_that_read_before() {
    for newcomer in [false, true] {
        for which in WRITES {
            for decided in ["set", "remove", "clear", "put"] {
                let what = format!("{decided} after {which}, a newcomer: {newcomer}");
                let house = House::new(SessionConfig::new());
                let ids = if newcomer { Vec::new() } else { vec![house.newcomer().await] };
                let handle = house.arrive(&ids.iter().map(String::as_str).collect::<Vec<_>>());
                let session = handle.open().await.unwrap();
                let old = session.get::<i64>("n").unwrap().unwrap_or(0);
                write_in_a_task(&session, which).await;
                let put = match decided {
                    "set" => session.set("n", old + 1),
                    "remove" => session.remove("n"),
                    "clear" => session.clear(),
                    _ => session.put("n", old + 1).await,
                };
                let status = house.leave(&handle, StatusCode::OK).await.status;
                match decided {
                    "put" => assert_eq!(put.unwrap_err().kind(), ErrorKind::Conflict, "{what}"),
                    _ => assert_eq!((put.is_ok(), status), (true, StatusCode::CONFLICT), "{what}"),
                }
                let id = session.id().unwrap().expose().to_owned();
                let written = if newcomer && which == "update" { 1 } else { 2 };
                assert_eq!(stored(&house, &id).await, Some(written), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn c1_who_writes_knows_it_and_who_looks_again_does_and_who_never_looked_need_not() {
    for which in WRITES {
        for knows in ["the one that wrote", "looked again", "never looked", "stored by the one that wrote"] {
            let house = House::new(SessionConfig::new());
            let id = house.newcomer().await;
            let handle = house.arrive(&[&id]);
            let session = handle.open().await.unwrap();
            let read = || assert!(session.has("n"));
            match knows {
                "the one that wrote" => {
                    read();
                    write(&session, which).await.unwrap();
                }
                "looked again" => {
                    read();
                    write_in_a_task(&session, which).await;
                    read();
                }
                "never looked" => write_in_a_task(&session, which).await,
                _ => {
                    read();
                    let session = session.clone();
                    let task = async move {
                        write(&session, which).await.unwrap();
                        session.put("n", 5).await.unwrap();
                        session.set("n", 6).unwrap();
                    };
                    tokio::spawn(task).await.unwrap();
                }
            }
            session.set("n", 7).unwrap();
            let status = house.leave(&handle, StatusCode::OK).await.status;
            assert_eq!((status, stored(&house, &id).await), (StatusCode::OK, Some(7)), "{which}, {knows}");
        }
    }
}
