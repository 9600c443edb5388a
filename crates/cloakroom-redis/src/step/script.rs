//! The script of a step: it draws a picture, and applies what was decided on one.

use std::collections::HashMap;
use std::time::Instant;

use cloakroom::StoreKey;
use cloakroom::store::StoreError;
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

/// Sessions of a user that a step is over, at most: it takes the server a millisecond or two.
const MOST_MEMBERS: u64 = 128;

impl Shared {
    /// A picture of what is wanted; of what it shows, whether it is kept where such a write is to be.
    pub(super) async fn look(
        &self,
        deadline: Deadline,
        wanted: &Wanted,
        waits: Option<Write>,
    ) -> Result<(Picture, Kept), StoreError> {
        let mut script = self.over(wanted, &[], &self.names_of(wanted, &[]), "r");
        if let Some(write) = waits {
            script.waits(write);
        }
        let asked = Instant::now();
        let Evaluated { told, kept } = self.evaluate(deadline, Effect::Reads, &script).await?;
        let strange = || error::strange(&self.place, Effect::Reads);
        match self.picture(told, asked, wanted)? {
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
        let seen: Vec<StoreKey> =
            picture.entries.keys().filter(|key| !wanted.keys.contains(key)).copied().collect();
        let mut names = self.names_of(wanted, &seen);
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

        let mut script = self.over(wanted, &seen, &names, "w");
        let keys = wanted.keys.iter().chain(&seen);
        let checks: Vec<_> = keys.map(|key| (*key, picture.check(key, &changes.puts, wanted))).collect();
        let mut until = picture.holds_until(&checks);
        if changes.announced {
            // What was announced after the picture was taken, lasts longer than that.
            until = until.min(picture.now.after(COMMITTED));
        }
        script.number(layout::millis(picture.now)).number(layout::millis(until));
        for (key, check) in checks {
            match check {
                Check::Alive(identity) => script.arg("~").arg(identity),
                Check::Same => {
                    script.arg("=").arg(picture.entries.get(&key).map_or(&[][..], |held| &held.bytes))
                }
            };
        }
        for user in &wanted.users {
            script.arg(picture.generation(user, &changes.puts));
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
        Ok((self.picture(told, asked, wanted)?, kept))
    }

    /// Where all that is, and these members of the indexes.
    fn names_of(&self, wanted: &Wanted, seen: &[StoreKey]) -> Vec<String> {
        let entries = wanted.keys.iter().map(|key| self.names.entry(key));
        let indexes = wanted.users.iter().map(|user| self.names.index(user));
        entries.chain(indexes).chain(seen.iter().map(|key| self.names.entry(key))).collect()
    }

    /// The script over these names, up to what it is to apply.
    fn over(&self, wanted: &Wanted, seen: &[StoreKey], names: &[String], does: &str) -> Invocation {
        let mut script = Invocation::new(&scripts::STEP, names);
        script.arg(self.given_time()).arg(self.names.prefix());
        for count in [wanted.keys.len(), wanted.users.len(), seen.len()] {
            script.number(count as u64);
        }
        script.number(MOST_MEMBERS).arg(does);
        script
    }

    /// Reads the answer of the script: a picture, or that it did what it was asked to.
    fn picture(
        &self,
        told: Told<Value>,
        asked: Instant,
        wanted: &Wanted,
    ) -> Result<Option<Picture>, StoreError> {
        let strange = || error::strange(&self.place, Effect::Writes);
        let Value::Array(parts) = told.value else { return Err(strange()) };
        let mut parts = parts.into_iter();
        let Some(Value::BulkString(answer)) = parts.next() else { return Err(strange()) };
        let answer = self.answer(answer, &told.by, asked, Effect::Writes)?;
        if answer.done {
            return Ok(None);
        }
        let mut picture = Picture { now: answer.now, entries: HashMap::new(), indexes: HashMap::new() };
        for key in &wanted.keys {
            let Some(Value::BulkString(bytes)) = parts.next() else { return Err(strange()) };
            picture.entries.insert(*key, Held::whole(key, bytes));
        }
        for user in &wanted.users {
            let Some(Value::Array(index)) = parts.next() else { return Err(strange()) };
            let mut parts = index.into_iter();
            let Some(Value::BulkString(generation)) = parts.next() else { return Err(strange()) };
            if generation.is_empty() {
                picture.indexes.insert(user.clone(), None);
                continue;
            }
            let mut index = Index { generation, members: Vec::new(), strange: Vec::new() };
            while let Some(member) = parts.next() {
                let Value::BulkString(member) = member else { return Err(strange()) };
                let (bytes, left_out) = head(&mut parts).ok_or_else(strange)?;
                match Names::of_member(&member) {
                    Some(key) => {
                        index.members.push(key);
                        let held = || Held::head(&key, bytes, left_out);
                        picture.entries.entry(key).or_insert_with(held);
                    }
                    None => index.strange.push(member),
                }
            }
            picture.indexes.insert(user.clone(), Some(index));
        }
        Ok(Some(picture))
    }
}

/// An entry's head, and how many bytes of it that leaves out.
fn head(parts: &mut impl Iterator<Item = Value>) -> Option<(Vec<u8>, usize)> {
    match (parts.next()?, parts.next()?) {
        (Value::BulkString(bytes), Value::Int(left_out)) => Some((bytes, usize::try_from(left_out).ok()?)),
        _ => None,
    }
}
