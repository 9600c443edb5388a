//! A load whose outcome can be told from how far it got: each line of sessions goes through the same life, one step
//! after the other, and what is under each of its keys after step n is a plain function.

use std::time::Duration;

use cloakroom::StoreKey;
use cloakroom::store::{
    Committed, Create, Created, End, Ended, Ending, Loaded, Rename, Renamed, Snapshot, Store, StoreError,
};

use crate::requests::{self, bind, user};

/// Markers outlast the verification, however slow the machine.
const MARKER: Duration = Duration::from_secs(3600);

/// The one entry of each session.
const ENTRY: &str = "k";

/// One line of sessions: created, changed, renamed, changed, ended, and then the next one. The lines of a user's are told apart by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(pub u64);

/// What must be found under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Missing,
    Value(String),
    Moved,
    Destroyed,
}

/// How a line was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Exactly as after this step.
    After(u64),
    /// As after none of the steps.
    Torn,
}

impl Line {
    /// Steps of one life. They differ, so that the lines get out of step with one another.
    fn span(self) -> u64 {
        6 + self.0 % 5
    }

    /// The key of the line's `n`-th session: even ones are created, odd ones come from a rename.
    fn key(self, n: u64) -> StoreKey {
        // Spread over the key space, as digests are.
        let n = self.0 * 100_000 + n;
        let mut bytes = [0; StoreKey::LEN];
        let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for (byte, filled) in bytes.iter_mut().zip([mixed.to_be_bytes(), n.to_le_bytes()].concat()) {
            *byte = filled;
        }
        StoreKey::from_bytes(bytes)
    }

    /// Whose sessions they are: four users share the lines.
    pub fn user(self) -> String {
        format!("user {}", self.0 % 4)
    }

    /// The value after a step. Some need several pages.
    fn value(self, step: u64) -> String {
        let filler = (self.0 * 7919 + step * 1319) % 1700 * if step % 17 == 3 { 5 } else { 1 };
        format!("{} {step} {}", self.0, "x".repeat(usize::try_from(filler).unwrap()))
    }

    /// The key under which the line's session lives after a step, if it lives.
    pub fn lives_at(self, step: u64) -> Option<StoreKey> {
        let (life, phase) = ((step.checked_sub(1)?) / self.span(), (step - 1) % self.span());
        (phase + 1 < self.span()).then(|| self.key(2 * life + u64::from(phase >= self.span() / 2)))
    }

    fn expected(self, n: u64, step: u64) -> Expected {
        let begin = n / 2 * self.span() + 1;
        let (moved, ended) = (begin + self.span() / 2, begin + self.span() - 1);
        match (n.is_multiple_of(2), step) {
            (true, s) if s < begin => Expected::Missing,
            (true, s) if s < moved => Expected::Value(self.value(s)),
            (true, _) => Expected::Moved,
            (false, s) if s < moved => Expected::Missing,
            (false, s) if s < ended => Expected::Value(self.value(s)),
            (false, _) => Expected::Destroyed,
        }
    }

    /// Takes the steps in order, telling each one once it is acknowledged.
    pub async fn run(self, store: &dyn Store, steps: std::ops::Range<u64>, mut acked: impl FnMut(u64)) {
        for step in steps {
            self.take(store, step).await;
            acked(step);
        }
    }

    async fn take(self, store: &dyn Store, step: u64) {
        let (life, phase) = ((step - 1) / self.span(), (step - 1) % self.span());
        let (first, second) = (self.key(2 * life), self.key(2 * life + 1));
        let value = self.value(step);
        if phase == 0 {
            let bound = requests::create_for(first, bind(&user(&self.user())));
            let request = Create { payload: data(&value), ..bound };
            let answer = store.create(request).await.unwrap();
            assert!(matches!(answer, Created::Created { .. }), "{answer:?}");
        } else if phase == self.span() / 2 {
            let version = live(store, first).await.record.version;
            let request = Rename { marker: MARKER, ..requests::rename(first, second, version, data(&value)) };
            let answer = store.rename(request).await.unwrap();
            assert!(matches!(answer, Renamed::Renamed { .. }), "{answer:?}");
        } else if phase == self.span() - 1 {
            let answer = store.end(End { marker: MARKER, ..requests::end(second) }).await.unwrap();
            assert!(matches!(answer, Ended::Ended(Some(_))), "{answer:?}");
        } else {
            let at = if phase < self.span() / 2 { first } else { second };
            let version = live(store, at).await.record.version;
            let answer = store.commit(requests::commit(at, version, data(&value))).await.unwrap();
            assert!(matches!(answer, Committed::Committed(_)), "{answer:?}");
        }
    }

    /// How far the line got in this store, looking no further than step `last`.
    pub async fn progress(self, store: &dyn Store, last: u64) -> Result<Progress, StoreError> {
        let mut found = Vec::new();
        for n in 0..2 * (last / self.span() + 2) {
            found.push(store.load(self.key(n)).await?);
        }
        let fits = |step: u64| found.iter().enumerate().all(|(n, l)| self.expected(n as u64, step).fits(l));
        Ok((0..=last).rev().find(|step| fits(*step)).map_or(Progress::Torn, Progress::After))
    }
}

impl Expected {
    fn fits(&self, loaded: &Loaded) -> bool {
        match (self, loaded) {
            (Expected::Missing, Loaded::Missing)
            | (Expected::Moved, Loaded::Ended(Ending::Moved { .. }))
            | (Expected::Destroyed, Loaded::Ended(Ending::Destroyed)) => true,
            (Expected::Value(value), Loaded::Live(snapshot)) => {
                snapshot.record.payload.get(ENTRY) == Some(value.as_bytes())
            }
            _ => false,
        }
    }
}

fn data(value: &str) -> cloakroom::payload::Payload {
    requests::data(&[(ENTRY, value.as_bytes())])
}

/// The live session under a key.
async fn live(store: &dyn Store, key: StoreKey) -> Snapshot {
    match store.load(key).await.unwrap() {
        Loaded::Live(snapshot) => snapshot,
        other => panic!("{key:?} is {other:?}"),
    }
}

/// How far each line was told to be, in text of lines `line step`. A last one without its end does not count.
pub fn acknowledged(text: &str) -> impl Iterator<Item = (Line, u64)> {
    text.split_inclusive('\n').filter_map(|told| {
        let (line, step) = told.strip_suffix('\n')?.split_once(' ')?;
        Some((Line(line.parse().ok()?), step.parse().ok()?))
    })
}
