//! Answers that are not what the visitor hoped for, as pages.

use std::time::Duration;

use askama::Template;
use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use cloakroom::{Discarded, ErrorKind, SessionError};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::page::Page;

/// Why a request is not answered as it wished.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// There is no such page.
    NotFound,
    /// There is, but not for this method.
    Method,
    /// A form that is none of ours, or that somebody changed.
    Form(StatusCode),
    /// A form without its token.
    Token,
    /// Not without the admin's token.
    Unauthorized,
    /// Too many wrong tokens; wait this long.
    TooMany(Duration),
    /// A mistake of the program.
    Broken,
    /// What the session says.
    Session(SessionError),
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    status: u16,
    heading: &'static str,
    text: &'static str,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::Method => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::Form(status) => *status,
            Refusal::Token => StatusCode::FORBIDDEN,
            Refusal::Unauthorized => StatusCode::UNAUTHORIZED,
            Refusal::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Session(error) => error.status(),
        }
    }

    fn words(&self) -> (&'static str, &'static str) {
        match self {
            Refusal::NotFound => ("Nothing hangs here", "There is no such page. The hook is empty."),
            Refusal::Method => ("Not that way", "This page is there, but it cannot be asked for like this."),
            Refusal::Form(_) => {
                ("That form is not ours", "A field is missing or says something it cannot say.")
            }
            Refusal::Token => FOREIGN,
            Refusal::Unauthorized => ("Staff only", "This needs the admin's token."),
            Refusal::TooMany(_) => ("Too many wrong tokens", "Wait a moment before the next try."),
            Refusal::Broken => BROKEN,
            Refusal::Session(error) => words_for(error.kind()),
        }
    }
}

fn error_page(status: StatusCode, (heading, text): (&'static str, &'static str)) -> Response<Bytes> {
    let page = ErrorPage { page: Page::apart(heading), status: status.as_u16(), heading, text };
    let mut response = Response::new(Bytes::from(page.render().unwrap_or_else(|_| heading.to_owned())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
    }
    response
}

const FOREIGN: (&str, &str) = (
    "That did not come from this page",
    "The request came from another site, or from a page that is older than your login. Nothing was changed: open the page \
     anew and try again.",
);

const BROKEN: (&str, &str) = ("Our mistake", "Something went wrong on our side. Nothing was changed.");

fn words_for(kind: ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Full => (
            "The counter is closed for a moment",
            "The session store does not answer. Nothing was changed, your coat is safe: try again shortly.",
        ),
        ErrorKind::Unknown => (
            "We did not hear the answer",
            "The session store's answer was lost. What you asked for was done as a whole or not at all: look before you \
             try again.",
        ),
        ErrorKind::Undurable => (
            "Done, and not yet safe",
            "What you asked for was done, and too few replicas of the session store have confirmed it: look before you try again.",
        ),
        ErrorKind::Lost => (
            "Your coat is missing",
            "The session store lost your session before its time. That is never passed over in silence.",
        ),
        ErrorKind::Gone => (
            "That ticket was handed in",
            "Your session ended while this request ran: a logout, a revocation, or a new id. It changed nothing.",
        ),
        ErrorKind::Conflict | ErrorKind::LeaseLost => (
            "Two hands on one hanger",
            "Another request of yours changed what this one had read. Rather than overwrite it unseen, the shop changed \
             nothing: try again.",
        ),
        ErrorKind::LockTimeout => (
            "Somebody is at the counter",
            "Another request of yours holds the lock on your session, and did not let go in time. Try again.",
        ),
        ErrorKind::TooLarge => {
            ("Too much for one hanger", "The session would grow past its limit. Nothing was changed.")
        }
        ErrorKind::CrossSite => FOREIGN,
        _ => BROKEN,
    }
}

/// The page in place of a success response whose session could not be committed.
pub(crate) fn instead(error: &SessionError, _: Discarded<'_>) -> Response<Bytes> {
    error_page(error.status(), words_for(error.kind()))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        if let Refusal::Session(error) = &self {
            tracing::debug!(%error, "a handler was refused by its session");
        }
        let mut response = error_page(self.status(), self.words());
        if let Refusal::TooMany(wait) = self {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
        }
        response.map(Body::from)
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        Refusal::Session(error)
    }
}
