//! What concerns several entries at once: changes of id, everything about a user's sessions.
//!
//! The rules of [`protocol`] are run here, over entries as the server told them, and what they would write is sent along
//! with all that was read. One script applies it if every entry still holds exactly those bytes, every index those
//! members, and no time that the decision rests on has come; else it changes nothing and answers with how things are,
//! and the rules are run again over that. So a step is atomic although it is decided here, and it is two round trips long
//! where nobody else is at the same sessions.
//!
//! Not everything has to be the same. Where a session is ended, or was only counted among its user's, what counts is
//! that it is still there, alive and the same user's: it may be written and touched meanwhile. So a revocation comes through
//! however busy a session is. What is told of a session that was ended is how it was when that was decided.
//!
//! How many sessions a user has, and how much is in them, is up to the user. So of those that a step finds in an index it reads
//! only the heads; where there are more than a step is over, or others come between all the time, the rules are told so
//! ([`Drafts::is_crowded`], [`Drafts::is_contended`]) and it is done session by session instead: see `apart`.
//!
//! The entries of one line are in one slot of a cluster, and so in one step. A user's index lies apart there: see `apart`.

mod changes;
mod picture;
mod script;

use std::sync::Arc;
use std::time::Duration;

use cloakroom::clock::Timestamp;
use cloakroom::store::{StoreError, StoreErrorKind};
use cloakroom::{StoreKey, UserId};
use rand::RngExt;

use self::changes::Changes;
pub(crate) use self::changes::MemberChange;
pub(crate) use self::picture::Drafts;
use self::picture::{Held, Picture};
use crate::durability::{Kept, Write};
use crate::error;
use crate::layout::Malformed;
use crate::shared::{Deadline, Shared};

/// Tries in a row before the next one waits a little, so that of many who are at the same index one gets through.
const EAGER: u32 = 3;
/// Rounds in which a step may ask for more to read: a long line of successors is followed one by one.
const ROUNDS: u32 = 64;

/// What a step needs to look at.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) keys: Vec<StoreKey>,
    pub(crate) users: Vec<UserId>,
}

impl Wanted {
    pub(crate) fn new(keys: Vec<StoreKey>, users: Vec<UserId>) -> Self {
        Wanted { keys, users }
    }
}

/// Why the rules stopped before they had an answer.
pub(crate) enum Stop {
    /// They looked for an entry that was not read.
    Entry(StoreKey),
    /// Or for an index.
    Index(UserId),
    /// What they looked at cannot be read.
    Malformed(StoreKey, Malformed),
}

impl Shared {
    /// Runs a step of the rules: reads what it looks at, decides, and applies what it decided, again and again until nothing
    /// came between.
    pub(crate) async fn step<A: Send + Sync + 'static>(
        self: &Arc<Self>,
        wanted: Wanted,
        rules: impl Fn(&mut Drafts<'_>, Timestamp) -> Result<A, Stop>,
        made: impl Fn(&A) -> bool,
    ) -> Result<A, StoreError> {
        self.step_within(self.deadline(), wanted, rules, made).await
    }

    /// The same, as a part of something.
    pub(crate) async fn step_within<A: Send + Sync + 'static>(
        self: &Arc<Self>,
        deadline: Deadline,
        mut wanted: Wanted,
        rules: impl Fn(&mut Drafts<'_>, Timestamp) -> Result<A, Stop>,
        made: impl Fn(&A) -> bool,
    ) -> Result<A, StoreError> {
        let (mut picture, _) = self.look(deadline, &wanted, None).await?;
        let (mut tries, mut rounds) = (0, 0);
        // Whether what the picture shows is kept where it is to be; unknown unless that was waited for.
        let mut shown: Option<Kept> = None;
        loop {
            let mut drafts = Drafts::over(&picture, tries > EAGER);
            let decided = rules(&mut drafts, picture.now);
            let puts = drafts.puts;
            let more = match decided {
                Ok(answer) => {
                    let mut changes = Changes::of(&picture, puts);
                    if changes.is_empty() && made(&answer) && self.waits_for(Write::Identity) {
                        // It was made before: by whoever asks again now, because it was not waited for to its end.
                        if let Some(kept) = shown {
                            return kept.told(answer, made);
                        }
                        let (picture_now, kept) = self.look(deadline, &wanted, Some(Write::Identity)).await?;
                        let kept = kept.and(self.announced_before(deadline, &picture_now).await?);
                        (picture, shown) = (picture_now, Some(kept));
                        continue;
                    }
                    if changes.is_empty() {
                        return Ok(answer);
                    }
                    shown = None;
                    let (elsewhere, announced) =
                        self.change_indexes_elsewhere(deadline, &mut changes).await?;
                    match self.apply(deadline, &wanted, &picture, &changes).await? {
                        (None, kept) => {
                            if !elsewhere.is_empty() {
                                tokio::spawn(self.clone().tidy(elsewhere));
                            }
                            return kept.and(announced).told(answer, made);
                        }
                        (Some(now_so), _) => picture = now_so,
                    }
                    tries += 1;
                    if tries > EAGER {
                        let pause = rand::rng().random_range(0..200 * u64::from(tries.min(50)));
                        tokio::time::sleep(Duration::from_micros(pause)).await;
                    }
                    if deadline.is_past() {
                        let why = "is asked for the same sessions by too many at once; nothing was done";
                        return Err(error::unavailable(&self.place, why));
                    }
                    // The fresh picture shows what was known before; it may take more now.
                    picture.missing(&wanted)
                }
                Err(Stop::Entry(key)) => Wanted::new(vec![key], Vec::new()),
                Err(Stop::Index(user)) => Wanted::new(Vec::new(), vec![user]),
                Err(Stop::Malformed(key, malformed)) => return Err(self.unreadable(&key, malformed)),
            };
            if more.keys.is_empty() && more.users.is_empty() {
                continue;
            }
            rounds += 1;
            if rounds > ROUNDS {
                return Err(error::unavailable(&self.place, "holds a line of sessions without an end"));
            }
            // All of it anew: what is decided on has to be of one moment.
            for key in more.keys {
                if !wanted.keys.contains(&key) {
                    wanted.keys.push(key);
                }
            }
            for user in more.users {
                if !wanted.users.contains(&user) {
                    wanted.users.push(user);
                }
            }
            shown = None;
            (picture, _) = self.look(deadline, &wanted, None).await?;
        }
    }

    /// A user's index is in another slot of a cluster than the user's sessions: it is told before the step what is to come, and
    /// after it what became of that. Takes that out of the step.
    async fn change_indexes_elsewhere(
        &self,
        deadline: Deadline,
        changes: &mut Changes,
    ) -> Result<(Vec<MemberChange>, Kept), StoreError> {
        let mut kept = Kept::AsAsked;
        if self.nodes.cluster().is_none() {
            return Ok((Vec::new(), kept));
        }
        let elsewhere = std::mem::take(&mut changes.members);
        for change in &elsewhere {
            if change.until.is_some() {
                kept = kept.and(self.announce(deadline, change).await?);
                changes.announced = true;
            }
        }
        Ok((elsewhere, kept))
    }

    /// Of sessions that were made before: whether they are in their users' indexes where these are to be kept, in a cluster.
    async fn announced_before(&self, deadline: Deadline, picture: &Picture) -> Result<Kept, StoreError> {
        let mut kept = Kept::AsAsked;
        if self.nodes.cluster().is_some() {
            for user in picture.entries.values().filter_map(Held::user) {
                kept = kept.and(self.kept_before(deadline, self.names.index(user)).await?);
            }
        }
        Ok(kept)
    }

    /// Drops members of a user's index whose session is gone; there is no harm in its not being done.
    pub(crate) async fn heal(self: Arc<Self>, user: UserId) {
        let deadline = self.deadline();
        let wanted = Wanted::new(Vec::new(), vec![user]);
        let Ok((picture, _)) = self.look(deadline, &wanted, None).await else { return };
        let changes = Changes::of(&picture, Vec::new());
        if !changes.members.is_empty() {
            let _ = self.apply(deadline, &wanted, &picture, &changes).await;
        }
    }

    /// Runs a step that only looks. Answers with whether an index was seen that names sessions which are gone.
    pub(crate) async fn inspect<A>(
        &self,
        wanted: Wanted,
        rules: impl Fn(&mut Drafts<'_>, Timestamp) -> Result<A, Stop>,
    ) -> Result<(A, bool), StoreError> {
        let (picture, _) = self.look(self.deadline(), &wanted, None).await?;
        let mut drafts = Drafts::over(&picture, false);
        match rules(&mut drafts, picture.now) {
            Ok(answer) => Ok((answer, !Changes::of(&picture, Vec::new()).members.is_empty())),
            Err(_) => Err(StoreError::new(
                StoreErrorKind::Unavailable,
                format!("{} was not asked for all that an answer takes", self.place),
            )),
        }
    }
}
