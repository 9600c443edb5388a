//! PhalconSessionRedis: the handler of 1ma, with a prefix, a format and a lifetime of its own.

use std::time::Duration;

use crate::Format;
use crate::layout::coding::Form;
use crate::layout::scheme::{Ini, Layout, LockAt};

impl Layout {
    /// PhalconSessionRedis: prefix `SESSIONS:`, always `php_serialize`, 3,600 seconds, always under a lock.
    ///
    /// Its options are [`prefix`](Self::prefix) and, for `lifetime`, [`gc_maxlifetime`](Self::gc_maxlifetime); ids and cookie are PHP's. Its lock is as
    /// [`uma`](Self::uma)'s.
    pub fn phalcon() -> Self {
        Layout {
            name: "phalcon",
            own_prefix: "SESSIONS:",
            lock: LockAt::Behind("_lock"),
            coding: Form::Handler(Format::PhpSerialize).into(),
            lifetime: Duration::from_secs(3600),
            ini: Ini::Ids,
            ..Layout::phpredis()
        }
    }
}
