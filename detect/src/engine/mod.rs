//! The detector: correlations, subjects, timers, absence, state, findings.
