//! The value model: one arena for a whole payload.
//!
//! Arrays, objects and reference cells are numbers into tables, so identity is equality of numbers, a cycle is nothing special,
//! and no depth of nesting is a depth of calls. Strings are places in the payload's own bytes. Decoding a basket allocates a
//! handful of tables and not one box for each value.

mod builder;
mod cells;
mod compare;
mod holders;
mod view;

pub(crate) use builder::Builder;
pub(crate) use cells::with_cells_where_needed;
pub(crate) use compare::same;
pub(crate) use holders::holders;
pub(crate) use view::key;
pub use view::{Array, Identity, Key, Kind, Object, ObjectKind, Property, Value, Visibility};

/// How many bytes are copied at once.
pub(crate) const CHUNK: usize = 16;

/// A place in the text of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

/// A stretch of the table of entries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    pub(crate) at: u32,
    pub(crate) len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ArrayId(pub(crate) u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ObjectId(pub(crate) u32);
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellId(pub(crate) u32);

/// A value where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    /// The bits: NaN payloads and the sign of zero are kept.
    Float(u64),
    Str(Span),
    Array(ArrayId),
    Object(ObjectId),
    /// A PHP reference: every place with the same cell changes together. A cell never holds another cell.
    Ref(CellId),
}

/// The name of an element.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    Int(i64),
    Str(Span),
    /// A typed property that was never given a value. Only igbinary has a place for it.
    Hole,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) node: Node,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ObjectData {
    pub(crate) class: Span,
    pub(crate) body: Body,
}

/// What an object was written as.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// Properties by their mangled names, or what `__serialize` returned.
    Properties(Run),
    /// What `Serializable::serialize` returned; and, where that is itself made of serialized values, those.
    Data(Span, Option<ArrayId>),
    /// An enum's case.
    Case(Span),
    /// msgpack's own form of what `__serialize` returned: an array beside the class.
    List(ArrayId),
}

/// A decoded PHP value, and everything in it.
///
/// A [`Session`](crate::Session) holds one for all of its variables. Alone it serves for what PHP code serialized itself.
///
/// ```
/// use cloakroom_php::{Document, Encoding};
///
/// let document = Document::decode(Encoding::Serialize, b"a:1:{s:3:\"qty\";i:2;}")?;
/// assert_eq!(document.root().get("qty").and_then(|v| v.as_int()), Some(2));
/// assert_eq!(document.encode(Encoding::Serialize)?, b"a:1:{s:3:\"qty\";i:2;}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Document {
    pub(crate) text: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) arrays: Vec<Run>,
    pub(crate) objects: Vec<ObjectData>,
    pub(crate) cells: Vec<Node>,
    pub(crate) root: Node,
    /// Whether an array may stand in several places.
    pub(crate) shared: bool,
}

impl Document {
    /// Whether it is a tree of lists, maps by text and scalars: no objects, no enums, nothing that is tied to something else, and no array that
    /// could be a list as well as a map (one that is empty, or has numbers for keys that do not count from zero).
    #[cfg(feature = "layout")]
    pub(crate) fn is_plain(&self) -> bool {
        let is_one = |array: &Run| {
            let entries = self.run(*array);
            let is_list =
                entries.iter().zip(0..).all(|(entry, at)| matches!(entry.name, Name::Int(n) if n == at));
            let is_map = entries.iter().all(|entry| matches!(entry.name, Name::Str(_)));
            // An empty one is both.
            is_list != is_map
        };
        self.objects.is_empty() && self.cells.is_empty() && self.arrays.iter().all(is_one)
    }
}

impl std::fmt::Debug for Document {
    /// Sizes only: what a session holds does not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document")
            .field("bytes", &self.text.len())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Default for Document {
    /// The null value.
    fn default() -> Self {
        Self {
            text: Vec::new(),
            entries: Vec::new(),
            arrays: Vec::new(),
            objects: Vec::new(),
            cells: Vec::new(),
            root: Node::Null,
            shared: false,
        }
    }
}

impl Document {
    /// The value that everything else is in.
    #[must_use]
    pub const fn root(&self) -> Value<'_> {
        Value::new(self, self.root)
    }

    /// The string that the value is, in the memory of the document.
    #[cfg(feature = "laravel")]
    pub(crate) fn into_string(self) -> Option<Vec<u8>> {
        let Node::Str(span) = self.resolve(self.root) else { return None };
        let mut text = self.text;
        text.truncate((span.at + span.len) as usize);
        text.drain(..text.len().min(span.at as usize));
        Some(text)
    }

    #[inline]
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        let at = span.at as usize;
        self.text.get(at..at + span.len as usize).unwrap_or_default()
    }

    /// Where a text is no longer than this, it can be copied with what stands behind it, which is cheaper than to copy so many bytes.
    #[inline(always)]
    pub(crate) fn chunk(&self, span: Span) -> Option<&[u8; CHUNK]> {
        self.text.get(span.at as usize..)?.first_chunk()
    }

    /// Whether other text, with whatever stands behind it, begins with this one.
    #[inline(always)]
    pub(crate) fn begins(&self, span: Span, other: &[u8]) -> bool {
        match (self.chunk(span), other.first_chunk::<CHUNK>()) {
            (Some(text), Some(other)) if (1..=CHUNK as u32).contains(&span.len) => {
                let differ = u128::from_le_bytes(*text) ^ u128::from_le_bytes(*other);
                differ << (128 - 8 * span.len) == 0
            }
            _ => other.starts_with(self.bytes(span)),
        }
    }

    pub(crate) fn run(&self, run: Run) -> &[Entry] {
        let at = run.at as usize;
        self.entries.get(at..at + run.len as usize).unwrap_or_default()
    }

    pub(crate) fn run_of(&self, array: ArrayId) -> Run {
        self.arrays.get(array.0 as usize).copied().unwrap_or_default()
    }

    pub(crate) fn array(&self, array: ArrayId) -> &[Entry] {
        self.run(self.run_of(array))
    }

    pub(crate) fn object(&self, object: ObjectId) -> ObjectData {
        let none = ObjectData { class: Span::default(), body: Body::Properties(Run::default()) };
        self.objects.get(object.0 as usize).copied().unwrap_or(none)
    }

    /// What stands behind a reference, or the node itself.
    pub(crate) fn resolve(&self, node: Node) -> Node {
        match node {
            Node::Ref(cell) => self.cells.get(cell.0 as usize).copied().unwrap_or(Node::Null),
            other => other,
        }
    }

    /// Gives an array other entries. They go to the end of the table, where more can be added cheaply.
    pub(crate) fn replace_entries(&mut self, array: ArrayId, entries: &[Entry]) {
        let run = Run { at: self.entries.len() as u32, len: entries.len() as u32 };
        self.entries.extend_from_slice(entries);
        if let Some(place) = self.arrays.get_mut(array.0 as usize) {
            *place = run;
        }
    }
}

/// The integer that PHP makes of such a string where it is a key of an array: decimal, without a plus, leading zeros, or minus zero.
///
/// The rule is in the manual's page on [arrays](https://www.php.net/manual/en/language.types.array.php).
pub(crate) fn integer_key(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut n: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // Counted downwards, because there is one negative number more.
        n = n.checked_mul(10)?.checked_sub(i64::from(digit - b'0'))?;
    }
    if negative { Some(n) } else { n.checked_neg() }
}

#[cfg(test)]
mod tests {
    use super::integer_key;

    #[test]
    fn only_canonical_decimals_are_integer_keys() {
        for (text, key) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("92233720368547758070", None),
            ("-0", None),
            ("08", None),
            ("+1", None),
            (" 1", None),
            ("1.5", None),
            ("", None),
            ("-", None),
            ("1a", None),
        ] {
            assert_eq!(integer_key(text.as_bytes()), key, "{text}");
        }
    }
}
