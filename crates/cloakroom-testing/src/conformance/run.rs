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

/// How often a case may find the machine too busy.
const ROUNDS: u32 = 4;

/// The longest unit of time that cases wait in, unless told: with longer ones the leases of `requests` would run out.
const LONGEST_TICK: Duration = Duration::from_millis(1_600);

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

/// Runs every case, each on a subject of its own, a few at a time. A case that failed while the machine was too late for it is
/// run again, as by [`run_case_in_time`].
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
            once(case, subject).await
        });
        running.push((case, run));
    }
    let mut outcomes = Vec::with_capacity(running.len());
    for (case, run) in running {
        let outcome = match run.await {
            Ok(Once { outcome, too_late: false }) => outcome,
            Ok(Once { too_late: true, .. }) => again(case, &subject).await,
            Err(stopped) => Outcome::Failed(stopped.into()),
        };
        outcomes.push((case, outcome));
    }
    Report { outcomes }
}

/// Runs one case, and again on a new subject where it failed while the machine was too late for it, with units of time twice as long.
///
/// That is told by the case's own clock: without the time that it let pass on purpose it took longer than a [tick](Subject::tick). A failure
/// in a round that was in time is one.
pub async fn run_case_in_time<F>(case: &Case, subject: impl Fn() -> F) -> Outcome
where
    F: Future<Output = Subject>,
{
    match once(case, subject().await).await {
        Once { outcome, too_late: false } => outcome,
        Once { too_late: true, .. } => again(case, &subject).await,
    }
}

/// The rounds after one that was too late.
async fn again<F>(case: &Case, subject: &impl Fn() -> F) -> Outcome
where
    F: Future<Output = Subject>,
{
    let mut doubled = 1;
    loop {
        let mut subject = subject().await;
        subject.tick = subject.tick.max(LONGEST_TICK.min(subject.tick * (1 << doubled)));
        let Once { outcome, too_late } = once(case, subject).await;
        doubled += 1;
        if !too_late || doubled == ROUNDS {
            return outcome;
        }
    }
}

/// Runs one case, once: where it fails by the machine's own clock, that may be for no fault of the store ([`run_case_in_time`]).
pub async fn run_case(case: &Case, subject: Subject) -> Outcome {
    once(case, subject).await.outcome
}

/// What became of a case in one round.
struct Once {
    outcome: Outcome,
    /// It failed, and may have done so because the machine was busy.
    too_late: bool,
}

async fn once(case: &Case, subject: Subject) -> Once {
    if let Some(lacking) = lacking(case.need, &subject) {
        return Once { outcome: Outcome::Skipped(lacking), too_late: false };
    }
    let by_the_machines_clock = subject.clock.is_none();
    let bed = Bed::new(subject);
    let pace = bed.pace();
    // In a task of its own, so that a store that panics fails one case and not the whole run.
    let outcome = match tokio::time::timeout(PATIENCE, tokio::spawn((case.run)(bed))).await {
        Ok(Ok(Ok(()))) => Outcome::Passed,
        Ok(Ok(Err(failure))) => Outcome::Failed(failure),
        Ok(Err(panicked)) => Outcome::Failed(panicked.into()),
        // A store that hangs does so again.
        Err(_) => {
            let hangs = Failure::new(format!("the case did not finish within {PATIENCE:?}"));
            return Once { outcome: Outcome::Failed(hangs), too_late: false };
        }
    };
    let failed = matches!(outcome, Outcome::Failed(_));
    Once { too_late: failed && by_the_machines_clock && pace.was_late(), outcome }
}

/// Runs the case of this name on a runtime of its own, as [`run_case_in_time`], and panics where it fails: the body of each test that
/// [`conformance_tests!`](crate::conformance_tests) writes.
///
/// # Panics
/// When the store does it wrong, and when there is no case of this name.
#[allow(clippy::panic, reason = "it is the body of a test")]
pub fn check<F>(name: &str, subject: impl Fn() -> F)
where
    F: Future<Output = Subject>,
{
    let Some(case) = Case::named(name) else { panic!("the suite has no case named {name}") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime to test on: {error}"),
    };
    let outcome = runtime.block_on(run_case_in_time(case, subject));
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
