//! Keeping sessions out of caches.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use http::StatusCode;
use http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, HeaderValue, PRAGMA, SET_COOKIE};

use super::cache_control::{self, MaxAge, Stricter};
use super::cookie::format::write_date;
use super::fields;
use super::word::{UnknownWord, pick};
use crate::clock::Timestamp;

/// What responses of a session say to caches: PHP's `session.cache_limiter`, by the same names.
///
/// A response that opened its session or sets its cookie is never left publicly cacheable, whichever is chosen: where the
/// application has a `Cache-Control` of its own, `public` and `s-maxage` are taken out and `private` is put in, what
/// restricts is kept, and the stricter of both holds. Responses that did neither are not touched, save by
/// [`CacheLimiter::Public`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CacheLimiter {
    /// Nothing is kept anywhere: `Cache-Control: no-store, no-cache, must-revalidate`, `Pragma: no-cache` and an `Expires`
    /// in the past. A `max-age` of the application stays in the text, without effect.
    #[default]
    NoCache,
    /// The visitor's browser may keep the page: `private, max-age=…`, and an `Expires` in the past for caches so
    /// old that they know nothing else.
    Private {
        /// How long, in whole seconds.
        max_age: Duration,
    },
    /// As [`Private`](CacheLimiter::Private), without `Expires`.
    PrivateNoExpire {
        /// How long, in whole seconds.
        max_age: Duration,
    },
    /// Successful responses to `GET` and `HEAD` without `Authorization` that did *not* open the session, set no cookie and say nothing of
    /// caching themselves become `public, max-age=…`; those that did open it are treated as with `PrivateNoExpire`.
    Public {
        /// How long, in whole seconds.
        max_age: Duration,
    },
    /// Adds nothing where the application says `private` or `no-store` itself. Else the response becomes `private`, and
    /// `no-store` when it sets the cookie: public caches stay closed.
    None,
}

impl CacheLimiter {
    /// PHP's `session.cache_expire`: 180 minutes.
    pub const DEFAULT_MAX_AGE: Duration = Duration::from_secs(180 * 60);
}

/// `nocache`, `private`, `private_no_expire`, `public` or `none`, in any case; where it matters, with
/// [`CacheLimiter::DEFAULT_MAX_AGE`].
impl FromStr for CacheLimiter {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let max_age = Self::DEFAULT_MAX_AGE;
        pick(
            word,
            &[
                ("nocache", CacheLimiter::NoCache),
                ("private", CacheLimiter::Private { max_age }),
                ("private_no_expire", CacheLimiter::PrivateNoExpire { max_age }),
                ("public", CacheLimiter::Public { max_age }),
                ("none", CacheLimiter::None),
            ],
        )
    }
}

/// What a response had to do with its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Involvement {
    /// The session was opened: what the response says may depend on it, if only on there being none.
    pub(crate) opened: bool,
    /// The response sets or deletes the session's cookie (or its header).
    pub(crate) sets_cookie: bool,
}

/// The moment in the past that PHP sends, by which an uncached session is recognised everywhere.
const LONG_AGO: HeaderValue = HeaderValue::from_static("Thu, 19 Nov 1981 08:52:00 GMT");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store, no-cache, must-revalidate");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

/// A [`CacheLimiter`] with its header values prepared.
#[derive(Clone, Debug)]
pub(crate) struct CachePolicy {
    limiter: CacheLimiter,
    /// What a response of the session says if the application says nothing.
    own: HeaderValue,
    /// What a response without a session says under `Public`.
    public: HeaderValue,
}

impl CachePolicy {
    pub(crate) fn new(limiter: CacheLimiter) -> Self {
        let with_max_age = |word: &str, max_age: Duration| {
            let mut text = String::with_capacity(40);
            let _ = write!(text, "{word}, max-age={}", max_age.as_secs());
            // A word and digits.
            HeaderValue::try_from(text).unwrap_or(NO_STORE)
        };
        let (own, public) = match limiter {
            CacheLimiter::NoCache => (NO_STORE, NO_STORE),
            CacheLimiter::Private { max_age } | CacheLimiter::PrivateNoExpire { max_age } => {
                (with_max_age("private", max_age), NO_STORE)
            }
            CacheLimiter::Public { max_age } => {
                (with_max_age("private", max_age), with_max_age("public", max_age))
            }
            CacheLimiter::None => (HeaderValue::from_static("private"), NO_STORE),
        };
        CachePolicy { limiter, own, public }
    }

    /// Whether responses without a session are made cacheable.
    pub(crate) fn is_public(&self) -> bool {
        matches!(self.limiter, CacheLimiter::Public { .. })
    }

    /// Sets the caching headers of a response. Whatever the status: an error or a redirect says as much about the visitor
    /// as a page does, and a 304 replaces the headers of the response that it confirms.
    ///
    /// Allocates nothing where the application set no `Cache-Control`.
    pub(crate) fn apply(
        &self,
        status: StatusCode,
        headers: &mut HeaderMap,
        involvement: Involvement,
        now: Timestamp,
    ) {
        if !involvement.opened && !involvement.sets_cookie {
            if let CacheLimiter::Public { max_age } = self.limiter
                && may_be_public(status, headers)
            {
                let mut date = Vec::with_capacity(29);
                write_date(&mut date, now.after(max_age));
                insert(headers, CACHE_CONTROL, self.public.clone());
                insert(headers, EXPIRES, HeaderValue::try_from(date).unwrap_or(LONG_AGO));
            }
            return;
        }
        remove_targeted(headers);
        // These and `Vary`: a map that must grow for them grows once, and now, while little is in it.
        let _ = headers.try_reserve(4);
        let sets_cookie = involvement.sets_cookie;
        let silent = match self.limiter {
            CacheLimiter::None if sets_cookie => say_if_silent(headers, &NO_STORE),
            _ => say_if_silent(headers, &self.own),
        };
        match self.limiter {
            CacheLimiter::NoCache => {
                if !silent {
                    let max_age = if sets_cookie { MaxAge::Drop } else { MaxAge::Keep };
                    cache_control::tighten(headers, Stricter { no_store: true, max_age });
                }
                insert(headers, PRAGMA, NO_CACHE);
                insert(headers, EXPIRES, LONG_AGO);
            }
            CacheLimiter::Private { max_age }
            | CacheLimiter::PrivateNoExpire { max_age }
            | CacheLimiter::Public { max_age } => {
                if !silent {
                    let max_age = if sets_cookie { MaxAge::AtMost(max_age) } else { MaxAge::Keep };
                    cache_control::tighten(headers, Stricter { no_store: false, max_age });
                }
                if matches!(self.limiter, CacheLimiter::Private { .. }) {
                    insert(headers, EXPIRES, LONG_AGO);
                }
            }
            CacheLimiter::None if silent || cache_control::is_closed(headers) => {}
            CacheLimiter::None => {
                let max_age = if sets_cookie { MaxAge::Drop } else { MaxAge::Keep };
                cache_control::tighten(headers, Stricter { no_store: sets_cookie, max_age });
            }
        }
    }
}

/// Gives the response this `Cache-Control` where it has none; `false` where the application has said something.
fn say_if_silent(headers: &mut HeaderMap, value: &HeaderValue) -> bool {
    let silent = !fields::has(headers, &CACHE_CONTROL);
    if silent {
        insert(headers, CACHE_CONTROL, value.clone());
    }
    silent
}

/// Only what worked, what sets no cookie of anybody's, and what says nothing of caching itself.
fn may_be_public(status: StatusCode, headers: &HeaderMap) -> bool {
    let worked = status.is_success() || status == StatusCode::NOT_MODIFIED;
    worked && ![CACHE_CONTROL, EXPIRES, PRAGMA, SET_COOKIE].iter().any(|name| headers.contains_key(name))
}

/// Takes out headers by which an application addresses one kind of cache: it would follow them and ignore
/// `Cache-Control` (RFC 9213 §2.2; nginx and LiteSpeed do so with theirs).
fn remove_targeted(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| is_targeted(name)).cloned() {
        headers.remove(name);
    }
}

fn is_targeted(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.ends_with("cdn-cache-control")
        || matches!(
            name,
            "surrogate-control" | "x-accel-expires" | "x-litespeed-cache-control" | "edge-control"
        )
}

/// Fails only past 32,768 header fields.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let _ = headers.try_insert(name, value);
}
