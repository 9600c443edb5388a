//! Whether the entries of a session are all that PHP has of it, and so what of it moves.

use cloakroom::payload::{Payload, PayloadBuilder};

use crate::Format;
use crate::layout::bags::{self, Around};
use crate::layout::coding::{Coding, Form};
use crate::layout::variables::is_reserved;

/// What moves of a session whose entries these are: they, and the other bags of Symfony's, each as an entry of its name.
///
/// `None`: it cannot move, for a value refers to another value or to an object, or a name is none here.
pub(super) fn of(coding: &Coding, bytes: &[u8], entries: &Payload) -> Option<Payload> {
    let session = coding.decode(bytes).ok()?;
    let variables = array(entries);
    let Around { whole: apart, others } = match &coding.form {
        Form::Bags(_) => bags::around(&session, &variables)?,
        _ => Around { whole: variables, others: Vec::new() },
    };
    // References are told by number, and numbers are other ones in the whole than in a variable alone.
    if session.encode_as(Format::PhpSerialize).ok()? != apart {
        return None;
    }
    if others.iter().any(|(name, _)| entries.get(name).is_some()) {
        return None;
    }
    if others.is_empty() {
        return Some(entries.clone());
    }
    let mut moves = PayloadBuilder::with_capacity(bytes.len());
    let others = others.iter().map(|(name, text)| (name.as_str(), text.as_slice()));
    for (key, value) in entries.iter().chain(others) {
        moves.push(key, value);
    }
    Some(moves.finish())
}

/// The variables as `serialize()` has an array of them.
fn array(entries: &Payload) -> Vec<u8> {
    let variables = || entries.iter().filter(|(key, _)| !is_reserved(key));
    let mut text = format!("a:{}:{{", variables().count()).into_bytes();
    for (name, value) in variables() {
        match name.parse::<i64>().ok().filter(|number| number.to_string() == name) {
            Some(number) => text.extend(format!("i:{number};").into_bytes()),
            None => text.extend(format!("s:{}:\"{name}\";", name.len()).into_bytes()),
        }
        text.extend(value);
    }
    text.push(b'}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::coding::Packing;
    use crate::layout::variables::read;

    fn plain(form: Form) -> Coding {
        Coding { form, packing: Packing::Never }
    }

    fn moves(coding: &Coding, php: &[u8]) -> Option<Vec<(String, String)>> {
        let entries = read(coding, php, &Payload::empty()).unwrap();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        of(coding, php, &entries)
            .map(|moves| moves.iter().map(|(key, value)| (key.to_owned(), text(value))).collect())
    }

    #[test]
    fn entries_are_not_all_of_it_where_a_value_refers_to_another_one_or_has_no_name_here() {
        for (php, all) in [
            (&b""[..], true),
            (b"n|i:1;a|a:1:{i:0;i:5;}", true),
            (b"o|O:1:\"N\":1:{s:1:\"x\";i:5;}e|E:4:\"S:Up\";", true),
            (b"a|a:2:{i:0;i:5;i:1;R:2;}n|i:1;", false),
            (b"a|i:5;b|R:1;", false),
            (b"a|O:1:\"N\":0:{}b|r:1;", false),
            (b"\xff|i:9;n|i:1;", false),
        ] {
            let moves = moves(&plain(Form::Handler(Format::Php)), php);
            assert_eq!(moves.is_some(), all, "{}", String::from_utf8_lossy(php));
        }
    }

    #[test]
    fn symfonys_attributes_move_and_its_other_bags_with_them_by_their_names() {
        let bags = plain(Form::Bags(Format::Php));
        let meta = "_sf2_meta|a:3:{s:1:\"u\";i:5;s:1:\"c\";i:4;s:1:\"l\";i:0;}";
        let with = |rest: &str| moves(&bags, format!("{rest}{meta}").as_bytes());
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let attributes = "_sf2_attributes|a:2:{s:1:\"n\";i:1;i:7;N;}";
        assert_eq!(with(""), Some(vec![]));
        let entries = vec![pair("n", "i:1;"), pair("7", "N;")];
        assert_eq!(with(attributes), Some(entries.clone()));
        assert_eq!(with(&format!("{attributes}_symfony_flashes|a:0:{{}}")), Some(entries.clone()));
        let flashes = pair("_symfony_flashes", "a:1:{s:1:\"e\";a:1:{i:0;s:1:\"x\";}}");
        let all = with(&format!("{attributes}_symfony_flashes|{}", flashes.1));
        assert_eq!(all, Some([entries, vec![flashes]].concat()));
        // Two places for one name, and a value that refers to one in another bag.
        assert_eq!(with("_sf2_attributes|a:1:{s:5:\"other\";i:1;}other|a:1:{i:0;i:1;}"), None);
        assert_eq!(with("_sf2_attributes|a:1:{s:1:\"n\";O:1:\"N\":0:{}}other|a:1:{i:0;r:2;}"), None);
    }
}
