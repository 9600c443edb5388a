//! Reading JSON: strictly, without recursion, one pass.

use super::DEPTH;
use crate::error::{DecodeError, DecodeErrorKind as Wrong, Excess};
use crate::limits::Limits;
use crate::value::{Builder, Document, Name, Node, Span};

/// What is open: whether its elements have names.
#[derive(Clone, Copy, PartialEq)]
enum Open {
    List,
    Map,
}

struct Reader<'b> {
    input: &'b [u8],
    at: usize,
    open: Vec<Open>,
}

/// Reads one value, which takes the whole of the text.
pub(crate) fn read(text: Vec<u8>, limits: Limits) -> Result<Document, DecodeError> {
    let limits = limits.with_depth(limits.depth().min(DEPTH));
    let mut reader = Reader { input: &text, at: 0, open: Vec::new() };
    if let Err(error) = std::str::from_utf8(&text) {
        return Err(DecodeError::new(Wrong::Expected("UTF-8"), error.valid_up_to()));
    }
    let mut builder = Builder::new(&text, 12, limits).map_err(|excess| reader.excess(excess))?;
    reader.value(&mut builder)?;
    reader.blank();
    if reader.at < text.len() {
        return reader.wrong(Wrong::Trailing);
    }
    let (mut document, extra) = builder.finish();
    document.text = text;
    document.text.extend_from_slice(&extra);
    Ok(document)
}

impl Reader<'_> {
    const fn wrong<T>(&self, kind: Wrong) -> Result<T, DecodeError> {
        Err(DecodeError::new(kind, self.at))
    }

    fn excess(&self, excess: Excess) -> DecodeError {
        DecodeError::new(excess.into(), self.at)
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.input.get(self.at) {
            self.at += 1;
        }
    }

    /// The next byte that is no blank; it is not taken.
    fn peek(&mut self) -> Result<u8, DecodeError> {
        self.blank();
        match self.input.get(self.at) {
            Some(byte) => Ok(*byte),
            None => self.wrong(Wrong::End),
        }
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), DecodeError> {
        if self.peek()? != byte {
            return self.wrong(Wrong::Expected(what));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        self.begin(b)?;
        while let Some(open) = self.open.last().copied() {
            let end = if open == Open::List { b']' } else { b'}' };
            let next = self.peek()?;
            if next == end {
                self.at += 1;
                self.open.pop();
                b.end();
                continue;
            }
            if b.count() > 0 {
                self.expect(b',', "a comma")?;
            }
            match open {
                Open::List => b.name(Name::Int(b.count() as i64)),
                Open::Map => {
                    if self.peek()? != b'"' {
                        return self.wrong(Wrong::Expected("a key"));
                    }
                    let key = self.string(b)?;
                    let name = b.array_name(key);
                    b.name(name);
                    self.expect(b':', "a colon")?;
                }
            }
            self.begin(b)?;
        }
        Ok(())
    }

    /// One value; of an array or object only the beginning.
    fn begin(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let node = match self.peek()? {
            tag @ (b'[' | b'{') => {
                self.at += 1;
                let array = b.new_array().map_err(|excess| self.excess(excess))?;
                b.place(Node::Array(array)).map_err(|excess| self.excess(excess))?;
                b.enter_array(array, u32::MAX).map_err(|excess| self.excess(excess))?;
                self.open.push(if tag == b'[' { Open::List } else { Open::Map });
                return Ok(());
            }
            b'"' => Node::Str(self.string(b)?),
            b'-' | b'0'..=b'9' => self.number()?,
            _ => {
                let rest = self.input.get(self.at..).unwrap_or_default();
                let words: [(&[u8], Node); 3] =
                    [(b"null", Node::Null), (b"true", Node::Bool(true)), (b"false", Node::Bool(false))];
                let Some((word, node)) = words.into_iter().find(|(word, _)| rest.starts_with(word)) else {
                    return self.wrong(Wrong::Expected("a value"));
                };
                self.at += word.len();
                node
            }
        };
        b.place(node).map_err(|excess| self.excess(excess))
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        while self.input.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { self.wrong(Wrong::Expected("a digit")) } else { Ok(()) }
    }

    /// An integer, which is a double where it does not fit 64 bits, as in PHP; or a double.
    fn number(&mut self) -> Result<Node, DecodeError> {
        let start = self.at;
        if self.input.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.input.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        let mut whole = true;
        if self.input.get(self.at) == Some(&b'.') {
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.input.get(self.at) {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.input.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        let text = self.input.get(start..self.at).and_then(|text| std::str::from_utf8(text).ok());
        let text = text.unwrap_or_default();
        let integer = if whole { text.parse().ok().map(Node::Int) } else { None };
        let double = || text.parse().ok().map(|double: f64| Node::Float(double.to_bits()));
        match integer.or_else(double) {
            Some(node) => Ok(node),
            None => self.wrong(Wrong::Expected("a number")),
        }
    }

    /// A string from its quote on.
    fn string(&mut self, b: &mut Builder<'_>) -> Result<Span, DecodeError> {
        self.at += 1;
        let start = self.at;
        let mut unescaped: Option<Vec<u8>> = None;
        loop {
            match self.input.get(self.at) {
                None => return self.wrong(Wrong::End),
                Some(b'"') => break,
                Some(0..=0x1f) => return self.wrong(Wrong::Expected("no control character")),
                Some(b'\\') => {
                    let so_far = self.input.get(start..self.at).unwrap_or_default();
                    let mut text = unescaped.take().unwrap_or_else(|| so_far.to_vec());
                    self.at += 1;
                    let c = self.escape()?;
                    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    unescaped = Some(text);
                }
                Some(byte) => {
                    if let Some(text) = &mut unescaped {
                        text.push(*byte);
                    }
                    self.at += 1;
                }
            }
        }
        let span = Span { at: start as u32, len: (self.at - start) as u32 };
        self.at += 1;
        match unescaped {
            None => Ok(span),
            Some(text) => b.text(&text).map_err(|excess| self.excess(excess)),
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, DecodeError> {
        let Some(byte) = self.input.get(self.at).copied() else { return self.wrong(Wrong::End) };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                let pair = if matches!(first, 0xd800..=0xdbff) {
                    if self.input.get(self.at..self.at + 2) != Some(b"\\u") {
                        return self.wrong(Wrong::Expected("the second half of a surrogate pair"));
                    }
                    self.at += 2;
                    [first, self.unit()?].to_vec()
                } else {
                    [first].to_vec()
                };
                match char::decode_utf16(pair).next() {
                    Some(Ok(c)) => c,
                    _ => return self.wrong(Wrong::Expected("a surrogate pair")),
                }
            }
            _ => return self.wrong(Wrong::Expected("an escape")),
        })
    }

    fn unit(&mut self) -> Result<u16, DecodeError> {
        let digits = self.input.get(self.at..self.at + 4).unwrap_or_default();
        if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return self.wrong(Wrong::Expected("four hexadecimal digits"));
        }
        self.at += 4;
        let value = |byte: &u8| char::from(*byte).to_digit(16).unwrap_or_default() as u16;
        Ok(digits.iter().fold(0, |unit, digit| unit << 4 | value(digit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(text: &str) -> Option<i64> {
        read(text.into(), Limits::default()).unwrap().root().as_int()
    }

    fn float(text: &str) -> Option<u64> {
        read(text.into(), Limits::default()).unwrap().root().as_float().map(f64::to_bits)
    }

    #[test]
    fn numbers_are_what_php_makes_of_them() {
        assert_eq!((int("-0"), int("7"), int("9223372036854775807")), (Some(0), Some(7), Some(i64::MAX)));
        assert_eq!(float("-0.0"), Some((-0.0_f64).to_bits()));
        assert_eq!(float("3.0"), Some(3.0_f64.to_bits()));
        assert_eq!(float("9223372036854775808"), Some(9_223_372_036_854_775_808_f64.to_bits()));
        assert_eq!(float("1.5e+300"), Some(1.5e300_f64.to_bits()));
    }

    #[test]
    fn strings_and_keys_are_what_php_makes_of_them() {
        let text = r#" {"a" : "\u00e9\/\ud83d\ude00\n", "5":[ ], "a":{}, "":[1 ,"x"]} "#;
        let document = read(text.into(), Limits::default()).unwrap();
        let array = document.root().as_array().unwrap();
        let keys: Vec<_> = array.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a".into(), 5.into(), "".into()]);
        assert!(array.get("a").unwrap().as_array().unwrap().is_empty());
        let text = r#"["\u00e9\/\ud83d\ude00\n\"é"]"#;
        let document = read(text.into(), Limits::default()).unwrap();
        assert_eq!(document.root().get(0).unwrap().as_str(), Some("é/😀\n\"é"));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            " ",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "{",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":1,}",
            "{1:1}",
            "{a:1}",
            "nul",
            "True",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "-",
            "0x1",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"\n\"",
            "'a'",
            "[1]]",
            "[1] x",
            "[1}",
            "\u{feff}[]",
            "[1 2]",
            "{\"a\":1 \"b\":2}",
        ] {
            assert!(read(text.into(), Limits::default()).is_err(), "{text}");
        }
        assert!(read(b"\"\xff\"".to_vec(), Limits::default()).is_err());
        let nested = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(read(nested(512), Limits::default()).is_ok());
        assert!(read(nested(513), Limits::default()).is_err());
        assert!(read(nested(1_000_000), Limits::default()).is_err());
    }
}
