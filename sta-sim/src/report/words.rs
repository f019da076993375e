//! A run in words: the verdict, an entry of the log as a line, and what led to a finding.

use sta_core::model::event::{Event, Record};
use sta_core::model::ids::NodeId;

use super::chart::seconds;
use crate::checks::{Finding, factor};
use crate::outcome::{Measures, Outcome, Verdict};
use crate::runlog::{Detail, Entry, Note, Noted, RunLog};

/// Entries shown before a finding.
const BEFORE: usize = 9;
/// Entries shown after a finding.
const AFTER: usize = 3;

/// One word, or two.
#[must_use]
pub const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Unproved => "unproved",
        Verdict::NotLive => "not live",
        Verdict::Failed => "failed",
    }
}

/// How many times as fast as real time: `310`, and `0.4` of what is slow.
#[must_use]
pub fn speed_words(times: f64) -> String {
    let digits = usize::from(times < 10.0);
    format!("{times:.digits$}")
}

/// A few sentences for somebody who knows nothing of checks.
#[must_use]
pub fn verdict_words(outcome: &Outcome) -> String {
    let warnings = outcome.warnings().count();
    let verdict = match (outcome.verdict, &outcome.must_fail) {
        (Verdict::Passed, Some(name)) => format!("The check {name} failed, as it must here."),
        (Verdict::Failed, Some(name)) if outcome.panics.is_empty() => {
            format!("The check {name} did not fail, but this scenario proves that it can.")
        }
        (Verdict::Passed, None) if warnings == 0 => "Everything that was asked held.".to_owned(),
        (Verdict::Passed, None) => "Everything that has to hold held.".to_owned(),
        (Verdict::Unproved, _) => {
            "Nothing was broken, but something that was asked was never put to the test.".to_owned()
        }
        (Verdict::NotLive, _) => {
            "Nothing wrong was stored, sent or reported, but not everything was done in time."
                .to_owned()
        }
        (Verdict::Failed, _) => "What was asked did not hold.".to_owned(),
    };
    format!("{verdict}{} {}", warned(warnings), completion(outcome))
}

/// ` 2 expectations that only warn did not hold.`; nothing where all of them held.
fn warned(warnings: usize) -> String {
    match warnings {
        0 => String::new(),
        1 => " 1 expectation that only warns did not hold.".to_owned(),
        more => format!(" {more} expectations that only warn did not hold."),
    }
}

/// `All 8 nodes that lacked something had everything at 3.214 s, 1.31 times the bound.`
fn completion(outcome: &Outcome) -> String {
    let measures = &outcome.measures;
    let (done, all) = measures.complete;
    match measures.makespan {
        Some(makespan) if done == all && all > 0 => {
            let over =
                measures.over_bound.zip(measures.bound).map_or(String::new(), |(ppm, bound)| {
                    format!(", {} times the bound of {}", factor(ppm), seconds(bound.as_secs_f64()))
                });
            format!("{all} of {all} nodes had everything at {makespan}{over}{}.", went(measures))
        }
        _ if all == 0 && measures.gone > 0 => {
            format!(
                "Nobody who lacked something is left: {} went without having everything.",
                measures.gone
            )
        }
        _ if all == 0 => "No node lacked anything.".to_owned(),
        _ => {
            let (end, went) = (outcome.end, went(measures));
            format!("{done} of {all} nodes had everything when it ended, at {end}{went}.")
        }
    }
}

/// `; 3 more went without having everything`
fn went(measures: &Measures) -> String {
    match measures.gone {
        0 => String::new(),
        gone => format!("; {gone} more went without having everything"),
    }
}

/// The lines of the log that led to a finding and follow it, about those it concerns: whether it is the line that
/// shows it, and the line in words.
#[must_use]
pub fn context(log: &RunLog, finding: &Finding) -> Vec<(bool, String)> {
    let Some(shown) = (finding.line as usize).checked_sub(1).filter(|ix| *ix < log.entries.len())
    else {
        return vec![];
    };
    let concerns = |(ix, entry): &(usize, &Entry)| {
        *ix == shown || finding.who.as_ref().is_none_or(|who| about(entry, who))
    };
    let numbered = || log.entries.iter().enumerate();
    let mut lines: Vec<(usize, &Entry)> =
        numbered().take(shown + 1).rev().filter(concerns).take(BEFORE + 1).collect();
    lines.reverse();
    lines.extend(numbered().skip(shown + 1).filter(concerns).take(AFTER));
    lines.into_iter().map(|(ix, entry)| (ix == shown, line(ix + 1, entry))).collect()
}

/// Whether an entry happened at a node, or to it.
fn about(entry: &Entry, who: &NodeId) -> bool {
    match entry {
        Entry::Said(record) => record.who == *who,
        Entry::Noted(Noted { note, .. }) => match note {
            Note::FaultBegan { on, against, .. } => on.contains(who) || against.contains(who),
            Note::ProcessDied { who: whose }
            | Note::Panicked { who: whose, .. }
            | Note::Disk { who: whose, .. }
            | Note::Unreadable { who: whose, .. } => whose == who,
            _ => false,
        },
    }
}

/// `   1843  40.901s  leech-2    block received from leech-5: piece 7, 16384+16384`
fn line(number: usize, entry: &Entry) -> String {
    let (who, what) = match entry {
        Entry::Said(Record { who, event, .. }) => (who.as_str(), said(event)),
        Entry::Noted(Noted { note, .. }) => ("(world)", noted(note)),
    };
    let kind = entry.kind().name().replace('-', " ");
    format!("{number:>7}  {:>9}  {who:<12} {kind}{what}", entry.at().to_string())
}

fn said(event: &Event) -> String {
    match event {
        Event::BlockAsked { peer, block, .. } => {
            format!(" of {peer}: piece {}, {}+{}", block.piece, block.offset, block.len)
        }
        Event::BlockSent { peer, block, .. } => {
            format!(" to {peer}: piece {}, {}+{}", block.piece, block.offset, block.len)
        }
        Event::BlockReceived { peer, block, useful, .. } => {
            let vain = if *useful { "" } else { ", in vain" };
            format!(" from {peer}: piece {}, {}+{}{vain}", block.piece, block.offset, block.len)
        }
        Event::PieceVerified { piece, .. } | Event::PieceAnnounced { piece, .. } => {
            format!(": {piece}")
        }
        Event::LeavesVerified { piece, bytes, .. } => format!(": {bytes} bytes of {piece}"),
        Event::PieceFailed { piece, from, .. } => {
            let from: Vec<&str> = from.iter().map(NodeId::as_str).collect();
            format!(": {piece}, from {}", from.join(", "))
        }
        Event::TorrentAdded { pieces, have, .. } => format!(": has {have} of {pieces} pieces"),
        Event::PeerConnected { peer, .. }
        | Event::Unchoked { peer, .. }
        | Event::Choked { peer, .. } => format!(": {peer}"),
        Event::PeerLost { peer, why, .. } | Event::PeerBanned { peer, why, .. } => {
            format!(": {peer} ({why})")
        }
        Event::DialFailed { addr, why, .. } => format!(": {addr} ({why})"),
        Event::TrackerLost { tracker, why } => format!(": {tracker} ({why})"),
        Event::TrackerConnected { tracker } => format!(": {tracker}"),
        Event::StoreFailed { why, .. } => format!(": {why}"),
        Event::LeaseGranted { node, .. } => format!(" to {node}"),
        Event::LeaseEnded { node, expired, .. } => {
            format!(" of {node}{}", if *expired { ", which was silent" } else { "" })
        }
        Event::PeersPushed { node, count, .. } => format!(": {count} to {node}"),
        Event::PeersLearned { count, .. } => format!(": {count}"),
        Event::TrackerStarted { restored, .. } => format!(", {restored} leases restored"),
        Event::NodeStarted { .. }
        | Event::NodeStopped
        | Event::TorrentRemoved { .. }
        | Event::EndGame { .. }
        | Event::TorrentComplete { .. } => String::new(),
    }
}

fn noted(note: &Note) -> String {
    match note {
        Note::FaultBegan { id, verb, on, against, .. } => {
            let names =
                |ids: &[NodeId]| ids.iter().map(NodeId::as_str).collect::<Vec<_>>().join(", ");
            let from = if against.is_empty() {
                String::new()
            } else {
                format!(" against {}", names(against))
            };
            format!(": {verb} on {}{from} ({id})", names(on))
        }
        Note::FaultEnded { fault } => format!(": number {fault}"),
        Note::ProcessDied { who } | Note::Panicked { who, .. } => format!(": {who}"),
        Note::Disk { who, claimed, wrong, .. } => {
            format!(": {who} claims {} ranges of pieces, {} are wrong", claimed.len(), wrong.len())
        }
        Note::Unreadable { who, pieces, .. } => {
            format!(": {} ranges of pieces on the disk of {who}", pieces.len())
        }
        Note::TrackerHeard { who, messages } => format!(": {messages} messages at {who}"),
        Note::Phase { name } | Note::Mark { name } => format!(": {name}"),
        Note::Detail { detail } => format!(
            ": {}",
            match detail {
                Detail::Milestones => "single pieces and blocks are left out",
                Detail::Pieces => "single blocks are left out",
                Detail::Blocks => "everything",
            }
        ),
        Note::Content { content, torrent } => format!(" {content}: torrent {torrent}"),
    }
}
