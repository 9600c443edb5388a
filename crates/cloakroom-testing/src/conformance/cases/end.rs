//! `end`: over is over.

use std::sync::Arc;

use cloakroom::store::{
    Acquired, Committed, Created, End, EndCause, Ended, Ending, Released, Renamed, Renewed, Summary, Touched,
};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

pub(crate) async fn an_ended_session_leaves_a_marker_that_tells_why(bed: Bed) -> Verdict {
    for (cause, ending) in [(EndCause::Destroyed, Ending::Destroyed), (EndCause::Revoked, Ending::Revoked)] {
        let (key, _) = bed.session_of(&requests::user("ann")).await?;
        let record = bed.live(key).await?;
        let answer = bed.store().end(End { cause, ..requests::end(key) }).await?;
        let summary = expect!(answer, Ended::Ended(Some(summary)) => summary);
        ensure_eq!(summary, Summary::of(key, &record), "the summary of what was ended");
        bed.ended(key, ending).await?;
    }
    Ok(())
}

pub(crate) async fn ending_twice_finds_nothing_alive(bed: Bed) -> Verdict {
    let (key, _) = bed.session().await?;
    let request = requests::end(key);
    expect!(bed.store().end(request).await?, Ended::Ended(Some(_)));
    expect!(bed.store().end(requests::end(key)).await?, Ended::NotLive);
    let revoke = End { cause: EndCause::Revoked, ..requests::end(key) };
    expect!(bed.store().end(revoke).await?, Ended::NotLive);
    bed.ended(key, Ending::Destroyed).await?;
    expect!(bed.store().end(requests::end(requests::key())).await?, Ended::NotLive);
    Ok(())
}

pub(crate) async fn a_repeated_end_has_the_same_answer(bed: Bed) -> Verdict {
    let (key, _) = bed.session().await?;
    let request = requests::end(key);
    expect!(bed.store().end(request).await?, Ended::Ended(Some(_)));
    expect!(bed.store().end(request).await?, Ended::Ended(_));
    let (old, record) = bed.session().await?;
    bed.moved(old, &record).await?;
    let request = requests::end(old);
    expect!(bed.store().end(request).await?, Ended::Ended(Some(_)));
    expect!(bed.store().end(request).await?, Ended::Ended(_));
    Ok(())
}

pub(crate) async fn an_end_follows_the_session_where_it_moved(bed: Bed) -> Verdict {
    let (first, record) = bed.session().await?;
    let (second, record) = bed.moved(first, &record).await?;
    let third = requests::successor(second);
    let mut request = requests::rename(second, third, record.version, record.payload.clone());
    request.old = requests::alias(bed.ticks(9));
    let record = bed.rename(request).await?;
    let (fourth, _) = bed.moved(third, &record).await?;

    let answer = bed.store().end(requests::end(first)).await?;
    let summary = expect!(answer, Ended::Ended(Some(summary)) => summary);
    ensure_eq!(summary.key, fourth, "where the session was found");
    bed.ended(fourth, Ending::Destroyed).await?;
    expect!(bed.store().end(requests::end(second)).await?, Ended::NotLive);
    Ok(())
}

pub(crate) async fn an_end_of_a_copy_leaves_the_original(bed: Bed) -> Verdict {
    let (from, record) = bed.session().await?;
    let to = requests::successor(from);
    let mut request = requests::rename(from, to, record.version, record.payload.clone());
    request.old = requests::copy(bed.ticks(9));
    bed.rename(request).await?;
    expect!(bed.store().end(requests::end(from)).await?, Ended::Ended(Some(_)));
    bed.ended(from, Ending::Destroyed).await?;
    bed.live(to).await?;
    Ok(())
}

pub(crate) async fn nothing_brings_an_ended_session_back(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    bed.lease(key, 1).await?;
    bed.store().end(requests::end(key)).await?;
    let store = bed.store();
    let to = requests::successor(key);
    for lease in [None, requests::held(1, 0)] {
        let mut commit = requests::commit(key, record.version, record.payload.clone());
        commit.lease = lease;
        expect!(store.commit(commit).await?, Committed::Ended(Ending::Destroyed));
        let mut rename = requests::rename(key, to, record.version, record.payload.clone());
        rename.lease = lease;
        expect!(store.rename(rename).await?, Renamed::Ended(Ending::Destroyed));
    }
    expect!(store.touch(requests::touch(key)).await?, Touched::NotLive);
    expect!(store.renew(requests::renew(key, 1)).await?, Renewed::LeaseLost);
    expect!(store.release(requests::release(key, 1)).await?, Released::NotHeld);
    expect!(store.acquire(requests::acquire(key, 1)).await?, Acquired::Ended(Ending::Destroyed));
    expect!(store.create(requests::create(key, record.payload.clone())).await?, Created::Exists);
    bed.ended(key, Ending::Destroyed).await?;
    bed.missing(to).await
}

pub(crate) async fn a_marker_is_forgotten_after_its_time(bed: Bed) -> Verdict {
    let (ended, _) = bed.session().await?;
    bed.store().end(End { marker: bed.ticks(4), ..requests::end(ended) }).await?;
    let (moved, record) = bed.session().await?;
    let mut request =
        requests::rename(moved, requests::successor(moved), record.version, record.payload.clone());
    request.marker = bed.ticks(4);
    bed.rename(request).await?;
    bed.pass(2).await;
    bed.ended(ended, Ending::Destroyed).await?;
    expect!(bed.store().load(moved).await?, cloakroom::store::Loaded::Ended(Ending::Moved { .. }));
    bed.pass(2).await;
    bed.missing(ended).await?;
    bed.missing(moved).await
}

pub(crate) async fn no_commit_is_acknowledged_after_the_end(bed: Bed) -> Verdict {
    for _ in 0..8 {
        let (key, record) = bed.session().await?;
        let handles = bed.handles().await;
        let writers: Vec<_> = (0..4usize)
            .map(|n| {
                let store = Arc::clone(handles.get(n % handles.len()).unwrap_or(bed.store()));
                let mut version = record.version;
                tokio::spawn(async move {
                    let mut after_the_end = false;
                    for _ in 0..10_000 {
                        let request = requests::commit(key, version, requests::data(&[("n", b"1")]));
                        match store.commit(request).await? {
                            Committed::Committed(s) if after_the_end => return Ok(Some(s.record.version)),
                            Committed::Committed(s) | Committed::Conflict(s) => version = s.record.version,
                            Committed::Ended(_) if after_the_end => return Ok(None),
                            Committed::Ended(_) => after_the_end = true,
                            _ => {}
                        }
                        tokio::task::yield_now().await;
                    }
                    Ok::<_, cloakroom::store::StoreError>(None)
                })
            })
            .collect();
        tokio::task::yield_now().await;
        expect!(bed.store().end(requests::end(key)).await?, Ended::Ended(Some(_)));
        bed.ended(key, Ending::Destroyed).await?;
        for writer in writers {
            ensure_eq!(writer.await??, None, "a version committed after the end");
        }
        bed.ended(key, Ending::Destroyed).await?;
    }
    Ok(())
}
