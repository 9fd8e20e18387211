//! A range of time, as commands take it.

/// From when until when
#[derive(clap::Args, Clone, Debug)]
pub struct Range {
    /// From this time on: 2026-03-01, RFC 3339, or an age such as 15m, 24h, 7d
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
}
