//! The life of a session: it begins, three tabs use it through both processes, it ends in one of four ways, and is looked for
//! once more. All of it is written down, and must be as if it had happened one after the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom_testing::history::Verdict;
use cloakroom_testing::history::session::{Answer, Step};

use super::chance::Chance;
use super::chronicle::Chronicle;
use super::ground::Ground;
use super::harness::{Request, Response, sleep_ms};
use super::notes::{Judged, Notes};
use super::pulse::Pulse;
use super::tally::Tally;

/// Operations of a tab.
const OPERATIONS: u64 = 40;
const TABS: u64 = 3;
/// A lock is waited for ten seconds, and a commit has five: whatever takes longer than both hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often something is asked again while the server is away.
const TRIES: usize = 200;

/// The processes that serve, and what is known of them.
pub struct House {
    pub doors: [SocketAddr; 2],
    pub ground: Arc<dyn Ground>,
    pub chronicle: Arc<Chronicle>,
    /// After which a session nobody uses is gone.
    pub idle: Duration,
    /// When all of it is to be over: whoever would expire after that logs out instead.
    pub until: Instant,
}

/// How a session ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Logout,
    /// By an administrator, while the tabs are at it.
    Revoked,
    /// By its user, from another device.
    FromElsewhere,
    Expiry,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            End::Logout => "logged out",
            End::Revoked => "revoked",
            End::FromElsewhere => "revoked from another device",
            End::Expiry => "expired",
        }
    }
}

/// What is known of a request's answer.
enum Known {
    Answered(Response),
    /// It did not happen.
    Refused,
    /// Nobody knows.
    Unknown,
}

impl House {
    /// Lives one, and judges it.
    pub async fn life(&self, number: u64, mut chance: Chance, tally: &Tally) {
        // To expire takes long, so that few do.
        let end = match chance.below(16) {
            0 if Instant::now() + self.idle < self.until => End::Expiry,
            0..6 => End::Logout,
            6..11 => End::Revoked,
            _ => End::FromElsewhere,
        };
        let user = format!("user-{number}");
        let notes = Notes::on(&self.ground, &self.chronicle);
        match self.lived(&notes, end, &user, &mut chance, tally).await {
            Ok(()) => {}
            Err(why) => return tally.went_wrong(format!("life {number}, {}: {why}", end.name())),
        }
        tally.ended(end.name());
        // It may take the checker seconds, in which others are to get on.
        let Judged { verdict, lost_writes } = tokio::task::block_in_place(|| notes.judge());
        if lost_writes {
            tally.lost_writes();
        }
        match verdict {
            Verdict::Explained(_) => {}
            Verdict::Undecided { .. } => tally.undecided(),
            Verdict::Unexplained(stuck) => {
                tally.went_wrong(format!("life {number}, {}: {stuck:?}\n{}", end.name(), notes.story()));
            }
        }
    }

    async fn lived(
        &self,
        notes: &Notes,
        end: End,
        user: &str,
        chance: &mut Chance,
        tally: &Tally,
    ) -> Result<(), String> {
        // Only an administrator's and another device's revocation need a user; half of the others have one, too.
        let has_user = matches!(end, End::Revoked | End::FromElsewhere) || chance.below(2) == 0;
        let birth = if has_user { format!("/login/{user}") } else { "/put/born/1".to_owned() };
        let cookie = self.cookie_of(&birth, chance, tally).await?;
        let pulse = Pulse::new(self.idle);
        let tabs = (0..TABS).map(|tab| {
            let chance = Chance::of(chance.below(u64::MAX), tab);
            self.tab(notes, &cookie, chance, &pulse, tally)
        });
        let tabs: Vec<_> = tabs.collect();
        let traffic = all_of(tabs);
        let process = chance.below(2) as usize;
        let ending = self.ending(notes, end, user, &cookie, process, chance.below(700), tally);
        if end == End::Expiry {
            traffic.await?;
            ending.await?;
        } else {
            // In the middle of it.
            let (traffic, ending) = tokio::join!(traffic, ending);
            traffic?;
            ending?;
        }
        for process in 0..self.doors.len() {
            self.is_over(notes, process, &cookie, tally).await?;
        }
        Ok(())
    }

    /// The cookie of the session that this request begins.
    async fn cookie_of(&self, path: &str, chance: &mut Chance, tally: &Tally) -> Result<String, String> {
        for _ in 0..TRIES {
            let door = self.doors[chance.below(2) as usize];
            if let Known::Answered(response) = ask(door, None, path, tally).await? {
                let cookie = response.set_cookie().filter(|_| response.status == 200);
                return cookie.map(|cookie| cookie.pair()).ok_or_else(|| format!("{path}: {response:?}"));
            }
            sleep_ms(50).await;
        }
        Err(format!("{path}: the server stays away"))
    }

    async fn tab(
        &self,
        notes: &Notes,
        cookie: &str,
        mut chance: Chance,
        pulse: &Pulse,
        tally: &Tally,
    ) -> Result<(), String> {
        for _ in 0..OPERATIONS {
            let value = chance.below(1 << 40) as i64;
            let key = if chance.below(2) == 0 { "k" } else { "l" };
            let (path, step) = match chance.below(10) {
                0..3 => (format!("/get/{key}"), Step::read(key)),
                3..5 => ("/incr/n".to_owned(), Step::increment("n", 1)),
                5 => (format!("/lock-count/m?ms={}", chance.below(3)), Step::increment("m", 1)),
                6..8 => (format!("/put/{key}/{value}"), Step::put(key, value)),
                _ => (format!("/set/{key}/{value}"), Step::put(key, value)),
            };
            let process = chance.below(2) as usize;
            let pending = notes.call(step.clone(), Some(process));
            let known = ask(self.doors[process], Some(cookie), &path, tally).await?;
            notes.notice();
            if pulse.felt(matches!(known, Known::Answered(_))) {
                // Never answered: it may have happened, or not.
                drop(notes.call(Step::Destroy, None));
                tally.outage();
            }
            match known {
                Known::Answered(response) => pending.answered(meaning(&step, &path, &response)?),
                Known::Refused => {
                    pending.answered(Answer::Refused);
                    // As a person does who is told to come back.
                    sleep_ms(20 + chance.below(80)).await;
                }
                Known::Unknown => drop(pending),
            }
            sleep_ms(chance.below(12)).await;
        }
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    async fn ending(
        &self,
        notes: &Notes,
        end: End,
        user: &str,
        cookie: &str,
        process: usize,
        after_ms: u64,
        tally: &Tally,
    ) -> Result<(), String> {
        let door = self.doors[process];
        sleep_ms(after_ms).await;
        let mut elsewhere = None;
        let path = match end {
            End::Logout => "/destroy".to_owned(),
            End::Revoked => format!("/revoke-user/{user}"),
            End::FromElsewhere => "/revoke-others".to_owned(),
            End::Expiry => {
                let pending = notes.call(Step::Destroy, None);
                tokio::time::sleep(self.idle + Duration::from_millis(1_500)).await;
                pending.answered(Answer::done());
                return Ok(());
            }
        };
        // Until somebody says that it is done: what was refused did not happen, what is not known may have.
        for _ in 0..TRIES {
            // The other device has a session of its own, which expires as well while the server is away.
            let is_old = |(_, since): &(String, Instant)| since.elapsed() > self.idle / 2;
            if end == End::FromElsewhere && elsewhere.as_ref().is_none_or(is_old) {
                let mut chance = Chance::of(after_ms, 1);
                let cookie = self.cookie_of(&format!("/login/{user}"), &mut chance, tally).await?;
                elsewhere = Some((cookie, Instant::now()));
            }
            let cookie = match end {
                End::FromElsewhere => elsewhere.as_ref().map(|(cookie, _)| cookie.as_str()),
                _ => Some(cookie).filter(|_| end == End::Logout),
            };
            let pending = notes.call(Step::Destroy, Some(process));
            let known = ask(door, cookie, &path, tally).await?;
            notes.notice();
            match known {
                // The other device is not logged in any more.
                Known::Answered(response)
                    if end == End::FromElsewhere && response.status != 200 && notes.may_have_lost() =>
                {
                    pending.answered(Answer::Refused);
                    elsewhere = None;
                }
                // 410: ended by somebody else, or by an earlier try.
                Known::Answered(response) if matches!(response.status, 200 | 410) => {
                    pending.answered(Answer::done());
                    return Ok(());
                }
                Known::Answered(response) => return Err(format!("{path}: {response:?}")),
                Known::Refused => pending.answered(Answer::Refused),
                Known::Unknown => drop(pending),
            }
            sleep_ms(50).await;
        }
        Err(format!("{path}: the server stays away"))
    }

    /// Nothing is found of it, and nothing can be done to it.
    async fn is_over(
        &self,
        notes: &Notes,
        process: usize,
        cookie: &str,
        tally: &Tally,
    ) -> Result<(), String> {
        for (path, step) in [("/get/k", Step::read("k")), ("/incr/n", Step::increment("n", 1))] {
            for _ in 0..TRIES {
                let pending = notes.call(step.clone(), Some(process));
                let known = ask(self.doors[process], Some(cookie), path, tally).await?;
                notes.notice();
                match known {
                    Known::Answered(response) => {
                        pending.answered(meaning(&step, path, &response)?);
                        break;
                    }
                    Known::Refused => pending.answered(Answer::Refused),
                    Known::Unknown => drop(pending),
                }
                sleep_ms(50).await;
            }
        }
        Ok(())
    }
}

/// All of them, at the same time.
async fn all_of(all: Vec<impl Future<Output = Result<(), String>>>) -> Result<(), String> {
    let mut all: Vec<_> = all.into_iter().map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(move |cx| {
        for slot in &mut all {
            let Some(future) = slot else { continue };
            match future.as_mut().poll(cx) {
                std::task::Poll::Ready(Ok(())) => *slot = None,
                std::task::Poll::Ready(failed) => return std::task::Poll::Ready(failed),
                std::task::Poll::Pending => {}
            }
        }
        match all.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(Ok(())),
            false => std::task::Poll::Pending,
        }
    })
    .await
}

/// Asks, and sorts what came back. An error is what must never be: no answer, or one that nobody gives.
async fn ask(door: SocketAddr, cookie: Option<&str>, path: &str, tally: &Tally) -> Result<Known, String> {
    let began = Instant::now();
    let request = Request::get(path);
    let request = match cookie {
        Some(cookie) => request.header("cookie", cookie),
        None => request,
    };
    let asked = async { request.try_send(door).await?.try_response().await };
    let Ok(response) = tokio::time::timeout(PATIENCE, asked).await else {
        return Err(format!("{path}: no answer within {PATIENCE:?}"));
    };
    let took = began.elapsed();
    let Some(response) = response else { return Err(format!("{path}: the connection broke")) };
    let kind = response.body.strip_prefix("{\"error\":\"").and_then(|rest| rest.strip_suffix("\"}"));
    let outcome = kind.filter(|_| response.status >= 400).unwrap_or("answered");
    tally.request(outcome, took);
    let cookies = response.header_all("set-cookie").len();
    match (response.status, outcome) {
        (503, _) if cookies > 0 => Err(format!("{path}: a cookie with a 503: {response:?}")),
        (503, "unknown") => Ok(Known::Unknown),
        (503, "unavailable") | (409, "lease_lost" | "conflict") | (423, _) => Ok(Known::Refused),
        (200 | 404 | 410, _) | (503, "lost") => Ok(Known::Answered(response)),
        _ => Err(format!("{path}: {response:?}")),
    }
}

/// What an answer says of the session that was asked about.
fn meaning(step: &Step, path: &str, response: &Response) -> Result<Answer, String> {
    let strange = || Err(format!("{path}: {response:?}"));
    // Who writes without a session is given a new one. That is another session, and this one is over.
    if response.status == 410 || response.body.contains("\"lost\"") || response.set_cookie().is_some() {
        return Ok(Answer::Gone);
    }
    let number = || response.body.parse::<i64>();
    match (step, response.status) {
        (Step::Read(_), 404) => Ok(Answer::seen_nothing()),
        (Step::Read(_) | Step::Increment(..), 200) => {
            number().map_or_else(|_| strange(), |n| Ok(Answer::seen(n)))
        }
        (Step::Put(..), 200) => Ok(Answer::done()),
        _ => strange(),
    }
}
