//! Every two requests for one session while it may move: one is held at a call, the other runs whole, and then the first goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom::store::Store;
use cloakroom::{ErrorKind, Session, SessionManager};
use cloakroom_php::layout::Stage;
use cloakroom_testing::fault::{Fault, FaultStore, Gate};

use super::late::Calls;
use super::{Application, Instance, Visitor, config, number};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Reads,
    Adds,
    Sets,
    Locks,
    ChangesId,
    LogsIn,
    Ends,
}

const ALL: [Does; 7] =
    [Does::Reads, Does::Adds, Does::Sets, Does::Locks, Does::ChangesId, Does::LogsIn, Does::Ends];

impl Does {
    /// Whether a request beside it may find its session gone from under its id.
    fn takes_the_id(self) -> bool {
        matches!(self, Does::ChangesId | Does::LogsIn | Does::Ends)
    }
}

/// How far the move is when the two begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Not,
    /// There is a copy.
    Copied,
    /// PHP's place has the mark, and the copy its flag.
    Marked,
}

/// How a request went.
#[derive(Debug)]
struct Went {
    does: Does,
    /// The number that it found: none where it found no session.
    saw: Option<i64>,
    /// What it said the number is now.
    said: Option<i64>,
    /// The cookie that it set.
    told: Option<String>,
    error: Option<ErrorKind>,
}

impl Went {
    /// It was done, to the session that both are about.
    fn did(&self) -> bool {
        self.error.is_none() && self.saw.is_some()
    }

    fn adds(&self) -> bool {
        self.did() && matches!(self.does, Does::Adds | Does::Locks)
    }
}

async fn go(instance: &Instance, cookie: &str, does: Does, mark: &'static str) -> Went {
    let saw = Mutex::new(None);
    let plus = |n: Option<i64>| n.unwrap_or(0) + 1;
    let handler = async |session: &Session| {
        *saw.lock().unwrap() = session.get::<i64>("n")?;
        Ok(match does {
            Does::Reads => None,
            Does::Adds => Some(session.update("n", plus).await?),
            Does::Sets => {
                session.set(mark, 1)?;
                None
            }
            // Of no session there is no lock.
            Does::Locks if saw.lock().unwrap().is_none() => None,
            Does::Locks => {
                let mut guard = session.lock().await?;
                let n = plus(guard.get("n")?);
                guard.set("n", n)?;
                guard.commit().await?;
                Some(n)
            }
            Does::ChangesId => {
                session.regenerate().await?;
                None
            }
            Does::LogsIn => {
                session.login("9").await?;
                None
            }
            Does::Ends => {
                session.destroy().await?;
                None
            }
        })
    };
    let served = instance.serve(cookie, handler).await;
    let saw = *saw.lock().unwrap();
    match served {
        Ok((said, told)) => Went { does, saw, said, told, error: None },
        Err(error) => Went { does, saw, said: None, told: None, error: Some(error.kind()) },
    }
}

/// An instance of which calls of either place can be held.
struct Slow {
    instance: Instance,
    new: FaultStore,
    php: Calls,
}

impl Slow {
    async fn over(application: &impl Application, stage: Stage, new: &Arc<dyn Store>) -> Self {
        let (new, php) = (FaultStore::new(new.clone()), Calls::default());
        let store = application.moving_with(stage, Arc::new(new.clone()), php.clone()).await;
        let sessions = SessionManager::over(store, config(application)).unwrap();
        Slow { instance: Instance { called: application.layout().name(), sessions }, new, php }
    }

    /// Begins a move and breaks off.
    async fn begins(&self, visitor: &Visitor<'_, impl Application>, begun: Begun) {
        match begun {
            Begun::Not => return,
            Begun::Copied => self.new.at(2, Fault::LoseAnswer),
            Begun::Marked => self.new.at(3, Fault::Unavailable),
        }
        self.instance.request(&visitor.cookie).open().await.unwrap_err();
        assert_eq!(visitor.php_has(), begun == Begun::Copied);
    }
}

/// Where a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    New,
    Php,
}

pub async fn of_two_requests_each_is_held_at_every_call_of_either_place(application: &impl Application) {
    let stages = [Stage::Prepare, Stage::Move];
    let mut cases = Vec::new();
    for begun in [Begun::Not, Begun::Copied, Begun::Marked] {
        for (first, then) in stages.iter().flat_map(|first| stages.map(|then| (*first, then))) {
            // Where nothing moves, two requests are PHP's layout's business.
            if begun == Begun::Not && (first, then) == (Stage::Prepare, Stage::Prepare) {
                continue;
            }
            for (does, other) in ALL.iter().flat_map(|does| ALL.map(|other| (*does, other))) {
                cases.push((begun, first, does, then, other));
            }
        }
    }
    let new = application.place().await;
    let length = Visitor::length(application).await;
    let lane = async |lane: usize| {
        let mut instances = Vec::new();
        for stage in stages {
            let beside = Instance::over(application, stage, new.clone()).await;
            instances.push((stage, Slow::over(application, stage, &new).await, beside));
        }
        let broken = Slow::over(application, Stage::Move, &new).await;
        let at_stage = |at| instances.iter().find(|(stage, ..)| *stage == at).unwrap();
        for (begun, first, does, then, other) in cases.iter().copied().skip(lane).step_by(LANES) {
            let (_, slow, _) = at_stage(first);
            let ((_, _, beside), (_, _, after)) = (at_stage(then), at_stage(Stage::Move));
            for place in [Place::New, Place::Php] {
                for call in 1.. {
                    let visitor = Visitor::with_id(application, length, &number(1));
                    broken.begins(&visitor, begun).await;
                    let called = after.called;
                    let held = format!("{does:?} at {first:?} held at call {call} of {place:?}");
                    let at = format!("{called}: {begun:?}, {held}, {other:?} at {then:?}");
                    let pair = Pair { cookie: &visitor.cookie, slow, beside, after, at };
                    if !pair.run(does, other, (place, call)).await {
                        break;
                    }
                }
            }
        }
    };
    tokio::join!(lane(0), lane(1), lane(2), lane(3), lane(4), lane(5), lane(6), lane(7));
}

const LANES: usize = 8;
/// So long the second request may wait for the first one's lock.
const STUCK: Duration = Duration::from_millis(20);

/// Two requests, and who looks afterwards.
struct Pair<'a> {
    cookie: &'a str,
    slow: &'a Slow,
    beside: &'a Instance,
    after: &'a Instance,
    at: String,
}

impl Pair<'_> {
    /// False: the first one asks less often than that.
    async fn run(&self, does: Does, other: Does, (place, call): (Place, u64)) -> bool {
        let gate = Gate::new();
        match place {
            Place::New => self.slow.new.at(call, Fault::Hold(gate.clone())),
            Place::Php => self.slow.php.at(call, Fault::Hold(gate.clone())),
        }
        let first = go(&self.slow.instance, self.cookie, does, "first");
        tokio::pin!(first);
        let early = tokio::select! {
            () = gate.arrived() => None,
            went = &mut first => Some(went),
        };
        let reached = early.is_none();
        let second = go(self.beside, self.cookie, other, "second");
        tokio::pin!(second);
        let (first, second) = match early {
            Some(first) => (first, second.await),
            // Where the first one has the lock, the second waits for it.
            None => match tokio::time::timeout(STUCK, &mut second).await {
                Ok(second) => {
                    gate.open();
                    (first.await, second)
                }
                Err(_) => {
                    gate.open();
                    tokio::join!(first, second)
                }
            },
        };
        self.slow.new.heal();
        self.slow.php.heal();
        self.check(&first, &second).await;
        reached
    }

    async fn check(&self, first: &Went, second: &Went) {
        let at = format!("{}\n{first:?}\n{second:?}", self.at);
        for (went, beside) in [(first, second), (second, first)] {
            if beside.does.takes_the_id() {
                let allowed = [None, Some(ErrorKind::Gone), Some(ErrorKind::Conflict)];
                assert!(allowed.contains(&went.error), "{at}");
            } else {
                assert!(went.did(), "{at}: it is refused, or finds no session");
            }
        }
        let both = [first, second];
        // What was begun anew for who found no session is another one.
        let told = both.iter().filter(|went| went.did()).filter_map(|went| went.told.as_deref());
        let mut ids = vec![self.cookie];
        ids.extend(told);
        ids.sort_unstable();
        ids.dedup();
        let mut live = Vec::new();
        let look = async |session: &Session| {
            let user = session.user().map(|user| user.as_str().to_owned());
            Ok((session.get::<i64>("n")?, user, session.get::<i64>("first")?, session.get::<i64>("second")?))
        };
        for id in ids {
            let (n, user, by_first, by_second) = self.after.serve(id, look).await.unwrap().0;
            if let Some(n) = n {
                live.push((id, n, user, [by_first, by_second]));
            }
        }
        let at = format!("{at}\n{live:?}");
        // Also by an id that is not the session's any more.
        if both.iter().any(|went| went.error.is_none() && went.does == Does::Ends) {
            assert!(live.is_empty(), "{at}: it was logged out");
            return;
        }
        let [(id, n, user, marks)] = live.as_slice() else { panic!("{at}: it is not one session") };
        let renamed =
            both.iter().any(|went| went.did() && matches!(went.does, Does::ChangesId | Does::LogsIn));
        assert_eq!(*id != self.cookie, renamed, "{at}: the old id");
        let adds = both.iter().filter(|went| went.adds()).count();
        assert_eq!(*n, 1 + i64::try_from(adds).unwrap(), "{at}: the number");
        if let (Some(one), Some(other)) = (first.said, second.said)
            && first.adds()
            && second.adds()
        {
            assert_ne!(one, other, "{at}: both say so");
        }
        let logged_in = both.iter().any(|went| went.did() && went.does == Does::LogsIn);
        assert_eq!(user.as_deref(), logged_in.then_some("9"), "{at}: who is logged in");
        for (went, mark) in both.iter().zip(marks) {
            assert_eq!(mark.is_some(), went.did() && went.does == Does::Sets, "{at}: what was set");
        }
    }
}
