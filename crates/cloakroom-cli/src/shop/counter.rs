//! The slow counter: three ways to add one to a number, slow enough to do it in two tabs at once.

use std::fmt;
use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::{Redirect, Response};
use cloakroom::Key;
use serde::Deserialize;

use super::{Visitor, go};
use crate::web::form::Posted;
use crate::web::page::{Flash, Page, show as shown};
use crate::web::refusal::Refusal;

/// Time enough to press the button in the other tab.
const SLOW: Duration = Duration::from_secs(2);

/// How the number is raised.
#[derive(Clone, Copy)]
enum Way {
    Update,
    Count,
    Lock,
}

impl Way {
    fn named(name: &str) -> Option<Self> {
        [Way::Update, Way::Count, Way::Lock].into_iter().find(|way| way.to_string() == name)
    }

    fn key(self) -> Key<u32> {
        match self {
            Way::Update => Key::new("counter.update"),
            Way::Count => Key::new("counter.count"),
            Way::Lock => Key::new("counter.lock"),
        }
    }

    fn nickname(self) -> &'static str {
        match self {
            Way::Update => "quick",
            Way::Count => "forgetful",
            Way::Lock => "careful",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Update => "update",
            Way::Count => "count",
            Way::Lock => "lock",
        })
    }
}

struct Clerk {
    way: Way,
    heading: &'static str,
    code: &'static str,
    text: &'static str,
    number: u32,
}

#[derive(Template)]
#[template(path = "shop/counter.html")]
struct CounterPage {
    page: Page,
    clerks: Vec<Clerk>,
}

pub(super) async fn show(visitor: Visitor) -> Result<Response, Refusal> {
    let clerk = |way: Way, heading, code, text| -> Result<Clerk, Refusal> {
        Ok(Clerk { way, heading, code, text, number: visitor.0.get(way.key())?.unwrap_or(0) })
    };
    let clerks = vec![
        clerk(
            Way::Update,
            "The quick clerk",
            "update(\"n\", |n| n + 1).await",
            "Both tabs answer after two seconds, and the number went up by two: the later one added to what the earlier \
             one had stored.",
        )?,
        clerk(
            Way::Count,
            "The forgetful clerk",
            "set(\"n\", get(\"n\") + 1)",
            "Reads, thinks for two seconds, writes. In two tabs at once the second is told 409 instead of \
             overwriting the first: a lost update would be silent, this is not.",
        )?,
        clerk(
            Way::Lock,
            "The careful clerk",
            "let guard = lock().await",
            "Holds the session's lock for two seconds. The second tab waits its turn, then counts on: four seconds, \
             nothing lost, nothing refused.",
        )?,
    ];
    let page = visitor
        .page("The slow counter", "counter")
        .await?
        .behind("Open this page in two tabs, and press the same button in both. The admin page shows it as it happens.");
    shown(&CounterPage { page, clerks })
}

#[derive(Deserialize)]
pub(super) struct Work {}

pub(super) async fn work(
    Path(way): Path<String>,
    Posted { session, .. }: Posted<Work>,
) -> Result<Redirect, Refusal> {
    let way = Way::named(&way).ok_or(Refusal::NotFound)?;
    let key = way.key();
    let (number, behind) = match way {
        Way::Update => {
            tokio::time::sleep(SLOW).await;
            let number = session.update(key, |n: Option<u32>| n.unwrap_or(0).saturating_add(1)).await?;
            (number, "update() read, added and stored in one atomic step, after the two seconds.")
        }
        Way::Count => {
            let number = session.get(key)?.unwrap_or(0).saturating_add(1);
            tokio::time::sleep(SLOW).await;
            session.set(key, number)?;
            (
                number,
                "set() after get() was buffered, and committed because nobody else had changed the number since.",
            )
        }
        Way::Lock => {
            let mut guard = session.lock().await?;
            let number = guard.get(key)?.unwrap_or(0).saturating_add(1);
            tokio::time::sleep(SLOW).await;
            guard.set(key, number)?;
            guard.commit().await?;
            (
                number,
                "lock() excluded every other writer for two seconds; commit() stored and released in one store call.",
            )
        }
    };
    session.flash(Flash::good(format!("The {} clerk counted {number}.", way.nickname())).behind(behind))?;
    Ok(go("/counter"))
}
