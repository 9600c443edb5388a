//! `cloakroom php`: the sessions of PHP applications as JSON that can be read, and back.

mod described;
mod form;
mod readable;
mod redis_key;
mod text;
mod vectors;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use cloakroom_php::{Format, Session};

use self::form::Form;
use self::redis_key::RedisKey;
use crate::Trouble;

/// Values are walked by functions that call themselves, at most as deep as PHP nests, which is deeper than a usual stack.
const STACK: usize = 256 << 20;

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum PhpCommand {
    /// Shows a session as JSON.
    ///
    /// What JSON has no word for is an object whose first key begins with $: {"$bytes": "c3a9"} is a string that is not UTF-8, in
    /// hexadecimal digits; {"$object": "Class", "properties": {…}} an object; {"$enum": "Suit", "case": "Hearts"};
    /// {"$serializable": "Class", "data": …}; {"$id": 1, …} and {"$same": 1} one object in two places; {"$ref": 1, "value": …} and {"$ref": 1}
    /// places that are one PHP reference; {"$pairs": [[key, value], …]} an array whose keys would not survive as JSON; {"$float": "NAN"}.
    Decode {
        #[command(flatten)]
        form: Form,
        /// Where the session is; standard input if not given.
        file: Option<PathBuf>,
        #[command(flatten)]
        key: RedisKey,
    },
    /// Writes a session from the JSON that `decode` shows.
    Encode {
        #[command(flatten)]
        form: Form,
        /// Where the JSON is; standard input if not given.
        file: Option<PathBuf>,
    },
    /// Runs files of vectors: payloads, a line of JSON each, with what PHP says they are.
    ///
    /// A payload must be read as its description says and be written again to the byte; what PHP found malformed must be refused, or be
    /// read in a way that docs/php.md tells.
    Vectors {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Does what was asked for. Its exit code tells whether all vectors passed.
pub(crate) fn run(command: &PhpCommand) -> Result<ExitCode, Trouble> {
    std::thread::scope(|scope| {
        let roomy = std::thread::Builder::new().stack_size(STACK);
        let done = roomy.spawn_scoped(scope, || match command {
            PhpCommand::Decode { form, file, key } => decode(form, file.as_deref(), key),
            PhpCommand::Encode { form, file } => encode(form, file.as_deref()),
            PhpCommand::Vectors { files } => vectors::run(files),
        })?;
        done.join().map_err(|_| "the command ended before its time; this is a defect")?
    })
}

fn decode(form: &Form, file: Option<&Path>, key: &RedisKey) -> Result<ExitCode, Trouble> {
    let payload = match key.read()? {
        Some(payload) => payload,
        None => input(file)?,
    };
    let session = form.decode(payload)?;
    output(readable::write(&session)?.as_bytes())
}

fn encode(form: &Form, file: Option<&Path>) -> Result<ExitCode, Trouble> {
    let text = text::write(&input(file)?)?;
    output(&form.encode(&Session::decode(Format::PhpSerialize, text)?)?)
}

fn input(file: Option<&Path>) -> Result<Vec<u8>, Trouble> {
    match file {
        Some(file) => std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()).into()),
        None => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(|error| format!("standard input: {error}"))?;
            Ok(bytes)
        }
    }
}

fn output(bytes: &[u8]) -> Result<ExitCode, Trouble> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| format!("standard output: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
