//! What every page says around its own matter.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use cloakroom::{Session, SessionError};
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// A message that is shown once, on whichever page comes next.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Flash {
    pub(crate) text: String,
    pub(crate) good: bool,
    /// What the request that left it did with the session, for "behind the counter".
    pub(crate) behind: Option<String>,
}

impl Flash {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Flash { text: text.into(), good: true, behind: None }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Flash { text: text.into(), good: false, behind: None }
    }

    pub(crate) fn behind(mut self, text: impl Into<String>) -> Self {
        self.behind = Some(text.into());
        self
    }
}

/// Whether the visitor has a session yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ticket {
    None,
    Held,
    /// The page does not ask.
    Unknown,
}

/// Title, visitor, messages, notes.
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) here: &'static str,
    pub(crate) ticket: Ticket,
    pub(crate) user: Option<String>,
    pub(crate) in_basket: u32,
    pub(crate) flashes: Vec<Flash>,
    /// For the hidden field of forms; empty where there is no session to bind it to.
    pub(crate) token: String,
    /// What this page and the request before it did with the session.
    pub(crate) behind: Vec<String>,
}

impl Page {
    /// A page that does not ask for the session.
    pub(crate) fn apart(title: &str) -> Self {
        Page {
            title: title.to_owned(),
            here: "",
            ticket: Ticket::Unknown,
            user: None,
            in_basket: 0,
            flashes: Vec::new(),
            token: String::new(),
            behind: Vec::new(),
        }
    }

    /// A page for the visitor of this session; shows the waiting messages.
    pub(crate) async fn of(session: &Session, title: &str, here: &'static str) -> Result<Self, SessionError> {
        let exists = session.exists();
        let flashes: Vec<Flash> = session.flashes()?;
        Ok(Page {
            title: title.to_owned(),
            here,
            ticket: if exists { Ticket::Held } else { Ticket::None },
            user: session.user().map(|user| user.as_str().to_owned()),
            in_basket: 0,
            behind: flashes.iter().filter_map(|flash| flash.behind.clone()).collect(),
            flashes,
            token: if exists { session.csrf_token().await? } else { String::new() },
        })
    }

    pub(crate) fn behind(mut self, text: impl Into<String>) -> Self {
        self.behind.push(text.into());
        self
    }

    pub(crate) fn has_ticket(&self) -> bool {
        self.ticket == Ticket::Held
    }

    pub(crate) fn asks_for_ticket(&self) -> bool {
        self.ticket != Ticket::Unknown
    }
}

/// A template as a response.
pub(crate) fn show(template: &impl Template) -> Result<Response, Refusal> {
    let text = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be rendered");
        Refusal::Broken
    })?;
    Ok(Html(text).into_response())
}
