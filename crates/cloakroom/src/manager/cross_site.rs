//! Whether a request was caused by another site.

use super::SessionManager;
use crate::error::{ErrorKind, SessionError};
use crate::http::csrf::{self, Verdict, form};
use crate::http::security;
use crate::request::RequestHead;
use crate::session::SessionHandle;

/// What is to be done with a request before its handler runs.
pub(crate) enum CrossSiteVerdict {
    /// Its own site's, or harmless.
    Fine,
    /// Another site's: refused.
    Refused,
    /// Nothing in the head tells: the session's token must be there.
    AskFor(PresentedToken),
}

/// A token that a request presents, or none.
pub(crate) struct PresentedToken(Option<String>);

impl PresentedToken {
    /// Opens the session and checks the token against it.
    pub(crate) async fn check(self, handle: SessionHandle) -> Result<(), SessionError> {
        let Some(token) = self.0 else { return Err(SessionError::new(ErrorKind::CrossSite)) };
        handle.read_only().await?;
        if handle.0.csrf_token_fits(&token) { Ok(()) } else { Err(SessionError::new(ErrorKind::CrossSite)) }
    }

    fn or_in(self, form: &[u8], field: &str) -> Self {
        let in_form =
            || form::find(form, field).and_then(|value| String::from_utf8(value.as_bytes().to_vec()).ok());
        PresentedToken(self.0.or_else(in_form))
    }
}

impl SessionManager {
    /// Whether a request may reach its handler, where protection against other sites' requests is on
    /// ([`SessionConfig::csrf`](super::SessionConfig::csrf)); always, where it is off.
    ///
    /// Opens the session only where nothing but a token can tell.
    ///
    /// # Errors
    /// [`CrossSite`](ErrorKind::CrossSite): answer with [`replace`](SessionManager::replace) and leave the handler alone. What
    /// the store can fail with, where the session had to be opened.
    pub async fn admit(
        &self,
        head: impl Into<RequestHead<'_>>,
        handle: &SessionHandle,
    ) -> Result<(), SessionError> {
        match self.cross_site(&head.into(), handle) {
            CrossSiteVerdict::Fine => Ok(()),
            CrossSiteVerdict::Refused => Err(SessionError::new(ErrorKind::CrossSite)),
            CrossSiteVerdict::AskFor(token) => token.check(handle.clone()).await,
        }
    }

    /// As [`admit`](SessionManager::admit), for an adapter that has the body of a form at hand: the token may be in it, in the
    /// field [`CsrfConfig::field`](super::CsrfConfig::field), instead of in the header.
    ///
    /// `form` is `application/x-www-form-urlencoded`; its first 64 KiB are looked at, the beginning is enough.
    ///
    /// # Errors
    /// As [`admit`](SessionManager::admit).
    pub async fn admit_form(
        &self,
        head: impl Into<RequestHead<'_>>,
        handle: &SessionHandle,
        form: &[u8],
    ) -> Result<(), SessionError> {
        match (self.cross_site(&head.into(), handle), &self.0.http.csrf) {
            (CrossSiteVerdict::Fine, _) => Ok(()),
            (CrossSiteVerdict::AskFor(token), Some(csrf)) => {
                token.or_in(form, &csrf.field).check(handle.clone()).await
            }
            (CrossSiteVerdict::Refused | CrossSiteVerdict::AskFor(_), _) => {
                Err(SessionError::new(ErrorKind::CrossSite))
            }
        }
    }

    /// Fetch metadata first, then `Origin`, then the token; only where the id travels by itself, in a cookie.
    pub(crate) fn cross_site(&self, head: &RequestHead<'_>, handle: &SessionHandle) -> CrossSiteVerdict {
        let http = &self.0.http;
        let Some(csrf) = &http.csrf else { return CrossSiteVerdict::Fine };
        if !http.transport.is_ambient() {
            return CrossSiteVerdict::Fine;
        }
        let request = &handle.0.request;
        let asked = csrf::Asked {
            method: head.method,
            headers: head.headers,
            host: security::requested_host(head.uri, head.headers, request.proxied),
            secure: request.secure,
        };
        match csrf::check(asked, &csrf.allowed_origins) {
            Verdict::Safe | Verdict::SameOrigin => CrossSiteVerdict::Fine,
            Verdict::Refused(reason) => {
                tracing::info!(target: "cloakroom", %reason, "a request from another site was refused");
                CrossSiteVerdict::Refused
            }
            Verdict::NeedsToken => {
                let token = head.headers.get(&csrf.header).and_then(|v| v.to_str().ok()).map(str::to_owned);
                CrossSiteVerdict::AskFor(PresentedToken(token))
            }
        }
    }
}
