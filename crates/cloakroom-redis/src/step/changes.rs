//! What a step decided: what it writes, and what has to be as it was for that.

use cloakroom::clock::Timestamp;
use cloakroom::store::protocol::Entry;
use cloakroom::{RecordId, StoreKey, UserId};

use super::picture::{Held, Picture};
use crate::names::Names;

/// What has to be as it was when the decision is applied.
pub(super) enum Check {
    /// All of the entry.
    Same,
    /// A session has to be alive, and this one.
    Alive(Vec<u8>),
}

/// What a step writes.
pub(super) struct Changes {
    pub(super) puts: Vec<(StoreKey, Entry)>,
    pub(super) members: Vec<MemberChange>,
    /// Sessions that came to an end under their key: whoever waits for their lease is told.
    pub(super) freed: Vec<StoreKey>,
    /// Whether a session becomes a user's that is only announced to be.
    pub(super) announced: bool,
}

/// A session comes into a user's index, until when at the latest, or goes out of it.
pub(crate) struct MemberChange {
    pub(crate) user: UserId,
    pub(crate) member: Vec<u8>,
    pub(crate) until: Option<Timestamp>,
    /// Of the session that comes in.
    pub(crate) record: Option<RecordId>,
}

impl Changes {
    pub(super) fn of(picture: &Picture, puts: Vec<(StoreKey, Entry)>) -> Self {
        let mut changes =
            Changes { puts: Vec::new(), members: Vec::new(), freed: Vec::new(), announced: false };
        for (key, entry) in &puts {
            let held = picture.entries.get(key);
            let (before, after) = (held.and_then(Held::user), entry.user());
            let member = Names::member(key).into_bytes();
            if let Some(user) = before
                && before != after
            {
                changes.members.push(MemberChange {
                    user: user.clone(),
                    member: member.clone(),
                    until: None,
                    record: None,
                });
            }
            if let (Some(user), Entry::Live { record, .. }) = (after, entry) {
                let until = Some(record.absolute_deadline);
                let record = Some(record.id);
                changes.members.push(MemberChange { user: user.clone(), member, until, record });
            }
            let was = held.and_then(|held| held.entry.as_ref().ok()?.as_ref());
            if let Some(Entry::Live { .. }) = was
                && !matches!(entry, Entry::Live { lease: Some(_), .. })
            {
                changes.freed.push(*key);
            }
        }
        // Members whose session is gone, or somebody else's by now, are dropped where they are seen. A damaged one stays:
        // it may be looked into.
        for (user, index) in picture.indexes.iter().filter_map(|(user, index)| Some((user, index.as_ref()?)))
        {
            for key in &index.members {
                let put = puts.iter().any(|(put, _)| put == key);
                let held = picture.entries.get(key);
                let gone = held.is_some_and(|held| held.entry.is_ok() && held.user() != Some(user));
                if gone && !put {
                    let member = Names::member(key).into_bytes();
                    let user = user.clone();
                    changes.members.push(MemberChange { user, member, until: None, record: None });
                }
            }
            for member in &index.strange {
                let (user, member) = (user.clone(), member.clone());
                changes.members.push(MemberChange { user, member, until: None, record: None });
            }
        }
        changes.puts = puts;
        changes
    }

    /// Nothing that has to be done. Members that are gone alone are no reason to write.
    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty()
    }
}
