//! What stands in one file: PHP's own reading of its ini format, byte for byte where it matters.
//!
//! Values can be quoted, joined, expanded and even calculated; a value that needed quotes and has none is read as something
//! else, or ends the reading of the whole file. That is found here, because PHP says it in a log that nobody reads.
//!
//! Source: the scanner's rules, as [`parse_ini_string`](https://www.php.net/manual/en/function.parse-ini-file.php) shows them
//! with `INI_SCANNER_NORMAL`.

/// One line that sets something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    /// The section it stands in: `PHP`, `www`, `PATH=/srv`; empty before the first.
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: Value,
    /// Counted from one.
    pub(super) line: usize,
}

/// What PHP makes of what stands behind the `=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    /// Not quoted, with one of `|&^~!()`: PHP calculates.
    Calculated(char),
    /// Holds a `${NAME}` that has no value here.
    Unset(String),
}

/// A file as PHP reads it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) directives: Vec<Directive>,
    /// Where PHP stops reading, and why: it ignores the rest of the file.
    pub(super) stops: Option<Stop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    pub(super) line: usize,
    pub(super) why: &'static str,
}

/// Reads a whole file. `lookup` knows the values of `${NAME}`.
pub(super) fn read(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Read {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut scanner = Scanner { rest: text, line: 1, lookup, ended: None };
    let mut read = Read::default();
    let mut section = String::new();
    loop {
        match scanner.next(&section) {
            Ok(Some(Item::Directive(directive))) => read.directives.push(directive),
            Ok(Some(Item::Section(name))) => section = name,
            Ok(None) => break,
            Err(stop) => scanner.ended = Some(stop),
        }
        if scanner.ended.is_some() {
            break;
        }
    }
    read.stops = scanner.ended;
    read
}

enum Item {
    Section(String),
    Directive(Directive),
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// PHP gives up here.
    ended: Option<Stop>,
}

impl<'a> Scanner<'a> {
    fn next(&mut self, section: &str) -> Result<Option<Item>, Stop> {
        loop {
            self.skip(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            let Some(first) = self.rest.chars().next() else { return Ok(None) };
            match first {
                ';' => drop(self.take(|c| c != '\n')),
                '[' => {
                    let name = self.take(|c| c != ']' && c != '\n');
                    if !self.rest.starts_with(']') {
                        return Err(self.stop("the name of a section has no end"));
                    }
                    self.take(|c| c != '\n');
                    return Ok(Some(Item::Section(name.trim_start_matches('[').trim().to_owned())));
                }
                _ => {
                    let line = self.line;
                    let key = self.take(|c| !matches!(c, '=' | '\n' | ';'));
                    if !self.rest.starts_with('=') {
                        // A word alone says nothing.
                        continue;
                    }
                    self.advance(1);
                    let value = self.value()?;
                    let directive =
                        Directive { section: section.to_owned(), key: key.trim().to_owned(), value, line };
                    return Ok(Some(Item::Directive(directive)));
                }
            }
        }
    }

    /// What stands behind the `=`, up to the end of the line or a comment.
    fn value(&mut self) -> Result<Value, Stop> {
        let mut joined = Joined::default();
        self.skip(|c| matches!(c, ' ' | '\t'));
        loop {
            match self.rest.chars().next() {
                None | Some('\n') => break,
                Some('\r') => self.advance(1),
                Some(';') => drop(self.take(|c| c != '\n')),
                Some('"') => self.quoted(&mut joined)?,
                Some('\'') => {
                    self.advance(1);
                    let raw = self.take(|c| c != '\'');
                    if self.rest.is_empty() {
                        return Err(self.stop("a quotation mark has no counterpart"));
                    }
                    self.advance(1);
                    joined.quoted(raw);
                }
                Some('=') => {
                    // What stands before it is set all the same.
                    self.ended = Some(self.stop("a value with `=` in it has to stand in quotation marks"));
                    break;
                }
                Some(operator @ ('|' | '&' | '^' | '~' | '!' | '(' | ')')) => {
                    self.advance(1);
                    joined.calculated.get_or_insert(operator);
                }
                Some('$') if self.rest.starts_with("${") => self.expand(&mut joined)?,
                Some(' ' | '\t') => joined.blank(self.take(|c| matches!(c, ' ' | '\t'))),
                Some('$') => {
                    self.advance(1);
                    joined.bare("$");
                }
                Some(_) => joined.bare(self.take(|c| {
                    !matches!(
                        c,
                        '\n' | '\r'
                            | ';'
                            | '"'
                            | '\''
                            | '='
                            | '|'
                            | '&'
                            | '^'
                            | '~'
                            | '!'
                            | '('
                            | ')'
                            | '$'
                            | ' '
                            | '\t'
                    )
                })),
            }
        }
        let (value, wrong) = joined.end();
        if let Some(why) = wrong {
            self.ended.get_or_insert(self.stop(why));
        }
        Ok(value)
    }

    /// Text in double quotation marks; it may go on over several lines.
    fn quoted(&mut self, joined: &mut Joined) -> Result<(), Stop> {
        self.advance(1);
        joined.quoted("");
        loop {
            joined.more_quoted(self.take(|c| !matches!(c, '"' | '\\' | '$')));
            let mut ahead = self.rest.chars();
            match (ahead.next(), ahead.next()) {
                (None, _) => return Err(self.stop("a quotation mark has no counterpart")),
                (Some('"'), _) => {
                    self.advance(1);
                    return Ok(());
                }
                (Some('\\'), Some(escaped @ ('"' | '\\' | '\'' | '$'))) => {
                    self.advance(2);
                    joined.more_quoted(escaped.encode_utf8(&mut [0; 4]));
                }
                (Some('$'), Some('{')) => self.expand(joined)?,
                (Some(other), _) => {
                    self.advance(1);
                    joined.more_quoted(other.encode_utf8(&mut [0; 4]));
                }
            }
        }
    }

    /// `${NAME}`; PHP 8.3 also knows `${NAME:-otherwise}`, which 8.2 reads as a name.
    fn expand(&mut self, joined: &mut Joined) -> Result<(), Stop> {
        self.advance(2);
        let name = self.take(|c| c != '}' && c != '\n');
        if !self.rest.starts_with('}') {
            return Err(self.stop("`${` has no `}`"));
        }
        self.advance(1);
        match (self.lookup)(name) {
            Some(value) => joined.more_quoted(&value),
            None => {
                joined.unset.get_or_insert_with(|| name.to_owned());
                joined.more_quoted("");
            }
        }
        Ok(())
    }

    fn take(&mut self, of: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !of(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn skip(&mut self, of: impl Fn(char) -> bool) {
        self.take(of);
    }

    /// Past so many characters, all of one byte.
    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn stop(&self, why: &'static str) -> Stop {
        Stop { line: self.line, why }
    }
}

/// The parts of a value, put together as PHP does: blanks between bare words stay, blanks beside quotation marks go.
#[derive(Default)]
struct Joined {
    text: String,
    blank: String,
    /// Only bare words so far: words such as `on` mean something then.
    quoted: bool,
    bare: bool,
    calculated: Option<char>,
    unset: Option<String>,
}

impl Joined {
    fn bare(&mut self, part: &str) {
        if !self.text.is_empty() && self.bare {
            self.text.push_str(&self.blank);
        }
        self.blank.clear();
        self.bare = true;
        self.text.push_str(part);
    }

    fn quoted(&mut self, part: &str) {
        self.more_quoted(part);
    }

    fn more_quoted(&mut self, part: &str) {
        self.blank.clear();
        (self.quoted, self.bare) = (true, false);
        self.text.push_str(part);
    }

    fn blank(&mut self, blank: &str) {
        self.blank.push_str(blank);
    }

    /// The value, and why PHP reads no further.
    fn end(self) -> (Value, Option<&'static str>) {
        if let Some(operator) = self.calculated {
            return (Value::Calculated(operator), None);
        }
        if let Some(name) = self.unset {
            return (Value::Unset(name), None);
        }
        if self.quoted {
            return (Value::Text(self.text), None);
        }
        let (first, more) = self.text.split_once([' ', '\t']).unwrap_or((&self.text, ""));
        match word(first) {
            Some(meant) => {
                let alone = more.is_empty();
                let why = "words such as `on` stand alone; anything longer has to stand in quotation marks";
                (Value::Text(meant.to_owned()), (!alone).then_some(why))
            }
            None => (Value::Text(self.text), None),
        }
    }
}

/// What a word without quotation marks stands for.
fn word(text: &str) -> Option<&'static str> {
    let is = |word: &&str| text.eq_ignore_ascii_case(word);
    if ["true", "on", "yes"].iter().any(is) {
        Some("1")
    } else if ["false", "off", "no", "none", "null"].iter().any(is) {
        Some("")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &str) -> Result<Value, &'static str> {
        let home = |name: &str| (name == "HOME").then(|| "/root".to_owned());
        let read = read(&format!("a={line}\n"), &home);
        match (read.stops, read.directives.into_iter().next()) {
            (Some(stop), _) => Err(stop.why),
            (None, Some(directive)) => Ok(directive.value),
            (None, None) => Err("nothing"),
        }
    }

    fn text(line: &str) -> Option<String> {
        match value(line) {
            Ok(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Each beside what `parse_ini_string` of PHP 8.2 answers; the live test asks PHP itself.
    #[test]
    fn values_are_what_php_reads() {
        for (line, means) in [
            ("x y", "x y"),
            (r#""x" y"#, "xy"),
            (r#"x "y""#, "xy"),
            (r#""x""y""#, "xy"),
            ("'x'y", "xy"),
            ("On", "1"),
            (r#""on""#, "on"),
            ("none", ""),
            ("60 + 1", "60 + 1"),
            (r#""x\"y\\z\n\$""#, r#"x"y\z\n$"#),
            (r"x\y", r"x\y"),
            (r#""${HOME}/x""#, "/root/x"),
            ("${HOME}x", "/rootx"),
            ("", ""),
            ("'it''s'", "its"),
            ("x#y", "x#y"),
            ("\"multi\nline\"", "multi\nline"),
            ("b;c", "b"),
            ("\"x\" ; c", "x"),
            ("1 ; c", "1"),
            ("-1", "-1"),
            ("a:b/c@d%e*f", "a:b/c@d%e*f"),
            ("tcp://h:1, tcp://i:2", "tcp://h:1, tcp://i:2"),
        ] {
            assert_eq!(text(line).as_deref(), Some(means), "{line}");
        }
    }

    #[test]
    fn what_needs_quotation_marks_is_told() {
        assert_eq!(value("tcp://h:1?a&b"), Ok(Value::Calculated('&')));
        assert_eq!(value("${NOPE}x"), Ok(Value::Unset("NOPE".into())));
        for line in ["tcp://h:1?b=2", "On y", "no thing", "\"x", "'x", "x\"y", "${HOME"] {
            assert!(value(line).is_err(), "{line}");
        }
    }

    #[test]
    fn lines_and_sections_are_told_and_reading_stops_where_php_stops() {
        let text = "\u{feff}; c\n[PHP]\nalone\na = 1\n[PATH=/x]\r\nb=\"1\n2\"\nc=3\nd=e=f\ng=1\n";
        let read = read(text, &|_| None);
        let told: Vec<_> =
            read.directives.iter().map(|d| (d.section.as_str(), d.key.as_str(), d.line)).collect();
        assert_eq!(told, [("PHP", "a", 4), ("PATH=/x", "b", 6), ("PATH=/x", "c", 8), ("PATH=/x", "d", 9)]);
        assert_eq!(read.stops.map(|stop| stop.line), Some(9));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much(text in ".{0,200}", rest in "[=\"'$\\{};\\[\\]a\n\u{e9} ]{0,40}") {
            read(&text, &|_| None);
            read(&rest, &|_| None);
        }
    }
}
