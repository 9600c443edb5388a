//! PHP's own session handler.

use crate::Format;
use crate::layout::coding::Form;
use crate::layout::scheme::{Layout, LockAt};

impl Layout {
    /// PHP's own session handler: `session.save_handler = files`. It belongs on a directory (`cloakroom_file::php::PhpFiles`).
    ///
    /// As PHP has it without further settings on Debian: files `sess_ID`, handler `php`, ids of 26 characters of five bits, 1,440
    /// seconds, cookie `PHPSESSID`.
    pub fn php_files() -> Self {
        Layout {
            name: "php-files",
            own_prefix: "sess_",
            lock: LockAt::OnData,
            coding: Form::Handler(Format::Php).into(),
            ..Layout::phpredis()
        }
    }
}
