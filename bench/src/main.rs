//! Cloakroom side by side with its peers, in one run. See README.md.

mod alloc;
mod durable;
mod locks;
mod machine;
mod php;
mod report;
mod requests;
mod served;
mod stats;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use report::Report;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

const USAGE: &str = "\
cargo run --release -- [--quick] [--only requests|durable|served|php|locks] [--json FILE] [--dir FOLDER] [--server PROGRAM] [--check]

  --quick   fewer and shorter rounds: to see that it works, not to quote
  --only    one of the five tables
  --json    where the results go, the picture beside them (results/latest.json)
  --dir     where the databases are made (target, so that they are on a real disk)
  --server  the server of the third and the last table (redis-server)
  --check   exit with 1 where a promise does not hold

cargo run --release -- --one SCENARIO bare|cloakroom|tower-sessions REQUESTS

  runs the requests of one scenario, named as in the table, on one subject: for a profiler

cargo run --release -- --one WORK SUBJECT REQUESTS AT_ONCE [PROGRAM]

  the same of the table of sessions on a server, on this one";

struct Options {
    quick: bool,
    only: Option<String>,
    json: PathBuf,
    directory: PathBuf,
    server: String,
    check: bool,
}

fn options() -> Result<Options, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut options = Options {
        quick: false,
        only: None,
        json: here.join("results/latest.json"),
        directory: here.join("target"),
        server: served::SERVER.to_owned(),
        check: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--check" => options.check = true,
            "--only" => match value()? {
                only if ["requests", "durable", "served", "php", "locks"].contains(&only.as_str()) => {
                    options.only = Some(only)
                }
                other => {
                    return Err(format!("--only takes requests, durable, served, php or locks, not {other}"));
                }
            },
            "--json" => options.json = value()?.into(),
            "--server" => options.server = value()?,
            "--dir" => options.directory = value()?.into(),
            other => return Err(format!("there is no option {other}")),
        }
    }
    Ok(options)
}

/// `--one`, where it is asked for.
fn one() -> Option<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let taken = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [locks::serve::COMMAND, url, socket] => {
            let served = locks::serve::serve(url, socket);
            return Some(served.map_or_else(
                |error| {
                    eprintln!("{error}");
                    ExitCode::FAILURE
                },
                |()| ExitCode::SUCCESS,
            ));
        }
        ["--one", scenario, subject, requests] => {
            requests.parse().ok().and_then(|count| requests::one(scenario, subject, count))
        }
        ["--one", work, subject, requests, at_once] => {
            let numbers = requests.parse().ok().zip(at_once.parse().ok());
            numbers.and_then(|(count, at_once)| served::one(work, subject, count, at_once, served::SERVER))
        }
        ["--one", work, subject, requests, at_once, program] => {
            let numbers = requests.parse().ok().zip(at_once.parse().ok());
            numbers.and_then(|(count, at_once)| served::one(work, subject, count, at_once, program))
        }
        _ => return None,
    };
    let Some(taken) = taken else {
        eprintln!("there is no such scenario, subject or number\n\n{USAGE}");
        return Some(ExitCode::from(2));
    };
    println!("{:?}, {} allocations", taken.elapsed, taken.allocations);
    Some(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    if let Some(done) = one() {
        return done;
    }
    let options = match options() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let wanted = |what: &str| options.only.as_deref().is_none_or(|only| only == what);
    let mut report = Report {
        machine: machine::Machine::here(),
        requests: Vec::new(),
        durable: Vec::new(),
        served: None,
        php: Vec::new(),
        locks: None,
    };
    if wanted("requests") {
        let effort = if options.quick {
            requests::Effort { rounds: 30, batch: 200 }
        } else {
            requests::Effort { rounds: 600, batch: 500 }
        };
        report.requests = requests::run(effort);
    }
    if wanted("durable") {
        let effort = if options.quick {
            durable::Effort { rounds: 2, length: Duration::from_millis(200) }
        } else {
            durable::Effort { rounds: 9, length: Duration::from_millis(800) }
        };
        let folder = tempfile::tempdir_in(&options.directory).expect("a folder for the databases");
        report.durable = durable::run(effort, folder.path());
    }
    if wanted("served") {
        let effort = if options.quick {
            served::Effort { rounds: 3, batch: 2_048 }
        } else {
            served::Effort { rounds: 15, batch: 8_192 }
        };
        report.served = match served::run(effort, &options.server) {
            Ok(served) => Some(served),
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::FAILURE;
            }
        };
    }
    if wanted("php") {
        let effort = if options.quick {
            php::Effort { rounds: 3, length: 2_000_000 }
        } else {
            php::Effort { rounds: 21, length: 30_000_000 }
        };
        report.php = match php::run(effort) {
            Ok(rows) => rows,
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::FAILURE;
            }
        };
    }
    if wanted("locks") {
        let effort = if options.quick {
            locks::Effort { rounds: 2, handovers: 20 }
        } else {
            locks::Effort { rounds: 7, handovers: 100 }
        };
        report.locks = match locks::run(effort, &options.server) {
            Ok(locks) => Some(locks),
            // The other tables need nothing of PHP.
            Err(problem) if options.only.is_none() && !options.check => {
                eprintln!("the table of locks is left out: {problem}");
                None
            }
            Err(problem) => {
                eprintln!("{problem}");
                return ExitCode::FAILURE;
            }
        };
    }
    report.print();
    if let Err(error) = report.write(&options.json) {
        eprintln!("{}: {error}", options.json.display());
        return ExitCode::FAILURE;
    }
    println!("\nwritten to {} and the .svg beside it", options.json.display());
    if options.check && !report.holds() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
