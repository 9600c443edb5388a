//! Many at once, over every handle on the same data.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::payload::Payload;
use cloakroom::record::Record;
use cloakroom::store::{Acquired, Committed, Ending, LeaseOwner, Loaded, Release, Renamed, Store};
use tokio::task::JoinHandle;

use crate::conformance::bed::Bed;
use crate::conformance::verdict::{Failure, Verdict};
use crate::requests;

const TASKS: usize = 8;
const ROUNDS: u64 = 25;
/// Tries of one step before a case gives up: some progress is somebody's, so this many are never needed.
const TRIES: usize = 20_000;

/// One task for each of `TASKS`, each with a handle and its number.
async fn spawn_all<T: Send + 'static, F>(
    bed: &Bed,
    task: impl Fn(usize, Arc<dyn Store>) -> F,
) -> Vec<JoinHandle<Verdict<T>>>
where
    F: Future<Output = Verdict<T>> + Send + 'static,
{
    let handles = bed.handles().await;
    let store = |n: usize| Arc::clone(handles.get(n % handles.len()).unwrap_or(bed.store()));
    (0..TASKS).map(|n| tokio::spawn(task(n, store(n)))).collect()
}

fn counter(n: u64) -> Payload {
    requests::data(&[("n", &n.to_le_bytes())])
}

fn count(record: &Record) -> Verdict<u64> {
    let bytes = record.payload.get("n").and_then(|value| value.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or_else(|| Failure::new("the counter is gone"))
}

async fn new_counter(bed: &Bed) -> Verdict<StoreKey> {
    let key = requests::key();
    bed.create(requests::create(key, counter(0))).await?;
    Ok(key)
}

pub(crate) async fn increments_by_compare_and_commit_are_exact(bed: Bed) -> Verdict {
    let key = new_counter(&bed).await?;
    let tasks = spawn_all(&bed, |_, store| async move {
        for _ in 0..ROUNDS {
            let mut record = expect!(store.load(key).await?, Loaded::Live(s) => s.record);
            tokio::task::yield_now().await;
            let mut committed = false;
            for _ in 0..TRIES {
                let request = requests::commit(key, record.version, counter(count(&record)? + 1));
                match store.commit(request).await? {
                    Committed::Committed(_) => {
                        committed = true;
                        break;
                    }
                    Committed::Conflict(s) => record = s.record,
                    other => return Err(Failure::new(format!("a commit was answered {other:?}"))),
                }
            }
            ensure!(committed, "a commit is refused for ever");
        }
        Ok(())
    });
    for task in tasks.await {
        task.await??;
    }
    let record = bed.live(key).await?;
    ensure_eq!(count(&record)?, TASKS as u64 * ROUNDS, "the counter");
    ensure_eq!(record.version.counter, TASKS as u64 * ROUNDS + 1, "the versions");
    Ok(())
}

pub(crate) async fn each_version_is_replaced_by_one_commit(bed: Bed) -> Verdict {
    for _ in 0..10 {
        let (key, record) = bed.session().await?;
        let version = record.version;
        let tasks = spawn_all(&bed, |_, store| async move {
            let answer = store.commit(requests::commit(key, version, requests::data(&[]))).await?;
            Ok(matches!(answer, Committed::Committed(_)))
        });
        let mut winners = 0;
        for task in tasks.await {
            winners += usize::from(task.await??);
        }
        ensure_eq!(winners, 1, "commits over one version");
    }
    Ok(())
}

pub(crate) async fn a_parallel_rename_yields_one_successor(bed: Bed) -> Verdict {
    for _ in 0..10 {
        let (from, record) = bed.session_of(&requests::user("ann")).await?;
        let (version, payload) = (record.version, record.payload.clone());
        let tasks = spawn_all(&bed, |_, store| {
            let to = requests::successor(from);
            let request = requests::rename(from, to, version, payload.clone());
            async move {
                match store.rename(request).await? {
                    Renamed::Renamed { .. } => Ok(Ok(to)),
                    Renamed::Ended(Ending::Moved { to: winner, .. }) => Ok(Err((to, Some(winner)))),
                    Renamed::Conflict(_) => Ok(Err((to, None))),
                    other => Err(Failure::new(format!("a rename was answered {other:?}"))),
                }
            }
        });
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        for task in tasks.await {
            match task.await?? {
                Ok(to) => winners.push(to),
                Err(loser) => losers.push(loser),
            }
        }
        ensure_eq!(winners.len(), 1, "successors");
        for (to, told) in losers {
            bed.missing(to).await?;
            ensure!(told.is_none_or(|told| winners.contains(&told)), "a loser was told of another successor");
        }
        let listed: Vec<StoreKey> =
            bed.store().list_user(requests::user("ann")).await?.iter().map(|s| s.key).collect();
        ensure_eq!(listed, winners, "the sessions listed");
        bed.store().end(requests::end(from)).await?;
    }
    Ok(())
}

pub(crate) async fn nothing_acknowledged_is_lost_while_the_id_changes(bed: Bed) -> Verdict {
    let first = new_counter(&bed).await?;
    let tasks = spawn_all(&bed, |n, store| async move {
        let mut key = first;
        let (mut done, mut tries) = (0, 0);
        while done < ROUNDS {
            tries += 1;
            ensure!(tries < TRIES, "a commit is refused for ever");
            let record = match store.load(key).await? {
                Loaded::Live(s) => s.record,
                Loaded::Ended(Ending::Moved { to, .. }) => {
                    key = to;
                    continue;
                }
                other => return Err(Failure::new(format!("the session is {other:?}"))),
            };
            let next = counter(count(&record)? + 1);
            // Others get their turn between the read and the write, on stores that answer at once as well.
            tokio::task::yield_now().await;
            // Two of the tasks move the session along with every increment.
            let committed = if n < 2 {
                let to = requests::successor(key);
                let answer = store.rename(requests::rename(key, to, record.version, next)).await?;
                matches!(answer, Renamed::Renamed { .. })
            } else {
                let answer = store.commit(requests::commit(key, record.version, next)).await?;
                matches!(answer, Committed::Committed(_))
            };
            done += u64::from(committed);
        }
        Ok(key)
    });
    for task in tasks.await {
        task.await??;
    }
    let (mut key, mut last) = (first, None);
    for _ in 0..TRIES {
        match bed.store().load(key).await? {
            Loaded::Live(s) => {
                last = Some(s.record);
                break;
            }
            Loaded::Ended(Ending::Moved { to, .. }) => key = to,
            other => return Err(Failure::new(format!("the session is {other:?}"))),
        }
    }
    let record = last.ok_or_else(|| Failure::new("the successors lead nowhere"))?;
    ensure_eq!(count(&record)?, TASKS as u64 * ROUNDS, "the counter");
    Ok(())
}

pub(crate) async fn a_lease_has_one_holder_at_a_time(bed: Bed) -> Verdict {
    let key = new_counter(&bed).await?;
    let inside = Arc::new(AtomicBool::new(false));
    let tasks = spawn_all(&bed, |n, store| {
        let inside = Arc::clone(&inside);
        async move {
            let owner = n as u128 + 1;
            for round in 0..ROUNDS {
                let mut held = None;
                for _ in 0..TRIES {
                    match store.acquire(requests::acquire(key, owner)).await? {
                        Acquired::Acquired { snapshot, .. } => {
                            held = Some(snapshot.record);
                            break;
                        }
                        Acquired::Locked { .. } => tokio::time::sleep(Duration::from_micros(200)).await,
                        other => return Err(Failure::new(format!("an acquire was answered {other:?}"))),
                    }
                }
                let record = held.ok_or_else(|| Failure::new("the lease never becomes free"))?;
                ensure!(!inside.swap(true, Ordering::SeqCst), "two tasks hold the lease");
                tokio::task::yield_now().await;
                inside.store(false, Ordering::SeqCst);
                let mut request = requests::commit(key, record.version, counter(count(&record)? + 1));
                request.lease = requests::held(owner, 0);
                // Given back in the same step, or on its own.
                request.release = round % 2 == 0;
                expect!(store.commit(request).await?, Committed::Committed(_));
                if round % 2 == 1 {
                    store.release(Release { key, owner: LeaseOwner(owner) }).await?;
                }
            }
            Ok(())
        }
    });
    for task in tasks.await {
        task.await??;
    }
    ensure_eq!(count(&*bed.live(key).await?)?, TASKS as u64 * ROUNDS, "the counter");
    Ok(())
}

pub(crate) async fn many_sessions_at_once_do_not_disturb_each_other(bed: Bed) -> Verdict {
    let tasks = spawn_all(&bed, |n, store| async move {
        let user = requests::user(&format!("user {n}"));
        let mut alive = Vec::new();
        for round in 0..ROUNDS {
            let key = requests::key();
            let mut request = requests::create_for(key, requests::bind(&user));
            request.payload = counter(round * 1000 + n as u64);
            store.create(request).await?;
            let record = expect!(store.load(key).await?, Loaded::Live(s) => s.record);
            ensure_eq!(count(&record)?, round * 1000 + n as u64, "a session's own data");
            if round % 3 == 0 {
                store.end(requests::end(key)).await?;
            } else {
                alive.push(key);
            }
        }
        alive.sort();
        let mut listed: Vec<StoreKey> = store.list_user(user).await?.iter().map(|s| s.key).collect();
        listed.sort();
        ensure_eq!(listed, alive, "the sessions of user {n}");
        Ok(alive.len())
    });
    let mut alive = 0;
    for task in tasks.await {
        alive += task.await??;
    }
    ensure_eq!(bed.scanned(16).await?.len(), alive, "sessions alive");
    Ok(())
}

pub(crate) async fn an_answer_that_nobody_waits_for_tears_nothing(bed: Bed) -> Verdict {
    let key = new_counter(&bed).await?;
    for n in 1..40u64 {
        let before = bed.live(key).await?;
        let request = requests::commit(key, before.version, counter(n));
        let answer = bed.store().commit(request.clone());
        if n % 2 == 0 {
            drop(answer);
        } else {
            let patience = Duration::from_micros(n * 10);
            let _ = tokio::time::timeout(patience, answer).await;
        }
        // Whether it happened or not, it happened whole, and repeating it settles it.
        let after = bed.live(key).await?;
        ensure!(
            after.version == before.version && after.payload == before.payload
                || after.version == before.version.next(request.op) && after.payload == request.payload,
            "a dropped commit left {after:?}"
        );
        let settled = bed.commit(request.clone()).await?;
        ensure_eq!(settled.version, before.version.next(request.op), "the version after repeating it");
    }
    Ok(())
}
