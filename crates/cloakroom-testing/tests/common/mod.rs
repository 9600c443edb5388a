//! What the tests of this crate share.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::payload::Payload;
use cloakroom::record::Record;
use cloakroom::store::{Created, Loaded, Store};
use cloakroom_testing::requests;
pub use cloakroom_testing::requests::{acquire, commit, create, end, key as new_key, rename};

pub const HOUR: Duration = requests::IDLE;

pub fn payload(entries: &[(&str, &str)]) -> Payload {
    let entries: Vec<_> = entries.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
    requests::data(&entries)
}

pub async fn created(store: &dyn Store, key: StoreKey, data: Payload) -> std::sync::Arc<Record> {
    match store.create(create(key, data)).await.unwrap() {
        Created::Created { snapshot, .. } => snapshot.record,
        Created::Exists => panic!("the key was taken"),
    }
}

pub async fn live(store: &dyn Store, key: StoreKey) -> std::sync::Arc<Record> {
    match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot.record,
        other => panic!("expected a live record, found {other:?}"),
    }
}
