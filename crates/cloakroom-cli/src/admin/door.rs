//! Who may come in: the token, given once, becomes a session.

use std::net::SocketAddr;

use askama::Template;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::response::{IntoResponse, Redirect, Response};
use cloakroom::{Session, SessionHandle};
use http::StatusCode;
use http::request::Parts;
use serde::Deserialize;

use super::{Admin, STAFF};
use crate::web::form::Posted;
use crate::web::page::{Page, show};
use crate::web::refusal::Refusal;

/// Somebody who showed the token.
pub(super) struct Staff(pub(super) Session);

impl FromRequestParts<Admin> for Staff {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Refusal> {
        let handle = SessionHandle::from_request_parts(parts, admin).await?;
        match handle.open_existing().await? {
            Some(session) if is_staff(&session) => Ok(Staff(session)),
            _ => Err(Refusal::Unauthorized),
        }
    }
}

pub(super) fn is_staff(session: &Session) -> bool {
    session.user().is_some_and(|user| user.as_str() == STAFF)
}

#[derive(Template)]
#[template(path = "admin/enter.html")]
struct Enter {
    page: Page,
    wrong: bool,
}

pub(super) async fn form(handle: SessionHandle) -> Result<Response, Refusal> {
    match handle.open_existing().await? {
        Some(session) if is_staff(&session) => Ok(Redirect::to("/admin").into_response()),
        _ => show(&Enter { page: Page::apart("Staff entrance"), wrong: false }),
    }
}

#[derive(Deserialize)]
pub(super) struct Shown {
    token: String,
}

pub(super) async fn enter(
    State(admin): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Posted { session, form }: Posted<Shown>,
) -> Result<Response, Refusal> {
    if !admin.accepts(&form.token, peer)? {
        let page = show(&Enter { page: Page::apart("Staff entrance"), wrong: true })?;
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    session.login(STAFF).await?;
    Ok(Redirect::to("/admin").into_response())
}

#[derive(Deserialize)]
pub(super) struct Leave {}

pub(super) async fn leave(Posted { session, .. }: Posted<Leave>) -> Result<Redirect, Refusal> {
    session.destroy().await?;
    Ok(Redirect::to("/admin/enter"))
}

impl Admin {
    /// Whether this is the token; too many that are not make their sender wait.
    pub(super) fn accepts(&self, presented: &str, peer: SocketAddr) -> Result<bool, Refusal> {
        let gate = &self.0.gate;
        gate.guess(peer.ip()).map_err(Refusal::TooMany)?;
        let right = self.0.token.is(presented);
        if right {
            gate.right(peer.ip());
        }
        Ok(right)
    }
}
