//! The worked migration: a small PHP shop and a Rust service behind one nginx, with one visitor.
//!
//! Without arguments it starts everything in a temporary folder and says what to open; `docs/migrating-from-php.md` walks through it. With
//! `service` it is the Rust half alone.

mod goods;
mod house;
mod nginx;
mod page;
mod php;
mod processes;
mod service;

use std::process::ExitCode;

/// Whatever ends the program before its time, as a sentence for its user.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => run(house::open(None)),
        ["--listen", port] => match port.parse() {
            Ok(port) => run(house::open(Some(port))),
            Err(_) => Err(format!("--listen takes a port, not {port:?}").into()),
        },
        ["service", configuration] => run(service::serve((*configuration).to_owned())),
        _ => Err("usage: ./migration [--listen PORT]".into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(trouble) => {
            for line in trouble.to_string().lines() {
                eprintln!("migration: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn run(program: impl Future<Output = Result<(), Trouble>>) -> Result<(), Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(program);
    // A thread may still wait for a line on standard input.
    runtime.shutdown_background();
    ended
}
