//! Ending a user's sessions.
//!
//! Which ones is written down first, with the receipt, beside the index: executed again, the same sessions are ended, and a login
//! since then is not. Each is ended by a step of its own. When all are, the plan is removed, and what is left is the receipt.

use std::sync::Arc;
use std::time::Duration;

use cloakroom::store::protocol::{Entry, RECEIPT_SESSIONS};
use cloakroom::store::{EndCause, Ended, Revoke, RevokeWhich, Revoked, StoreError, StoreErrorKind, Summary};
use cloakroom::{OpId, RecordId, StoreKey, UserId};
use redis::{Pipeline, Value};

use super::index::{AT_ONCE, COMMITTED};
use super::line::End;
use crate::durability::{Kept, Write};
use crate::error::{self, Effect};
use crate::invocation::Invocation;
use crate::layout;
use crate::scripts;
use crate::shared::{Deadline, Shared, Spot};
use crate::together;

/// A target in a plan: key, record, and whether it was announced only.
const TARGET: usize = StoreKey::LEN + 16 + 1;

/// A session that is to be ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) key: StoreKey,
    pub(super) record: RecordId,
    pub(super) moved: Moved,
    /// It was not there yet: if it still is not, its place is taken.
    pub(super) announced: bool,
}

/// What becomes of a session that has got another id meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moved {
    Followed,
    Spared,
}

impl Target {
    fn write(&self, plan: &mut Vec<u8>) {
        plan.extend(self.key.as_bytes());
        plan.extend(self.record.as_bytes());
        plan.push(u8::from(self.announced));
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<{ StoreKey::LEN }>()?;
        let (record, rest) = rest.split_first_chunk::<16>()?;
        let [announced] = rest else { return None };
        Some(Target {
            key: StoreKey::from_bytes(*key),
            record: RecordId::from_bytes(*record),
            moved: Moved::Followed,
            announced: *announced == 1,
        })
    }
}

impl Shared {
    /// The live sessions of a user.
    pub(crate) async fn list_apart(self: Arc<Self>, user: UserId) -> Result<Vec<Summary>, StoreError> {
        Ok(self.sessions_of(self.deadline(), &user).await?.alive)
    }

    pub(crate) async fn revoke_apart(self: Arc<Self>, request: Revoke) -> Result<Revoked, StoreError> {
        let deadline = self.deadline();
        let receipt = StoreKey::of_receipt(&request.user, request.op);
        let (told, targets, mut kept) = match self.planned(deadline, &receipt).await? {
            Some((told, targets)) => {
                let kept = self.kept_before(deadline, self.names.entry(&receipt)).await?;
                (told, targets, kept)
            }
            None => self.plan(deadline, &request, &receipt).await?,
        };
        for some in targets.chunks(AT_ONCE) {
            let ending = some
                .iter()
                .map(|target| self.end_one(deadline, &request.user, target, request.op, request.marker));
            for ended in together::all(ending).await {
                // What was not ended yet is, when this is asked again.
                let ended =
                    ended.map_err(|error| StoreError::new(StoreErrorKind::Unknown, error.to_string()));
                kept = kept.and(ended?.1);
            }
        }
        // Asked again, each of them is waited for anew.
        if !targets.is_empty() && matches!(kept, Kept::AsAsked) {
            let plan = self.names.plan(&receipt);
            let mut done = redis::cmd("PEXPIRE");
            done.arg(&plan).arg(0);
            // Where it stays it goes by itself, and repeating it does nothing.
            let _ = self.read(deadline, Spot::of(&plan), &done).await;
        }
        kept.told(told, |_| true)
    }

    /// What was written down by this very revocation: its answer, and what it may not have ended yet.
    async fn planned(
        &self,
        deadline: Deadline,
        receipt: &StoreKey,
    ) -> Result<Option<(Revoked, Vec<Target>)>, StoreError> {
        let strange = || error::strange(&self.place, Effect::Reads);
        let name = self.names.entry(receipt);
        let mut reading = Pipeline::with_capacity(2);
        reading.cmd("GET").arg(&name);
        reading.cmd("GET").arg(self.names.plan(receipt));
        let mut answers = self.read_all(deadline, Spot::of(&name), &reading).await?.value.into_iter();
        let told = match answers.next() {
            Some(Value::Nil) => return Ok(None),
            Some(Value::BulkString(bytes)) => match self.decode(receipt, &bytes)? {
                Entry::Receipt { count, ended, .. } => Revoked { count, ended: ended.to_vec() },
                _ => return Err(strange()),
            },
            _ => return Err(strange()),
        };
        let targets = match answers.next() {
            Some(Value::BulkString(plan)) => plan.chunks(TARGET).filter_map(Target::read).collect(),
            _ => Vec::new(),
        };
        Ok(Some((told, targets)))
    }

    async fn plan(
        self: &Arc<Self>,
        deadline: Deadline,
        request: &Revoke,
        receipt: &StoreKey,
    ) -> Result<(Revoked, Vec<Target>, Kept), StoreError> {
        let sessions = self.sessions_of(deadline, &request.user).await?;
        let chosen = |record: RecordId| match request.which {
            RevokeWhich::One(id) => record == id,
            RevokeWhich::Others(id) => record != id,
            RevokeWhich::All => true,
        };
        let ended: Vec<Summary> =
            sessions.alive.into_iter().filter(|session| chosen(session.record_id)).collect();
        let there = ended.iter().map(|session| (session.key, session.record_id, false));
        let coming = sessions.announced.iter().filter(|(_, record)| chosen(*record));
        let coming = coming.map(|(key, record)| (*key, *record, true));
        let targets: Vec<Target> = there
            .chain(coming)
            .map(|(key, record, announced)| Target { key, record, moved: Moved::Followed, announced })
            .collect();
        let mut plan = Vec::with_capacity(targets.len() * TARGET);
        targets.iter().for_each(|target| target.write(&mut plan));
        let entry = Entry::Receipt {
            count: ended.len(),
            ended: ended.iter().take(RECEIPT_SESSIONS).cloned().collect(),
            until: sessions.now.after(request.marker),
        };
        let names = [self.names.entry(receipt), self.names.plan(receipt)];
        let mut script = Invocation::new(&scripts::PLAN, &names);
        script.waits(Write::Identity);
        script.arg(self.given_time()).arg(layout::encode(receipt, &entry)).arg(plan);
        script.number(layout::life(request.marker));
        let planned = self.run(deadline, Effect::Writes, &script).await?;
        if planned.done {
            return Ok((Revoked::all(ended), targets, planned.kept));
        }
        // The same revocation, executed twice at once: what the other one wrote down counts.
        let kept = planned.kept;
        let planned = self.planned(deadline, receipt).await?;
        let planned = planned.map(|(told, targets)| (told, targets, kept));
        planned.ok_or_else(|| error::strange(&self.place, Effect::Writes))
    }

    /// Ends one of them, if it is this one still and the user's. Answers with whether this operation has ended it, and whether
    /// that is kept where it is to be.
    pub(super) async fn end_one(
        self: &Arc<Self>,
        deadline: Deadline,
        user: &UserId,
        target: &Target,
        op: OpId,
        marker: Duration,
    ) -> Result<(bool, Kept), StoreError> {
        // In the way of the login for as long as that may be made.
        let fence = target.announced.then(|| marker.max(COMMITTED));
        let end = End { op, cause: EndCause::Revoked, marker, only: Some((user, target.record)), fence };
        let follows = target.moved == Moved::Followed;
        let (ended, kept) = self.end_along(deadline, target.key, end, follows).await?;
        Ok((matches!(ended, Ended::Ended(_)), kept))
    }
}
