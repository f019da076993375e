//! Shows how far a node is: a bar per torrent on a terminal, a line now and then where there is none, an event for programs.
//!
//! Fed with snapshots; knows neither the node nor the clock, only the time it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use sta_core::model::ids::{InfoHash, NodeId};
use sta_core::model::status::{NodeStatus, TorrentStatus};
use sta_core::model::time::Time;

use super::place::Place;
use super::report;
use crate::event::ProgramEvent;
use crate::output::Output;
use crate::units;

/// How often a person sees something new.
pub(super) const REFRESH: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// How often a program is told, if anything is new.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
/// Columns of a name beside its bar.
const NAME_COLUMNS: usize = 24;

/// The progress of all torrents of a node.
#[derive(Debug)]
pub(super) struct Progress {
    output: Output,
    names: BTreeMap<InfoHash, String>,
    /// The torrents of which nothing is fetched, be they complete or not.
    served: BTreeSet<InfoHash>,
    bars: BTreeMap<InfoHash, ProgressBar>,
    /// A bar for each source; `None` where sources are only counted.
    sources: Option<BTreeMap<(InfoHash, NodeId), ProgressBar>>,
    line_interval: Duration,
    next_line: Time,
    last_lines: BTreeMap<InfoHash, String>,
    next_event: Time,
    last_events: BTreeMap<InfoHash, ProgramEvent>,
}

impl Progress {
    /// Shows the torrents of `places`.
    #[must_use]
    pub(super) fn new(output: &Output, places: &[Place], now: Time) -> Self {
        let name = |place: &Place| (place.torrent.info_hash(), place.torrent.name().to_owned());
        Self {
            output: output.clone(),
            names: places.iter().map(name).collect(),
            served: places
                .iter()
                .filter(|place| !place.is_fetching())
                .map(|place| place.torrent.info_hash())
                .collect(),
            bars: BTreeMap::new(),
            sources: None,
            line_interval: LINE_INTERVAL,
            next_line: now + LINE_INTERVAL,
            last_lines: BTreeMap::new(),
            next_event: now,
            last_events: BTreeMap::new(),
        }
    }

    /// Shows each source with its rate as well, and writes lines this often.
    #[must_use]
    pub(super) fn with_sources(mut self, line_interval: Duration, now: Time) -> Self {
        self.sources = Some(BTreeMap::new());
        self.line_interval = line_interval;
        self.next_line = now + line_interval;
        self
    }

    /// Shows a snapshot.
    pub(super) fn show(&mut self, status: &NodeStatus, now: Time) {
        if self.output.json() {
            self.say(status, now);
            return;
        }
        let due = now >= self.next_line;
        if due {
            self.next_line = now + self.line_interval;
        }
        for torrent in &status.torrents {
            if self.output.terminal() {
                self.draw(torrent);
            } else if due {
                self.write(torrent);
            }
        }
    }

    fn say(&mut self, status: &NodeStatus, now: Time) {
        if now < self.next_event {
            return;
        }
        self.next_event = now + EVENT_INTERVAL;
        for torrent in &status.torrents {
            let event = event(torrent);
            if self.last_events.get(&torrent.info_hash) != Some(&event) {
                self.output.event(event.clone());
                self.last_events.insert(torrent.info_hash, event);
            }
        }
    }

    fn draw(&mut self, torrent: &TorrentStatus) {
        let Some(name) = self.names.get(&torrent.info_hash) else { return };
        let screen = self.output.screen();
        let shown = self.bars.entry(torrent.info_hash);
        let shown = shown.or_insert_with(|| screen.add(bar(name, torrent.total)));
        shown.set_position(torrent.verified);
        shown.set_message(message(torrent, self.served.contains(&torrent.info_hash)));
        let Some(bars) = &mut self.sources else { return };
        for source in report::sources(&torrent.peers) {
            let shown = bars.entry((torrent.info_hash, source.node.clone()));
            let name = format!("  from {}", source.node);
            let shown = shown.or_insert_with(|| screen.add(bar(&name, torrent.total)));
            shown.set_position(source.bytes);
            shown.set_message(units::rate(source.rate));
        }
    }

    fn write(&mut self, torrent: &TorrentStatus) {
        let Some(name) = self.names.get(&torrent.info_hash) else { return };
        let served = self.served.contains(&torrent.info_hash);
        let mut line = format!("{name}: {}", line(torrent, served));
        if self.sources.is_some() {
            let sources = report::sources(&torrent.peers);
            let rates = sources.iter().map(|s| format!("{} {}", s.node, units::rate(s.rate)));
            line = format!("{line} ({})", rates.collect::<Vec<_>>().join(", "));
        }
        // A node that idles says so once.
        if self.last_lines.get(&torrent.info_hash) != Some(&line) {
            self.output.note(&line);
            self.last_lines.insert(torrent.info_hash, line);
        }
    }

    /// Takes the bars away.
    fn clear(&mut self) {
        let sources = self.sources.take().unwrap_or_default();
        let bars = std::mem::take(&mut self.bars).into_values().chain(sources.into_values());
        bars.for_each(|bar| {
            bar.finish_and_clear();
            self.output.screen().remove(&bar);
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A bar called `name` that is full at `total`.
#[must_use]
pub(super) fn bar(name: &str, total: u64) -> ProgressBar {
    let template = format!("{{prefix:{NAME_COLUMNS}!}} {{bar:24}} {{percent:>3}} %  {{msg}}");
    let style = ProgressStyle::with_template(&template).expect("the template is ours");
    let bar = ProgressBar::hidden().with_style(style).with_prefix(name.to_owned());
    bar.set_length(total.max(1));
    if total == 0 {
        bar.set_position(1);
    }
    bar
}

/// What programs are told.
fn event(torrent: &TorrentStatus) -> ProgramEvent {
    ProgramEvent::Progress {
        torrent: torrent.info_hash,
        verified: torrent.verified,
        total: torrent.total,
        down_rate: torrent.down_rate,
        up_rate: torrent.up_rate,
        peers: torrent.peers.iter().filter(|peer| peer.connected).count() as u64,
    }
}

/// What stands beside a bar.
fn message(torrent: &TorrentStatus, served: bool) -> String {
    if let Some(error) = &torrent.failed {
        return format!("{error}");
    }
    if served || torrent.finished {
        return serving(torrent);
    }
    if torrent.have == torrent.pieces {
        return "everything is here, waiting for the disk".to_owned();
    }
    let sources = sending(torrent);
    if sources == 0 && torrent.unwritten > 0 {
        return format!("waiting for the disk, {} to be written", units::bytes(torrent.unwritten));
    }
    if torrent.down_rate == 0 && torrent.up_rate > 0 {
        return serving(torrent);
    }
    if sources == 0 {
        return format!("waiting for a source, {} connected", connected(torrent));
    }
    let left = torrent.total.saturating_sub(torrent.verified).checked_div(torrent.down_rate);
    let left = left.map_or_else(String::new, |s| {
        format!(", {} left", humantime::format_duration(Duration::from_secs(s)))
    });
    format!("{} from {}{left}", units::rate(torrent.down_rate), plural(sources, "source"))
}

/// What is written where there is no bar.
fn line(torrent: &TorrentStatus, served: bool) -> String {
    if served || torrent.have == torrent.pieces {
        return message(torrent, served);
    }
    let percent = units::percent(torrent.verified, torrent.total);
    let (verified, total) = (units::bytes(torrent.verified), units::bytes(torrent.total));
    format!("{percent} %, {verified} of {total}, {}", message(torrent, served))
}

fn serving(torrent: &TorrentStatus) -> String {
    let to = torrent.peers.iter().filter(|peer| peer.connected && peer.up_rate > 0).count();
    let sent = units::bytes(torrent.up);
    match to {
        0 => format!("serving, {sent} sent, {} connected", connected(torrent)),
        to => {
            format!("serving {}, {}, {sent} sent", plural(to, "peer"), units::rate(torrent.up_rate))
        }
    }
}

fn sending(torrent: &TorrentStatus) -> usize {
    torrent.peers.iter().filter(|peer| peer.connected && peer.down_rate > 0).count()
}

fn connected(torrent: &TorrentStatus) -> String {
    plural(torrent.peers.iter().filter(|peer| peer.connected).count(), "peer")
}

fn plural(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

#[cfg(test)]
mod tests {
    use sta_core::model::ids::InfoHash;
    use sta_core::model::status::TorrentStatus;

    use super::{line, message};

    /// The disk hung, and it was said that a source is waited for; as it was of a part that is only served.
    #[test]
    fn only_who_waits_for_a_source_says_so() {
        let waiting = TorrentStatus {
            info_hash: InfoHash([7; 20]),
            pieces: 4,
            have: 1,
            total: 4 << 20,
            verified: 1 << 20,
            finished: false,
            down: 4 << 20,
            up: 0,
            wasted: 0,
            unwritten: 3 << 20,
            down_rate: 0,
            up_rate: 0,
            failed: None,
            peers: Vec::new(),
        };
        let fetched = |torrent: &TorrentStatus| message(torrent, false);
        assert_eq!(fetched(&waiting), "waiting for the disk, 3.0 MiB to be written");
        let idle = TorrentStatus { unwritten: 0, ..waiting.clone() };
        assert_eq!(fetched(&idle), "waiting for a source, 0 peers connected");
        assert_eq!(line(&idle, true), "serving, 0 B sent, 0 peers connected", "nothing is fetched");
        let serving = TorrentStatus { up_rate: 1, ..idle };
        assert!(fetched(&serving).starts_with("serving"), "{}", fetched(&serving));
        let syncing = TorrentStatus { have: 4, unwritten: 0, ..waiting };
        assert_eq!(line(&syncing, false), "everything is here, waiting for the disk");
        let done = TorrentStatus { finished: true, ..syncing };
        assert!(line(&done, false).starts_with("serving"), "{}", line(&done, false));
    }
}
