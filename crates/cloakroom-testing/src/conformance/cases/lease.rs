//! `acquire`, `renew`, `release`: one writer at a time, and late ones are fenced off.

use cloakroom::store::{
    Acquired, Committed, Ended, Ending, Loaded, Released, Renamed, Renewed, RevokeWhich, Touched,
};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

pub(crate) async fn a_lease_comes_with_the_fresh_record_and_bumps_no_version(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let answer = bed.store().acquire(requests::acquire(key, 1)).await?;
    let (snapshot, until) = expect!(answer, Acquired::Acquired { snapshot, until } => (snapshot, until));
    ensure_eq!(snapshot.record, record, "the record told with the lease");
    ensure_eq!(until, snapshot.now.after(requests::LEASE), "the lease's end");
    ensure_eq!(bed.live(key).await?, record, "the record under a lease");
    Ok(())
}

pub(crate) async fn a_second_owner_is_told_until_when_it_is_locked(bed: Bed) -> Verdict {
    let (key, _) = bed.session().await?;
    let (_, until) = bed.lease(key, 1).await?;
    for owner in [2, u128::MAX, 0] {
        let answer = bed.store().acquire(requests::acquire(key, owner)).await?;
        let told = expect!(answer, Acquired::Locked { until, now } if now < until => until);
        ensure_eq!(told, until, "the end of the lease in force");
    }
    Ok(())
}

pub(crate) async fn the_owner_asking_again_keeps_the_lease_for_another_length(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let mut long = requests::acquire(key, 1);
    long.lease = bed.ticks(4);
    expect!(bed.store().acquire(long).await?, Acquired::Acquired { .. });
    bed.pass(2).await;
    let answer = bed.store().acquire(long).await?;
    let until = expect!(answer, Acquired::Acquired { snapshot, until } if until == snapshot.now.after(bed.ticks(4)) => until);
    let locked = expect!(bed.store().acquire(requests::acquire(key, 2)).await?, Acquired::Locked { until, .. } => until);
    ensure_eq!(locked, until, "the end of the lease");
    let mut request = requests::commit(key, record.version, requests::data(&[]));
    request.lease = requests::held(1, 0);
    bed.commit(request).await?;
    Ok(())
}

pub(crate) async fn a_write_passes_only_under_the_lease_in_force(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let mut request = requests::commit(key, record.version, requests::data(&[("a", b"2")]));

    request.lease = requests::held(1, 0);
    expect!(bed.store().commit(request.clone()).await?, Committed::LeaseLost);
    let (_, until) = bed.lease(key, 1).await?;
    request.lease = None;
    let told = expect!(bed.store().commit(request.clone()).await?, Committed::Locked { until, now } if now < until => until);
    ensure_eq!(told, until, "the end of the lease in force");
    request.lease = requests::held(2, 0);
    expect!(bed.store().commit(request.clone()).await?, Committed::LeaseLost);
    ensure_eq!(bed.live(key).await?, record, "the record after refused writes");

    request.lease = requests::held(1, 0);
    bed.commit(request).await?;
    // Not given back: it goes on.
    expect!(bed.store().acquire(requests::acquire(key, 2)).await?, Acquired::Locked { until: u, .. } if u == until);
    Ok(())
}

pub(crate) async fn an_earlier_hold_is_fenced_off_by_a_later_one(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    bed.lease(key, 1).await?;
    let attempt = |record: &cloakroom::record::Record, hold| {
        let mut request = requests::commit(key, record.version, requests::data(&[("a", b"2")]));
        request.lease = requests::held(1, hold);
        bed.store().commit(request)
    };
    let record = expect!(attempt(&record, 3).await?, Committed::Committed(s) => s.record);
    expect!(attempt(&record, 2).await?, Committed::LeaseLost);
    let record = expect!(attempt(&record, 3).await?, Committed::Committed(s) => s.record);
    // Neither a renewal nor asking again forgets which holds there were.
    expect!(bed.store().renew(requests::renew(key, 1)).await?, Renewed::Renewed { .. });
    expect!(attempt(&record, 2).await?, Committed::LeaseLost);
    bed.lease(key, 1).await?;
    expect!(attempt(&record, 2).await?, Committed::LeaseLost);
    let record = expect!(attempt(&record, 4).await?, Committed::Committed(s) => s.record);
    expect!(attempt(&record, 3).await?, Committed::LeaseLost);
    Ok(())
}

pub(crate) async fn a_new_lease_of_another_owner_counts_its_holds_from_the_start(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    bed.lease(key, 1).await?;
    let mut request = requests::commit(key, record.version, requests::data(&[]));
    request.lease = requests::held(1, 9);
    request.release = true;
    let record = bed.commit(request).await?;
    bed.lease(key, 2).await?;
    let mut request = requests::commit(key, record.version, requests::data(&[]));
    request.lease = requests::held(2, 0);
    bed.commit(request).await?;
    Ok(())
}

pub(crate) async fn a_lease_is_renewed_by_its_owner_only(bed: Bed) -> Verdict {
    let (key, _) = bed.session().await?;
    expect!(bed.store().renew(requests::renew(key, 1)).await?, Renewed::LeaseLost);
    expect!(bed.store().renew(requests::renew(requests::key(), 1)).await?, Renewed::LeaseLost);
    let (_, first) = bed.lease(key, 1).await?;
    bed.pass(1).await;
    expect!(bed.store().renew(requests::renew(key, 2)).await?, Renewed::LeaseLost);
    let mut long = requests::renew(key, 1);
    long.lease = requests::LEASE * 100;
    let until = expect!(bed.store().renew(long).await?, Renewed::Renewed { until } if until > first => until);
    expect!(bed.store().acquire(requests::acquire(key, 2)).await?, Acquired::Locked { until: u, .. } if u == until);
    Ok(())
}

pub(crate) async fn a_lease_is_given_back_by_its_owner_only(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    expect!(bed.store().release(requests::release(key, 1)).await?, Released::NotHeld);
    expect!(bed.store().release(requests::release(requests::key(), 1)).await?, Released::NotHeld);
    bed.lease(key, 1).await?;
    expect!(bed.store().release(requests::release(key, 2)).await?, Released::NotHeld);
    expect!(bed.store().acquire(requests::acquire(key, 2)).await?, Acquired::Locked { .. });
    expect!(bed.store().release(requests::release(key, 1)).await?, Released::Released);
    expect!(bed.store().release(requests::release(key, 1)).await?, Released::NotHeld);
    let record = bed.write(key, &record, requests::data(&[("a", b"2")])).await?;
    bed.lease(key, 2).await?;
    ensure_eq!(bed.live(key).await?, record, "the record after the lease changed hands");
    Ok(())
}

pub(crate) async fn an_expired_lease_is_free_and_its_owner_is_refused(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let mut short = requests::acquire(key, 1);
    short.lease = bed.ticks(2);
    expect!(bed.store().acquire(short).await?, Acquired::Acquired { .. });
    bed.pass(2).await;
    let mut late = requests::commit(key, record.version, requests::data(&[("late", b"!")]));
    late.lease = requests::held(1, 0);
    expect!(bed.store().commit(late.clone()).await?, Committed::LeaseLost);
    expect!(bed.store().renew(requests::renew(key, 1)).await?, Renewed::LeaseLost);
    expect!(bed.store().release(requests::release(key, 1)).await?, Released::NotHeld);
    // A write without a lease passes, and so does the next owner.
    let record = bed.write(key, &record, requests::data(&[("a", b"2")])).await?;
    bed.lease(key, 2).await?;
    late.expected = record.version;
    expect!(bed.store().commit(late).await?, Committed::LeaseLost);
    ensure_eq!(bed.live(key).await?, record, "the record after a late write");
    Ok(())
}

pub(crate) async fn a_lease_on_nothing_is_told_what_became_of_it(bed: Bed) -> Verdict {
    expect!(bed.store().acquire(requests::acquire(requests::key(), 1)).await?, Acquired::Missing);
    let (key, _) = bed.session().await?;
    bed.store().end(requests::end(key)).await?;
    expect!(bed.store().acquire(requests::acquire(key, 1)).await?, Acquired::Ended(Ending::Destroyed));

    let (old, record) = bed.session().await?;
    let (new, _) = bed.moved(old, &record).await?;
    let moved = Ending::Moved { to: new, user_changed: false };
    expect!(bed.store().acquire(requests::acquire(old, 1)).await?, Acquired::Ended(e) if e == moved);

    let (old, record) = bed.session().await?;
    let new = requests::successor(old);
    let mut request = requests::rename(old, new, record.version, record.payload.clone());
    request.old = requests::alias(bed.ticks(5));
    bed.rename(request).await?;
    let moved = Ending::Moved { to: new, user_changed: false };
    expect!(bed.store().acquire(requests::acquire(old, 1)).await?, Acquired::Ended(e) if e == moved);
    // The successor is free.
    bed.lease(new, 2).await?;
    Ok(())
}

pub(crate) async fn a_lease_moves_along_with_its_record(bed: Bed) -> Verdict {
    let (old, record) = bed.session().await?;
    let (_, until) = bed.lease(old, 1).await?;
    let new = requests::successor(old);
    let mut request = requests::rename(old, new, record.version, record.payload.clone());
    request.lease = requests::held(1, 5);
    let record = bed.rename(request).await?;
    let answer = bed.store().acquire(requests::acquire(new, 2)).await?;
    expect!(answer, Acquired::Locked { until: u, .. } if u == until);
    expect!(bed.store().renew(requests::renew(old, 1)).await?, Renewed::LeaseLost);
    expect!(bed.store().release(requests::release(old, 1)).await?, Released::NotHeld);

    let mut request = requests::commit(new, record.version, requests::data(&[]));
    expect!(bed.store().commit(request.clone()).await?, Committed::Locked { .. });
    request.lease = requests::held(1, 4);
    expect!(bed.store().commit(request.clone()).await?, Committed::LeaseLost);
    request.lease = requests::held(1, 5);
    bed.commit(request).await?;
    expect!(bed.store().release(requests::release(new, 1)).await?, Released::Released);
    Ok(())
}

pub(crate) async fn a_copy_has_no_lease(bed: Bed) -> Verdict {
    let (old, record) = bed.session().await?;
    bed.lease(old, 1).await?;
    let mut request = requests::rename(old, requests::successor(old), record.version, record.payload.clone());
    request.lease = requests::held(1, 0);
    request.old = requests::copy(bed.ticks(9));
    bed.rename(request).await?;
    let (copy, _) = bed.lease(old, 2).await?;
    let mut request = requests::commit(old, copy.version, requests::data(&[]));
    request.lease = requests::held(2, 0);
    bed.commit(request).await?;
    Ok(())
}

pub(crate) async fn a_rename_is_held_to_the_lease_like_a_commit(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let to = requests::successor(key);
    let mut request = requests::rename(key, to, record.version, record.payload.clone());
    request.lease = requests::held(1, 0);
    expect!(bed.store().rename(request.clone()).await?, Renamed::LeaseLost);
    let (_, until) = bed.lease(key, 1).await?;
    request.lease = requests::held(2, 0);
    expect!(bed.store().rename(request.clone()).await?, Renamed::LeaseLost);
    request.lease = None;
    expect!(bed.store().rename(request.clone()).await?, Renamed::Locked { until: u, now } if u == until && now < u);
    // And before the version is looked at.
    request.expected = record.version.next(cloakroom::OpId::generate());
    expect!(bed.store().rename(request).await?, Renamed::Locked { .. });
    bed.missing(to).await?;
    ensure_eq!(bed.live(key).await?, record, "the record after refused renames");
    Ok(())
}

pub(crate) async fn a_lease_stops_neither_reading_nor_sliding_nor_ending(bed: Bed) -> Verdict {
    let user = requests::user("ann");
    let (key, record) = bed.session_of(&user).await?;
    let (_, until) = bed.lease(key, 1).await?;
    bed.live(key).await?;
    expect!(bed.store().touch(requests::touch(key)).await?, Touched::Touched { .. });
    // Sliding leaves the lease in force.
    expect!(bed.store().acquire(requests::acquire(key, 2)).await?, Acquired::Locked { until: u, .. } if u == until);
    expect!(bed.store().end(requests::end(key)).await?, Ended::Ended(Some(_)));
    bed.ended(key, Ending::Destroyed).await?;
    let mut request = requests::commit(key, record.version, requests::data(&[]));
    request.lease = requests::held(1, 0);
    expect!(bed.store().commit(request).await?, Committed::Ended(Ending::Destroyed));
    expect!(bed.store().renew(requests::renew(key, 1)).await?, Renewed::LeaseLost);
    expect!(bed.store().release(requests::release(key, 1)).await?, Released::NotHeld);

    let (key, _) = bed.session_of(&user).await?;
    bed.lease(key, 1).await?;
    let ended = bed.store().revoke(requests::revoke(&user, RevokeWhich::All)).await?;
    ensure_eq!(ended.count, 1, "sessions revoked under a lease");
    bed.ended(key, Ending::Revoked).await
}

pub(crate) async fn a_lease_does_not_keep_a_session_alive(bed: Bed) -> Verdict {
    let (key, _) = bed.session_living(3, 30).await?;
    let mut long = requests::acquire(key, 1);
    long.lease = bed.ticks(20);
    expect!(bed.store().acquire(long).await?, Acquired::Acquired { .. });
    bed.pass(3).await;
    expect!(bed.store().load(key).await?, Loaded::Ended(Ending::Expired) | Loaded::Missing);
    expect!(bed.store().renew(requests::renew(key, 1)).await?, Renewed::LeaseLost);
    Ok(())
}

pub(crate) async fn a_signal_comes_when_a_lease_becomes_free(bed: Bed) -> Verdict {
    for by_commit in [false, true] {
        let (key, record) = bed.session().await?;
        bed.lease(key, 1).await?;
        // Asked for before the lease is given back, on the handle that has nothing to do with it.
        let other = bed.handles().await.pop();
        let Some(signal) = other.and_then(|store| store.released(key)) else { continue };
        if by_commit {
            let mut request = requests::commit(key, record.version, requests::data(&[]));
            request.lease = requests::held(1, 0);
            request.release = true;
            bed.commit(request).await?;
        } else {
            expect!(bed.store().release(requests::release(key, 1)).await?, Released::Released);
        }
        let heard = tokio::time::timeout(requests::LEASE / 2, signal).await;
        ensure!(heard.is_ok(), "nothing was heard of a lease given back (by a commit: {by_commit})");
    }
    Ok(())
}
