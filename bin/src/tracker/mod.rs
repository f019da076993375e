//! The program `sta-tracker`: the tracker of `sta-core` over TCP, with its leases in a database.
//!
//! * `state.rs`: the database;
//! * `listening.rs`: a port that is taken before the database is made.

mod listening;
mod state;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use sta_core::io::clock::RuntimeClock;
use sta_core::io::lease_store::{LeaseStore, LeaseStoreError};
use sta_core::model::config::TrackerConfig;
use sta_core::model::ids::NodeId;
use sta_core::run::tracker::{TrackerEnv, TrackerError, TrackerHandle};

pub use state::LeaseDatabase;

use self::listening::Listening;

use crate::config::{self, ConfigArgs, Settings};
use crate::descriptors;
use crate::exit::{Exit, Failure};
use crate::logging;
use crate::node::interrupt::Interrupt;
use crate::node::member::draw_seed;
use crate::output::Output;

/// The name that the tracker has in its events.
const TRACKER_ID: &str = "tracker";

/// What to do about a database that is of no use.
const STATE_ADVICE: &str = "name another folder with --state, or keep nothing with --no-state";

/// Knows which node has which pieces of which torrent, and tells nodes of each other.
#[derive(Debug, clap::Parser)]
#[command(name = "sta-tracker", version, about, after_help = AFTER_HELP)]
struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where it listens; [::]:6081 (every IPv6 and IPv4 address) unless configured otherwise. Port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", value_parser = config::listen_address)]
    listen: Option<SocketAddr>,
    /// The folder of its database, by which it knows its nodes after a restart
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Keeps nothing: after a restart it knows only who comes back
    #[arg(long, conflicts_with = "state")]
    no_state: bool,
    /// Prints events as JSON, one a line (docs/EVENTS.md)
    #[arg(long)]
    json: bool,
}

/// Shown under `--help`.
const AFTER_HELP: &str = "\
Runs until SIGTERM, SIGHUP or Ctrl-C, and then leaves in order.

Exit codes: 0 told to stop; 2 could not start: arguments, configuration, a port in use, a database that cannot be read.";

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| Output::usage("sta-tracker", &error));
    let output = Output::new("sta-tracker", args.json);
    match run(args, &output) {
        Ok(()) => output.exit(Exit::Done).into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(args: Args, output: &Output) -> Result<(), Failure> {
    let state = args.state.map(|dir| dir.into_os_string().into_string()).transpose();
    let state = state.map_err(|dir| {
        Failure::start(format_args!("--state {}", dir.display()), "its name is not UTF-8")
            .advise("choose another folder")
    })?;
    let flags = [
        ("tracker.listen", args.listen.map(|at| at.ip().to_string())),
        ("tracker.port", args.listen.map(|at| at.port().to_string())),
        ("directories.tracker-db", state),
    ];
    let settings = args.config.load(&flags)?;
    if args.config.print_config {
        logging::filter(&settings)?;
        output.line(config::to_toml(&settings).trim_end());
        return Ok(());
    }
    logging::init(&settings, args.config.log_file.as_deref(), output)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::start("the runtime", error))?;
    let interrupt = Interrupt::listen()?;
    runtime.block_on(serve(&settings, args.no_state, interrupt, output))
}

async fn serve(
    settings: &Settings,
    no_state: bool,
    mut interrupt: Interrupt,
    output: &Output,
) -> Result<(), Failure> {
    let listen = SocketAddr::new(settings.tracker.listen, settings.tracker.port);
    let state = (!no_state).then_some(&*settings.directories.tracker_db);
    let tracker = start(listen, settings.tracker.lease.0, state, "--listen", output).await?;
    if !output.json() {
        output.result(format_args!("the tracker listens at {}", tracker.local_addr()));
    }
    tokio::select! {
        biased;
        _ = interrupt.asked() => tracker.stop().await,
        () = tracker.stopped() => return Err(Failure::unmet("the tracker", "it has failed")),
    }
    Ok(())
}

/// Starts a tracker on TCP: this program's, or one inside another program. `option` is what says where it listens; its database, if it
/// has one, is in the folder `state`.
///
/// # Errors
/// If it cannot listen at `listen`, or the database cannot be made or read; who cannot listen makes none.
pub(crate) async fn start(
    listen: SocketAddr,
    lease: Duration,
    state: Option<&Path>,
    option: &str,
    output: &Output,
) -> Result<TrackerHandle, Failure> {
    let cannot_listen = |source| {
        Failure::start(format_args!("the tracker cannot listen at {listen}"), source)
            .advise(format!("choose another address with {option}, or port 0 for a free one"))
    };
    let transport = Listening::open(listen).await.map_err(cannot_listen)?;
    let store = state.map(open).transpose()?;
    let id: NodeId = TRACKER_ID.parse().expect("letters are a node id");
    let clock = RuntimeClock::start();
    output.speak_for(id.clone(), clock);
    let env = TrackerEnv {
        transport: Arc::new(transport),
        clock: Arc::new(clock),
        observer: output.events(),
        seed: draw_seed()?,
        store,
    };
    let config = TrackerConfig { id, listen, lease };
    let connections = descriptors::tracker_connections();
    sta_core::run::tracker::start_for(connections, env, config).await.map_err(|error| match error {
        TrackerError::Listen { source, .. } => cannot_listen(source),
        TrackerError::Store(error) => useless(error),
    })
}

fn open(state: &Path) -> Result<Arc<dyn LeaseStore>, Failure> {
    Ok(Arc::new(LeaseDatabase::open(state).map_err(useless)?))
}

fn useless(error: LeaseStoreError) -> Failure {
    Failure::start(error.path, error.reason).advise(STATE_ADVICE)
}
