//! A user with very many sessions logs out everywhere.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::sync::Arc;

use cloakroom::UserId;
use cloakroom::record::Device;
use cloakroom::store::protocol::RECEIPT_SESSIONS;
use cloakroom::store::{BindUser, Create, Created, Ending, Loaded, Store};
use cloakroom_sqlite::SqliteStore;
use support::*;

const MANY: u64 = 10_000;

#[tokio::test]
async fn c13_very_many_sessions_are_revoked_in_one_step_and_the_receipt_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let device = Arc::new(Device { address: "2001:db8::1".into(), agent: "a".repeat(256) });
    let bind = BindUser { user: UserId::new("ann").unwrap(), device: Some(device), cap: None };
    let all: Vec<u64> = (0..MANY).collect();
    for some in all.chunks(2_000) {
        let begin = |n: &u64| store.create(Create { bind: Some(bind.clone()), ..create(key(*n), "x") });
        let answers: Vec<_> = some.iter().map(begin).collect();
        for answer in answers {
            assert!(matches!(answer.await.unwrap(), Created::Created { .. }));
        }
    }
    let request = revoke("ann");
    let first = store.revoke(request.clone()).await.unwrap();
    assert_eq!((first.count as u64, first.ended.len() as u64), (MANY, MANY));
    let again = store.revoke(request).await.unwrap();
    assert_eq!(again.count as u64, MANY);
    assert_eq!(again.ended, first.ended[..RECEIPT_SESSIONS]);
    assert_eq!(store.load(key(MANY - 1)).await.unwrap(), Loaded::Ended(Ending::Revoked));

    let file = rusqlite::Connection::open(&path).unwrap();
    let longest: u32 =
        file.query_row("SELECT max(length(entry)) FROM entries", [], |row| row.get(0)).unwrap();
    assert!(longest < 256 << 10, "an entry has {longest} bytes");
}
