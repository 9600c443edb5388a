//! What a store can do beyond the trait: a second process, reopening, a bound; and how it fails.

use cloakroom::StoreKey;
use cloakroom::store::{
    Acquired, Committed, Created, Ending, Loaded, RevokeWhich, ScanFrom, StoreError, StoreErrorKind,
};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::{Failure, Verdict};
use crate::requests;

pub(crate) async fn what_one_handle_stores_another_sees(bed: Bed) -> Verdict {
    let other = match bed.handles().await.pop() {
        Some(other) => other,
        None => return Err(Failure::new("no second handle")),
    };
    let ann = requests::user("ann");
    let (key, record) = bed.session_of(&ann).await?;
    let seen = expect!(other.load(key).await?, Loaded::Live(s) => s.record);
    ensure_eq!(seen, record, "the record through the second handle");
    let request = requests::commit(key, record.version, requests::data(&[("a", b"2")]));
    let written = expect!(other.commit(request).await?, Committed::Committed(s) => s.record);
    ensure_eq!(bed.live(key).await?, written, "the record through the first handle");
    let stale = requests::commit(key, record.version, requests::data(&[]));
    expect!(bed.store().commit(stale).await?, Committed::Conflict(_));

    expect!(other.acquire(requests::acquire(key, 1)).await?, Acquired::Acquired { .. });
    expect!(bed.store().acquire(requests::acquire(key, 2)).await?, Acquired::Locked { .. });
    ensure_eq!(other.list_user(ann.clone()).await?.len(), 1, "sessions listed through the second handle");
    other.revoke(requests::revoke(&ann, RevokeWhich::All)).await?;
    bed.ended(key, Ending::Revoked).await
}

pub(crate) async fn everything_acknowledged_survives_reopening(mut bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (written, record) = bed.session_of(&ann).await?;
    let last = requests::commit(written, record.version, requests::data(&[("a", &[0, 255, 7])]));
    let written_record = bed.commit(last.clone()).await?;
    let (leased, leased_record) = bed.session().await?;
    let mut long = requests::acquire(leased, 1);
    long.lease = requests::IDLE;
    expect!(bed.store().acquire(long).await?, Acquired::Acquired { .. });
    let (ended, _) = bed.session().await?;
    let mut end = requests::end(ended);
    end.marker = requests::IDLE;
    bed.store().end(end).await?;
    let (old, record) = bed.session_of(&ann).await?;
    let new = requests::successor(old);
    let mut request = requests::rename(old, new, record.version, requests::data(&[("b", b"1")]));
    request.old = requests::alias(requests::IDLE);
    let moved_record = bed.rename(request).await?;
    let (touched, _) = bed.session().await?;
    bed.pass(1).await;
    bed.store().touch(requests::touch(touched)).await?;
    let touched_record = bed.live(touched).await?;

    let reopen = bed.subject.reopen.take().ok_or_else(|| Failure::new("no way to reopen the store"))?;
    for _ in 0..2 {
        // The case's own handle goes with it: nothing of the old store is left in its hands.
        let gone =
            std::mem::replace(&mut bed.subject.store, std::sync::Arc::new(crate::ReferenceStore::new()));
        bed.subject.store = reopen(gone).await;
        ensure_eq!(bed.live(written).await?, written_record, "a committed record");
        ensure_eq!(bed.live(new).await?, moved_record, "a renamed record");
        ensure_eq!(bed.live(touched).await?, touched_record, "a touched record");
        expect!(bed.store().load(old).await?, Loaded::Alias { successor, .. } if successor == new);
        bed.ended(ended, Ending::Destroyed).await?;
        ensure_eq!(bed.store().list_user(ann.clone()).await?.len(), 2, "sessions of the user");
        expect!(bed.store().acquire(requests::acquire(leased, 2)).await?, Acquired::Locked { .. });
        // An operation repeated across the restart is recognised.
        ensure_eq!(bed.commit(last.clone()).await?.version, written_record.version, "the version");
    }
    let mut request = requests::commit(leased, leased_record.version, requests::data(&[]));
    request.lease = requests::held(1, 0);
    bed.commit(request).await?;
    Ok(())
}

pub(crate) async fn a_full_store_refuses_new_sessions_and_keeps_the_old(bed: Bed) -> Verdict {
    const BOUND: usize = 100;
    let open = bed.subject.bounded.as_ref().ok_or_else(|| Failure::new("no store with a bound"))?;
    let store = open(BOUND).await;
    let mut alive = Vec::new();
    let mut full = None;
    for _ in 0..=BOUND {
        let key = requests::key();
        match store.create(requests::create(key, requests::data(&[("a", b"1")]))).await {
            Ok(answer) => {
                alive.push((key, expect!(answer, Created::Created { snapshot, .. } => snapshot.record)));
            }
            Err(error) => {
                full = Some((error, key));
                break;
            }
        }
    }
    let Some((error, refused)) = full else {
        return Err(Failure::new(format!("{} sessions in a store of {BOUND}", alive.len())));
    };
    ensure_eq!(error.kind(), StoreErrorKind::Full, "the error of a full store");
    tells_no_secret(&error, &refused)?;
    expect!(store.load(refused).await?, Loaded::Missing);
    // Those that are there go on: written, moved, ended.
    let mut first = true;
    for (key, record) in &alive {
        let request = requests::commit(*key, record.version, requests::data(&[("a", b"2")]));
        let record = expect!(store.commit(request).await?, Committed::Committed(s) => s.record);
        if std::mem::take(&mut first) {
            let request =
                requests::rename(*key, requests::successor(*key), record.version, record.payload.clone());
            expect!(store.rename(request).await?, cloakroom::store::Renamed::Renamed { .. });
        }
    }
    for (key, _) in alive.iter().take(10) {
        expect!(store.end(requests::end(*key)).await?, cloakroom::store::Ended::Ended(_));
    }
    let live = store.scan(ScanFrom { after: None, limit: 2 * BOUND }).await?.sessions.len();
    ensure_eq!(live, alive.len() - 10, "sessions alive after ten were ended");
    Ok(())
}

/// An error's text, its source's, and `Debug`, must not show the key, whole or as the digest's larger part.
fn tells_no_secret(error: &StoreError, key: &StoreKey) -> Verdict {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(&format!(" {inner} {inner:?}"));
        source = inner.source();
    }
    let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{:?}", key.as_bytes());
    let list = list.trim_matches(['[', ']']);
    let lower = text.to_lowercase();
    for secret in [&hex[6..38], &list[..list.len() / 2], "s3cret-value", "secret-user"] {
        ensure!(
            !lower.contains(secret),
            "an error shows more of a key, a value or a user than a log should hold"
        );
    }
    Ok(())
}

pub(crate) async fn a_store_that_is_away_says_so_and_no_secret(bed: Bed) -> Verdict {
    let open = bed.subject.unavailable.as_ref().ok_or_else(|| Failure::new("no store that is away"))?;
    let store = open().await;
    let (key, user) = (requests::key(), requests::user("secret-user"));
    let (_, sample) = bed.session().await?;
    let data = || requests::data(&[("k", b"s3cret-value")]);
    let version = sample.version;

    away(store.load(key).await, &key)?;
    away(store.load_many(vec![key]).await, &key)?;
    away(store.create(requests::create(key, data())).await, &key)?;
    away(store.commit(requests::commit(key, version, data())).await, &key)?;
    away(store.rename(requests::rename(key, requests::successor(key), version, data())).await, &key)?;
    away(store.touch(requests::touch(key)).await, &key)?;
    away(store.end(requests::end(key)).await, &key)?;
    away(store.acquire(requests::acquire(key, 1)).await, &key)?;
    away(store.renew(requests::renew(key, 1)).await, &key)?;
    away(store.release(requests::release(key, 1)).await, &key)?;
    away(store.list_user(user.clone()).await, &key)?;
    away(store.revoke(requests::revoke(&user, RevokeWhich::All)).await, &key)?;
    away(store.scan(ScanFrom { after: None, limit: 10 }).await, &key)?;
    Ok(())
}

/// Away, or unknown; anything else, *missing* above all, would be a lie.
fn away<T: std::fmt::Debug>(answer: Result<T, StoreError>, key: &StoreKey) -> Verdict {
    let error = expect!(answer, Err(error) => error);
    let kind = error.kind();
    let told = matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Unknown);
    ensure!(told, "a store that is away answers {kind:?}");
    tells_no_secret(&error, key)
}

pub(crate) async fn a_damaged_record_is_an_error_and_its_neighbours_are_well(bed: Bed) -> Verdict {
    let damage =
        bed.subject.damage.as_ref().ok_or_else(|| Failure::new("no way to damage what is stored"))?;
    let (damaged, record) = bed.session_of(&requests::user("ann")).await?;
    let (neighbour, other) = bed.session_of(&requests::user("ben")).await?;
    damage(damaged).await;
    for _ in 0..2 {
        let error = expect!(bed.store().load(damaged).await, Err(error) => error);
        ensure_eq!(error.kind(), StoreErrorKind::Corrupt, "the error of a damaged record");
        tells_no_secret(&error, &damaged)?;
        let request = requests::commit(damaged, record.version, requests::data(&[]));
        let error = expect!(bed.store().commit(request).await, Err(error) => error);
        ensure_eq!(error.kind(), StoreErrorKind::Corrupt, "the error of a commit over a damaged record");
        ensure_eq!(bed.live(neighbour).await?, other, "the neighbour");
    }
    bed.write(neighbour, &other, requests::data(&[("a", b"2")])).await?;
    Ok(())
}
