//! A cache as RFC 9111 describes it, written apart from the code under test: what may it do with a response?

use http::HeaderMap;

/// One directive: name in lower case, argument without quotes.
pub(super) type Directive = (String, Option<String>);

/// What the `Cache-Control` of a 200 answer to a GET allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Allows {
    /// A cache shared by several visitors may store it (§3).
    pub(super) shared_store: bool,
    /// The visitor's own browser may store it.
    pub(super) private_store: bool,
    /// It may be served from the browser's store without asking, for this many seconds (§4.2.1); `None`: by
    /// rule of thumb, or by `Expires`.
    pub(super) private_fresh_for: Option<u64>,
    /// It may be served stale (§4.2.4).
    pub(super) stale: bool,
}

pub(super) fn parse(headers: &HeaderMap) -> Vec<Directive> {
    let mut found = Vec::new();
    for field in headers.get_all("cache-control") {
        let mut chars = field.to_str().unwrap().chars().peekable();
        loop {
            while chars.next_if(|c| *c == ',' || *c == ' ' || *c == '\t').is_some() {}
            if chars.peek().is_none() {
                break;
            }
            let mut name = String::new();
            while let Some(c) = chars.next_if(|c| !matches!(c, '=' | ',')) {
                name.push(c.to_ascii_lowercase());
            }
            let argument = chars.next_if_eq(&'=').map(|_| {
                let mut argument = String::new();
                if chars.next_if_eq(&'"').is_some() {
                    while let Some(c) = chars.next() {
                        match c {
                            '"' => break,
                            '\\' => argument.extend(chars.next()),
                            c => argument.push(c),
                        }
                    }
                } else {
                    while let Some(c) = chars.next_if(|c| *c != ',') {
                        argument.push(c);
                    }
                }
                argument.trim().to_owned()
            });
            found.push((name.trim().to_owned(), argument));
        }
    }
    found
}

pub(super) fn allows(headers: &HeaderMap) -> Allows {
    let directives = parse(headers);
    let has = |name: &str| directives.iter().any(|(n, _)| n == name);
    let bare = |name: &str| directives.iter().any(|(n, a)| n == name && a.is_none());
    let seconds = |name: &str| {
        let (_, argument) = directives.iter().find(|(n, _)| n == name)?;
        // What cannot be read is stale at once; what overflows is a very long time.
        let argument = argument.clone().unwrap_or_default();
        let digits = !argument.is_empty() && argument.bytes().all(|b| b.is_ascii_digit());
        Some(if digits { argument.parse().unwrap_or(u64::MAX) } else { 0 })
    };
    // A cache that understands 200 ignores `no-store` where it is told that it must understand (§5.2.2.3).
    let no_store = has("no-store") && !has("must-understand");
    let asks_first = bare("no-cache");
    Allows {
        // Worst case: a cache to which `public` or `s-maxage` says more than a `private` beside it.
        shared_store: !no_store && (!bare("private") || has("public") || has("s-maxage")),
        private_store: !no_store,
        private_fresh_for: if asks_first || no_store { Some(0) } else { seconds("max-age") },
        stale: !no_store && !has("must-revalidate") && !asks_first,
    }
}

#[test]
fn the_model_knows_a_public_response_from_a_private_one() {
    let of = |value: &str| allows(&super::headers([("cache-control", value)]));
    assert!(of("").shared_store && of("max-age=5").shared_store && of("public").shared_store);
    assert!(of("private=\"set-cookie\"").shared_store);
    assert!(of("no-store, must-understand").shared_store);
    assert!(of("x=\"private\"").shared_store && of("x=\", private\"").shared_store);
    assert!(!of("Private").shared_store && !of("no-store").shared_store);
    assert!(!of("private, x=\", public\"").shared_store);
    assert_eq!(of("max-age=7").private_fresh_for, Some(7));
    assert_eq!(of("max-age=7, no-cache").private_fresh_for, Some(0));
    assert_eq!(of("max-age=\"7\", max-age=9").private_fresh_for, Some(7));
    assert_eq!(of("no-cache=\"x\"").private_fresh_for, None);
    assert!(of("").stale && !of("must-revalidate").stale);
}
