//! The commit of nearly every request: of a session that it has read, that nobody has changed since, and that nobody holds.
//!
//! The rules are applied here, to the record that the caller still has, and the server only compares and sets. Where it has
//! `SET … IFEQ`, that is one command, and it compares all of the session. Else it is a script, which takes the server more than
//! twice as long, and less than half as long as one that applies the rules itself. The key keeps its expiry where the write slides no
//! deadline. What the script compares says everything that matters:
//! the version, by which all that comes with it is known, that there is no lease, not even one that has run out, and the times by which
//! reads slide. The session is alive, for Redis removes it at its deadline.
//!
//! Where something else is there, the answer shows it, and it is judged here whether that settles the matter: a conflict, or an
//! end. Where it does not (somebody holds the lease, a crashed holder left one behind, a read has slid the deadline, it is damaged), the
//! script goes on that judges by the server's clock.

use std::convert::Infallible;
use std::sync::Arc;

use cloakroom::clock::Timestamp;
use cloakroom::record::Record;
use cloakroom::store::protocol::{self, Entry, Table};
use cloakroom::store::{Commit, Committed, Snapshot, StoreError};
use cloakroom::{StoreKey, UserId};
use redis::Value;

use crate::asking::Asking;
use crate::durability::{Kept, Write};
use crate::error::{self, Effect};
use crate::invocation::{Evaluated, Invocation};
use crate::layout;
use crate::node::Node;
use crate::packed::Packed;
use crate::scripts;
use crate::sessions::Known;
use crate::shared::{Deadline, Shared, Spot};

/// Bytes of data with which a session is compared as a whole. It travels two more times, to the server and back, where the script takes
/// only a few bytes along: beyond this the network pays more than the server saves.
const MOST_COMPARED: usize = 4 << 10;

/// What became of it.
struct Replaced {
    /// What is there instead.
    instead: Option<Option<Vec<u8>>>,
    by: Arc<Node>,
    kept: Kept,
}

/// When a session ends that takes the place of another one.
enum End {
    /// When that one would have.
    Same,
    /// As an option of `SET` and its number.
    Other(&'static str, u64),
}

/// A session that takes the place of another one.
struct Replacement<'r> {
    key: StoreKey,
    base: &'r Record,
    after: Snapshot,
}

impl Shared {
    /// Commits in this way; `None` where it has to be done by the server's rules.
    pub(crate) async fn replace(
        &self,
        deadline: Deadline,
        request: &Commit,
    ) -> Result<Option<(Committed, Kept)>, StoreError> {
        let spot = self.spot(&request.key);
        let Some(node) = self.known(spot) else { return Ok(None) };
        let Some(now) = node.time.at(deadline.began) else { return Ok(None) };
        let Some(replacement) = Replacement::of(request, now) else { return Ok(None) };
        // A write that is waited for goes over a connection of its own, with more behind it.
        let replaced = match self.waits_for(Write::Data) {
            false => self.replace_at_once(deadline, spot, &replacement, node.sets_if_same()).await?,
            true => None,
        };
        drop(node);
        let Replaced { instead, by, kept } = match replaced {
            Some(replaced) => replaced,
            None => self.replace_by_script(deadline, &replacement).await?,
        };
        let committed = match instead {
            None => Some(Committed::Committed(replacement.after)),
            Some(there) => {
                // Damaged since it was read, where it may still tell which version it is: the script looks only at that.
                let there = there.map(|bytes| self.decode(&request.key, &bytes)).transpose();
                let Ok(there) = there else { return Ok(None) };
                self.judge(request, there, by.time.estimate().unwrap_or(now))?
            }
        };
        Ok(committed.map(|committed| (committed, kept)))
    }

    /// By what is put into bytes once. `None` where the server would not have it; nothing was done then. It may have forgotten the
    /// script, or be another one by now that does not know the words.
    async fn replace_at_once(
        &self,
        deadline: Deadline,
        spot: Spot,
        replacement: &Replacement<'_>,
        sets_if_same: bool,
    ) -> Result<Option<Replaced>, StoreError> {
        let name = self.names.entry(&replacement.key);
        let after = replacement.encoded();
        let small = |record: &Record| record.payload.len() <= MOST_COMPARED;
        let all = sets_if_same && small(replacement.base) && small(&replacement.after.record);
        let before = match all {
            true => layout::unheld(&replacement.key, replacement.base),
            false => layout::beginning(replacement.base),
        };
        let ends = self.end_of(replacement);
        let words = match (all, &ends) {
            (true, End::Same) => 7,
            (true, End::Other(..)) => 8,
            (false, End::Same) => 6,
            (false, End::Other(..)) => 8,
        };
        let mut command = Packed::new(words, name.len() + before.len() + after.len() + 64);
        match all {
            true => command
                .word(b"SET")
                .word(name.as_bytes())
                .word(&after)
                .word(b"IFEQ")
                .word(&before)
                .word(b"GET"),
            false => command
                .word(b"EVALSHA")
                .word(scripts::REPLACE.sha.as_bytes())
                .word(b"1")
                .word(name.as_bytes())
                .word(&before)
                .word(&after),
        };
        match ends {
            End::Other(option, ends) => _ = command.word(option.as_bytes()).number(ends),
            // The script needs no word for it.
            End::Same if all => _ = command.word(b"KEEPTTL"),
            End::Same => {}
        }
        let told = self.ask(deadline, Effect::Writes, spot, &Asking::Packed(command.as_bytes())).await?;
        let instead = match told.value {
            Value::ServerError(_) => return Ok(None),
            Value::Int(1) => None,
            // Of all that was there before, in either case.
            Value::BulkString(there) if all && there == before => None,
            Value::BulkString(there) => Some(Some(there)),
            Value::Nil => Some(None),
            _ => return Err(error::strange(&self.place, Effect::Writes)),
        };
        Ok(Some(Replaced { instead, by: told.by, kept: Kept::AsAsked }))
    }

    async fn replace_by_script(
        &self,
        deadline: Deadline,
        replacement: &Replacement<'_>,
    ) -> Result<Replaced, StoreError> {
        let mut script = Invocation::new(&scripts::REPLACE, &[self.names.entry(&replacement.key)]);
        script.waits(Write::Data).arg(layout::beginning(replacement.base)).arg(replacement.encoded());
        if let End::Other(option, ends) = self.end_of(replacement) {
            script.arg(option).number(ends);
        }
        let Evaluated { told, kept } = self.evaluate(deadline, Effect::Writes, &script).await?;
        let instead = match told.value {
            Value::Int(1) => None,
            Value::BulkString(there) => Some(Some(there)),
            Value::Nil => Some(None),
            _ => return Err(error::strange(&self.place, Effect::Writes)),
        };
        Ok(Replaced { instead, by: told.by, kept })
    }

    fn end_of(&self, replacement: &Replacement<'_>) -> End {
        let deadline = replacement.after.record.deadline();
        // The key has the expiry that goes with the record that is replaced, for that is what is compared.
        if deadline == replacement.base.deadline() {
            return End::Same;
        }
        let ends = layout::millis(deadline);
        match self.given() {
            // The server's own time is another one: what is left is told, not until when.
            Some(now) => End::Other("PX", ends.saturating_sub(layout::millis(now)).max(1)),
            None => End::Other("PXAT", ends),
        }
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

impl<'r> Replacement<'r> {
    /// What is replaced by what; `None` where the caller does not know enough.
    fn of(request: &'r Commit, now: Timestamp) -> Option<Self> {
        let base = request.base.as_ref().filter(|base| base.version == request.expected)?;
        if request.lease.is_some() {
            return None;
        }
        let mut only = Only(request.key, Some(Entry::Live { record: Arc::clone(base), lease: None }));
        let Ok(Committed::Committed(after)) = protocol::commit(&mut only, now, request.clone()) else {
            return None;
        };
        Some(Replacement { key: request.key, base, after })
    }

    fn encoded(&self) -> Vec<u8> {
        layout::unheld(&self.key, &self.after.record)
    }
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
