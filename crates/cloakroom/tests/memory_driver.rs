//! The driver `memory`: what its table says is what its store does.
#![cfg(all(feature = "config", feature = "memory"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::Arc;

use cloakroom::config::{Configuration, Driver, Drivers, Environment};
use cloakroom::store::{Store, StoreErrorKind};
use cloakroom_testing::requests;

async fn open(lines: &str) -> Result<Arc<dyn Store>, String> {
    let text = format!("driver = \"local\"\n[connections.memory]\n{lines}\n");
    let read = Configuration::parse("c.toml", text.as_bytes(), &Environment::empty()).unwrap();
    Drivers::none().with(Driver::memory()).open(&read).await.map_err(|error| error.to_string())
}

/// How many sessions of 1 KiB it takes, of ten.
async fn takes(lines: &str) -> usize {
    let store = open(lines).await.unwrap();
    for taken in 0..10 {
        let create = requests::create(requests::key(), requests::data(&[("k", &[b'x'; 1024])]));
        match store.create(create).await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
                return taken;
            }
        }
    }
    10
}

#[tokio::test]
async fn c13_its_bounds_are_those_of_the_table() {
    assert_eq!(takes("").await, 10);
    assert_eq!(takes("max_sessions = 3").await, 3);
    let few = takes("max_size = 4096").await;
    assert!((1..4).contains(&few), "{few}");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_place() {
    for (line, told) in [
        ("max_sessions = \"many\"", "c.toml:3:16: connections.memory.max_sessions is not a whole number"),
        ("max_size = \"1MB\"", "c.toml:3:12: connections.memory.max_size "),
        ("path = \"x\"", "connections.memory.path is not a setting of the memory driver"),
    ] {
        let error = open(line).await.err().unwrap();
        assert!(error.contains(told), "{error}");
    }
}
