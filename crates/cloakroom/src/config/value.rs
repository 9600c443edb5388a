//! One value as it was written, in the file or in the environment, and what it can be read as.

use std::fmt;
use std::time::Duration;

use toml::de::DeValue;

/// A value as it was written.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// In the file, with the type that its notation gives it.
    Toml(&'a DeValue<'a>),
    /// In the environment, where everything is text.
    Variable(&'a str),
}

/// Why a value cannot be read as what it should be: the end of a sentence that begins with the value.
pub(super) type Refusal = String;

impl<'a> Value<'a> {
    pub(super) fn text(self) -> Result<&'a str, Refusal> {
        match self {
            Value::Toml(DeValue::String(text)) => Ok(text),
            Value::Variable(text) => Ok(text),
            Value::Toml(_) => Err("is not text".into()),
        }
    }

    pub(super) fn flag(self) -> Result<bool, Refusal> {
        match self {
            Value::Toml(DeValue::Boolean(flag)) => Ok(*flag),
            Value::Variable("true" | "1") => Ok(true),
            Value::Variable("false" | "0") => Ok(false),
            _ => Err("is not a switch".into()),
        }
    }

    /// A whole number that is not negative.
    pub(super) fn number(self) -> Result<u64, Refusal> {
        match self {
            Value::Toml(DeValue::Integer(number)) => {
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Value::Variable(text) => whole(text),
            Value::Toml(_) => None,
        }
        .ok_or_else(|| "is not a whole number that fits".into())
    }

    pub(super) fn number_in<N: TryFrom<u64>>(self, least: u64) -> Result<N, Refusal> {
        let number = self.number()?;
        if number < least {
            return Err(format!("is less than {least}"));
        }
        N::try_from(number).map_err(|_| "is too large".into())
    }

    /// A duration greater than zero.
    pub(super) fn duration(self) -> Result<Duration, Refusal> {
        match self {
            Value::Toml(DeValue::Integer(_)) => Err("has no unit".into()),
            Value::Variable(text) if whole(text).is_some() => Err("has no unit".into()),
            _ => parse_duration(self.text()?),
        }
    }

    /// A duration, where a bare number in the environment counts minutes.
    pub(super) fn duration_or_minutes(self) -> Result<Duration, Refusal> {
        match self {
            Value::Variable(text) => match whole(text) {
                Some(0) => Err("is zero".into()),
                Some(minutes) => minutes
                    .checked_mul(60)
                    .map(Duration::from_secs)
                    .filter(|d| *d <= MAX_DURATION)
                    .ok_or_else(|| "is too long".into()),
                None => parse_duration(text),
            },
            Value::Toml(_) => self.duration(),
        }
    }

    /// A duration, or a word that stands for none.
    pub(super) fn duration_or(self, none: &str) -> Result<Option<Duration>, Refusal> {
        if self.is(none) { Ok(None) } else { self.duration().map(Some) }
    }

    /// Bytes.
    pub(super) fn size(self) -> Result<usize, Refusal> {
        let bytes = match self {
            Value::Toml(DeValue::Integer(_)) => self.number()?,
            _ => parse_size(self.text()?)?,
        };
        if bytes == 0 {
            return Err("is zero".into());
        }
        usize::try_from(bytes).map_err(|_| "is too large".into())
    }

    /// A whole percentage of at most 90.
    pub(super) fn percent(self) -> Result<u8, Refusal> {
        let number = self.text()?.strip_suffix('%').and_then(whole);
        match number {
            Some(percent) if percent <= 90 => u8::try_from(percent).map_err(|_| "is too large".into()),
            Some(_) => Err("is more than 90%".into()),
            None => Err("is not a percentage".into()),
        }
    }

    pub(super) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Result<T, Refusal> {
        let text = self.text()?;
        choices
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, choice)| *choice)
            .ok_or_else(|| "is not one of the choices".into())
    }

    /// Text items: an array in the file, separated by commas in the environment.
    pub(super) fn list(self) -> Result<Vec<&'a str>, Refusal> {
        match self {
            Value::Variable(text) => {
                Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect())
            }
            Value::Toml(DeValue::Array(items)) => items
                .iter()
                .map(|item| {
                    Value::Toml(item.get_ref()).text().map_err(|_| "holds an item that is not text".into())
                })
                .collect(),
            Value::Toml(_) => Err("is not a list".into()),
        }
    }

    pub(super) fn is(self, word: &str) -> bool {
        self.text() == Ok(word)
    }
}

/// The value for an error: short, on one line, without control characters, and without what might be a password.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 40;
        match self {
            Value::Toml(DeValue::String(text)) => quote(f, text, SHOWN),
            Value::Variable(text) => quote(f, text, SHOWN),
            Value::Toml(DeValue::Integer(number)) => cut(f, &number.to_string(), SHOWN),
            Value::Toml(DeValue::Float(number)) => cut(f, &number.to_string(), SHOWN),
            Value::Toml(DeValue::Boolean(flag)) => write!(f, "{flag}"),
            Value::Toml(DeValue::Datetime(_)) => f.write_str("a date"),
            Value::Toml(DeValue::Array(_)) => f.write_str("a list"),
            Value::Toml(DeValue::Table(_)) => f.write_str("a table"),
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str, shown: usize) -> fmt::Result {
    // A URL in a place where none belongs may carry a password.
    if text.contains("://") || text.contains('@') {
        return f.write_str("\"…\"");
    }
    f.write_str("\"")?;
    cut(f, text, shown)?;
    f.write_str("\"")
}

fn cut(f: &mut fmt::Formatter<'_>, text: &str, shown: usize) -> fmt::Result {
    for c in text.chars().take(shown) {
        write!(f, "{}", c.escape_debug())?;
    }
    if text.chars().nth(shown).is_some() { f.write_str("…") } else { Ok(()) }
}

/// Nothing in a session lasts longer; sums with it stay far from overflowing.
const MAX_DURATION: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

fn parse_duration(text: &str) -> Result<Duration, Refusal> {
    let not = || Refusal::from("is not a duration");
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(not)?;
    let (number, unit) = text.split_at(unit_at);
    let millis_each: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(not()),
    };
    if number.is_empty() {
        return Err(not());
    }
    let millis = whole(number).and_then(|n| n.checked_mul(millis_each));
    match millis.map(Duration::from_millis) {
        Some(Duration::ZERO) => Err("is zero".into()),
        Some(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err("is too long".into()),
    }
}

fn parse_size(text: &str) -> Result<u64, Refusal> {
    let (number, each) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(number), _) => (number, 1 << 10),
        (_, Some(number)) => (number, 1 << 20),
        _ => (text, 1),
    };
    whole(number).and_then(|n| n.checked_mul(each)).ok_or_else(|| "is not a size".into())
}

/// Digits and nothing else (`u64::from_str` would take a sign).
fn whole(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_whole_number_and_one_unit() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("3h", 10_800_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "3", "3 h", "1.5h", "-1s", "+1s", "1h30m", "3H", "٣h", "3h "] {
            assert_eq!(parse_duration(text), Err("is not a duration".into()), "{text}");
        }
        assert_eq!(parse_duration("0s"), Err("is zero".into()));
        for text in ["99999999999999999999d", "18446744073709551615d", "36601d"] {
            assert_eq!(parse_duration(text), Err("is too long".into()), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_binary_multiples() {
        assert_eq!(parse_size("100"), Ok(100));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("2MiB"), Ok(2_097_152));
        for text in ["", "KiB", "64KB", "64 KiB", "-1", "18446744073709551615MiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn s66_a_shown_value_is_short_and_hides_what_may_be_a_password() {
        assert_eq!(Value::Variable("redis://:hunter2@db").to_string(), "\"…\"");
        assert_eq!(Value::Variable("a\u{1b}[2J\n").to_string(), "\"a\\u{1b}[2J\\n\"");
        assert_eq!(Value::Variable(&"x".repeat(1_000_000)).to_string().chars().count(), 43);
    }
}
