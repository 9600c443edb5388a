use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::bed::Bed;
use super::list::CASES;
use super::verdict::Verdict;
use super::{Failure, Subject};
use crate::requests;

/// Longest that a case may take before it counts as failed: a store that hangs fails, instead of hanging the suite.
const PATIENCE: Duration = Duration::from_secs(120);

/// Cases that run at the same time in [`run_all`]: most of them wait, for a clock or for a disk.
const AT_ONCE: usize = 8;

/// What a case needs a subject to be capable of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    Nothing,
    ManualClock,
    SecondHandle,
    Reopen,
    Bounded,
    Unavailable,
    Damage,
    Signal,
}

/// One case of the suite.
#[derive(Clone, Copy)]
pub struct Case {
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    pub(super) need: Need,
    pub(super) run: fn(Bed) -> Pin<Box<dyn Future<Output = Verdict> + Send>>,
}

impl Case {
    /// All cases, in the order of the suite.
    pub fn all() -> &'static [Case] {
        CASES
    }

    /// The case of this name.
    pub fn named(name: &str) -> Option<&'static Case> {
        CASES.iter().find(|case| case.name == name)
    }

    /// Its name, as of a test: `a_taken_key_is_refused`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it belongs to: `create`, `lease`.
    pub fn group(&self) -> &'static str {
        self.group
    }

    /// Its name as a sentence.
    pub fn sentence(&self) -> String {
        self.name.replace('_', " ")
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.group, self.sentence())
    }
}

/// What became of a case.
#[derive(Debug)]
pub enum Outcome {
    /// The store does it right.
    Passed,
    /// The subject lacks what the case needs; says what.
    Skipped(&'static str),
    /// The store does it wrong, or took too long.
    Failed(Failure),
}

/// All cases and what became of them.
#[derive(Debug)]
pub struct Report {
    outcomes: Vec<(&'static Case, Outcome)>,
}

impl Report {
    /// Each case with its outcome, in the order of the suite.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static Case, &Outcome)> {
        self.outcomes.iter().map(|(case, outcome)| (*case, outcome))
    }

    /// The cases that failed, with what they found.
    pub fn failures(&self) -> impl Iterator<Item = (&'static Case, &Failure)> {
        self.outcomes().filter_map(|(case, outcome)| match outcome {
            Outcome::Failed(failure) => Some((case, failure)),
            Outcome::Passed | Outcome::Skipped(_) => None,
        })
    }

    /// Whether nothing failed. Skipped cases do not count against it.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, outcome) in self.outcomes() {
            match outcome {
                Outcome::Passed => writeln!(f, "passed   {case:?}")?,
                Outcome::Skipped(why) => writeln!(f, "skipped  {case:?} (needs {why})")?,
                Outcome::Failed(failure) => writeln!(f, "FAILED   {case:?}\n         {failure}")?,
            }
        }
        Ok(())
    }
}

/// Runs every case, each on a subject of its own, a few at a time.
///
/// Needs a tokio runtime of several threads with timers: concurrent cases are worth little on one.
pub async fn run_all<F>(subject: impl Fn() -> F) -> Report
where
    F: Future<Output = Subject>,
{
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = Vec::with_capacity(CASES.len());
    for case in CASES {
        let place = Arc::clone(&places).acquire_owned().await;
        let subject = subject().await;
        let run = tokio::spawn(async move {
            let _place = place;
            run_case(case, subject).await
        });
        running.push((case, run));
    }
    let mut outcomes = Vec::with_capacity(running.len());
    for (case, run) in running {
        outcomes.push((case, run.await.unwrap_or_else(|stopped| Outcome::Failed(stopped.into()))));
    }
    Report { outcomes }
}

/// Runs one case.
pub async fn run_case(case: &Case, subject: Subject) -> Outcome {
    if let Some(lacking) = lacking(case.need, &subject) {
        return Outcome::Skipped(lacking);
    }
    // In a task of its own, so that a store that panics fails one case and not the whole run.
    match tokio::time::timeout(PATIENCE, tokio::spawn((case.run)(Bed::new(subject)))).await {
        Ok(Ok(Ok(()))) => Outcome::Passed,
        Ok(Ok(Err(failure))) => Outcome::Failed(failure),
        Ok(Err(panicked)) => Outcome::Failed(panicked.into()),
        Err(_) => Outcome::Failed(Failure::new(format!("the case did not finish within {PATIENCE:?}"))),
    }
}

/// Runs the case of this name on a runtime of its own, and panics where it fails: the body of each test that
/// [`conformance_tests!`](crate::conformance_tests) writes.
///
/// # Panics
/// When the store does it wrong, and when there is no case of this name.
#[allow(clippy::panic, reason = "it is the body of a test")]
pub fn check<F>(name: &str, subject: impl FnOnce() -> F)
where
    F: Future<Output = Subject>,
{
    let Some(case) = Case::named(name) else { panic!("the suite has no case named {name}") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime to test on: {error}"),
    };
    let outcome = runtime.block_on(async { run_case(case, subject().await).await });
    // A store that hangs must not hang the test that has just said so.
    runtime.shutdown_background();
    match outcome {
        Outcome::Passed => {}
        Outcome::Skipped(why) => println!("skipped: needs {why}"),
        Outcome::Failed(failure) => panic!("{}: {failure}", case.sentence()),
    }
}

fn lacking(need: Need, subject: &Subject) -> Option<&'static str> {
    let (has, what) = match need {
        Need::Nothing => (true, ""),
        Need::ManualClock => (subject.clock.is_some(), "a manual clock"),
        Need::SecondHandle => (subject.second.is_some(), "a second handle on the same data"),
        Need::Reopen => (subject.reopen.is_some(), "a way to reopen the store"),
        Need::Bounded => (subject.bounded.is_some(), "a store with a bound"),
        Need::Unavailable => (subject.unavailable.is_some(), "a store that is away"),
        Need::Damage => (subject.damage.is_some(), "a way to damage what is stored"),
        Need::Signal => {
            (subject.store.released(requests::key()).is_some(), "a store that signals free leases")
        }
    };
    (!has).then_some(what)
}
