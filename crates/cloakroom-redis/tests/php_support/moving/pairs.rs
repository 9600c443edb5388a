//! A request at every stage of a move and everything else that may be done beside it: it is held at every call of either place in turn, or that
//! call fails.

use cloakroom::ErrorKind;
use cloakroom_php::layout::Stage;
use cloakroom_testing::fault::Fault;

use super::one::{ALL, Begun, Does, Live, Place, SECOND, Slow, Went, go, live, renewing};
use super::{Application, Instance, Visitor, basket, number};

/// A session, how far it is when the request comes, and at which stage and call of it that is.
struct Case<'a, A> {
    visitor: Visitor<'a, A>,
    slow: &'a Slow,
    call: (Place, u64),
    after: &'a Instance,
    at: String,
}

/// Everything that a request may do, at each stage and each call of either place. `beside` answers whether it came as far as the call.
async fn everywhere<'a, A: Application>(
    application: &'a A,
    beside: impl AsyncFn(&Case<'_, A>, Begun, Stage, Does) -> bool,
) {
    let (new, length) = (application.place().await, Visitor::length(application).await);
    let mut cases = Vec::new();
    for begun in [Begun::Not, Begun::NotAndDue, Begun::Copied, Begun::Marked, Begun::Done] {
        // What has not moved by then is over.
        let stages: &[Stage] = match begun {
            Begun::Done => &[Stage::Prepare, Stage::Move, Stage::Done],
            _ => &[Stage::Prepare, Stage::Move],
        };
        cases.extend(stages.iter().flat_map(|stage| ALL.map(|does| (begun, *stage, does))));
    }
    let lane = async |lane: usize| {
        let broken = Slow::over(application, Stage::Move, &new).await;
        let after = Instance::over(application, Stage::Move, new.clone()).await;
        for (begun, stage, does) in cases.iter().copied().skip(lane).step_by(LANES) {
            let slow = Slow::over(application, stage, &new).await;
            for place in [Place::New, Place::Php] {
                for call in 1.. {
                    let visitor = Visitor::with_id(application, length, &number(1));
                    broken.begins(&visitor, begun).await;
                    let called = after.called;
                    let at = format!("{called}: {begun:?}, {does:?} at {stage:?}, call {call} of {place:?}");
                    let case = Case { visitor, slow: &slow, call: (place, call), after: &after, at };
                    if !beside(&case, begun, stage, does).await {
                        break;
                    }
                }
            }
        }
    };
    tokio::join!(lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7));
}

const LANES: usize = 8;

pub async fn of_two_requests_each_is_held_at_every_call_of_either_place(application: &impl Application) {
    let new = application.place().await;
    for then in [Stage::Prepare, Stage::Move, Stage::Done] {
        let beside = Instance::with(application, then, new.clone(), renewing(application)).await;
        for other in ALL {
            everywhere(application, async |case, begun, stage, does| {
                let stages = [stage, then];
                // Two stages apart, or where nothing moves: that is nothing to do with it.
                let apart = stages.contains(&Stage::Done)
                    && (stages.contains(&Stage::Prepare) || begun != Begun::Done);
                let not = matches!(begun, Begun::Not | Begun::NotAndDue);
                if apart || not && stages == [Stage::Prepare; 2] {
                    return false;
                }
                let cookie = case.visitor.cookie.as_str();
                let second = go(&beside, cookie, other, SECOND);
                let (first, second, reached) = case.slow.held(cookie, does, case.call, second).await;
                check(case, begun, &first, &second, &format!("{}, {other:?} at {then:?}", case.at)).await;
                reached
            })
            .await;
        }
    }
}

async fn check(case: &Case<'_, impl Application>, begun: Begun, first: &Went, second: &Went, at: &str) {
    let at = format!("{at}\n{first:?}\n{second:?}");
    for (went, beside) in [(first, second), (second, first)] {
        if beside.does.takes_the_id() {
            let allowed = [None, Some(ErrorKind::Gone), Some(ErrorKind::Conflict)];
            assert!(allowed.contains(&went.error), "{at}");
        } else {
            assert!(went.did(), "{at}: it is refused, or finds no session");
        }
    }
    let (both, cookie) = ([first, second], case.visitor.cookie.as_str());
    let live = live(case.after, cookie, &both).await;
    let at = format!("{at}\n{live:?}");
    // Also by an id that is not the session's any more.
    if both.iter().any(|went| went.error.is_none() && went.does == Does::Ends) {
        assert!(live.is_empty(), "{at}: it was logged out");
        return;
    }
    let renamed = both.iter().any(|went| went.did() && matches!(went.does, Does::ChangesId | Does::LogsIn));
    // Whoever presents an id in its grace is told the new one: every id is one, until it is changed otherwise.
    let live = match live.as_slice() {
        [live, rest @ ..] if begun == Begun::NotAndDue && !renamed => {
            assert!(rest.iter().all(|other| other.is_as(live)), "{at}: it is not one session");
            let locked = both.iter().any(|went| went.does == Does::Locks);
            assert!(locked || rest.len() == 1, "{at}: it was due");
            live
        }
        live => {
            let live = one(live, &at);
            assert_eq!(live.id != cookie, renamed, "{at}: the old id");
            live
        }
    };
    let adds = both.iter().filter(|went| went.adds()).count();
    assert_eq!(live.n, 1 + i64::try_from(adds).unwrap(), "{at}: the number");
    if first.adds() && second.adds() {
        assert_ne!(first.said, second.said, "{at}: both say so");
    }
    let logged_in = both.iter().any(|went| went.did() && went.does == Does::LogsIn);
    assert_eq!(live.user.as_deref(), logged_in.then_some("9"), "{at}: who is logged in");
    let sets = |went: &Went| went.did() && went.does == Does::Sets;
    assert_eq!((live.first, live.second), (sets(first), sets(second)), "{at}: what was set");
}

fn one<'l>(live: &'l [Live], at: &str) -> &'l Live {
    let [live] = live else { panic!("{at}: it is not one session") };
    live
}

/// What PHP does, under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Php {
    Writes,
    LogsIn,
    LogsOut,
}

pub async fn of_a_request_and_one_of_phps_the_first_is_held_at_every_call_of_either_place(
    application: &impl Application,
) {
    for php in [Php::Writes, Php::LogsIn, Php::LogsOut] {
        everywhere(application, async |case, begun, _, does| {
            // Of such, two requests tell.
            if begun == Begun::NotAndDue {
                return false;
            }
            let visitor = &case.visitor;
            let acts = async {
                // What it finds no session for, or waits for, is another request's.
                if !visitor.php_has() || !visitor.application.locks(&visitor.id) {
                    return false;
                }
                match php {
                    Php::Writes => visitor.php_writes(&number(40)),
                    Php::LogsIn => visitor.php_writes(&basket(8, 60)),
                    Php::LogsOut => visitor.php_ends(),
                }
                visitor.application.unlocks(&visitor.id);
                true
            };
            let (went, acted, reached) = case.slow.held(&visitor.cookie, does, case.call, acts).await;
            if reached {
                check_php(case, &went, php, acted).await;
            }
            reached
        })
        .await;
    }
}

async fn check_php(case: &Case<'_, impl Application>, went: &Went, php: Php, acted: bool) {
    let live = live(case.after, &case.visitor.cookie, &[went]).await;
    let at = format!("{}, PHP {php:?}: {acted}\n{went:?}\n{live:?}", case.at);
    let ends = went.does == Does::Ends && went.error.is_none();
    if ends || acted && php == Php::LogsOut {
        assert!(live.is_empty(), "{at}: it was logged out");
        assert!(matches!(went.error, None | Some(ErrorKind::Gone)), "{at}");
        return;
    }
    let logs_in = went.does == Does::LogsIn && went.did();
    if acted && php == Php::LogsIn && logs_in {
        assert!(live.is_empty(), "{at}: what is another user's went along");
        return;
    }
    let live = one(&live, &at);
    let base = match php {
        _ if !acted => 1,
        Php::Writes => 40,
        _ => 60,
    };
    let refused = acted && php == Php::LogsIn && went.error == Some(ErrorKind::Conflict);
    assert!(went.did() || refused, "{at}: it is refused, or finds no session");
    // What it added before PHP wrote is written over.
    let adds = went.adds() && went.said.unwrap() > base;
    assert_eq!(live.n, base + i64::from(adds), "{at}: the number");
    if adds {
        assert_eq!(went.said, Some(live.n), "{at}: it said so");
    }
    let by_php = (acted && php == Php::LogsIn).then_some("8");
    assert_eq!(live.user.as_deref(), if logs_in { Some("9") } else { by_php }, "{at}: who is logged in");
    // Decided before somebody logged in, it is not planted.
    let sets = went.does == Does::Sets && went.did();
    assert!(!live.first || sets && !(by_php.is_some() && went.saw == Some(1)), "{at}: what was set");
    assert!(acted || live.first == sets, "{at}: what was set");
}

pub async fn a_request_fails_at_every_call_of_either_place_and_is_done_once_or_not_at_all(
    application: &impl Application,
) {
    for fault in [Fault::Unavailable, Fault::LoseRequest, Fault::LoseAnswer] {
        everywhere(application, async |case, begun, _, does| {
            // Of such, two requests tell.
            if begun == Begun::NotAndDue {
                return false;
            }
            let cookie = case.visitor.cookie.as_str();
            let (went, reached) = case.slow.fails(cookie, does, case.call, fault.clone()).await;
            if reached {
                check_failed(case, &went, &fault).await;
            }
            reached
        })
        .await;
    }
}

async fn check_failed(case: &Case<'_, impl Application>, went: &Went, fault: &Fault) {
    let live = live(case.after, &case.visitor.cookie, &[went]).await;
    let at = format!("{}, {}\n{went:?}\n{live:?}", case.at, fault.name());
    let unsure = went.error == Some(ErrorKind::Unknown) && went.saw.is_some();
    if went.error.is_none() && went.does == Does::Ends {
        assert!(live.is_empty(), "{at}: it was logged out");
        return;
    }
    if unsure && went.does.takes_the_id() {
        return;
    }
    assert!(went.did() || went.error.is_some(), "{at}: it finds no session");
    let live = one(&live, &at);
    assert_eq!(live.id != case.visitor.cookie, went.did() && went.does.takes_the_id(), "{at}: the old id");
    let adds = i64::from(went.adds());
    let allowed = if unsure { 1..=2 } else { 1 + adds..=1 + adds };
    assert!(allowed.contains(&live.n), "{at}: the number");
    assert!(unsure || live.first == (went.did() && went.does == Does::Sets), "{at}: what was set");
}
