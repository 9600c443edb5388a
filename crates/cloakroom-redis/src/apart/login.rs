//! A session becomes a user's, and the cap on how many there may be.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{
    BindUser, Create, Created, Ending, Rename, Renamed, StoreError, StoreErrorKind, Summary,
};
use cloakroom::{OpId, StoreKey, UserId};

use super::index::AT_ONCE;
use super::revoke::{Moved, Target};
use crate::durability::Kept;
use crate::error;
use crate::sessions::Known;
use crate::shared::{Deadline, Shared};
use crate::step::Wanted;
use crate::together;

/// Who is to be left with how many sessions.
struct Cap {
    user: UserId,
    most: NonZeroU32,
}

/// Where a login has put a session, which is the last that makes room.
struct Newcomer {
    key: StoreKey,
    op: OpId,
    marker: Duration,
}

impl Shared {
    /// Stores a new session of a user.
    pub(crate) async fn create_apart(self: Arc<Self>, mut request: Create) -> Result<Created, StoreError> {
        let deadline = self.deadline();
        let cap = take_cap(request.bind.as_mut());
        let _turn = self.turn_for(deadline, cap.as_ref()).await?;
        let wanted = Wanted::new(vec![request.key], Vec::new());
        let told = self
            .step_within(
                deadline,
                wanted,
                |table, now| {
                    let created = protocol::create(table, now, request.clone())?;
                    if matches!(created, Created::Exists) && was_fenced_off(table, &request.key)? {
                        // A revocation came between: it began, and was ended at once.
                        let nothing = &mut Known(vec![(request.key, None)]);
                        return Ok(protocol::create(nothing, now, request.clone()).unwrap_or(created));
                    }
                    Ok(created)
                },
                |made| matches!(made, Created::Created { .. }),
            )
            .await;
        let (created, mut kept) = Kept::apart(told)?;
        let newcomer = Newcomer { key: request.key, op: request.op, marker: request.marker };
        let created = match created {
            Created::Created { snapshot, .. } => {
                let (evicted, ends) = self.make_room(deadline, cap, &newcomer).await?;
                kept = kept.and(ends);
                Created::Created { snapshot, evicted }
            }
            created => created,
        };
        kept.told(created, |created| matches!(created, Created::Created { .. }))
    }

    /// Moves a session to a new key, whosever it is and becomes.
    pub(crate) async fn rename_apart(self: Arc<Self>, mut request: Rename) -> Result<Renamed, StoreError> {
        if self.nodes.cluster().is_some() && request.from.tag() != request.to.tag() {
            let why =
                "keeps a session and what it becomes in one slot: the new key needs the tag of the old one";
            return Err(error::unavailable(&self.place, why));
        }
        let deadline = self.deadline();
        let cap = take_cap(request.bind.as_mut());
        let _turn = self.turn_for(deadline, cap.as_ref()).await?;
        let wanted = Wanted::new(vec![request.from, request.to], Vec::new());
        let told = self
            .step_within(
                deadline,
                wanted,
                |table, now| {
                    let renamed = protocol::rename(table, now, request.clone())?;
                    if matches!(renamed, Renamed::Exists) && was_fenced_off(table, &request.to)? {
                        return Ok(Renamed::Ended(Ending::Revoked));
                    }
                    Ok(renamed)
                },
                |made| matches!(made, Renamed::Renamed { .. }),
            )
            .await;
        let (renamed, mut kept) = Kept::apart(told)?;
        let newcomer = Newcomer { key: request.to, op: request.op, marker: request.marker };
        let renamed = match renamed {
            Renamed::Renamed { snapshot, .. } => {
                let (evicted, ends) = self.make_room(deadline, cap, &newcomer).await?;
                kept = kept.and(ends);
                Renamed::Renamed { snapshot, evicted }
            }
            renamed => renamed,
        };
        kept.told(renamed, |renamed| matches!(renamed, Renamed::Renamed { .. }))
    }

    async fn turn_for(
        self: &Arc<Self>,
        deadline: Deadline,
        cap: Option<&Cap>,
    ) -> Result<Option<super::turn::Turn>, StoreError> {
        match cap {
            Some(cap) => self.turn(deadline, &cap.user).await.map(Some),
            None => Ok(None),
        }
    }

    /// Ends the user's oldest sessions until there are as many as may be, the newcomer among them. Where that fails, the login
    /// was made: asked again, it is recognised, and room is made then.
    async fn make_room(
        self: &Arc<Self>,
        deadline: Deadline,
        cap: Option<Cap>,
        newcomer: &Newcomer,
    ) -> Result<(Vec<Summary>, Kept), StoreError> {
        let Some(Cap { user, most }) = cap else { return Ok((Vec::new(), Kept::AsAsked)) };
        let made = self.end_oldest(deadline, &user, most, newcomer).await;
        made.map_err(|error| StoreError::new(StoreErrorKind::Unknown, error.to_string()))
    }

    async fn end_oldest(
        self: &Arc<Self>,
        deadline: Deadline,
        user: &UserId,
        most: NonZeroU32,
        newcomer: &Newcomer,
    ) -> Result<(Vec<Summary>, Kept), StoreError> {
        let room = usize::try_from(most.get()).unwrap_or(usize::MAX).saturating_sub(1);
        let (mut evicted, mut kept) = (Vec::new(), Kept::AsAsked);
        loop {
            let mut others = self.sessions_of(deadline, user).await?.alive;
            others.retain(|session| session.key != newcomer.key);
            others.truncate(others.len().saturating_sub(room));
            let mut again = false;
            for some in others.chunks(AT_ONCE) {
                let targets: Vec<Target> = some
                    .iter()
                    .map(|session| Target {
                        key: session.key,
                        record: session.record_id,
                        // One that moved meanwhile is found anew, where it is.
                        moved: Moved::Spared,
                        announced: false,
                    })
                    .collect();
                let ending = targets
                    .iter()
                    .map(|target| self.end_one(deadline, user, target, newcomer.op, newcomer.marker));
                for (session, told) in some.iter().zip(together::all(ending).await) {
                    let (ended, end) = told?;
                    kept = kept.and(end);
                    match ended {
                        true => evicted.push(session.clone()),
                        false => again = true,
                    }
                }
            }
            if !again {
                return Ok((evicted, kept));
            }
        }
    }
}

fn take_cap(bind: Option<&mut BindUser>) -> Option<Cap> {
    let bind = bind?;
    bind.cap.take().map(|most| Cap { user: bind.user.clone(), most })
}

/// A revocation has put a marker where nothing was. A key that a login chose at random holds no other.
fn was_fenced_off<T: Table>(table: &mut T, key: &StoreKey) -> Result<bool, T::Error> {
    Ok(matches!(table.get(key)?, Some(Entry::Marker { ending: Ending::Revoked, .. })))
}
