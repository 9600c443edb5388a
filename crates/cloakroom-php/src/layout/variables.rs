//! PHP's variables as entries of a session's data, and changed entries as variables again.
//!
//! A variable's entry is what `serialize()` would give for it alone: in the formats that are made of such text, what PHP wrote. What is written back is
//! only what differs: a variable that nobody touched keeps its bytes, and with them its objects, references and enums.
//!
//! Not every variable can be an entry. Whatever has a name that is no key here (not UTF-8, or beginning with NUL) stays where it
//! is, unseen. One that cannot be written out is an entry that cannot be decoded.

use cloakroom::UserId;
use cloakroom::clock::Timestamp;
use cloakroom::payload::{Payload, PayloadBuilder};

use super::coding::Coding;
use crate::{DecodeError, Document, EncodeError, Encoding, Key, Kind, Value};

/// What begins the names of entries that are not the application's: flash messages, the CSRF token.
const RESERVED: char = '\0';

pub(super) fn is_reserved(key: &str) -> bool {
    key.starts_with(RESERVED)
}

/// The name under which a variable is an entry.
fn entry_name(key: Key<'_>) -> Option<String> {
    match key {
        Key::Int(n) => Some(n.to_string()),
        Key::Bytes(bytes) => {
            let name = std::str::from_utf8(bytes).ok()?;
            (!is_reserved(name) && bytes.len() <= usize::from(u16::MAX)).then(|| name.to_owned())
        }
    }
}

/// Reads a payload of PHP's: the variables, and behind them what is kept beside.
pub(super) fn read(coding: &Coding, bytes: &[u8], beside: &Payload) -> Result<Payload, DecodeError> {
    let mut entries = PayloadBuilder::with_capacity(bytes.len());
    coding.read(bytes, |key, text| {
        if let Some(name) = entry_name(key) {
            entries.push(&name, &text.unwrap_or_default());
        }
    })?;
    for (key, value) in beside.iter() {
        entries.push(key, value);
    }
    Ok(entries.finish())
}

/// The entries that are not PHP's.
pub(super) fn beside(payload: &Payload) -> Payload {
    let mut entries = PayloadBuilder::default();
    for (key, value) in payload.iter().filter(|(key, _)| is_reserved(key)) {
        entries.push(key, value);
    }
    entries.finish()
}

/// Writes what differs between what PHP has and what it is to have. `afresh`: nothing is left of what was there.
pub(super) fn write(
    coding: &Coding,
    bytes: Option<&[u8]>,
    wanted: &Payload,
    afresh: bool,
    now: Timestamp,
) -> Result<Vec<u8>, WriteError> {
    let mut session = match bytes {
        Some(bytes) if !afresh => coding.decode(bytes).map_err(WriteError::Read)?,
        _ => coding.form.empty(),
    };
    let mut gone = Vec::new();
    let mut same = Vec::new();
    for (key, text) in coding.form.texts(&session) {
        let Some(name) = entry_name(key) else { continue };
        match wanted.get(&name) {
            None => gone.push(name),
            Some(wanted) if text.unwrap_or_default() == wanted => same.push(name),
            Some(_) => {}
        }
    }
    for name in gone {
        coding.form.remove(&mut session, &name).map_err(WriteError::Write)?;
    }
    for (name, text) in wanted.iter().filter(|(key, _)| !is_reserved(key)) {
        if same.iter().any(|unchanged| unchanged == name) {
            continue;
        }
        let value = Document::decode(Encoding::Serialize, text).map_err(WriteError::Read)?;
        coding.form.set(&mut session, name, &value.root()).map_err(WriteError::Write)?;
    }
    coding.form.close(&mut session, now).map_err(WriteError::Write)?;
    coding.encode(&session).map_err(WriteError::Write)
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// What is there cannot be read.
    #[error(transparent)]
    Read(DecodeError),
    /// What is to be there cannot be written.
    #[error(transparent)]
    Write(EncodeError),
}

/// Who PHP says is logged in.
pub(super) fn user(payload: &Payload, variable: &str) -> Option<UserId> {
    let document = Document::decode(Encoding::Serialize, payload.get(variable)?).ok()?;
    user_of(document.root())
}

fn user_of(value: Value<'_>) -> Option<UserId> {
    match value.kind() {
        Kind::Int => UserId::new(&value.as_int()?.to_string()),
        Kind::String => UserId::new(value.as_str()?),
        _ => None,
    }
}

/// The entries with this user in them: an integer where the name is one, as PHP applications have it.
pub(super) fn with_user(payload: &Payload, variable: &str, user: &UserId) -> Result<Payload, EncodeError> {
    let name = user.as_str();
    let number = name.parse::<i64>().ok().filter(|n| n.to_string() == name);
    let document = match number {
        Some(n) => Document::from_serde(&n)?,
        None => Document::from_serde(name)?,
    };
    let text = document.encode(Encoding::Serialize)?;
    let mut entries = PayloadBuilder::with_capacity(payload.len() + text.len());
    let mut set = false;
    for (key, value) in payload.iter() {
        let is_it = key == variable;
        set |= is_it;
        entries.push(key, if is_it { &text } else { value });
    }
    if !set {
        entries.push(variable, &text);
    }
    Ok(entries.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;
    use crate::layout::coding::{Form, Packing};

    const PHP: Coding = Coding { form: Form::Handler(Format::Php), packing: Packing::Never };
    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_500);

    fn entries(pairs: &[(&str, &str)]) -> Payload {
        let mut entries = PayloadBuilder::default();
        for (key, value) in pairs {
            entries.push(key, value.as_bytes());
        }
        entries.finish()
    }

    #[test]
    fn what_was_not_touched_keeps_its_bytes() {
        let php = b"user|O:4:\"User\":1:{s:4:\"name\";s:1:\"x\";}\xff|i:9;n|i:1;again|r:1;";
        let payload = read(&PHP, php, &Payload::empty()).unwrap();
        assert_eq!(payload.get("n"), Some(&b"i:1;"[..]));
        assert_eq!(write(&PHP, Some(php), &payload, false, NOW).unwrap(), php);
        let mut changed = PayloadBuilder::default();
        for (key, value) in payload.iter() {
            changed.push(key, if key == "n" { b"i:22;" } else { value });
        }
        changed.push("\0flash", b"ours");
        let written = write(&PHP, Some(php), &changed.finish(), false, NOW).unwrap();
        assert_eq!(written, b"user|O:4:\"User\":1:{s:4:\"name\";s:1:\"x\";}\xff|i:9;n|i:22;again|r:1;");
    }

    /// Text that PHP reads and does not write is an entry as it stands, and is not taken for a change.
    #[test]
    fn what_php_would_write_otherwise_keeps_its_bytes_too() {
        for php in [&b"a|i:+7;b|d:0.50;n|i:1;"[..], b"a|i:+7;b|R:1;n|i:1;", b"a|S:1:\"\\61\";n|i:1;"] {
            let payload = read(&PHP, php, &Payload::empty()).unwrap();
            assert_eq!(write(&PHP, Some(php), &payload, false, NOW).unwrap(), php);
            let mut changed = PayloadBuilder::default();
            for (key, value) in payload.iter() {
                changed.push(key, if key == "n" { b"i:2;" } else { value });
            }
            let written = write(&PHP, Some(php), &changed.finish(), false, NOW).unwrap();
            assert_eq!(written, [&php[..php.len() - 2], b"2;"].concat());
        }
    }

    #[test]
    fn what_the_format_cannot_carry_is_refused_and_nothing_is_written() {
        let refused = write(&PHP, Some(b"n|i:1;"), &entries(&[("a|b", "i:1;")]), false, NOW);
        assert!(matches!(refused, Err(WriteError::Write(EncodeError::Name { .. }))), "{refused:?}");
        assert!(
            write(
                &Coding::from(Form::Handler(Format::PhpSerialize)),
                Some(b"a:0:{}"),
                &entries(&[("a|b", "i:1;")]),
                false,
                NOW
            )
            .is_ok()
        );
    }

    #[test]
    fn a_user_is_an_integer_where_the_name_is_one() {
        let with = with_user(&entries(&[("n", "i:1;")]), "uid", &UserId::new("7").unwrap()).unwrap();
        assert_eq!(with.get("uid"), Some(&b"i:7;"[..]));
        assert_eq!(user(&with, "uid").unwrap().as_str(), "7");
        let with = with_user(&with, "uid", &UserId::new("07").unwrap()).unwrap();
        assert_eq!(with.get("uid"), Some(&b"s:2:\"07\";"[..]));
        assert_eq!(user(&with, "uid").unwrap().as_str(), "07");
        assert_eq!(user(&entries(&[("uid", "b:1;")]), "uid"), None);
    }

    /// What is written where these are the attributes.
    fn with_attributes(payload: &[u8], attributes: &[(&str, &str)]) -> String {
        let bags = Coding::from(Form::Bags(Format::Php));
        String::from_utf8(write(&bags, Some(payload), &entries(attributes), false, NOW).unwrap()).unwrap()
    }

    #[test]
    fn symfonys_attributes_are_the_variables_and_its_other_bags_its_own() {
        let bags = Coding::from(Form::Bags(Format::Php));
        let symfony = br#"_sf2_attributes|a:2:{s:1:"n";i:1;s:14:"_security_main";O:5:"Token":0:{}}_symfony_flashes|a:1:{s:6:"notice";a:1:{i:0;s:1:"x";}}_sf2_meta|a:3:{s:1:"u";i:5;s:1:"c";i:4;s:1:"l";i:0;}"#;
        let read = read(&bags, symfony, &Payload::empty()).unwrap();
        let names: Vec<&str> = read.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["n", "_security_main"]);
        let token = ("_security_main", "O:5:\"Token\":0:{}");
        let rest = r#"_symfony_flashes|a:1:{s:6:"notice";a:1:{i:0;s:1:"x";}}_sf2_meta|a:3:{s:1:"u";i:1700000000;s:1:"c";i:4;s:1:"l";i:0;}"#;
        let changed = with_attributes(symfony, &[("n", "i:22;"), token, ("7", "N;")]);
        let attributes = r#"_sf2_attributes|a:3:{s:1:"n";i:22;s:14:"_security_main";O:5:"Token":0:{}i:7;N;}"#;
        assert_eq!(changed, format!("{attributes}{rest}"));
        // An empty bag goes, and comes back behind the others.
        assert_eq!(with_attributes(symfony, &[]), rest);
        let begun = with_attributes(rest.as_bytes(), &[("n", "i:1;")]);
        let (_, meta) = rest.split_once("_sf2_meta").unwrap();
        let flashes = rest.strip_suffix(&format!("_sf2_meta{meta}")).unwrap();
        assert_eq!(begun, format!("{flashes}_sf2_meta{meta}_sf2_attributes|a:1:{{s:1:\"n\";i:1;}}"));
        // And a session is begun as Symfony begins one.
        let begun = with_attributes(b"", &[("n", "i:1;")]);
        let meta = "_sf2_meta|a:3:{s:1:\"u\";i:1700000000;s:1:\"c\";i:1700000000;s:1:\"l\";i:0;}";
        assert_eq!(begun, format!("_sf2_attributes|a:1:{{s:1:\"n\";i:1;}}{meta}"));
    }
}
