//! One variable is changed, and every other byte stays as PHP wrote it; what cannot be done safely is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use cloakroom_php::{EncodeError, Format, Key, ReadOnly, Session};
use proptest::prelude::*;

/// A value as `serialize()` would write it, before it is known which numbers its back references have.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(String),
    Array(Vec<Tree>),
    Object(Vec<Tree>),
    /// A back reference to one of the values so far: `R:`, or `r:` where that is an object.
    Back(prop::sample::Index, bool),
}

fn tree() -> impl Strategy<Value = Tree> {
    // Some of them as PHP reads them and does not write them.
    let leaf = prop_oneof![
        Just("N;"),
        Just("b:1;"),
        Just("i:-7;"),
        Just("i:+007;"),
        Just("d:0.1;"),
        Just("d:0.10000000000000001;"),
        Just("s:3:\"a|b\";"),
        Just("s:9:\"b|R:1;c|i\";"),
        Just("S:3:\"\\00bc\";"),
        Just("E:6:\"Suit:H\";"),
    ];
    let leaf = prop_oneof![
        3 => leaf.prop_map(|text| Tree::Leaf(text.into())),
        1 => any::<(prop::sample::Index, bool)>().prop_map(|(to, object)| Tree::Back(to, object)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::Array),
            prop::collection::vec(inner, 0..4).prop_map(Tree::Object),
        ]
    })
}

/// A value in a payload: which variable it is in, and which of that variable's values it is, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    variable: usize,
    slot: u32,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Number(Place),
}

/// A variable whose back references have no numbers yet.
#[derive(Clone, Debug, Default)]
struct Variable {
    pieces: Vec<Piece>,
    slots: u32,
    /// Where its back references lead, and whether they are `R:`.
    leads: Vec<(Place, bool)>,
}

#[derive(Default)]
struct Writer {
    places: Vec<Place>,
    objects: Vec<Place>,
    variable: usize,
    out: Variable,
}

impl Writer {
    fn text(&mut self, text: impl Into<String>) {
        self.out.pieces.push(Piece::Text(text.into()));
    }

    fn place(&mut self) -> Place {
        self.out.slots += 1;
        let place = Place { variable: self.variable, slot: self.out.slots };
        self.places.push(place);
        place
    }

    fn value(&mut self, tree: &Tree) {
        match tree {
            Tree::Leaf(text) => {
                self.place();
                self.text(text);
            }
            Tree::Array(elements) => {
                self.place();
                self.text(format!("a:{}:{{", elements.len()));
                for (n, element) in elements.iter().enumerate() {
                    self.text(format!("i:{n};"));
                    self.value(element);
                }
                self.text("}");
            }
            Tree::Object(elements) => {
                let place = self.place();
                self.objects.push(place);
                self.text(format!("O:4:\"Node\":{}:{{", elements.len()));
                for (n, element) in elements.iter().enumerate() {
                    self.text(format!("s:2:\"p{n}\";"));
                    self.value(element);
                }
                self.text("}");
            }
            Tree::Back(to, true) if !self.objects.is_empty() => {
                let target = *to.get(&self.objects);
                let again = self.place();
                self.objects.push(again);
                self.back("r:", target, false);
            }
            Tree::Back(to, _) if !self.places.is_empty() => {
                let target = *to.get(&self.places);
                self.back("R:", target, true);
            }
            Tree::Back(..) => self.value(&Tree::Leaf("N;".into())),
        }
    }

    fn back(&mut self, tag: &str, target: Place, is_reference: bool) {
        self.out.leads.push((target, is_reference));
        self.text(tag);
        self.out.pieces.push(Piece::Number(target));
        self.text(";");
    }
}

fn variables(trees: &[Tree]) -> Vec<Variable> {
    let mut writer = Writer::default();
    let written = trees.iter().enumerate().map(|(n, tree)| {
        writer.variable = n;
        writer.value(tree);
        std::mem::take(&mut writer.out)
    });
    written.collect()
}

/// The payload of those variables that are there, numbers and all.
fn payload(format: Format, variables: &[Option<Variable>]) -> Vec<u8> {
    let mut first = vec![0; variables.len()];
    let mut next = if format == Format::PhpSerialize { 1 } else { 0 };
    for (n, variable) in variables.iter().enumerate() {
        first[n] = next;
        next += variable.as_ref().map_or(0, |variable| variable.slots);
    }
    let mut text = String::new();
    let mut count = 0;
    for (n, variable) in variables.iter().enumerate() {
        let Some(variable) = variable else { continue };
        count += 1;
        text += &match format {
            Format::Php => format!("v{n}|"),
            Format::PhpBinary => format!("\u{2}v{n}"),
            _ => format!("s:2:\"v{n}\";"),
        };
        for piece in &variable.pieces {
            match piece {
                Piece::Text(piece) => text += piece,
                Piece::Number(place) => text += &(first[place.variable] + place.slot).to_string(),
            }
        }
    }
    if format == Format::PhpSerialize { format!("a:{count}:{{{text}}}").into() } else { text.into() }
}

const TEXTS: [Format; 3] = [Format::Php, Format::PhpBinary, Format::PhpSerialize];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 2_000 } else { 20_000 }))]

    #[test]
    fn one_variable_changes_and_every_other_byte_stays(
        trees in prop::collection::vec(tree(), 1..6),
        change in any::<prop::sample::Index>(),
        format in prop::sample::select(&TEXTS),
    ) {
        let before = variables(&trees);
        let changed = change.index(before.len());
        let given = payload(format, &before.iter().cloned().map(Some).collect::<Vec<_>>());
        let session = Session::decode(format, given.as_slice()).unwrap();
        prop_assert_eq!(&session.encode().unwrap(), &given);

        let name = format!("v{changed}");
        let away = |(place, _): &&(Place, bool)| place.variable != changed;
        let others = before.iter().enumerate().filter(|(n, _)| *n != changed);
        let referred = others.flat_map(|(_, other)| &other.leads).any(|(place, _)| place.variable == changed);
        let refers = before[changed].leads.iter().filter(away).any(|(_, is_reference)| *is_reference);

        let mut replaced = session.clone();
        match replaced.set(&name, "new") {
            Ok(()) => {
                prop_assert!(!referred && !refers);
                let mut after: Vec<_> = before.iter().cloned().map(Some).collect();
                let pieces = vec![Piece::Text("s:3:\"new\";".into())];
                after[changed] = Some(Variable { pieces, slots: 1, leads: Vec::new() });
                prop_assert_eq!(replaced.encode().unwrap(), payload(format, &after));
            }
            Err(error) => {
                prop_assert_eq!(error, EncodeError::ReadOnly(ReadOnly::Tied));
                prop_assert!(referred || refers);
                prop_assert_eq!(&replaced.encode().unwrap(), &given);
            }
        }

        let mut removed = session.clone();
        match removed.remove(&name) {
            Ok(there) => {
                prop_assert!(there && !referred);
                let mut after: Vec<_> = before.iter().cloned().map(Some).collect();
                after[changed] = None;
                prop_assert_eq!(removed.encode().unwrap(), payload(format, &after));
            }
            Err(error) => {
                prop_assert_eq!(error, EncodeError::ReadOnly(ReadOnly::Tied));
                prop_assert!(referred);
            }
        }

        let mut added = session;
        added.set("v9", &9).unwrap();
        let mut after: Vec<_> = before.iter().cloned().map(Some).collect();
        after.resize(10, None);
        after[9] = Some(Variable { pieces: vec![Piece::Text("i:9;".into())], slots: 1, leads: Vec::new() });
        prop_assert_eq!(added.encode().unwrap(), payload(format, &after));
    }
}

fn changed(payload: &[u8], path: &[&str], value: impl serde::Serialize) -> Result<String, EncodeError> {
    let mut session = Session::decode(Format::Php, payload).unwrap();
    let path: Vec<Key<'_>> = path.iter().map(|key| Key::from(*key)).collect();
    session.set_at(&path, &value)?;
    session.encode().map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn one_element_changes_and_what_stands_beside_it_stays() {
    let object = br#"x|d:0.10;a|a:2:{s:1:"o";O:4:"User":1:{s:4:"self";r:3;}s:1:"n";i:1;}z|i:+1;"#;
    let expected = r#"x|d:0.10;a|a:2:{s:1:"o";O:4:"User":1:{s:4:"self";r:3;}s:1:"n";i:2;}z|i:+1;"#;
    assert_eq!(changed(object, &["a", "n"], 2).unwrap(), expected);

    // Numbers after what grew move with what they refer to.
    let after = br#"a|a:1:{i:0;i:1;}b|a:2:{i:0;O:1:"N":0:{}i:1;r:4;}"#;
    let expected = r#"a|a:1:{i:0;a:2:{i:0;i:5;i:1;i:6;}}b|a:2:{i:0;O:1:"N":0:{}i:1;r:6;}"#;
    assert_eq!(changed(after, &["a", "0"], [5, 6]).unwrap(), expected);

    // As in PHP, whoever holds the reference sees the new value.
    let reference = br#"a|a:2:{s:1:"p";i:1;s:1:"q";R:2;}"#;
    assert_eq!(changed(reference, &["a", "q"], "new").unwrap(), r#"a|a:2:{s:1:"p";s:3:"new";s:1:"q";R:2;}"#);
}

/// In igbinary `01` says that an array is a copy which still shares memory. Who writes into one does not write into the other.
#[test]
fn a_copy_of_an_array_does_not_change_with_it() {
    let header = b"\0\0\0\x02\x14\x02\x11\x01a";
    let cases: [(&[u8], &[Key<'_>], &[u8]); 3] = [
        (b"\x14\0\x11\x01b\x01\x01", &["a".into(), "x".into()], b"\x14\x01\x11\x01x\x06\x09\x11\x01b\x14\0"),
        (b"\x14\0\x11\x01b\x01\x01", &["b".into(), "x".into()], b"\x14\0\x11\x01b\x14\x01\x11\x01x\x06\x09"),
        (
            b"\x14\x01\x06\0\x14\x01\x06\0\x06\x01\x11\x01b\x01\x01",
            &["a".into(), 0.into(), 0.into()],
            b"\x14\x01\x06\0\x14\x01\x06\0\x06\x09\x11\x01b\x14\x01\x06\0\x14\x01\x06\0\x06\x01",
        ),
    ];
    for (before, path, after) in cases {
        let mut session = Session::decode(Format::Igbinary, [header, before].concat()).unwrap();
        session.set_at(path, &9).unwrap();
        assert_eq!(session.encode().unwrap(), [header, after].concat(), "{path:?}");
    }
}

#[test]
fn a_path_leads_into_arrays_only() {
    let payload = br#"a|a:1:{s:1:"o";O:4:"User":1:{s:1:"n";i:1;}}n|i:1;"#;
    for path in [&["a", "o", "n"][..], &["a", "x", "n"], &["n", "x"], &["x", "n"]] {
        assert_eq!(changed(payload, path, 1), Err(EncodeError::Path), "{path:?}");
    }
}

#[test]
fn a_variable_that_is_tied_to_another_is_not_changed() {
    let tied = EncodeError::ReadOnly(ReadOnly::Tied);
    let payload = br#"a|i:1;b|R:1;o|O:1:"N":0:{}p|r:2;free|a:0:{}"#;
    for name in ["a", "b", "o"] {
        assert_eq!(changed(payload, &[name], 5), Err(tied.clone()), "{name}");
    }
    // A variable that holds another one's object lets go of it, and that is all.
    let expected = r#"a|i:1;b|R:1;o|O:1:"N":0:{}p|i:5;free|a:0:{}"#;
    assert_eq!(changed(payload, &["p"], 5).unwrap(), expected);
    let expected = r#"a|i:1;b|R:1;o|O:1:"N":0:{}p|r:2;free|i:5;"#;
    assert_eq!(changed(payload, &["free"], 5).unwrap(), expected);
    let inner = br#"a|a:1:{i:0;a:1:{i:0;i:1;}}b|R:2;"#;
    assert_eq!(changed(inner, &["a", "0", "0"], 5), Err(tied));
}

/// In igbinary the model tells what is tied: `25` marks a reference, and `01` leads back to it.
#[test]
fn a_variable_that_is_tied_to_another_is_not_changed_in_igbinary_either() {
    let tied = b"\0\0\0\x02\x14\x03\x11\x01a\x25\x06\x01\x11\x01b\x25\x01\x01\x11\x01c\x25\x06\x03";
    let mut session = Session::decode(Format::Igbinary, tied.as_slice()).unwrap();
    for name in ["a", "b"] {
        assert_eq!(session.set(name, &5), Err(EncodeError::ReadOnly(ReadOnly::Tied)), "{name}");
    }
    // A reference that one place holds is a plain value.
    session.set("c", &5).unwrap();
    assert_eq!(session.remove("b"), Ok(true));
    session.set("a", &6).unwrap();
    assert_eq!(session.encode().unwrap(), b"\0\0\0\x02\x14\x02\x11\x01a\x06\x06\x11\x01c\x06\x05");
}

#[test]
fn sessions_that_cannot_be_changed_safely_say_why() {
    let cases: [(Format, &[u8], ReadOnly); 8] = [
        (Format::Igbinary, b"\0\0\0\x02\x14\x01\x11\x01a\x25\x01\x00", ReadOnly::Root),
        (Format::Php, br#"a|C:1:"L":4:{i:1;}b|i:1;c|R:2;"#, ReadOnly::OpaqueNumbers),
        (Format::Php, br#"a|C:1:"L":9:{x{r:1;}yz}b|i:1;"#, ReadOnly::OpaqueNumbers),
        (Format::Php, br#"a|i:1;b|R:1;a|i:2;"#, ReadOnly::Duplicate),
        (Format::Php, br#"a|a:3:{i:0;i:1;i:0;i:2;i:1;R:2;}"#, ReadOnly::Duplicate),
        (
            Format::Igbinary,
            b"\0\0\0\x02\x14\x02\x11\x01a\x25\x06\x01\x0e\x00\x25\x01\x01",
            ReadOnly::Duplicate,
        ),
        (Format::PhpSerialize, br#"a:1:{s:1:"a";R:1;}"#, ReadOnly::Root),
        (
            Format::Msgpack,
            b"\x83\xc0\x01\xa1a\x82\xc0\xa1N\xa1n\x01\xa1b\x82\xc0\x04\x00\x02",
            ReadOnly::MsgpackReferences,
        ),
    ];
    for (format, payload, reason) in cases {
        let mut session = Session::decode(format, payload).unwrap();
        assert_eq!(session.read_only(), Some(reason));
        let refused = EncodeError::ReadOnly(reason);
        assert_eq!(session.set("new", &1), Err(refused.clone()), "{reason}");
        assert_eq!(session.set_at(&["a".into(), "b".into()], &1), Err(refused.clone()), "{reason}");
        assert_eq!(session.remove("a"), Err(refused), "{reason}");
        assert_eq!(session.encode().unwrap(), payload, "{reason}");
    }
}

#[test]
fn names_that_a_format_cannot_carry_are_refused() {
    let long = "n".repeat(128);
    for (format, name, fits) in [
        (Format::Php, "a|b", false),
        (Format::Php, "!a", false),
        (Format::Php, "a!\0\n\"", true),
        (Format::Php, "5", false),
        (Format::Php, "-5", false),
        (Format::Php, "05", true),
        (Format::Php, &long, true),
        (Format::PhpBinary, "a|b", true),
        (Format::PhpBinary, "!a", true),
        (Format::PhpBinary, &long, false),
        (Format::PhpBinary, &long[1..], true),
        (Format::PhpBinary, "5", false),
        (Format::PhpSerialize, "a|b", true),
        (Format::PhpSerialize, "5", true),
        (Format::Igbinary, "5", false),
        (Format::Igbinary, "a|b", true),
        (Format::Msgpack, "5", false),
        (Format::Msgpack, &long, true),
    ] {
        let mut session = Session::new(format);
        session.set("kept", &1).unwrap();
        match session.set(name, &2) {
            Ok(()) => assert!(fits, "{format}: {name:?}"),
            Err(EncodeError::Name { format: of, .. }) => {
                assert!(!fits && of == format.name(), "{of}: {name:?}")
            }
            Err(error) => panic!("{format}: {name:?}: {error}"),
        }
        let read = Session::decode(format, session.encode().unwrap()).unwrap();
        assert_eq!(
            (read.len(), read.get(name).is_some()),
            (1 + usize::from(fits), fits),
            "{format}: {name:?}"
        );
    }
}

#[test]
fn names_that_another_format_cannot_carry_are_refused_there() {
    let long = format!("{}|i:1;", "n".repeat(128));
    let whole: &[u8] = br#"a:2:{s:3:"a|b";i:1;i:5;i:1;}"#;
    for (from, payload, to) in [
        (Format::PhpSerialize, whole, Format::Php),
        (Format::PhpSerialize, whole, Format::Igbinary),
        (Format::Php, long.as_bytes(), Format::PhpBinary),
        (Format::Php, b"5|i:1;", Format::PhpSerialize),
        (Format::Php, b"5|i:1;", Format::Msgpack),
    ] {
        let session = Session::decode(from, payload).unwrap();
        let error = session.encode_as(to).unwrap_err();
        assert!(matches!(error, EncodeError::Name { .. }), "{from} to {to}: {error}");
    }
}

/// PHP marks with the highest bit of a name's length what it no longer has, and masks it.
#[test]
fn names_are_kept_as_they_were_written() {
    let payload = [b"\x81ai:1;".as_slice(), b"\x01bi:1;"].concat();
    let mut session = Session::decode(Format::PhpBinary, payload).unwrap();
    session.set("b", &2).unwrap();
    assert_eq!(session.encode().unwrap(), b"\x81ai:1;\x01bi:2;");
}

/// igbinary tells the text "5" from the integer 5 as a key, and `serialize()` does not: there one of them would be gone.
#[test]
fn what_would_not_read_back_the_same_is_not_handed_out() {
    let both = b"\0\0\0\x02\x14\x01\x11\x01a\x14\x02\x11\x015\x06\x01\x06\x05\x06\x02";
    let session = Session::decode(Format::Igbinary, both.as_slice()).unwrap();
    assert_eq!(session.get("a").unwrap().as_array().unwrap().len(), 2);
    assert_eq!(session.encode_as(Format::Igbinary).unwrap(), both);
    for format in [Format::Php, Format::PhpSerialize, Format::PhpBinary, Format::Msgpack] {
        assert_eq!(session.encode_as(format), Err(EncodeError::Unverified), "{format}");
    }
}

#[test]
fn one_element_is_taken_away_and_everything_beside_it_stays() {
    let php = br#"bag|a:3:{s:1:"a";O:4:"User":0:{}i:5;i:1;s:1:"c";r:2;}rest|d:0.10;"#;
    let mut session = Session::decode(Format::Php, php.as_slice()).unwrap();
    assert!(session.remove_at(&["bag".into(), 5.into()]).unwrap());
    // The object is still one, and what is beside the bag has its bytes.
    let rest = br#"bag|a:2:{s:1:"a";O:4:"User":0:{}s:1:"c";r:2;}rest|d:0.10;"#;
    assert_eq!(session.encode().unwrap(), rest);
    assert!(!session.remove_at(&["bag".into(), "none".into()]).unwrap());
    assert!(!session.remove_at(&["none".into(), "a".into()]).unwrap());
    assert!(matches!(session.remove_at(&["rest".into(), "a".into()]), Err(EncodeError::Path)));
    assert!(session.remove_at(&["rest".into()]).unwrap());
    assert!(matches!(session.remove_at(&["bag".into(), "a".into(), "x".into()]), Err(EncodeError::Path)));

    // What another variable refers to stays.
    let tied = br#"bag|a:1:{s:1:"a";a:0:{}}other|R:2;"#;
    let mut session = Session::decode(Format::Php, tied.as_slice()).unwrap();
    let refused = session.remove_at(&["bag".into(), "a".into()]);
    assert!(matches!(refused, Err(EncodeError::ReadOnly(ReadOnly::Tied))), "{refused:?}");
    assert_eq!(session.encode().unwrap(), tied);

    // An array that another variable shares keeps what it had there.
    let shared = b"\0\0\0\x02\x14\x02\x11\x01a\x14\x01\x11\x01k\x06\x01\x11\x01b\x01\x01";
    let mut session = Session::decode(Format::Igbinary, shared.as_slice()).unwrap();
    assert!(session.remove_at(&["a".into(), "k".into()]).unwrap());
    let read = Session::decode(Format::Igbinary, session.encode().unwrap()).unwrap();
    assert!(read.get("a").unwrap().as_array().unwrap().is_empty());
    assert_eq!(read.get("b").unwrap().get("k").unwrap().as_int(), Some(1));
}
