//! "Your devices": where the user is logged in, and logging out elsewhere.

use askama::Template;
use axum::response::{Redirect, Response};
use serde::Deserialize;

use super::{Visitor, go};
use crate::web::agent;
use crate::web::form::Posted;
use crate::web::page::{Flash, Page, show};
use crate::web::refusal::Refusal;
use crate::web::when::When;

struct Device {
    handle: String,
    name: String,
    address: String,
    created: When,
    last_seen: When,
    current: bool,
}

#[derive(Template)]
#[template(path = "shop/devices.html")]
struct Devices {
    page: Page,
    devices: Vec<Device>,
}

pub(super) async fn list(visitor: Visitor) -> Result<Response, Refusal> {
    let devices: Vec<Device> = visitor
        .0
        .devices()
        .await?
        .into_iter()
        .map(|device| Device {
            handle: device.handle.as_str().to_owned(),
            name: device.agent.as_deref().map_or_else(|| "Unknown device".to_owned(), agent::name),
            address: device.address.unwrap_or_else(|| "unknown".to_owned()),
            created: When::of(device.created),
            last_seen: When::of(device.last_seen),
            current: device.current,
        })
        .collect();
    let page = visitor.page("Your devices", "devices").await?;
    let page = if page.user.is_some() {
        page.behind(
            "One more store call listed your sessions from the user index. The handles in the forms are no ids: they open \
             nothing.",
        )
    } else {
        page.behind("Sessions are listed by user, and you are not logged in: the store was not asked.")
    };
    show(&Devices { page, devices })
}

#[derive(Deserialize)]
pub(super) struct Revoke {
    handle: String,
}

pub(super) async fn revoke(Posted { session, form }: Posted<Revoke>) -> Result<Redirect, Refusal> {
    if session.user().is_none() {
        return Ok(go("/devices"));
    }
    let flash = match session.revoke(&form.handle).await? {
        0 => Flash::bad("That device was logged out already."),
        _ => Flash::good("That device is logged out.")
            .behind("revoke() ended that session for good. A request it still has in flight finds it gone."),
    };
    session.flash(flash)?;
    Ok(go("/devices"))
}

#[derive(Deserialize)]
pub(super) struct RevokeOthers {}

pub(super) async fn revoke_others(Posted { session, .. }: Posted<RevokeOthers>) -> Result<Redirect, Refusal> {
    if session.user().is_none() {
        return Ok(go("/devices"));
    }
    let flash = match session.revoke_others().await? {
        0 => Flash::good("There was no other device."),
        1 => Flash::good("The other device is logged out."),
        n => Flash::good(format!("{n} other devices are logged out.")),
    };
    session.flash(
        flash.behind("revoke_others() ended every session of yours but this one, in one store call."),
    )?;
    Ok(go("/devices"))
}
