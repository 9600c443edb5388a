//! The page itself: numbers above, sessions below.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use cloakroom::DeviceHandle;
use cloakroom::clock::{Clock, SystemClock};
use cloakroom::store::{ScanFrom, Summary};
use http::header::CONTENT_SECURITY_POLICY;
use serde::Deserialize;

use super::Admin;
use super::door::Staff;
use super::numbers::{Tile, size};
use crate::web::page::{Page, show as shown};
use crate::web::refusal::Refusal;
use crate::web::when::{When, rough};
use crate::web::{POLICY_WITH_SCRIPT, agent};

/// Sessions on a page.
const PAGE: usize = 25;
/// Pages are read through from the first: it is a list to look at, not to walk to its end.
const LAST_PAGE: usize = 400;

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    user: String,
    page: usize,
}

struct Row {
    handle: String,
    user: Option<String>,
    device: String,
    address: String,
    created: When,
    last_seen: When,
    left: String,
    size: String,
}

#[derive(Template)]
#[template(path = "admin/overview.html")]
struct Overview {
    page: Page,
    instance: String,
    tiles: Vec<Tile>,
    user: String,
    rows: Vec<Row>,
    number: usize,
    previous: Option<String>,
    next: Option<String>,
}

pub(super) async fn show(
    State(admin): State<Admin>,
    staff: Result<Staff, Refusal>,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    let session = match staff {
        Ok(Staff(session)) => session,
        Err(Refusal::Unauthorized) => return Ok(Redirect::to("/admin/enter").into_response()),
        Err(refusal) => return Err(refusal),
    };
    let user = asked.user.trim().to_owned();
    let number = asked.page.min(LAST_PAGE);
    let (found, more) = admin.find(&user, number).await?;
    let overview = Overview {
        page: Page::of(&session, "Behind the counter", "admin").await?,
        instance: admin.instance().to_owned(),
        tiles: admin.tiles().await,
        rows: found.iter().map(Row::of).collect(),
        previous: number.checked_sub(1).map(|page| query(&user, page)),
        next: (more && number < LAST_PAGE).then(|| query(&user, number + 1)),
        number,
        user,
    };
    let mut response = shown(&overview)?;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY_WITH_SCRIPT);
    Ok(response)
}

/// The query of a page of the list.
pub(super) fn query(user: &str, page: usize) -> String {
    let mut query = String::from("user=");
    for byte in user.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => query.push(char::from(byte)),
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
    if page > 0 {
        query.push_str(&format!("&page={page}"));
    }
    query
}

impl Admin {
    /// A page of a user's sessions, or of everybody's; and whether there are more.
    async fn find(&self, user: &str, number: usize) -> Result<(Vec<Summary>, bool), Refusal> {
        if !user.is_empty() {
            let found = self.shop().list_user(user).await?;
            let from = number.saturating_mul(PAGE);
            let more = found.len() > from.saturating_add(PAGE);
            return Ok((found.into_iter().skip(from).take(PAGE).collect(), more));
        }
        let mut from = ScanFrom { after: None, limit: PAGE };
        for _ in 0..number {
            match self.shop().scan(from).await?.next {
                Some(next) => from.after = Some(next),
                None => return Ok((Vec::new(), false)),
            }
        }
        let page = self.shop().scan(from).await?;
        Ok((page.sessions, page.next.is_some()))
    }
}

impl Row {
    fn of(session: &Summary) -> Self {
        let device = session.device.as_deref();
        let said = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        Row {
            handle: DeviceHandle::of(session).as_str().to_owned(),
            user: session.user.as_ref().map(|user| user.as_str().to_owned()),
            device: said(device.map(|d| d.agent.as_str()))
                .map_or_else(|| "–".to_owned(), |a| agent::name(&a)),
            address: said(device.map(|d| d.address.as_str())).unwrap_or_else(|| "–".to_owned()),
            created: When::of(session.created),
            last_seen: When::of(session.last_seen),
            left: rough(SystemClock.now().until(session.deadline)),
            size: size(u64::try_from(session.size).unwrap_or(u64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::query;

    #[test]
    fn a_name_in_an_address_is_encoded() {
        assert_eq!(query("Ada", 0), "user=Ada");
        assert_eq!(query("Ä&b c#", 2), "user=%C3%84%26b%20c%23&page=2");
    }
}
