//! One value of a payload, with the rest looked through.

use super::read::Reader;
use super::skim::IgbinarySkim;
use crate::limits::Limits;
use crate::skim::find;
use crate::value::{Builder, Document, Key, Node, Span};

/// The value that the path leads to, `Some(None)` where it leads nowhere. `None` in doubt.
pub(crate) fn one(input: &[u8], path: &[Key<'_>], limits: Limits) -> Option<Option<Document>> {
    let mut skim = IgbinarySkim::after_header(input)?;
    // What holds the variables is an array, and no reference.
    if !skim.is_array() {
        return None;
    }
    let Some((start, _)) = find(&mut skim, path, limits.depth())? else { return Some(None) };
    let mut strings = skim.strings;
    strings.truncate(start.strings);
    let mut builder = Builder::resume(Document::default(), input, limits).ok()?;
    Reader::between(input, start.at, strings, limits).value(&mut builder).ok()?;
    let (mut doc, _) = builder.finish();
    own_text(&mut doc, input);
    Some(Some(doc))
}

/// Gives the document the text that it is about.
fn own_text(doc: &mut Document, input: &[u8]) {
    match (doc.root, doc.cells.is_empty()) {
        // Where its strings are told by number they stand all over the payload.
        (Node::Array(_) | Node::Object(_) | Node::Ref(_), _) | (_, false) => doc.text = input.to_vec(),
        (Node::Str(span), _) => {
            let text = input.get(span.at as usize..(span.at + span.len) as usize).unwrap_or_default();
            doc.text = text.to_vec();
            doc.root = Node::Str(Span { at: 0, len: text.len() as u32 });
        }
        _ => {}
    }
}
