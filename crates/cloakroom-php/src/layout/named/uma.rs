//! [1ma/RedisSessionHandler](https://github.com/1ma/RedisSessionHandler): phpredis' keys under a lock of its own.

use crate::Format;
use crate::layout::coding::Form;
use crate::layout::scheme::{Layout, LockAt};

impl Layout {
    /// `UMA\RedisSessionHandler`: phpredis' keys and formats, always under a lock, always in strict mode.
    ///
    /// Settings as [`phpredis`](Self::phpredis) has them. The lock is another key than phpredis' own, `_lock` for `_LOCK`: the two handlers
    /// do not exclude each other on the same keys.
    ///
    /// PHP's lock has no owner, and whoever closes a session deletes it: one that PHP held for longer than `max_execution_time` takes away
    /// the lock of whoever came after. A write here that has lost its lock in this way is refused, never made.
    pub fn uma() -> Self {
        let coding = Form::Handler(Format::Php).into();
        Layout { name: "uma", lock: LockAt::Behind("_lock"), coding, ..Layout::phpredis() }
    }
}
