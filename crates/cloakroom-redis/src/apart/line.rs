//! A line of ids: where a session is by now that was under one of them, and its end wherever that is.
//!
//! The way from id to id is gone inside the server, together with what is done at its end. So a session whose id changes all the time
//! is caught up with by one call, however far away the server is from whoever asks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::record::Record;
use cloakroom::store::protocol::Entry;
use cloakroom::store::{self, EndCause, Ended, Ending, StoreError, Summary};
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
    /// It was ended by this operation.
    Ended(OpId),
    Nothing,
}

impl There {
    fn of(entry: Option<Entry>, now: Timestamp) -> Self {
        match entry {
            Some(Entry::Live { record, .. }) if !record.is_expired(now) => There::Alive(record),
            Some(Entry::Alias { successor: to, until, .. }) if now < until => There::Moved(to),
            Some(Entry::Marker { ending: Ending::Moved { to, .. }, until, .. }) if now < until => {
                There::Moved(to)
            }
            Some(Entry::Marker { op, until, .. }) if now < until => There::Ended(op),
            _ => There::Nothing,
        }
    }
}

/// How a session is to be ended, and how that is remembered.
pub(super) struct End<'a> {
    pub(super) op: OpId,
    pub(super) cause: EndCause,
    pub(super) marker: Duration,
    /// Only this one, and only while it is the user's; any otherwise.
    pub(super) only: Option<(&'a UserId, RecordId)>,
    /// Where nothing is at all, what takes its place for so long.
    pub(super) fence: Option<Duration>,
}

impl Shared {
    /// Ends whatever session there is at the end of a line.
    pub(crate) async fn end(self: Arc<Self>, request: store::End) -> Result<Ended, StoreError> {
        let store::End { key, op, cause, marker } = request;
        let end = End { op, cause, marker, only: None, fence: None };
        let (ended, kept) = self.end_along(self.deadline(), key, end, true).await?;
        kept.told(ended, |ended| matches!(ended, Ended::Ended(_)))
    }

    /// What is at the end of the line that leads on from a key.
    pub(super) async fn look_along(
        &self,
        deadline: Deadline,
        mut key: StoreKey,
    ) -> Result<Reached, StoreError> {
        let mut way = Way::default();
        loop {
            let mut script = Invocation::new(&scripts::FOLLOW, &[self.names.entry(&key)]);
            script.arg(self.given_time()).arg(self.names.prefix()).arg("y");
            let answer = self.run(deadline, Effect::Reads, &script).await?;
            let reached = self.reached(&answer, Effect::Reads)?;
            match reached.there {
                There::Moved(to) if way.leads_on(to) => key = self.goes_on(deadline, to)?,
                _ => return Ok(reached),
            }
        }
    }

    /// Ends a session at the end of the line that leads on from a key, or nowhere but there; and tells whether that is kept where it
    /// is to be.
    pub(super) async fn end_along(
        self: &Arc<Self>,
        deadline: Deadline,
        mut key: StoreKey,
        mut end: End<'_>,
        follows: bool,
    ) -> Result<(Ended, Kept), StoreError> {
        let mut way = Way::default();
        loop {
            let answer = self.run(deadline, Effect::Writes, &self.ending(&key, &end, follows)).await?;
            let reached = self.reached(&answer, Effect::Writes)?;
            let ended = match reached.there {
                There::Alive(record) if answer.done => {
                    self.tidied(&end, &reached.key, &record);
                    Ended::Ended(Some(Summary { size: reached.size, ..Summary::of(reached.key, &record) }))
                }
                There::Moved(to) if follows && way.leads_on(to) => {
                    key = self.goes_on(deadline, to)?;
                    end.fence = None;
                    continue;
                }
                There::Ended(by) if by == end.op => Ended::Ended(None),
                _ => Ended::NotLive,
            };
            return Ok((ended, answer.kept));
        }
    }

    fn ending(&self, key: &StoreKey, end: &End<'_>, follows: bool) -> Invocation {
        let mut names = vec![self.names.entry(key)];
        if let Some((user, _)) = end.only
            && self.nodes.cluster().is_none()
        {
            names.push(self.names.index(user));
        }
        let mut script = Invocation::new(&scripts::FOLLOW, &names);
        script.waits(Write::Identity);
        script.arg(self.given_time()).arg(self.names.prefix()).arg(if follows { "y" } else { "" });
        script.arg(layout::end_of(end.cause, end.op)).number(layout::life(end.marker));
        match end.only {
            Some((user, record)) => script.arg(record.as_bytes()).arg(layout::user_text(user)),
            None => script.arg("").arg(""),
        };
        match end.fence {
            Some(fence) => script.number(layout::life(fence)),
            None => script.arg(""),
        };
        script
    }

    /// The script takes a session out of its user's index where it knows that and has it; otherwise it is done after it, and nobody
    /// waits for that.
    fn tidied(self: &Arc<Self>, end: &End<'_>, key: &StoreKey, record: &Record) {
        let by_the_script = end.only.is_some() && self.nodes.cluster().is_none();
        if let Some(user) = record.user.clone()
            && !by_the_script
        {
            let member = Names::member(key).into_bytes();
            tokio::spawn(self.clone().tidy(vec![MemberChange { user, member, until: None, record: None }]));
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

/// The ids from which a line was asked for. Nothing makes a circle of them; damage might.
#[derive(Default)]
struct Way(HashSet<StoreKey>);

impl Way {
    fn leads_on(&mut self, to: StoreKey) -> bool {
        self.0.insert(to)
    }
}
