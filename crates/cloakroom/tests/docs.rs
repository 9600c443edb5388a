//! The documentation speaks of what is there: links lead somewhere, tests it names exist, and no requirement is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn files(dir: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn pages() -> Vec<PathBuf> {
    let mut pages = ["README.md", "CHANGELOG.md", "bench/README.md"].map(|page| root().join(page)).to_vec();
    files(&root().join("docs"), ".md", &mut pages);
    pages
}

#[test]
fn every_relative_link_leads_to_a_file() {
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let file = link.split('#').next().unwrap();
            assert!(page.parent().unwrap().join(file).exists(), "{}: {link}", page.display());
        }
    }
}

/// Files and folders by their names or the ends of their paths, wherever they are.
#[test]
fn what_the_architecture_names_is_there() {
    let text = std::fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut sources = Vec::new();
    for dir in ["crates", "examples", "bench", "fuzz"] {
        files(&root().join(dir), ".rs", &mut sources);
        files(&root().join(dir), ".lua", &mut sources);
    }
    let sources: Vec<String> = sources.iter().map(|path| path.display().to_string()).collect();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-./".contains(c)));
    let mut seen = 0;
    for word in words.map(|word| word.trim_end_matches('.')) {
        let part = match word {
            // What is left of `./test` and `php_*.lua`.
            rest if rest.starts_with('.') || rest == "/" => continue,
            folder if folder.ends_with('/') => format!("/{folder}"),
            file if file.ends_with(".rs") || file.ends_with(".lua") => format!("/{file}"),
            _ => continue,
        };
        let is_it =
            |path: &String| if part.ends_with('/') { path.contains(&part) } else { path.ends_with(&part) };
        assert!(sources.iter().any(is_it), "docs/architecture.md: {word}");
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}

/// The names of all tests: after `fn`, or listed for one of the macros that make several tests of one function.
fn tests() -> BTreeSet<String> {
    let mut sources = Vec::new();
    for dir in ["crates", "bench", "examples"] {
        files(&root().join(dir), ".rs", &mut sources);
    }
    let mut names = BTreeSet::new();
    for file in sources {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let mut words = words.filter(|word| !word.is_empty() && !["async", "pub"].contains(word));
            let (first, second) = (words.next(), words.next());
            let name = if first == Some("fn") { second } else { first };
            names.extend(name.filter(|_| !line.trim_start().starts_with("//")).map(str::to_owned));
        }
    }
    names
}

/// What a page says in code that can only be the name of a test: a number of the requirements first, or a sentence.
fn named(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let is_name = |word: &&str| {
        let numbered = word.starts_with(['s', 'c', 'p', 'x', 'm', 'r'])
            && word[1..].starts_with(|c: char| c.is_ascii_digit())
            && word.contains('_');
        let spelt =
            word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '…');
        spelt && (numbered || word.matches('_').count() >= 3)
    };
    text.split('`').skip(1).step_by(2).filter(is_name).map(str::to_owned).collect()
}

/// Whether a test is about this requirement: `s05_…` or `s04_s05_…` for S5. Older names write one digit.
fn is_about(test: &str, letter: char, n: u32) -> bool {
    // The contracts go by their numbers as they are, all other lines by two digits.
    let number = if letter == 'c' { format!("{letter}{n}") } else { format!("{letter}{n:02}") };
    test.split('_').any(|word| word == number)
}

#[test]
fn the_lines_that_tests_are_about_have_two_digits() {
    let one_digit = |word: &str| matches!(word.as_bytes(), [b'r' | b'p' | b'x' | b'm' | b's', b'0'..=b'9']);
    let tests = tests();
    let odd: Vec<&String> =
        tests.iter().filter(|test| test.contains('_') && test.split('_').any(one_digit)).collect();
    assert!(odd.is_empty(), "{odd:?}");
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = tests();
    for page in ["docs/threat-model.md", "docs/parity.md", "docs/guarantees.md", "docs/testing.md"] {
        for name in named(page) {
            let exists = match name.strip_suffix('…') {
                Some(beginning) => tests.iter().any(|test| test.starts_with(beginning)),
                None => tests.contains(&name),
            };
            assert!(exists, "{page} names `{name}`, and there is no such test");
        }
    }
}

#[test]
fn every_security_line_names_a_test_of_its_own_or_a_reason() {
    let tests = tests();
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    for n in 1..=72 {
        let line =
            text.lines().find(|l| l.starts_with(&format!("| S{n} |"))).unwrap_or_else(|| panic!("no S{n}"));
        let cell = line.split('|').nth(3).unwrap().trim();
        assert!(cell.len() > 8, "S{n} names no test and no reason: {cell}");
        if tests.iter().any(|test| is_about(test, 's', n)) {
            let told = cell.split('`').skip(1).step_by(2).any(|name| is_about(name, 's', n));
            assert!(told, "there are tests of S{n}, and its line names none of them: {cell}");
        }
    }
}

#[test]
fn every_line_of_the_four_systems_is_answered() {
    let tests = tests();
    let text = std::fs::read_to_string(root().join("docs/parity.md")).unwrap();
    let rows: Vec<Vec<&str>> =
        text.lines().filter(|l| l.starts_with("| ")).map(|l| l.split('|').map(str::trim).collect()).collect();
    for (letter, last) in [('R', 8), ('P', 14), ('X', 10), ('M', 11)] {
        for n in 1..=last {
            let number = format!("{letter}{n}");
            // One row may be about several: "P7, P8, P9 anonymous, …".
            let row = rows.iter().find(|row| row[1].split([' ', ',']).any(|word| word == number));
            let row = row.unwrap_or_else(|| panic!("no {number}"));
            assert!(row[2].len() > 8, "{number} names no test and no reason: {}", row[2]);
            let letter = letter.to_ascii_lowercase();
            if tests.iter().any(|test| is_about(test, letter, n)) {
                let told = row[2].split('`').skip(1).step_by(2).any(|name| is_about(name, letter, n));
                assert!(told, "there are tests of {number}, and its row names none of them: {}", row[2]);
            }
        }
    }
}

#[test]
fn every_contract_is_described_and_tested() {
    let tests = tests();
    let text = std::fs::read_to_string(root().join("docs/guarantees.md")).unwrap();
    for n in 1..=13 {
        assert!(text.lines().any(|l| l.starts_with(&format!("| C{n} "))), "no C{n}");
        assert!(tests.iter().any(|test| is_about(test, 'c', n)), "no test carries C{n}");
    }
}
