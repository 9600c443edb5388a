//! `commit`: compare, and replace.

use std::collections::HashSet;

use cloakroom::OpId;
use cloakroom::record::Version;
use cloakroom::store::{Acquired, Committed, End, EndCause, Ending};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

pub(crate) async fn a_commit_replaces_the_version_it_names(bed: Bed) -> Verdict {
    let (key, before) = bed.session().await?;
    bed.pass(1).await;
    let mut request = requests::commit(key, before.version, requests::data(&[("b", b"2")]));
    request.epoch = 3;
    let snapshot = expect!(bed.store().commit(request.clone()).await?, Committed::Committed(s) => s);
    let after = snapshot.record;
    ensure_eq!(after.version, before.version.next(request.op), "the version");
    ensure_eq!(after.recent.as_ops().first(), Some(&before.version.op), "the operation before");
    ensure_eq!(after.epoch, 3, "the epoch");
    ensure_eq!(after.payload.as_bytes(), request.payload.as_bytes(), "the data");
    ensure_eq!((after.id, after.created, &after.user), (before.id, before.created, &before.user), "the rest");
    ensure_eq!(after.last_seen, snapshot.now, "when it was last seen");
    ensure_eq!(after.idle_deadline, snapshot.now.after(requests::IDLE), "the idle deadline");
    ensure_eq!(after.absolute_deadline, before.absolute_deadline, "the absolute deadline");
    ensure_eq!(bed.live(key).await?, after, "the record as loaded");
    Ok(())
}

pub(crate) async fn a_commit_over_another_version_conflicts_and_changes_nothing(bed: Bed) -> Verdict {
    let (key, first) = bed.session().await?;
    let current = bed.write(key, &first, requests::data(&[("theirs", b"1")])).await?;
    let v = current.version;
    let others = [
        first.version,
        Version { op: OpId::generate(), ..v },
        Version { counter: v.counter + 1, ..v },
        Version { counter: v.counter - 1, ..v },
        v.next(OpId::generate()),
        Version { counter: 0, op: OpId::default() },
    ];
    for expected in others {
        let request = requests::commit(key, expected, requests::data(&[("mine", b"2")]));
        let told = expect!(bed.store().commit(request).await?, Committed::Conflict(s) => s.record);
        ensure_eq!(told, current, "the record told with the conflict");
    }
    ensure_eq!(bed.live(key).await?, current, "the record after refused commits");
    Ok(())
}

pub(crate) async fn a_repeated_commit_has_one_effect(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let request = requests::commit(key, record.version, requests::data(&[("a", b"2")]));
    let first = bed.commit(request.clone()).await?;
    bed.pass(1).await;
    let again = bed.commit(request).await?;
    ensure_eq!(again.version, first.version, "the version after a repeated commit");
    ensure_eq!(bed.live(key).await?.version, first.version, "the version as loaded");
    Ok(())
}

pub(crate) async fn a_repeated_commit_is_recognised_after_three_others(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let request = requests::commit(key, record.version, requests::data(&[("a", b"mine")]));
    let mut latest = bed.commit(request.clone()).await?;
    for n in 0..3u8 {
        latest = bed.write(key, &latest, requests::data(&[("a", &[n])])).await?;
        let again = bed.commit(request.clone()).await?;
        ensure_eq!(again, latest, "the record told to a commit repeated after {} others", n + 1);
        ensure_eq!(bed.live(key).await?, latest, "the record after a commit repeated late");
    }
    Ok(())
}

pub(crate) async fn a_commit_repeated_even_later_changes_nothing(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let request = requests::commit(key, record.version, requests::data(&[("a", b"mine")]));
    let mut latest = bed.commit(request.clone()).await?;
    for n in 0..8u8 {
        latest = bed.write(key, &latest, requests::data(&[("a", &[n])])).await?;
    }
    expect!(bed.store().commit(request).await?, Committed::Conflict(_) | Committed::Committed(_));
    ensure_eq!(bed.live(key).await?, latest, "the record after a commit repeated very late");
    Ok(())
}

pub(crate) async fn versions_are_never_reused(bed: Bed) -> Verdict {
    let (key, mut record) = bed.session().await?;
    let mut seen = HashSet::from([(record.version.counter, record.version.op)]);
    for n in 0..20u8 {
        // The same data again is a new version too.
        record = bed.write(key, &record, requests::data(&[("n", &[n / 2])])).await?;
        ensure!(
            seen.insert((record.version.counter, record.version.op)),
            "{:?} was used twice",
            record.version
        );
    }
    let (_, record) = bed.moved(key, &record).await?;
    ensure!(seen.insert((record.version.counter, record.version.op)), "{:?} was used twice", record.version);
    Ok(())
}

pub(crate) async fn a_commit_in_the_background_slides_nothing(bed: Bed) -> Verdict {
    let (key, before) = bed.session().await?;
    bed.pass(1).await;
    let mut request = requests::commit(key, before.version, requests::data(&[]));
    request.slide = None;
    let after = bed.commit(request).await?;
    ensure_eq!(after.idle_deadline, before.idle_deadline, "the idle deadline");
    ensure_eq!(after.last_seen, before.last_seen, "when it was last seen");
    Ok(())
}

pub(crate) async fn a_commit_slides_nothing_where_the_session_was_seen_a_moment_ago(bed: Bed) -> Verdict {
    let (key, before) = bed.session().await?;
    bed.pass(1).await;
    let mut request = requests::commit(key, before.version, requests::data(&[("n", b"1")]));
    request.unless_seen_within = requests::IDLE / 2;
    let soon = bed.commit(request).await?;
    ensure_eq!(soon.idle_deadline, before.idle_deadline, "the idle deadline after a write soon after");
    ensure_eq!(soon.last_seen, before.last_seen, "when it was last seen");
    ensure_eq!(bed.live(key).await?, soon, "the record as loaded");
    let mut request = requests::commit(key, soon.version, requests::data(&[("n", b"2")]));
    request.unless_seen_within = bed.ticks(1);
    let later = bed.commit(request).await?;
    ensure!(later.idle_deadline > before.idle_deadline, "a write that came later slid nothing");
    ensure!(later.last_seen > before.last_seen, "being seen was not noted");
    ensure_eq!(bed.live(key).await?, later, "the record as loaded");
    Ok(())
}

pub(crate) async fn a_commit_slides_forward_only_and_never_past_the_absolute_deadline(bed: Bed) -> Verdict {
    let (key, before) = bed.session().await?;
    let mut request = requests::commit(key, before.version, requests::data(&[]));
    request.slide = Some(requests::IDLE / 2);
    let after = bed.commit(request).await?;
    ensure_eq!(after.idle_deadline, before.idle_deadline, "the idle deadline after a shorter slide");
    let mut request = requests::commit(key, after.version, requests::data(&[]));
    request.slide = Some(requests::ABSOLUTE * 2);
    let after = bed.commit(request).await?;
    ensure_eq!(after.idle_deadline, before.absolute_deadline, "the idle deadline after a long slide");
    ensure_eq!(after.absolute_deadline, before.absolute_deadline, "the absolute deadline");
    Ok(())
}

pub(crate) async fn a_commit_to_nothing_is_told_what_became_of_it(bed: Bed) -> Verdict {
    let unknown = requests::key();
    let (_, sample) = bed.session().await?;
    let attempt =
        |key, version| bed.store().commit(requests::commit(key, version, requests::data(&[("x", b"!")])));
    expect!(attempt(unknown, sample.version).await?, Committed::Missing);
    bed.missing(unknown).await?;

    for (cause, ending) in [(EndCause::Destroyed, Ending::Destroyed), (EndCause::Revoked, Ending::Revoked)] {
        let (key, record) = bed.session().await?;
        bed.store().end(End { cause, ..requests::end(key) }).await?;
        expect!(attempt(key, record.version).await?, Committed::Ended(told) if told == ending);
        bed.ended(key, ending).await?;
    }

    let (old, record) = bed.session().await?;
    let (new, moved) = bed.moved(old, &record).await?;
    let ending = Ending::Moved { to: new, user_changed: false };
    expect!(attempt(old, record.version).await?, Committed::Ended(told) if told == ending);
    expect!(attempt(old, moved.version).await?, Committed::Ended(told) if told == ending);

    let (old, record) = bed.session().await?;
    let new = requests::successor(old);
    let mut request = requests::rename(old, new, record.version, record.payload.clone());
    request.old = requests::alias(bed.ticks(5));
    let moved = bed.rename(request).await?;
    let ending = Ending::Moved { to: new, user_changed: false };
    expect!(attempt(old, moved.version).await?, Committed::Ended(told) if told == ending);
    ensure_eq!(bed.live(new).await?, moved, "the successor after a write to its old id");
    Ok(())
}

pub(crate) async fn the_end_is_told_before_everything_else(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let done = requests::commit(key, record.version, requests::data(&[("a", b"2")]));
    let record = bed.commit(done.clone()).await?;
    bed.lease(key, 1).await?;
    bed.store().end(requests::end(key)).await?;
    // Done before, under a lost lease, or over another version: it ended, and that is what counts.
    expect!(bed.store().commit(done).await?, Committed::Ended(Ending::Destroyed));
    let mut request = requests::commit(key, record.version, requests::data(&[]));
    request.lease = requests::held(1, 0);
    expect!(bed.store().commit(request.clone()).await?, Committed::Ended(Ending::Destroyed));
    request.expected = Version::first(OpId::generate());
    request.lease = requests::held(2, 0);
    expect!(bed.store().commit(request).await?, Committed::Ended(Ending::Destroyed));
    Ok(())
}

pub(crate) async fn already_done_is_told_before_the_lease(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let done = requests::commit(key, record.version, requests::data(&[("a", b"2")]));
    bed.commit(done.clone()).await?;
    bed.lease(key, 1).await?;
    expect!(bed.store().commit(done.clone()).await?, Committed::Committed(_));
    let mut with_lost_lease = done;
    with_lost_lease.lease = requests::held(2, 0);
    expect!(bed.store().commit(with_lost_lease).await?, Committed::Committed(_));
    Ok(())
}

pub(crate) async fn the_lease_is_told_before_the_version(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    bed.write(key, &record, requests::data(&[("a", b"2")])).await?;
    bed.lease(key, 1).await?;
    let mut stale = requests::commit(key, record.version, requests::data(&[]));
    expect!(bed.store().commit(stale.clone()).await?, Committed::Locked { .. });
    stale.lease = requests::held(2, 0);
    expect!(bed.store().commit(stale.clone()).await?, Committed::LeaseLost);
    stale.lease = requests::held(1, 0);
    expect!(bed.store().commit(stale).await?, Committed::Conflict(_));
    Ok(())
}

pub(crate) async fn a_commit_may_give_the_lease_back(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    bed.lease(key, 1).await?;
    let mut request = requests::commit(key, record.version, requests::data(&[("a", b"2")]));
    request.lease = requests::held(1, 0);
    request.release = true;
    bed.commit(request.clone()).await?;
    bed.lease(key, 2).await?;
    // Repeated, it does not give back what is somebody else's by now.
    expect!(bed.store().commit(request).await?, Committed::Committed(_));
    expect!(bed.store().acquire(requests::acquire(key, 3)).await?, Acquired::Locked { .. });
    Ok(())
}

pub(crate) async fn a_refused_commit_gives_no_lease_back(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    bed.write(key, &record, requests::data(&[("a", b"2")])).await?;
    bed.lease(key, 1).await?;
    let mut stale = requests::commit(key, record.version, requests::data(&[]));
    stale.lease = requests::held(1, 0);
    stale.release = true;
    expect!(bed.store().commit(stale).await?, Committed::Conflict(_));
    expect!(bed.store().acquire(requests::acquire(key, 2)).await?, Acquired::Locked { .. });
    Ok(())
}
