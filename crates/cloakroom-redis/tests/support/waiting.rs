//! Writes that wait for replicas, from the side of whoever waits.

use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::record::Version;
use cloakroom::store::{Loaded, Store, StoreError, StoreErrorKind, StoreFuture};

use super::Server;
use super::sentinels::Group;

/// Short: replicas that stand still are waited for as long as that, time and again.
pub const WITHIN: Duration = Duration::from_millis(200);
/// How long replicas may take to catch up on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The answer to what was made all the same; the error says `why` it may be undone.
#[track_caller]
pub fn made_though<A: std::fmt::Debug + 'static>(answer: Result<A, StoreError>, why: &str) -> A {
    let mut error = answer.expect_err("too few have it");
    assert_eq!(error.kind(), StoreErrorKind::Undurable, "{error}");
    assert!(error.to_string().contains(&format!("made the write, and {why}")), "{error}");
    error.take_made().expect("the answer to what was made")
}

/// Asks again until it is confirmed.
pub async fn confirmed<A>(ask: impl Fn() -> StoreFuture<A>) -> A {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
    }
}

/// The answer to a write, which must not come before the replicas go on.
pub async fn once_replicas_go_on<A>(group: &Group, write: StoreFuture<A>) -> A {
    const STILL: Duration = Duration::from_millis(30);
    group.pause_replicas();
    let began = Instant::now();
    let going_on = async {
        tokio::time::sleep(STILL).await;
        group.resume_replicas();
    };
    let answered = async { (write.await, began.elapsed()) };
    let ((answer, after), ()) = tokio::join!(answered, going_on);
    assert!(after >= STILL, "acknowledged after {after:?}");
    answer.unwrap()
}

/// Servers before Redis 7.2 wait for all that was written by anybody, and would not need what stands ahead of the wait for what is recognised: it
/// is seen that it is there. `note`: the command that it is made of.
pub fn each_wait_has_a_note_ahead(server: &Server, note: &str) {
    let (notes, waits) = (server.calls(note), server.calls("wait"));
    assert!(waits > 8 && notes >= waits, "{notes} notes, {waits} waits");
}

pub async fn version(store: &impl Store, key: StoreKey) -> Version {
    match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot.record.version,
        other => panic!("{other:?}"),
    }
}
