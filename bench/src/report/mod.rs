//! The results: as a table, as JSON, as a picture.

mod picture;
mod table;

use std::path::Path;

use serde::Serialize;

use crate::machine::Machine;
use crate::{durable, locks, php, requests, served};

/// Everything that was measured in one run.
#[derive(Serialize)]
pub struct Report {
    /// Where and when.
    pub machine: Machine,
    /// Requests in process.
    pub requests: Vec<requests::Row>,
    /// Durable writes on SQLite.
    pub durable: Vec<durable::Row>,
    /// Sessions on a server.
    pub served: Option<served::Served>,
    /// PHP's formats beside PHP's own functions.
    pub php: Vec<php::Row>,
    /// Locks, beside PHP.
    pub locks: Option<locks::Locks>,
}

impl Report {
    /// Prints the table.
    pub fn print(&self) {
        print!("{}", table::text(self));
    }

    /// Writes the JSON to `path`, and the picture beside it.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        std::fs::write(path, json)?;
        std::fs::write(path.with_extension("svg"), picture::svg(self))
    }

    /// Whether every promise held.
    pub fn holds(&self) -> bool {
        self.requests.iter().all(requests::Row::holds)
            && self.durable.iter().all(durable::Row::holds)
            && self.served.iter().flat_map(|served| &served.rows).all(served::Row::holds)
            && self.php.iter().all(php::Row::holds)
            && self.served.iter().flat_map(|served| &served.near).all(|row| row.of_raw.holds())
            && self.locks.iter().all(locks::Locks::holds)
    }
}
