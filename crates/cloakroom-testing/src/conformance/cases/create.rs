//! `create`: a session begins.

use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::record::{Device, RecentOps, Version};
use cloakroom::store::{BindUser, Created, Loaded};
use cloakroom::{OpId, RecordId};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

pub(crate) async fn a_created_session_is_loaded_as_it_was_created(bed: Bed) -> Verdict {
    let key = requests::key();
    let mut request = requests::create(key, requests::data(&[("basket", b"\x92\x01\x02"), ("name", b"Ann")]));
    request.lifetime.renewal = Some(bed.ticks(5));
    let answer = bed.store().create(request.clone()).await?;
    let snapshot = expect!(answer, Created::Created { snapshot, evicted } if evicted.is_empty() => snapshot);
    let (record, now) = (snapshot.record, snapshot.now);
    ensure_eq!(record.id, request.record_id, "the record id");
    ensure_eq!(record.version, Version::first(request.op), "the version");
    ensure_eq!(record.recent, RecentOps::default(), "the operations before the first");
    ensure_eq!(record.epoch, 0, "the epoch");
    ensure_eq!(record.created, now, "when it began");
    ensure_eq!(record.last_seen, now, "when it was last seen");
    ensure_eq!(record.idle_deadline, now.after(request.lifetime.idle), "the idle deadline");
    ensure_eq!(record.absolute_deadline, now.after(request.lifetime.absolute), "the absolute deadline");
    ensure_eq!(record.renew_at, now.after(bed.ticks(5)), "when the id is due");
    ensure_eq!(record.user, None, "the user");
    ensure_eq!(record.device, None, "the device");
    ensure_eq!(record.payload.as_bytes(), request.payload.as_bytes(), "the data");
    ensure_eq!(bed.live(key).await?, record, "the record as loaded");
    Ok(())
}

pub(crate) async fn a_session_without_renewal_is_never_due(bed: Bed) -> Verdict {
    let (key, _) = bed.session().await?;
    ensure_eq!(bed.live(key).await?.renew_at, Timestamp::NEVER, "when the id is due");
    Ok(())
}

pub(crate) async fn the_idle_deadline_begins_no_later_than_the_absolute_one(bed: Bed) -> Verdict {
    let key = requests::key();
    let mut request = requests::create(key, requests::data(&[]));
    request.lifetime = bed.lifetime(9, 5);
    let record = bed.create(request).await?;
    ensure_eq!(record.idle_deadline, record.absolute_deadline, "the idle deadline");
    ensure_eq!(bed.live(key).await?, record, "the record as loaded");
    Ok(())
}

pub(crate) async fn a_session_is_created_bound_to_its_user_and_device(bed: Bed) -> Verdict {
    let user = requests::user("ann");
    let device = Device { address: "2001:db8::7".to_owned(), agent: String::new() };
    for device in [None, Some(Arc::new(device))] {
        let key = requests::key();
        let bind = BindUser { user: user.clone(), device: device.clone(), cap: None };
        bed.create(requests::create_for(key, bind)).await?;
        let record = bed.live(key).await?;
        ensure_eq!(record.user.as_ref(), Some(&user), "the user");
        ensure_eq!(record.device, device, "the device");
    }
    Ok(())
}

pub(crate) async fn a_taken_key_is_refused_and_its_session_left_alone(bed: Bed) -> Verdict {
    let (key, record) = bed.session().await?;
    let other = requests::create(key, requests::data(&[("planted", b"!")]));
    expect!(bed.store().create(other).await?, Created::Exists);
    ensure_eq!(bed.live(key).await?, record, "the session that was there");
    Ok(())
}

pub(crate) async fn a_key_with_a_past_is_taken(bed: Bed) -> Verdict {
    let (destroyed, _) = bed.session().await?;
    bed.store().end(requests::end(destroyed)).await?;
    let (moved, record) = bed.session().await?;
    bed.moved(moved, &record).await?;
    let (alias, record) = bed.session().await?;
    let mut request =
        requests::rename(alias, requests::successor(alias), record.version, record.payload.clone());
    request.old = requests::alias(bed.ticks(5));
    bed.rename(request).await?;
    for key in [destroyed, moved, alias] {
        let before = bed.store().load(key).await?;
        expect!(bed.store().create(requests::create(key, requests::data(&[]))).await?, Created::Exists);
        let after = bed.store().load(key).await?;
        let same = match (&before, &after) {
            (Loaded::Alias { successor: a, .. }, Loaded::Alias { successor: b, .. }) => a == b,
            _ => before == after,
        };
        ensure!(same, "a refused create changed {before:?} into {after:?}");
    }
    Ok(())
}

pub(crate) async fn creating_twice_with_one_operation_creates_once(bed: Bed) -> Verdict {
    let key = requests::key();
    let request = requests::create(key, requests::data(&[("a", b"1")]));
    let first = bed.create(request.clone()).await?;
    let again = bed.create(request.clone()).await?;
    ensure_eq!(again, first, "the record after the repeated create");

    // Somebody wrote in between: the repeated create neither undoes it nor fails.
    let written = bed.write(key, &first, requests::data(&[("a", b"2")])).await?;
    let again = bed.create(request).await?;
    ensure_eq!(again, written, "the record after a create that was repeated late");
    ensure_eq!(bed.live(key).await?, written, "the record as loaded");
    Ok(())
}

pub(crate) async fn another_operation_with_the_same_content_is_another_create(bed: Bed) -> Verdict {
    let request = requests::create(requests::key(), requests::data(&[]));
    bed.create(request.clone()).await?;
    let mut other = request;
    other.op = OpId::generate();
    expect!(bed.store().create(other).await?, Created::Exists);
    Ok(())
}

pub(crate) async fn of_many_creates_under_one_key_one_wins(bed: Bed) -> Verdict {
    let (handles, key) = (bed.handles().await, requests::key());
    let attempts: Vec<_> = (0..16usize)
        .map(|n| {
            let store = Arc::clone(handles.get(n % handles.len()).unwrap_or(bed.store()));
            let mut request =
                requests::create(key, requests::data(&[("n", &[u8::try_from(n).unwrap_or(0)])]));
            request.record_id = RecordId::generate();
            tokio::spawn(async move { store.create(request).await })
        })
        .collect();
    let mut winners = Vec::new();
    for attempt in attempts {
        if let Created::Created { snapshot, .. } = attempt.await?? {
            winners.push(snapshot.record);
        }
    }
    ensure_eq!(winners.len(), 1, "creates that succeeded");
    ensure_eq!(Some(&bed.live(key).await?), winners.first(), "the session that is there");
    Ok(())
}
