use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// The proxies whose forwarding headers (`Forwarded`, `X-Forwarded-*`) are believed.
///
/// Anyone can send such a header. It counts only where the connection comes from one of these addresses, and only as far
/// back as the chain of them reaches. The default is nobody.
///
/// ```
/// use cloakroom::TrustedProxies;
///
/// let proxies = TrustedProxies::parse(["10.0.0.0/8", "fd00::/8", "192.0.2.7"]).unwrap();
/// assert!(proxies.contains("10.1.2.3".parse().unwrap()));
/// assert!(!proxies.contains("203.0.113.9".parse().unwrap()));
/// assert!(TrustedProxies::parse(["10.0.0.0/33"]).is_err());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Text that is neither an address nor a block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "trusted proxy {text:?}: expected an address such as 10.0.0.1 or ::1, or a block such as 10.0.0.0/8 or fd00::/8"
)]
pub struct MalformedProxy {
    /// The text.
    pub text: String,
}

impl TrustedProxies {
    /// Nobody is trusted: every forwarding header is ignored.
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads addresses and blocks in CIDR notation.
    ///
    /// # Errors
    /// [`MalformedProxy`] with the first that is neither.
    pub fn parse<I>(blocks: I) -> Result<Self, MalformedProxy>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        blocks
            .into_iter()
            .map(|block| parse_block(block.as_ref()))
            .collect::<Result<_, _>>()
            .map(TrustedProxies)
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this address is one of the proxies. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`, as a dual-stack
    /// socket reports it) counts as IPv4. Linear in the number of blocks.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|block| block.contains(&address))
    }
}

impl From<Vec<IpNet>> for TrustedProxies {
    fn from(blocks: Vec<IpNet>) -> Self {
        TrustedProxies(blocks)
    }
}

/// One address or block.
impl FromStr for TrustedProxies {
    type Err = MalformedProxy;

    fn from_str(block: &str) -> Result<Self, MalformedProxy> {
        Self::parse([block])
    }
}

fn parse_block(text: &str) -> Result<IpNet, MalformedProxy> {
    let trimmed = text.trim();
    let block = trimmed.parse::<IpNet>().or_else(|_| trimmed.parse::<IpAddr>().map(IpNet::from));
    block.map_err(|_| MalformedProxy { text: text.to_owned() })
}
