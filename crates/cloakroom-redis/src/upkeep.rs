//! Looking through the whole store, for administration.

use std::sync::Arc;

use cloakroom::StoreKey;
use cloakroom::store::protocol::Entry;
use cloakroom::store::{ScanFrom, ScanPage, StoreError, StoreStats, Summary};
use redis::{Pipeline, Value};

use crate::asking::Asking;
use crate::error::{self, Effect};
use crate::layout;
use crate::node::Node;
use crate::shared::{Deadline, Shared};
use crate::together;

/// Names that one `SCAN` looks at. Part of a position: the same for every page.
const SLICE: usize = 200;
/// Slices for one page at most: where few of many keys are sessions, a page is short instead of late.
const SLICES: usize = 200;

/// Where a scan stands: which of the servers, its cursor, and how many sessions of the slice behind it were shown. It travels as a store
/// key that no session has: the pages of a hash table have no last key from which to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Position {
    /// Of the servers in their order: a single one is the first.
    node: u16,
    cursor: u64,
    shown: u32,
}

impl Position {
    const SIGN: &'static [u8] = b"cloakroom scan stands";

    fn as_key(self) -> StoreKey {
        let mut bytes = [0; StoreKey::LEN];
        let node = self.node.to_be_bytes().into_iter();
        let told = node.chain(self.cursor.to_be_bytes()).chain(self.shown.to_be_bytes());
        for (to, from) in bytes.iter_mut().zip(Self::SIGN.iter().copied().chain(told)) {
            *to = from;
        }
        StoreKey::from_bytes(bytes)
    }

    fn of_key(key: &StoreKey) -> Option<Self> {
        let rest = key.as_bytes().strip_prefix(Self::SIGN)?;
        let (node, rest) = rest.split_first_chunk::<2>()?;
        let (cursor, rest) = rest.split_first_chunk::<8>()?;
        let (shown, _) = rest.split_first_chunk::<4>()?;
        Some(Position {
            node: u16::from_be_bytes(*node),
            cursor: u64::from_be_bytes(*cursor),
            shown: u32::from_be_bytes(*shown),
        })
    }
}

impl Shared {
    /// A page of live sessions, in the order of the servers' own tables. While the servers of a cluster change, some may be shown
    /// twice, or left out.
    pub(crate) async fn scan(self: Arc<Self>, from: ScanFrom) -> Result<ScanPage, StoreError> {
        let deadline = self.deadline();
        let mut position = match &from.after {
            Some(key) => Position::of_key(key).ok_or_else(|| {
                error::unavailable(&self.place, "was asked to go on with a scan that it did not begin")
            })?,
            None => Position::default(),
        };
        let limit = from.limit.max(1);
        let nodes = self.primaries(deadline).await?;
        let mut page = ScanPage::default();
        for _ in 0..SLICES {
            let Some(node) = nodes.get(usize::from(position.node)) else { return Ok(page) };
            let (next, names) = self.slice(node, deadline, position.cursor).await?;
            let sessions = self.summaries(node, deadline, &names).await?;
            for session in sessions.into_iter().skip(position.shown as usize) {
                if page.sessions.len() == limit {
                    page.next = Some(position.as_key());
                    return Ok(page);
                }
                position.shown = position.shown.saturating_add(1);
                page.sessions.push(session);
            }
            let node = if next == 0 { position.node.saturating_add(1) } else { position.node };
            if usize::from(node) == nodes.len() {
                return Ok(page);
            }
            position = Position { node, cursor: next, shown: 0 };
        }
        page.next = Some(position.as_key());
        Ok(page)
    }

    async fn slice(
        &self,
        node: &Arc<Node>,
        deadline: Deadline,
        cursor: u64,
    ) -> Result<(u64, Vec<Vec<u8>>), StoreError> {
        let strange = || error::strange(&self.place, Effect::Reads);
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(self.names.pattern()).arg("COUNT").arg(SLICE);
        let Value::Array(parts) = self.read_from(node.clone(), deadline, &scan).await?.value else {
            return Err(strange());
        };
        let mut parts = parts.into_iter();
        let (Some(Value::BulkString(next)), Some(Value::Array(names))) = (parts.next(), parts.next()) else {
            return Err(strange());
        };
        let next = std::str::from_utf8(&next).ok().and_then(|n| n.parse().ok()).ok_or_else(strange)?;
        let names = names.into_iter().map(|name| match name {
            Value::BulkString(name) => Ok(name),
            _ => Err(strange()),
        });
        Ok((next, names.collect::<Result<_, _>>()?))
    }

    /// Those of these names that are live sessions.
    async fn summaries(
        &self,
        node: &Arc<Node>,
        deadline: Deadline,
        names: &[Vec<u8>],
    ) -> Result<Vec<Summary>, StoreError> {
        let keys: Vec<StoreKey> = names.iter().filter_map(|name| self.names.of_entry(name)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut reading = Pipeline::with_capacity(keys.len() + 1);
        reading.cmd("TIME");
        for key in &keys {
            reading.cmd("GET").arg(self.names.entry(key));
        }
        let told = self.ask_node(node.clone(), deadline, Effect::Reads, &Asking::Many(&reading)).await?;
        let Value::Array(answers) = told.value else {
            return Err(error::strange(&self.place, Effect::Reads));
        };
        let mut answers = answers.into_iter();
        let told = answers.next().and_then(crate::sessions::told_time);
        let now = self.given().or(told).ok_or_else(|| error::strange(&self.place, Effect::Reads))?;
        let mut summaries = Vec::new();
        for (key, answer) in keys.iter().zip(answers) {
            // What has moved to another server since is shown there.
            let Value::BulkString(bytes) = answer else { continue };
            match layout::decode(key, &bytes) {
                Ok(Entry::Live { record, .. }) if !record.is_expired(now) => {
                    summaries.push(Summary::of(*key, &record));
                }
                Ok(_) => {}
                Err(malformed) => {
                    tracing::error!(target: "cloakroom", session = ?key, part = malformed.0, "a damaged record was left out of a scan");
                }
            }
        }
        Ok(summaries)
    }

    /// What the servers occupy, where they tell. Redis does not count sessions apart from what is left of others.
    pub(crate) async fn stats(self: Arc<Self>) -> Result<StoreStats, StoreError> {
        let mut info = redis::cmd("INFO");
        info.arg("memory");
        let deadline = self.deadline();
        let nodes = self.primaries(deadline).await?;
        let asked = nodes.into_iter().map(|node| self.read_from(node, deadline, &info));
        let mut bytes = Some(0_u64);
        for told in together::all(asked).await {
            let text = match told?.value {
                Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Value::VerbatimString { text, .. } => text,
                _ => String::new(),
            };
            let used = text.lines().find_map(|line| line.strip_prefix("used_memory:"));
            let used = used.and_then(|used| used.trim().parse::<u64>().ok());
            bytes = bytes.zip(used).and_then(|(bytes, used)| bytes.checked_add(used));
        }
        Ok(StoreStats { live: None, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_travels_as_a_key() {
        for position in [Position::default(), Position { node: u16::MAX, cursor: u64::MAX, shown: u32::MAX }]
        {
            assert_eq!(Position::of_key(&position.as_key()), Some(position));
        }
        assert_eq!(Position::of_key(&StoreKey::from_bytes([1; StoreKey::LEN])), None);
    }
}
