//! Numbers as rules and events write them, compared exactly.

use std::cmp::Ordering;
use std::fmt;

/// A number: an integer of any size that fits 128 bits, or a float. An integer is never rounded to compare it.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// An integer.
    Int(i128),
    /// Everything else; never NaN, never infinite.
    Float(f64),
}

impl Number {
    /// Reads a decimal number (`-17`, `4.5`, `1e3`) as JSON writes it; surrounding blanks are allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Number> {
        let text = text.trim();
        // Most text is no number: look at the first byte before trying.
        let first = text.bytes().find(|b| !matches!(b, b'-' | b'+'))?;
        if !(first.is_ascii_digit() || first == b'.') {
            return None;
        }
        if let Ok(int) = text.parse::<i128>() {
            return Some(Number::Int(int));
        }
        let float = text.parse::<f64>().ok().filter(|f| f.is_finite())?;
        Some(Number::from_f64(float))
    }

    /// A finite float; whole ones that `i128` holds become integers, so that `2.0` equals `2`.
    fn from_f64(float: f64) -> Number {
        if float.fract() == 0.0 && float.abs() < TWO_127 {
            Number::Int(float as i128)
        } else {
            Number::Float(float)
        }
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(f) => f,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Number) -> Ordering {
        match (self, other) {
            (Number::Int(a), Number::Int(b)) => a.cmp(b),
            (Number::Float(a), Number::Float(b)) => a.total_cmp(b),
            (Number::Int(a), Number::Float(b)) => int_float(*a, *b),
            (Number::Float(a), Number::Int(b)) => int_float(*b, *a).reverse(),
        }
    }
}

/// 2^127: every whole float below it is an `i128` exactly.
const TWO_127: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

/// Compares without rounding: a [`Number::Float`] is either not whole, or larger than any `i128` here.
fn int_float(int: i128, float: f64) -> Ordering {
    if float >= TWO_127 {
        return Ordering::Less;
    }
    if float < -TWO_127 {
        return Ordering::Greater;
    }
    // A float with a fraction is below 2^53, so its floor converts exactly; a whole one has no fraction.
    let floor = float.floor();
    int.cmp(&(floor as i128))
        .then(if float > floor { Ordering::Less } else { Ordering::Equal })
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Number) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Number) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

impl std::hash::Hash for Number {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Number::Int(i) => i.hash(state),
            Number::Float(f) => f.to_bits().hash(state),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Int(i) => i.fmt(f),
            Number::Float(x) => x.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_where_floats_are_not() {
        let n = |s: &str| Number::parse(s).unwrap();
        assert_ne!(n("9007199254740993"), n("9007199254740992"));
        assert!(n("9007199254740993") > n("9007199254740992"));
        assert_eq!(n("2.0"), n("2"));
        assert!(n("2.5") > n("2") && n("2.5") < n("3"));
        assert!(n("-2.5") < n("-2") && n("-2.5") > n("-3"));
        assert!(n("1e300") > n("170141183460469231731687303715884105727"));
        assert_eq!(n("1e3"), n("1000"));
        for wrong in ["", "x", "inf", "nan", "1x", "-", "0x10", "1e999"] {
            assert!(Number::parse(wrong).is_none(), "{wrong}");
        }
    }
}
