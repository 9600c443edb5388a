//! Where a server listens: a host and a port, as they stand in a URL.

use std::fmt;

use url::Host;

use crate::digits::digits;

/// A host, by name or address, and its port.
#[derive(Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub(crate) struct HostPort {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl HostPort {
    pub(crate) fn new(host: impl Into<String>, port: u16) -> Self {
        HostPort { host: host.into(), port }
    }

    /// `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`; `port` where none is given.
    pub(crate) fn read(text: &str, port: u16) -> Option<Self> {
        let behind_brackets = text.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match text.get(behind_brackets..)?.split_once(':') {
            None => (text, port),
            Some((rest, port)) => (text.get(..behind_brackets + rest.len())?, digits(port)?),
        };
        let host = Host::parse(host).ok()?.to_string();
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (port != 0 && !host.is_empty()).then_some(HostPort { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
