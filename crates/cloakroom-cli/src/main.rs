//! The `cloakroom` program. Without arguments it starts the demo shop and says what to open.

mod admin;
mod demo;
mod listen;
mod options;
mod shop;
mod storage;
mod web;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::options::Options;

/// Whatever ends the program before its time, as a sentence for its user.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Threads that still wait for the disk when everything else is done get this long.
const LAST_WORDS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let options = Options::parse();
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let ended = runtime.block_on(demo::run(options.demo()));
    runtime.shutdown_timeout(LAST_WORDS);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => failed(&trouble),
    }
}

fn failed(trouble: &Trouble) -> ExitCode {
    // Everything that is wrong with a configuration comes as several lines.
    for line in trouble.to_string().lines() {
        eprintln!("cloakroom: {line}");
    }
    ExitCode::FAILURE
}

/// Warnings and errors, or what `RUST_LOG` asks for. Standard output is for what the user is to read.
fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
