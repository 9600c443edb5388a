//! Deadlines, by the store's clock; and `touch`.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Clock;
use cloakroom::store::{
    Acquired, Committed, Ended, Ending, Loaded, Released, Renamed, Renewed, Touch, Touched,
};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

pub(crate) async fn an_idle_session_expires_for_every_operation(bed: Bed) -> Verdict {
    let (user, key) = (requests::user("ann"), requests::key());
    let to = requests::successor(key);
    let mut request = requests::create_for(key, requests::bind(&user));
    request.lifetime = bed.lifetime(4, 40);
    let record = bed.create(request.clone()).await?;
    bed.pass(2).await;
    bed.live(key).await?;
    bed.pass(2).await;

    bed.expired(key).await?;
    let data = || requests::data(&[("x", b"!")]);
    let answer = bed.store().commit(requests::commit(key, record.version, data())).await?;
    expect!(answer, Committed::Ended(Ending::Expired) | Committed::Missing);
    let answer = bed.store().rename(requests::rename(key, to, record.version, data())).await?;
    expect!(answer, Renamed::Ended(Ending::Expired) | Renamed::Missing);
    let answer = bed.store().acquire(requests::acquire(key, 1)).await?;
    expect!(answer, Acquired::Ended(Ending::Expired) | Acquired::Missing);
    expect!(bed.store().touch(requests::touch(key)).await?, Touched::NotLive);
    expect!(bed.store().renew(requests::renew(key, 1)).await?, Renewed::LeaseLost);
    expect!(bed.store().release(requests::release(key, 1)).await?, Released::NotHeld);
    expect!(bed.store().end(requests::end(key)).await?, Ended::NotLive);
    ensure_eq!(bed.store().list_user(user).await?.len(), 0, "listed sessions");
    ensure_eq!(bed.scanned(10).await?.len(), 0, "scanned sessions");
    // Nothing of that brought it back.
    bed.expired(key).await?;
    bed.missing(to).await
}

pub(crate) async fn a_deadline_is_exact(bed: Bed) -> Verdict {
    let clock = bed.manual_clock()?.clone();
    let (key, record) = bed.session_living(4, 40).await?;
    let last = Duration::from_millis(clock.now().until(record.deadline()).as_millis() as u64 - 1);
    clock.advance(last);
    bed.live(key).await?;
    clock.advance(Duration::from_millis(1));
    bed.expired(key).await
}

pub(crate) async fn a_touch_slides_the_idle_deadline_and_nothing_else(bed: Bed) -> Verdict {
    let (key, before) = bed.session().await?;
    bed.pass(1).await;
    let answer = bed.store().touch(requests::touch(key)).await?;
    let told = expect!(answer, Touched::Touched { idle_deadline } => idle_deadline);
    let after = bed.live(key).await?;
    ensure!(after.idle_deadline > before.idle_deadline, "the idle deadline did not move");
    ensure!(after.last_seen > before.last_seen, "being seen was not noted");
    ensure_eq!(told, after.idle_deadline, "the idle deadline told by the touch");
    ensure_eq!(after.version, before.version, "the version");
    let mut expected = before;
    let seen = Arc::make_mut(&mut expected);
    seen.idle_deadline = after.idle_deadline;
    seen.last_seen = after.last_seen;
    ensure_eq!(after, expected, "the record after a touch");
    // So that whoever read before it can still commit.
    bed.write(key, &expected, requests::data(&[("a", b"2")])).await?;
    Ok(())
}

pub(crate) async fn a_touched_session_outlives_its_first_deadline(bed: Bed) -> Verdict {
    let (key, _) = bed.session_living(4, 40).await?;
    for _ in 0..3 {
        bed.pass(2).await;
        expect!(bed.store().touch(Touch { key, idle: bed.ticks(4) }).await?, Touched::Touched { .. });
    }
    bed.live(key).await?;
    bed.pass(4).await;
    bed.expired(key).await
}

pub(crate) async fn a_touch_never_slides_backwards(bed: Bed) -> Verdict {
    let (key, before) = bed.session().await?;
    let answer = bed.store().touch(Touch { key, idle: requests::IDLE / 2 }).await?;
    expect!(answer, Touched::Touched { idle_deadline } if idle_deadline == before.idle_deadline);
    ensure_eq!(bed.live(key).await?.idle_deadline, before.idle_deadline, "the idle deadline");
    Ok(())
}

pub(crate) async fn nothing_slides_past_the_absolute_deadline(bed: Bed) -> Verdict {
    let (key, before) = bed.session_living(4, 6).await?;
    let absolute = before.absolute_deadline;
    bed.pass(2).await;
    let answer = bed.store().touch(Touch { key, idle: bed.ticks(100) }).await?;
    expect!(answer, Touched::Touched { idle_deadline } if idle_deadline == absolute);
    let mut request = requests::commit(key, before.version, requests::data(&[]));
    request.slide = Some(bed.ticks(100));
    let record = bed.commit(request).await?;
    ensure_eq!(record.idle_deadline, absolute, "the idle deadline after a commit");
    let to = requests::successor(key);
    let mut request = requests::rename(key, to, record.version, requests::data(&[]));
    request.slide = Some(bed.ticks(100));
    let record = bed.rename(request).await?;
    ensure_eq!(record.idle_deadline, absolute, "the idle deadline after a rename");
    ensure_eq!(record.absolute_deadline, absolute, "the absolute deadline");
    bed.pass(4).await;
    bed.expired(to).await
}

pub(crate) async fn a_touch_revives_nothing(bed: Bed) -> Verdict {
    let unknown = requests::key();
    expect!(bed.store().touch(requests::touch(unknown)).await?, Touched::NotLive);
    bed.missing(unknown).await?;

    let (ended, _) = bed.session().await?;
    bed.store().end(requests::end(ended)).await?;
    expect!(bed.store().touch(requests::touch(ended)).await?, Touched::NotLive);
    bed.ended(ended, Ending::Destroyed).await?;

    let (old, record) = bed.session().await?;
    let (to, successor) = bed.moved(old, &record).await?;
    expect!(bed.store().touch(requests::touch(old)).await?, Touched::NotLive);
    bed.ended(old, Ending::Moved { to, user_changed: false }).await?;

    let (alias, record) = bed.session().await?;
    let mut request =
        requests::rename(alias, requests::successor(alias), record.version, record.payload.clone());
    request.old = requests::alias(bed.ticks(5));
    bed.rename(request).await?;
    expect!(bed.store().touch(requests::touch(alias)).await?, Touched::NotLive);
    expect!(bed.store().load(alias).await?, Loaded::Alias { .. });
    ensure_eq!(bed.live(to).await?, successor, "the successor");
    Ok(())
}

pub(crate) async fn an_absolute_deadline_holds_whatever_is_done(bed: Bed) -> Verdict {
    let (mut key, mut record) = bed.session_living(3, 8).await?;
    for _ in 0..3 {
        bed.pass(2).await;
        let mut request = requests::commit(key, record.version, requests::data(&[]));
        request.slide = Some(bed.ticks(3));
        record = bed.commit(request).await?;
        (key, record) = bed.moved(key, &record).await?;
    }
    bed.live(key).await?;
    bed.pass(2).await;
    bed.expired(key).await
}

pub(crate) async fn a_clock_that_jumps_back_takes_nothing_back(bed: Bed) -> Verdict {
    let clock = bed.manual_clock()?.clone();
    let (key, before) = bed.session().await?;
    let start = clock.now();
    clock.set(cloakroom::clock::Timestamp::from_millis(start.as_millis() - 60_000));
    expect!(bed.store().touch(requests::touch(key)).await?, Touched::Touched { .. });
    let after = bed.live(key).await?;
    ensure_eq!(after.idle_deadline, before.idle_deadline, "the idle deadline");
    ensure_eq!(after.last_seen, before.last_seen, "when it was last seen");
    let after = bed.write(key, &after, requests::data(&[])).await?;
    ensure_eq!(after.idle_deadline, before.idle_deadline, "the idle deadline after a commit");
    Ok(())
}
