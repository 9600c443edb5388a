//! `list_user` and `revoke`: a user's sessions.

use cloakroom::store::protocol::RECEIPT_SESSIONS;
use cloakroom::store::{Ending, RevokeWhich, Revoked, Summary};
use cloakroom::{RecordId, StoreKey};

use crate::conformance::bed::Bed;
use crate::conformance::verdict::Verdict;
use crate::requests;

fn keys(sessions: &[Summary]) -> Vec<StoreKey> {
    sessions.iter().map(|s| s.key).collect()
}

fn sorted(mut keys: Vec<StoreKey>) -> Vec<StoreKey> {
    keys.sort();
    keys
}

pub(crate) async fn a_users_sessions_are_listed_oldest_first(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let mut made = Vec::new();
    for n in 0..9 {
        made.push(bed.session_of(&ann).await?.0);
        // Some in the same millisecond, some not.
        if n % 3 == 0 {
            bed.pass(1).await;
        }
    }
    bed.session_of(&requests::user("ben")).await?;
    bed.session().await?;
    let listed = bed.store().list_user(ann).await?;
    ensure_eq!(sorted(keys(&listed)), sorted(made), "the sessions listed");
    ensure!(
        listed.is_sorted_by_key(|s| (s.created, s.record_id)),
        "the list is not ordered by beginning and record id"
    );
    ensure_eq!(
        bed.store().list_user(requests::user("nobody")).await?.len(),
        0,
        "sessions of an unknown user"
    );
    Ok(())
}

pub(crate) async fn a_listed_session_is_summed_up_as_it_is_now(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (key, record) = bed.session_of(&ann).await?;
    bed.pass(1).await;
    bed.write(key, &record, requests::data(&[("big", &[1; 999])])).await?;
    bed.pass(1).await;
    bed.store().touch(requests::touch(key)).await?;
    let expected = Summary::of(key, &*bed.live(key).await?);
    ensure_eq!(bed.store().list_user(ann).await?, vec![expected], "the list");
    Ok(())
}

pub(crate) async fn the_list_shows_nothing_dead(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (ended, _) = bed.session_of(&ann).await?;
    bed.store().end(requests::end(ended)).await?;
    let expired = requests::key();
    let mut request = requests::create_for(expired, requests::bind(&ann));
    request.lifetime = bed.lifetime(2, 20);
    bed.create(request).await?;
    let (revoked, record) = bed.session_of(&ann).await?;
    bed.store().revoke(requests::revoke(&ann, RevokeWhich::One(record.id))).await?;
    let (alive, _) = bed.session_of(&ann).await?;
    bed.pass(2).await;
    ensure_eq!(keys(&bed.store().list_user(ann).await?), vec![alive], "the list");
    bed.ended(revoked, Ending::Revoked).await
}

pub(crate) async fn a_renamed_session_is_listed_once_under_its_new_key(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    for old in [cloakroom::store::OldId::Dead, requests::alias(bed.ticks(9))] {
        let (from, record) = bed.session_of(&ann).await?;
        let to = requests::successor(from);
        let mut request = requests::rename(from, to, record.version, record.payload.clone());
        request.old = old;
        bed.rename(request).await?;
        ensure_eq!(keys(&bed.store().list_user(ann.clone()).await?), vec![to], "the list");
        bed.store().end(requests::end(to)).await?;
        ensure_eq!(keys(&bed.store().list_user(ann.clone()).await?), vec![], "the list after the end");
    }
    Ok(())
}

pub(crate) async fn a_change_of_user_moves_the_session_to_the_others_list(bed: Bed) -> Verdict {
    let (ann, ben) = (requests::user("ann"), requests::user("ben"));
    let (anonymous, record) = bed.session().await?;
    let of_ann = requests::successor(anonymous);
    let mut request = requests::rename(anonymous, of_ann, record.version, record.payload.clone());
    request.bind = Some(requests::bind(&ann));
    let record = bed.rename(request).await?;
    ensure_eq!(keys(&bed.store().list_user(ann.clone()).await?), vec![of_ann], "Ann's list");

    let of_ben = requests::successor(of_ann);
    let mut request = requests::rename(of_ann, of_ben, record.version, record.payload.clone());
    request.bind = Some(requests::bind(&ben));
    bed.rename(request).await?;
    ensure_eq!(keys(&bed.store().list_user(ann.clone()).await?), vec![], "Ann's list after Ben logged in");
    ensure_eq!(keys(&bed.store().list_user(ben).await?), vec![of_ben], "Ben's list");
    // What is Ben's by now does not end with Ann's.
    let ended = bed.store().revoke(requests::revoke(&ann, RevokeWhich::All)).await?;
    ensure_eq!(ended.count, 0, "sessions ended");
    bed.live(of_ben).await?;
    Ok(())
}

pub(crate) async fn users_are_told_apart_by_every_byte_of_their_names(bed: Bed) -> Verdict {
    let names = ["ann", "Ann", "ann ", " ann", "anna", "an", "a%", "a_n", "*", "ann\0", "ánn", "a\u{301}nn"];
    for name in names {
        bed.session_of(&requests::user(name)).await?;
    }
    for name in names {
        let listed = bed.store().list_user(requests::user(name)).await?;
        ensure_eq!(listed.len(), 1, "sessions of {name:?}");
    }
    let ended = bed.store().revoke(requests::revoke(&requests::user("ann"), RevokeWhich::All)).await?;
    ensure_eq!(ended.count, 1, "sessions revoked");
    ensure_eq!(bed.scanned(50).await?.len(), names.len() - 1, "sessions left");
    Ok(())
}

pub(crate) async fn one_session_is_revoked(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (first, chosen) = bed.session_of(&ann).await?;
    let (second, _) = bed.session_of(&ann).await?;
    let ended = bed.store().revoke(requests::revoke(&ann, RevokeWhich::One(chosen.id))).await?;
    ensure_eq!(ended, Revoked::all(vec![Summary::of(first, &chosen)]), "what was ended");
    bed.ended(first, Ending::Revoked).await?;
    bed.live(second).await?;
    ensure_eq!(keys(&bed.store().list_user(ann).await?), vec![second], "the list");
    Ok(())
}

pub(crate) async fn a_session_of_somebody_else_is_not_revoked(bed: Bed) -> Verdict {
    let (ann, ben) = (requests::user("ann"), requests::user("ben"));
    bed.session_of(&ann).await?;
    let (bens, record) = bed.session_of(&ben).await?;
    let (anonymous, nobody) = bed.session().await?;
    for id in [record.id, nobody.id, RecordId::generate()] {
        let ended = bed.store().revoke(requests::revoke(&ann, RevokeWhich::One(id))).await?;
        ensure_eq!(ended.count, 0, "sessions ended");
    }
    bed.store().revoke(requests::revoke(&ann, RevokeWhich::All)).await?;
    bed.live(bens).await?;
    bed.live(anonymous).await?;
    Ok(())
}

pub(crate) async fn the_other_sessions_are_revoked(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (kept, record) = bed.session_of(&ann).await?;
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(bed.session_of(&ann).await?.0);
    }
    let ended = bed.store().revoke(requests::revoke(&ann, RevokeWhich::Others(record.id))).await?;
    ensure_eq!(sorted(keys(&ended.ended)), sorted(others.clone()), "what was ended");
    for key in others {
        bed.ended(key, Ending::Revoked).await?;
    }
    bed.live(kept).await?;
    ensure_eq!(keys(&bed.store().list_user(ann).await?), vec![kept], "the list");
    Ok(())
}

pub(crate) async fn all_sessions_are_revoked(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(bed.session_of(&ann).await?.0);
    }
    let request = requests::revoke(&ann, RevokeWhich::All);
    let ended = bed.store().revoke(request.clone()).await?;
    ensure_eq!(sorted(keys(&ended.ended)), sorted(all.clone()), "what was ended");
    ensure_eq!(ended.count, all.len(), "how many were ended");
    for key in all {
        bed.ended(key, Ending::Revoked).await?;
    }
    ensure_eq!(bed.store().list_user(ann.clone()).await?.len(), 0, "sessions left");
    // Another one finds nothing more.
    let again = requests::revoke(&ann, RevokeWhich::All);
    ensure_eq!(bed.store().revoke(again).await?.count, 0, "sessions ended by another revocation");
    Ok(())
}

pub(crate) async fn a_repeated_revocation_has_the_same_answer_and_spares_a_login_since(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (_, kept) = bed.session_of(&ann).await?;
    for which in [RevokeWhich::Others(kept.id), RevokeWhich::One(kept.id), RevokeWhich::All] {
        bed.session_of(&ann).await?;
        let request = requests::revoke(&ann, which);
        let ended = bed.store().revoke(request.clone()).await?;
        ensure!(ended.count > 0, "{which:?} ended nothing");
        let (since, _) = bed.session_of(&ann).await?;
        ensure_eq!(bed.store().revoke(request.clone()).await?, ended, "the answer to the repeated {which:?}");
        bed.live(since).await?;
        bed.pass(1).await;
        ensure_eq!(bed.store().revoke(request).await?, ended, "the answer to {which:?} later");
        bed.live(since).await?;
    }
    Ok(())
}

pub(crate) async fn a_repeated_revocation_that_ended_nothing_ends_nothing(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let request = requests::revoke(&ann, RevokeWhich::All);
    ensure_eq!(bed.store().revoke(request.clone()).await?.count, 0, "sessions ended");
    let (since, _) = bed.session_of(&ann).await?;
    ensure_eq!(bed.store().revoke(request).await?.count, 0, "sessions ended by the repeated revocation");
    bed.live(since).await?;
    // It is remembered for this user and this operation alone.
    ensure_eq!(
        keys(&bed.store().revoke(requests::revoke(&ann, RevokeWhich::All)).await?.ended),
        vec![since],
        "what another revocation ended"
    );
    Ok(())
}

pub(crate) async fn a_repeated_revocation_of_many_sessions_tells_their_number_and_the_first_of_them(
    bed: Bed,
) -> Verdict {
    let ann = requests::user("ann");
    let many = RECEIPT_SESSIONS + 3;
    for _ in 0..many {
        bed.session_of(&ann).await?;
    }
    let request = requests::revoke(&ann, RevokeWhich::All);
    let first = bed.store().revoke(request.clone()).await?;
    ensure_eq!((first.count, first.ended.len()), (many, many), "sessions ended, and told");
    let again = bed.store().revoke(request).await?;
    ensure_eq!(again.count, many, "sessions ended, told again");
    let told = first.ended.iter().take(RECEIPT_SESSIONS).cloned().collect::<Vec<_>>();
    ensure_eq!(again.ended, told, "the sessions told again");
    Ok(())
}

pub(crate) async fn the_markers_of_a_revocation_are_forgotten_after_their_time(bed: Bed) -> Verdict {
    let ann = requests::user("ann");
    let (key, _) = bed.session_of(&ann).await?;
    let mut request = requests::revoke(&ann, RevokeWhich::All);
    request.marker = bed.ticks(3);
    bed.store().revoke(request).await?;
    bed.pass(1).await;
    bed.ended(key, Ending::Revoked).await?;
    bed.pass(2).await;
    bed.missing(key).await
}
