//! C5: how often a process hands a lease on to its own before another process has its turn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{Locking, MemoryStore, Session, SessionConfig, SessionManager};
use cloakroom_testing::{Op, SpyStore};

const BOUND: u32 = 3;
const QUEUE: usize = 24;

fn process(store: &Arc<dyn Store>, handovers: u32) -> SessionManager {
    let locking = Locking { handovers, wait: Duration::from_secs(60), ..Locking::default() };
    SessionManager::over(Arc::clone(store), SessionConfig::new().locking(locking).purge_every(None)).unwrap()
}

async fn open(manager: &SessionManager, id: &str) -> Session {
    let request = http::Request::builder().header("cookie", format!("__Host-id={id}")).body(()).unwrap();
    manager.open(&request, None).open().await.unwrap()
}

async fn newcomer(manager: &SessionManager) -> String {
    let handle = manager.open(&http::Request::new(()), None);
    handle.open().await.unwrap().set("n", 1).unwrap();
    let mut headers = http::HeaderMap::new();
    assert!(matches!(
        manager.close(&handle, http::StatusCode::OK, &mut headers).await,
        cloakroom::Outcome::Done
    ));
    let cookie = headers["set-cookie"].to_str().unwrap();
    cookie.split(['=', ';']).nth(1).unwrap().to_owned()
}

/// Waits until so many requests of this process have begun to wait for a lease.
async fn waiting(manager: &SessionManager, n: u64) {
    while manager.metrics().lock_waits < n {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A request that takes the lock, holds it for a moment, and writes down whose it was.
fn holder(
    session: Session,
    who: &'static str,
    order: &Arc<Mutex<Vec<&'static str>>>,
) -> tokio::task::JoinHandle<()> {
    let order = Arc::clone(order);
    tokio::spawn(async move {
        let guard = session.lock().await.unwrap();
        order.lock().unwrap().push(who);
        tokio::time::sleep(Duration::from_millis(5)).await;
        drop(guard);
    })
}

/// A long queue here, one request there: who held the lock in which order. The clock is tokio's, so that nobody is late by chance.
async fn order_with(handovers: u32) -> Vec<&'static str> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (here, there) = (process(&store, handovers), process(&store, handovers));
    let id = newcomer(&here).await;
    let order = Arc::default();
    let first = open(&here, &id).await;
    let guard = first.lock().await.unwrap();
    let mut holders = Vec::new();
    for _ in 0..QUEUE {
        holders.push(holder(open(&here, &id).await, "here", &order));
    }
    waiting(&here, QUEUE as u64).await;
    holders.push(holder(open(&there, &id).await, "there", &order));
    waiting(&there, 1).await;
    drop(guard);
    for holder in holders {
        holder.await.unwrap();
    }
    let order = order.lock().unwrap().clone();
    assert_eq!(order.len(), QUEUE + 1);
    order
}

#[tokio::test(start_paused = true)]
async fn c5_another_process_has_its_turn_after_so_many_hand_overs() {
    let order = order_with(BOUND).await;
    let turn = order.iter().position(|who| *who == "there").unwrap();
    // The first holder's hand-overs, and one more round in case the other process was asleep at the first gap.
    assert!(turn <= 2 * (BOUND as usize + 1), "after {turn} holders here: {order:?}");
    let without = order_with(u32::MAX).await;
    assert_eq!(without.last(), Some(&"there"), "without a bound it waits for all of them: {without:?}");
}

#[tokio::test]
async fn c5_the_lease_is_taken_anew_after_so_many_hand_overs() {
    let spy = SpyStore::new(Arc::new(MemoryStore::new()));
    let store: Arc<dyn Store> = Arc::new(spy.clone());
    let here = process(&store, BOUND);
    let id = newcomer(&here).await;
    let first = open(&here, &id).await;
    let guard = first.lock().await.unwrap();
    let order = Arc::default();
    let mut holders = Vec::new();
    for _ in 0..11 {
        holders.push(holder(open(&here, &id).await, "here", &order));
    }
    waiting(&here, 11).await;
    drop(guard);
    for holder in holders {
        holder.await.unwrap();
    }
    here.shutdown().await;
    // Twelve holders: four to a lease.
    assert_eq!((spy.count(Op::Acquire), spy.count(Op::Release)), (3, 3));
}
