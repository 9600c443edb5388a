//! What is asked in one round trip, and how it is put on a connection.

use std::time::{Duration, Instant};

use redis::{Cmd, Pipeline, Value};

use crate::durability::Waited;
use crate::link::{Link, Open};
use crate::pipe::Unanswered;

/// Commands on their way in one round trip.
pub(crate) enum Asking<'a> {
    One(&'a Cmd),
    /// One, as it is sent.
    Packed(&'a [u8]),
    Many(&'a Pipeline),
    /// The same commands, without and with opting in to being told of changes.
    Told {
        commands: &'a Pipeline,
        telling: &'a Pipeline,
    },
    /// A write, and the words that wait for it for as long as there is time left when it is sent.
    Waited(&'a Waited<'a>),
    /// The same of a node that has the keys already, though not yet their slot.
    Ahead(&'a Asking<'a>),
}

impl Asking<'_> {
    /// Whatever is an error here left the connection unusable; what the server refuses is a value.
    pub(crate) async fn send(&self, link: &Link, open: &Open, ends: Instant) -> Result<Value, Unanswered> {
        let connection = &open.connection;
        match self {
            Asking::One(command) => connection.ask(command, ends).await,
            Asking::Packed(command) => connection.ask_packed(command, ends).await,
            Asking::Told { telling, .. } if open.tracks => {
                let answers = connection.ask_all(telling, ends).await?;
                let mut answers = answers.into_sequence().unwrap_or_default().into_iter();
                if answers.next() != Some(Value::Okay) {
                    // Whoever keeps copies must not believe to be told. A new connection finds out what it may do.
                    link.lost(open);
                }
                Ok(Value::Array(answers.collect()))
            }
            Asking::Ahead(Asking::One(command)) => {
                let mut ahead = Pipeline::with_capacity(2);
                ahead.cmd("ASKING").add_command((*command).clone());
                let answers = connection.ask_all(&ahead, ends).await?;
                Ok(answers.into_sequence().ok().and_then(|mut answers| answers.pop()).unwrap_or(Value::Nil))
            }
            Asking::Ahead(Asking::Packed(command)) => {
                let answers = connection.ask_packed_behind(&redis::cmd("ASKING"), command, ends).await?;
                Ok(answers.into_sequence().ok().and_then(|mut answers| answers.pop()).unwrap_or(Value::Nil))
            }
            Asking::Waited(waited) => {
                let waits = waited.time(ends);
                connection.ask_all_waiting(&waited.words(waits), waits, ends).await
            }
            Asking::Ahead(Asking::Waited(waited)) => {
                let waits = waited.time(ends);
                ask_ahead(open, &waited.words(waits), waits, ends).await
            }
            Asking::Ahead(Asking::Many(commands) | Asking::Told { commands, .. }) => {
                ask_ahead(open, commands, Duration::ZERO, ends).await
            }
            // Nobody goes further ahead.
            Asking::Ahead(Asking::Ahead(_)) => Ok(Value::Nil),
            Asking::Many(commands) | Asking::Told { commands, .. } => {
                connection.ask_all(commands, ends).await
            }
        }
    }
}

/// Each of the commands behind the word that lets a node answer that does not have the slot yet.
async fn ask_ahead(
    open: &Open,
    commands: &Pipeline,
    waits: Duration,
    ends: Instant,
) -> Result<Value, Unanswered> {
    let mut ahead = Pipeline::with_capacity(2 * commands.len());
    for command in commands.cmd_iter() {
        ahead.cmd("ASKING").add_command(command.clone());
    }
    let answers = open.connection.ask_all_waiting(&ahead, waits, ends).await?;
    let answers = answers.into_sequence().unwrap_or_default();
    Ok(Value::Array(answers.into_iter().skip(1).step_by(2).collect()))
}
