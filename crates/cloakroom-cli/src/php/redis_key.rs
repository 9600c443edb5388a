//! A session where a running application has it: a key in Redis.

use clap::Args;
use cloakroom_redis::php::PhpServers;
use cloakroom_redis::{RedisBuilder, RedisUrl};

use crate::Trouble;

/// Neither is ever shown again: there may be a password in the one, and there is a session's id in the other.
#[derive(Clone, Args)]
pub(crate) struct RedisKey {
    /// Take the session from this server instead, `redis://HOST:PORT/DB` or any other URL of one, or of a cluster; it is only read.
    #[arg(long, value_name = "URL", requires = "key", conflicts_with = "file")]
    redis: Option<String>,
    /// The key there, as PHP has it: `PHPREDIS_SESSION:ID`.
    #[arg(long, value_name = "KEY", requires = "redis")]
    key: Option<String>,
}

impl std::fmt::Debug for RedisKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisKey").field("given", &self.redis.is_some()).finish_non_exhaustive()
    }
}

impl RedisKey {
    /// What is under the key, if one was given.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, Trouble> {
        let (Some(url), Some(key)) = (&self.redis, &self.key) else { return Ok(None) };
        let url: RedisUrl = url.parse().map_err(|error| format!("--redis: {error}"))?;
        let place = url.to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let value = runtime.block_on(async {
            let servers = PhpServers::new([(RedisBuilder::new(url), 1)])?;
            Ok::<_, Trouble>(servers.value(key).await?)
        })?;
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(format!(
                "{place} has nothing under the key that --key names; `SCAN` there shows what it has"
            )
            .into()),
        }
    }
}
