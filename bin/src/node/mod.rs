//! The program `sta-node`: a file per command, and what they share.
//!
//! | file | is |
//! | --- | --- |
//! | `args.rs` | what can be typed |
//! | `make.rs`, `show.rs`, `verify.rs`, `seed.rs`, `download.rs`, `share.rs`, `status.rs`, `demo.rs` | a command each |
//! | `shell.rs` | the interactive node |
//! | `context.rs`, `interrupt.rs` | what every command is given |
//! | `torrents.rs`, `link.rs`, `fetch.rs` | from what was typed to torrents |
//! | `place.rs` | where content lies, opened and verified |
//! | `member.rs`, `throttle.rs`, `tracker.rs` | a running node, kept to a rate; a tracker in this process |
//! | `watch.rs`, `progress.rs`, `report.rs` | what a person sees of it |
//!
//! Decides nothing that a world could not: the node itself is `sta_core::run::node`.

mod address;
mod args;
mod context;
mod demo;
mod download;
mod fetch;
pub(crate) mod interrupt;
mod link;
mod make;
pub(crate) mod member;
mod place;
mod progress;
mod report;
mod seed;
mod share;
mod shell;
mod show;
mod status;
mod throttle;
mod torrents;
mod tracker;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use self::args::{Args, Command};
use self::context::Context;
use self::interrupt::Interrupt;
use crate::config::to_toml;
use crate::exit::{Exit, Failure};
use crate::logging;
use crate::output::Output;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::try_parse_from(args::with_seed_spellings(std::env::args_os()));
    let args = args.unwrap_or_else(|error| Output::usage("sta-node", &error));
    let output = Output::new("sta-node", args.json);
    let exit = start(&args, &output).unwrap_or_else(|failure| {
        output.failure(&failure);
        failure.exit
    });
    output.exit(exit).into()
}

fn start(args: &Args, output: &Output) -> Result<Exit, Failure> {
    let flags = [
        ("node-id", args.node_id.clone()),
        ("listen", args.listen.clone()),
        ("site", args.site.clone()),
    ];
    let settings = args.config.load(&flags)?;
    if args.config.print_config {
        logging::filter(&settings)?;
        output.line(to_toml(&settings).trim_end());
        return Ok(Exit::Done);
    }
    // Not only once a torrent is met that names no tracker.
    settings.tracker_address()?;
    logging::init(&settings, args.config.log_file.as_deref(), output)?;
    if args.command.is_none() && args.node_id.is_none() {
        if args.torrent_file.is_some() {
            return Err(Failure::start(
                "--node-id",
                "it is missing: --torrent-file is for the interactive node",
            )
            .advise("add --node-id ID, or fetch the torrent with `sta-node download FILE`"));
        }
        output.note(Args::command().render_help());
        let failure = Failure::start("the command line", "it names no command");
        output.say_failed(&failure, Some(failure.exit));
        return Ok(Exit::CouldNotStart);
    }
    // With more than one thread every message between the tasks of a node wakes another one, which costs a tenth of a transfer;
    // disks have threads of their own. See docs/PERFORMANCE.md, "What made it cheaper".
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|reason| Failure::start("the runtime", reason))?;
    let interrupt = Interrupt::listen()?;
    let mut ctx = Context { settings, output: output.clone(), interrupt };
    let exit = runtime.block_on(obey(args, &mut ctx));
    // What still runs has nothing more to say.
    runtime.shutdown_background();
    exit
}

async fn obey(args: &Args, ctx: &mut Context) -> Result<Exit, Failure> {
    match &args.command {
        None => shell::run(args.torrent_file.as_deref(), ctx).await,
        Some(Command::Maketorrent(args)) => make::run(args, ctx).await,
        Some(Command::Show(args)) => show::run(args, ctx),
        Some(Command::Verify(args)) => verify::run(args, ctx).await,
        Some(Command::Seed(args)) => seed::run(args, ctx).await,
        Some(Command::Download(args)) => download::run(args, ctx).await,
        Some(Command::Share(args)) => share::run(args, ctx).await,
        Some(Command::Status(args)) => status::run(args, ctx).await,
        Some(Command::Demo) => demo::run(ctx).await,
    }
}
