//! How sessions are spread over several places, and how a change is made that goes to two of them.

use std::time::Instant;

use cloakroom::PlainId;
use cloakroom::clock::Timestamp;
use cloakroom::store::{StoreError, StoreErrorKind};
use cloakroom_php::layout::{Change, DataChange, Ground, Layout, LockChange, Matter, Seen, View};

use super::lock;
use crate::cluster::slot_of;
use crate::together;

/// Places, and how sessions are shared out among them.
#[derive(Debug)]
pub(super) struct Spread<G> {
    shares: Shares<G>,
    place: String,
}

#[derive(Debug)]
enum Shares<G> {
    /// By weights. There is at least one, and they are not all nothing.
    Weights { grounds: Vec<(G, u32)>, total: u32 },
    /// By the slots of a cluster, which is one place that takes one slot at a time.
    Slots(G),
}

/// What a change is in one of the places.
struct Part {
    ground: usize,
    view: View,
    changes: Vec<Change>,
}

/// In which order parts are made, lest a session is lost or comes back: what is new is there before anything ends, and what ends does so
/// before anything else is noted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Turn {
    Begins,
    Ends,
    Stays,
}

impl<G: Ground> Spread<G> {
    pub(super) fn over(grounds: Vec<(G, u32)>) -> Option<Self> {
        let total = grounds.iter().try_fold(0u32, |sum, (_, weight)| sum.checked_add(*weight))?;
        let places: Vec<&str> = grounds.iter().map(|(ground, _)| ground.place()).collect();
        let place = places.join(", ");
        (total > 0).then_some(Spread { shares: Shares::Weights { grounds, total }, place })
    }

    pub(super) fn over_slots(cluster: G) -> Self {
        let place = cluster.place().to_owned();
        Spread { shares: Shares::Slots(cluster), place }
    }

    /// Which share a session is in.
    fn at(&self, layout: &Layout, id: &PlainId) -> usize {
        match &self.shares {
            Shares::Weights { grounds, total } => by_weight(grounds, *total, id),
            Shares::Slots(_) => usize::from(slot_of(layout.data_name(id).as_bytes())),
        }
    }

    /// The one for what no id says. There is one; an error costs less than a panic.
    fn first(&self) -> Result<&G, StoreError> {
        self.ground(0)
    }

    pub(super) fn grounds(&self) -> impl Iterator<Item = &G> {
        let (weighed, cluster) = match &self.shares {
            Shares::Weights { grounds, .. } => (grounds.as_slice(), None),
            Shares::Slots(cluster) => (Default::default(), Some(cluster)),
        };
        weighed.iter().map(|(ground, _)| ground).chain(cluster)
    }

    fn ground(&self, at: usize) -> Result<&G, StoreError> {
        let ground = match &self.shares {
            Shares::Weights { grounds, .. } => grounds.get(at).map(|(ground, _)| ground),
            Shares::Slots(cluster) => Some(cluster),
        };
        ground.ok_or_else(|| StoreError::new(StoreErrorKind::Unavailable, "there is no server"))
    }

    /// What is changed in each place, in the order in which it is to be made. A place where nothing changes is not asked: what was seen there is what
    /// an ended session left behind, which stays as it is.
    fn parts(&self, layout: &Layout, view: &View, changes: Vec<Change>) -> Vec<Part> {
        let mut parts: Vec<(Turn, Part)> = Vec::new();
        for change in changes {
            let Some(seen) = view.sessions.get(change.at) else { continue };
            let (ground, turn) = (self.at(layout, &seen.id), turn_of(seen, &change));
            let at = parts.iter().position(|(_, part)| part.ground == ground).unwrap_or_else(|| {
                parts.push((turn, self.seen_at(layout, ground, view)));
                parts.len() - 1
            });
            let Some((first, part)) = parts.get_mut(at) else { continue };
            let Some(at) = part.view.sessions.iter().position(|here| here.id.key() == seen.id.key()) else {
                continue;
            };
            *first = turn.min(*first);
            part.changes.push(Change { at, ..change });
        }
        parts.sort_by_key(|(turn, _)| *turn);
        parts.into_iter().map(|(_, part)| part).collect()
    }

    /// Every place that something was seen in, where nothing changes.
    fn places(&self, layout: &Layout, view: &View) -> Vec<Part> {
        let mut grounds: Vec<usize> = view.sessions.iter().map(|seen| self.at(layout, &seen.id)).collect();
        grounds.sort_unstable();
        grounds.dedup();
        grounds.into_iter().map(|ground| self.seen_at(layout, ground, view)).collect()
    }

    /// What of this is in that place.
    fn seen_at(&self, layout: &Layout, ground: usize, view: &View) -> Part {
        let here = view.sessions.iter().filter(|seen| self.at(layout, &seen.id) == ground).cloned();
        let view = View { now: view.now, sessions: here.collect() };
        Part { ground, view, changes: Vec::new() }
    }

    /// Takes back what was made, where nobody can know of it: sessions that began under an id that was told to nobody yet. Whether nothing is left of the
    /// whole.
    async fn take_back(&self, deadline: Instant, layout: &Layout, made: &[Part]) -> bool {
        let mut all = true;
        for part in made.iter().filter(|part| !part.changes.is_empty()) {
            all &= match (begun(part), self.ground(part.ground)) {
                (Some((view, changes)), Ok(ground)) => {
                    // Where it fails, what is left is under an id that nobody knows, and expires.
                    let _ = ground.apply(deadline, layout, &view, changes, Matter::Passing).await;
                    true
                }
                _ => false,
            };
        }
        all
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn deadline(&self) -> Instant {
        self.first().map_or_else(|_| Instant::now(), G::deadline)
    }

    pub(super) async fn look(
        &self,
        deadline: Instant,
        layout: &Layout,
        ids: &[PlainId],
    ) -> Result<View, StoreError> {
        let mut groups: Vec<(usize, Vec<PlainId>)> = Vec::new();
        for id in ids {
            let at = self.at(layout, id);
            match groups.iter_mut().find(|(ground, _)| *ground == at) {
                Some((_, here)) => here.push(id.clone()),
                None => groups.push((at, vec![id.clone()])),
            }
        }
        let looking =
            groups.iter().map(|(at, ids)| async move { self.ground(*at)?.look(deadline, layout, ids).await });
        let views = together::all(looking).await.into_iter().collect::<Result<Vec<View>, StoreError>>()?;
        // By the clock of the first id, which is what is asked for; the others are where it went, or is to go.
        let now = views.first().map_or(Timestamp::from_millis(0), |view| view.now);
        let seen: Vec<Seen> = views.into_iter().flat_map(|view| view.sessions).collect();
        let of = |id: &PlainId| seen.iter().find(|seen| seen.id.key() == id.key()).cloned();
        let sessions: Vec<Seen> = ids.iter().filter_map(of).collect();
        Ok(View { now, sessions })
    }

    pub(super) async fn apply(
        &self,
        deadline: Instant,
        layout: &Layout,
        view: &View,
        changes: Vec<Change>,
        matter: Matter,
    ) -> Result<bool, StoreError> {
        let parts =
            if changes.is_empty() { self.places(layout, view) } else { self.parts(layout, view, changes) };
        let (mut made, mut undurable): (Vec<Part>, _) = (Vec::new(), None);
        let mut left = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for part in parts {
            let ground = self.ground(part.ground)?;
            // Where one is waited for, there is to be time for the others.
            let by = if ground.confirms(matter) { share(deadline, left) } else { deadline };
            left = left.saturating_sub(1);
            match ground.apply(by, layout, &part.view, part.changes.clone(), matter).await {
                Ok(true) => made.push(part),
                // It is made, and whether it is kept as surely as it should be is told in the end.
                Err(error) if error.kind() == StoreErrorKind::Undurable => {
                    undurable = Some(error);
                    made.push(part);
                }
                // It may have been made: then it is whole. Else what began is under an id that nobody knows.
                Err(error) if error.kind() == StoreErrorKind::Unknown => return Err(error),
                answer => {
                    if made.is_empty() || self.take_back(deadline, layout, &made).await {
                        return answer;
                    }
                    let what = format!("{} changed in one place and not in the other", self.place);
                    return Err(StoreError::new(StoreErrorKind::Unknown, what));
                }
            }
        }
        undurable.map_or(Ok(true), Err)
    }

    pub(super) fn confirms(&self, matter: Matter) -> bool {
        self.grounds().any(|ground| ground.confirms(matter))
    }

    pub(super) async fn now(&self) -> Result<Timestamp, StoreError> {
        self.first()?.now().await
    }
}

/// The end of the first of so many equal parts of the time until then.
fn share(deadline: Instant, parts: u32) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / parts.max(1)
}

/// As phpredis chooses: the first four bytes of the id (not of the key) modulo all weights, counted from the last server on.
fn by_weight<G>(grounds: &[(G, u32)], total: u32, id: &PlainId) -> usize {
    let first = id.expose().as_bytes().first_chunk::<4>().copied().unwrap_or_default();
    let mut position = u32::from_le_bytes(first) % total.max(1);
    for (at, (_, weight)) in grounds.iter().enumerate().rev() {
        if position < *weight {
            return at;
        }
        position -= weight;
    }
    0
}

fn turn_of(seen: &Seen, change: &Change) -> Turn {
    match (&seen.data, &change.data) {
        (None, DataChange::Write(..)) => Turn::Begins,
        (Some(_), DataChange::Delete) => Turn::Ends,
        // A session without variables may be none in PHP's value.
        (None, DataChange::Delete) if seen.beside.is_none() => Turn::Begins,
        _ => Turn::Stays,
    }
}

/// What a part looks like where it was made, and the changes that undo it; `None` unless it is nothing but sessions that began.
fn begun(part: &Part) -> Option<(View, Vec<Change>)> {
    let mut view = View { now: part.view.now, sessions: Vec::new() };
    let mut changes = Vec::new();
    for change in &part.changes {
        let seen = part.view.sessions.get(change.at)?;
        if turn_of(seen, change) != Turn::Begins {
            return None;
        }
        let mut now = seen.clone();
        let mut undone =
            Change { at: changes.len(), data: DataChange::Keep, beside: None, lock: LockChange::Keep };
        if let DataChange::Write(value, until) = &change.data {
            (now.data, now.idle_deadline) = (Some(value.clone()), *until);
            undone.data = DataChange::Delete;
        }
        if let Some((beside, _)) = &change.beside {
            now.beside = Some(beside.clone());
            // It ends at once.
            undone.beside = Some((Vec::new(), view.now));
        }
        if let LockChange::Hold(lease) = &change.lock {
            now.lock = Some(lock::held(lock::token(lease).into_bytes(), lease.until));
            undone.lock = LockChange::Free;
        }
        view.sessions.push(now);
        changes.push(undone);
    }
    Some((view, changes))
}

#[cfg(test)]
mod tests;
