//! No input makes it panic.

use proptest::prelude::*;

use super::super::table::SETTINGS;
use super::*;

/// Fragments of real files, so that random text gets past the first byte.
fn near_toml() -> impl Strategy<Value = String> {
    let keys = SETTINGS.iter().map(|setting| setting.key.rsplit('.').next().unwrap());
    let pieces: Vec<String> = keys
        .chain(["[session]\n", "[cookie]\n", "[connections.a]\n", "[connections]\n", "[[session]]\n"])
        .chain([
            " = ",
            "\"",
            "'",
            "\n",
            "3h",
            "\"3h\"",
            "-1",
            "1e9",
            "99999999999999999999",
            "0x_f",
            "[",
            "]",
        ])
        .chain([
            "{ env = \"A\" }",
            "{",
            "}",
            ".",
            ",",
            "#",
            "\u{feff}",
            "é",
            "\\u12",
            "1979-05-27",
            "true",
            "inf",
        ])
        .map(str::to_owned)
        .collect();
    prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Configuration::parse("x", &bytes, &Environment::empty()).map_err(|error| error.to_string());
    }

    #[test]
    fn no_text_that_looks_like_a_file_makes_it_panic(text in near_toml()) {
        if let Ok(configuration) = parse(&text) {
            let (drivers, _) = recording();
            let _ = now(drivers.open(&configuration)).map(drop).map_err(|error| error.to_string());
        }
    }

    #[test]
    fn no_variable_makes_it_panic(which in 0..SETTINGS.len(), value in "\\PC{0,40}") {
        let variable = SETTINGS[which].variables[0];
        let _ = parse_over(SAMPLE, [(variable, &value)]).map_err(|error| error.to_string());
    }

    #[test]
    fn places_are_those_of_an_editor(lines in 0usize..50, indent in 0usize..20) {
        let text = format!("[session]\n{}{}ïdle = 1\n", "\n".repeat(lines), " ".repeat(indent));
        let error = parse(&format!("{}{}\"ïdle\" = 1\n", "\n".repeat(lines), " ".repeat(indent))).unwrap_err();
        let place = error.problems()[0].place.clone().unwrap().to_string();
        prop_assert_eq!(place, format!("cloakroom.toml:{}:{}", lines + 1, indent + 1));
        prop_assert!(parse(&text).is_err());
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    for text in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
    ] {
        assert!(parse(&text).is_err());
    }
    let dotted = vec!["a"; 100_000].join(".");
    assert!(parse(&format!("{dotted} = 1\n")).is_err());
    assert!(parse(&format!("[{dotted}]\n")).is_err());
}
