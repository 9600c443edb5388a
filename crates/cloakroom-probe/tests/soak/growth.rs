//! What must not grow: the memory of the processes, and what is kept on the server.

use super::ground::{Ground, Kept};

/// Marks of ended sessions stay for a minute, and allocators take their time: nothing is judged before that.
const WARM: usize = 75;
const MIB: u64 = 1024 * 1024;

/// A look each second.
pub struct Growth {
    /// Of each process, in bytes.
    processes: Vec<Vec<u64>>,
    kept: Vec<Kept>,
    for_ever: u64,
}

impl Growth {
    pub fn new(processes: usize) -> Self {
        Growth { processes: vec![Vec::new(); processes], kept: Vec::new(), for_ever: 0 }
    }

    pub fn look(&mut self, processes: &[u32], ground: &dyn Ground) {
        for (process, seen) in processes.iter().zip(&mut self.processes) {
            seen.push(resident(*process));
        }
        if let Some(kept) = ground.kept() {
            self.for_ever = self.for_ever.max(kept.without_expiry);
            self.kept.push(kept);
        }
    }

    pub fn line(&self) -> String {
        let newest = |seen: &Vec<u64>| seen.last().map_or(0.0, |bytes| mib(*bytes));
        let of_processes: Vec<String> =
            self.processes.iter().map(|seen| format!("{:.1}", newest(seen))).collect();
        let keys = self.kept.last().map_or(0, |kept| kept.keys);
        format!("{} MiB, {keys} keys", of_processes.join(" + "))
    }

    pub fn summary(&self) -> String {
        let mut text = String::from("  memory of the processes, once warm and at the end:");
        for seen in &self.processes {
            let (warm, end) = halves(seen);
            text.push_str(&format!(" {:.1} and {:.1} MiB;", mib(warm), mib(end)));
        }
        let (keys, keys_end) = halves(&self.of_kept(|kept| kept.keys));
        let (memory, memory_end) = halves(&self.of_kept(|kept| kept.memory));
        text.push_str(&format!(
            "\n  on the server: {keys} and {keys_end} keys, {:.1} and {:.1} MiB; keys without an expiry: {} at most",
            mib(memory),
            mib(memory_end),
            self.for_ever
        ));
        text
    }

    /// What grew.
    pub fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.for_ever > 0 {
            wrong.push(format!("{} keys on the server had no expiry", self.for_ever));
        }
        if self.kept.is_empty() {
            wrong.push("the server was never there to be asked".to_owned());
        }
        // A tenth, and what a second more or less of traffic is: a leak that matters is more than that in ten minutes.
        let grew = |(before, after): (u64, u64), slack: u64| after > before + before / 10 + slack;
        for (n, seen) in self.processes.iter().enumerate() {
            if grew(halves(seen), 6 * MIB) {
                wrong.push(format!("process {n} grew: {seen:?} bytes, each second"));
            }
        }
        // Before the first marks are gone, keys only become more. And how many of a minute there are goes with how much was done in it,
        // which takes longer than a few minutes to even out.
        if self.kept.len() >= 4 * WARM {
            if grew(halves(&self.of_kept(|kept| kept.keys)), 100) {
                wrong.push(format!("keys became more: {:?}", self.of_kept(|kept| kept.keys)));
            }
            if grew(halves(&self.of_kept(|kept| kept.memory)), MIB) {
                wrong.push(format!("the server grew: {:?}", self.of_kept(|kept| kept.memory)));
            }
        }
        wrong
    }

    fn of_kept(&self, what: impl Fn(&Kept) -> u64) -> Vec<u64> {
        self.kept.iter().map(what).collect()
    }
}

/// The medians of the first and of the second half, once it is warm: after a while, or after the first third of a short run.
fn halves(seen: &[u64]) -> (u64, u64) {
    let warm = &seen[WARM.min(seen.len() / 3)..];
    let (first, second) = warm.split_at(warm.len() / 2);
    (median(first), median(second))
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// What a process has in memory, in bytes.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("in kB");
    kib * 1024
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

#[test]
fn what_grows_is_found_out_and_what_is_warm_is_not() {
    let growth = |process: &dyn Fn(u64) -> u64, keys: &dyn Fn(u64) -> u64, for_ever| Growth {
        processes: vec![(0..600).map(|second| process(second) * MIB).collect()],
        kept: (0..600).map(|n| Kept { keys: keys(n), without_expiry: for_ever, memory: 5 * MIB }).collect(),
        for_ever,
    };
    let warming = |second: u64| 10 + second.min(60);
    assert_eq!(growth(&|_| 20, &warming, 0).wrong(), Vec::<String>::new());
    assert_eq!(growth(&warming, &|n| 900 + n % 50, 0).wrong(), Vec::<String>::new());
    assert_eq!(growth(&|second| 20 + second / 20, &|_| 9, 0).wrong().len(), 1);
    assert_eq!(growth(&|_| 20, &|n| 1_000 + n, 0).wrong().len(), 1);
    assert_eq!(growth(&|_| 20, &|_| 9, 1).wrong().len(), 1);
}
