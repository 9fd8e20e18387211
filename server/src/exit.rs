//! Exit codes of the command line (DESIGN "Command line").

use std::process::ExitCode;

/// Findings were found, or a check failed.
pub const FOUND: u8 = 1;
/// The command line or a policy is wrong.
pub const USAGE: u8 = 2;
/// The configuration is wrong.
pub const CONFIGURATION: u8 = 3;
/// The server, the broker or a file cannot be reached.
pub const UNREACHABLE: u8 = 4;
/// The caller may not do this.
pub const NOT_AUTHORISED: u8 = 5;
/// What is stored is not what was written.
pub const INTEGRITY: u8 = 6;
/// Whoever asked did not wait for the answer (SIGINT).
pub const CANCELLED: u8 = 130;

/// An error that knows its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What to tell.
    pub message: String,
}

/// An error with an exit code of its own.
pub fn failure(code: u8, message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Failure {
        code,
        message: message.into(),
    })
}

/// Prints an error and its causes to standard error, and tells the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("docket: {error:#}");
    ExitCode::from(code(error))
}

/// The exit code of an error.
pub fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.code;
        }
        if let Some(ledger) = cause.downcast_ref::<ledger::Error>() {
            return if ledger.is_integrity() { INTEGRITY } else { UNREACHABLE };
        }
    }
    UNREACHABLE
}
