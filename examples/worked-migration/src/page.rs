//! The service's pages: they look like PHP's.

use axum::response::Html;

use crate::goods::{Basket, GOODS, title};

/// What every page shows of the visitor.
pub(crate) struct Visitor {
    pub(crate) user: Option<String>,
    pub(crate) basket: Basket,
    /// When they came, where PHP wrote that down.
    pub(crate) since: Option<String>,
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn page(visitor: &Visitor, main: &str) -> Html<String> {
    let count: u64 = visitor.basket.values().copied().map(u64::from).sum();
    let who = match &visitor.user {
        None => "<a href=\"/login\">Log in</a>".to_owned(),
        Some(user) => format!("<a href=\"/account\" id=\"user\">{}</a>", escape(user)),
    };
    let since = match &visitor.since {
        None => String::new(),
        Some(since) => format!("; you came at <span id=\"since\">{}</span>", escape(since)),
    };
    Html(format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>The coat shop</title>\n<link rel=\"stylesheet\" href=\"/shop.css\">\n\
         <header><h1><a href=\"/\">The coat shop</a></h1>\n\
         <nav><a href=\"/\">Goods</a> <a href=\"/basket\">Basket <b id=\"count\">{count}</b></a> {who}</nav>\n\
         <p class=\"by rust\">This page was made by <b>Rust</b>{since}</p></header>\n<main>{main}</main></html>\n"
    ))
}

/// PHP's page, until it is ours.
pub(crate) fn goods(visitor: &Visitor) -> Html<String> {
    let mut main = "<h2>Goods</h2>\n<ul class=\"goods\">\n".to_owned();
    for (good, title) in GOODS {
        main.push_str(&format!(
            "<li><span>{title}</span><form method=\"post\" action=\"/add\"><button name=\"good\" value=\"{good}\">Into the \
             basket</button></form></li>\n"
        ));
    }
    main.push_str("</ul>\n");
    if visitor.user.is_some() {
        main.push_str(
            "<form method=\"post\" action=\"/logout\"><button class=\"plain\">Log out</button></form>",
        );
    }
    page(visitor, &main)
}

/// PHP's page, until it is ours.
pub(crate) fn login(visitor: &Visitor) -> Html<String> {
    page(
        visitor,
        "<h2>Log in</h2>\n<form method=\"post\" action=\"/login\" class=\"login\"><label>Your name <input name=\"name\" \
         maxlength=\"40\" required autofocus></label><button>Log in</button></form>",
    )
}

pub(crate) fn basket(visitor: &Visitor) -> Html<String> {
    let mut main = "<h2>Your basket</h2>\n".to_owned();
    if visitor.basket.values().all(|count| *count == 0) {
        main.push_str(
            "<p class=\"empty\">There is nothing in it yet. <a href=\"/\">Look at the goods</a></p>",
        );
    }
    main.push_str("<ul class=\"goods\">\n");
    for (good, count) in visitor.basket.iter().filter(|(_, count)| **count > 0) {
        let (name, title) = (escape(good), escape(title(good).unwrap_or(good)));
        main.push_str(&format!(
            "<li><span>{title}</span><form method=\"post\" action=\"/basket\">\
             <button name=\"less\" value=\"{name}\" class=\"plain\" aria-label=\"{title}: one less\">−</button>\
             <b id=\"{name}\">{count}</b>\
             <button name=\"more\" value=\"{name}\" class=\"plain\" aria-label=\"{title}: one more\">+</button></form></li>\n"
        ));
    }
    main.push_str("</ul>");
    page(visitor, &main)
}

pub(crate) fn account(visitor: &Visitor) -> Html<String> {
    let user = escape(visitor.user.as_deref().unwrap_or_default());
    page(
        visitor,
        &format!(
            "<h2>Your account</h2>\n<p>You are logged in as <b id=\"account\">{user}</b>.</p>\n\
             <form method=\"post\" action=\"/account/logout\"><button class=\"plain\">Log out</button></form>"
        ),
    )
}

/// For an address that nothing is at.
pub(crate) fn nothing(visitor: &Visitor) -> Html<String> {
    page(
        visitor,
        "<h2>There is no such page</h2>\n<p class=\"empty\"><a href=\"/\">Look at the goods</a></p>",
    )
}
