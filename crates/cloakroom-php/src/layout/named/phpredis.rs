//! phpredis' own session handler.

use std::time::Duration;

use cloakroom::IdRules;

use crate::Format;
use crate::layout::coding::{Coding, Form, Packing};
use crate::layout::error::LayoutError;
use crate::layout::scheme::{ACCEPTED, InCookie, InFile, Ini, Layout, LockAt, UP_TO_V, php_cookie};

const PREFIX: &str = "PHPREDIS_SESSION:";
const IN_CLUSTER: &str = "PHPREDIS_CLUSTER_SESSION:";

impl Layout {
    /// phpredis' own session handler: `session.save_handler = redis`, on one server or spread over several.
    ///
    /// As PHP has it without further settings on Debian: prefix `PHPREDIS_SESSION:`, handler `php`, ids of 26 characters of five
    /// bits, 1,440 seconds, cookie `PHPSESSID`.
    pub fn phpredis() -> Self {
        Layout {
            name: "phpredis",
            own_prefix: PREFIX,
            told_prefix: None,
            lock: LockAt::Behind("_LOCK"),
            coding: Coding { form: Form::Handler(Format::Php), packing: Packing::NotSet },
            ids: IdRules { alphabet: UP_TO_V, length: 26, accepted: ACCEPTED, lengths: 22..=256 },
            lifetime: Duration::from_secs(1440),
            user_variable: None,
            cookie: php_cookie(),
            in_cookie: InCookie::Id,
            ini: Ini::All,
            endless: false,
            in_file: InFile::Session,
        }
    }

    /// The same in a Redis Cluster: `session.save_handler = rediscluster`. Keys begin with `PHPREDIS_CLUSTER_SESSION:` unless they were given another
    /// [`prefix`](Self::prefix), and phpredis takes no lock, whatever `redis.session.locking_enabled` says: leases of ours are in keys of our own. Of a
    /// layout that is in a cluster already it is the same.
    ///
    /// # Errors
    /// The layout is not phpredis' own session handler's.
    pub fn in_cluster(self) -> Result<Self, LayoutError> {
        if !self.is_by_phpredis() {
            return Err(LayoutError::Cluster(self.name));
        }
        Ok(Layout { own_prefix: IN_CLUSTER, lock: LockAt::Beside, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_cluster_a_prefix_that_is_told_stands_before_and_after_and_once_more() {
        let in_cluster = |layout: Layout| layout.in_cluster().unwrap();
        for layout in [Layout::phpredis(), Layout::symfony_phpredis()] {
            assert_eq!(in_cluster(layout.clone()).data_prefix(), IN_CLUSTER);
            // The one of a single server is one to tell as any other.
            for told in [PREFIX, "shop:"] {
                let before = in_cluster(layout.clone().prefix(told));
                let after = in_cluster(layout.clone()).prefix(told);
                assert_eq!(before.data_prefix(), told);
                assert_eq!(before, after);
                assert_eq!(in_cluster(after), before);
            }
        }
        assert!(matches!(Layout::uma().in_cluster(), Err(LayoutError::Cluster("uma"))));
    }
}
