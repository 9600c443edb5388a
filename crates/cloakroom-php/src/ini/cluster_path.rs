//! `session.save_path` of phpredis' handler `rediscluster`: nodes and options, as a query.

use std::fmt;
use std::time::Duration;

use super::options::{Options, host_and_port};
use super::save_path::SavePathError;

/// A cluster in phpredis' `session.save_path`.
///
/// Source: phpredis' manual on its [session handler for clusters](https://github.com/phpredis/phpredis/blob/develop/cluster.md#session-handler), and
/// `PS_OPEN_FUNC(rediscluster)` in its `redis_session.c`.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClusterPath {
    /// Host and port of each node that is named.
    pub seeds: Vec<(String, u16)>,
    /// Whether the nodes are spoken to over TLS.
    pub tls: bool,
    /// In front of each key; it replaces `PHPREDIS_CLUSTER_SESSION:`.
    pub prefix: Option<String>,
    /// Of an ACL.
    pub user: Option<String>,
    /// A secret: `Debug` does not show it.
    pub password: Option<String>,
    /// How long connecting may take; zero is for ever.
    pub timeout: Duration,
    /// `failover`: whether PHP reads from replicas as well, which may not have the last write yet.
    pub reads_replicas: bool,
}

impl fmt::Debug for ClusterPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterPath")
            .field("seeds", &self.seeds)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("timeout", &self.timeout)
            .field("reads_replicas", &self.reads_replicas)
            .finish()
    }
}

/// Reads it. What is no node is passed over, as phpredis does, unless nothing is left.
pub(super) fn cluster(path: &str) -> Result<ClusterPath, SavePathError> {
    let options = Options::of(path);
    let mut tls = false;
    let mut seeds = Vec::new();
    for seed in options.values(|key| key.starts_with("seed[") && key.ends_with(']')) {
        let (scheme, place) = seed.split_once("://").unwrap_or(("tcp", seed));
        // A node without its port is none.
        let port = place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        if let Some(seed) = port.and_then(|_| host_and_port(place)) {
            tls |= matches!(scheme, "tls" | "ssl");
            seeds.push(seed);
        }
    }
    if seeds.is_empty() {
        return Err(SavePathError::Seeds);
    }
    let seconds = options.last("timeout").and_then(|text| text.trim().parse().ok()).unwrap_or(0.0);
    let failover = options.last("failover").unwrap_or_default();
    let (user, password) = options.auth();
    Ok(ClusterPath {
        seeds,
        tls,
        prefix: options.last("prefix").map(str::to_owned),
        user,
        password,
        timeout: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        reads_replicas: ["error", "distribute"].iter().any(|known| failover.eq_ignore_ascii_case(known)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_options_are_read() {
        let path = "seed[]=a.internal:7000&seed[]=10.0.0.2:7001&seed[2]=[::1]:7002&seed[]=nothing&timeout=1.5&prefix=shop%3A&\
                    auth[]=web&auth[]=s%26cret&failover=distribute&persistent=1";
        let read = cluster(path).unwrap();
        let seeds = [("a.internal", 7000), ("10.0.0.2", 7001), ("::1", 7002)];
        assert_eq!(read.seeds, seeds.map(|(host, port)| (host.to_owned(), port)));
        assert_eq!((read.tls, read.prefix.as_deref()), (false, Some("shop:")));
        assert_eq!((read.user.as_deref(), read.password.as_deref()), (Some("web"), Some("s&cret")));
        assert_eq!((read.timeout, read.reads_replicas), (Duration::from_millis(1500), true));
        assert!(!format!("{read:?}").contains("s&cret"));
        let over_tls = cluster("seed[]=tls://a:7000&timeout=soon").unwrap();
        assert_eq!((over_tls.tls, over_tls.prefix, over_tls.timeout), (true, None, Duration::ZERO));
    }

    #[test]
    fn what_names_no_node_is_refused() {
        for path in
            ["", "tcp://a:7000", "seed=a:7000", "seed[]=a", "seed[]=:7000", "seed[]=[::1]", "seed[]=a:x"]
        {
            assert_eq!(cluster(path), Err(SavePathError::Seeds), "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_is_too_much(path in ".{0,80}", odd in "(seed\\[)?[a-z:/?&=\\[\\],;% 0-9]{0,60}") {
            let _ = (cluster(&path), cluster(&odd));
        }
    }
}
