//! What the requests do, and with what data.

use serde::{Deserialize, Serialize};

/// One kind of request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scenario {
    /// The route never asks for its session, and the visitor sends no cookie.
    UntouchedWithoutCookie,
    /// The route never asks for its session; the visitor sends the cookie of one.
    UntouchedWithCookie,
    /// Reads one key of a usual session: [`USUAL`] and a number.
    Read,
    /// Reads the one key of a session that holds nothing else.
    ReadTheOnly,
    /// Reads the number of a usual session and writes it back, one higher, to be stored with the response.
    Increment,
    /// A visitor without a cookie gets a session with one key.
    New,
    /// Reads one small key of a session of 4 KiB.
    ReadSmallOfLarge,
    /// Reads a basket of 50 items into its type, changes one of them, and writes it back.
    Basket,
}

impl Scenario {
    /// All of them, in the order of the table.
    pub const ALL: [Scenario; 8] = [
        Scenario::UntouchedWithoutCookie,
        Scenario::UntouchedWithCookie,
        Scenario::Read,
        Scenario::ReadTheOnly,
        Scenario::Increment,
        Scenario::New,
        Scenario::ReadSmallOfLarge,
        Scenario::Basket,
    ];

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::UntouchedWithoutCookie => "untouched, no cookie",
            Scenario::UntouchedWithCookie => "untouched, cookie",
            Scenario::Read => "read one key",
            Scenario::ReadTheOnly => "read the only key",
            Scenario::Increment => "increment (get, set)",
            Scenario::New => "new session",
            Scenario::ReadSmallOfLarge => "4 KiB, read a small key",
            Scenario::Basket => "50-item basket, change one",
        }
    }

    /// The route that the requests go to.
    pub fn path(self) -> &'static str {
        match self {
            Scenario::UntouchedWithoutCookie | Scenario::UntouchedWithCookie => "/untouched",
            Scenario::Read | Scenario::ReadTheOnly | Scenario::ReadSmallOfLarge => "/read",
            Scenario::Increment => "/increment",
            Scenario::New => "/new",
            Scenario::Basket => "/basket",
        }
    }

    /// The route that makes the session beforehand; `None`: the visitor has none.
    pub fn prepare(self) -> Option<&'static str> {
        match self {
            Scenario::UntouchedWithoutCookie | Scenario::New => None,
            Scenario::UntouchedWithCookie | Scenario::Read | Scenario::Increment => Some("/prepare-usual"),
            Scenario::ReadTheOnly => Some("/new"),
            Scenario::ReadSmallOfLarge => Some("/prepare-large"),
            Scenario::Basket => Some("/prepare-basket"),
        }
    }

    /// What Cloakroom's part of `tower-sessions`' net time is to be at most, where that is promised.
    pub fn ratio_at_most(self) -> Option<f64> {
        match self {
            // Shown because it is what suits `tower-sessions` best: there is nothing beside the key to be cloned.
            Scenario::ReadTheOnly => None,
            Scenario::ReadSmallOfLarge => Some(0.06),
            Scenario::Basket => Some(0.3),
            _ => Some(0.35),
        }
    }

    /// What Cloakroom may allocate at most, where that is promised.
    pub fn allocations_at_most(self) -> Option<f64> {
        matches!(self, Scenario::UntouchedWithoutCookie | Scenario::UntouchedWithCookie).then_some(4.0)
    }
}

/// What is in a usual session beside the number: 300 bytes in all, counted as JSON.
pub const USUAL: [(&str, &str); 8] = [
    ("user", "c2c1a3a8-7f4f-4a56-9d7e-0f6f1f1f7a10"),
    ("name", "Margarethe Mustermann"),
    ("locale", "de-CH"),
    ("theme", "dark"),
    ("csrf", "pX9vQ2mK4nT7sW1yB5cD8fG0hJ3lZ6aE"),
    ("return_to", "/products/coats/winter?page=2"),
    ("basket", "b7e1f4c2-53a9-4d0e-8c61-2f9a7be4d013"),
    ("last_order", "2026-11-20T21:14:07Z"),
];

/// Items in the basket.
pub const BASKET_ITEMS: usize = 50;

/// An item of a basket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Stock keeping unit.
    pub sku: String,
    /// What the customer reads.
    pub name: String,
    /// How many.
    pub quantity: u32,
    /// Price of one.
    pub cents: u64,
}

/// A basket of that many items.
pub fn basket(items: usize) -> Vec<Item> {
    (0..items)
        .map(|i| Item {
            sku: format!("SKU-{i:05}"),
            name: format!("A thing for the house, number {i}"),
            quantity: 1,
            cents: 1_000 + i as u64,
        })
        .collect()
}

/// What else is in the session of 4 KiB (counted as JSON): the last pages a visitor looked at.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Visit {
    /// Path.
    pub path: String,
    /// Title.
    pub title: String,
    /// When, in seconds.
    pub at: u64,
}

/// Keys and values that make up 4 KiB beside the small key: a basket, the pages last seen, some preferences.
pub fn profile() -> (Vec<Item>, Vec<Visit>, Vec<(String, String)>) {
    let visits = (0..16)
        .map(|i| Visit {
            path: format!("/products/category-{}/thing-{i}", i % 4),
            title: format!("Thing number {i} of the category"),
            at: 1_790_000_000 + i,
        })
        .collect();
    let preferences =
        (0..8).map(|i| (format!("preference-{i}"), format!("the value of preference {i}"))).collect();
    (basket(25), visits, preferences)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_session_is_three_hundred_bytes_of_json() {
        let all: std::collections::BTreeMap<_, _> = USUAL.into_iter().chain([("n", "1")]).collect();
        let bytes = json(&all);
        assert!((280..320).contains(&bytes), "{bytes}");
    }

    #[test]
    fn the_large_session_is_four_kibibytes_of_json() {
        let (basket, visits, preferences) = profile();
        let bytes = json(&basket) + json(&visits) + json(&preferences);
        assert!((3900..4300).contains(&bytes), "{bytes}");
    }

    fn json(value: &impl Serialize) -> usize {
        serde_json::to_vec(value).expect("encoded").len()
    }
}
