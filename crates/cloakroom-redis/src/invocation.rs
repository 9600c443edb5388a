//! A script on its way: how it is asked for, and what it answers.

use cloakroom::clock::Timestamp;
use redis::{Arg, Cmd, Value};

use crate::durability::{Kept, Write};
use crate::layout;
use crate::scripts::Source;
use crate::shared::{Spot, Told};

/// A script as it is to be run, by its name.
pub(crate) struct Invocation {
    source: &'static Source,
    /// Of its keys, which are all in one slot.
    pub(crate) spot: Spot,
    pub(crate) command: Cmd,
    /// To be waited for as a write of this kind.
    pub(crate) waits: Option<Write>,
}

/// What a script answered, and whether what it made is kept where it is to be.
pub(crate) struct Evaluated {
    pub(crate) told: Told<Value>,
    pub(crate) kept: Kept,
}

impl Invocation {
    pub(crate) fn new(source: &'static Source, keys: &[String]) -> Self {
        // Room for what nearly every script is given, beside the session itself.
        let mut command = Cmd::with_capacity(8, 256);
        command.arg("EVALSHA").arg(&source.sha).arg(keys.len()).arg(keys);
        let spot = Spot::of(keys.first().map_or("", String::as_str));
        Invocation { source, spot, command, waits: None }
    }

    /// It may be a write of this kind, which is acknowledged when it is kept where it is to be.
    pub(crate) fn waits(&mut self, write: Write) -> &mut Self {
        self.waits = Some(write);
        self
    }

    /// The first of its keys.
    pub(crate) fn first_key(&self) -> &[u8] {
        // Behind the command, the script's name and the number of keys.
        match self.command.args_iter().nth(3) {
            Some(Arg::Simple(name)) => name,
            _ => &[],
        }
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
    pub(crate) fn by_text(&self) -> Cmd {
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
    pub(crate) kept: Kept,
    bytes: Vec<u8>,
}

impl Answer {
    /// Bytes of an answer before its content.
    const HEAD: usize = 9;

    pub(crate) fn rest(&self) -> &[u8] {
        self.bytes.get(Self::HEAD..).unwrap_or_default()
    }

    pub(crate) fn read(bytes: Vec<u8>) -> Option<Self> {
        let (how, rest) = bytes.split_first()?;
        let (now, _) = rest.split_first_chunk::<8>()?;
        let done = match how {
            b'+' => true,
            b'-' => false,
            _ => return None,
        };
        let now = layout::time(u64::from_be_bytes(*now));
        Some(Answer { done, now, kept: Kept::AsAsked, bytes })
    }
}
