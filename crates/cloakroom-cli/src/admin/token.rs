//! The admin's token: made at every start and printed once, or given by whoever starts several instances; kept nowhere.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;

use crate::Trouble;

/// The variable that gives a token. Not an option of the command line, which any user of the machine can read.
pub(crate) const VARIABLE: &str = "CLOAKROOM_ADMIN_TOKEN";
/// Of a token that is given. Guessing is slow (`gate.rs`), but nobody is to be told of a short one by chance.
const SHORTEST: usize = 20;

/// What opens the admin page.
pub(crate) struct Token {
    text: String,
    given: bool,
}

impl Token {
    /// The one that the environment gives, or a new one.
    pub(crate) fn of_environment() -> Result<Self, Trouble> {
        match std::env::var_os(VARIABLE).filter(|text| !text.is_empty()) {
            Some(text) => Self::given(&text.to_string_lossy()),
            None => Self::generate(),
        }
    }

    /// 192 bits, as 32 characters.
    fn generate() -> Result<Self, Trouble> {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes)?;
        Ok(Token { text: BASE64URL_NOPAD.encode(&bytes), given: false })
    }

    /// Of printable ASCII, or a browser's form would make something else of it.
    fn given(text: &str) -> Result<Self, Trouble> {
        let text = text.trim();
        if text.len() < SHORTEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{VARIABLE} must be {SHORTEST} characters at least, ASCII without spaces: `openssl rand -hex 16` makes one"
            )
            .into());
        }
        Ok(Token { text: text.to_owned(), given: true })
    }

    /// For the one line that tells it: the token, or where it came from for those who know it already.
    pub(crate) fn announcement(&self) -> String {
        if self.given { format!("as {VARIABLE} says") } else { self.text.clone() }
    }

    /// Whether this is it, in a time that does not depend on how much of it is right.
    pub(super) fn is(&self, presented: &str) -> bool {
        self.text.as_bytes().ct_eq(presented.trim().as_bytes()).into()
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
        assert!(token.is(&token.text) && token.is(&format!(" {}\n", token.text)));
        assert!(!token.is(&other.text) && !token.is("") && !token.is(&token.text[..31]));
        assert_eq!((token.text.len(), token.announcement()), (32, token.text.clone()));
        assert!(!format!("{token:?}").contains(&token.text));
    }

    #[test]
    fn a_token_that_is_given_is_long_and_is_not_written_again() {
        let text = "0123456789abcdef0123";
        let token = Token::given(&format!("{text}\n")).unwrap();
        assert!(token.is(text) && !token.announcement().contains(text));
        for wrong in ["short", "0123456789abcdef 0123", "0123456789abcdef\u{e9}0123"] {
            let refused = Token::given(wrong).unwrap_err().to_string();
            assert!(refused.contains(VARIABLE) && !refused.contains(wrong), "{refused}");
        }
    }
}
