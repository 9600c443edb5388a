//! Taking away one element inside of a variable.

use super::Session;
use crate::error::EncodeError;
use crate::value::{Key, Node, Value};

impl Session {
    /// Takes away one element inside of a variable, leaves everything beside it as it is, and says whether it was there.
    ///
    /// The path's first key is the variable's name.
    ///
    /// ```
    /// use cloakroom_php::{Format, Session};
    ///
    /// let payload = b"basket|a:2:{s:5:\"owner\";O:4:\"User\":0:{}s:3:\"qty\";i:1;}";
    /// let mut session = Session::decode(Format::Php, payload)?;
    /// assert!(session.remove_at(&["basket".into(), "qty".into()])?);
    /// assert!(!session.remove_at(&["basket".into(), "qty".into()])?);
    /// assert_eq!(session.encode()?, b"basket|a:1:{s:5:\"owner\";O:4:\"User\":0:{}}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Session::remove`]; [`EncodeError::Path`] where the path leads into an object, which only its class may change.
    pub fn remove_at(&mut self, path: &[Key<'_>]) -> Result<bool, EncodeError> {
        let [variable, inner @ .., last] = path else {
            let [Key::Bytes(name)] = path else { return Err(EncodeError::Path) };
            return self.remove(name);
        };
        self.may_change()?;
        let index = match variable {
            Key::Bytes(name) => self.find(name),
            Key::Int(n) => self.find(n.to_string().as_bytes()),
        };
        let Some(index) = index else { return Ok(false) };
        let node = self.entries().get(index).map_or(Node::Null, |entry| entry.node);
        let mut place = Value::new(&self.doc, node);
        for key in inner {
            let Some(next) = place.get(*key) else { return Ok(false) };
            place = next;
        }
        let mut array = place.array_id().ok_or(EncodeError::Path)?;
        let at = place.as_array().and_then(|array| array.iter().position(|(key, _)| key == *last));
        let Some(at) = at else { return Ok(false) };
        self.source.may_rewrite(index)?;
        if self.doc.shared {
            array = self.separate(index, inner)?;
        }
        let mut entries = self.doc.array(array).to_vec();
        if at < entries.len() {
            entries.remove(at);
        }
        self.doc.replace_entries(array, &entries);
        if let Some(raw) = self.source.raws.get_mut(index) {
            *raw = None;
        }
        self.changed = true;
        Ok(true)
    }
}
