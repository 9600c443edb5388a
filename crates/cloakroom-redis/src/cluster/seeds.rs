//! Where a cluster is asked who belongs to it: some of its nodes, as they stand in a URL.

use std::fmt;

use super::map::Place;
use crate::InvalidRedisUrl;

/// Most nodes in a URL. The cluster itself tells of the others.
const MOST: usize = 64;
/// The port, unless told.
const PORT: u16 = 6379;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seeds(Vec<Place>);

impl Seeds {
    pub(crate) fn new(places: impl IntoIterator<Item = Place>) -> Result<Self, InvalidRedisUrl> {
        let mut seeds: Vec<Place> = Vec::new();
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
        text.split(',').map(place).collect::<Result<Vec<_>, _>>().and_then(Self::new)
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.0
    }
}

fn place(text: &str) -> Result<Place, InvalidRedisUrl> {
    let (host, behind) = match text.strip_prefix('[') {
        Some(address) => address.split_once(']').ok_or(InvalidRedisUrl::Seeds)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match behind.strip_prefix(':') {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            port.parse().map_err(|_| InvalidRedisUrl::Seeds)?
        }
        None if behind.is_empty() => PORT,
        _ => return Err(InvalidRedisUrl::Seeds),
    };
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'-' | b'_');
    match !host.is_empty() && host.bytes().all(fits) && port > 0 {
        true => Ok(Place::new(host, port)),
        false => Err(InvalidRedisUrl::Seeds),
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
