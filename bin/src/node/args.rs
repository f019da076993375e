//! What can be typed. Knows no meaning: see the command's own file.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use sta_core::model::address::{Address, AddressError};

use crate::config::{ConfigArgs, check_piece_size, listen_address};
use crate::units::{Span, UnitError};

/// Shares files with many machines and fetches them from many at once, every byte verified.
#[derive(Debug, Parser)]
#[command(name = "sta-node", version, about, after_help = AFTER_HELP)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) config: ConfigArgs,
    /// What this node is called; without a command, starts the interactive node
    #[arg(long, value_name = "ID", global = true)]
    pub(super) node_id: Option<String>,
    /// Where this node listens for peers
    #[arg(long, value_name = "ADDR:PORT", global = true)]
    pub(super) listen: Option<String>,
    /// Where this machine stands, a rack or an office: the tracker tells it mostly of nodes of the same site
    #[arg(long, value_name = "NAME", global = true)]
    pub(super) site: Option<String>,
    /// Prints results and events as JSON, one a line (docs/EVENTS.md)
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// A torrent that the interactive node takes part in from its start
    #[arg(long, value_name = "FILE")]
    pub(super) torrent_file: Option<String>,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// Shown under `--help`.
const AFTER_HELP: &str = "\
Without a command, `sta-node --node-id ID` is an interactive node: its commands are SEEDING, DOWNLOAD, MAKETORRENT,
STATUS, PEERS, HELP and EXIT, typed or read from a pipe.

Exit codes: 0 done; 1 ran, and what was asked did not hold; 2 could not start; 130 interrupted.";

/// A command of `sta-node`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Describes a file or a folder in a .torrent file
    Maketorrent(Maketorrent),
    /// Shows what is in a .torrent file
    Show(Show),
    /// Compares data with its torrent; exits with 1 if pieces are missing or wrong
    Verify(Verify),
    /// Serves the data of torrents until it is interrupted, whole or in part
    Seed(Seed),
    /// Fetches torrents; exits with 0 once every byte is verified and under its final name
    Download(Download),
    /// Shares a file or a folder, and prints the one line to run on another machine
    Share(Share),
    /// Asks a tracker which node has how much of what
    Status(Status),
    /// Shows a swarm at work on this machine: three nodes with a part each feed a fourth
    Demo,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Maketorrent {
    /// The file or the folder
    pub(super) path: PathBuf,
    /// Where to write; otherwise PATH.torrent
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    #[command(flatten)]
    pub(super) trackers: Trackers,
    /// Bytes of a piece, a power of two from 16 KiB to 16 MiB, for example "1 MiB"
    #[arg(long, value_name = "SIZE", value_parser = piece_size)]
    pub(super) piece_size: Option<u32>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Show {
    /// The .torrent file
    pub(super) torrent: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Verify {
    /// The .torrent file
    pub(super) torrent: PathBuf,
    /// The folder where the data is; otherwise that of the torrent
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Seed {
    /// The .torrent files
    #[arg(required = true, value_name = "FILE.torrent")]
    pub(super) torrents: Vec<PathBuf>,
    /// The folder where the data is; otherwise that of each torrent
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    #[command(flatten)]
    pub(super) contacts: Contacts,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Download {
    /// .torrent files, or what `share` printed: sta://HOST:PORT/INFOHASH/BLAKE3
    #[arg(required = true, value_name = "FILE.torrent|sta://...")]
    pub(super) torrents: Vec<OsString>,
    /// The folder to download into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub(super) output: PathBuf,
    /// Serves for so long after everything is here, for example "10m"
    #[arg(long, value_name = "DURATION", conflicts_with = "keep_seeding")]
    pub(super) seed_for: Option<Span>,
    /// Serves until it is interrupted after everything is here
    #[arg(long)]
    pub(super) keep_seeding: bool,
    /// Gives up a torrent, with exit code 1, of which nothing has come for so long, for example "10m"
    #[arg(long, value_name = "DURATION")]
    pub(super) give_up_after: Option<Span>,
    #[command(flatten)]
    pub(super) contacts: Contacts,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Share {
    /// The file or the folder
    pub(super) path: PathBuf,
    /// Where the tracker inside listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:0", value_parser = listen_address)]
    pub(super) tracker_listen: SocketAddr,
    /// What other machines call this one; otherwise its address
    #[arg(long, value_name = "HOST")]
    pub(super) address: Option<String>,
    /// Bytes of a piece, a power of two from 16 KiB to 16 MiB, for example "1 MiB"
    #[arg(long, value_name = "SIZE", value_parser = piece_size)]
    pub(super) piece_size: Option<u32>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Status {
    /// The tracker; otherwise that of the configuration
    #[arg(long, value_name = "sta://HOST:PORT", value_parser = tracker)]
    pub(super) tracker: Option<Address>,
    /// Only this torrent
    #[arg(value_name = "FILE.torrent")]
    pub(super) torrent: Option<PathBuf>,
}

/// Trackers besides those in the torrent.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(super) struct Trackers {
    /// A tracker; may be given several times
    #[arg(long = "tracker", value_name = "sta://HOST:PORT", value_parser = tracker)]
    pub(super) list: Vec<Address>,
}

/// Whom to ask for data, besides the trackers in the torrent.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(super) struct Contacts {
    #[command(flatten)]
    pub(super) trackers: Trackers,
    /// A peer to connect to; may be given several times
    #[arg(long = "peer", value_name = "HOST:PORT")]
    pub(super) peers: Vec<Address>,
}

fn tracker(text: &str) -> Result<Address, AddressError> {
    Address::from_tracker_url(text)
}

fn piece_size(text: &str) -> Result<u32, String> {
    let size = text.parse().map_err(|error: UnitError| error.to_string())?;
    check_piece_size(size).map_err(|range| format!("out of range: it takes {range}"))
}

/// The arguments with the seed document's spellings (`-node_id`, `-torrent_file`) turned into ours.
pub(super) fn with_seed_spellings(
    args: impl Iterator<Item = OsString>,
) -> impl Iterator<Item = OsString> {
    args.map(|arg| {
        let text = arg.to_str().unwrap_or_default();
        let (name, value) = text.split_once('=').map_or((text, None), |(n, v)| (n, Some(v)));
        let ours = match name {
            "-node_id" | "--node_id" => "--node-id",
            "-torrent_file" | "--torrent_file" => "--torrent-file",
            _ => return arg,
        };
        match value {
            None => OsStr::new(ours).to_owned(),
            Some(value) => OsString::from(format!("{ours}={value}")),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use clap::{CommandFactory as _, Parser as _};

    use super::{Args, Command, with_seed_spellings};

    fn parse(line: &str) -> Args {
        let words = line.split_whitespace().map(OsString::from);
        Args::try_parse_from(with_seed_spellings(words)).expect(line)
    }

    #[test]
    fn the_definition_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_seed_document_is_understood() {
        for line in [
            "sta-node -node_id n1 -torrent_file a.torrent",
            "sta-node -node_id=n1 --torrent_file=a.torrent",
            "sta-node --node-id n1 --torrent-file a.torrent",
        ] {
            let args = parse(line);
            assert_eq!(args.node_id.as_deref(), Some("n1"), "{line}");
            assert_eq!(args.torrent_file.as_deref(), Some("a.torrent"), "{line}");
            assert!(args.command.is_none(), "{line}");
        }
    }

    #[test]
    fn common_flags_go_before_and_after_the_command() {
        for line in ["sta-node --node-id n1 --json demo", "sta-node demo --json --node-id n1"] {
            let args = parse(line);
            assert!(args.json && matches!(args.command, Some(Command::Demo)), "{line}");
            assert_eq!(args.node_id.as_deref(), Some("n1"), "{line}");
        }
    }
}
