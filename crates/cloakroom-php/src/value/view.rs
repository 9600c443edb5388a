//! Looking at a document.

use super::{ArrayId, Body, Document, Entry, Name, Node, ObjectId, integer_key};

/// The sort of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// 64 bits, signed
    Int,
    /// A double
    Float,
    /// Bytes, of any encoding or none
    String,
    /// An ordered map
    Array,
    /// An object or a case of an enum
    Object,
}

/// A key of an array. What is text and canonical decimal is an integer, as in PHP: `Key::from("5") == Key::Int(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key<'k> {
    /// An integer.
    Int(i64),
    /// Bytes.
    Bytes(&'k [u8]),
}

impl From<i64> for Key<'_> {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl<'k> From<&'k [u8]> for Key<'k> {
    fn from(text: &'k [u8]) -> Self {
        integer_key(text).map_or(Self::Bytes(text), Self::Int)
    }
}

impl<'k> From<&'k str> for Key<'k> {
    fn from(text: &'k str) -> Self {
        text.as_bytes().into()
    }
}

/// Which array, object or PHP reference something is, to find it again in the same document: equal where they are one.
///
/// ```
/// use cloakroom_php::{Format, Session};
///
/// let session = Session::decode(Format::Php, b"a|O:1:\"N\":0:{}b|r:1;c|R:1;").unwrap();
/// let [a, b, c] = ["a", "b", "c"].map(|name| session.get(name).unwrap());
/// assert_eq!(a.as_object().unwrap().identity(), b.as_object().unwrap().identity());
/// assert_eq!(a.reference(), c.reference());
/// assert_eq!(b.reference(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(Table, u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Table {
    Arrays,
    Objects,
    References,
}

/// A value in a [`Document`]. Copying it copies a pointer.
///
/// PHP references are looked through: every question is answered by the value behind one.
#[derive(Clone, Copy)]
pub struct Value<'d> {
    doc: &'d Document,
    node: Node,
}

impl std::fmt::Debug for Value<'_> {
    /// The sort only: what a session holds does not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Value").field(&self.kind()).finish()
    }
}

impl<'d> Value<'d> {
    pub(crate) const fn new(doc: &'d Document, node: Node) -> Self {
        Self { doc, node }
    }

    pub(crate) const fn document(self) -> &'d Document {
        self.doc
    }

    pub(crate) const fn node(self) -> Node {
        self.node
    }

    fn resolved(self) -> Node {
        self.doc.resolve(self.node)
    }

    /// What sort of value it is.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self.resolved() {
            Node::Null | Node::Ref(_) => Kind::Null,
            Node::Bool(_) => Kind::Bool,
            Node::Int(_) => Kind::Int,
            Node::Float(_) => Kind::Float,
            Node::Str(_) => Kind::String,
            Node::Array(_) => Kind::Array,
            Node::Object(_) => Kind::Object,
        }
    }

    /// Whether this is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    /// The boolean, if it is one. Nothing is converted: PHP's `"0"` is a string.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        if let Node::Bool(b) = self.resolved() { Some(b) } else { None }
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(self) -> Option<i64> {
        if let Node::Int(n) = self.resolved() { Some(n) } else { None }
    }

    /// The double, if it is one, with all its bits where the format keeps them.
    #[must_use]
    pub fn as_float(self) -> Option<f64> {
        if let Node::Float(bits) = self.resolved() { Some(f64::from_bits(bits)) } else { None }
    }

    /// The bytes of a string.
    #[must_use]
    pub fn as_bytes(self) -> Option<&'d [u8]> {
        if let Node::Str(span) = self.resolved() { Some(self.doc.bytes(span)) } else { None }
    }

    /// The string, if it is one and UTF-8.
    #[must_use]
    pub fn as_str(self) -> Option<&'d str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    pub(crate) fn array_id(self) -> Option<ArrayId> {
        if let Node::Array(id) = self.resolved() { Some(id) } else { None }
    }

    /// The array, if it is one.
    #[must_use]
    pub fn as_array(self) -> Option<Array<'d>> {
        if let Node::Array(id) = self.resolved() { Some(Array { doc: self.doc, id }) } else { None }
    }

    /// The object or enum case, if it is one.
    #[must_use]
    pub fn as_object(self) -> Option<Object<'d>> {
        if let Node::Object(id) = self.resolved() { Some(Object { doc: self.doc, id }) } else { None }
    }

    /// The element of an array; `None` also where this is no array. See [`Array::get`].
    pub fn get<'k>(self, key: impl Into<Key<'k>>) -> Option<Value<'d>> {
        self.as_array()?.get(key)
    }

    /// Whether the place holds a PHP reference (`&`), as far as the format tells.
    #[must_use]
    pub const fn is_reference(self) -> bool {
        matches!(self.node, Node::Ref(_))
    }

    /// Which PHP reference the place holds, if it holds one.
    #[must_use]
    pub const fn reference(self) -> Option<Identity> {
        if let Node::Ref(cell) = self.node { Some(Identity(Table::References, cell.0)) } else { None }
    }

    /// Whether both places hold the same object, or one PHP reference.
    ///
    /// ```
    /// use cloakroom_php::{Format, Session};
    ///
    /// let session = Session::decode(Format::Php, b"a|i:1;b|R:1;c|i:1;").unwrap();
    /// let [a, b, c] = ["a", "b", "c"].map(|name| session.get(name).unwrap());
    /// assert!(a.is_same(b) && !a.is_same(c));
    /// ```
    #[must_use]
    pub fn is_same(self, other: Value<'_>) -> bool {
        if !std::ptr::eq(self.doc, other.doc) {
            return false;
        }
        match (self.node, other.node) {
            (Node::Ref(a), Node::Ref(b)) if a == b => true,
            _ => match (self.resolved(), other.resolved()) {
                (Node::Object(a), Node::Object(b)) => a == b,
                _ => false,
            },
        }
    }
}

/// An array: an ordered map, as PHP's are.
#[derive(Clone, Copy)]
pub struct Array<'d> {
    doc: &'d Document,
    id: ArrayId,
}

impl std::fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Array").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'d> Array<'d> {
    fn entries(self) -> impl Iterator<Item = &'d Entry> + Clone {
        self.doc.array(self.id).iter().filter(|entry| !matches!(entry.name, Name::Hole))
    }

    /// How many elements it has.
    #[must_use]
    pub fn len(self) -> usize {
        self.doc.array(self.id).len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Which array it is. See [`Array::shares_memory`].
    #[must_use]
    pub const fn identity(self) -> Identity {
        Identity(Table::Arrays, self.id.0)
    }

    /// Whether both are one array in memory, which igbinary tells: a copy that neither side has changed yet. The values are equal then; that says
    /// nothing about references.
    #[must_use]
    pub fn shares_memory(self, other: Array<'_>) -> bool {
        std::ptr::eq(self.doc, other.doc) && self.id == other.id
    }

    /// Whether the keys are 0, 1, 2, … in this order, as [`array_is_list`](https://www.php.net/manual/en/function.array-is-list.php) says.
    #[must_use]
    pub fn is_list(self) -> bool {
        self.entries().zip(0..).all(|(entry, n)| matches!(entry.name, Name::Int(key) if key == n))
    }

    /// The element of this key. `"5"` and `5` are one key. Looks through the keys in order.
    pub fn get<'k>(self, key: impl Into<Key<'k>>) -> Option<Value<'d>> {
        let entry = match key.into() {
            Key::Int(n) => self.entries().find(|entry| matches!(entry.name, Name::Int(key) if key == n)),
            Key::Bytes(text) => self
                .entries()
                .find(|entry| matches!(entry.name, Name::Str(span) if self.doc.bytes(span) == text)),
        };
        entry.map(|entry| Value::new(self.doc, entry.node))
    }

    /// The elements, in PHP's order.
    ///
    /// igbinary can carry text keys that PHP code cannot reach, such as `"5"`: they come as they are.
    pub fn iter(self) -> impl Iterator<Item = (Key<'d>, Value<'d>)> + Clone {
        let doc = self.doc;
        self.entries().map(move |entry| (key(doc, entry.name), Value::new(doc, entry.node)))
    }
}

pub(crate) fn key(doc: &Document, name: Name) -> Key<'_> {
    match name {
        Name::Int(n) => Key::Int(n),
        Name::Str(span) => Key::Bytes(doc.bytes(span)),
        Name::Hole => Key::Bytes(b""),
    }
}

/// What an object was written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectKind {
    /// Properties, or what [`__serialize`](https://www.php.net/manual/en/language.oop5.magic.php#object.serialize) returned.
    Properties,
    /// Data that only the class can read ([`Serializable`](https://www.php.net/manual/en/class.serializable.php)).
    Serializable,
    /// A case of an enum.
    EnumCase,
}

/// Who may see a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Visibility<'d> {
    /// Everyone.
    Public,
    /// The class and its heirs.
    Protected,
    /// The class that declares it, which the object's class may have inherited from.
    Private(&'d [u8]),
}

/// A property's name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'d> {
    /// The name in the class. What `__serialize` returned may have integers here.
    pub name: Key<'d>,
    /// Who may see it.
    pub visibility: Visibility<'d>,
}

/// An object: opaque and whole, never made into anything. It can be looked at.
///
/// ```
/// use cloakroom_php::{Format, Session, Visibility};
///
/// let bytes = b"u|O:4:\"User\":1:{s:5:\"\0*\0id\";i:7;}";
/// let session = Session::decode(Format::Php, bytes)?;
/// let user = session.get("u").and_then(|u| u.as_object()).unwrap();
/// assert_eq!(user.class(), b"User");
/// assert_eq!(user.property("id").unwrap().as_int(), Some(7));
/// assert_eq!(user.properties().next().unwrap().0.visibility, Visibility::Protected);
/// # Ok::<(), cloakroom_php::DecodeError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Object<'d> {
    doc: &'d Document,
    id: ObjectId,
}

impl std::fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Object").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl<'d> Object<'d> {
    /// Which object it is.
    #[must_use]
    pub const fn identity(self) -> Identity {
        Identity(Table::Objects, self.id.0)
    }

    /// The name of the class, as it was written.
    #[must_use]
    pub fn class(self) -> &'d [u8] {
        self.doc.bytes(self.doc.object(self.id).class)
    }

    /// What it was written as.
    #[must_use]
    pub fn kind(self) -> ObjectKind {
        match self.doc.object(self.id).body {
            Body::Properties(_) | Body::List(_) => ObjectKind::Properties,
            Body::Data(..) => ObjectKind::Serializable,
            Body::Case(_) => ObjectKind::EnumCase,
        }
    }

    /// The properties; none for the other kinds. Typed properties that never got a value are left out.
    pub fn properties(self) -> impl Iterator<Item = (Property<'d>, Value<'d>)> + Clone {
        let doc = self.doc;
        self.entries().map(move |entry| (property(key(doc, entry.name)), Value::new(doc, entry.node)))
    }

    fn entries(self) -> impl Iterator<Item = &'d Entry> + Clone {
        let entries = match self.doc.object(self.id).body {
            Body::Properties(run) => self.doc.run(run),
            Body::List(array) => self.doc.array(array),
            Body::Data(..) | Body::Case(_) => &[],
        };
        entries.iter().filter(|entry| !matches!(entry.name, Name::Hole))
    }

    /// The first property of this name, whoever may see it.
    pub fn property<'k>(self, name: impl Into<Key<'k>>) -> Option<Value<'d>> {
        let name = name.into();
        // Here "5" stays text: properties are no keys of arrays.
        let is_it = |found| match found {
            Key::Bytes(text) => Key::from(text) == name,
            Key::Int(_) => found == name,
        };
        self.properties().find(|(property, _)| is_it(property.name)).map(|(_, value)| value)
    }

    /// What `Serializable::serialize` returned.
    #[must_use]
    pub fn data(self) -> Option<&'d [u8]> {
        if let Body::Data(span, _) = self.doc.object(self.id).body {
            Some(self.doc.bytes(span))
        } else {
            None
        }
    }

    /// The name of the enum's case.
    #[must_use]
    pub fn case(self) -> Option<&'d [u8]> {
        if let Body::Case(span) = self.doc.object(self.id).body { Some(self.doc.bytes(span)) } else { None }
    }
}

/// Takes a mangled name apart: `\0*\0name` is protected, `\0Class\0name` private, anything else public.
fn property(key: Key<'_>) -> Property<'_> {
    let plain = |name, visibility| Property { name, visibility };
    let Key::Bytes(text) = key else { return plain(key, Visibility::Public) };
    let [0, rest @ ..] = text else { return plain(key, Visibility::Public) };
    let Some(at) = memchr::memchr(0, rest) else { return plain(key, Visibility::Public) };
    match rest.split_at_checked(at) {
        Some((b"*", [0, name @ ..])) => plain(Key::Bytes(name), Visibility::Protected),
        Some((class, [0, name @ ..])) => plain(Key::Bytes(name), Visibility::Private(class)),
        _ => plain(key, Visibility::Public),
    }
}
