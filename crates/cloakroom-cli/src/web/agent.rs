//! A `User-Agent` as its owner would call it: "Firefox on Linux".

/// In this order: the later ones also call themselves by the names of the earlier ones' rivals.
const BROWSERS: [(&str, &str); 7] = [
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("HeadlessChrome/", "Chrome (headless)"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("curl/", "curl"),
];

const SYSTEMS: [(&str, &str); 7] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
];

/// What can be told from the header; its beginning where nothing can.
pub(crate) fn name(header: &str) -> String {
    let find = |table: &[(&'static str, &'static str)]| {
        table.iter().find(|(mark, _)| header.contains(mark)).map(|(_, name)| *name)
    };
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => header.chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn the_usual_browsers_are_called_by_their_names() {
        let chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 \
                      Safari/537.36";
        assert_eq!(name(chrome), "Chrome on Windows");
        assert_eq!(name(&format!("{chrome} Edg/131.0")), "Edge on Windows");
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
                     Version/18.1 Mobile/15E148 Safari/604.1";
        assert_eq!(name(phone), "Safari on iPhone");
        assert_eq!(
            name("Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0"),
            "Firefox on Linux"
        );
        assert_eq!(name("curl/8.5.0"), "curl");
    }

    #[test]
    fn what_nobody_knows_is_cut_to_its_beginning() {
        assert_eq!(name(""), "");
        assert_eq!(name(&"é".repeat(100)).chars().count(), 40);
    }
}
