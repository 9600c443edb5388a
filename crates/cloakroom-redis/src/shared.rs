//! What all operations share: the servers, the names, and how a command is asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloakroom::StoreKey;
use cloakroom::clock::{Clock, Timestamp, deadline_after};
use cloakroom::store::StoreError;
use redis::{Cmd, Pipeline, Value};

use crate::asking::Asking;
use crate::cluster::slot_of;
use crate::durability::{Durability, Kept, Over};
use crate::error::{self, Effect};
use crate::expiry::Expiry;
use crate::invocation::{Answer, Evaluated, Invocation};
use crate::layout;
use crate::link::{Link, Open};
use crate::names::Names;
use crate::node::{Node, Nodes};
use crate::permissions;
use crate::pipe::Unanswered;
use crate::signals::Signals;
use crate::tracking::{self, Tracking};

pub(crate) struct Shared {
    /// For people: where, never as whom.
    pub(crate) place: Arc<str>,
    pub(crate) names: Names,
    /// A test's own, in place of the servers'.
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) call_deadline: Duration,
    /// What writes are waited for.
    pub(crate) durability: Option<Durability>,
    pub(crate) nodes: Nodes,
    pub(crate) signals: Signals,
    pub(crate) tracking: Arc<Tracking>,
    /// Where the server is to tell of sessions that expire.
    pub(crate) expiry: Option<Arc<Expiry>>,
}

/// How far a caller waits for all the calls of one operation.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) began: Instant,
    pub(crate) ends: Instant,
}

impl Deadline {
    /// So long from now.
    pub(crate) fn within(patience: Duration) -> Self {
        let began = Instant::now();
        Deadline { began, ends: deadline_after(began, patience) }
    }

    /// From now until then.
    #[cfg(feature = "php")]
    pub(crate) fn until(ends: Instant) -> Self {
        Deadline { began: Instant::now(), ends }
    }

    /// The earlier one of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Deadline { ends: self.ends.min(other.ends), ..self }
    }

    pub(crate) fn is_past(&self) -> bool {
        Instant::now() >= self.ends
    }
}

/// Which server a command is for: whichever has the keys of a slot. A single one has all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Spot(pub(crate) u16);

impl Spot {
    pub(crate) fn of(name: &str) -> Self {
        Spot(slot_of(name.as_bytes()))
    }
}

/// What a server answered, and which one.
pub(crate) struct Told<T> {
    pub(crate) value: T,
    pub(crate) by: Arc<Node>,
}

impl Shared {
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::within(self.call_deadline)
    }

    /// Where this session is, and what is left of it, and what it becomes.
    pub(crate) fn spot(&self, key: &StoreKey) -> Spot {
        match &self.nodes {
            // Has all of them: nobody need look where.
            Nodes::One(_) => Spot(0),
            Nodes::Cluster(_) => Spot::of(&self.names.entry(key)),
        }
    }

    /// The server of that spot, as far as is known without asking.
    pub(crate) fn known(&self, spot: Spot) -> Option<Arc<Node>> {
        match &self.nodes {
            Nodes::One(node) => Some(node.clone()),
            Nodes::Cluster(cluster) => cluster.known(spot),
        }
    }

    /// All servers that sessions are on.
    pub(crate) async fn primaries(&self, deadline: Deadline) -> Result<Vec<Arc<Node>>, StoreError> {
        match &self.nodes {
            Nodes::One(node) => Ok(vec![node.clone()]),
            Nodes::Cluster(cluster) => cluster.primaries(self, deadline).await,
        }
    }

    /// The time that a test gives.
    pub(crate) fn given(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(|clock| clock.now())
    }

    /// The first argument of every script: a test's time, or nothing.
    pub(crate) fn given_time(&self) -> Vec<u8> {
        self.given().map_or_else(Vec::new, |now| layout::millis(now).to_string().into_bytes())
    }

    /// Runs a script that answers with one string.
    pub(crate) async fn run(
        &self,
        deadline: Deadline,
        effect: Effect,
        invocation: &Invocation,
    ) -> Result<Answer, StoreError> {
        let asked = Instant::now();
        let Evaluated { told, kept } = self.evaluate(deadline, effect, invocation).await?;
        match told.value {
            Value::BulkString(bytes) => {
                let mut answer = self.answer(bytes, &told.by, asked, effect)?;
                answer.kept = kept;
                Ok(answer)
            }
            _ => Err(error::strange(&self.place, effect)),
        }
    }

    /// Reads an answer, and the server's clock from it. It was not asked for before `asked`.
    pub(crate) fn answer(
        &self,
        bytes: Vec<u8>,
        by: &Node,
        asked: Instant,
        effect: Effect,
    ) -> Result<Answer, StoreError> {
        let answer = Answer::read(bytes).ok_or_else(|| error::strange(&self.place, effect))?;
        by.time.observe(asked, Instant::now(), answer.now);
        Ok(answer)
    }

    /// Runs a script, by its name or, where the server does not know it (it was started again, or somebody flushed its
    /// scripts), by its text.
    pub(crate) async fn evaluate(
        &self,
        deadline: Deadline,
        effect: Effect,
        invocation: &Invocation,
    ) -> Result<Evaluated, StoreError> {
        let mut evaluated = self.evaluate_once(deadline, effect, invocation, &invocation.command).await?;
        if matches!(&evaluated.told.value, Value::ServerError(error) if error.code() == "NOSCRIPT") {
            let by_text = invocation.by_text();
            evaluated = Box::pin(self.evaluate_once(deadline, effect, invocation, &by_text)).await?;
        }
        let Evaluated { told, kept } = evaluated;
        match &told.value {
            Value::ServerError(error) if permissions::is_hidden(error) => {
                Err(Box::pin(self.not_permitted(told.by, deadline)).await)
            }
            _ => Ok(Evaluated { told: told.accepted()?, kept }),
        }
    }

    async fn evaluate_once(
        &self,
        deadline: Deadline,
        effect: Effect,
        invocation: &Invocation,
        command: &Cmd,
    ) -> Result<Evaluated, StoreError> {
        if let Some(wanted) = self.durability
            && invocation.waits.is_some_and(|write| self.waits_for(write))
        {
            let waiting = self.evaluate_waiting(wanted, deadline, effect, invocation, command);
            return Box::pin(waiting).await;
        }
        let told = self.ask(deadline, effect, invocation.spot, &Asking::One(command)).await?;
        Ok(Evaluated { told, kept: Kept::AsAsked })
    }

    /// Asks a command that reads.
    pub(crate) async fn read(
        &self,
        deadline: Deadline,
        spot: Spot,
        command: &Cmd,
    ) -> Result<Told<Value>, StoreError> {
        self.ask(deadline, Effect::Reads, spot, &Asking::One(command)).await?.accepted()
    }

    /// The same of one that is put into bytes already.
    pub(crate) async fn read_packed(
        &self,
        deadline: Deadline,
        spot: Spot,
        command: &[u8],
    ) -> Result<Told<Value>, StoreError> {
        self.ask(deadline, Effect::Reads, spot, &Asking::Packed(command)).await?.accepted()
    }

    /// Asks this node a command that reads, whatever is in question.
    pub(crate) async fn read_from(
        &self,
        node: Arc<Node>,
        deadline: Deadline,
        command: &Cmd,
    ) -> Result<Told<Value>, StoreError> {
        self.ask_node(node, deadline, Effect::Reads, &Asking::One(command)).await?.accepted()
    }

    /// Asks several commands that read, in one round trip; answers in their order.
    pub(crate) async fn read_all(
        &self,
        deadline: Deadline,
        spot: Spot,
        commands: &Pipeline,
    ) -> Result<Told<Vec<Value>>, StoreError> {
        self.ask(deadline, Effect::Reads, spot, &Asking::Many(commands)).await?.several()
    }

    /// As [`read_all`](Self::read_all), where the answer to the first may be kept by somebody: the server tells of the next
    /// change to it, if anybody wants to be told.
    pub(crate) async fn read_told(
        &self,
        deadline: Deadline,
        spot: Spot,
        commands: &Pipeline,
    ) -> Result<Told<Vec<Value>>, StoreError> {
        if !self.tracking.is_wanted() {
            return self.read_all(deadline, spot, commands).await;
        }
        let mut telling = Pipeline::with_capacity(commands.len() + 1);
        tracking::opt_in(&mut telling);
        for command in commands.cmd_iter() {
            telling.add_command(command.clone());
        }
        let asking = Asking::Told { commands, telling: &telling };
        self.ask(deadline, Effect::Reads, spot, &asking).await?.several()
    }

    /// Asks this node several commands that read; refusals are among the answers.
    pub(crate) async fn try_all(
        &self,
        node: Arc<Node>,
        deadline: Deadline,
        commands: &Pipeline,
    ) -> Result<Vec<Value>, StoreError> {
        match self.ask_node(node, deadline, Effect::Reads, &Asking::Many(commands)).await?.value {
            Value::Array(answers) => Ok(answers),
            _ => Err(error::strange(&self.place, Effect::Reads)),
        }
    }

    /// Asks whoever has the keys of that spot.
    pub(crate) async fn ask(
        &self,
        deadline: Deadline,
        effect: Effect,
        spot: Spot,
        asking: &Asking<'_>,
    ) -> Result<Told<Value>, StoreError> {
        match &self.nodes {
            Nodes::One(node) => self.ask_node(node.clone(), deadline, effect, asking).await,
            Nodes::Cluster(cluster) => {
                Box::pin(self.ask_cluster(cluster, deadline, effect, spot, asking, Over::Shared)).await
            }
        }
    }

    /// Asks this one, whatever is in question.
    pub(crate) async fn ask_node(
        &self,
        node: Arc<Node>,
        deadline: Deadline,
        effect: Effect,
        asking: &Asking<'_>,
    ) -> Result<Told<Value>, StoreError> {
        self.ask_over(None, node, deadline, effect, asking).await
    }

    /// The same, over this connection to it or over the one whose turn it is.
    pub(crate) async fn ask_over(
        &self,
        over: Option<&Link>,
        node: Arc<Node>,
        deadline: Deadline,
        effect: Effect,
        asking: &Asking<'_>,
    ) -> Result<Told<Value>, StoreError> {
        let mut again = effect == Effect::Reads;
        loop {
            let link = match over {
                Some(link) => link,
                None => node.link()?,
            };
            let open = match link.ready() {
                Some(open) => open?,
                None => match Box::pin(tokio::time::timeout_at(deadline.ends.into(), link.open())).await {
                    Ok(open) => open?,
                    Err(_) => {
                        return Err(error::unavailable(&node.place, "could not be connected to in time"));
                    }
                },
            };
            let mut waiting = Waiting { link, open: &open, deadline, answered: false };
            let one = match asking {
                Asking::One(command) => Some(open.connection.ask(command, deadline.ends)),
                Asking::Packed(command) => Some(open.connection.ask_packed(command, deadline.ends)),
                _ => None,
            };
            let answer = match one {
                Some(answered) => open.connection.in_time(answered, deadline.ends).await,
                // On the heap: nearly every call is one command, and would carry along what the others take.
                None => {
                    let answered = Box::pin(asking.send(link, &open, deadline.ends));
                    open.connection.in_time(answered, deadline.ends).await
                }
            };
            waiting.answered = true;
            drop(waiting);
            match answer {
                Ok(answer) => {
                    let first = match &answer {
                        Value::Array(answers) => answers.first(),
                        answer => Some(answer),
                    };
                    let demoted =
                        matches!(first, Some(Value::ServerError(told)) if told.code() == "READONLY");
                    if demoted && link.may_turn() && !deadline.is_past() {
                        // It refused, so nothing was done: asked of the one that took over, also where it writes.
                        link.lost(&open);
                        continue;
                    }
                    if demoted {
                        // A primary that was made a replica: its address may lead to the new one by now.
                        link.misled(&open);
                    }
                    return Ok(Told { value: answer, by: node });
                }
                Err(Unanswered::Lost) => {
                    link.lost(&open);
                    if !again {
                        return Err(error::unanswered(&node.place, effect, "closed the connection"));
                    }
                    again = false;
                }
                Err(late @ (Unanswered::Late | Unanswered::Unattended)) => {
                    // Otherwise its own task has told the link, if the server is silent: it may as well have been asked too late.
                    if late == Unanswered::Unattended {
                        link.silent(&open);
                    }
                    let how = format!("did not answer within {:?}", self.call_deadline);
                    return Err(error::unanswered(&node.place, effect, &how));
                }
                Err(Unanswered::Crowded) => {
                    return Err(error::unavailable(
                        &node.place,
                        "takes in nothing: too much waits to be sent",
                    ));
                }
            }
        }
    }
}

impl Told<Value> {
    /// The answer, if it is not that the server will not.
    pub(crate) fn accepted(self) -> Result<Self, StoreError> {
        match &self.value {
            Value::ServerError(told) => Err(self.by.refuses(told)),
            _ => Ok(self),
        }
    }

    /// The answers, if none of them is that.
    fn several(self) -> Result<Told<Vec<Value>>, StoreError> {
        let Told { value, by } = self;
        let Value::Array(answers) = value else { return Err(error::strange(&by.place, Effect::Reads)) };
        match answers.iter().find_map(|answer| match answer {
            Value::ServerError(told) => Some(by.refuses(told)),
            _ => None,
        }) {
            Some(refused) => Err(refused),
            None => Ok(Told { value: answers, by }),
        }
    }
}

/// Somebody waits for an answer. Where the connection's own task does not run along with whoever waits, it may not run any more, and a
/// connection that leaves a call without an answer up to its deadline is given up here, also where the caller's own deadline came a
/// moment before ours.
struct Waiting<'a> {
    link: &'a Link,
    open: &'a Open,
    deadline: Deadline,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let patience = self.deadline.ends.saturating_duration_since(self.deadline.began);
        if !self.answered
            && self.deadline.began.elapsed() >= patience.mul_f64(0.9)
            && !self.open.connection.is_attended_here()
        {
            self.link.silent(self.open);
        }
    }
}
