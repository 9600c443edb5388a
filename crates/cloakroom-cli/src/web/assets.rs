//! Style sheets, the icon and the one script: built into the program, kept by browsers for good.

use std::hash::Hasher;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::refusal::Refusal;

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";

const ASSETS: &[Asset] = &[
    Asset { name: "base.css", kind: CSS, text: include_str!("../../assets/base.css") },
    Asset { name: "shop.css", kind: CSS, text: include_str!("../../assets/shop.css") },
    Asset { name: "admin.css", kind: CSS, text: include_str!("../../assets/admin.css") },
    Asset {
        name: "charts.js",
        kind: "text/javascript; charset=utf-8",
        text: include_str!("../../assets/charts.js"),
    },
    Asset { name: "icon.svg", kind: "image/svg+xml", text: include_str!("../../assets/icon.svg") },
];

/// Changes when any of them does, so that browsers may keep each for as long as they like.
static STAMP: LazyLock<String> = LazyLock::new(|| {
    let mut hash = std::hash::DefaultHasher::new();
    for asset in ASSETS {
        hash.write(asset.text.as_bytes());
    }
    format!("{:016x}", hash.finish())
});

/// The address of an asset.
pub(crate) fn url(name: &str) -> String {
    format!("/assets/{name}?{}", *STAMP)
}

pub(crate) fn routes() -> Router {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|asset| asset.name == name) {
        Some(asset) => {
            let headers =
                [(CONTENT_TYPE, asset.kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (headers, asset.text).into_response()
        }
        None => Refusal::NotFound.into_response(),
    }
}
