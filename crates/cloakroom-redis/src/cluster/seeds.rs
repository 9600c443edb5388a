//! Where a cluster is asked who belongs to it: some of its nodes, as they stand in a URL.

use std::fmt;

use crate::InvalidRedisUrl;
use crate::host::HostPort;

/// Most nodes in a URL. The cluster itself tells of the others.
const MOST: usize = 64;
/// The port, unless told.
const PORT: u16 = 6379;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seeds(Vec<HostPort>);

impl Seeds {
    pub(crate) fn new(places: impl IntoIterator<Item = HostPort>) -> Result<Self, InvalidRedisUrl> {
        let mut seeds: Vec<HostPort> = Vec::new();
        for place in places {
            if place.host.is_empty() || place.port == 0 || seeds.len() == MOST {
                return Err(InvalidRedisUrl::Seeds);
            }
            if !seeds.contains(&place) {
                seeds.push(place);
            }
        }
        if seeds.is_empty() { Err(InvalidRedisUrl::Seeds) } else { Ok(Seeds(seeds)) }
    }

    /// `host:port,[address]:port,host`.
    pub(crate) fn read(text: &str) -> Result<Self, InvalidRedisUrl> {
        let each: Option<Vec<_>> = text.split(',').map(|one| HostPort::read(one, PORT)).collect();
        Self::new(each.ok_or(InvalidRedisUrl::Seeds)?)
    }

    pub(crate) fn places(&self) -> &[HostPort] {
        &self.0
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, place) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{place}")?;
        }
        Ok(())
    }
}
