//! Many calls under way on one connection at the same time.
//!
//! ```text
//! ask ──▶ desk: bytes and calls that nobody has taken yet ──▶ driver ──one write──▶ server
//!  ▲                                                            │
//!  └────────────────────────── answer ◀─────────────────────────┘ calls in the order they went out
//! ```
//!
//! A call writes itself into what goes out next, and waits. The connection's task takes all that has gathered since it last
//! looked, sends it in one write, and hands the answers to the calls in their order, some at a time: what those ask next is sent before
//! the others have theirs, so that server and process are at work at the same time. Under load that is most of what a call
//! costs, which is why the client library's own connection is not used: with it a call is written into a buffer of its own, goes
//! through a queue of the connection, is written into another buffer, and sets a timer.
//!
//! A call's deadline is watched over here, by one timer for all calls of a connection ([`Unanswered::Late`]). What was sent is
//! sent once; nothing is tried again.

mod answers;
mod driver;
mod login;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{Cmd, Pipeline, PushInfo, RedisError, Value};
use tokio::sync::oneshot;

pub(crate) use driver::drive;
pub(crate) use login::log_in;

/// A server that says nothing for so long, while it is asked something, stands still.
pub(crate) const STILL: Duration = Duration::from_millis(250);
/// Bytes that may wait to be sent. A server that takes in no more has all that piled up in front of it.
const MOST_UNSENT: usize = 64 << 20;

/// Asks over a connection. Clones ask over the same.
#[derive(Clone)]
pub(crate) struct Pipe(Arc<Mutex<Desk>>);

/// What was asked and not yet sent.
#[derive(Default)]
struct Desk {
    bytes: Vec<u8>,
    calls: Vec<Call>,
    /// The connection's task, while it does not look by itself.
    driver: Option<Waker>,
    /// It is over, and why.
    over: Option<RedisError>,
}

/// Somebody waits for an answer.
struct Call {
    /// `None`: told already that there was none in time.
    answer: Option<oneshot::Sender<Result<Value, Unanswered>>>,
    ends: Instant,
    expects: Expects,
}

/// What a call is answered with.
enum Expects {
    One,
    /// So many more, behind those that came, and how long the server may take over one of them because it was told to wait.
    More(usize, Vec<Value>, Duration),
    /// A refusal, if there is one, and then what stands behind it.
    Fenced(Option<Value>),
}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The connection ended. What was asked may have been done.
    Lost,
    /// There was none by its deadline. What was asked may yet be done.
    Late,
    /// The same, and the connection's own task did not say so: the runtime that it is on stands still.
    Unattended,
    /// The server takes in nothing, and too much waits for it already: this was not sent.
    Crowded,
}

/// What a connection tells by itself, in the order in which things came.
pub(crate) enum News {
    Push(PushInfo),
    /// It left a call unanswered up to its deadline.
    Silent,
    /// It answers again, after it said nothing for long though something was asked. Told before those answers are.
    Awake,
    /// It ended. Told before those are who wait for answers.
    Over,
}

/// Who is told. Called from the connection's task.
pub(crate) type OnNews = Arc<dyn Fn(News) + Send + Sync>;

/// The answer to a call that was made.
#[must_use = "nobody is told whether it was done"]
pub(crate) struct Asked(Result<oneshot::Receiver<Result<Value, Unanswered>>, Option<Unanswered>>);

impl Future for Asked {
    type Output = Result<Value, Unanswered>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Ok(answered) => Pin::new(answered).poll(cx).map(|told| told.unwrap_or(Err(Unanswered::Lost))),
            // Polled again after it was done: never wakes, as a fused future would.
            Err(why) => why.take().map_or(Poll::Pending, |why| Poll::Ready(Err(why))),
        }
    }
}

/// Calls are made when they are asked for, not when their answer is awaited.
impl Pipe {
    /// One command. What the server refuses is an answer too.
    pub(crate) fn ask(&self, command: &Cmd, ends: Instant) -> Asked {
        self.call(Expects::One, ends, |bytes| command.write_packed_command(bytes))
    }

    /// One command, as it is sent.
    pub(crate) fn ask_packed(&self, command: &[u8], ends: Instant) -> Asked {
        self.call(Expects::One, ends, |bytes| bytes.extend_from_slice(command))
    }

    /// The same behind a word of its own; the answers to both.
    pub(crate) fn ask_packed_behind(&self, word: &Cmd, command: &[u8], ends: Instant) -> Asked {
        self.call(Expects::More(2, Vec::with_capacity(2), Duration::ZERO), ends, |bytes| {
            word.write_packed_command(bytes);
            bytes.extend_from_slice(command);
        })
    }

    /// Several, one behind the other with nobody else's between; the answers as a list.
    pub(crate) async fn ask_all(&self, commands: &Pipeline, ends: Instant) -> Result<Value, Unanswered> {
        self.ask_all_waiting(commands, Duration::ZERO, ends).await
    }

    /// The same, where the server is told to wait for so long behind the first of them (behind `ASKING` a little too early): while it does, it does not stand still.
    pub(crate) async fn ask_all_waiting(
        &self,
        commands: &Pipeline,
        waits: Duration,
        ends: Instant,
    ) -> Result<Value, Unanswered> {
        if commands.is_empty() {
            return Ok(Value::Array(Vec::new()));
        }
        let answers = Vec::with_capacity(commands.len());
        let write = |bytes: &mut Vec<u8>| commands.cmd_iter().for_each(|one| one.write_packed_command(bytes));
        self.call(Expects::More(commands.len(), answers, waits), ends, write).await
    }

    /// A command that is answered with pushes, or refused: a subscription. The server may as well push the same by itself, as when a slot
    /// goes to another node with its channels. So a `HELLO` goes behind it, which is refused to nobody: when that is answered, this has been.
    /// Answers with the refusal, if that was the answer.
    pub(crate) fn confirm(&self, command: &Cmd, ends: Instant) -> Asked {
        self.call(Expects::Fenced(None), ends, |bytes| {
            command.write_packed_command(bytes);
            redis::cmd("HELLO").write_packed_command(bytes);
        })
    }

    fn call(&self, expects: Expects, ends: Instant, write: impl FnOnce(&mut Vec<u8>)) -> Asked {
        let (answer, answered) = oneshot::channel();
        let driver = {
            let mut desk = self.0.lock();
            if desk.over.is_some() {
                return Asked(Err(Some(Unanswered::Lost)));
            }
            if desk.bytes.len() > MOST_UNSENT {
                return Asked(Err(Some(Unanswered::Crowded)));
            }
            write(&mut desk.bytes);
            desk.calls.push(Call { answer: Some(answer), ends, expects });
            desk.driver.take()
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        Asked(Ok(answered))
    }
}

impl Call {
    fn tell(&mut self, answer: Result<Value, Unanswered>) {
        if let Some(waiting) = self.answer.take() {
            // Whoever asked may be gone.
            let _ = waiting.send(answer);
        }
    }

    /// How long the server may take over the next answer to this because it was told to wait.
    fn waits(&self) -> Duration {
        match &self.expects {
            Expects::More(_, answers, waits) if !answers.is_empty() => *waits,
            _ => Duration::ZERO,
        }
    }

    /// Takes an answer; whether that was the last one.
    fn take(&mut self, answer: Value) -> bool {
        let whole = match &mut self.expects {
            Expects::One => answer,
            Expects::Fenced(refused @ None) if matches!(answer, Value::ServerError(_)) => {
                *refused = Some(answer);
                return false;
            }
            Expects::Fenced(refused) => refused.take().unwrap_or(answer),
            Expects::More(left, answers, _) => {
                answers.push(answer);
                *left -= 1;
                if *left > 0 {
                    return false;
                }
                Value::Array(std::mem::take(answers))
            }
        };
        self.tell(Ok(whole));
        true
    }
}

#[cfg(test)]
mod tests;
