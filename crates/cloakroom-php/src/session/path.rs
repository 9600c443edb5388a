//! Changing one element inside of a variable.

use super::Session;
use crate::error::EncodeError;
use crate::value::{ArrayId, Entry, Key, Name, Node, Run, Value, key};

/// Where a path leads that goes on behind the variable's name.
struct Place<'p> {
    /// The variable's place among the others.
    variable: usize,
    /// The keys between its name and the last one.
    inner: &'p [Key<'p>],
    /// The array that has the last key, or may get it,
    array: ArrayId,
    /// and where in it that is.
    at: Option<usize>,
}

impl Session {
    /// Gives one element inside of a variable another value, and leaves everything beside it as it is: objects, references, keys that no
    /// Rust type knows of.
    ///
    /// The path's first key is the variable's name. Every other one must be there already, except that the last may be new in its array.
    ///
    /// ```
    /// use cloakroom_php::{Format, Session};
    ///
    /// let payload = b"basket|a:2:{s:5:\"owner\";O:4:\"User\":0:{}s:3:\"qty\";i:1;}";
    /// let mut session = Session::decode(Format::Php, payload)?;
    /// session.set_at(&["basket".into(), "qty".into()], &2)?;
    /// assert_eq!(session.encode()?, b"basket|a:2:{s:5:\"owner\";O:4:\"User\":0:{}s:3:\"qty\";i:2;}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Session::set`]; [`EncodeError::Path`] where the path leads nowhere, or into an object, which only its class may change.
    pub fn set_at<T: serde::Serialize + ?Sized>(
        &mut self,
        path: &[Key<'_>],
        value: &T,
    ) -> Result<(), EncodeError> {
        let [variable, inner @ .., last] = path else {
            let [Key::Bytes(name)] = path else { return Err(EncodeError::Path) };
            return self.set(name, value);
        };
        self.may_change()?;
        let place = self.place(variable, inner, last)?.ok_or(EncodeError::Path)?;
        self.source.may_rewrite(place.variable)?;
        let node = crate::serde::append(&mut self.doc, value, self.limits)?;
        let (array, mut entries) = self.own(&place)?;
        match place.at.and_then(|at| entries.get_mut(at)) {
            Some(entry) => match entry.node {
                // As PHP does: whoever holds the reference sees the new value.
                Node::Ref(cell) => {
                    if let Some(value) = self.doc.cells.get_mut(cell.0 as usize) {
                        *value = node;
                    }
                }
                _ => entry.node = node,
            },
            None => {
                let name = match *last {
                    Key::Int(n) => Name::Int(n),
                    Key::Bytes(text) => Name::Str(self.text(text)?),
                };
                entries.push(Entry { name, node });
            }
        }
        self.rewrite(place.variable, array, &entries);
        Ok(())
    }

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
        let Some(place) = self.place(variable, inner, last)? else { return Ok(false) };
        let Some(at) = place.at else { return Ok(false) };
        self.source.may_rewrite(place.variable)?;
        let (array, mut entries) = self.own(&place)?;
        if at < entries.len() {
            entries.remove(at);
        }
        self.rewrite(place.variable, array, &entries);
        Ok(true)
    }

    /// Nothing where a step before the last one is missing; an error where what has the last one is no array.
    fn place<'p>(
        &self,
        variable: &Key<'_>,
        inner: &'p [Key<'p>],
        last: &Key<'_>,
    ) -> Result<Option<Place<'p>>, EncodeError> {
        let variable = match variable {
            Key::Bytes(name) => self.find(name),
            Key::Int(n) => self.find(n.to_string().as_bytes()),
        };
        let Some(variable) = variable else { return Ok(None) };
        let node = self.entries().get(variable).map_or(Node::Null, |entry| entry.node);
        let mut value = Value::new(&self.doc, node);
        for key in inner {
            let Some(next) = value.get(*key) else { return Ok(None) };
            value = next;
        }
        let array = value.array_id().ok_or(EncodeError::Path)?;
        let at = value.as_array().and_then(|array| array.iter().position(|(key, _)| key == *last));
        Ok(Some(Place { variable, inner, array, at }))
    }

    /// The array of a place, which no other place has from now on, and what is in it.
    fn own(&mut self, place: &Place<'_>) -> Result<(ArrayId, Vec<Entry>), EncodeError> {
        let array = if self.doc.shared { self.separate(place.variable, place.inner)? } else { place.array };
        Ok((array, self.doc.array(array).to_vec()))
    }

    /// Gives an array inside of a variable these entries.
    fn rewrite(&mut self, variable: usize, array: ArrayId, entries: &[Entry]) {
        self.doc.replace_entries(array, entries);
        if let Some(raw) = self.source.raws.get_mut(variable) {
            *raw = None;
        }
        self.changed = true;
    }

    /// Gives every array on a path entries of its own, as PHP does before it writes into one that is a copy, and answers with the last.
    fn separate(&mut self, index: usize, inner: &[Key<'_>]) -> Result<ArrayId, EncodeError> {
        let (mut around, mut at, mut keys) = (self.root, index, inner.iter());
        loop {
            let entry = self.doc.run_of(around).at as usize + at;
            let place = self.doc.entries.get(entry).map_or(Node::Null, |entry| entry.node);
            let Node::Array(array) = self.doc.resolve(place) else { return Err(EncodeError::Path) };
            let copy = ArrayId(self.doc.arrays.len() as u32);
            let entries = self.doc.array(array).to_vec();
            self.doc.arrays.push(Run::default());
            self.doc.replace_entries(copy, &entries);
            match place {
                Node::Ref(cell) => {
                    if let Some(value) = self.doc.cells.get_mut(cell.0 as usize) {
                        *value = Node::Array(copy);
                    }
                }
                _ => {
                    if let Some(entry) = self.doc.entries.get_mut(entry) {
                        entry.node = Node::Array(copy);
                    }
                }
            }
            let Some(next) = keys.next() else { return Ok(copy) };
            let found = entries.iter().position(|entry| key(&self.doc, entry.name) == *next);
            (around, at) = (copy, found.ok_or(EncodeError::Path)?);
        }
    }
}
