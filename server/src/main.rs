//! The binary `docket`.

mod accounts;
mod api;
mod app;
mod auth;
mod cli;
mod clock;
mod config;
mod demo;
mod exit;
mod files;
mod gateway;
mod kafka;
mod listen;
mod offline;
mod pipeline;
mod policies;
mod policy_test;
mod reading;
mod reference;
mod serve;
mod spine;

use std::process::ExitCode;

/// An event is a hundred small blocks, made on one thread and let go on another: glibc's allocator spends a quarter
/// of the line's processor time on it, and more the longer it runs (benches/record/2026-11-22-line.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
