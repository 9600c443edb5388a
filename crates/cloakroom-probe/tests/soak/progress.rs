//! How it goes: a bar for whoever watches a terminal, a line now and then for a log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::growth::Growth;
use super::tally::Tally;

/// Between two lines in a log.
const NOW_AND_THEN: Duration = Duration::from_secs(30);

pub struct Progress {
    name: String,
    bar: Option<ProgressBar>,
    began: Instant,
    told: Instant,
}

impl Progress {
    pub fn new(name: &str, length: Duration) -> Self {
        let now = Instant::now();
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("soak on {prefix} {bar:30} {pos}/{len} s  {msg}").unwrap();
            ProgressBar::new(length.as_secs()).with_style(style).with_prefix(name.to_owned())
        });
        Progress { name: name.to_owned(), bar, began: now, told: now }
    }

    pub fn show(&mut self, tally: &Tally, growth: &Growth) {
        let passed = self.began.elapsed().as_secs();
        let line = format!("{}; {}", tally.line(), growth.line());
        match &self.bar {
            Some(bar) => {
                bar.set_position(passed);
                bar.set_message(line);
            }
            None if self.told.elapsed() >= NOW_AND_THEN => {
                self.told = Instant::now();
                eprintln!("soak on {}, {passed} s: {line}", self.name);
            }
            None => {}
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
