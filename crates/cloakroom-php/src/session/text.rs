//! What `php`, `php_binary` and `php_serialize` have in common: variables that stand one after the other as `serialize()` text. What was
//! not changed is copied, byte for byte; only the numbers of back references move with what they refer to.

use super::{Session, php, php_binary};
use crate::error::{DecodeError, DecodeErrorKind as Wrong, EncodeError, ReadOnly};
use crate::format::Format;
use crate::limits::Limits;
use crate::serialize::{BackReference, Check, Reader, Writer};
use crate::value::{Builder, Document, Name, Node, Span, with_cells_where_needed};

/// Where a variable stands in the payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    /// From its name
    at: u32,
    /// to the end of its value,
    pub(super) value: Span,
    /// The number of its first value,
    first: u32,
    /// and how many there are in it.
    slots: u32,
}

impl Raw {
    pub(super) const fn holds(&self, slot: u32) -> bool {
        slot >= self.first && slot - self.first < self.slots
    }

    const fn spans(&self, reference: &BackReference) -> bool {
        reference.digits.at >= self.value.at && reference.digits.at < self.value.at + self.value.len
    }
}

/// What is known of a payload beside its values.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// One for each variable, in their order; `None` for what was changed.
    pub(super) raws: Vec<Option<Raw>>,
    pub(super) back_references: Vec<BackReference>,
    pub(super) read_only: Option<ReadOnly>,
    /// Where what PHP reads of the payload ends.
    #[cfg_attr(not(feature = "layout"), expect(dead_code, reason = "layouts ask where it ends"))]
    pub(super) end: usize,
}

pub(super) fn decode(
    format: Format,
    text: &[u8],
    limits: Limits,
) -> Result<(Document, Vec<u8>, Source), DecodeError> {
    with_cells_where_needed(|wrap| attempt(format, text, limits, wrap))
}

type Decoded = (Document, Vec<u8>, Source);

/// `None` where values need cells and have none.
fn attempt(format: Format, text: &[u8], limits: Limits, wrap: bool) -> Result<Option<Decoded>, DecodeError> {
    let mut reader = Reader::new(text);
    let mut builder = Builder::new(text, 20, limits).map_err(|excess| reader.excess(excess))?;
    if wrap {
        builder.wrap();
    }
    let mut raws = Vec::new();
    let read = variables(format, text, &mut reader, &mut builder, &mut raws);
    if reader.wants_cells {
        return Ok(None);
    }
    read?;
    let duplicates = builder.duplicates;
    let (mut doc, extra) = builder.finish();
    let in_reference = matches!(doc.root, Node::Ref(_));
    doc.root = doc.resolve(doc.root);
    let Node::Array(root) = doc.root else { return reader.cursor.wrong(Wrong::NotASession) };
    let count = doc.array(root).len();
    let refers = !reader.back_references.is_empty();
    let read_only = if in_reference {
        Some(ReadOnly::Root)
    } else if reader.has_opaque && (refers || reader.opaque_refers) {
        Some(ReadOnly::OpaqueNumbers)
    } else if (duplicates || count != raws.len()) && refers {
        Some(ReadOnly::Duplicate)
    } else {
        None
    };
    if count != raws.len() {
        // A variable stands there twice. PHP writes no such thing; the values are written anew.
        raws = vec![None; count];
    }
    let end = reader.cursor.at();
    Ok(Some((doc, extra, Source { raws, back_references: reader.back_references, read_only, end })))
}

fn variables(
    format: Format,
    text: &[u8],
    reader: &mut Reader<'_>,
    builder: &mut Builder<'_>,
    raws: &mut Vec<Option<Raw>>,
) -> Result<(), DecodeError> {
    let whole = format == Format::PhpSerialize;
    if whole && !text.is_empty() {
        if text.starts_with(b"N;") {
            return empty(reader, builder);
        }
        if matches!(text, [b'b' | b'i' | b'd' | b's' | b'O' | b'C' | b'E', b':', ..]) {
            return reader.cursor.wrong(Wrong::NotASession);
        }
        reader.root(builder)?;
    } else {
        empty_root(reader, builder)?;
    }
    loop {
        let done = if whole { builder.left() == 0 } else { reader.cursor.is_at_end() };
        if done {
            break;
        }
        let start = reader.cursor.at();
        match format {
            Format::PhpBinary => builder.name(Name::Str(php_binary::name(&mut reader.cursor)?)),
            Format::PhpSerialize => {
                reader.key(builder)?;
            }
            _ => builder.name(Name::Str(php::name(&mut reader.cursor)?)),
        }
        let (at, before) = (reader.cursor.at(), reader.slot);
        reader.value(builder)?;
        let value = Span { at: at as u32, len: (reader.cursor.at() - at) as u32 };
        raws.push(Some(Raw { at: start as u32, value, first: before + 1, slots: reader.slot - before }));
    }
    if whole && !text.is_empty() {
        // PHP ignores what follows.
        reader.cursor.expect(b'}', "a closing brace")?;
    }
    builder.end();
    Ok(())
}

/// An array that is not in the payload, around its variables.
fn empty_root(reader: &Reader<'_>, builder: &mut Builder<'_>) -> Result<(), DecodeError> {
    let root = builder.new_array().map_err(|excess| reader.excess(excess))?;
    builder.place(Node::Array(root)).map_err(|excess| reader.excess(excess))?;
    let count = if reader.cursor.is_at_end() { 0 } else { u32::MAX };
    builder.enter_array(root, count).map_err(|excess| reader.excess(excess))
}

fn empty(reader: &Reader<'_>, builder: &mut Builder<'_>) -> Result<(), DecodeError> {
    empty_root(reader, builder)?;
    builder.end();
    Ok(())
}

impl Source {
    /// Where a variable's value stands as text that means the same alone.
    pub(super) fn own_text(&self, index: usize) -> Option<Span> {
        let raw = self.raws.get(index).copied().flatten();
        raw.filter(|_| self.back_references.is_empty()).map(|raw| raw.value)
    }

    /// Whether other variables refer to values in this one, or this one to theirs.
    fn ties(&self, index: usize) -> (bool, Vec<BackReference>) {
        let Some(Some(raw)) = self.raws.get(index) else { return (false, Vec::new()) };
        let (inside, outside): (Vec<BackReference>, Vec<BackReference>) =
            self.back_references.iter().copied().partition(|reference| raw.spans(reference));
        let live = |reference: &BackReference| self.raws.iter().flatten().any(|raw| raw.spans(reference));
        let referred = outside.iter().any(|reference| raw.holds(reference.target) && live(reference));
        (referred, inside.into_iter().filter(|reference| !raw.holds(reference.target)).collect())
    }

    /// Whether a variable can be given another value. PHP would change everything that is tied to it by a reference.
    pub(super) fn may_replace(&self, index: usize) -> Result<(), EncodeError> {
        let (referred, refers) = self.ties(index);
        if referred || refers.iter().any(|reference| reference.is_reference) {
            return Err(EncodeError::ReadOnly(ReadOnly::Tied));
        }
        Ok(())
    }

    /// Whether a variable can go.
    pub(super) fn may_remove(&self, index: usize) -> Result<(), EncodeError> {
        if self.ties(index).0 {
            return Err(EncodeError::ReadOnly(ReadOnly::Tied));
        }
        Ok(())
    }

    /// Whether a variable can be written anew from the model.
    pub(super) fn may_rewrite(&self, index: usize) -> Result<(), EncodeError> {
        let (referred, refers) = self.ties(index);
        if referred || !refers.is_empty() {
            return Err(EncodeError::ReadOnly(ReadOnly::Tied));
        }
        Ok(())
    }
}

/// Writes the variables, those that are as they were from the payload.
pub(super) fn encode(session: &Session, format: Format, fresh: bool) -> Result<Vec<u8>, EncodeError> {
    let doc = &session.doc;
    let entries = session.entries();
    let mut writer = Writer::new(doc, session.limits);
    if format == Format::PhpSerialize {
        writer.slot = 1;
        writer.out.extend_from_slice(b"a:");
        writer.number(entries.len());
        writer.out.extend_from_slice(b":{");
    }
    let source = &session.source;
    let mut moved: Vec<(Raw, u32)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let raw = source.raws.get(index).copied().flatten().filter(|_| !fresh);
        let Some(raw) = raw else {
            match (format, entry.name) {
                (Format::PhpSerialize, name) => writer.name(name),
                (Format::PhpBinary, Name::Str(name)) => {
                    php_binary::write_name(&mut writer.out, doc.bytes(name));
                }
                (_, Name::Str(name)) => php::write_name(&mut writer.out, doc.bytes(name)),
                _ => return Err(EncodeError::Name { format: format.name(), reason: super::INTEGER_NAME }),
            }
            writer.value(entry.node)?;
            continue;
        };
        moved.push((raw, writer.slot + 1));
        writer.slot += raw.slots;
        let end = raw.value.at + raw.value.len;
        let mut at = raw.at;
        for reference in source.back_references.iter().filter(|reference| raw.spans(reference)) {
            let target = moved
                .iter()
                .find(|(raw, _)| raw.holds(reference.target))
                .map(|(raw, first)| reference.target - raw.first + first)
                .ok_or(EncodeError::ReadOnly(ReadOnly::Tied))?;
            let until = reference.digits.at;
            writer.out.extend_from_slice(doc.bytes(Span { at, len: until - at }));
            writer.number(target);
            at = until + reference.digits.len;
        }
        writer.out.extend_from_slice(doc.bytes(Span { at, len: end - at }));
    }
    if format == Format::PhpSerialize {
        writer.out.push(b'}');
    }
    Ok(writer.out)
}

/// Whether these bytes are read as this session, told without building it. Sometimes no where they are.
pub(super) fn is(session: &Session, format: Format, bytes: &[u8]) -> bool {
    let entries = session.entries();
    let whole = format == Format::PhpSerialize;
    let mut check = Check::new(&session.doc, bytes);
    // The session itself is a level.
    let depth = session.limits.depth().saturating_sub(1);
    if whole && !check.begins(entries.len()) {
        return false;
    }
    for entry in entries {
        let is_name = match (format, entry.name) {
            (Format::PhpSerialize, name) => check.is_key(name),
            (Format::PhpBinary, Name::Str(name)) => check.is_name(php_binary::name, name),
            (_, Name::Str(name)) => check.is_name(php::name, name),
            _ => false,
        };
        if !is_name || !check.is_value(entry.node, depth) {
            return false;
        }
    }
    (!whole || check.ends()) && check.is_at_end()
}
