//! `scan`, `purge` and `stats`: the house is kept.

use std::collections::HashSet;
use std::sync::Arc;

use cloakroom::StoreKey;
use cloakroom::store::{Created, End, Ending, Loaded, Summary};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

pub(crate) async fn a_scan_shows_every_live_session_once_whatever_the_page(bed: Bed) -> Verdict {
    let mut expected = HashSet::new();
    for n in 0..23 {
        let (key, _) = match n % 2 {
            0 => bed.session().await?,
            _ => bed.session_of(&requests::user("ann")).await?,
        };
        expected.insert(key);
    }
    for limit in [1, 3, 7, 22, 23, 24, 1000] {
        let shown = bed.scanned(limit).await?;
        ensure_eq!(shown.len(), expected.len(), "sessions shown in pages of {limit}");
        let keys: HashSet<StoreKey> = shown.iter().map(|s| s.key).collect();
        ensure!(keys == expected, "pages of {limit} show other sessions than there are");
    }
    Ok(())
}

pub(crate) async fn a_scan_sums_up_and_shows_nothing_dead(bed: Bed) -> Verdict {
    let (ended, _) = bed.session().await?;
    bed.store().end(requests::end(ended)).await?;
    bed.session_living(2, 20).await?;
    let (old, record) = bed.session().await?;
    let to = requests::successor(old);
    let mut request = requests::rename(old, to, record.version, record.payload.clone());
    request.old = requests::alias(bed.ticks(9));
    let record = bed.rename(request).await?;
    bed.pass(2).await;
    ensure_eq!(bed.scanned(2).await?, vec![Summary::of(to, &record)], "what the scan shows");
    Ok(())
}

pub(crate) async fn a_scan_of_nothing_ends_at_once(bed: Bed) -> Verdict {
    ensure_eq!(bed.scanned(10).await?.len(), 0, "sessions in an empty store");
    Ok(())
}

/// Purges until there is no more, in batches of `limit`; answers with how many entries were removed.
async fn purge(bed: &Bed, limit: usize) -> Verdict<usize> {
    let mut removed = 0;
    for _ in 0..1000 {
        let purged = bed.store().purge(limit).await?;
        ensure!(purged.removed <= limit, "{} entries removed in a batch of {limit}", purged.removed);
        removed += purged.removed;
        if !purged.more {
            return Ok(removed);
        }
    }
    ensure!(false, "there is always more to purge");
    Ok(removed)
}

pub(crate) async fn a_purge_removes_what_is_past_its_time_and_nothing_else(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (live, record) = bed.session_of(&ann).await?;
    let mut gone = Vec::new();
    for n in 0..10 {
        let key = match n % 3 {
            0 => bed.session_living(3, 30).await?.0,
            1 => {
                let (key, _) = bed.session().await?;
                bed.store().end(End { marker: bed.ticks(3), ..requests::end(key) }).await?;
                key
            }
            _ => {
                let (from, record) = bed.session_living(3, 30).await?;
                let mut request =
                    requests::rename(from, requests::successor(from), record.version, record.payload.clone());
                request.slide = None;
                request.old = requests::alias(bed.ticks(1));
                request.marker = bed.ticks(2);
                bed.rename(request).await?;
                from
            }
        };
        gone.push(key);
    }
    let (marked, _) = bed.session().await?;
    bed.store().end(End { marker: bed.ticks(1000), ..requests::end(marked) }).await?;
    let (aliased, of) = bed.session().await?;
    let mut request = requests::rename(aliased, requests::successor(aliased), of.version, of.payload.clone());
    request.old = requests::alias(bed.ticks(1000));
    bed.rename(request).await?;

    ensure_eq!(purge(&bed, 3).await?, 0, "entries removed before their time");
    bed.pass(3).await;
    let removed = purge(&bed, 3).await?;
    // 10 of ours and the 3 successors; none where the store removes by itself.
    ensure!(removed == 13 || removed == 0, "{removed} entries removed, 13 were past their time");
    for key in gone {
        bed.missing(key).await?;
        let answer = bed.store().create(requests::create(key, requests::data(&[]))).await?;
        expect!(answer, Created::Created { .. });
    }
    ensure_eq!(bed.live(live).await?, record, "a session that lives");
    ensure_eq!(bed.store().list_user(ann).await?.len(), 1, "sessions listed");
    bed.ended(marked, Ending::Destroyed).await?;
    expect!(bed.store().load(aliased).await?, Loaded::Alias { .. });
    ensure_eq!(purge(&bed, 3).await?, 0, "entries removed when nothing was left to remove");
    Ok(())
}

pub(crate) async fn a_session_that_was_touched_in_time_is_not_purged(bed: Bed) -> Verdict {
    let (key, _) = bed.session_living(3, 30).await?;
    bed.pass(1).await;
    bed.store().touch(cloakroom::store::Touch { key, idle: bed.ticks(20) }).await?;
    bed.pass(3).await;
    purge(&bed, 100).await?;
    bed.live(key).await?;
    Ok(())
}

pub(crate) async fn purges_at_the_same_time_do_no_harm(bed: Bed) -> Verdict {
    let mut alive = Vec::new();
    for n in 0..60 {
        match n % 2 {
            0 => alive.push(bed.session().await?),
            _ => drop(bed.session_living(2, 20).await?),
        }
    }
    bed.pass(2).await;
    let handles = bed.handles().await;
    let purges: Vec<_> = (0..4usize)
        .map(|n| {
            let store = Arc::clone(handles.get(n % handles.len()).unwrap_or(bed.store()));
            tokio::spawn(async move {
                let mut removed = 0;
                for _ in 0..1000 {
                    let purged = store.purge(2).await?;
                    removed += purged.removed;
                    if !purged.more {
                        break;
                    }
                }
                Ok::<_, cloakroom::store::StoreError>(removed)
            })
        })
        .collect();
    let mut removed = 0;
    for purge in purges {
        removed += purge.await??;
    }
    ensure!(removed <= 30, "{removed} entries counted as removed, 30 were past their time");
    for (key, record) in alive {
        ensure_eq!(bed.live(key).await?, record, "a session that lives");
    }
    ensure_eq!(bed.scanned(7).await?.len(), 30, "sessions left");
    Ok(())
}

pub(crate) async fn the_count_of_live_sessions_is_right_once_all_is_purged(bed: Bed) -> Verdict {
    for _ in 0..5 {
        bed.session().await?;
        bed.session_living(2, 20).await?;
        let (ended, _) = bed.session().await?;
        bed.store().end(requests::end(ended)).await?;
    }
    if let Some(live) = bed.store().stats().await?.live {
        ensure!((5..=10).contains(&live), "{live} sessions counted, 10 are alive");
        ensure_eq!(live, 10, "sessions counted before any expired");
    }
    bed.pass(2).await;
    purge(&bed, 4).await?;
    if let Some(live) = bed.store().stats().await?.live {
        ensure_eq!(live, 5, "sessions counted after the purge");
    }
    ensure!(!bed.store().name().is_empty(), "the store has no name");
    Ok(())
}
