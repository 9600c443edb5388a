//! On what all this was measured.

use std::time::SystemTime;

use serde::Serialize;

/// The machine and the moment.
#[derive(Serialize)]
pub struct Machine {
    /// The processor, as the system calls it.
    pub processor: String,
    /// Processors that this program may use.
    pub processors: usize,
    /// Name and version of the kernel.
    pub system: String,
    /// The compiler.
    pub compiler: String,
    /// When it was measured.
    pub date: String,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let of_processor = |wanted: &str| {
            let info = read("/proc/cpuinfo");
            info.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.trim() == wanted)
                .map(|(_, value)| value.trim().to_owned())
        };
        let compiler = std::process::Command::new("rustc").arg("--version").output();
        Machine {
            processor: of_processor("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            system: format!("{} {}", std::env::consts::OS, read("/proc/sys/kernel/osrelease").trim()),
            compiler: compiler
                .ok()
                .and_then(|output| String::from_utf8(output.stdout).ok())
                .map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned()),
            date: httpdate::fmt_http_date(SystemTime::now()),
        }
    }
}
