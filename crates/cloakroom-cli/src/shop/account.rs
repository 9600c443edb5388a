//! Who the visitor says to be. It is a demo: there is no password.

use askama::Template;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;

use super::{Visitor, go};
use crate::web::form::Posted;
use crate::web::page::{Flash, Page, show};
use crate::web::refusal::Refusal;

const LONGEST_NAME: usize = 40;

#[derive(Template)]
#[template(path = "shop/login.html")]
struct LoginPage {
    page: Page,
    name: String,
    wrong: Option<&'static str>,
    longest: usize,
}

pub(super) async fn form(visitor: Visitor) -> Result<Response, Refusal> {
    let page = visitor
        .page("Log in", "login")
        .await?
        .behind("Logging in gives the session a new id and keeps the basket. The id you have now is dead when it returns.");
    show(&LoginPage { page, name: String::new(), wrong: None, longest: LONGEST_NAME })
}

#[derive(Deserialize)]
pub(super) struct LogIn {
    name: String,
}

pub(super) async fn log_in(Posted { session, form }: Posted<LogIn>) -> Result<Response, Refusal> {
    let name = form.name.trim();
    if let Err(wrong) = check(name) {
        let page = Visitor(session).page("Log in", "login").await?;
        let name = name.chars().take(LONGEST_NAME).collect();
        let page = show(&LoginPage { page, name, wrong: Some(wrong), longest: LONGEST_NAME })?;
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
    }
    let before = session.user();
    session.login(name).await?;
    let behind = match before {
        Some(before) if before.as_str() != name => {
            "login() over another user started empty: nothing of theirs is in your session."
        }
        _ => {
            "login() renamed the session and bound it to you, in one step. Somebody who had planted or copied the old id \
             holds nothing now."
        }
    };
    session.flash(Flash::good(format!("Good evening, {name}.")).behind(behind))?;
    Ok(go("/").into_response())
}

fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("Please enter a name.")
    } else if name.chars().count() > LONGEST_NAME {
        Err("That name is too long for the label.")
    } else if name.chars().any(char::is_control) {
        Err("A name has no control characters.")
    } else {
        Ok(())
    }
}

#[derive(Deserialize)]
pub(super) struct LogOut {}

pub(super) async fn log_out(Posted { session, .. }: Posted<LogOut>) -> Result<Redirect, Refusal> {
    session.destroy().await?;
    Ok(go("/goodbye"))
}

#[derive(Template)]
#[template(path = "shop/goodbye.html")]
struct Goodbye {
    page: Page,
}

pub(super) async fn goodbye(visitor: Visitor) -> Result<Response, Refusal> {
    let page = visitor.page("Goodbye", "").await?.behind(
        "destroy() removed the record and expired the cookie. A request still on its way cannot bring the session back.",
    );
    show(&Goodbye { page })
}
