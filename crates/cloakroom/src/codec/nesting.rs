//! How deep encoded values may nest.
//!
//! Decoders call themselves for each level, so that a few kilobytes of nothing but opening brackets would use up the stack
//! and end the process. serde_json counts the levels; rmp-serde does for arrays and maps, yet not for enums. So the bound
//! is checked here, on the bytes, before a decoder sees them; and when a value is encoded, so that what was stored can be
//! read again.

/// Levels of arrays and maps in one value. serde_json's own bound.
pub(super) const MAX_DEPTH: usize = 127;

/// Whether a MessagePack value nests at most [`MAX_DEPTH`] levels. What is cut off or malformed is for the decoder to find.
pub(super) fn messagepack_fits(bytes: &[u8]) -> bool {
    // Each level takes a byte at least, and the innermost value another.
    if bytes.len() <= MAX_DEPTH {
        return true;
    }
    // What is still to come at each open level.
    let mut open = [0usize; MAX_DEPTH];
    let mut depth = 0;
    let mut rest = bytes;
    while let Some((marker, after)) = rest.split_first() {
        let (head, skip, values) = shape(*marker, after);
        let Some(after) = after.get(head.saturating_add(skip)..) else { return true };
        rest = after;
        if values > 0 {
            let Some(level) = open.get_mut(depth) else { return false };
            *level = values;
            depth += 1;
            continue;
        }
        // A value is complete, and with it every level that it was the last one of.
        loop {
            let Some(level) = depth.checked_sub(1).and_then(|top| open.get_mut(top)) else { return true };
            *level -= 1;
            if *level > 0 {
                break;
            }
            depth -= 1;
        }
    }
    true
}

/// What a marker announces: bytes that tell a length, bytes of content, values inside.
fn shape(marker: u8, after: &[u8]) -> (usize, usize, usize) {
    let length = |bytes: usize| {
        after.get(..bytes).unwrap_or_default().iter().fold(0usize, |n, b| n << 8 | usize::from(*b))
    };
    let low = |mask: u8| usize::from(marker & mask);
    match marker {
        0x80..=0x8f => (0, 0, 2 * low(0x0f)),
        0x90..=0x9f => (0, 0, low(0x0f)),
        0xa0..=0xbf => (0, low(0x1f), 0),
        0xc4 | 0xd9 => (1, length(1), 0),
        0xc5 | 0xda => (2, length(2), 0),
        0xc6 | 0xdb => (4, length(4), 0),
        // Extensions have a byte for their type before the content.
        0xc7 => (1, length(1) + 1, 0),
        0xc8 => (2, length(2) + 1, 0),
        0xc9 => (4, length(4).saturating_add(1), 0),
        0xd4..=0xd8 => (0, (1 << (marker - 0xd4)) + 1, 0),
        0xcc | 0xd0 => (0, 1, 0),
        0xcd | 0xd1 => (0, 2, 0),
        0xca | 0xce | 0xd2 => (0, 4, 0),
        0xcb | 0xcf | 0xd3 => (0, 8, 0),
        0xdc => (2, 0, length(2)),
        0xdd => (4, 0, length(4)),
        0xde => (2, 0, 2 * length(2)),
        0xdf => (4, 0, length(4).saturating_mul(2)),
        // Small numbers, nil, booleans.
        _ => (0, 0, 0),
    }
}

/// Whether JSON text, as serde_json writes it, nests at most [`MAX_DEPTH`] levels. For reading, serde_json checks by itself.
pub(super) fn json_fits(text: &[u8]) -> bool {
    if text.len() <= 2 * MAX_DEPTH {
        return true;
    }
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(Value::Null, |inner, n| {
            if n % 2 == 0 { vec![inner].into() } else { serde_json::json!({ "k": inner }) }
        })
    }

    #[test]
    fn s63_the_bound_is_exact_in_both_encodings() {
        for (levels, fits) in [(1, true), (MAX_DEPTH, true), (MAX_DEPTH + 1, false), (300, false)] {
            let value = nested(levels);
            assert_eq!(messagepack_fits(&rmp_serde::to_vec_named(&value).unwrap()), fits, "{levels}");
            let text = serde_json::to_vec(&value).unwrap();
            assert_eq!(json_fits(&text), fits, "{levels}");
            assert_eq!(
                serde_json::from_slice::<Value>(&text).is_ok(),
                fits,
                "{levels}: serde_json's own bound"
            );
        }
    }

    #[test]
    fn many_values_side_by_side_are_not_deep() {
        let wide = Value::from(vec![nested(MAX_DEPTH - 1); 40]);
        assert!(messagepack_fits(&rmp_serde::to_vec_named(&wide).unwrap()));
        assert!(json_fits(&serde_json::to_vec(&wide).unwrap()));
        let brackets = Value::from("[{\"\\[".repeat(200));
        assert!(json_fits(&serde_json::to_vec(&brackets).unwrap()));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[\\[\\]{}\"\\\\a-z]{0,300}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 200, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
                prop::collection::btree_map("[a-z\\[\"]{0,40}", inner, 0..20)
                    .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
            ]
        })
    }

    /// How deep a value nests that is known to be a value.
    fn depth(value: &Value) -> usize {
        match value {
            Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
            Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn s63_what_lies_inside_of_what_is_told_apart(value in value(), more in 100usize..130) {
            let around = (0..more).fold(value, |inner, _| vec![inner].into());
            // Empty ones hold nothing that a decoder would go down for; JSON counts their brackets all the same.
            let fits = depth(&around) <= MAX_DEPTH;
            prop_assert_eq!(json_fits(&serde_json::to_vec(&around).unwrap()), fits);
            let packed = messagepack_fits(&rmp_serde::to_vec_named(&around).unwrap());
            prop_assert!(packed || !fits);
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            messagepack_fits(&bytes);
            json_fits(&bytes);
        }
    }
}
