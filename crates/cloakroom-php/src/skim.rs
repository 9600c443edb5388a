//! Looking through a payload for one value of it: everything is read, as strictly as by the readers, and nothing is built.
//!
//! Only payloads whose values stand alone are looked through: nothing in them is told by the number of what came before. Everything else, and
//! everything in doubt, is for the readers to judge. So this never has an error to tell, and never another opinion: what it takes they take, and it
//! is the same value there.

use crate::value::Key;

/// What a format needs to be looked through. `None` is doubt; then nothing that was read before counts.
pub(crate) trait Skim {
    /// Where a value begins or ends.
    type Place: Copy;

    fn place(&self) -> Self::Place;

    /// Reads a key of an array, and says whether it is this one.
    fn key(&mut self, wanted: Key<'_>) -> Option<bool>;

    /// Reads the beginning of an array. Where none begins, nothing is read.
    fn array(&mut self) -> Option<Elements>;

    /// Reads the end of an array.
    fn end(&mut self) -> Option<()>;

    /// Reads a value, and everything in it, nested no deeper than this.
    fn value(&mut self, depth: usize) -> Option<()>;
}

/// What begins at a place.
#[derive(Clone, Copy)]
pub(crate) enum Elements {
    /// An array of so many.
    Of(u32),
    /// A value that has none.
    None,
}

/// An array on the way to the value.
struct Level<'k> {
    left: u32,
    wanted: Key<'k>,
    met: bool,
}

/// Reads one value, and everything in it, and says from where to where the value stands that the path leads to. `Some(None)` where there is none.
pub(crate) fn find<S: Skim>(
    skim: &mut S,
    path: &[Key<'_>],
    depth: usize,
) -> Option<Option<(S::Place, S::Place)>> {
    let mut path = path.iter();
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut found = None;
    loop {
        // A value that is on the way, or the one itself.
        let start = skim.place();
        match path.next() {
            None => {
                skim.value(depth.checked_sub(levels.len())?)?;
                found = Some((start, skim.place()));
            }
            Some(wanted) => match skim.array()? {
                Elements::Of(left) if levels.len() < depth => {
                    levels.push(Level { left, wanted: *wanted, met: false });
                }
                Elements::Of(_) => return None,
                Elements::None => skim.value(depth.checked_sub(levels.len())?)?,
            },
        }
        // What stands beside it, until the next one that is on the way.
        loop {
            let below = depth.checked_sub(levels.len())?;
            let Some(level) = levels.last_mut() else { return Some(found) };
            if level.left == 0 {
                skim.end()?;
                levels.pop();
                continue;
            }
            level.left -= 1;
            if skim.key(level.wanted)? {
                if level.met {
                    // A key that stands there twice.
                    return None;
                }
                level.met = true;
                break;
            }
            skim.value(below)?;
        }
    }
}
