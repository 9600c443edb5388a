//! Answers from bytes, as they arrive.
//!
//! A string or a number, which is what nearly every call is answered with, is cut out at once. Of anything else the end is looked
//! for first, and the client library's parser is given the whole of it: it is not asked again and again while more is to come,
//! and what bytes mean is said in one place. <https://redis.io/docs/latest/develop/reference/protocol-spec/>

use bytes::{Buf, BytesMut};
use redis::{Parser, Value};

/// One answer is no longer: Redis itself lets no string be.
const LONGEST: usize = 512 << 20;
/// Nor is a line in it, which is a number, a word, or an error.
const LONGEST_LINE: usize = 64 << 10;

/// What the server sends is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nonsense;

/// Bytes that arrived, and how far the first answer in them has been looked at.
pub(super) struct Answers {
    pub(super) arrived: BytesMut,
    /// Bytes of it that are known to belong to it.
    seen: usize,
    /// Values in it that are still to come: more of them while those are looked at that hold others.
    to_come: u64,
    /// Kept, because it has a buffer of its own.
    parser: Parser,
}

impl Answers {
    pub(super) fn new() -> Self {
        Answers { arrived: BytesMut::new(), seen: 0, to_come: 1, parser: Parser::new() }
    }

    /// The next answer, if it is there.
    pub(super) fn next(&mut self) -> Result<Option<Value>, Nonsense> {
        if self.seen == 0
            && let Some(usual) = self.usual()
        {
            return Ok(Some(usual));
        }
        if !self.is_whole()? {
            return if self.arrived.len() > LONGEST { Err(Nonsense) } else { Ok(None) };
        }
        let whole = self.arrived.get(..self.seen).ok_or(Nonsense)?;
        let value = self.parser.parse_value(whole).map_err(|_| Nonsense)?;
        self.arrived.advance(self.seen);
        (self.seen, self.to_come) = (0, 1);
        Ok(Some(value))
    }

    /// A string or a number that is there as a whole.
    fn usual(&mut self) -> Option<Value> {
        let (sort, rest) = self.arrived.split_first()?;
        if !matches!(sort, b'$' | b':') {
            return None;
        }
        let (line, behind) = line(rest)?;
        let (number, start) = (number(line)?, 1 + behind);
        if *sort == b':' {
            self.arrived.advance(start);
            return Some(Value::Int(number));
        }
        let end = start.checked_add(usize::try_from(number).ok()?)?;
        if self.arrived.get(end..end.checked_add(2)?)? != b"\r\n" {
            return None;
        }
        let string = self.arrived.get(start..end)?.to_vec();
        self.arrived.advance(end + 2);
        Some(Value::BulkString(string))
    }

    /// Whether the first answer is there to its end, which is `seen` then.
    fn is_whole(&mut self) -> Result<bool, Nonsense> {
        while self.to_come > 0 {
            let rest = self.arrived.get(self.seen..).ok_or(Nonsense)?;
            let Some((line, behind)) = line(rest) else {
                return if rest.len() > LONGEST_LINE { Err(Nonsense) } else { Ok(false) };
            };
            let (sort, line) = line.split_first().ok_or(Nonsense)?;
            let count = || number(line).and_then(|n| u64::try_from(n).ok()).ok_or(Nonsense);
            let (mut end, mut inside) = (self.seen + behind, 0);
            match sort {
                // How nothing is told.
                b'$' | b'*' if line == b"-1" => {}
                b'$' | b'!' | b'=' => {
                    let len = usize::try_from(count()?).ok().filter(|len| *len <= LONGEST).ok_or(Nonsense)?;
                    end += len + 2;
                    if self.arrived.len() < end {
                        return Ok(false);
                    }
                }
                b'*' | b'~' | b'>' => inside = count()?,
                b'%' => inside = count()?.saturating_mul(2),
                // And what it is an attribute of.
                b'|' => inside = count()?.saturating_mul(2).saturating_add(1),
                _ => {}
            }
            self.seen = end;
            self.to_come = (self.to_come - 1).saturating_add(inside);
        }
        Ok(true)
    }
}

/// The first line, and where the next one begins.
fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    Some((bytes.get(..end)?, end + 2))
}

fn number(digits: &[u8]) -> Option<i64> {
    // Nearly every one is a length.
    if (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
        return Some(digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')));
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redis::parse_redis_value;

    use super::*;

    fn all(parts: &[&[u8]]) -> Result<Vec<Value>, Nonsense> {
        let mut answers = Answers::new();
        let mut told = Vec::new();
        for part in parts {
            answers.arrived.extend_from_slice(part);
            while let Some(value) = answers.next()? {
                told.push(value);
            }
        }
        Ok(told)
    }

    #[test]
    fn answers_of_every_sort_are_those_of_the_library() {
        for text in [
            "+OK\r\n",
            "-ERR no\r\n",
            ":-7\r\n",
            "$5\r\na\r\nbc\r\n",
            "$0\r\n\r\n",
            "$-1\r\n",
            "_\r\n",
            "*-1\r\n",
            "*0\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "(123456789012345678901234567890\r\n",
            "!9\r\nERR no\r\n.\r\n",
            "=7\r\ntxt:abc\r\n",
            "*3\r\n$1\r\na\r\n*2\r\n:1\r\n_\r\n+x\r\n",
            "%1\r\n+a\r\n*1\r\n:1\r\n",
            "~2\r\n:1\r\n:2\r\n",
            ">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n",
            "|1\r\n+ttl\r\n:5\r\n$1\r\na\r\n",
        ] {
            let library = parse_redis_value(text.as_bytes()).unwrap();
            assert_eq!(all(&[text.as_bytes()]), Ok(vec![library]), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_answer_is_refused_and_not_waited_for() {
        for text in
            ["$x\r\n", "$-2\r\n", "*x\r\n", "\r\n", "?1\r\n", "$99999999999\r\n", ":x\r\n", "$1\r\nabc"]
        {
            assert_eq!(all(&[text.as_bytes()]), Err(Nonsense), "{text:?}");
        }
        assert_eq!(all(&[&vec![b'+'; LONGEST_LINE + 1]]), Err(Nonsense));
        // A list in a list, and so on: more than the parser follows.
        assert_eq!(all(&["*1\r\n".repeat(1_000).as_bytes(), b":1\r\n"]), Err(Nonsense));
    }

    fn answer() -> impl Strategy<Value = Vec<u8>> {
        let string =
            |bytes: Vec<u8>| [format!("${}\r\n", bytes.len()).into_bytes(), bytes, b"\r\n".to_vec()].concat();
        let leaf = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40).prop_map(string),
            any::<i64>().prop_map(|n| format!(":{n}\r\n").into_bytes()),
            "[a-z ]{0,20}".prop_map(|text| format!("+{text}\r\n").into_bytes()),
            "[A-Z]{1,9} [a-z]{0,9}".prop_map(|text| format!("-{text}\r\n").into_bytes()),
            Just(b"_\r\n".to_vec()),
        ];
        leaf.prop_recursive(3, 24, 5, |inner| {
            prop::collection::vec(inner, 0..5)
                .prop_map(|all| [format!("*{}\r\n", all.len()).into_bytes(), all.concat()].concat())
        })
    }

    proptest! {
        #[test]
        fn wherever_they_are_cut_answers_are_the_same(all_answers in prop::collection::vec(answer(), 1..6), cut in 1_usize..9) {
            let library: Vec<Value> = all_answers.iter().map(|one| parse_redis_value(one).unwrap()).collect();
            let bytes = all_answers.concat();
            let parts: Vec<&[u8]> = bytes.chunks(cut).collect();
            prop_assert_eq!(all(&parts), Ok(library));
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"$*%|>~!=:-+_\r\n01239"[..])], 0..200), cut in 1_usize..9) {
            let parts: Vec<&[u8]> = bytes.chunks(cut).collect();
            let _ = all(&parts);
        }
    }
}
