//! What all operations share: the connections, the names, the clock, and how a command is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cloakroom::clock::Timestamp;
use cloakroom::store::StoreError;
use redis::{Arg, Cmd, Pipeline, RedisError, Value};

use crate::error::{self, Effect};
use crate::layout;
use crate::link::{Link, Open};
use crate::names::Names;
use crate::scripts::Source;
use crate::signals::Signals;
use crate::time::ServerTime;
use crate::tracking::{self, Tracking};

pub(crate) struct Shared {
    /// For people: where, never as whom.
    pub(crate) place: Arc<str>,
    pub(crate) names: Names,
    pub(crate) time: ServerTime,
    pub(crate) call_deadline: Duration,
    pub(crate) links: Vec<Link>,
    pub(crate) next_link: AtomicUsize,
    pub(crate) signals: Arc<Signals>,
    pub(crate) tracking: Arc<Tracking>,
}

/// How far a caller waits for all the calls of one operation.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) began: Instant,
    pub(crate) ends: Instant,
}

impl Deadline {
    pub(crate) fn is_past(&self) -> bool {
        Instant::now() >= self.ends
    }
}

/// A script as it is to be run, by its name.
pub(crate) struct Invocation {
    source: &'static Source,
    command: Cmd,
}

impl Invocation {
    pub(crate) fn new(source: &'static Source, keys: &[String]) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&source.sha).arg(keys.len()).arg(keys);
        Invocation { source, command }
    }

    /// Bytes; a list is as many arguments.
    pub(crate) fn arg(&mut self, argument: impl AsRef<[u8]>) -> &mut Self {
        self.command.arg(argument.as_ref());
        self
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        self.command.arg(number);
        self
    }

    /// The same by the script's text.
    fn by_text(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(&self.source.text);
        // Behind the command and the script's name.
        for argument in self.command.args_iter().skip(2) {
            if let Arg::Simple(bytes) = argument {
                command.arg(bytes);
            }
        }
        command
    }
}

/// A script's answer.
pub(crate) struct Answer {
    /// It did what it was asked to; else it answers with what is there.
    pub(crate) done: bool,
    /// The server's clock.
    pub(crate) now: Timestamp,
    bytes: Vec<u8>,
}

impl Answer {
    /// Bytes of an answer before its content.
    const HEAD: usize = 9;

    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(Self::HEAD..).unwrap_or_default()
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        let (how, rest) = bytes.split_first()?;
        let (now, _) = rest.split_first_chunk::<8>()?;
        let done = match how {
            b'+' => true,
            b'-' => false,
            _ => return None,
        };
        let now = layout::time(u64::from_be_bytes(*now));
        Some(Answer { done, now, bytes })
    }
}

impl Shared {
    pub(crate) fn deadline(&self) -> Deadline {
        let began = Instant::now();
        Deadline { began, ends: began + self.call_deadline }
    }

    /// The connection whose turn it is.
    fn link(&self) -> Result<&Link, StoreError> {
        let turn = self.next_link.fetch_add(1, Ordering::Relaxed);
        let link = self.links.get(turn % self.links.len().max(1));
        link.ok_or_else(|| error::unavailable(&self.place, "has no connection"))
    }

    /// The first argument of every script: a test's time, or nothing.
    pub(crate) fn given_time(&self) -> Vec<u8> {
        self.time.given().map_or_else(Vec::new, |now| layout::millis(now).to_string().into_bytes())
    }

    /// Runs a script that answers with one string.
    pub(crate) async fn run(
        &self,
        deadline: Deadline,
        effect: Effect,
        invocation: &Invocation,
    ) -> Result<Answer, StoreError> {
        match self.evaluate(deadline, effect, invocation).await? {
            (Value::BulkString(bytes), asked) => self.answer(bytes, asked, effect),
            _ => Err(error::strange(&self.place, effect)),
        }
    }

    /// Reads an answer, and the server's clock from it.
    pub(crate) fn answer(
        &self,
        bytes: Vec<u8>,
        asked: Instant,
        effect: Effect,
    ) -> Result<Answer, StoreError> {
        let answer = Answer::read(bytes).ok_or_else(|| error::strange(&self.place, effect))?;
        self.time.observe(asked, Instant::now(), answer.now);
        Ok(answer)
    }

    /// Runs a script, by its name or, where the server does not know it (it was started again, or somebody flushed its
    /// scripts), by its text. Answers with the moment at which it was asked as well.
    pub(crate) async fn evaluate(
        &self,
        deadline: Deadline,
        effect: Effect,
        invocation: &Invocation,
    ) -> Result<(Value, Instant), StoreError> {
        let asked = Instant::now();
        match self.ask(deadline, effect, &Asking::One(&invocation.command)).await? {
            Value::ServerError(told) if told.code() == "NOSCRIPT" => {}
            answer => return Ok((self.accepted(answer)?, asked)),
        }
        let by_text = invocation.by_text();
        let asked = Instant::now();
        let answer = self.ask(deadline, effect, &Asking::One(&by_text)).await?;
        Ok((self.accepted(answer)?, asked))
    }

    /// Asks a command that reads.
    pub(crate) async fn read(&self, deadline: Deadline, command: &Cmd) -> Result<Value, StoreError> {
        let answer = self.ask(deadline, Effect::Reads, &Asking::One(command)).await?;
        self.accepted(answer)
    }

    /// Asks several commands that read, in one round trip; answers in their order.
    pub(crate) async fn read_all(
        &self,
        deadline: Deadline,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        self.several(self.ask(deadline, Effect::Reads, &Asking::Many(commands)).await?)
    }

    /// As [`read_all`](Self::read_all), where the answer to the first may be kept by somebody: the server tells of the next
    /// change to it, if anybody wants to be told.
    pub(crate) async fn read_told(
        &self,
        deadline: Deadline,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        if !self.tracking.is_wanted() {
            return self.read_all(deadline, commands).await;
        }
        let mut telling = Pipeline::with_capacity(commands.len() + 1);
        tracking::opt_in(&mut telling);
        for command in commands.cmd_iter() {
            telling.add_command(command.clone());
        }
        let asking = Asking::Told { commands, telling: &telling };
        self.several(self.ask(deadline, Effect::Reads, &asking).await?)
    }

    fn several(&self, answer: Value) -> Result<Vec<Value>, StoreError> {
        match answer {
            Value::Array(answers) => answers.into_iter().map(|answer| self.accepted(answer)).collect(),
            _ => Err(error::strange(&self.place, Effect::Reads)),
        }
    }

    fn accepted(&self, answer: Value) -> Result<Value, StoreError> {
        match answer {
            Value::ServerError(told) => Err(error::refused(&self.place, told.code())),
            answer => Ok(answer),
        }
    }

    async fn ask(
        &self,
        deadline: Deadline,
        effect: Effect,
        asking: &Asking<'_>,
    ) -> Result<Value, StoreError> {
        let mut again = effect == Effect::Reads;
        loop {
            let link = self.link()?;
            let open = match link.ready() {
                Some(open) => open?,
                None => match tokio::time::timeout_at(deadline.ends.into(), link.open()).await {
                    Ok(open) => open?,
                    Err(_) => {
                        return Err(error::unavailable(&self.place, "could not be connected to in time"));
                    }
                },
            };
            let mut unanswered = Unanswered { link, open: &open, deadline, answered: false };
            let answer = tokio::time::timeout_at(deadline.ends.into(), asking.send(link, &open)).await;
            unanswered.answered = answer.is_ok();
            drop(unanswered);
            match answer {
                Ok(Ok(answer)) => {
                    // A primary that was made a replica: its address may lead to the new one by now.
                    if matches!(&answer, Value::ServerError(told) if told.code() == "READONLY") {
                        link.misled(&open);
                    }
                    return Ok(answer);
                }
                Ok(Err(_)) => {
                    link.lost(&open);
                    if !again {
                        return Err(error::unanswered(&self.place, effect, "closed the connection"));
                    }
                    again = false;
                }
                Err(_) => {
                    let how = format!("did not answer within {:?}", self.call_deadline);
                    return Err(error::unanswered(&self.place, effect, &how));
                }
            }
        }
    }
}

/// Commands on their way in one round trip.
enum Asking<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
    /// The same commands, without and with opting in to being told of changes.
    Told {
        commands: &'a Pipeline,
        telling: &'a Pipeline,
    },
}

impl Asking<'_> {
    /// Whatever is an error here left the connection unusable; what the server refuses is a value.
    async fn send(&self, link: &Link, open: &Open) -> Result<Value, RedisError> {
        let mut connection = open.connection.clone();
        match self {
            Asking::One(command) => connection.send_packed_command(command).await,
            Asking::Told { telling, .. } if open.tracks => {
                let answers = connection.send_packed_commands(telling, 0, telling.len()).await?;
                let mut answers = answers.into_iter();
                if answers.next() != Some(Value::Okay) {
                    // Whoever keeps copies must not believe to be told. A new connection finds out what it may do.
                    link.lost(open);
                }
                Ok(Value::Array(answers.collect()))
            }
            Asking::Many(commands) | Asking::Told { commands, .. } => {
                connection.send_packed_commands(commands, 0, commands.len()).await.map(Value::Array)
            }
        }
    }
}

/// A call that has no answer yet. A connection that leaves one without an answer up to its deadline is given up, also where
/// the caller's own deadline came a moment before ours.
struct Unanswered<'a> {
    link: &'a Link,
    open: &'a Open,
    deadline: Deadline,
    answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let patience = self.deadline.ends.saturating_duration_since(self.deadline.began);
        if !self.answered && self.deadline.began.elapsed() >= patience.mul_f64(0.9) {
            self.link.silent(self.open);
        }
    }
}
