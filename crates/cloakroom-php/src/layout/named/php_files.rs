//! PHP's own session handler.

use std::time::Duration;

use cloakroom::IdRules;

use crate::Format;
use crate::layout::coding::Coding;
use crate::layout::scheme::{ACCEPTED, Layout, UP_TO_V};

impl Layout {
    /// PHP's own session handler: `session.save_handler = files`. It belongs on a directory (`cloakroom_file::php::PhpFiles`).
    ///
    /// As PHP has it without further settings on Debian: files `sess_ID`, handler `php`, ids of 26 characters of five bits, 1,440
    /// seconds, cookie `PHPSESSID`.
    pub fn php_files() -> Self {
        Layout {
            name: "php-files",
            prefix: "sess_".to_owned(),
            // The lock is on the file itself.
            lock_suffix: "",
            coding: Coding::Handler(Format::Php),
            ids: IdRules { alphabet: UP_TO_V, length: 26, accepted: ACCEPTED, lengths: 22..=256 },
            lifetime: Duration::from_secs(1440),
            user_variable: None,
            cookie: "PHPSESSID".to_owned(),
        }
    }
}
