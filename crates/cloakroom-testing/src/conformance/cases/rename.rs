//! `rename`: the session goes on under another id.

use cloakroom::OpId;
use cloakroom::clock::Timestamp;
use cloakroom::record::Lifetime;
use cloakroom::store::{Deadlines, End, EndCause, Ending, Loaded, Renamed, SealedId};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

pub(crate) async fn a_renamed_session_lives_under_its_new_key_only(bed: Bed) -> Verdict {
    let (from, before) = bed.session().await?;
    bed.pass(1).await;
    let to = requests::successor(from);
    let mut request = requests::rename(from, to, before.version, requests::data(&[("b", b"2")]));
    request.epoch = 4;
    let answer = bed.store().rename(request.clone()).await?;
    let snapshot = expect!(answer, Renamed::Renamed { snapshot, evicted } if evicted.is_empty() => snapshot);
    let after = snapshot.record;
    ensure_eq!((after.id, after.created), (before.id, before.created), "what stays through a rename");
    ensure_eq!(after.version, before.version.next(request.op), "the version");
    ensure_eq!(after.recent.as_ops().first(), Some(&before.version.op), "the operation before");
    ensure_eq!(after.epoch, 4, "the epoch");
    ensure_eq!(after.payload.as_bytes(), request.payload.as_bytes(), "the data");
    ensure_eq!(bed.live(to).await?, after, "the record as loaded");
    bed.ended(from, Ending::Moved { to, user_changed: false }).await
}

pub(crate) async fn a_rename_keeps_the_deadlines_or_starts_them_again(bed: Bed) -> Verdict {
    let (from, before) = bed.session().await?;
    bed.pass(1).await;
    let kept = requests::successor(from);
    let mut request = requests::rename(from, kept, before.version, before.payload.clone());
    request.deadlines = Deadlines::Keep { renewal: Some(bed.ticks(7)) };
    request.slide = None;
    let answer = bed.store().rename(request).await?;
    let (record, now) = expect!(answer, Renamed::Renamed { snapshot: s, .. } => (s.record, s.now));
    ensure_eq!(record.idle_deadline, before.idle_deadline, "the idle deadline that is kept");
    ensure_eq!(record.absolute_deadline, before.absolute_deadline, "the absolute deadline that is kept");
    ensure_eq!(record.last_seen, before.last_seen, "when it was last seen");
    ensure_eq!(record.renew_at, now.after(bed.ticks(7)), "when the id is due");

    let slid = requests::successor(kept);
    let request = requests::rename(kept, slid, record.version, before.payload.clone());
    let answer = bed.store().rename(request).await?;
    let (record, now) = expect!(answer, Renamed::Renamed { snapshot: s, .. } => (s.record, s.now));
    ensure_eq!(record.idle_deadline, now.after(requests::IDLE), "the idle deadline that slides");
    ensure_eq!(record.renew_at, Timestamp::NEVER, "when the id is due without a renewal");

    let fresh = requests::successor(slid);
    let mut request = requests::rename(slid, fresh, record.version, before.payload.clone());
    let again = Lifetime { idle: bed.ticks(30), absolute: bed.ticks(60), renewal: Some(bed.ticks(9)) };
    request.deadlines = Deadlines::Restart(again);
    let answer = bed.store().rename(request).await?;
    let (record, now) = expect!(answer, Renamed::Renamed { snapshot: s, .. } => (s.record, s.now));
    ensure_eq!(record.idle_deadline, now.after(again.idle), "the idle deadline that starts again");
    ensure_eq!(
        record.absolute_deadline,
        now.after(again.absolute),
        "the absolute deadline that starts again"
    );
    ensure_eq!(record.renew_at, now.after(bed.ticks(9)), "when the id is due");
    ensure_eq!(record.last_seen, now, "when it was last seen");
    ensure_eq!(record.created, before.created, "when it began");
    ensure_eq!(bed.live(fresh).await?, record, "the record as loaded");
    Ok(())
}

pub(crate) async fn a_rename_to_a_taken_key_changes_nothing(bed: Bed) -> Verdict {
    let (from, record) = bed.session().await?;
    let (taken, ended) = (requests::successor(from), requests::successor(from));
    let other = bed.create(requests::create(taken, requests::data(&[("a", b"1")]))).await?;
    bed.create(requests::create(ended, requests::data(&[]))).await?;
    bed.store().end(requests::end(ended)).await?;
    for to in [taken, ended, from] {
        let request = requests::rename(from, to, record.version, requests::data(&[("x", b"!")]));
        expect!(bed.store().rename(request).await?, Renamed::Exists);
    }
    ensure_eq!(bed.live(from).await?, record, "the session that stays");
    ensure_eq!(bed.live(taken).await?, other, "the session that was there");
    bed.ended(ended, Ending::Destroyed).await
}

pub(crate) async fn a_rename_over_another_version_conflicts_and_changes_nothing(bed: Bed) -> Verdict {
    let (from, first) = bed.session().await?;
    let current = bed.write(from, &first, requests::data(&[("theirs", b"1")])).await?;
    let to = requests::successor(from);
    let request = requests::rename(from, to, first.version, requests::data(&[("mine", b"1")]));
    let told = expect!(bed.store().rename(request).await?, Renamed::Conflict(s) => s.record);
    ensure_eq!(told, current, "the record told with the conflict");
    ensure_eq!(bed.live(from).await?, current, "the record after a refused rename");
    bed.missing(to).await
}

pub(crate) async fn a_rename_of_nothing_is_told_what_became_of_it(bed: Bed) -> Verdict {
    let (_, sample) = bed.session().await?;
    let attempt = |from| {
        let to = requests::successor(from);
        let answer = bed.store().rename(requests::rename(from, to, sample.version, requests::data(&[])));
        async move { answer.await.map(|answer| (answer, to)) }
    };
    let (answer, to) = attempt(requests::key()).await?;
    expect!(answer, Renamed::Missing);
    bed.missing(to).await?;
    for (cause, ending) in [(EndCause::Destroyed, Ending::Destroyed), (EndCause::Revoked, Ending::Revoked)] {
        let (key, _) = bed.session().await?;
        bed.store().end(End { cause, ..requests::end(key) }).await?;
        expect!(attempt(key).await?.0, Renamed::Ended(told) if told == ending);
    }
    let (old, record) = bed.session().await?;
    let (new, _) = bed.moved(old, &record).await?;
    let (answer, to) = attempt(old).await?;
    expect!(answer, Renamed::Ended(Ending::Moved { to, .. }) if to == new);
    bed.missing(to).await
}

pub(crate) async fn the_marker_tells_whether_the_user_changed(bed: Bed) -> Verdict {
    let (ann, ben) = (requests::user("ann"), requests::user("ben"));
    let (mut key, mut record) = bed.session().await?;
    for (bind, user_changed) in
        [(Some(&ann), true), (Some(&ann), false), (None, false), (Some(&ben), true), (Some(&ann), true)]
    {
        let to = requests::successor(key);
        let mut request = requests::rename(key, to, record.version, record.payload.clone());
        request.bind = bind.map(requests::bind);
        record = bed.rename(request).await?;
        bed.ended(key, Ending::Moved { to, user_changed }).await?;
        if let Some(user) = bind {
            ensure_eq!(record.user.as_ref(), Some(user), "the user after a rename");
            ensure!(record.device.is_some(), "the device was not stored");
        }
        key = to;
    }
    ensure_eq!(bed.live(key).await?.user, Some(ann), "the user in the end");
    Ok(())
}

pub(crate) async fn a_rename_without_a_user_leaves_the_user_as_it_is(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (from, before) = bed.session_of(&ann).await?;
    let (to, _) = bed.moved(from, &before).await?;
    let after = bed.live(to).await?;
    ensure_eq!((&after.user, &after.device), (&before.user, &before.device), "user and device");
    Ok(())
}

pub(crate) async fn a_repeated_rename_has_one_effect_and_one_answer(bed: Bed) -> Verdict {
    let forms = [cloakroom::store::OldId::Dead, requests::alias(bed.ticks(9)), requests::copy(bed.ticks(9))];
    for old in forms {
        let (from, record) = bed.session().await?;
        let to = requests::successor(from);
        let mut request = requests::rename(from, to, record.version, requests::data(&[("b", b"2")]));
        request.old = old;
        let first = bed.rename(request.clone()).await?;
        let left = bed.store().load(from).await?;
        let again = bed.rename(request.clone()).await?;
        ensure_eq!(again, first, "the successor after a repeated rename");
        // And after others have written.
        let written = bed.write(to, &first, requests::data(&[("c", b"3")])).await?;
        let again = bed.rename(request.clone()).await?;
        ensure_eq!(again, written, "the successor after a rename repeated late");
        ensure_eq!(bed.live(to).await?, written, "the successor as loaded");
        match (left, bed.store().load(from).await?) {
            (Loaded::Live(a), Loaded::Live(b)) => ensure_eq!(b.record, a.record, "the copy"),
            (Loaded::Alias { .. }, Loaded::Alias { successor, .. }) => {
                ensure_eq!(successor, to, "the successor")
            }
            (Loaded::Ended(a), Loaded::Ended(b)) => ensure_eq!(b, a, "the marker"),
            (a, b) => ensure!(false, "a repeated rename turned {a:?} into {b:?}"),
        }
        // Another operation is not this one.
        let mut other = request;
        other.op = OpId::generate();
        expect!(bed.store().rename(other).await?, Renamed::Ended(_) | Renamed::Conflict(_));
    }
    Ok(())
}

pub(crate) async fn a_repeated_rename_revives_no_successor_that_ended(bed: Bed) -> Verdict {
    let (from, record) = bed.session().await?;
    let to = requests::successor(from);
    let request = requests::rename(from, to, record.version, record.payload.clone());
    bed.rename(request.clone()).await?;
    bed.store().end(requests::end(to)).await?;
    expect!(bed.store().rename(request).await?, Renamed::Ended(_));
    bed.ended(to, Ending::Destroyed).await?;
    bed.ended(from, Ending::Moved { to, user_changed: false }).await
}

pub(crate) async fn an_alias_leads_to_its_successor_during_the_grace(bed: Bed) -> Verdict {
    let (from, record) = bed.session().await?;
    let to = requests::successor(from);
    let mut request = requests::rename(from, to, record.version, record.payload.clone());
    let sealed = SealedId((0..=255u8).collect());
    request.old = cloakroom::store::OldId::Alias { sealed: sealed.clone(), grace: bed.ticks(4) };
    request.marker = bed.ticks(4);
    let mut successor = bed.rename(request).await?;
    for _ in 0..2 {
        let answer = bed.store().load(from).await?;
        let (key, seal, snapshot) =
            expect!(answer, Loaded::Alias { successor, sealed, snapshot } => (successor, sealed, snapshot));
        ensure_eq!(key, to, "the successor's key");
        ensure!(seal == sealed, "the sealed id came back changed");
        ensure_eq!(snapshot.record, successor, "the successor's record");
        successor = bed.write(to, &successor, requests::data(&[("later", b"1")])).await?;
    }
    bed.pass(4).await;
    bed.ended(from, Ending::Moved { to, user_changed: false }).await?;
    bed.pass(4).await;
    bed.missing(from).await?;
    bed.live(to).await?;
    Ok(())
}

pub(crate) async fn an_alias_dies_with_its_successor(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let aliased = async || -> Verdict<_> {
        let (from, record) = bed.session_of(&ann).await?;
        let to = requests::successor(from);
        let mut request = requests::rename(from, to, record.version, record.payload.clone());
        request.old = requests::alias(bed.ticks(9));
        let successor = bed.rename(request).await?;
        Ok((from, to, successor))
    };
    let (old, new, _) = aliased().await?;
    bed.store().end(requests::end(new)).await?;
    bed.ended(old, Ending::Destroyed).await?;

    let (old, _, _) = aliased().await?;
    bed.store().revoke(requests::revoke(&ann, cloakroom::store::RevokeWhich::All)).await?;
    bed.ended(old, Ending::Revoked).await?;

    let (old, new, successor) = aliased().await?;
    let (third, _) = bed.moved(new, &successor).await?;
    bed.ended(old, Ending::Moved { to: third, user_changed: false }).await?;

    let (old, new, successor) = aliased().await?;
    let mut request =
        requests::rename(new, requests::successor(new), successor.version, successor.payload.clone());
    request.old = requests::alias(bed.ticks(9));
    bed.rename(request).await?;
    expect!(bed.store().load(old).await?, Loaded::Ended(Ending::Moved { .. }));
    Ok(())
}

pub(crate) async fn no_alias_leads_across_a_change_of_user(bed: Bed) -> Verdict {
    let (ann, ben) = (requests::user("ann"), requests::user("ben"));
    let (anonymous, record) = bed.session().await?;
    let (of_ann, ann_record) = bed.session_of(&ann).await?;
    for (from, record, user) in [(anonymous, record, &ann), (of_ann, ann_record, &ben)] {
        let to = requests::successor(from);
        let mut request = requests::rename(from, to, record.version, record.payload.clone());
        request.bind = Some(requests::bind(user));
        request.old = requests::alias(bed.ticks(9));
        bed.rename(request).await?;
        bed.ended(from, Ending::Moved { to, user_changed: true }).await?;
    }
    Ok(())
}

pub(crate) async fn an_alias_dies_with_its_successors_deadline(bed: Bed) -> Verdict {
    let (from, record) = bed.session_living(3, 30).await?;
    let mut request =
        requests::rename(from, requests::successor(from), record.version, record.payload.clone());
    request.slide = None;
    request.old = requests::alias(bed.ticks(20));
    bed.rename(request).await?;
    bed.pass(3).await;
    expect!(bed.store().load(from).await?, Loaded::Ended(Ending::Expired | Ending::Moved { .. }));
    Ok(())
}

pub(crate) async fn a_copy_goes_its_own_way_for_a_while(bed: Bed) -> Verdict {
    let (from, before) = bed.session_living(20, 40).await?;
    let to = requests::successor(from);
    let mut request = requests::rename(from, to, before.version, requests::data(&[("new", b"1")]));
    request.slide = Some(bed.ticks(20));
    let (record_id, keep) = (cloakroom::RecordId::generate(), bed.ticks(4));
    request.old = cloakroom::store::OldId::Copy { record_id, keep };
    let answer = bed.store().rename(request).await?;
    let (moved, now) = expect!(answer, Renamed::Renamed { snapshot: s, .. } => (s.record, s.now));

    let copy = bed.live(from).await?;
    ensure_eq!(copy.id, record_id, "the copy's own name");
    ensure_eq!(moved.id, before.id, "the record's name");
    ensure_eq!(copy.payload.as_bytes(), before.payload.as_bytes(), "the copy's data");
    ensure_eq!(copy.deadline(), now.after(keep), "the copy's deadline");
    ensure_eq!(copy.renew_at, Timestamp::NEVER, "when the copy's id is due");
    ensure!(copy.version != before.version, "a writer from before can still commit over the copy");
    bed.write(from, &copy, requests::data(&[("copy", b"1")])).await?;
    ensure_eq!(bed.live(to).await?, moved, "the record after a write to the copy");
    bed.pass(4).await;
    bed.expired(from).await?;
    bed.live(to).await?;
    Ok(())
}

pub(crate) async fn a_copy_never_outlives_what_it_was_copied_from(bed: Bed) -> Verdict {
    let (from, before) = bed.session().await?;
    let mut request =
        requests::rename(from, requests::successor(from), before.version, before.payload.clone());
    request.old = requests::copy(requests::ABSOLUTE * 2);
    bed.rename(request).await?;
    let copy = bed.live(from).await?;
    ensure_eq!(copy.absolute_deadline, before.absolute_deadline, "the copy's absolute deadline");
    ensure_eq!(copy.idle_deadline, before.idle_deadline, "the copy's idle deadline");
    Ok(())
}
