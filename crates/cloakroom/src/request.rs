//! What the session needs to know of a request, noted when it arrives and read if the session is opened.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ::http::header::{AUTHORIZATION, USER_AGENT};
use ::http::{HeaderMap, HeaderValue, Method, Uri};

use crate::error::{ErrorKind, SessionError};
use crate::http::cookie::scan::Scanned;
use crate::http::transport::{Presented, PresentedTwice};
use crate::http::{fields, security};
use crate::manager::HttpPolicy;
use crate::record::Device;

/// Bytes of the `User-Agent` that are kept.
const AGENT_BYTES: usize = 256;

/// The head of a request, borrowed from whatever type carries it.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub uri: &'a Uri,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl<'a, B> From<&'a http::Request<B>> for RequestHead<'a> {
    fn from(request: &'a http::Request<B>) -> Self {
        RequestHead { method: request.method(), uri: request.uri(), headers: request.headers() }
    }
}

impl<'a> From<&'a http::request::Parts> for RequestHead<'a> {
    fn from(parts: &'a http::request::Parts) -> Self {
        RequestHead { method: &parts.method, uri: &parts.uri, headers: &parts.headers }
    }
}

/// Noted without an allocation and without a store call.
#[derive(Default)]
pub(crate) struct RequestFacts {
    presented: Presented,
    pub(crate) secure: bool,
    /// It came from a trusted proxy.
    pub(crate) proxied: bool,
    /// Responses to it may be made public: it is a request to read, and does not say who asks. Noted where that matters.
    pub(crate) may_be_public: bool,
    address: Option<IpAddr>,
    agent: Option<HeaderValue>,
}

impl RequestFacts {
    /// Those of a request with this head. Every request pays for it: it is made where the caller wants it.
    #[inline]
    pub(crate) fn of(head: RequestHead<'_>, peer: Option<SocketAddr>, policy: &HttpPolicy) -> Self {
        let secure = security::is_secure(head.uri, head.headers, peer, &policy.proxies);
        let mut facts = RequestFacts::default();
        policy.transport.read(head.headers, secure, &mut facts.presented);
        facts.secure = secure;
        if policy.cache.is_public() {
            // RFC 9111 §3.5: said to be public, what was told to one who authenticated would be told to all. §3: and what answers a
            // POST, no cache expects.
            let reads = matches!(*head.method, Method::GET | Method::HEAD);
            facts.may_be_public = reads && !fields::has(head.headers, &AUTHORIZATION);
        }
        if peer.is_some() {
            facts.proxied = security::is_proxied(peer, &policy.proxies);
            facts.address = security::client_address(head.headers, peer, &policy.proxies);
        }
        if let Some(agent) = fields::all(head.headers, &USER_AGENT).next() {
            facts.agent = Some(agent.clone());
        }
        facts
    }

    /// The ids the request came with.
    pub(crate) fn candidates(&self) -> Result<&Scanned, SessionError> {
        self.presented.ids().map_err(|PresentedTwice| {
            SessionError::because(
                ErrorKind::CrossSite,
                "it has a session id in the header and one in a cookie; send one of them",
            )
        })
    }

    /// Where the visitor comes from, for the list of a user's devices.
    pub(crate) fn device(&self) -> Option<Arc<Device>> {
        let agent = self.agent.as_ref().map(|a| String::from_utf8_lossy(a.as_bytes()));
        if self.address.is_none() && agent.is_none() {
            return None;
        }
        let mut agent: String = agent.unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
        let mut end = agent.len().min(AGENT_BYTES);
        while !agent.is_char_boundary(end) {
            end -= 1;
        }
        agent.truncate(end);
        let address = self.address.map(|a| a.to_string()).unwrap_or_default();
        Some(Arc::new(Device { address, agent }))
    }
}
