//! The script of a step: it draws a picture, and applies what was decided on one.

use std::collections::HashMap;
use std::time::Instant;

use cloakroom::store::StoreError;
use cloakroom::{StoreKey, UserId};
use redis::Value;

use super::Wanted;
use super::changes::{Changes, Check};
use super::picture::{Held, Index, Picture};
use crate::apart::COMMITTED;
use crate::durability::{Kept, Write};
use crate::error::{self, Effect};
use crate::invocation::{Evaluated, Invocation};
use crate::layout;
use crate::names::Names;
use crate::scripts;
use crate::shared::{Deadline, Shared, Told};

impl Shared {
    /// A picture of what is wanted; of what it shows, whether it is kept where such a write is to be.
    pub(super) async fn look(
        &self,
        deadline: Deadline,
        wanted: &Wanted,
        waits: Option<Write>,
    ) -> Result<(Picture, Kept), StoreError> {
        let entries = wanted.keys.iter().map(|key| self.names.entry(key));
        let indexes = wanted.users.iter().map(|user| self.names.index(user));
        let names: Vec<String> = entries.chain(indexes).collect();
        let mut script = Invocation::new(&scripts::STEP, &names);
        script.arg(self.given_time()).arg(self.names.prefix());
        script.number(wanted.keys.len() as u64).number(wanted.users.len() as u64).arg("r");
        if let Some(write) = waits {
            script.waits(write);
        }
        let asked = Instant::now();
        let Evaluated { told, kept } = self.evaluate(deadline, Effect::Reads, &script).await?;
        let strange = || error::strange(&self.place, Effect::Reads);
        match self.picture(told, asked, &wanted.keys, &wanted.users)? {
            Some(picture) => Ok((picture, kept)),
            None => Err(strange()),
        }
    }

    /// Applies what was decided on a picture, or answers with how things are instead.
    pub(super) async fn apply(
        &self,
        deadline: Deadline,
        wanted: &Wanted,
        picture: &Picture,
        changes: &Changes,
    ) -> Result<(Option<Picture>, Kept), StoreError> {
        let keys: Vec<StoreKey> = picture.entries.keys().copied().collect();
        let users: Vec<UserId> = picture.indexes.keys().cloned().collect();
        let mut names: Vec<String> = keys.iter().map(|key| self.names.entry(key)).collect();
        names.extend(users.iter().map(|user| self.names.index(user)));
        let mut place_of = |name: String| {
            let at = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            at as u64 + 1
        };
        let puts: Vec<_> = changes
            .puts
            .iter()
            .map(|(key, entry)| {
                (
                    place_of(self.names.entry(key)),
                    layout::encode(key, entry),
                    layout::millis(entry.purge_at()),
                )
            })
            .collect();
        let members: Vec<_> =
            changes.members.iter().map(|change| (place_of(self.names.index(&change.user)), change)).collect();

        let mut script = Invocation::new(&scripts::STEP, &names);
        script.arg(self.given_time()).arg(self.names.prefix());
        script.number(keys.len() as u64).number(users.len() as u64).arg("w");
        let checks: Vec<Check> = keys.iter().map(|key| picture.check(key, &changes.puts, wanted)).collect();
        let mut until = picture.holds_until(&keys, &checks);
        if changes.announced {
            // What was announced after the picture was taken, lasts longer than that.
            until = until.min(picture.now.after(COMMITTED));
        }
        script.number(layout::millis(picture.now)).number(layout::millis(until));
        for (key, check) in keys.iter().zip(checks) {
            match check {
                Check::Alive(identity) => script.arg("~").arg(identity),
                Check::Same => {
                    script.arg("=").arg(picture.entries.get(key).map_or(&[][..], |held| &held.bytes))
                }
            };
        }
        for user in &users {
            script.arg(picture.indexes.get(user).map_or(&[][..], |index| &index.generation));
        }
        script.number(puts.len() as u64);
        for (at, value, until) in puts {
            script.number(at).arg(value).number(until);
        }
        script.number(members.len() as u64);
        for (at, change) in members {
            let (sign, until) = match change.until {
                Some(until) => ("+", layout::millis(until)),
                None => ("-", 0),
            };
            script.number(at).arg(sign).arg(&change.member).number(until);
        }
        script.number(changes.freed.len() as u64);
        for key in &changes.freed {
            script.arg(self.names.channel(key));
        }
        script.waits(Write::Identity);
        let asked = Instant::now();
        let Evaluated { told, kept } = self.evaluate(deadline, Effect::Writes, &script).await?;
        Ok((self.picture(told, asked, &keys, &users)?, kept))
    }

    /// Reads the answer of the script: a picture, or that it did what it was asked to.
    fn picture(
        &self,
        told: Told<Value>,
        asked: Instant,
        keys: &[StoreKey],
        users: &[UserId],
    ) -> Result<Option<Picture>, StoreError> {
        let strange = || error::strange(&self.place, Effect::Writes);
        let Value::Array(parts) = told.value else { return Err(strange()) };
        let mut parts = parts.into_iter();
        let Some(Value::BulkString(head)) = parts.next() else { return Err(strange()) };
        let head = self.answer(head, &told.by, asked, Effect::Writes)?;
        if head.done {
            return Ok(None);
        }
        let mut picture = Picture { now: head.now, entries: HashMap::new(), indexes: HashMap::new() };
        for key in keys {
            let Some(Value::BulkString(bytes)) = parts.next() else { return Err(strange()) };
            picture.entries.insert(*key, Held::read(key, bytes));
        }
        for user in users {
            let Some(Value::Array(index)) = parts.next() else { return Err(strange()) };
            let mut parts = index.into_iter();
            let Some(Value::BulkString(generation)) = parts.next() else { return Err(strange()) };
            let mut index = Index { generation, members: Vec::new(), strange: Vec::new() };
            while let Some(member) = parts.next() {
                let (Value::BulkString(member), Some(Value::BulkString(bytes))) = (member, parts.next())
                else {
                    return Err(strange());
                };
                match Names::of_member(&member) {
                    Some(key) => {
                        index.members.push(key);
                        picture.entries.entry(key).or_insert_with(|| Held::read(&key, bytes));
                    }
                    None => index.strange.push(member),
                }
            }
            picture.indexes.insert(user.clone(), index);
        }
        Ok(Some(picture))
    }
}
