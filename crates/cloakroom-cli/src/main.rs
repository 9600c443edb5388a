//! The `cloakroom` program. Without arguments it starts the demo shop and says what to open.

mod admin;
mod demo;
mod doctor;
mod listen;
mod options;
mod php;
mod shop;
mod stop;
mod storage;
mod web;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::options::{DemoOptions, Options, Task};

/// Whatever ends the program before its time, as a sentence for its user.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Threads that still wait for the disk when everything else is done get this long.
const LAST_WORDS: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let ended = match Options::parse().task() {
        Task::Demo(options) => demo(*options),
        Task::Php(command) => php::run(&command),
        Task::Doctor(options) => doctor::run(&options, &mut std::io::stdout().lock()),
    };
    match ended {
        Ok(code) => code,
        Err(trouble) => failed(&trouble),
    }
}

fn demo(options: DemoOptions) -> Result<ExitCode, Trouble> {
    log_to_stderr();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(demo::run(options));
    runtime.shutdown_timeout(LAST_WORDS);
    ended.map(|()| ExitCode::SUCCESS)
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
