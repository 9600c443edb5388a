//! Whether two documents say the same: what is written is read again and held against what was to be written.

use std::collections::HashSet;

use super::{Body, Document, Entry, Name, Node, Span, holders};

/// Whether both are the same values, with the same objects and references in the same places.
///
/// Which arrays share memory is no part of it, a reference that one place holds is a plain value, and a NaN is a NaN: text has one only.
pub(crate) fn same(a: &Document, b: &Document) -> bool {
    Comparison {
        a,
        b,
        held: (holders(a), holders(b)),
        cells: Pairs::new(a.cells.len(), b.cells.len()),
        objects: Pairs::new(a.objects.len(), b.objects.len()),
        arrays: (a.shared || b.shared).then(HashSet::default),
        open: Vec::new(),
    }
    .run()
}

/// Which of one side goes with which of the other.
struct Pairs(Vec<u32>, Vec<u32>);

enum Met {
    Now,
    Before,
    Never,
}

impl Pairs {
    fn new(a: usize, b: usize) -> Self {
        Self(vec![u32::MAX; a], vec![u32::MAX; b])
    }

    fn meet(&mut self, a: u32, b: u32) -> Met {
        let (Some(left), Some(right)) = (self.0.get_mut(a as usize), self.1.get_mut(b as usize)) else {
            return Met::Never;
        };
        match (*left, *right) {
            (u32::MAX, u32::MAX) => {
                (*left, *right) = (b, a);
                Met::Now
            }
            (l, r) if l == b && r == a => Met::Before,
            _ => Met::Never,
        }
    }
}

struct Comparison<'d> {
    a: &'d Document,
    b: &'d Document,
    held: (Vec<u32>, Vec<u32>),
    cells: Pairs,
    objects: Pairs,
    /// Pairs of arrays that were compared, where one may come again.
    arrays: Option<HashSet<(u32, u32), foldhash::fast::RandomState>>,
    open: Vec<(&'d [Entry], &'d [Entry])>,
}

impl<'d> Comparison<'d> {
    fn run(mut self) -> bool {
        if !self.node(self.a.root, self.b.root) {
            return false;
        }
        while let Some((left, right)) = self.open.pop() {
            let mut left = left.iter().filter(|entry| !matches!(entry.name, Name::Hole));
            let mut right = right.iter().filter(|entry| !matches!(entry.name, Name::Hole));
            loop {
                match (left.next(), right.next()) {
                    (None, None) => break,
                    (Some(l), Some(r)) if self.name(l.name, r.name) && self.node(l.node, r.node) => {}
                    _ => return false,
                }
            }
        }
        true
    }

    fn text(&self, a: Span, b: Span) -> bool {
        self.a.bytes(a) == self.b.bytes(b)
    }

    fn name(&self, a: Name, b: Name) -> bool {
        match (a, b) {
            (Name::Int(a), Name::Int(b)) => a == b,
            (Name::Str(a), Name::Str(b)) => self.text(a, b),
            _ => false,
        }
    }

    fn node(&mut self, a: Node, b: Node) -> bool {
        let is_held = |node, held: &[u32]| match node {
            Node::Ref(cell) => held.get(cell.0 as usize).is_some_and(|n| *n > 1).then_some(cell.0),
            _ => None,
        };
        match (is_held(a, &self.held.0), is_held(b, &self.held.1)) {
            (Some(a), Some(b)) => match self.cells.meet(a, b) {
                Met::Now => {}
                Met::Before => return true,
                Met::Never => return false,
            },
            (None, None) => {}
            _ => return false,
        }
        match (self.a.resolve(a), self.b.resolve(b)) {
            (Node::Null, Node::Null) => true,
            (Node::Bool(a), Node::Bool(b)) => a == b,
            (Node::Int(a), Node::Int(b)) => a == b,
            (Node::Float(a), Node::Float(b)) => {
                a == b || (f64::from_bits(a).is_nan() && f64::from_bits(b).is_nan())
            }
            (Node::Str(a), Node::Str(b)) => self.text(a, b),
            (Node::Array(a), Node::Array(b)) => {
                if self.arrays.as_mut().is_none_or(|seen| seen.insert((a.0, b.0))) {
                    self.open.push((self.a.array(a), self.b.array(b)));
                }
                true
            }
            (Node::Object(a), Node::Object(b)) => match self.objects.meet(a.0, b.0) {
                Met::Now => {
                    let (a, b) = (self.a.object(a), self.b.object(b));
                    self.text(a.class, b.class) && self.body(a.body, b.body)
                }
                Met::Before => true,
                Met::Never => false,
            },
            _ => false,
        }
    }

    fn body(&mut self, a: Body, b: Body) -> bool {
        let run = |doc: &'d Document, body| match body {
            Body::Properties(run) => Some(doc.run(run)),
            Body::List(array) => Some(doc.array(array)),
            _ => None,
        };
        match (a, b) {
            (Body::Case(a), Body::Case(b)) | (Body::Data(a, _), Body::Data(b, _)) => self.text(a, b),
            (a, b) => match (run(self.a, a), run(self.b, b)) {
                (Some(a), Some(b)) => {
                    self.open.push((a, b));
                    true
                }
                _ => false,
            },
        }
    }
}
