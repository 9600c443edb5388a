//! Ending sessions of the shop.

use axum::extract::State;
use axum::response::Redirect;
use cloakroom::store::ScanFrom;
use serde::Deserialize;

use super::Admin;
use super::door::is_staff;
use crate::web::form::Posted;
use crate::web::page::Flash;
use crate::web::refusal::Refusal;

#[derive(Deserialize)]
pub(super) struct Revoke {
    handle: String,
    /// The search that the list was showing.
    user: Option<String>,
}

pub(super) async fn revoke(
    State(admin): State<Admin>,
    Posted { session, form }: Posted<Revoke>,
) -> Result<Redirect, Refusal> {
    staff_only(&session)?;
    let flash = match admin.shop().revoke_handle(&form.handle).await? {
        true => Flash::good("That session is over."),
        false => Flash::bad("That session was over already."),
    };
    session.flash(flash)?;
    Ok(back(form.user.as_deref()))
}

#[derive(Deserialize)]
pub(super) struct RevokeUser {
    user: String,
}

pub(super) async fn revoke_user(
    State(admin): State<Admin>,
    Posted { session, form }: Posted<RevokeUser>,
) -> Result<Redirect, Refusal> {
    staff_only(&session)?;
    let flash = match admin.shop().revoke_user(&form.user).await? {
        0 => Flash::bad(format!("{} has no session.", form.user)),
        1 => Flash::good(format!("The session of {} is over.", form.user)),
        n => Flash::good(format!("All {n} sessions of {} are over.", form.user)),
    };
    session.flash(flash)?;
    Ok(back(None))
}

#[derive(Deserialize)]
pub(super) struct RevokeEverybody {
    /// The box next to the button: present when it is ticked.
    sure: Option<String>,
}

/// Sessions that are read and ended at a time.
const PAGE: usize = 200;

pub(super) async fn revoke_everybody(
    State(admin): State<Admin>,
    Posted { session, form }: Posted<RevokeEverybody>,
) -> Result<Redirect, Refusal> {
    staff_only(&session)?;
    if form.sure.is_none() {
        session.flash(Flash::bad("Tick the box to end everybody's sessions. Nothing was changed."))?;
        return Ok(back(None));
    }
    let mut ended = 0u64;
    let mut from = ScanFrom { after: None, limit: PAGE };
    loop {
        let page = admin.shop().scan(from).await?;
        for found in page.sessions {
            ended += u64::from(admin.shop().revoke_key(found.key).await?);
        }
        match page.next {
            Some(next) => from.after = Some(next),
            None => break,
        }
    }
    session.flash(Flash::good(format!("{ended} sessions are over.")))?;
    Ok(back(None))
}

fn staff_only(session: &cloakroom::Session) -> Result<(), Refusal> {
    if is_staff(session) { Ok(()) } else { Err(Refusal::Unauthorized) }
}

fn back(user: Option<&str>) -> Redirect {
    match user.filter(|user| !user.is_empty()) {
        Some(user) => Redirect::to(&format!("/admin?{}#sessions", super::overview::query(user, 0))),
        None => Redirect::to("/admin#sessions"),
    }
}
