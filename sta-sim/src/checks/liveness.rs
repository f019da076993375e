//! Progress: who was to finish has finished in time, nobody stood still for long, and how close the swarm came to the
//! bound.
//!
//! Asked of hosts that are there when the run ends, and of those that had finished when they went; one that went before owes
//! nothing, unless it was late by then. What was complete and then wiped must become complete again: the last time counts.
//! A run that ends at its deadline does not tell what would have been done after that.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use indexmap::IndexMap;
use sta_core::model::event::{Event, Record};
use sta_core::model::time::Time;

use super::account::{Account, Fault};
use super::{Findings, Judgement, Rule, factor, ppm, seconds};
use crate::runlog::{Detail, Entry, Note};
use crate::scenario::plan::{HostIx, Role, Since};

/// Hosts named with the reason why they were not asked; the others are counted.
const NAMED_MAX: usize = 3;

/// These hosts have everything they take part in, in time.
pub struct Complete {
    hosts: Vec<HostIx>,
    within: Duration,
    since: Since,
    /// Those that lacked something when they last went: when, and the line that says so.
    went: BTreeMap<HostIx, (Time, u64)>,
}

impl Complete {
    /// So long after `since`.
    #[must_use]
    pub const fn new(hosts: Vec<HostIx>, within: Duration, since: Since) -> Self {
        Self { hosts, within, since, went: BTreeMap::new() }
    }

    /// From when the time counts for a host; or why that moment never came.
    fn base(&self, account: &Account, host: HostIx) -> Result<Time, String> {
        match &self.since {
            Since::Start => Ok(Time::ZERO),
            Since::Join => {
                let planned = account.plan().hosts[host].join;
                Ok(account.hosts()[host].first_start.unwrap_or(planned))
            }
            Since::Healed => Ok(account.plan().healed),
            Since::Event(id) => account.last_ended(id).map(|(_, ended)| ended),
        }
    }

    /// By when a host must have everything whose time counts from `base`: by the end of the run, if it has as long as that.
    fn due(&self, account: &Account, base: Time) -> Time {
        let (due, deadline) = (base + self.within, account.plan().deadline);
        if Time::ZERO + self.within < deadline { due } else { due.min(deadline) }
    }
}

/// Why nobody knows whether `host` would have been done by `due`: the run ended at its deadline, before that. `None` if it did not.
fn ended_before(account: &Account, due: Time, host: HostIx) -> Option<String> {
    let end = account.now();
    (end >= account.plan().deadline && due > end).then(|| {
        let early = seconds(due.since(end));
        format!("the run ended {early} before {} was due, at {due}", account.id(host))
    })
}

/// Whether this is the end of a process.
fn is_departure(entry: &Entry) -> bool {
    match entry {
        Entry::Said(record) => matches!(record.event, Event::NodeStopped),
        Entry::Noted(noted) => {
            matches!(noted.note, Note::ProcessDied { .. } | Note::Panicked { .. })
        }
    }
}

impl Rule for Complete {
    fn see(&mut self, entry: &Entry, account: &Account) {
        if is_departure(entry)
            && let Some(host) = account.host_ix_of(account.about().who)
        {
            if account.complete_since(host).is_none() {
                self.went.insert(host, (account.now(), account.line()));
            } else {
                self.went.remove(&host);
            }
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let mut findings = Findings::default();
        let (mut last, mut asked, mut open) = (None, 0, None);
        // Nobody is named where nobody lacks anything, as with an empty file: then everybody is meant.
        if self.hosts.is_empty() {
            self.hosts = account.nodes().collect();
        }
        // The worst first: those that lack something, then the latest.
        let completed = |host: HostIx| account.complete_since(host).unwrap_or(Time::FAR_FUTURE);
        self.hosts.sort_by_key(|&host| Reverse(completed(host)));
        for &host in &self.hosts {
            let went = self.went.get(&host).filter(|_| account.is_believed(host));
            if !account.counts(host) && went.is_none() {
                continue;
            }
            let base = match self.base(account, host) {
                Ok(base) => base,
                Err(why) => return Judgement::unasked(&why),
            };
            let (due, id, line) =
                (self.due(account, base), account.id(host), shown_by(account, host));
            if !account.counts(host) {
                if let Some((at, line)) = went.filter(|(at, _)| *at > due) {
                    asked += 1;
                    findings.add_at(*at, *line, Some(id), || {
                        format!("{id} lacked something when it went at {at}, due at {due}")
                    });
                }
                continue;
            }
            let complete = account.complete_since(host);
            if complete.is_none()
                && let Some(why) = ended_before(account, due, host)
            {
                open.get_or_insert(why);
                continue;
            }
            asked += 1;
            match complete {
                Some(at) if at <= due => last = last.max(Some((at, host))),
                Some(at) => findings.add_at(at, line, Some(id), || {
                    format!("{id} was complete at {at}, due at {due}")
                }),
                None => findings.add_at(due.min(account.now()), line, Some(id), || {
                    format!("{id} was not complete at {due}: {}", state(account, host))
                }),
            }
        }
        if let Some(why) = open.filter(|_| findings.count() == 0) {
            return Judgement::unasked(&why);
        }
        if asked == 0 {
            return Judgement::unasked("none of these hosts was there at the end");
        }
        let measured = match (findings.count(), last) {
            (0, Some((at, host))) => format!("the last one, {}, at {at}", account.id(host)),
            (broken, _) => format!("{} of {asked} in time", asked - broken),
        };
        findings.judge_in_order(measured)
    }
}

/// The line that shows how far a host is: of what last brought it further, or the last one if nothing ever did.
fn shown_by(account: &Account, host: HostIx) -> u64 {
    Some(account.hosts()[host].moved).filter(|&line| line > 0).unwrap_or(account.line())
}

/// How far a host is, and since when: `12 of 128 pieces, the last one at 3.100s`.
fn state(account: &Account, host: HostIx) -> String {
    let seen = &account.hosts()[host];
    if seen.first_start.is_none() {
        return "it never started".to_owned();
    }
    let (have, all) = seen
        .parts
        .values()
        .fold((0, 0), |(have, all), part| (have + part.have.count(), all + part.have.len()));
    let last = seen.parts.values().map(|part| part.progressed).max().unwrap_or_default();
    let last = if have > 0 { format!(", the last one since {last}") } else { String::new() };
    let why = out_of_reach(account, host).unwrap_or_default();
    format!("it has {have} of {all} pieces{last}{why}")
}

/// Which piece a host lacks that lies only where it cannot be read, and at whom; or how many nobody has any more.
fn out_of_reach(account: &Account, host: HostIx) -> Option<String> {
    if account.detail() < Detail::Pieces {
        return None;
    }
    let lacked = account.hosts()[host].parts.iter().flat_map(|(content, part)| {
        let lacked = (0..part.have.len()).filter(|piece| !part.have.contains(*piece));
        lacked.map(move |piece| (content, piece))
    });
    let at = |content, piece| {
        let mut at = Vec::new();
        for (ix, seen) in account.hosts().iter().enumerate() {
            let Some(part) = seen.parts.get(content) else { continue };
            if part.unreadable.contains(piece) {
                at.push(account.id(ix).as_str());
            } else if seen.running && part.have.contains(piece) {
                return Vec::new();
            }
        }
        at
    };
    let mut unreadable = lacked.clone().map(|(content, piece)| (piece, at(content, piece)));
    if let Some((piece, at)) = unreadable.find(|(_, at)| !at.is_empty()) {
        let at = at.join(", ");
        return Some(format!("; piece {piece} cannot be read at {at}, and nobody else has it"));
    }
    let with = |content, piece| {
        let hosts = account.hosts().iter().enumerate();
        hosts.filter(move |(_, seen)| {
            seen.parts.get(content).is_some_and(|part| part.have.contains(piece))
        })
    };
    let mut gone =
        lacked.filter(|&(content, piece)| !with(content, piece).any(|(_, seen)| seen.running));
    let (content, piece) = gone.next()?;
    let pieces = 1 + gone.count();
    let last = with(content, piece).max_by_key(|(_, seen)| seen.gone);
    let last = last.map_or_else(String::new, |(ix, seen)| {
        let since = seen.gone.map_or_else(String::new, |gone| format!(", gone since {gone},"));
        format!(": {}{since} had piece {piece}", account.id(ix))
    });
    Some(format!("; nobody who runs has {pieces} of those it lacks{last}"))
}

/// No host that runs and lacks something goes for long without a verified piece.
pub struct Stall {
    hosts: BTreeSet<HostIx>,
    at_most: Duration,
    /// When each host that runs and lacks something last got further, and the line that says so.
    waiting: BTreeMap<HostIx, (Time, u64)>,
    longest: Option<(Duration, HostIx)>,
    findings: Findings,
}

impl Stall {
    /// For so long at most.
    #[must_use]
    pub fn new(hosts: Vec<HostIx>, at_most: Duration) -> Self {
        Self {
            hosts: hosts.into_iter().collect(),
            at_most,
            waiting: BTreeMap::new(),
            longest: None,
            findings: Findings::default(),
        }
    }

    /// The longest wait so far that has ended.
    #[must_use]
    pub fn longest(&self) -> Option<Duration> {
        self.longest.map(|(waited, _)| waited)
    }

    /// `host` waits no longer.
    fn end_of_wait(&mut self, account: &Account, host: HostIx) {
        let Some((since, line)) = self.waiting.remove(&host) else { return };
        let waited = account.now().since(since);
        self.longest = self.longest.max(Some((waited, host)));
        if waited > self.at_most {
            let id = account.id(host);
            self.findings.add_at(since, line, Some(id), || {
                let (waited, most) = (seconds(waited), seconds(self.at_most));
                format!("{id} got no piece for {waited} from {since} on, more than {most}")
            });
        }
    }
}

impl Rule for Stall {
    fn needs(&self) -> Detail {
        Detail::Pieces
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        // A host that has gone waits no longer.
        if is_departure(entry) {
            let gone = |host: &HostIx| !account.hosts()[*host].running;
            let gone: Vec<HostIx> = self.waiting.keys().copied().filter(gone).collect();
            gone.into_iter().for_each(|host| self.end_of_wait(account, host));
        }
        let Entry::Said(Record { at, event, .. }) = entry else { return };
        let moves = matches!(
            event,
            Event::TorrentAdded { .. }
                | Event::PieceVerified { .. }
                | Event::TorrentComplete { .. }
        );
        let host = account.host_ix_of(account.about().who).filter(|_| moves);
        let Some(host) = host.filter(|host| self.hosts.contains(host)) else { return };
        self.end_of_wait(account, host);
        if account.complete_since(host).is_none() {
            self.waiting.insert(host, (*at, account.line()));
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let waiting: Vec<HostIx> = self.waiting.keys().copied().collect();
        waiting.into_iter().for_each(|host| self.end_of_wait(account, host));
        let Some((longest, host)) = self.longest else {
            return Judgement::unasked("none of these hosts lacked anything");
        };
        self.findings.judge(format!("{} at {}", seconds(longest), account.id(host)))
    }
}

/// Each of these verifies a piece, or is complete, soon after an event's end.
///
/// Asked of those that had something to recover from: the event was upon them, upon a tracker or upon a source, and
/// they lacked something when it began (or since: an empty disk).
pub struct Recovery {
    hosts: Vec<HostIx>,
    after: String,
    within: Duration,
    /// When each verified a piece, and the line that says so.
    verified: BTreeMap<HostIx, Vec<(Time, u64)>>,
}

impl Recovery {
    /// So soon after the last end of the event `after`.
    #[must_use]
    pub const fn new(hosts: Vec<HostIx>, after: String, within: Duration) -> Self {
        Self { hosts, after, within, verified: BTreeMap::new() }
    }
}

impl Rule for Recovery {
    fn needs(&self) -> Detail {
        Detail::Pieces
    }

    fn see(&mut self, entry: &Entry, account: &Account) {
        if let Entry::Said(Record { at, event: Event::PieceVerified { .. }, .. }) = entry
            && let Some(host) = account.host_ix_of(account.about().who)
            && self.hosts.contains(&host)
        {
            self.verified.entry(host).or_default().push((*at, account.line()));
        }
    }

    fn finish(&mut self, account: &Account) -> Judgement {
        let (event, end) = match account.last_ended(&self.after) {
            Ok(found) => found,
            Err(why) => return Judgement::unasked(&why),
        };
        let mut findings = Findings::default();
        let (mut slowest, mut open) = (None, None);
        let mut spared: IndexMap<String, Vec<&str>> = IndexMap::new();
        for &host in self.hosts.iter().filter(|&&host| account.counts(host)) {
            if let Some(nothing) = nothing_to_recover_from(account, event, host) {
                spared.entry(nothing).or_default().push(account.id(host).as_str());
                continue;
            }
            let (id, due) = (account.id(host), end + self.within);
            let shown = shown_by(account, host);
            let after = |times: &Vec<(Time, u64)>| times.iter().copied().find(|(at, _)| *at >= end);
            let complete = account.complete_since(host).map(|at| (at.max(end), shown));
            let piece = self.verified.get(&host).and_then(after);
            let next = piece.into_iter().chain(complete).min();
            if next.is_none()
                && let Some(why) = ended_before(account, due, host)
            {
                open.get_or_insert(why);
                continue;
            }
            match next {
                Some((at, _)) if at <= due => slowest = slowest.max(Some((at.since(end), host))),
                Some((at, line)) => findings.add_at(at, line, Some(id), || {
                    let took = seconds(at.since(end));
                    format!("{id} got its next piece {took} after the end of {}", self.after)
                }),
                None => findings.add_at(account.now(), shown, Some(id), || {
                    format!("{id} got nothing after the end of {} at {end}", self.after)
                }),
            }
        }
        if let Some(why) = open.filter(|_| findings.count() == 0) {
            return Judgement::unasked(&why);
        }
        let measured = slowest.map_or(String::new(), |(took, host)| {
            format!("the slowest, {}, after {}", account.id(host), seconds(took))
        });
        if measured.is_empty() && findings.list.is_empty() {
            return Judgement::unasked(&match spared.is_empty() {
                true => "none of these hosts was there at the end".to_owned(),
                false => spared_words(&spared),
            });
        }
        findings.judge(measured)
    }
}

/// `leech-0, leech-1, leech-2 and 4 more lacked nothing when cut began, at 3.000s; leech-9 ...`
fn spared_words(spared: &IndexMap<String, Vec<&str>>) -> String {
    let words = spared.iter().map(|(why, hosts)| {
        let named = hosts[..hosts.len().min(NAMED_MAX)].join(", ");
        match hosts.len() - hosts.len().min(NAMED_MAX) {
            0 => format!("{named} {why}"),
            more => format!("{named} and {more} more {why}"),
        }
    });
    words.collect::<Vec<_>>().join("; ")
}

/// Why a host had nothing to recover from, as what can be said of several too; `None` if it had.
fn nothing_to_recover_from(account: &Account, event: &Fault, host: HostIx) -> Option<String> {
    let (plan, Fault { id, began, .. }) = (account.plan(), event);
    let mut targets = event.targets().filter_map(|target| account.host_ix(target));
    // Without a tracker or a source everybody may get stuck.
    let for_all =
        |target: HostIx| plan.hosts[target].role == Role::Tracker || plan.is_source(target);
    if !targets.any(|target| target == host || for_all(target)) {
        return Some(format!("did not have {id} upon them, and no tracker or source did"));
    }
    let lacked_nothing = account.complete_since(host).is_some_and(|at| at < *began);
    lacked_nothing.then(|| format!("lacked nothing when {id} began, at {began}"))
}

/// From the start to the last completion, over the bound.
pub struct Makespan {
    at_most: u64,
}

impl Makespan {
    /// At most so many parts per million of the bound.
    #[must_use]
    pub const fn new(at_most: u64) -> Self {
        Self { at_most }
    }
}

/// When the last node that is there had everything; `None` if one lacks something, or nobody lacked anything.
#[must_use]
pub fn makespan(account: &Account) -> Option<Time> {
    completions(account)?.into_iter().max()
}

/// When each node that lacked something had everything; `None` if somebody who counts lacks something.
#[must_use]
pub fn completions(account: &Account) -> Option<Vec<Time>> {
    let mut all = Vec::new();
    for host in account.nodes().filter(|&host| account.counts(host)) {
        let at = account.complete_since(host)?;
        let parts = &account.hosts()[host].parts;
        if parts.values().any(|part| part.wanted.is_some_and(|bytes| bytes > 0)) {
            all.push(at);
        }
    }
    Some(all)
}

/// Every node that was to download and is there, and since when it has everything.
pub fn downloads(account: &Account) -> impl Iterator<Item = (HostIx, Option<Time>)> + '_ {
    let there = account.nodes().filter(|host| account.counts(*host) && wants(account, *host));
    there.map(|host| (host, account.complete_since(host)))
}

/// How many nodes were to download and are gone without having had everything.
pub fn lost(account: &Account) -> usize {
    account.nodes().filter(|&host| is_lost(account, host) && wants(account, host)).count()
}

/// Whether a host is gone without having had everything.
#[must_use]
pub fn is_lost(account: &Account, host: HostIx) -> bool {
    !account.counts(host) && !account.hosts()[host].running
}

/// Whether a node was to download something.
fn wants(account: &Account, host: HostIx) -> bool {
    let parts = &account.hosts()[host].parts;
    parts.is_empty() || parts.values().any(|part| part.wanted.is_none_or(|bytes| bytes > 0))
}

impl Rule for Makespan {
    fn see(&mut self, _: &Entry, _: &Account) {}

    fn finish(&mut self, account: &Account) -> Judgement {
        let bound = account.plan().bound().map(|bound| bound.best());
        let Some(best) = bound.filter(|best| !best.is_zero()) else {
            return Judgement::unasked("nothing bounds this distribution");
        };
        let mut findings = Findings::default();
        let Some(last) = makespan(account) else {
            let lacks =
                |host: &HostIx| account.counts(*host) && account.complete_since(*host).is_none();
            let who = account.nodes().find(lacks);
            let line = who.map_or(account.line(), |host| shown_by(account, host));
            findings.add_at(account.now(), line, who.map(|host| account.id(host)), || {
                "somebody lacks something at the end".to_owned()
            });
            return findings.judge(String::new());
        };
        let ratio = ppm(last.as_nanos().into(), best.as_nanos()).unwrap_or(u64::MAX);
        let (took, best) = (factor(ratio), seconds(best));
        if ratio > self.at_most {
            let is_last = |host: &HostIx| account.complete_since(*host) == Some(last);
            let who = account.nodes().find(is_last);
            let line = who.map_or(account.line(), |host| shown_by(account, host));
            findings.add_at(last, line, who.map(|host| account.id(host)), || {
                let most = factor(self.at_most);
                format!("it took {took} times the bound ({last} over {best}), more than {most}")
            });
        }
        findings.judge(format!("{took} times the bound of {best}"))
    }
}

#[cfg(test)]
mod tests;
