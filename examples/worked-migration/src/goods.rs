//! What there is to buy: the same as in `site/shop.php`.

use std::collections::BTreeMap;

/// By its name in the basket, and as people call it.
pub(crate) const GOODS: [(&str, &str); 4] = [
    ("scarf", "A scarf"),
    ("gloves", "A pair of gloves"),
    ("bowler", "A bowler hat"),
    ("umbrella", "An umbrella"),
];

/// `$_SESSION['basket']`: how many of each.
pub(crate) type Basket = BTreeMap<String, u32>;

pub(crate) fn title(good: &str) -> Option<&'static str> {
    GOODS.iter().find(|(name, _)| *name == good).map(|(_, title)| *title)
}
