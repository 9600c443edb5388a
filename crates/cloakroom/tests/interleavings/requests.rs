//! Requests on one session, and the plain sequential session that must be able to explain them.

use std::collections::BTreeMap;
use std::time::Duration;

use cloakroom::{Candidate, ErrorKind, SessionError, SessionHandle, SessionManager};
use cloakroom_testing::ManualClock;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    /// Reads a key.
    Get(&'static str),
    /// `update`: adds one.
    Incr(&'static str),
    /// `get`, then buffered `set` of one more.
    Count(&'static str),
    /// Buffered `set`, nothing read.
    Set(&'static str, i64),
    /// `put`.
    Put(&'static str, i64),
    /// Buffered `remove`.
    Remove(&'static str),
    /// Buffered `clear`.
    Clear,
    /// `lock`, read, write one more, `commit`.
    LockCount(&'static str),
    /// `regenerate`.
    Regenerate,
    /// `login`.
    Login(&'static str),
    /// `destroy`.
    Destroy,
    /// An administrator ends the session.
    Revoke,
    /// Not a request: the idle deadline passes.
    Expire,
}

impl Does {
    /// The key that it writes, whatever else it does.
    fn writes(self) -> Option<&'static str> {
        match self {
            Does::Incr(key) | Does::Count(key) | Does::LockCount(key) | Does::Remove(key) => Some(key),
            Does::Set(key, _) | Does::Put(key, _) => Some(key),
            _ => None,
        }
    }

    /// Whether it may be refused as in conflict with some of these, which took effect.
    pub fn may_conflict_with(self, done: &[Does]) -> bool {
        let cut = |done: &Does| matches!(done, Does::Clear | Does::Login(_));
        let moved = || done.iter().any(|done| matches!(done, Does::Regenerate));
        let wrote = |key| done.iter().any(|done| done.writes() == Some(key));
        match self {
            // What was read and then written.
            Does::Count(key) => done.iter().any(cut) || wrote(key),
            // Blind, and yet not to be planted in what came of the session; nor over what its successor was told.
            Does::Set(key, _) | Does::Remove(key) => done.iter().any(cut) || (moved() && wrote(key)),
            Does::Clear => {
                done.iter().any(cut) || (moved() && done.iter().any(|done| done.writes().is_some()))
            }
            // They wait, look again, or write nothing.
            Does::Incr(_) | Does::Put(..) | Does::LockCount(_) | Does::Get(_) => false,
            Does::Regenerate | Does::Login(_) | Does::Destroy | Does::Revoke | Does::Expire => false,
        }
    }
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub does: Does,
    /// The value read or computed; what was refused is told by its kind.
    pub result: Result<Option<i64>, ErrorKind>,
    /// The session was not there (any more) when the request opened it.
    pub anonymous: bool,
    /// The cookie the response set: an id, or the empty text for a deletion.
    pub cookie: Option<String>,
}

/// Runs one request: open, work, close.
pub async fn request(manager: SessionManager, clock: ManualClock, id: Option<String>, does: Does) -> Answer {
    if does == Does::Expire {
        // Some call of the store's, so that the moment is one of the explored steps.
        manager.list_user("nobody").await.unwrap();
        clock.advance(Duration::from_secs(24 * 3600));
        return Answer { does, result: Ok(None), anonymous: false, cookie: None };
    }
    let mut head = http::Request::builder().uri("/");
    if let Some(id) = &id {
        head = head.header("cookie", format!("__Host-id={id}"));
    }
    let handle = manager.open(&head.body(()).unwrap(), None);
    let mut response = http::Response::new(());
    let mut anonymous = false;
    let mut result = work(&manager, &handle, does, id.as_deref(), &mut anonymous).await;
    if result.is_err() {
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    }
    let status = response.status();
    if let cloakroom::Outcome::Failed(error) = manager.close(&handle, status, response.headers_mut()).await {
        result = Err(error);
        let head = response.headers().clone();
        let discarded = cloakroom::Discarded { status, headers: &head };
        *response.headers_mut() =
            manager.replace(&handle, result.as_ref().unwrap_err(), discarded).headers().clone();
    }
    let cookie = response.headers().get("set-cookie").map(|c| {
        let pair = c.to_str().unwrap().split(';').next().unwrap();
        pair.split_once('=').unwrap().1.to_owned()
    });
    Answer { does, result: result.map_err(|e| e.kind()), anonymous, cookie }
}

async fn work(
    manager: &SessionManager,
    handle: &SessionHandle,
    does: Does,
    id: Option<&str>,
    anonymous: &mut bool,
) -> Result<Option<i64>, SessionError> {
    if does == Does::Revoke {
        let key = Candidate::parse(id.unwrap().as_bytes()).unwrap().store_key();
        return manager.revoke_key(key).await.map(|_| None);
    }
    let session = handle.open().await?;
    *anonymous = !session.exists();
    match does {
        Does::Get(key) => session.get(key),
        Does::Incr(key) => session.update(key, |n: Option<i64>| n.unwrap_or(0) + 1).await.map(Some),
        Does::Count(key) => {
            let n = session.get::<i64>(key)?.unwrap_or(0) + 1;
            session.set(key, n)?;
            Ok(Some(n))
        }
        Does::Set(key, n) => session.set(key, n).map(|()| None),
        Does::Put(key, n) => session.put(key, n).await.map(|()| None),
        Does::Remove(key) => session.remove(key).map(|()| None),
        Does::Clear => session.clear().map(|()| None),
        Does::LockCount(key) => {
            let mut guard = session.lock().await?;
            let n = guard.get::<i64>(key)?.unwrap_or(0) + 1;
            guard.set(key, n)?;
            guard.commit().await.map(|()| Some(n))
        }
        Does::Regenerate => session.regenerate().await.map(|()| None),
        Does::Login(user) => session.login(user).await.map(|()| None),
        Does::Destroy => session.destroy().await.map(|()| None),
        Does::Revoke | Does::Expire => Ok(None),
    }
}

/// A session without concurrency.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Plain {
    pub alive: bool,
    pub data: BTreeMap<String, i64>,
    pub user: Option<String>,
}

impl Plain {
    /// What the request would have been answered if it had run alone; `None` when it could not have run at all.
    pub fn apply(&mut self, does: Does) -> Option<Option<i64>> {
        if !self.alive {
            // Ending what has ended is fine; nothing else can have happened here.
            return matches!(does, Does::Destroy | Does::Revoke | Does::Expire).then_some(None);
        }
        let add = |data: &mut BTreeMap<String, i64>, key: &str| {
            let n = data.entry(key.to_owned()).or_insert(0);
            *n += 1;
            Some(*n)
        };
        Some(match does {
            Does::Get(key) => self.data.get(key).copied(),
            Does::Incr(key) | Does::Count(key) | Does::LockCount(key) => add(&mut self.data, key),
            Does::Set(key, n) | Does::Put(key, n) => {
                self.data.insert(key.to_owned(), n);
                None
            }
            Does::Remove(key) => {
                self.data.remove(key);
                None
            }
            Does::Clear => {
                self.data.clear();
                None
            }
            Does::Regenerate => None,
            Does::Login(user) => {
                if self.user.as_deref().is_some_and(|u| u != user) {
                    self.data.clear();
                }
                self.user = Some(user.to_owned());
                None
            }
            Does::Destroy | Does::Revoke | Does::Expire => {
                self.alive = false;
                self.data.clear();
                self.user = None;
                None
            }
        })
    }
}

/// Whether some order of the answered requests, run one after another from `start`, gives these answers and this end.
pub fn explained(start: &Plain, answers: &[&Answer], end: &Plain) -> bool {
    if answers.is_empty() {
        return start == end;
    }
    (0..answers.len()).any(|first| {
        let mut state = start.clone();
        let mut rest = answers.to_vec();
        let answer = rest.remove(first);
        let wanted = answer.result.as_ref().ok();
        state.apply(answer.does).as_ref() == wanted && explained(&state, &rest, end)
    })
}
