//! Tests of the parts that are not public, each named after the requirement it shows.

mod cache;
mod cache_model;
mod cookie;
mod csrf;
mod proxies;
mod scan;
mod transport;
mod vary;

use http::{HeaderMap, HeaderName, HeaderValue};

/// A header map from names and values, in order.
fn headers<const N: usize>(fields: [(&str, &str); N]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// All values of a header, joined as a recipient may join them.
fn joined(map: &HeaderMap, name: &str) -> String {
    let values: Vec<&str> = map.get_all(name).iter().map(|v| v.to_str().unwrap()).collect();
    values.join(", ")
}
