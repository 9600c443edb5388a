//! How many places hold each reference cell: a PHP reference that only one place holds is a plain value.

use super::{Body, Document, Entry, Node};

/// The number of places that each cell stands in, as far as the root leads there.
pub(crate) fn holders(doc: &Document) -> Vec<u32> {
    let mut counts = vec![0_u32; doc.cells.len()];
    if doc.cells.is_empty() {
        return counts;
    }
    let mut arrays = vec![false; doc.arrays.len()];
    let mut objects = vec![false; doc.objects.len()];
    let mut open: Vec<&[Entry]> = Vec::new();
    let root = [Entry { name: super::Name::Hole, node: doc.root }];
    open.push(&root);
    while let Some(entries) = open.pop() {
        for entry in entries {
            let node = match entry.node {
                Node::Ref(cell) => {
                    let Some(count) = counts.get_mut(cell.0 as usize) else { continue };
                    *count += 1;
                    if *count > 1 {
                        continue;
                    }
                    doc.resolve(entry.node)
                }
                node => node,
            };
            let array = match node {
                Node::Array(array) => array,
                Node::Object(object) => {
                    if objects.get_mut(object.0 as usize).is_none_or(|seen| std::mem::replace(seen, true)) {
                        continue;
                    }
                    match doc.object(object).body {
                        Body::Properties(run) => {
                            open.push(doc.run(run));
                            continue;
                        }
                        Body::List(array) | Body::Data(_, Some(array)) => array,
                        Body::Data(_, None) | Body::Case(_) => continue,
                    }
                }
                _ => continue,
            };
            if arrays.get_mut(array.0 as usize).is_some_and(|seen| !std::mem::replace(seen, true)) {
                open.push(doc.array(array));
            }
        }
    }
    counts
}
