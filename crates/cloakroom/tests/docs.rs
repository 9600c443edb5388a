//! The documentation speaks of what is there: links lead somewhere, and tests it names exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

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
    let mut pages = vec![root().join("README.md")];
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

#[test]
fn every_test_that_is_named_exists() {
    let mut sources = Vec::new();
    for dir in ["crates", "bench"] {
        files(&root().join(dir), ".rs", &mut sources);
    }
    let code: String = sources.iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    for page in ["docs/threat-model.md", "docs/parity.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            let numbered = name.len() > 3
                && name.starts_with(['s', 'c', 'p', 'x', 'm', 'r'])
                && name[1..].starts_with(|c: char| c.is_ascii_digit())
                && name.contains('_');
            if !numbered {
                continue;
            }
            let wanted = name.trim_end_matches('…');
            assert!(code.contains(wanted), "{page} names `{name}`, which is nowhere");
        }
    }
}

#[test]
fn every_security_line_says_what_enforces_it() {
    let text = std::fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    for n in 1..=72 {
        let line =
            text.lines().find(|l| l.starts_with(&format!("| S{n} |"))).unwrap_or_else(|| panic!("no S{n}"));
        let cell = line.split('|').nth(3).unwrap().trim();
        assert!(cell.len() > 8, "S{n} names no test and no reason: {cell}");
    }
}
