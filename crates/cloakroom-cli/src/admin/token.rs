//! The admin's token: made at every start, printed once, kept nowhere.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;

use crate::Trouble;

/// 192 bits, as 32 characters.
pub(crate) struct Token(String);

impl Token {
    pub(super) fn generate() -> Result<Self, Trouble> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes)?;
        Ok(Token(BASE64URL_NOPAD.encode(&bytes)))
    }

    /// The text, for the one line that tells it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is it, in a time that does not depend on how much of it is right.
    pub(super) fn is(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.trim().as_bytes()).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_is_the_token() {
        let token = Token::generate().unwrap();
        let other = Token::generate().unwrap();
        assert!(token.is(token.reveal()) && token.is(&format!(" {}\n", token.reveal())));
        assert!(!token.is(other.reveal()) && !token.is("") && !token.is(&token.reveal()[..31]));
        assert_eq!(token.reveal().len(), 32);
        assert!(!format!("{token:?}").contains(token.reveal()));
    }
}
