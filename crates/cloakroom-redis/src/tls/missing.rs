//! Where the feature `tls` is off: asked for it, a store is not built.

use redis::RedisError;
use tokio::net::TcpStream;

use super::TlsError;
use crate::redis_url::TlsFiles;
use crate::route::Stream;

/// There is none.
pub(crate) enum Tls {}

impl Tls {
    pub(crate) fn new(_: &TlsFiles) -> Result<Self, TlsError> {
        Err(TlsError::NotBuilt)
    }

    pub(crate) async fn over(&self, _: TcpStream, _: &str) -> Result<Box<dyn Stream>, String> {
        match *self {}
    }
}

pub(crate) fn refused(_: &RedisError) -> Option<&'static str> {
    None
}
