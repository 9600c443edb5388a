//! How a document comes to be: every decoder, and serde's serializer, place one value after the other.

use super::{
    ArrayId, Body, CellId, Document, Entry, Name, Node, ObjectData, ObjectId, Run, Span, integer_key,
};
use crate::error::Excess;
use crate::limits::Limits;

/// What a frame's entries are for.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Array(ArrayId),
    Object(ObjectId),
}

/// An array or object that is still open.
#[derive(Debug)]
struct Frame {
    owner: Owner,
    /// Where its entries begin among the pending ones.
    start: usize,
    /// How many entries of the frame around it are still announced.
    around: u32,
}

// What one more of each can take at worst: twice its size while a table grows, beside the table it grew out of. An entry waits in one
// table and ends in another.
const ENTRY: usize = 5 * size_of::<Entry>();
const ARRAY: usize = 3 * (size_of::<Run>() + size_of::<Frame>() + 16);
const OBJECT: usize = 3 * (size_of::<ObjectData>() + size_of::<Frame>() + 16);
const CELL: usize = 3 * (size_of::<Node>() + 16);

/// So many names are compared with one another; of more, a table is made.
const FEW: usize = 24;

/// So many sorts of arrays are remembered.
const SHAPES: usize = 8;

/// Whether both have the very same names, told by where they stand. Of other names that are equal this may say no.
#[inline]
fn has_names_of(entries: &[Entry], checked: &[Entry]) -> bool {
    entries.len() == checked.len()
        && entries.iter().zip(checked).all(|(a, b)| match (a.name, b.name) {
            (Name::Str(a), Name::Str(b)) => a == b,
            _ => false,
        })
}

const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The same for the same name, and hardly ever for another one.
#[inline]
fn print(name: &[u8]) -> u32 {
    let len = name.len() as u64;
    let (first, last) = match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) => {
                (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
            }
            _ => (name.iter().fold(0, |print, byte| print << 8 | u64::from(*byte)), 0),
        },
    };
    ((first ^ last.rotate_left(32)).wrapping_add(len).wrapping_mul(MIX) >> 32) as u32
}

/// A table starts with room for what a payload of this length usually has, and not for more than this.
const ROOM: usize = 4096;

/// Where a builder stood, to go back to.
pub(crate) struct Mark {
    entries: usize,
    arrays: usize,
    objects: usize,
    cells: usize,
    pending: usize,
    frames: usize,
    announced: u32,
    references: usize,
}

pub(crate) struct Builder<'t> {
    doc: Document,
    /// The text that spans below its length point into.
    text: &'t [u8],
    /// Text that is not in the payload: it goes behind it.
    extra: Vec<u8>,
    pending: Vec<Entry>,
    frames: Vec<Frame>,
    /// How many entries of the innermost frame are still announced.
    announced: u32,
    /// Runs that have no name twice, by how long they are: where names are told by number, the next array of the same sort has the very
    /// same ones.
    checked: [Run; SHAPES],
    name: Name,
    /// Whether every value gets a cell, because a later one may refer to it. What no reference named is unwrapped in the end.
    wrap: bool,
    references: Vec<CellId>,
    limits: Limits,
    left: usize,
    /// Whether a key came twice.
    pub(crate) duplicates: bool,
}

impl<'t> Builder<'t> {
    /// Starts a document. An entry takes about so many bytes in this format.
    pub(crate) fn new(text: &'t [u8], entry: usize, limits: Limits) -> Result<Self, Excess> {
        let mut builder = Self::resume(Document::default(), text, limits).map_err(|(_, excess)| excess)?;
        let room = (text.len() / entry).min(ROOM);
        builder.doc.entries.reserve(room);
        builder.doc.arrays.reserve(room / 8);
        builder.pending.reserve(room / 4);
        Ok(builder)
    }

    /// Goes on with a document whose own text was taken out and is handed in beside it. Gives it back where there is no room.
    #[expect(clippy::result_large_err, reason = "the document goes back to where it came from")]
    pub(crate) fn resume(doc: Document, text: &'t [u8], limits: Limits) -> Result<Self, (Document, Excess)> {
        let held = text.len() + doc.entries.len() * size_of::<Entry>();
        let left = limits.memory().checked_sub(held).filter(|_| u32::try_from(text.len()).is_ok());
        let Some(left) = left else { return Err((doc, limits.into())) };
        Ok(Self {
            doc,
            text,
            extra: Vec::new(),
            pending: Vec::new(),
            frames: Vec::with_capacity(8),
            announced: 0,
            checked: [Run::default(); SHAPES],
            name: Name::Hole,
            wrap: false,
            references: Vec::new(),
            limits,
            left,
            duplicates: false,
        })
    }

    /// Gives every value a cell from now on.
    pub(crate) const fn wrap(&mut self) {
        self.wrap = true;
    }

    pub(crate) const fn wraps(&self) -> bool {
        self.wrap
    }

    #[inline(always)]
    fn charge(&mut self, bytes: usize) -> Result<(), Excess> {
        self.left = self.left.checked_sub(bytes).ok_or(Excess::from(self.limits))?;
        Ok(())
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        let at = span.at as usize;
        let (text, at) = match at.checked_sub(self.text.len()) {
            Some(at) => (&*self.extra, at),
            None => (self.text, at),
        };
        text.get(at..at + span.len as usize).unwrap_or_default()
    }

    /// Text of its own.
    pub(crate) fn text(&mut self, bytes: &[u8]) -> Result<Span, Excess> {
        self.charge(3 * bytes.len())?;
        let at = self.text.len() + self.extra.len();
        let end = u32::try_from(at + bytes.len()).map_err(|_| Excess::from(self.limits))?;
        self.extra.extend_from_slice(bytes);
        Ok(Span { at: at as u32, len: end - at as u32 })
    }

    /// A name, which is an integer if PHP would make one of it.
    #[inline]
    pub(crate) fn array_name(&self, span: Span) -> Name {
        integer_key(self.bytes(span)).map_or(Name::Str(span), Name::Int)
    }

    /// Names the next value.
    #[inline(always)]
    pub(crate) fn name(&mut self, name: Name) {
        self.name = name;
        self.announced = self.announced.saturating_sub(1);
    }

    /// Puts a value under the name that was said last, or makes it the root.
    #[inline(always)]
    pub(crate) fn place(&mut self, node: Node) -> Result<(), Excess> {
        self.charge(ENTRY)?;
        if self.frames.is_empty() {
            self.doc.root = node;
        } else {
            self.pending.push(Entry { name: self.name, node });
        }
        Ok(())
    }

    pub(crate) fn new_array(&mut self) -> Result<ArrayId, Excess> {
        self.charge(ARRAY)?;
        self.doc.arrays.push(Run::default());
        Ok(ArrayId(self.doc.arrays.len() as u32 - 1))
    }

    pub(crate) fn new_object(&mut self, class: Span, body: Body) -> Result<ObjectId, Excess> {
        self.charge(OBJECT)?;
        self.doc.objects.push(ObjectData { class, body });
        Ok(ObjectId(self.doc.objects.len() as u32 - 1))
    }

    pub(crate) fn set_body(&mut self, object: ObjectId, body: Body) {
        if let Some(data) = self.doc.objects.get_mut(object.0 as usize) {
            data.body = body;
        }
    }

    pub(crate) fn new_cell(&mut self, node: Node) -> Result<CellId, Excess> {
        self.charge(CELL)?;
        self.doc.cells.push(node);
        Ok(CellId(self.doc.cells.len() as u32 - 1))
    }

    pub(crate) fn cell(&self, cell: CellId) -> Node {
        self.doc.cells.get(cell.0 as usize).copied().unwrap_or(Node::Null)
    }

    /// Keeps this cell when the others are unwrapped.
    pub(crate) fn refer(&mut self, cell: CellId) {
        self.references.push(cell);
    }

    /// An array now stands in more than one place.
    pub(crate) const fn share(&mut self) {
        self.doc.shared = true;
    }

    pub(crate) fn enter_array(&mut self, array: ArrayId, left: u32) -> Result<(), Excess> {
        self.enter(Owner::Array(array), left)
    }

    pub(crate) fn enter_object(&mut self, object: ObjectId, left: u32) -> Result<(), Excess> {
        self.enter(Owner::Object(object), left)
    }

    fn enter(&mut self, owner: Owner, left: u32) -> Result<(), Excess> {
        if self.frames.len() >= self.limits.depth() {
            return Err(Excess::Depth(self.limits.depth()));
        }
        self.frames.push(Frame { owner, start: self.pending.len(), around: self.announced });
        self.announced = left;
        Ok(())
    }

    pub(crate) const fn depth(&self) -> usize {
        self.frames.len()
    }

    /// How many entries of the innermost array or object are still announced.
    #[inline(always)]
    pub(crate) const fn left(&self) -> u32 {
        self.announced
    }

    /// Whether the innermost frame is an object, whose names are no keys of arrays.
    #[inline]
    pub(crate) fn in_object(&self) -> bool {
        matches!(self.frames.last(), Some(Frame { owner: Owner::Object(_), .. }))
    }

    /// How many entries the innermost frame has so far.
    pub(crate) fn count(&self) -> usize {
        self.frames.last().map_or(0, |frame| self.pending.len() - frame.start)
    }

    /// Closes the innermost array or object.
    pub(crate) fn end(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        self.announced = frame.around;
        let entries = self.pending.get(frame.start..).unwrap_or_default();
        let shape = entries.len() % SHAPES;
        let known = !entries.is_empty()
            && self.checked.get(shape).is_some_and(|run| has_names_of(entries, self.doc.run(*run)));
        if !known && self.may_repeat(entries) && self.merge_repeated(frame.start) {
            self.duplicates = true;
        }
        let at = self.doc.entries.len();
        self.doc.entries.extend_from_slice(self.pending.get(frame.start..).unwrap_or_default());
        self.pending.truncate(frame.start);
        let run = Run { at: at as u32, len: (self.doc.entries.len() - at) as u32 };
        if !known && let Some(checked) = self.checked.get_mut(shape) {
            *checked = run;
        }
        match frame.owner {
            Owner::Array(array) => {
                if let Some(place) = self.doc.arrays.get_mut(array.0 as usize) {
                    *place = run;
                }
            }
            Owner::Object(object) => self.set_body(object, Body::Properties(run)),
        }
    }

    /// Whether two entries may have one name; cheap, and never wrongly no.
    #[inline]
    fn may_repeat(&self, entries: &[Entry]) -> bool {
        // As most arrays are: a list, or in the order of its integers.
        let mut last = None;
        let ascending = entries.iter().all(|entry| match entry.name {
            Name::Int(n) if last.is_none_or(|last| last < n) => {
                last = Some(n);
                true
            }
            _ => false,
        });
        if ascending {
            return false;
        }
        let mut prints = [0_u32; FEW];
        let Some(prints) = prints.get_mut(..entries.len()) else { return true };
        for (at, entry) in entries.iter().enumerate() {
            let print = match entry.name {
                // Holes have no name, and every one is another.
                Name::Hole => at as u32,
                Name::Int(n) => ((n as u64).wrapping_mul(MIX) >> 32) as u32,
                Name::Str(span) => print(self.bytes(span)),
            };
            let (before, rest) = prints.split_at_mut(at);
            // No early end: this way it is done for several at once.
            if before.iter().fold(false, |found, other| found | (*other == print)) {
                return true;
            }
            if let Some(place) = rest.first_mut() {
                *place = print;
            }
        }
        false
    }

    /// As PHP does: the last value wins and stands where the first stood. Says whether there was anything to do.
    fn merge_repeated(&mut self, start: usize) -> bool {
        use std::collections::hash_map::{Entry as Slot, HashMap};
        #[derive(PartialEq, Eq, Hash)]
        enum Known<'k> {
            Int(i64),
            Str(&'k [u8]),
        }
        let entries = self.pending.get(start..).unwrap_or_default();
        let mut first: HashMap<Known<'_>, usize, foldhash::fast::RandomState> =
            HashMap::with_capacity_and_hasher(entries.len(), foldhash::fast::RandomState::default());
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            let known = match entry.name {
                Name::Hole => None,
                Name::Int(n) => Some(Known::Int(n)),
                Name::Str(span) => Some(Known::Str(self.bytes(span))),
            };
            match known.map(|known| first.entry(known)) {
                Some(Slot::Occupied(place)) => {
                    if let Some(earlier) = kept.get_mut(*place.get()) {
                        earlier.node = entry.node;
                    }
                }
                Some(Slot::Vacant(place)) => {
                    place.insert(kept.len());
                    kept.push(*entry);
                }
                None => kept.push(*entry),
            }
        }
        let repeated = kept.len() < entries.len();
        if repeated {
            self.pending.truncate(start);
            self.pending.append(&mut kept);
        }
        repeated
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            entries: self.doc.entries.len(),
            arrays: self.doc.arrays.len(),
            objects: self.doc.objects.len(),
            cells: self.doc.cells.len(),
            pending: self.pending.len(),
            frames: self.frames.len(),
            announced: self.announced,
            references: self.references.len(),
        }
    }

    /// Forgets what was built since. What it was charged stays charged: trying costs.
    pub(crate) fn back_to(&mut self, mark: &Mark) {
        self.doc.entries.truncate(mark.entries);
        self.doc.arrays.truncate(mark.arrays);
        self.doc.objects.truncate(mark.objects);
        self.doc.cells.truncate(mark.cells);
        self.pending.truncate(mark.pending);
        self.frames.truncate(mark.frames);
        self.announced = mark.announced;
        self.checked = [Run::default(); SHAPES];
        self.references.truncate(mark.references);
    }

    /// The document, without its text, and the text that goes behind the payload's.
    pub(crate) fn finish(mut self) -> (Document, Vec<u8>) {
        if self.wrap {
            self.unwrap_cells();
        }
        (self.doc, self.extra)
    }

    /// Takes the values that no reference named out of their cells.
    fn unwrap_cells(&mut self) {
        let Document { entries, objects: _, cells, root, .. } = &mut self.doc;
        let mut kept = vec![false; cells.len()];
        for cell in &self.references {
            if let Some(kept) = kept.get_mut(cell.0 as usize) {
                *kept = true;
            }
        }
        let plain = |node: &mut Node| {
            if let Node::Ref(CellId(cell)) = *node
                && kept.get(cell as usize) == Some(&false)
            {
                *node = cells.get(cell as usize).copied().unwrap_or(Node::Null);
            }
        };
        entries.iter_mut().for_each(|entry| plain(&mut entry.node));
        plain(root);
    }
}
