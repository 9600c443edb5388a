//! Numbers as they come from settings and from servers.

use std::str::FromStr;

/// Digits and nothing else: `parse` alone would take a sign.
pub(crate) fn digits<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_and_no_sign() {
        assert_eq!(digits::<u16>("06379"), Some(6379));
        for text in ["", "+1", "-1", "+", " 1", "1 ", "65536", "0x1"] {
            assert_eq!(digits::<u16>(text), None, "{text}");
        }
    }
}
