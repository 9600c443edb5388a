//! The commit of nearly every request: of a session that it has read, that nobody has changed since, and that nobody holds.
//!
//! The rules are applied here, to the record that the caller still has, and the server only compares and sets: less than half
//! of what a script takes that applies them itself. What is compared says everything that matters: the version, by which all
//! that comes with it is known, that there is no lease, not even one that has run out, and the times by which reads slide. The
//! session is alive, for Redis removes it at its deadline.
//!
//! Where something else is there, the answer shows it, and it is judged here whether that settles the matter: a conflict, or an
//! end. Where it does not (somebody holds the lease, a crashed holder left one behind, a read has slid the deadline), the
//! script goes on that judges by the server's clock.

use std::convert::Infallible;
use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{Commit, Committed, Snapshot, StoreError};
use cloakroom::{StoreKey, UserId};
use redis::Value;

use crate::durability::{Kept, Write};
use crate::error::{self, Effect};
use crate::invocation::{Evaluated, Invocation};
use crate::layout;
use crate::scripts;
use crate::sessions::Known;
use crate::shared::{Deadline, Shared};

impl Shared {
    /// Commits in this way; `None` where it has to be done by the server's rules.
    pub(crate) async fn replace(
        &self,
        deadline: Deadline,
        request: &Commit,
    ) -> Result<Option<(Committed, Kept)>, StoreError> {
        let known = self.known(self.spot(&request.key)).and_then(|node| node.time.at(deadline.began));
        let Some(now) = known else { return Ok(None) };
        let Some((before, after)) = replacement(request, now) else { return Ok(None) };
        let ends = after.record.deadline();
        let mut script = Invocation::new(&scripts::REPLACE, &[self.names.entry(&request.key)]);
        script.waits(Write::Data).arg(before);
        script.arg(layout::encode(
            &request.key,
            &Entry::Live { record: Arc::clone(&after.record), lease: None },
        ));
        match self.given() {
            // The server's own time is another one: what is left is told, not until when.
            Some(now) => {
                script.arg("PX").number(layout::millis(ends).saturating_sub(layout::millis(now)).max(1))
            }
            None => script.arg("PXAT").number(layout::millis(ends)),
        };
        let Evaluated { told, kept } = self.evaluate(deadline, Effect::Writes, &script).await?;
        let committed = match told.value {
            Value::Int(1) => Some(Committed::Committed(after)),
            Value::Nil => self.judge(request, None, told.by.time.estimate().unwrap_or(now))?,
            Value::BulkString(there) => {
                let entry = self.decode(&request.key, &there)?;
                self.judge(request, Some(entry), told.by.time.estimate().unwrap_or(now))?
            }
            _ => return Err(error::strange(&self.place, Effect::Writes)),
        };
        Ok(committed.map(|committed| (committed, kept)))
    }

    /// What is there instead, and what that means for the commit; `None` where it takes the server's clock to tell.
    fn judge(
        &self,
        request: &Commit,
        there: Option<Entry>,
        now: Timestamp,
    ) -> Result<Option<Committed>, StoreError> {
        let mut known = Known(vec![(request.key, there)]);
        Ok(match protocol::commit(&mut known, now, request.clone()) {
            Ok(Committed::Locked { .. } | Committed::LeaseLost) | Err(_) => None,
            Ok(settled) => Some(settled),
        })
    }
}

/// The first bytes of what is replaced, and the record that takes its place; `None` where the caller does not know enough.
fn replacement(request: &Commit, now: Timestamp) -> Option<(Vec<u8>, Snapshot)> {
    let base = request.base.as_ref().filter(|base| base.version == request.expected)?;
    if request.lease.is_some() {
        return None;
    }
    let mut only = Only(request.key, Some(Entry::Live { record: Arc::clone(base), lease: None }));
    let Ok(Committed::Committed(after)) = protocol::commit(&mut only, now, request.clone()) else {
        return None;
    };
    Some((layout::beginning(base), after))
}

/// A table of one entry.
struct Only(StoreKey, Option<Entry>);

impl Table for Only {
    type Error = Infallible;

    fn get(&mut self, key: &StoreKey) -> Result<Option<Entry>, Infallible> {
        Ok(self.1.as_ref().filter(|_| self.0 == *key).cloned())
    }

    fn put(&mut self, _: &StoreKey, entry: Entry) -> Result<(), Infallible> {
        self.1 = Some(entry);
        Ok(())
    }

    fn keys_of(&mut self, _: &UserId) -> Result<Vec<StoreKey>, Infallible> {
        Ok(Vec::new())
    }
}
