//! A request while a session moves, held or failing at any call of either place, and what is there afterwards.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom::payload::PayloadBuilder;
use cloakroom::record::Lifetime;
use cloakroom::store::{Create, Created, Store};
use cloakroom::{ErrorKind, OpId, RecordId, Session, SessionConfig, SessionManager};
use cloakroom_php::layout::Stage;
use cloakroom_testing::fault::{Fault, FaultStore, Gate};

use super::late::Calls;
use super::{Application, Instance, Visitor, config};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Reads,
    Adds,
    Sets,
    Locks,
    ChangesId,
    LogsIn,
    Ends,
}

pub const ALL: [Does; 7] =
    [Does::Reads, Does::Adds, Does::Sets, Does::Locks, Does::ChangesId, Does::LogsIn, Does::Ends];

impl Does {
    /// Whether a request beside it may find its session gone from under its id.
    pub fn takes_the_id(self) -> bool {
        matches!(self, Does::ChangesId | Does::LogsIn | Does::Ends)
    }
}

/// How far the move is when the two begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    Not,
    /// Not, and the id is to be renewed with the next request.
    NotAndDue,
    /// There is a copy.
    Copied,
    /// PHP's place has the mark, and the copy its flag.
    Marked,
    /// It is over.
    Done,
}

/// How a request went.
#[derive(Debug)]
pub struct Went {
    pub does: Does,
    /// The number that it found: none where it found no session.
    pub saw: Option<i64>,
    /// What it said the number is now.
    pub said: Option<i64>,
    /// The cookie that it set.
    pub told: Option<String>,
    pub error: Option<ErrorKind>,
}

impl Went {
    /// It was done, to the session that both are about.
    pub fn did(&self) -> bool {
        self.error.is_none() && self.saw.is_some()
    }

    pub fn adds(&self) -> bool {
        self.did() && matches!(self.does, Does::Adds | Does::Locks)
    }
}

pub async fn go(instance: &Instance, cookie: &str, does: Does, mark: &str) -> Went {
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

/// What is due is renewed, and not again for an hour.
pub fn renewing(application: &impl Application) -> SessionConfig {
    config(application).renewal(Duration::from_secs(3600), Duration::from_secs(600))
}

/// An instance of which calls of either place can be held.
pub struct Slow {
    pub instance: Instance,
    new: FaultStore,
    php: Calls,
}

impl Slow {
    pub async fn over(application: &impl Application, stage: Stage, new: &Arc<dyn Store>) -> Self {
        let (new, php) = (FaultStore::new(new.clone()), Calls::default());
        let store = application.moving_with(stage, Arc::new(new.clone()), php.clone()).await;
        let sessions = SessionManager::over(store, renewing(application)).unwrap();
        Slow { instance: Instance { called: application.layout().name(), sessions }, new, php }
    }

    /// In place of PHP's session one of ours, which has the same number, and whose id is due.
    async fn begins_anew(&self, visitor: &Visitor<'_, impl Application>) {
        let store = visitor.application.moving(Stage::Prepare, Arc::new(self.new.clone())).await;
        let id = store.conventions().unwrap().ids.hold(visitor.id.as_bytes()).unwrap();
        visitor.php_ends();
        let hour = Duration::from_secs(3600);
        let mut payload = PayloadBuilder::with_capacity(16);
        payload.push("n", b"i:1;");
        let create = Create {
            key: id.key(),
            op: OpId::generate(),
            record_id: RecordId::generate(),
            lifetime: Lifetime { idle: hour, absolute: hour, renewal: Some(Duration::ZERO) },
            bind: None,
            payload: payload.finish(),
            marker: hour,
        };
        assert!(matches!(store.create(create).await.unwrap(), Created::Created { .. }));
    }

    /// Begins a move and breaks off.
    pub async fn begins(&self, visitor: &Visitor<'_, impl Application>, begun: Begun) {
        match begun {
            Begun::Not => return,
            Begun::NotAndDue => return self.begins_anew(visitor).await,
            Begun::Copied => self.new.at(2, Fault::LoseAnswer),
            Begun::Marked => self.new.at(3, Fault::Unavailable),
            Begun::Done => {}
        }
        let opened = self.instance.request(&visitor.cookie).open().await;
        assert_eq!(opened.is_ok(), begun == Begun::Done);
        assert_eq!(visitor.php_has(), begun == Begun::Copied);
    }
}

/// Where a call is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    New,
    Php,
}

impl Slow {
    fn at(&self, place: Place, call: u64, fault: Fault) {
        match place {
            Place::New => self.new.at(call, fault),
            Place::Php => self.php.at(call, fault),
        }
    }

    fn heal(&self) {
        self.new.heal();
        self.php.heal();
    }

    /// A request that is held at a call while something else is done; whether it came so far.
    pub async fn held<T>(
        &self,
        cookie: &str,
        does: Does,
        (place, call): (Place, u64),
        meanwhile: impl Future<Output = T>,
    ) -> (Went, T, bool) {
        let gate = Gate::new();
        self.at(place, call, Fault::Hold(gate.clone()));
        let (first, meanwhile) = (go(&self.instance, cookie, does, FIRST), meanwhile);
        tokio::pin!(first, meanwhile);
        let early = tokio::select! {
            () = gate.arrived() => None,
            went = &mut first => Some(went),
        };
        let (first, done, reached) = match early {
            Some(first) => (first, meanwhile.await, false),
            // Where the first one has the lock, what is done meanwhile waits for it.
            None => match tokio::time::timeout(STUCK, &mut meanwhile).await {
                Ok(done) => {
                    gate.open();
                    (first.await, done, true)
                }
                Err(_) => {
                    gate.open();
                    let (first, done) = tokio::join!(first, meanwhile);
                    (first, done, true)
                }
            },
        };
        self.heal();
        (first, done, reached)
    }

    /// A request of which a call fails; whether it came so far.
    pub async fn fails(
        &self,
        cookie: &str,
        does: Does,
        (place, call): (Place, u64),
        fault: Fault,
    ) -> (Went, bool) {
        let before = self.new.injected().len();
        self.at(place, call, fault);
        let went = go(&self.instance, cookie, does, FIRST).await;
        let reached = match place {
            Place::New => self.new.injected().len() > before,
            Place::Php => !self.php.is_due(),
        };
        self.heal();
        (went, reached)
    }
}

/// What the first request sets, and the second.
pub const FIRST: &str = "first";
pub const SECOND: &str = "second";
/// So long what is done meanwhile may wait for the first one's lock. On a busy machine others are given up as well: those cases are two
/// requests at the same time, and no more.
const STUCK: Duration = Duration::from_millis(20);

/// The session under an id.
#[derive(Debug, PartialEq, Eq)]
pub struct Live {
    pub id: String,
    pub n: i64,
    pub user: Option<String>,
    pub first: bool,
    pub second: bool,
}

impl Live {
    /// Under whichever id.
    pub fn is_as(&self, other: &Self) -> bool {
        (self.n, &self.user, self.first, self.second) == (other.n, &other.user, other.first, other.second)
    }
}

/// The sessions under this cookie, and under those that the requests set, if they are about the same one.
pub async fn live(after: &Instance, cookie: &str, requests: &[&Went]) -> Vec<Live> {
    // What was begun anew for who found no session is another one.
    let told = requests.iter().filter(|went| went.did()).filter_map(|went| went.told.as_deref());
    let mut ids: Vec<&str> = told.chain([cookie]).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut live = Vec::new();
    for id in ids {
        let look = async |session: &Session| {
            let Some(n) = session.get("n")? else { return Ok(None) };
            let user = session.user().map(|user| user.as_str().to_owned());
            let (first, second) =
                (session.get::<i64>(FIRST)?.is_some(), session.get::<i64>(SECOND)?.is_some());
            Ok(Some(Live { id: id.to_owned(), n, user, first, second }))
        };
        live.extend(after.serve(id, look).await.unwrap().0);
    }
    live
}
