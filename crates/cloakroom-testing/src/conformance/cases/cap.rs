//! The cap on a user's sessions.

use std::collections::HashSet;
use std::sync::Arc;

use cloakroom::StoreKey;
use cloakroom::store::{Created, Ending, Renamed, Summary};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

fn keys(sessions: &[Summary]) -> Vec<StoreKey> {
    sessions.iter().map(|s| s.key).collect()
}

pub(crate) async fn a_create_over_the_cap_ends_the_oldest(bed: Bed) -> Verdict {
    let (ann, ben) = (requests::user("ann"), requests::user("ben"));
    let (bens, _) = bed.session_of(&ben).await?;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(bed.session_of(&ann).await?);
        bed.pass(1).await;
    }
    let newest = requests::key();
    let request = requests::create_for(newest, requests::bind_capped(&ann, 3));
    let evicted =
        expect!(bed.store().create(request.clone()).await?, Created::Created { evicted, .. } => evicted);
    let oldest: Vec<Summary> = made.iter().take(2).map(|(key, record)| Summary::of(*key, record)).collect();
    ensure_eq!(evicted, oldest, "the sessions ended by the cap");
    for (key, _) in made.iter().take(2) {
        bed.ended(*key, Ending::Revoked).await?;
    }
    let mut left: Vec<StoreKey> = made.iter().skip(2).map(|(key, _)| *key).collect();
    left.push(newest);
    ensure_eq!(keys(&bed.store().list_user(ann.clone()).await?), left, "the sessions left");
    bed.live(bens).await?;
    // Repeated, it ends no more.
    expect!(bed.store().create(request).await?, Created::Created { .. });
    ensure_eq!(bed.store().list_user(ann).await?.len(), 3, "the sessions left after the create was repeated");
    Ok(())
}

pub(crate) async fn a_login_over_the_cap_ends_the_oldest_and_never_itself(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    // The session that logs in is the oldest of all.
    let (mut key, mut record) = bed.session().await?;
    bed.pass(1).await;
    let (other, other_record) = bed.session_of(&ann).await?;
    for round in 0..3 {
        let to = requests::successor(key);
        let mut request = requests::rename(key, to, record.version, record.payload.clone());
        request.bind = Some(requests::bind_capped(&ann, 1));
        let answer = bed.store().rename(request).await?;
        let (snapshot, evicted) =
            expect!(answer, Renamed::Renamed { snapshot, evicted } => (snapshot, evicted));
        let expected = if round == 0 { vec![Summary::of(other, &other_record)] } else { vec![] };
        ensure_eq!(evicted, expected, "the sessions ended by login {round}");
        ensure_eq!(
            keys(&bed.store().list_user(ann.clone()).await?),
            vec![to],
            "the list after login {round}"
        );
        (key, record) = (to, snapshot.record);
    }
    bed.ended(other, Ending::Revoked).await
}

pub(crate) async fn a_session_within_the_cap_ends_nothing(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    for _ in 0..3 {
        let request = requests::create_for(requests::key(), requests::bind_capped(&ann, 3));
        expect!(bed.store().create(request).await?, Created::Created { evicted, .. } if evicted.is_empty());
    }
    ensure_eq!(bed.store().list_user(ann).await?.len(), 3, "the sessions left");
    Ok(())
}

pub(crate) async fn dead_sessions_do_not_count_towards_the_cap(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (ended, _) = bed.session_of(&ann).await?;
    bed.store().end(requests::end(ended)).await?;
    let mut request = requests::create_for(requests::key(), requests::bind(&ann));
    request.lifetime = bed.lifetime(2, 20);
    bed.create(request).await?;
    let (moved, record) = bed.session_of(&ann).await?;
    bed.moved(moved, &record).await?;
    bed.pass(2).await;
    let request = requests::create_for(requests::key(), requests::bind_capped(&ann, 2));
    expect!(bed.store().create(request).await?, Created::Created { evicted, .. } if evicted.is_empty());
    Ok(())
}

pub(crate) async fn a_refused_login_ends_nothing(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (other, _) = bed.session_of(&ann).await?;
    let (key, record) = bed.session().await?;
    bed.write(key, &record, requests::data(&[("a", b"2")])).await?;
    let mut request = requests::rename(key, requests::successor(key), record.version, record.payload.clone());
    request.bind = Some(requests::bind_capped(&ann, 1));
    expect!(bed.store().rename(request).await?, Renamed::Conflict(_));
    let mut taken = requests::create_for(key, requests::bind_capped(&ann, 1));
    taken.key = other;
    expect!(bed.store().create(taken).await?, Created::Exists);
    bed.live(other).await?;
    Ok(())
}

pub(crate) async fn the_cap_holds_when_many_sessions_begin_at_once(bed: Bed) -> Verdict {
    let (ann, cap, many) = (requests::user("ann"), 3, 24usize);
    let handles = bed.handles().await;
    let logins: Vec<_> = (0..many)
        .map(|n| {
            let store = Arc::clone(handles.get(n % handles.len()).unwrap_or(bed.store()));
            let request = requests::create_for(requests::key(), requests::bind_capped(&ann, cap));
            tokio::spawn(async move { store.create(request).await })
        })
        .collect();
    let mut evicted = Vec::new();
    for login in logins {
        evicted.extend(expect!(login.await??, Created::Created { evicted, .. } => evicted));
    }
    at_the_cap(&bed, 3, many, evicted).await
}

pub(crate) async fn the_cap_holds_when_many_sessions_log_in_at_once(bed: Bed) -> Verdict {
    let (ann, cap, many) = (requests::user("ann"), 3, 24usize);
    let handles = bed.handles().await;
    let mut logins = Vec::new();
    for n in 0..many {
        let (key, record) = bed.session().await?;
        let store = Arc::clone(handles.get(n % handles.len()).unwrap_or(bed.store()));
        let mut request =
            requests::rename(key, requests::successor(key), record.version, record.payload.clone());
        request.bind = Some(requests::bind_capped(&ann, cap));
        logins.push(tokio::spawn(async move { store.rename(request).await }));
    }
    let mut evicted = Vec::new();
    for login in logins {
        evicted.extend(expect!(login.await??, Renamed::Renamed { evicted, .. } => evicted));
    }
    at_the_cap(&bed, 3, many, evicted).await
}

/// As many sessions as the cap allows are alive; every other one was ended by exactly one of the logins.
async fn at_the_cap(bed: &Bed, cap: usize, made: usize, evicted: Vec<Summary>) -> Verdict {
    let alive = keys(&bed.store().list_user(requests::user("ann")).await?);
    ensure_eq!(alive.len(), cap, "sessions alive under the cap");
    let ended: HashSet<StoreKey> = evicted.iter().map(|s| s.key).collect();
    ensure_eq!(ended.len(), evicted.len(), "sessions ended by the cap, each once");
    ensure_eq!(ended.len(), made - cap, "sessions ended by the cap");
    for key in &alive {
        ensure!(!ended.contains(key), "{key:?} was told to be ended, and lives");
    }
    for key in ended {
        bed.ended(key, Ending::Revoked).await?;
    }
    Ok(())
}
