//! `sta-sim`: runs scenarios, checks them, and explains what came of it.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use sta_sim::cli::{Cli, Command};
use sta_sim::commands::{calibrate, check, diff, explain, list, replay, run, shrink, sweep};

/// A large swarm is some hundred megabytes in small pieces, met in no order: this allocator keeps them closer together.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Run(args) => run::main(&args),
        Command::Sweep(args) => sweep::main(&args),
        Command::Replay(args) => replay::main(&args),
        Command::Calibrate(args) => calibrate::main(&args),
        Command::Shrink(args) => shrink::main(&args),
        Command::Check(args) => check::main(&args),
        Command::Explain(args) => explain::main(&args),
        Command::List(args) => list::main(&args),
        Command::Diff(args) => diff::main(&args),
    };
    exit.into()
}
