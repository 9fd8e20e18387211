//! Reference tables, row conditions, lookups.
