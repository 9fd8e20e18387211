//! The dotted paths at which events hold values, as small numbers.
//!
//! Only what the code of a format names is numbered, never what a source calls its fields: so they are some hundreds.

use std::sync::atomic::{AtomicU64, Ordering};

/// A dotted path, numbered by the [`Arena`](crate::Arena) that events live in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId(pub(crate) u16);

/// Paths that are numbered at most; a format that makes up more loses them.
pub(crate) const PATHS_MAX: usize = 8192;
/// Parts of a path above its last one that are told apart.
const ANCESTORS_MAX: usize = 6;

macro_rules! known {
    ($($name:ident = $path:literal),* $(,)?) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        #[repr(u16)]
        enum Known { $($name),* }
        /// The paths that every event has or that are asked for by number.
        #[allow(missing_docs)]
        pub mod known {
            use super::{Known, PathId};
            $(pub const $name: PathId = PathId(Known::$name as u16);)*
        }
        const KNOWN: &[&str] = &[$($path),*];
    };
}

known! {
    CLASS_UID = "class_uid",
    CLASS_NAME = "class_name",
    CATEGORY_UID = "category_uid",
    ACTIVITY_ID = "activity_id",
    ACTIVITY_NAME = "activity_name",
    TYPE_UID = "type_uid",
    TYPE_NAME = "type_name",
    TIME = "time",
    SEVERITY_ID = "severity_id",
    SEVERITY = "severity",
    STATUS_ID = "status_id",
    STATUS = "status",
    RAW_DATA = "raw_data",
    ACTION_ID = "action_id",
    DISPOSITION_ID = "disposition_id",
    ACTION = "action",
    DISPOSITION = "disposition",
    ACTOR = "actor",
    DEVICE = "device",
    CLOUD = "cloud",
    DATA_CLASSIFICATIONS = "data_classifications",
    TIMEZONE_OFFSET = "timezone_offset",
    UNMAPPED = "unmapped",
    METADATA = "metadata",
    METADATA_VERSION = "metadata.version",
    METADATA_PRODUCT = "metadata.product",
    METADATA_PRODUCT_VENDOR = "metadata.product.vendor_name",
    METADATA_PRODUCT_NAME = "metadata.product.name",
    METADATA_LOG_FORMAT = "metadata.log_format",
    METADATA_ORIGINAL_TIME = "metadata.original_time",
    METADATA_ORIGINAL_EVENT_UID = "metadata.original_event_uid",
    METADATA_PROFILES = "metadata.profiles",
    METADATA_UID = "metadata.uid",
    METADATA_LOGGED_TIME = "metadata.logged_time",
    METADATA_LOG_NAME = "metadata.log_name",
    METADATA_IS_TRUNCATED = "metadata.is_truncated",
    METADATA_UNTRUNCATED_SIZE = "metadata.untruncated_size",
    METADATA_LABELS = "metadata.labels",
}

impl PathId {
    /// Its number, from 0.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

#[derive(Debug)]
struct Path {
    text: Box<str>,
    place: Place,
    ancestors: [PathId; ANCESTORS_MAX],
    depth: u8,
}

/// Numbers and their paths.
#[derive(Debug)]
pub(crate) struct Paths {
    /// Tells these numbers from another arena's.
    pub instance: u64,
    paths: Vec<Path>,
    /// Open addressing by hash; several hashes may lead to one path, because a path may be given in two parts.
    table: Vec<(u64, PathId)>,
    used: usize,
    /// Where the code's own literals were found before, by their addresses.
    literals: Box<[Literal; LITERALS]>,
}

/// A path as the code writes it, in one part or in two; the second is empty then. A literal's address and length are
/// the same for as long as the program runs, so that its letters need not be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(64))]
struct Literal {
    object: (usize, usize),
    field: (usize, usize),
    place: Place,
}

/// A path's number and those of the objects around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub id: PathId,
    /// From the outermost; those that it has not are [`NONE`].
    pub around: [PathId; AROUND],
    /// There are no more objects around it, and all the numbers are small.
    pub small: bool,
}

/// Objects around a path that its place holds.
pub(crate) const AROUND: usize = 4;
/// Numbers below it are small; one less than a power of two.
pub(crate) const SMALL: u16 = 511;
/// Stands for no path.
pub(crate) const NONE: PathId = PathId(SMALL);

/// Literals that are kept; a power of two.
const LITERALS: usize = 1024;

#[inline(always)]
fn address(text: &'static str) -> (usize, usize) {
    (text.as_ptr() as usize, text.len())
}

#[inline(always)]
fn literal_place(object: (usize, usize), field: (usize, usize)) -> usize {
    let both = (object.0 as u64) ^ (field.0 as u64).rotate_left(17) ^ (object.1 as u64) << 48;
    (both.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - LITERALS.trailing_zeros())) as usize
}

const FREE: u64 = 0;
const NO_LITERAL: Literal = Literal {
    object: (0, 0),
    field: (0, 0),
    place: Place {
        id: PathId(0),
        around: [NONE; AROUND],
        small: false,
    },
};
static INSTANCES: AtomicU64 = AtomicU64::new(0);

impl Paths {
    pub fn new() -> Paths {
        let mut paths = Paths {
            instance: INSTANCES.fetch_add(1, Ordering::Relaxed),
            paths: Vec::with_capacity(512),
            table: vec![(FREE, PathId(0)); 2048],
            used: 0,
            literals: Box::new([NO_LITERAL; LITERALS]),
        };
        for (n, path) in KNOWN.iter().enumerate() {
            let id = paths.id(path);
            debug_assert_eq!(id.map(PathId::index), Some(n), "{path} stands after what is below it");
        }
        paths
    }

    pub fn len(&self) -> usize {
        self.paths.len()
    }

    pub fn text(&self, id: PathId) -> &str {
        &self.paths[id.index()].text
    }

    /// The paths of the objects around it, from the outermost.
    #[inline]
    pub fn ancestors(&self, id: PathId) -> &[PathId] {
        let path = &self.paths[id.index()];
        &path.ancestors[..usize::from(path.depth)]
    }

    /// The number of a path; `None` where there are too many.
    #[inline]
    pub fn id(&mut self, path: &str) -> Option<PathId> {
        let hash = hash(SEED, path);
        match self.find(hash, |there| there == path) {
            Some(id) => Some(id),
            None => self.add(hash, path),
        }
    }

    /// The number of the path `object`, a dot, `field`.
    #[inline]
    pub fn id_in(&mut self, object: &str, field: &str) -> Option<PathId> {
        let hash = hash(hash(SEED, object) ^ SEED, field);
        let is_it = |there: &str| {
            there.len() == object.len() + 1 + field.len()
                && there.as_bytes()[object.len()] == b'.'
                && there.starts_with(object)
                && there.ends_with(field)
        };
        match self.find(hash, is_it) {
            Some(id) => Some(id),
            None => self.add(hash, &format!("{object}.{field}")),
        }
    }

    /// The place of a path that the code writes: `object`, or `object`, a dot, `field`, where that is not empty.
    #[inline]
    pub fn literal(&mut self, object: &'static str, field: &'static str) -> Option<Place> {
        let (at, below) = (address(object), address(field));
        let there = &self.literals[literal_place(at, below)];
        if there.object == at && there.field == below {
            return Some(there.place);
        }
        self.new_literal(object, field)
    }

    #[inline(never)]
    fn new_literal(&mut self, object: &'static str, field: &'static str) -> Option<Place> {
        let id = if field.is_empty() {
            self.id(object)?
        } else {
            self.id_in(object, field)?
        };
        let (at, below) = (address(object), address(field));
        let place = self.place(id);
        self.literals[literal_place(at, below)] = Literal {
            object: at,
            field: below,
            place,
        };
        Some(place)
    }

    /// The place of a path.
    #[inline]
    pub fn place(&self, id: PathId) -> Place {
        self.paths[id.index()].place
    }

    /// The number of a path, where it has one.
    pub fn known(&self, path: &str) -> Option<PathId> {
        self.find(hash(SEED, path), |there| there == path)
    }

    #[inline]
    fn find(&self, hash: u64, is_it: impl Fn(&str) -> bool) -> Option<PathId> {
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (there, id) = self.table[at];
            if there == hash && is_it(&self.paths[id.index()].text) {
                return Some(id);
            }
            if there == FREE {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    #[cold]
    fn add(&mut self, hash: u64, path: &str) -> Option<PathId> {
        let whole = self::hash(SEED, path);
        let there = self.find(whole, |there| there == path);
        let id = match there {
            Some(id) => id,
            None => {
                let mut ancestors = [PathId(0); ANCESTORS_MAX];
                let mut depth = 0;
                for (dot, _) in path.match_indices('.').take(ANCESTORS_MAX) {
                    ancestors[depth] = self.id(&path[..dot])?;
                    depth += 1;
                }
                if self.paths.len() >= PATHS_MAX {
                    return None;
                }
                let id = PathId(u16::try_from(self.paths.len()).ok()?);
                let mut place = Place {
                    id,
                    around: [NONE; AROUND],
                    small: depth <= AROUND && id < NONE && ancestors.iter().all(|a| *a < NONE),
                };
                if place.small {
                    place.around[..depth].copy_from_slice(&ancestors[..depth]);
                }
                self.paths.push(Path {
                    text: path.into(),
                    place,
                    ancestors,
                    depth: depth as u8,
                });
                self.put(whole, id);
                id
            }
        };
        if hash != whole {
            self.put(hash, id);
        }
        Some(id)
    }

    fn put(&mut self, hash: u64, id: PathId) {
        if (self.used + 1) * 2 > self.table.len() {
            let doubled = vec![(FREE, PathId(0)); self.table.len() * 2];
            let old = std::mem::replace(&mut self.table, doubled);
            self.used = 0;
            for (hash, id) in old.into_iter().filter(|(h, _)| *h != FREE) {
                self.put(hash, id);
            }
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        while self.table[at].0 != FREE {
            at = (at + 1) & mask;
        }
        self.table[at] = (hash, id);
        self.used += 1;
    }
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Of a literal, the compiler computes it.
#[inline(always)]
fn hash(seed: u64, text: &str) -> u64 {
    let mut hash = seed ^ (text.len() as u64);
    let mut rest = text.as_bytes();
    while let Some((eight, after)) = rest.split_first_chunk::<8>() {
        hash = mix(hash ^ u64::from_le_bytes(*eight));
        rest = after;
    }
    if let Some((four, after)) = rest.split_first_chunk::<4>() {
        hash = mix(hash ^ u64::from(u32::from_le_bytes(*four)));
        rest = after;
    }
    let mut last = 0;
    for byte in rest {
        last = last << 8 | u64::from(*byte);
    }
    mix(hash ^ last << 32) | 1
}

#[inline(always)]
fn mix(word: u64) -> u64 {
    let product = word.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    product ^ (product >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_number_however_it_is_given() {
        let mut paths = Paths::new();
        let user = paths.id("actor.user.name").unwrap();
        assert_eq!(paths.id_in("actor.user", "name"), Some(user));
        assert_eq!(paths.id_in("actor", "user.name"), Some(user));
        assert_eq!(paths.id_in("actor", "user.name"), Some(user));
        for _ in 0..2 {
            let mut literal = |object, field| paths.literal(object, field).map(|place| place.id);
            assert_eq!(literal("actor.user", "name"), Some(user));
            assert_eq!(literal("actor.user.name", ""), Some(user));
            assert_ne!(literal("actor.user", ""), Some(user));
            assert_ne!(literal("actor.user", "names"), Some(user));
        }
        assert_eq!(paths.text(user), "actor.user.name");
        let above: Vec<_> = paths
            .ancestors(user)
            .iter()
            .map(|a| paths.text(*a).to_owned())
            .collect();
        assert_eq!(above, ["actor", "actor.user"]);
        assert_eq!(paths.known("actor.users"), None);
    }

    #[test]
    fn numbers_are_bounded() {
        let mut paths = Paths::new();
        for n in 0..2 * PATHS_MAX {
            let id = paths.id(&format!("p{n}"));
            assert_eq!(id.is_some(), n + KNOWN.len() < PATHS_MAX, "{n}");
        }
        assert_eq!(paths.id("p0"), paths.known("p0"));
        assert_eq!(paths.len(), PATHS_MAX);
    }
}
