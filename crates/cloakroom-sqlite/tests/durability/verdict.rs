//! What is wrong with a store that was found after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cloakroom::store::{Created, Store, wire};
use cloakroom::{StoreKey, UserId};
use cloakroom_sqlite::SqliteStore;
use rusqlite::Connection;

use crate::DATABASE;
use crate::support::{create, key};
use cloakroom_testing::processes::{Line, Progress};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Something that was acknowledged is not there; apart from that the store is in order.
    Lost(String),
    /// The store is not in order.
    Damaged(String),
}

fn damaged<T>(what: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Damaged(what.into()))
}

/// Opens the store as any program would, and looks at everything in it. `acked` has each line and how far it was told
/// that it got.
pub async fn examine(dir: &Path, acked: &BTreeMap<Line, u64>) -> Result<(), Fault> {
    let path = dir.join(DATABASE);
    let store = match SqliteStore::open(&path).await {
        Ok(store) => store,
        Err(error) => return damaged(format!("{error}: {:?}", std::error::Error::source(&error))),
    };
    let told = lines(&store, acked).await;
    if matches!(told, Err(Fault::Damaged(_))) {
        return told;
    }
    // Nothing needs to be done before it takes new sessions.
    match store.create(create(key(u64::MAX / 2), "after the crash")).await {
        Ok(Created::Created { .. }) => {}
        refused => return damaged(format!("a new session: {refused:?}")),
    }
    if store.close().await.is_err() {
        return damaged("closing failed");
    }
    whole(&path)?;
    told
}

async fn lines(store: &SqliteStore, acked: &BTreeMap<Line, u64>) -> Result<(), Fault> {
    let mut lost = Vec::new();
    let mut users: BTreeMap<String, BTreeSet<StoreKey>> = BTreeMap::new();
    for (line, acked) in acked {
        // One more may have been stored without being acknowledged.
        let step = match line.progress(store, acked + 1).await {
            Ok(Progress::After(step)) => step,
            Ok(Progress::Torn) => return damaged(format!("{line:?} is as after no step up to {acked}")),
            Err(error) => return damaged(format!("{line:?}: {error}")),
        };
        if step < *acked {
            lost.push(format!("{line:?}: acknowledged up to step {acked}, found as after step {step}"));
        }
        users.entry(line.user()).or_default().extend(line.lives_at(step));
    }
    for (user, alive) in &users {
        let listed = store.list_user(UserId::new(user).unwrap()).await;
        let listed: BTreeSet<_> = match listed {
            Ok(listed) => listed.iter().map(|session| session.key).collect(),
            Err(error) => return damaged(error.to_string()),
        };
        if listed != *alive {
            return damaged(format!("{user}: {listed:?} listed, {alive:?} alive"));
        }
    }
    let alive = users.values().map(BTreeSet::len).sum::<usize>() as u64;
    let counted = store.stats().await.ok().and_then(|stats| stats.live);
    if counted != Some(alive) {
        return damaged(format!("{alive} alive, {counted:?} counted"));
    }
    // Counted just before the cut, and not acknowledged yet: lost all the same, where commits are not flushed. Where they
    // are, this would be a false alarm, and no less of a fault.
    if lost.is_empty() && store.lost_commits() > 0 {
        lost.push(format!("{} commits said to be lost, none of them acknowledged", store.lost_commits()));
    }
    if lost.is_empty() { Ok(()) } else { Err(Fault::Lost(lost.join("; "))) }
}

/// SQLite finds its file in order, and every entry in it can be read.
fn whole(path: &Path) -> Result<(), Fault> {
    let look = || -> rusqlite::Result<String> {
        let conn = Connection::open(path)?;
        let mut entries = conn.prepare("SELECT key, entry FROM entries")?;
        let mut rows = entries.query([])?;
        while let Some(row) = rows.next()? {
            let key = StoreKey::from_bytes(row.get(0)?);
            if let Err(error) = wire::decode(&key, &row.get::<_, Vec<u8>>(1)?) {
                return Ok(format!("{key:?}: {error}"));
            }
        }
        conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))
    };
    match look() {
        Ok(found) if found == "ok" => Ok(()),
        Ok(found) => damaged(found),
        Err(error) => damaged(error.to_string()),
    }
}
