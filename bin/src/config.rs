//! What can be set, and where it is set: defaults, then a TOML file, the environment, the command line; later win.
//!
//! [`Settings`] is the one list of keys. Their names in the file, in the environment (`STA_` and the path in capitals) and
//! for `--set`, the comments of `--print-config` and the nearest known key of an error all come from it.

mod layers;
mod print;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use sta_core::model::address::Address;
use sta_core::model::config::{EngineConfig, OutOfRange};
use sta_core::model::ids::{NodeId, Site};
use sta_core::model::limits::{
    LEASE_DEFAULT, LEASE_MAX, LEASE_MIN, PIECE_BYTES_MAX, PIECE_BYTES_MIN,
};

pub use layers::Override;

use crate::exit::Failure;
use crate::units::{Choice, Rate, Size, Span};

/// The port of a tracker when nobody chose one: the seed document's.
pub const TRACKER_PORT: u16 = 6081;

/// A tracker that is there answers in less.
const PATIENCE_MIN: Duration = Duration::from_millis(100);
/// Who wants to wait for longer starts the node again.
const PATIENCE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Every setting of `sta-node` and `sta-tracker`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// What a node is called: letters, digits, '.', '_' and '-'. "auto" draws a new name at every start.
    #[schemars(with = "String")]
    pub node_id: Choice<NodeId>,
    /// Where a node listens for peers. Port 0 takes a free one; `[::]` is every IPv6 and IPv4 address.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "read_listen")]
    pub listen: SocketAddr,
    /// Where this machine stands: a rack, an office, a data centre; letters, digits, '.', '_' and '-'. A tracker tells a node mostly of
    /// nodes of the same site, so that little crosses the link that they share. Empty: nowhere in particular.
    #[schemars(with = "String")]
    pub site: Site,
    /// Piece size of the torrents made here, a power of two. "auto" aims at 2048 pieces, of 64 KiB to 16 MiB.
    #[schemars(with = "String")]
    pub piece_size: Choice<Size>,
    /// How much is asked of a peer at a time (a block), 16 KiB to 1 MiB. "auto" follows the rate of the link.
    #[schemars(with = "String")]
    pub buffer_size: Choice<Size>,
    /// Bytes of content sent per second at most, for example "10 MiB/s", or "unlimited". What else is said is not counted.
    #[schemars(with = "String")]
    pub upload_limit: Rate,
    /// Bytes received per second at most, for example "10 MiB/s", or "unlimited".
    #[schemars(with = "String")]
    pub download_limit: Rate,
    /// What is logged: error, warn, info, debug, trace, or a list such as "info,sta_core=debug".
    pub log_level: String,
    /// The tracker: where nodes find it, and where `sta-tracker` listens.
    pub tracker: TrackerSettings,
    /// Where things are kept; relative to the working directory.
    pub directories: Directories,
    /// How the engine behaves.
    pub engine: EngineSettings,
}

/// The tracker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrackerSettings {
    /// Name or number of the machine where the tracker runs; asked about torrents that name no tracker.
    pub address: String,
    /// The port where the tracker listens. `sta-tracker` alone may be given 0, and takes a free one.
    pub port: u16,
    /// The address where `sta-tracker` listens, with the port above; "::" is every IPv6 and IPv4 address.
    #[schemars(with = "String")]
    #[serde(deserialize_with = "read_ip")]
    pub listen: IpAddr,
    /// A node that is silent for longer is forgotten by `sta-tracker`; 3s to 1day.
    #[schemars(with = "String")]
    pub lease: Span,
    /// How long a node that starts waits for the first word of a tracker or a peer before it says that there is none, and ends; 100ms to 1day.
    #[schemars(with = "String")]
    pub patience: Span,
}

/// Where things are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Directories {
    /// Log files (`--log-file NAME`).
    pub logs: PathBuf,
    /// The local repository of the interactive node: shared files and their torrents.
    pub files: PathBuf,
    /// The database of `sta-tracker`.
    pub tracker_db: PathBuf,
}

/// How the engine behaves: `sta_core::model::config::EngineConfig` with units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct EngineSettings {
    /// Peers a node asks the tracker for: the degree of the graph; 1 to 64.
    pub peers_wanted: u32,
    /// Peers served at the same time; the others wait their turn. 1 to 64.
    pub upload_slots: u32,
    /// How often the slots are handed out anew; 500ms to 1h.
    #[schemars(with = "String")]
    pub choke_interval: Span,
    /// A block asked for and not here for so long is asked of somebody else; 500ms to 1h.
    #[schemars(with = "String")]
    pub request_timeout: Span,
    /// A session without a message for so long has ended; 3s to 1day.
    #[schemars(with = "String")]
    pub peer_timeout: Span,
    /// A tracker's connection without a message for so long has broken; 3s to 1day.
    #[schemars(with = "String")]
    pub tracker_timeout: Span,
    /// How long piece changes are gathered before they are sent to the tracker; 0s to 1min.
    #[schemars(with = "String")]
    pub tracker_batch: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_id: Choice::Auto,
            listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
            site: Site::default(),
            piece_size: Choice::Auto,
            buffer_size: Choice::Auto,
            upload_limit: Rate(None),
            download_limit: Rate(None),
            log_level: "warn".to_owned(),
            tracker: TrackerSettings::default(),
            directories: Directories::default(),
            engine: EngineSettings::default(),
        }
    }
}

impl Default for TrackerSettings {
    fn default() -> Self {
        Self {
            address: "127.0.0.1".to_owned(),
            port: TRACKER_PORT,
            listen: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            lease: Span(LEASE_DEFAULT),
            patience: Span(Duration::from_secs(10)),
        }
    }
}

impl Default for Directories {
    fn default() -> Self {
        Self { logs: "logs".into(), files: "files".into(), tracker_db: "tracker_db".into() }
    }
}

impl Default for EngineSettings {
    fn default() -> Self {
        let EngineConfig {
            peers_wanted,
            upload_slots,
            choke_interval,
            request_timeout,
            peer_timeout,
            tracker_timeout,
            tracker_batch,
            block_bytes: _, // `buffer-size`
            site: _,        // the same above
        } = EngineConfig::default();
        Self {
            peers_wanted,
            upload_slots,
            choke_interval: Span(choke_interval),
            request_timeout: Span(request_timeout),
            peer_timeout: Span(peer_timeout),
            tracker_timeout: Span(tracker_timeout),
            tracker_batch: Span(tracker_batch),
        }
    }
}

impl Settings {
    /// The engine's knobs.
    #[must_use]
    pub fn engine(&self) -> EngineConfig {
        let engine = &self.engine;
        EngineConfig {
            peers_wanted: engine.peers_wanted,
            upload_slots: engine.upload_slots,
            choke_interval: engine.choke_interval.0,
            request_timeout: engine.request_timeout.0,
            peer_timeout: engine.peer_timeout.0,
            tracker_timeout: engine.tracker_timeout.0,
            tracker_batch: engine.tracker_batch.0,
            // No block is larger than what the type holds; `check` says so.
            block_bytes: match self.buffer_size {
                Choice::Auto => 0,
                Choice::Set(Size(bytes)) => u32::try_from(bytes).unwrap_or(u32::MAX),
            },
            site: self.site.clone(),
        }
    }

    /// Bytes of a piece, if the person has chosen.
    #[must_use]
    pub fn piece_bytes(&self) -> Option<u32> {
        self.piece_size.chosen().and_then(|size| check_piece_size(size).ok())
    }

    /// Whether every value is in its range; else the key, and the range.
    fn check(&self) -> Result<(), (String, String)> {
        let out_of = |key: &str, range: String| Err((key.to_owned(), range));
        if let Choice::Set(size) = self.piece_size
            && let Err(range) = check_piece_size(size)
        {
            return out_of("piece-size", format!("{range}, or auto"));
        }
        if self.buffer_size == Choice::Set(Size(0)) {
            return out_of("buffer-size", "16 KiB to 1 MiB, or auto".to_owned());
        }
        if let Err(OutOfRange { knob, range }) = self.engine().check() {
            return match knob {
                "block-bytes" => out_of("buffer-size", format!("{range}, or auto")),
                _ => out_of(&format!("engine.{knob}"), range.to_owned()),
            };
        }
        let spans = [
            ("tracker.lease", self.tracker.lease, LEASE_MIN..=LEASE_MAX),
            ("tracker.patience", self.tracker.patience, PATIENCE_MIN..=PATIENCE_MAX),
        ];
        match spans.into_iter().find(|(_, span, range)| !range.contains(&span.0)) {
            Some((key, _, range)) => {
                out_of(key, format!("{} to {}", Span(*range.start()), Span(*range.end())))
            }
            None => Ok(()),
        }
    }

    /// Where nodes find the tracker of the configuration.
    ///
    /// # Errors
    /// If `tracker.address` is neither a name nor a number, or `tracker.port` is 0.
    pub fn tracker_address(&self) -> Result<Address, Failure> {
        let TrackerSettings { address, port, .. } = &self.tracker;
        if *port == 0 {
            return Err(Failure::start("tracker.port", "a node finds no tracker at port 0")
                .advise("write the port where the tracker listens; 0 is for sta-tracker alone"));
        }
        machine(address, *port).ok_or_else(|| {
            let reason = format!("{address:?} is not the name or the number of a machine");
            Failure::start("tracker.address", reason).advise(
                "write it alone, for example \"192.0.2.7\"; the port is a key of its own, tracker.port",
            )
        })
    }

    /// Whether the configuration names a tracker that other machines can reach.
    #[must_use]
    pub fn names_a_tracker(&self) -> bool {
        let host = self.tracker.address.as_str();
        host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Whether pieces may have this size; else which they may have.
///
/// # Errors
/// If they may not.
pub fn check_piece_size(Size(bytes): Size) -> Result<u32, String> {
    let fits = |bytes: &u32| {
        bytes.is_power_of_two() && (PIECE_BYTES_MIN..=PIECE_BYTES_MAX).contains(bytes)
    };
    u32::try_from(bytes).ok().filter(fits).ok_or_else(|| {
        let (least, most) = (Size(PIECE_BYTES_MIN.into()), Size(PIECE_BYTES_MAX.into()));
        format!("a power of two from {least} to {most}")
    })
}

/// A port of the machine that a person names: by name, by IPv4 or by IPv6 number, the last in brackets or without.
#[must_use]
pub fn machine(host: &str, port: u16) -> Option<Address> {
    let bare_v6 = host.parse::<Ipv6Addr>().is_ok();
    let host = if bare_v6 { format!("[{host}]") } else { host.to_owned() };
    format!("{host}:{port}").parse().ok()
}

/// Where to listen, as people write it.
///
/// # Errors
/// If it is no number of an address and a port.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not where a machine can listen; write ADDRESS:PORT, for example [::]:6881 or \
             192.0.2.7:6881, with port 0 for a free one"
        )
    })
}

fn read_listen<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    listen_address(&String::deserialize(from)?).map_err(D::Error::custom)
}

fn read_ip<'de, D: Deserializer<'de>>(from: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "{text:?} is not the number of a machine; write it alone, for example :: or 192.0.2.7: the port \
             is a key of its own, tracker.port"
        ))
    })
}

/// The part of a command line that concerns the configuration.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file; otherwise that of STA_CONFIG, sta.toml here, or sta/sta.toml in the user's configuration directory
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Sets one key, for example --set engine.upload-slots=4
    #[arg(long, value_name = "KEY=VALUE", global = true)]
    pub set: Vec<Override>,
    /// Prints the configuration that results, as TOML, and does nothing else
    #[arg(long, global = true)]
    pub print_config: bool,
    /// What is logged: error, warn, info (what happens), debug (single pieces too) or trace (single blocks too)
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
    /// Logs to this file instead of stderr: one in the logs directory, unless it begins with a slash
    #[arg(long, value_name = "FILE", global = true)]
    pub log_file: Option<PathBuf>,
}

impl ConfigArgs {
    /// The settings that result, with `flags` (a program's own flags for single keys) as the last word.
    ///
    /// # Errors
    /// If a file cannot be read, a key is not known or a value does not fit, naming where it stands.
    pub fn load(&self, flags: &[(&str, Option<String>)]) -> Result<Settings, Failure> {
        let mut overrides = self.set.clone();
        let flag = |(key, value): &(&str, Option<String>)| {
            value.clone().map(|value| Override::flag(key, value))
        };
        overrides.extend(flags.iter().filter_map(flag));
        overrides.extend(self.log_level.clone().map(|level| Override::flag("log-level", level)));
        let file = self.config.clone().or_else(layers::file_of_env);
        layers::load(file.as_deref(), std::env::vars_os(), &overrides)
            .map_err(|error| error.into_failure())
    }
}

/// `settings` as a TOML file with comments, which gives the same settings when it is read.
#[must_use]
pub fn to_toml(settings: &Settings) -> String {
    print::to_toml(settings)
}
