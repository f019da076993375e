//! Watches a running node for a command: shows its progress, and says when it cannot go on.

use std::time::Duration;

use sta_core::model::address::Address;
use sta_core::model::status::{NodeStatus, TorrentStatus};
use sta_core::model::time::Time;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::context::Context;
use super::member::Member;
use super::place::Place;
use super::progress::{Progress, REFRESH};
use crate::exit::Failure;

/// Watches one node.
pub(super) struct Watch<'a> {
    member: &'a Member,
    progress: Progress,
    ticks: Interval,
    patience: Patience,
}

impl<'a> Watch<'a> {
    /// Watches `member`, which takes part in `places`.
    pub(super) fn new(member: &'a Member, places: &[Place], ctx: &Context) -> Self {
        let progress = Progress::new(&ctx.output, places, member.now());
        Self::with_progress(member, progress, ctx)
    }

    /// Watches `member` and shows it by `progress`.
    pub(super) fn with_progress(member: &'a Member, progress: Progress, ctx: &Context) -> Self {
        let mut ticks = interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let now = member.now();
        Self {
            member,
            progress,
            ticks,
            patience: Patience { until: now + ctx.settings.tracker.patience.0, heard: false },
        }
    }

    /// Waits a moment, then shows how things are.
    ///
    /// # Errors
    /// If the node has stopped, or no tracker answers although one was given time to.
    pub(super) async fn tick(&mut self) -> Result<NodeStatus, Failure> {
        self.ticks.tick().await;
        let status = self.member.handle.status().await;
        let status = status.ok_or_else(|| Failure::unmet("this node", "it has stopped"))?;
        let now = self.member.now();
        self.progress.show(&status, now);
        if let Some(tracker) = self.patience.exhausted_by(&status, now) {
            let why = self.member.why_lost(tracker);
            let why = why.as_deref().unwrap_or("it does not answer");
            return Err(
                Failure::start(format_args!("tracker {tracker}"), why).advise(what_to_do(why))
            );
        }
        Ok(status)
    }

    /// Serves until the program is asked to leave, or for `time`.
    ///
    /// # Errors
    /// As [`Self::tick`].
    pub(super) async fn serve(
        &mut self,
        time: Option<Duration>,
        ctx: &mut Context,
    ) -> Result<(), Failure> {
        let end = time.map_or(Time::FAR_FUTURE, |time| self.member.now() + time);
        while self.member.now() < end {
            tokio::select! {
                biased;
                () = ctx.interrupt.asked() => return Ok(()),
                status = self.tick() => drop(status?),
            }
        }
        Ok(())
    }
}

/// What to do about a tracker that is away: one that refuses need not be started.
fn what_to_do(why: &str) -> &'static str {
    match why.strip_prefix("it refuses: ") {
        Some(refused) if refused.starts_with("the node id ") => {
            "call this node something else with --node-id, or stop the other one"
        }
        Some(_) => "mend that, or name another tracker with --tracker, or a peer with --peer",
        None => "start it with sta-tracker, or name another with --tracker, or a peer with --peer",
    }
}

/// How long a node may go without a word from any tracker or peer after its start. Once there was one, for ever: a
/// tracker that goes away comes back.
struct Patience {
    until: Time,
    heard: bool,
}

impl Patience {
    /// The tracker to be named in the error, if nobody has been heard in time.
    fn exhausted_by<'s>(&mut self, status: &'s NodeStatus, now: Time) -> Option<&'s Address> {
        let peer_heard = || status.torrents.iter().any(|torrent| !torrent.peers.is_empty());
        self.heard = self.heard || status.trackers.iter().any(|(_, up)| *up) || peer_heard();
        // Of what is all here only the rest is waited for: a disk may take its time.
        let ends = |torrent: &TorrentStatus| {
            torrent.have == torrent.pieces && !torrent.finished && torrent.failed.is_none()
        };
        if self.heard || now < self.until || status.torrents.iter().any(ends) {
            return None;
        }
        status.trackers.first().map(|(tracker, _)| tracker)
    }
}

#[cfg(test)]
mod tests {
    use sta_core::model::ids::InfoHash;
    use sta_core::model::status::{NodeStatus, TorrentStatus};
    use sta_core::model::time::Time;

    use super::{Patience, what_to_do};

    /// A torrent of four pieces.
    fn torrent() -> TorrentStatus {
        TorrentStatus {
            info_hash: InfoHash([7; 20]),
            pieces: 4,
            have: 0,
            total: 4,
            verified: 0,
            finished: false,
            down: 0,
            up: 0,
            wasted: 0,
            unwritten: 0,
            down_rate: 0,
            up_rate: 0,
            failed: None,
            peers: Vec::new(),
        }
    }

    #[test]
    fn a_tracker_that_refuses_is_not_to_be_started() {
        let refused = "it refuses: the node id n is in use by 192.0.2.7:7000; choose another";
        assert!(what_to_do(refused).contains("--node-id"));
        let full = what_to_do("it refuses: this tracker is full: it holds 1 leases");
        assert!(!full.contains("start it") && full.contains("--tracker"), "{full}");
        assert!(what_to_do("Connection refused").contains("start it"));
    }

    #[test]
    fn patience_ends_only_if_nobody_was_ever_heard() {
        let status = |up| NodeStatus {
            torrents: Vec::new(),
            trackers: vec![("10.0.0.1:6081".parse().expect("an address"), up)],
        };
        let at = Time::from_nanos;
        let mut patience = Patience { until: at(10), heard: false };
        assert_eq!(patience.exhausted_by(&status(false), at(9)), None, "not yet");
        assert!(patience.exhausted_by(&status(false), at(10)).is_some(), "now");
        assert_eq!(patience.exhausted_by(&status(true), at(11)), None, "it answers");
        assert_eq!(patience.exhausted_by(&status(false), at(99)), None, "it will come back");
        let mut alone = Patience { until: at(10), heard: false };
        let nobody = NodeStatus { torrents: Vec::new(), trackers: Vec::new() };
        assert_eq!(alone.exhausted_by(&nobody, at(99)), None, "there is no tracker to wait for");
    }

    #[test]
    fn a_download_that_is_all_here_is_not_cut_off_for_want_of_a_tracker() {
        let at = Time::from_nanos;
        let torrent = |have, finished| TorrentStatus { have, finished, ..torrent() };
        for (have, finished, ends) in [(3, false, true), (4, false, false), (4, true, true)] {
            let trackers = vec![("10.0.0.1:6081".parse().expect("an address"), false)];
            let status = NodeStatus { torrents: vec![torrent(have, finished)], trackers };
            let mut patience = Patience { until: at(10), heard: false };
            assert_eq!(patience.exhausted_by(&status, at(10)).is_some(), ends, "{have} {finished}");
        }
    }
}
