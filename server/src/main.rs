//! The binary `docket`.

mod accounts;
mod api;
mod app;
mod asking;
mod auth;
mod behind;
mod cli;
mod clock;
mod config;
mod demo;
mod exit;
mod export;
mod failing;
mod files;
mod gateway;
mod integrity;
mod kafka;
mod kept;
mod listen;
mod mapping;
mod masking;
mod offline;
#[cfg(test)]
mod oracle;
mod people;
mod pipeline;
mod policies;
mod policy_changes;
mod policy_mutate;
mod policy_test;
mod pseudonyms;
mod questions;
mod quiet;
mod reading;
mod reference;
mod registers;
mod retention;
mod serve;
mod spill;
mod spine;
mod staleness;
mod timeline;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
