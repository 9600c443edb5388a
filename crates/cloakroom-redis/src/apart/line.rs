//! A line of ids: where a session is by now that was under one of them, and its end wherever that is.
//!
//! The way from id to id is gone inside the server, together with what is done at its end. So a session whose id changes all the time
//! is caught up with by one call, however far away the server is from whoever asks.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::record::Record;
use cloakroom::store::protocol::Entry;
use cloakroom::store::{Ending, StoreError};
use cloakroom::{OpId, RecordId, StoreKey, UserId};

use crate::durability::{Kept, Write};
use crate::error::{self, Effect};
use crate::invocation::{Answer, Invocation};
use crate::layout;
use crate::names::{Names, SUFFIX};
use crate::scripts;
use crate::shared::{Deadline, Shared};
use crate::step::MemberChange;

/// Where the way along a line ends, and what is there.
pub(super) struct Reached {
    pub(super) key: StoreKey,
    pub(super) there: There,
    /// Bytes of a session's data.
    pub(super) size: usize,
}

/// What is under an id, to whoever looks for a session.
pub(super) enum There {
    Alive(Arc<Record>),
    Moved(StoreKey),
    /// It was revoked, by this operation.
    Revoked(OpId),
    Nothing,
    /// It has come to an end otherwise.
    Ended,
}

impl There {
    pub(super) fn of(entry: Option<Entry>, now: Timestamp) -> Self {
        match entry {
            Some(Entry::Live { record, .. }) if !record.is_expired(now) => There::Alive(record),
            Some(Entry::Alias { successor, .. }) => There::Moved(successor),
            Some(Entry::Marker { ending: Ending::Moved { to, .. }, .. }) => There::Moved(to),
            Some(Entry::Marker { ending: Ending::Revoked, op, .. }) => There::Revoked(op),
            Some(_) => There::Ended,
            None => There::Nothing,
        }
    }
}

/// Which session is to be ended, and how that is remembered.
pub(super) struct End<'a> {
    pub(super) user: &'a UserId,
    pub(super) record: RecordId,
    pub(super) op: OpId,
    pub(super) marker: Duration,
    /// Where nothing is at all, what takes its place for so long.
    pub(super) fence: Option<Duration>,
}

impl Shared {
    /// What is at the end of the line that leads on from a key.
    pub(super) async fn look_along(
        &self,
        deadline: Deadline,
        mut key: StoreKey,
    ) -> Result<Reached, StoreError> {
        loop {
            let mut script = Invocation::new(&scripts::FOLLOW, &[self.names.entry(&key)]);
            script.arg(self.given_time()).arg(self.names.prefix()).arg("y");
            let answer = self.run(deadline, Effect::Reads, &script).await?;
            let reached = self.reached(&answer, Effect::Reads)?;
            match reached.there {
                There::Moved(to) => key = self.goes_on(deadline, to)?,
                _ => return Ok(reached),
            }
        }
    }

    /// Ends a session, if it is this one still and the user's, at the end of the line that leads on from a key, or nowhere but
    /// there. Answers with whether this operation has ended it, and whether that is kept where it is to be.
    pub(super) async fn end_along(
        self: &Arc<Self>,
        deadline: Deadline,
        mut key: StoreKey,
        mut end: End<'_>,
        follows: bool,
    ) -> Result<(bool, Kept), StoreError> {
        loop {
            let mut names = vec![self.names.entry(&key)];
            if self.nodes.cluster().is_none() {
                names.push(self.names.index(end.user));
            }
            let mut script = Invocation::new(&scripts::FOLLOW, &names);
            script.waits(Write::Identity);
            script.arg(self.given_time()).arg(self.names.prefix()).arg(if follows { "y" } else { "" });
            script.arg(end.record.as_bytes()).arg(layout::user_text(end.user)).arg(layout::op_bytes(end.op));
            script.number(layout::life(end.marker));
            match end.fence {
                Some(fence) => script.number(layout::life(fence)),
                None => script.arg(""),
            };
            let answer = self.run(deadline, Effect::Writes, &script).await?;
            if answer.done {
                if self.nodes.cluster().is_some() {
                    let member = answer.rest().to_vec();
                    let gone = MemberChange { user: end.user.clone(), member, until: None, record: None };
                    tokio::spawn(self.clone().tidy(vec![gone]));
                }
                return Ok((true, answer.kept));
            }
            match self.reached(&answer, Effect::Writes)?.there {
                There::Moved(to) if follows => {
                    key = self.goes_on(deadline, to)?;
                    end.fence = None;
                }
                There::Revoked(by) => return Ok((by == end.op, answer.kept)),
                _ => return Ok((false, answer.kept)),
            }
        }
    }

    /// A line is longer than one call goes along it, or goes on elsewhere.
    fn goes_on(&self, deadline: Deadline, to: StoreKey) -> Result<StoreKey, StoreError> {
        match deadline.is_past() {
            true => {
                Err(error::unavailable(&self.place, "holds a line of ids whose end was not reached in time"))
            }
            false => Ok(to),
        }
    }

    fn reached(&self, answer: &Answer, effect: Effect) -> Result<Reached, StoreError> {
        let parts = || {
            let (name, rest) = answer.rest().split_at_checked(SUFFIX)?;
            let (length, head) = rest.split_first_chunk::<8>()?;
            Some((Names::of_member(name)?, u64::from_be_bytes(*length), head))
        };
        let (key, length, head) = parts().ok_or_else(|| error::strange(&self.place, effect))?;
        let entry = (!head.is_empty()).then(|| layout::decode_head(&key, head)).transpose();
        let entry = entry.map_err(|malformed| self.unreadable(&key, malformed))?;
        let size = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(head.len());
        Ok(Reached { key, there: There::of(entry, answer.now), size })
    }
}
