//! Looking around. A visitor without a session gets none from it: no store call, no cookie.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::Visitor;
use super::catalog::{self, GOODS, Good};
use crate::web::page::{Page, show};
use crate::web::refusal::Refusal;

#[derive(Template)]
#[template(path = "shop/goods.html")]
struct Goods {
    page: Page,
    goods: &'static [Good],
}

#[derive(Template)]
#[template(path = "shop/good.html")]
struct OneGood {
    page: Page,
    good: &'static Good,
}

pub(super) async fn all(visitor: Visitor) -> Result<Response, Refusal> {
    let page = noted(&visitor, "Coats, hats and company", "shop").await?;
    show(&Goods { page, goods: GOODS })
}

pub(super) async fn one(visitor: Visitor, Path(slug): Path<String>) -> Result<Response, Refusal> {
    let good = catalog::find(&slug).ok_or(Refusal::NotFound)?;
    let page = noted(&visitor, good.name, "shop").await?;
    show(&OneGood { page, good })
}

async fn noted(visitor: &Visitor, title: &str, here: &'static str) -> Result<Page, Refusal> {
    let page = visitor.page(title, here).await?;
    Ok(if page.has_ticket() {
        page.behind("This page opened your session with one read. Looking writes nothing.")
    } else {
        page.behind(
            "You have no session yet: this page asked the store nothing and set no cookie. The first thing you put in the \
             basket starts one.",
        )
    })
}
