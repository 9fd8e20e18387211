//! Choices out of the bytes of an input.

/// The beginning of an input as choices, the rest as what is read. Short inputs choose zeros.
#[must_use]
pub fn choices<const N: usize>(data: &[u8]) -> ([u8; N], &[u8]) {
    match data.split_first_chunk::<N>() {
        Some((chosen, rest)) => (*chosen, rest),
        None => ([0; N], data),
    }
}

/// The input in pieces of sizes that `seed` chooses: 0 byte by byte, 255 whole.
#[must_use]
pub fn pieces(data: &[u8], seed: u8) -> Vec<&[u8]> {
    if seed == u8::MAX {
        return vec![data];
    }
    let mut state = u32::from(seed);
    let mut rest = data;
    let mut pieces = Vec::new();
    while !rest.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(u32::from(seed) * 2);
        let size = match seed {
            0 => 1,
            _ => 1 + (state >> 16) as usize % usize::from(seed),
        };
        let (piece, after) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}
