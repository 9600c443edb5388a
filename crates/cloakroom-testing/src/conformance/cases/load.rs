//! `load` and `load_many`: reading.

use cloakroom::clock::Clock;
use cloakroom::store::{Ending, Loaded};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

pub(crate) async fn an_unknown_key_is_missing(bed: Bed) -> Verdict {
    bed.session().await?;
    bed.missing(requests::key()).await
}

pub(crate) async fn many_keys_are_answered_in_their_order(bed: Bed) -> Verdict {
    let (live, record) = bed.session().await?;
    let (other, other_record) = bed.session().await?;
    let (dead, _) = bed.session().await?;
    bed.store().end(requests::end(dead)).await?;
    let unknown = requests::key();

    // There and back, so that no order of the store's own can be right both times.
    let asked = [dead, other, unknown, live];
    let mut back = bed.store().load_many(asked.iter().rev().copied().collect()).await?;
    back.reverse();
    for answers in [bed.store().load_many(asked.to_vec()).await?, back] {
        ensure_eq!(answers.len(), asked.len(), "answers for four keys");
        for (key, answer) in asked.iter().zip(answers) {
            match answer {
                Loaded::Ended(Ending::Destroyed) => ensure_eq!(*key, dead, "the key that ended"),
                Loaded::Missing => ensure_eq!(*key, unknown, "the key that is missing"),
                Loaded::Live(s) if *key == live => ensure_eq!(s.record, record, "a record"),
                Loaded::Live(s) if *key == other => ensure_eq!(s.record, other_record, "a record"),
                answer => ensure!(false, "{key:?} was answered {answer:?}"),
            }
        }
    }
    Ok(())
}

pub(crate) async fn one_key_asked_twice_is_answered_twice_and_no_key_not_at_all(bed: Bed) -> Verdict {
    let (key, _) = bed.session().await?;
    let answers = bed.store().load_many(vec![key, key]).await?;
    let alive = answers.iter().filter(|answer| matches!(answer, Loaded::Live(_))).count();
    ensure_eq!(alive, 2, "live answers for one key asked twice");
    ensure_eq!(bed.store().load_many(Vec::new()).await?.len(), 0, "answers for no key");
    Ok(())
}

pub(crate) async fn many_keys_lead_through_an_alias_like_one(bed: Bed) -> Verdict {
    let (old, record) = bed.session().await?;
    let new = requests::successor(old);
    let mut request = requests::rename(old, new, record.version, record.payload.clone());
    request.old = requests::alias(bed.ticks(5));
    bed.rename(request).await?;
    let mut answers = bed.store().load_many(vec![old]).await?;
    let successor = expect!(answers.pop(), Some(Loaded::Alias { successor, .. }) => successor);
    ensure_eq!(successor, new, "the successor");
    Ok(())
}

pub(crate) async fn a_load_does_not_wait_for_a_lease(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    bed.lease(key, 1).await?;
    let loaded = tokio::time::timeout(requests::LEASE / 2, bed.live(key)).await;
    ensure!(loaded.is_ok(), "a load waited for a lease");
    if let Ok(loaded) = loaded {
        ensure_eq!(loaded?.payload, record.payload, "the data");
    }
    Ok(())
}

pub(crate) async fn a_load_changes_nothing(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    bed.pass(1).await;
    for _ in 0..3 {
        ensure_eq!(bed.live(key).await?, record, "a record that was only read");
        bed.store().load_many(vec![key]).await?;
    }
    Ok(())
}

pub(crate) async fn an_answer_tells_the_stores_own_time(bed: Bed) -> Verdict {
    let clock = bed.manual_clock()?.clone();
    let (key, _) = bed.session().await?;
    for _ in 0..3 {
        bed.pass(1).await;
        let now = expect!(bed.store().load(key).await?, Loaded::Live(s) => s.now);
        ensure_eq!(now, clock.now(), "the time told with a record");
        ensure_eq!(bed.store().now().await?, clock.now(), "the time told when asked for it");
    }
    Ok(())
}
