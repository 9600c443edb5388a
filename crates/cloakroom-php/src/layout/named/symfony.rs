//! Symfony's session storage, over its own Redis handler or over phpredis'.

use crate::Format;
use crate::layout::coding::{Coding, Form};
use crate::layout::scheme::{Layout, LockAt};

impl Layout {
    /// Symfony with `RedisSessionHandler`: prefix `sf_s`, the format of php.ini, no lock.
    ///
    /// The session's keys are the attributes, as `$session->get('basket')` has them: what Symfony keeps in `_sf2_attributes`. Flash messages are left alone, and
    /// `_sf2_meta` is kept as Symfony keeps it.
    ///
    /// Its options are [`prefix`](Self::prefix) and, for `ttl`, [`gc_maxlifetime`](Self::gc_maxlifetime). Symfony takes no lock: leases of ours are in keys of our own, and
    /// exclude each other only. Who is logged in is an object of Symfony's, which stays as it is: a login there is not known here, unless the application keeps
    /// the user in an attribute as well ([`user_variable`](Self::user_variable)).
    pub fn symfony() -> Self {
        Layout {
            name: "symfony",
            own_prefix: "sf_s",
            lock: LockAt::Beside,
            coding: Form::Bags(Format::Php).into(),
            ..Layout::phpredis()
        }
    }

    /// Symfony with `handler_id: null` over phpredis' session handler: that one's keys, and its lock where it is switched on.
    pub fn symfony_phpredis() -> Self {
        let phpredis = Layout::phpredis();
        let coding = Coding { form: Form::Bags(Format::Php), ..phpredis.coding };
        Layout { name: "symfony-phpredis", coding, ..phpredis }
    }
}
