//! Buying: several keys change together or not at all, and only once, so it takes the session's lock.

use askama::Template;
use axum::response::{Redirect, Response};
use cloakroom::Key;
use cloakroom::clock::{Clock, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};

use super::basket::{BASKET, Basket, Item};
use super::{Visitor, go};
use crate::web::form::Posted;
use crate::web::page::{Flash, Page, show};
use crate::web::refusal::Refusal;
use crate::web::when::When;

const ORDER: Key<Order> = Key::new("order");
const ORDERS: Key<u32> = Key::new("orders");

/// The last thing that was bought.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    number: u32,
    basket: Basket,
    at: u64,
}

#[derive(Deserialize)]
pub(super) struct Buy {}

pub(super) async fn buy(Posted { session, .. }: Posted<Buy>) -> Result<Redirect, Refusal> {
    if !session.exists() {
        return Ok(go("/basket"));
    }
    let mut guard = session.lock().await?;
    let basket = guard.get(BASKET)?.unwrap_or_default();
    if basket.count() == 0 {
        guard.rollback().await;
        session.flash(
            Flash::bad("There is nothing in your basket to buy.")
                .behind("lock() showed the checkout fresh data, an empty basket, and rollback() let go. Nothing is bought twice."),
        )?;
        return Ok(go("/basket"));
    }
    let number = guard.get(ORDERS)?.unwrap_or(0).saturating_add(1);
    guard.remove(BASKET.name());
    guard.set(ORDERS, number)?;
    guard.set(ORDER, Order { number, basket, at: SystemClock.now().as_millis() })?;
    guard.commit().await?;
    session.flash(Flash::good("Thank you. It is yours.").behind(
        "lock() kept every other writer out while the basket became an order; commit() stored both and let go, in one step. \
         A second checkout at the same moment would have found an empty basket.",
    ))?;
    Ok(go("/receipt"))
}

#[derive(Template)]
#[template(path = "shop/receipt.html")]
struct Receipt {
    page: Page,
    number: u32,
    items: Vec<Item>,
    total: u32,
    when: When,
}

pub(super) async fn receipt(visitor: Visitor) -> Result<Response, Refusal> {
    let order = visitor.0.get(ORDER)?.ok_or(Refusal::NotFound)?;
    let page =
        visitor.page("Your receipt", "").await?.behind("The order was read with the session, in one read.");
    show(&Receipt {
        page,
        number: order.number,
        total: order.basket.total(),
        items: order.basket.items(),
        when: When::of(Timestamp::from_millis(order.at)),
    })
}
