//! The basket. Every change is one `update`: atomic, so that two tabs at once lose nothing.

use askama::Template;
use axum::response::{Redirect, Response};
use cloakroom::Key;
use serde::{Deserialize, Serialize};

use super::catalog::{self, Good};
use super::{Visitor, go};
use crate::web::form::Posted;
use crate::web::page::{Flash, Page, show as shown};
use crate::web::refusal::Refusal;

pub(super) const BASKET: Key<Basket> = Key::new("basket");

/// Of each thing, at most.
const MOST: u32 = 20;

/// What the visitor wants to take along.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Basket(Vec<Line>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    slug: String,
    quantity: u32,
}

/// A line of the basket with what it is about.
pub(super) struct Item {
    pub(super) good: &'static Good,
    pub(super) quantity: u32,
}

impl Item {
    pub(super) fn sum(&self) -> u32 {
        self.good.price.saturating_mul(self.quantity)
    }
}

impl Basket {
    /// Pieces in it.
    pub(super) fn count(&self) -> u32 {
        self.items().iter().map(|item| item.quantity).sum()
    }

    /// The lines whose goods are still sold.
    pub(super) fn items(&self) -> Vec<Item> {
        let item =
            |line: &Line| Some(Item { good: catalog::find(&line.slug)?, quantity: line.quantity.min(MOST) });
        self.0.iter().filter_map(item).collect()
    }

    pub(super) fn total(&self) -> u32 {
        self.items().iter().map(Item::sum).sum()
    }

    fn quantity(&self, slug: &str) -> u32 {
        self.0.iter().find(|line| line.slug == slug).map_or(0, |line| line.quantity)
    }

    /// None removes the line.
    fn set(&mut self, slug: &str, quantity: u32) {
        let quantity = quantity.min(MOST);
        match self.0.iter_mut().find(|line| line.slug == slug) {
            _ if quantity == 0 => self.0.retain(|line| line.slug != slug),
            Some(line) => line.quantity = quantity,
            None => self.0.push(Line { slug: slug.to_owned(), quantity }),
        }
    }
}

#[derive(Template)]
#[template(path = "shop/basket.html")]
struct BasketPage {
    page: Page,
    items: Vec<Item>,
    total: u32,
    most: u32,
}

pub(super) async fn show(visitor: Visitor) -> Result<Response, Refusal> {
    let basket = visitor.0.get(BASKET)?.unwrap_or_default();
    let page = visitor.page("Your basket", "basket").await?;
    let page = if page.has_ticket() {
        page.behind("The basket was read with the session, in one read. A lock held by another request does not delay it.")
    } else {
        page.behind("No session, no basket, no store call.")
    };
    shown(&BasketPage { page, total: basket.total(), items: basket.items(), most: MOST })
}

#[derive(Deserialize)]
pub(super) struct Add {
    good: String,
    /// The page to go back to: the good's own, or the list.
    from: Option<String>,
}

pub(super) async fn add(Posted { session, form }: Posted<Add>) -> Result<Redirect, Refusal> {
    let good = catalog::find(&form.good).ok_or(Refusal::NotFound)?;
    let first = !session.exists();
    let basket = session
        .update(BASKET, |basket: Option<Basket>| {
            let mut basket = basket.unwrap_or_default();
            basket.set(good.slug, basket.quantity(good.slug).saturating_add(1));
            basket
        })
        .await?;
    let behind = if first {
        "That started your session: update(\"basket\", …) stored it, and the response carried its cookie. The store keeps a \
         digest of the id, never the id."
    } else {
        "update(\"basket\", …) was one atomic read-modify-write, on disk before the answer left. Do it in two tabs at once: \
         neither loses the other's."
    };
    let text = match basket.quantity(good.slug) {
        1 => format!("{} is in your basket.", good.name),
        n => format!("{} is in your basket, {n} of it.", good.name),
    };
    session.flash(Flash::good(text).behind(behind))?;
    Ok(match form.from.as_deref() {
        Some("good") => go(&format!("/goods/{}", good.slug)),
        _ => go(&format!("/#{}", good.slug)),
    })
}

#[derive(Deserialize)]
pub(super) struct Quantity {
    good: String,
    quantity: u32,
}

pub(super) async fn quantity(Posted { session, form }: Posted<Quantity>) -> Result<Redirect, Refusal> {
    let good = catalog::find(&form.good).ok_or(Refusal::NotFound)?;
    change(&session, |basket| basket.set(good.slug, form.quantity)).await?;
    session.flash(
        Flash::good(format!("{}: {}.", good.name, form.quantity.min(MOST)))
            .behind("The new quantity went through update: other lines, changed meanwhile, are kept."),
    )?;
    Ok(go("/basket"))
}

#[derive(Deserialize)]
pub(super) struct Remove {
    good: String,
}

pub(super) async fn remove(Posted { session, form }: Posted<Remove>) -> Result<Redirect, Refusal> {
    let good = catalog::find(&form.good).ok_or(Refusal::NotFound)?;
    change(&session, |basket| basket.set(good.slug, 0)).await?;
    session.flash(
        Flash::good(format!("{} is back on its hook.", good.name))
            .behind("update again; the message you see was buffered and committed with the response."),
    )?;
    Ok(go("/basket"))
}

#[derive(Deserialize)]
pub(super) struct Empty {}

pub(super) async fn empty(Posted { session, .. }: Posted<Empty>) -> Result<Redirect, Refusal> {
    // A blind removal: nothing was read, so nothing can conflict.
    session.remove(BASKET.name())?;
    if session.exists() {
        session.flash(Flash::good("Your basket is empty.").behind(
            "remove(\"basket\") was buffered, like the message: one commit for both, before the response left.",
        ))?;
    }
    Ok(go("/basket"))
}

/// Changes the basket of a visitor who has one; nobody else's form starts a session.
async fn change(session: &cloakroom::Session, mut f: impl FnMut(&mut Basket) + Send) -> Result<(), Refusal> {
    if session.exists() {
        session
            .update(BASKET, |basket: Option<Basket>| {
                let mut basket = basket.unwrap_or_default();
                f(&mut basket);
                basket
            })
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_added_changed_bounded_and_removed() {
        let mut basket = Basket::default();
        basket.set("scarf", 2);
        basket.set("gloves", 1);
        assert_eq!((basket.count(), basket.total()), (3, 2 * 64 + 88));
        basket.set("scarf", u32::MAX);
        assert_eq!(basket.quantity("scarf"), MOST);
        basket.set("scarf", 0);
        assert_eq!((basket.count(), basket.items().len()), (1, 1));
        basket.set("scarf", 0);
        assert_eq!(basket.quantity("scarf"), 0);
    }

    #[test]
    fn what_is_no_longer_sold_is_not_shown_and_not_counted() {
        let mut basket = Basket::default();
        basket.set("crinoline", 3);
        assert_eq!((basket.count(), basket.total(), basket.items().len()), (0, 0, 0));
    }
}
