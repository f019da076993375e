//! The command line of `sta-sim`. What a command does is in the module of `commands` that has its name.

use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::scenario::plan::World;
use crate::scenario::text;

/// Runs scenarios on a simulated network, and explains what came of it.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 everything held; 1 something did not hold; 2 could not start; \
3 safe but not live; 4 one seed, two different runs; 130 interrupted.";

/// What `sta-sim` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs scenarios with one seed each, and says what held.
    Run(RunArgs),
    /// Runs scenarios with many seeds, and groups the failures by cause.
    Sweep(SweepArgs),
    /// Runs a capsule, which a failed run has written.
    Replay(ReplayArgs),
    /// Runs scenarios in every world, and prints the times of completion side by side.
    Calibrate(CalibrateArgs),
    /// Makes a capsule smaller that still fails in the same way.
    Shrink(ShrinkArgs),
    /// Reads scenarios without running them, and shows the mistakes in them.
    Check(CheckArgs),
    /// Without a file, every key that a scenario can have; with one, its timeline and its bound.
    Explain(ExplainArgs),
    /// Lists the scenarios of a folder.
    List(ListArgs),
    /// Compares two event logs, or two sweeps of the same seeds.
    ///
    /// Of logs it shows the first event that differs; of sweeps, which are files of what `sweep --json` printed, what was measured, seed
    /// by seed, and which seeds fail in one only.
    Diff(DiffArgs),
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Scenario files, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The seed; the first of the file's seeds unless given.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Scenario files, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The seeds; the file's own unless given.
    #[arg(long, value_name = "A..B", value_parser = text::seeds)]
    pub seeds: Option<Range<u64>>,
    /// How many runs at the same time; as many as the machine has processors unless given.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: Option<u32>,
    /// Ends at the first failure, after the runs under way.
    #[arg(long)]
    pub fail_fast: bool,
    /// Every N-th run only, the I-th of them first: shares a sweep between machines.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The capsule.
    #[arg(value_name = "CAPSULE")]
    pub capsule: PathBuf,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments of `calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// Scenario files, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The seeds; the first of the file's seeds unless given.
    #[arg(long, value_name = "A..B", value_parser = text::seeds)]
    pub seeds: Option<Range<u64>>,
    /// Prints JSON on stdout, one scenario a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `shrink`.
#[derive(Debug, Args)]
pub struct ShrinkArgs {
    /// The capsule.
    #[arg(value_name = "CAPSULE")]
    pub capsule: PathBuf,
    /// Where the smaller one goes; beside the capsule, as `capsule.small.toml`, unless given.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// How many runs it may take.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub runs: u32,
}

/// What `run`, `sweep` and `replay` have in common.
#[derive(Debug, Args)]
pub struct OutputArgs {
    /// The world; the first that the file names unless given.
    #[arg(long, value_name = "WORLD")]
    pub world: Option<WorldArg>,
    /// Prints JSON on stdout, one object a line.
    #[arg(long)]
    pub json: bool,
    /// Tells of each node and each group too, in report.json and in the lines of sweep --json.
    #[arg(long)]
    pub hosts: bool,
    /// The folder that gets a folder for each run's report.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Scenario files, or folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The scenario. Without one, the keys that a scenario can have are explained.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The seed; the first of the file's seeds unless given.
    #[arg(long, value_name = "N", requires = "file")]
    pub seed: Option<u64>,
    /// The world; the first that the file names unless given.
    #[arg(long, value_name = "WORLD", requires = "file")]
    pub world: Option<WorldArg>,
    /// Prints the JSON Schema of scenario files, for editors.
    #[arg(long, conflicts_with = "file")]
    pub json_schema: bool,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Scenario files, or folders of them.
    #[arg(value_name = "FILE", default_value = "scenarios")]
    pub files: Vec<PathBuf>,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// An event log, or the folder of its run; or the lines of `sweep --json`.
    #[arg(value_name = "A")]
    pub left: PathBuf,
    /// The other.
    #[arg(value_name = "B")]
    pub right: PathBuf,
}

/// A world, as the command line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WorldArg {
    /// The whole stack on turmoil's network.
    Turmoil,
    /// The engine alone on fluid flows.
    Flow,
    /// The whole stack on loopback TCP.
    Tcp,
}

impl From<WorldArg> for World {
    fn from(world: WorldArg) -> Self {
        match world {
            WorldArg::Turmoil => Self::Turmoil,
            WorldArg::Flow => Self::Flow,
            WorldArg::Tcp => Self::Tcp,
        }
    }
}

/// A part of a sweep: run number `n` belongs to it if `n % of == index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which part, from 0.
    pub index: u64,
    /// How many parts.
    pub of: u64,
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, of)| {
            Some((index.parse().ok()?, of.parse().ok()?)).filter(|(index, of)| index < of)
        });
        let (index, of) =
            numbers.ok_or_else(|| format!("{text:?} is not a part; write 0/4, 1/4, 2/4 or 3/4"))?;
        Ok(Self { index, of })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::{Cli, Shard};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn shards_are_parts_of_a_whole() {
        assert_eq!("1/4".parse(), Ok(Shard { index: 1, of: 4 }));
        for text in ["4/4", "1", "1/0", "a/b", ""] {
            text.parse::<Shard>().expect_err(text);
        }
    }
}
