//! What `unmapped` may hold.

use model::{Arena, Value};

use super::UNMAPPED_KEYS_MAX;

/// `value` with at most `depth` levels below it and what is left of the keys; deeper levels as JSON text.
pub(super) fn bounded<'a>(
    arena: &'a Arena,
    value: Value<'a>,
    depth: usize,
    keys: &mut usize,
    cut: &mut bool,
) -> Value<'a> {
    // Nearly every value stays as it is.
    let mut counted = *keys;
    if is_within(&value, depth, &mut counted) {
        *keys = counted;
        return value;
    }
    match value {
        Value::Object(fields) if depth == 0 => {
            *cut = true;
            Value::String(arena.format(format_args!("{fields}")))
        }
        Value::Array(_) if depth == 0 => {
            *cut = true;
            Value::String(arena.format(format_args!("{value}")))
        }
        Value::Object(fields) => {
            let mut kept = Vec::new();
            for (k, v) in fields {
                if *keys >= UNMAPPED_KEYS_MAX {
                    *cut = true;
                    break;
                }
                if v.is_null() {
                    continue;
                }
                *keys += 1;
                kept.push((k, bounded(arena, *v, depth - 1, keys, cut)));
            }
            Value::Object(arena.object(&kept))
        }
        Value::Array(items) => arena.list_of(items.iter().map(|v| bounded(arena, *v, depth - 1, keys, cut))),
        scalar => scalar,
    }
}

/// Whether nothing of a value must be left out; counts its keys.
fn is_within(value: &Value<'_>, depth: usize, keys: &mut usize) -> bool {
    match value {
        Value::Object(fields) => {
            depth > 0
                && fields.values().all(|v| {
                    *keys += 1;
                    *keys <= UNMAPPED_KEYS_MAX && !v.is_null() && is_within(v, depth - 1, keys)
                })
        }
        Value::Array(items) => depth > 0 && items.iter().all(|v| is_within(v, depth - 1, keys)),
        _ => true,
    }
}
