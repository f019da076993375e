//! The least time in which any schedule can finish a distribution.
//!
//! With one source of rate `u` and `N` receivers of the same rate, a content of `F` bytes in `M` parts that move
//! whole from one host to another (Mundinger, Weber, Weiss: Optimal scheduling of peer-to-peer file dissemination, 2008):
//!
//! ```text
//! counted = (F / u) * (1 + floor(log2 N) / M)
//! ```
//!
//! The parts are leaves ([`sta_core::model::layout::Layout::leaf_bytes`]), the least that can be verified and passed on.
//!
//! With any rates, as a fluid (Kumar, Ross: Peer-assisted file distribution, 2006), here for receivers that may
//! have a part already and join later:
//!
//! ```text
//! fluid = max( what no receiver has / u_sources, join_i + missing_i / down_i, sum missing / sum u )
//! ```
//!
//! and, where hosts share the link of a site, the same of those behind it, and of all others, whose link `g` is the site's uplink:
//!
//! ```text
//! max( what nobody behind it has / g, sum missing behind it / (sum u behind it + g) )
//! ```
//!
//! Who may be gone for good before having everything lacks nothing here, and who may come before its time counts from the
//! earliest moment: events decide that, and what they do is not known before the run. Nor does a liar lack anything: nobody waits for
//! it, since nothing is known of what it has. Who serves nobody sends nothing, and who sends slowly on purpose no more than that, unless
//! an event may set how it behaves.
//!
//! Exact integers, rounded down to the nanosecond: a bound may be too low, never too high.

use std::time::Duration;

use sta_core::model::time::Time;

use super::plan::{
    Behaviour, BoundPlan, ContentIx, ContentPlan, HostIx, HostPlan, LeavePlan, PlannedEvent,
    SetPlan, Start, Take, Verb,
};
use super::site::SitePlan;

#[cfg(test)]
mod tests;

/// One host's part.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Bytes per second that its link takes at the most,
    link: Option<u64>,
    /// and that it sends.
    up: Option<u64>,
    down: Option<u64>,
    join: u64,
    /// What it lacks at its start,
    lacks: u64,
    /// and must get: nothing, if it may be gone before.
    missing: u64,
}

/// What events leave of a host's plan.
#[derive(Clone, Copy, Debug)]
struct Fate {
    /// It does not start before.
    joins: Time,
    /// It is there at the end, and is asked then what it has.
    stays: bool,
    /// Bytes per second that it sends at the most.
    up: Option<u64>,
}

/// The bound for all of `contents` together. `None` where no rate limits anything.
#[must_use]
pub fn bound(
    hosts: &[HostPlan],
    contents: &[ContentPlan],
    timeline: &[PlannedEvent],
    sites: &[SitePlan],
) -> Option<BoundPlan> {
    let fates = fates(hosts, timeline);
    let takers = hosts.iter().zip(&fates).filter(|(host, _)| !host.takes.is_empty());
    let parts: Vec<Part> = takers.map(|(host, fate)| fated(part(host, contents), *fate)).collect();
    let fate = |host: HostIx| fates[host];
    let source_terms = (0..contents.len()).filter_map(|ix| source_term(hosts, contents, ix, &fate));
    let shared = sites.iter().enumerate().flat_map(|(site, SitePlan { up, down, .. })| {
        let terms = |within: bool, rate: Option<u64>| {
            let behind = move |host: &HostPlan| (host.site == Some(site)) == within;
            rate.map(|rate| shared_terms(hosts, contents, &fates, &behind, rate))
        };
        [terms(true, *down), terms(false, *up)].into_iter().flatten().flatten()
    });
    let fluid = fluid(&parts).into_iter().chain(source_terms).chain(shared).max();
    let counted = counted(contents, &parts);
    let fluid = fluid.or(counted)?;
    Some(BoundPlan {
        counted: counted.map(Duration::from_nanos),
        fluid: Duration::from_nanos(fluid),
    })
}

/// The bound for one of `contents`, as if it were alone.
#[must_use]
pub fn of_one(
    hosts: &[HostPlan],
    contents: &[ContentPlan],
    timeline: &[PlannedEvent],
    sites: &[SitePlan],
    content: ContentIx,
) -> Option<BoundPlan> {
    let mut alone = hosts.to_vec();
    for host in &mut alone {
        host.takes.retain(|take| take.content == content);
        host.takes.iter_mut().for_each(|take| take.content = 0);
    }
    bound(&alone, std::slice::from_ref(&contents[content]), timeline, sites)
}

/// Whether anybody is to get anything at all: who lacks something may be gone before having it.
#[must_use]
pub fn anybody_receives(
    hosts: &[HostPlan],
    contents: &[ContentPlan],
    timeline: &[PlannedEvent],
) -> bool {
    let fates = fates(hosts, timeline);
    hosts.iter().zip(fates).any(|(host, fate)| fated(part(host, contents), fate).missing > 0)
}

/// The least time in which a host can have everything, whatever becomes of the other receivers.
pub struct Least<'a> {
    hosts: &'a [HostPlan],
    contents: &'a [ContentPlan],
    /// By content: when its sources can have sent all of it once.
    sources: Vec<Option<u64>>,
}

impl<'a> Least<'a> {
    /// Of one of `hosts`.
    #[must_use]
    pub fn new(hosts: &'a [HostPlan], contents: &'a [ContentPlan]) -> Self {
        let fate = |host: HostIx| {
            let HostPlan { join, up, .. } = &hosts[host];
            Fate { joins: *join, stays: true, up: *up }
        };
        let source = |ix| source_term(hosts, contents, ix, &fate);
        Self { hosts, contents, sources: (0..contents.len()).map(source).collect() }
    }

    /// That of `host`.
    #[must_use]
    pub fn of(&self, host: HostIx) -> Duration {
        let own = part(&self.hosts[host], self.contents);
        if own.missing == 0 {
            return Duration::ZERO;
        }
        let down = own.down.and_then(|down| nanos(own.missing, down)).unwrap_or(0);
        let pieces_of = |take: &Take| self.contents[take.content].layout.pieces() as usize;
        let lacks = |take: &&Take| pieces(take).count() < pieces_of(take);
        let lacked = self.hosts[host].takes.iter().filter(lacks);
        let source = lacked.filter_map(|take| self.sources[take.content]).max();
        Duration::from_nanos(own.join.saturating_add(down).max(source.unwrap_or(0)))
    }
}

/// Bytes that a host lacks at its start.
#[must_use]
pub fn missing(host: &HostPlan, contents: &[ContentPlan]) -> u64 {
    part(host, contents).missing
}

fn part(host: &HostPlan, contents: &[ContentPlan]) -> Part {
    let missing = host.takes.iter().map(|take| {
        let layout = contents[take.content].layout;
        let have: u64 = pieces(take).map(|piece| u64::from(layout.piece_len(piece))).sum();
        layout.total() - have
    });
    let lacks = missing.sum();
    let (link, join) = (host.up, host.join.as_nanos());
    Part { link, up: link, down: host.down, join, lacks, missing: lacks }
}

fn fated(part: Part, fate: Fate) -> Part {
    let missing = if fate.stays { part.lacks } else { 0 };
    Part { join: fate.joins.as_nanos(), missing, up: fate.up, ..part }
}

/// What events may make of each host: the earliest start, whether nothing takes it away for good, and what it sends.
fn fates(hosts: &[HostPlan], timeline: &[PlannedEvent]) -> Vec<Fate> {
    let planned = |host: &HostPlan| {
        let lies = matches!(host.behaviour, Behaviour::Liar(_));
        let up = match host.behaviour {
            Behaviour::FreeRider => Some(0),
            other => other.up(host.up),
        };
        Fate { joins: host.join, stays: !lies && !matches!(host.leave, LeavePlan::At(_)), up }
    };
    let mut fates: Vec<Fate> = hosts.iter().map(planned).collect();
    for event in timeline {
        if let Verb::Set(SetPlan { behaviour: Some(_), .. }) = &event.verb {
            let touched = event.on.widest(hosts.len()).into_iter();
            touched.for_each(|host| fates[host].up = hosts[host].up);
        }
        let begins = match event.start {
            Start::At(at) => at,
            Start::When(_) => Time::ZERO,
        };
        let lasts = event.lasts.is_some();
        let (starts, ends) = match event.verb {
            Verb::Restart => (true, false),
            Verb::Join => (true, lasts),
            // The end of a leave starts who has not come yet, too.
            Verb::Leave => (lasts, !lasts),
            Verb::Crash | Verb::PowerOff | Verb::TornWrite | Verb::Wipe => (false, !lasts),
            _ => continue,
        };
        for host in event.on.widest(hosts.len()) {
            let fate = &mut fates[host];
            fate.joins = if starts { fate.joins.min(begins) } else { fate.joins };
            fate.stays &= !ends;
        }
    }
    fates
}

fn pieces(take: &Take) -> impl Iterator<Item = u32> {
    take.have.iter().flat_map(|range| range.0..=range.1)
}

/// The terms of the fluid bound that look at every host's own rates.
fn fluid(parts: &[Part]) -> Option<u64> {
    let receives = |part: &&Part| part.missing > 0;
    let missing: u64 = parts.iter().map(|part| part.missing).sum();
    let downloads = parts.iter().filter(receives).filter_map(|part| {
        let time = part.down.and_then(|down| nanos(part.missing, down));
        time.map(|time| time.saturating_add(part.join)).or(Some(part.join).filter(|&join| join > 0))
    });
    let up: Option<u64> = parts.iter().map(|part| part.up).sum();
    let together = up.filter(|_| missing > 0).and_then(|up| nanos(missing, up));
    downloads.chain(together).max()
}

/// What no receiver of a content has must leave its sources once, if a receiver `stays`.
fn source_term(
    hosts: &[HostPlan],
    contents: &[ContentPlan],
    content: ContentIx,
    fate: &dyn Fn(HostIx) -> Fate,
) -> Option<u64> {
    let layout = contents[content].layout;
    let mut known = vec![false; layout.pieces() as usize];
    let (mut up, mut receivers) = (Some(0), 0);
    for (ix, host) in hosts.iter().enumerate() {
        let Some(take) = host.takes.iter().find(|take| take.content == content) else { continue };
        if pieces(take).count() == known.len() {
            up = up.zip(fate(ix).up).map(|(sum, own)| sum + own);
        } else {
            receivers += u32::from(fate(ix).stays);
            pieces(take).for_each(|piece| known[piece as usize] = true);
        }
    }
    let unknown: u64 = (0..layout.pieces())
        .filter(|&piece| !known[piece as usize])
        .map(|piece| u64::from(layout.piece_len(piece)))
        .sum();
    up.filter(|_| receivers > 0 && unknown > 0).and_then(|up| nanos(unknown, up))
}

/// What must come through the one link of `behind`, with its rate: what nobody behind it has, once; and what its own hosts cannot send
/// each other of all that they lack.
fn shared_terms(
    hosts: &[HostPlan],
    contents: &[ContentPlan],
    fates: &[Fate],
    behind: &dyn Fn(&HostPlan) -> bool,
    rate: u64,
) -> Vec<u64> {
    let takes_part = |host: &HostPlan| !host.takes.is_empty() && behind(host);
    let behind = || hosts.iter().zip(fates).filter(|(host, _)| takes_part(host));
    let mut once = 0;
    for (ix, ContentPlan { layout, .. }) in contents.iter().enumerate() {
        let takes = || {
            behind().filter_map(move |(host, fate)| {
                let take = host.takes.iter().find(|take| take.content == ix)?;
                Some((take, fate))
            })
        };
        let mut known = vec![false; layout.pieces() as usize];
        takes().flat_map(|(take, _)| pieces(take)).for_each(|piece| known[piece as usize] = true);
        // Who stays gets what nobody here has, too.
        if takes().any(|(_, fate)| fate.stays) {
            let unknown = (0..layout.pieces()).filter(|&piece| !known[piece as usize]);
            once += unknown.map(|piece| u64::from(layout.piece_len(piece))).sum::<u64>();
        }
    }
    let parts = || behind().map(|(host, fate)| fated(part(host, contents), *fate));
    let missing: u64 = parts().map(|part| part.missing).sum();
    let up: Option<u64> = parts().map(|part| part.up).sum();
    let together =
        up.filter(|_| missing > 0).and_then(|up| nanos(missing, up.saturating_add(rate)));
    let once = Some(once).filter(|&once| once > 0).and_then(|once| nanos(once, rate));
    once.into_iter().chain(together).collect()
}

/// Why leaves cannot be counted, each reason in a few words; none where they are.
#[must_use]
pub fn why_not_counted(
    hosts: &[HostPlan],
    contents: &[ContentPlan],
    timeline: &[PlannedEvent],
) -> Vec<&'static str> {
    let fates = fates(hosts, timeline);
    let takers = hosts.iter().zip(fates).filter(|(host, _)| !host.takes.is_empty());
    let parts: Vec<Part> = takers.map(|(host, fate)| fated(part(host, contents), fate)).collect();
    obstacles(contents, &parts)
}

/// What is otherwise than where it applies: one content, one source, receivers with nothing, all there from the start, of one rate, and
/// downloads no slower.
fn obstacles(contents: &[ContentPlan], parts: &[Part]) -> Vec<&'static str> {
    let total: u64 = contents.iter().map(|content| content.layout.total()).sum();
    let sources = parts.iter().filter(|part| part.lacks == 0).count();
    let (rate, any) = (parts.first().and_then(|part| part.link), |is: &dyn Fn(&Part) -> bool| {
        parts.iter().any(is)
    });
    let reasons = [
        (contents.len() != 1, "there are several contents"),
        (total == 0, "there is nothing to send"),
        (sources > 1, "there are several sources"),
        (sources == 0, "nobody has everything"),
        (!any(&|part| part.missing == total), "nobody stays who lacks everything"),
        (any(&|part| part.link.is_none()), "uplinks are unlimited"),
        (any(&|part| part.link != rate), "uplinks differ"),
        (
            any(&|part| part.down.is_some() && part.down < part.link),
            "downlinks are slower than uplinks",
        ),
        (any(&|part| part.join > 0), "hosts join later"),
        (any(&|part| part.lacks > 0 && part.lacks < total), "receivers have a part of it"),
    ];
    reasons.into_iter().filter(|(is_so, _)| *is_so).map(|(_, reason)| reason).collect()
}

fn counted(contents: &[ContentPlan], parts: &[Part]) -> Option<u64> {
    if !obstacles(contents, parts).is_empty() {
        return None;
    }
    let (content, rate) = (contents.first()?, parts.first()?.link?);
    let total = content.layout.total();
    // However many only help: those who have a leaf are twice as many after each round at the most, whoever they are.
    let receivers = parts.iter().filter(|part| part.missing == total).count() as u64;
    // The last leaf may be shorter: whichever leaves the source last, none is sooner out than the shortest.
    let shortest = content.layout.last_leaf_bytes();
    nanos(total + u64::from(receivers.ilog2()) * u64::from(shortest), rate)
}

/// Nanoseconds for `bytes` at `rate`, rounded down. `None` if the rate is zero: never.
fn nanos(bytes: u64, rate: u64) -> Option<u64> {
    let nanos = u128::from(bytes) * 1_000_000_000;
    Some(u64::try_from(nanos.checked_div(rate.into())?).unwrap_or(u64::MAX))
}
