//! The binary `docket`.

mod accounts;
mod api;
mod app;
mod auth;
mod behind;
mod cli;
mod clock;
mod config;
mod demo;
mod exit;
mod files;
mod gateway;
mod integrity;
mod kafka;
mod listen;
mod mapping;
mod masking;
mod offline;
mod pipeline;
mod policies;
mod policy_changes;
mod policy_mutate;
mod policy_test;
mod reading;
mod reference;
mod serve;
mod spill;
mod spine;
mod staleness;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
