//! What the shop sells.

/// Something on a hook.
#[derive(Debug)]
pub(crate) struct Good {
    /// Its name in addresses and baskets.
    pub(crate) slug: &'static str,
    pub(crate) name: &'static str,
    /// In whole euros.
    pub(crate) price: u32,
    /// One line for the list.
    pub(crate) line: &'static str,
    /// A paragraph for its own page.
    pub(crate) about: &'static str,
    /// Which of the palette's colours it is drawn in.
    pub(crate) tone: &'static str,
    /// The drawing: an SVG that takes its colours from the style sheet.
    pub(crate) art: &'static str,
}

macro_rules! goods {
    ($($slug:literal, $name:literal, $price:literal, $tone:literal, $line:literal, $about:literal;)*) => {
        /// Everything, in the order of the hooks.
        pub(crate) static GOODS: &[Good] = &[$(Good {
            slug: $slug,
            name: $name,
            price: $price,
            line: $line,
            about: $about,
            tone: $tone,
            art: include_str!(concat!("../../assets/goods/", $slug, ".svg")),
        },)*];
    };
}

goods! {
    "overcoat", "The Long Overcoat", 420, "oxblood",
    "Double-faced wool, to the knee.",
    "Cut to be worn over a jacket and to survive a winter of hooks. The loop inside the collar is sewn in twice, because \
     that is where coats die.";
    "duffle", "Harbour Duffle", 310, "sand",
    "Horn toggles, a hood that means it.",
    "Heavy melton and rope loops. Opens with gloves on, closes against wind from anywhere but above, and for that there is \
     the hood.";
    "cape", "Opera Cape", 265, "ink",
    "One clasp, no sleeves, all entrance.",
    "Lined in silk the colour of the stalls. Takes one hook and the space of three.";
    "mackintosh", "Pale Mackintosh", 240, "moss",
    "Bonded cotton, sealed seams.",
    "It hangs dripping and forgives. Turn the collar up and nobody asks you anything.";
    "bowler", "Bowler, hard", 145, "ink",
    "Felt, shellac and composure.",
    "Steamed over a block that is older than the building. Please hand it over by the brim.";
    "fedora", "Wide Fedora", 130, "sand",
    "Soft crown, grosgrain band.",
    "Fold it, sit on it, apologise to it: it comes back. The ticket goes under the band.";
    "beanie", "Fisherman's Cap", 38, "moss",
    "Ribbed lambswool, one size.",
    "Goes in the sleeve of the coat, where everybody forgets it. That is why we check the sleeves.";
    "umbrella", "Walking Umbrella", 96, "oxblood",
    "Chestnut crook, eight ribs.",
    "Stands in the rack by the door and is never the wrong one: the handle is numbered.";
    "scarf", "Long Scarf", 64, "slate",
    "Two metres, fringed by hand.",
    "Long enough to lend half of it to somebody.";
    "gloves", "Driving Gloves", 88, "oxblood",
    "Unlined, punched knuckles.",
    "Sold by the pair, handed over as a pair, returned as a pair. We compare before we commit.";
    "satchel", "Porter's Satchel", 175, "sand",
    "Bridle leather, brass rivets.",
    "Holds a newspaper, a flask and sixty-four kibibytes of anything else.";
    "ticket", "Brass Ticket No. 128", 24, "slate",
    "Unguessable. Keep it on you.",
    "The other half of every coat we have ever looked after. Whoever shows it gets the coat, so do not show it around.";
}

/// What has this slug.
pub(crate) fn find(slug: &str) -> Option<&'static Good> {
    GOODS.iter().find(|good| good.slug == slug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_good_has_a_hook_of_its_own_and_art_that_the_policy_allows() {
        for good in GOODS {
            assert!(std::ptr::eq(find(good.slug).unwrap(), good), "{} twice", good.slug);
            assert!(good.price > 0);
            // Inline styles, scripts and references are refused by the Content-Security-Policy.
            for forbidden in ["style=", "<style", "<script", "href", "url(", "onload"] {
                assert!(!good.art.contains(forbidden), "{}: {forbidden}", good.slug);
            }
        }
    }
}
