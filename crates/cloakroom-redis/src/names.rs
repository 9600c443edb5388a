//! What keys are called in Redis.
//!
//! ```text
//! entry    = prefix {tag}digest          a session, or what is left of one
//! index    = prefix u{tag}digest         the sessions of a user
//! channel  = prefix r{tag}digest         told when the lease of that session becomes free
//!
//! in a cluster also
//! announced = prefix p{tag}digest        sessions that are about to become a user's
//! turn      = prefix l{tag}digest        whose login it is that is counted
//! plan      = prefix x{tag}digest        what a revocation has not ended yet, of the receipt with this tag and digest
//! ```
//!
//! All of it is printable; tag and digest are base64url. The tag is in braces, Redis Cluster's sign for "hash this
//! part only": whatever belongs to one line of sessions is in one slot.

use cloakroom::{StoreKey, UserId};
use data_encoding::BASE64URL_NOPAD;

/// Characters of tag and digest, which are 3 and 32 bytes.
const TEXT: usize = TAG_TEXT + 43;
const TAG_TEXT: usize = 4;
/// Bytes of the name of an entry without the prefix: `{tag}digest`.
pub(crate) const SUFFIX: usize = TEXT + 2;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Names {
    prefix: Box<str>,
    /// The command that reads an entry, up to its name.
    get: Box<str>,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        let get = format!("*2\r\n$3\r\nGET\r\n${}\r\n", prefix.len() + SUFFIX);
        Names { prefix: prefix.into(), get: get.into() }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where an entry is.
    pub(crate) fn entry(&self, key: &StoreKey) -> String {
        self.named("", key)
    }

    /// Where the index of a user is.
    pub(crate) fn index(&self, user: &UserId) -> String {
        self.named("u", &StoreKey::of_user(user))
    }

    /// Where those are that are about to become sessions of a user.
    pub(crate) fn announced(&self, user: &UserId) -> String {
        self.named("p", &StoreKey::of_user(user))
    }

    /// Where it is written whose turn it is to log in as a user.
    pub(crate) fn turn(&self, user: &UserId) -> String {
        self.named("l", &StoreKey::of_user(user))
    }

    /// Where it is written what the revocation with this receipt ends.
    pub(crate) fn plan(&self, receipt: &StoreKey) -> String {
        self.named("x", receipt)
    }

    /// Where it is told that a lease became free.
    pub(crate) fn channel(&self, key: &StoreKey) -> String {
        self.named("r", key)
    }

    /// A channel that nobody listens on.
    pub(crate) fn notice(&self) -> String {
        format!("{}w", self.prefix)
    }

    /// How an index calls a session: the name of its entry without the prefix.
    pub(crate) fn member(key: &StoreKey) -> String {
        let mut text = [0; TEXT];
        let (tag, digest) = parts(key, &mut text);
        format!("{{{tag}}}{digest}")
    }

    /// The session that an index calls so.
    pub(crate) fn of_member(member: &[u8]) -> Option<StoreKey> {
        let [b'{', rest @ ..] = member else { return None };
        let (tag, rest) = rest.split_at_checked(4)?;
        let [b'}', digest @ ..] = rest else { return None };
        let mut bytes = BASE64URL_NOPAD.decode(tag).ok()?;
        bytes.extend(BASE64URL_NOPAD.decode(digest).ok()?);
        bytes.try_into().ok().map(StoreKey::from_bytes)
    }

    /// The entry's key, if this is the name of one.
    pub(crate) fn of_entry(&self, name: &[u8]) -> Option<StoreKey> {
        Self::of_member(name.strip_prefix(self.prefix.as_bytes())?)
    }

    /// The session whose lease is told of on the channel of this name.
    pub(crate) fn of_channel(&self, name: &[u8]) -> Option<StoreKey> {
        Self::of_member(name.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"r")?)
    }

    /// The pattern of `SCAN` for the names of entries.
    pub(crate) fn pattern(&self) -> String {
        let mut pattern = String::with_capacity(self.prefix.len() + 2);
        for c in self.prefix.chars() {
            if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push_str("{*");
        pattern
    }

    /// The command that reads an entry, as it is sent.
    pub(crate) fn get(&self, key: &StoreKey) -> Vec<u8> {
        let mut text = [0; TEXT];
        let (tag, digest) = parts(key, &mut text);
        let mut get = Vec::with_capacity(self.get.len() + self.prefix.len() + SUFFIX + 2);
        for part in [&*self.get, &*self.prefix, "{", tag, "}", digest, "\r\n"] {
            get.extend_from_slice(part.as_bytes());
        }
        get
    }

    fn named(&self, sort: &str, key: &StoreKey) -> String {
        let mut text = [0; TEXT];
        let (tag, digest) = parts(key, &mut text);
        let mut name = String::with_capacity(self.prefix.len() + sort.len() + SUFFIX);
        for part in [&*self.prefix, sort, "{", tag, "}", digest] {
            name.push_str(part);
        }
        name
    }
}

/// The slot tag and the rest of a key, as text.
fn parts<'t>(key: &StoreKey, text: &'t mut [u8; TEXT]) -> (&'t str, &'t str) {
    // Three bytes are four characters: both parts in one go.
    let text = BASE64URL_NOPAD.encode_mut_str(key.as_bytes(), text);
    text.split_at_checked(TAG_TEXT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_key_and_no_other_name_to_any() {
        let names = Names::new("shop[1]:");
        for n in 0..=255 {
            let key = StoreKey::from_bytes([n; StoreKey::LEN]);
            let name = names.entry(&key);
            assert_eq!(name.len(), "shop[1]:".len() + SUFFIX);
            assert_eq!(names.of_entry(name.as_bytes()), Some(key));
            assert_eq!(Names::of_member(Names::member(&key).as_bytes()), Some(key));
            assert_eq!(names.of_entry(names.channel(&key).as_bytes()), None);
            assert_eq!(names.of_channel(names.channel(&key).as_bytes()), Some(key));
            assert_eq!(Names::new("shop").of_entry(name.as_bytes()), None);
        }
        for strange in ["", "{", "{AAAA", "{AAAA}", "{AAAA}AAAA", "{A*AA}", "AAAAAA"] {
            assert_eq!(Names::new("").of_entry(strange.as_bytes()), None, "{strange}");
        }
    }

    #[test]
    fn an_entry_is_read_by_the_command_of_the_library() {
        for prefix in ["", "p:", "a prefix of more than forty-three bytes, as some have it:"] {
            let (names, key) = (Names::new(prefix), StoreKey::from_bytes([7; StoreKey::LEN]));
            let mut get = redis::cmd("GET");
            get.arg(names.entry(&key));
            assert_eq!(names.get(&key), get.get_packed_command());
        }
    }

    #[test]
    fn the_index_of_a_user_does_not_show_the_name() {
        let names = Names::new("p:");
        let user = UserId::new("ann").unwrap();
        assert_ne!(names.index(&user), names.index(&UserId::new("ben").unwrap()));
        assert!(!names.index(&user).contains("ann"));
        assert_eq!(names.of_entry(names.index(&user).as_bytes()), None);
    }

    #[test]
    fn the_pattern_takes_the_prefix_at_its_word() {
        assert_eq!(Names::new("a*b?[c]\\:").pattern(), "a\\*b\\?\\[c\\]\\\\:{*");
    }
}
