//! What is on the replicas once it is acknowledged.
#![allow(dead_code, unreachable_pub, missing_docs)] // Each test program uses a part of it.

use cloakroom::StoreKey;
use cloakroom::store::{Committed, Created, Ended, Loaded, Renamed, Store};
use cloakroom_testing::requests;

use crate::support::sentinels::Group;
use crate::support::waiting::once_replicas_go_on;

/// Whether each of them has this, at once: nobody waits for it here.
pub async fn is_on_each(replicas: &[impl Store], key: StoreKey, is: impl Fn(&Loaded) -> bool) {
    for replica in replicas {
        let there = replica.load(key).await.unwrap();
        assert!(is(&there), "{there:?}");
    }
}

/// A session from its beginning to its end, each step of which is on the replicas once it is acknowledged. `forgotten`: the server forgets
/// its scripts in the middle, so that both ways of sending one are gone.
pub async fn a_life_is_on_the_replicas<S: Store>(group: &Group, store: &S, replicas: &[S], forgotten: bool) {
    let key = requests::key();
    let create = requests::create(key, requests::data(&[("n", b"1")]));
    let created = once_replicas_go_on(group, store.create(create)).await;
    let Created::Created { snapshot, .. } = created else { panic!("{created:?}") };
    is_on_each(replicas, key, |there| matches!(there, Loaded::Live(_))).await;
    if forgotten {
        group.servers[0].raw("SCRIPT FLUSH");
    }
    let commit = requests::commit(key, snapshot.record.version, requests::data(&[("n", b"2")]));
    let committed = once_replicas_go_on(group, store.commit(commit)).await;
    let Committed::Committed(now) = committed else { panic!("{committed:?}") };
    let version = now.record.version;
    let is_new = |there: &Loaded| matches!(there, Loaded::Live(found) if found.record.version == version);
    is_on_each(replicas, key, is_new).await;
    let to = requests::key();
    let rename = requests::rename(key, to, version, requests::data(&[]));
    let renamed = once_replicas_go_on(group, store.rename(rename)).await;
    assert!(matches!(renamed, Renamed::Renamed { .. }), "{renamed:?}");
    is_on_each(replicas, to, |there| matches!(there, Loaded::Live(_))).await;
    let ended = once_replicas_go_on(group, store.end(requests::end(to))).await;
    assert!(matches!(ended, Ended::Ended(_)), "{ended:?}");
    is_on_each(replicas, to, |there| matches!(there, Loaded::Ended(_))).await;
}
