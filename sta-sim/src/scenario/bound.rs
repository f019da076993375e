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
//! Exact integers, rounded down to the nanosecond: a bound may be too low, never too high.

use std::time::Duration;

use super::plan::{BoundPlan, ContentIx, ContentPlan, HostIx, HostPlan, Take};

#[cfg(test)]
mod tests;

/// One host's part.
#[derive(Clone, Copy, Debug)]
struct Part {
    up: Option<u64>,
    down: Option<u64>,
    join: u64,
    missing: u64,
}

/// The bound for all of `contents` together. `None` where no rate limits anything.
#[must_use]
pub fn bound(hosts: &[HostPlan], contents: &[ContentPlan]) -> Option<BoundPlan> {
    let takers = hosts.iter().filter(|host| !host.takes.is_empty());
    let parts: Vec<Part> = takers.map(|host| part(host, contents)).collect();
    let source_terms = (0..contents.len()).filter_map(|ix| source_term(hosts, contents, ix));
    let fluid = fluid(&parts).into_iter().chain(source_terms).max();
    let counted = match contents {
        [content] => counted(content, &parts),
        _ => None,
    };
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
    content: ContentIx,
) -> Option<BoundPlan> {
    let mut alone = hosts.to_vec();
    for host in &mut alone {
        host.takes.retain(|take| take.content == content);
        host.takes.iter_mut().for_each(|take| take.content = 0);
    }
    bound(&alone, std::slice::from_ref(&contents[content]))
}

/// The least time in which one of `hosts` can have everything, whatever becomes of the other receivers.
#[must_use]
pub fn least(hosts: &[HostPlan], contents: &[ContentPlan], host: HostIx) -> Duration {
    let own = part(&hosts[host], contents);
    if own.missing == 0 {
        return Duration::ZERO;
    }
    let down = own.down.and_then(|down| nanos(own.missing, down)).unwrap_or(0);
    let lacks =
        |take: &&Take| pieces(take).count() < contents[take.content].layout.pieces() as usize;
    let lacked = hosts[host].takes.iter().filter(lacks);
    let source = lacked.filter_map(|take| source_term(hosts, contents, take.content)).max();
    Duration::from_nanos(own.join.saturating_add(down).max(source.unwrap_or(0)))
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
    Part { up: host.up, down: host.down, join: host.join.as_nanos(), missing: missing.sum() }
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

/// What no receiver of a content has must leave its sources once.
fn source_term(hosts: &[HostPlan], contents: &[ContentPlan], content: usize) -> Option<u64> {
    let layout = contents[content].layout;
    let mut known = vec![false; layout.pieces() as usize];
    let (mut up, mut receivers) = (Some(0), 0);
    for host in hosts {
        let Some(take) = host.takes.iter().find(|take| take.content == content) else { continue };
        if pieces(take).count() == known.len() {
            up = up.zip(host.up).map(|(sum, own)| sum + own);
        } else {
            receivers += 1;
            pieces(take).for_each(|piece| known[piece as usize] = true);
        }
    }
    let unknown: u64 = (0..layout.pieces())
        .filter(|&piece| !known[piece as usize])
        .map(|piece| u64::from(layout.piece_len(piece)))
        .sum();
    up.filter(|_| receivers > 0 && unknown > 0).and_then(|up| nanos(unknown, up))
}

/// Where it applies: one source, receivers with nothing, all there from the start, of one rate, and downloads no
/// slower.
fn counted(content: &ContentPlan, parts: &[Part]) -> Option<u64> {
    let total = content.layout.total();
    let sources = parts.iter().filter(|part| part.missing == 0).count();
    let receivers = parts.iter().filter(|part| part.missing == total).count() as u64;
    let rate = parts.first()?.up?;
    let equal = parts.iter().all(|part| {
        part.up == Some(rate) && part.down.is_none_or(|down| down >= rate) && part.join == 0
    });
    let applies = equal && total > 0 && sources == 1 && receivers > 0;
    if !applies || sources + receivers as usize != parts.len() {
        return None;
    }
    // The last leaf may be shorter: whichever leaves the source last, none is sooner out than the shortest.
    let shortest = content.layout.last_leaf_bytes();
    nanos(total + u64::from(receivers.ilog2()) * u64::from(shortest), rate)
}

/// Nanoseconds for `bytes` at `rate`, rounded down. `None` if the rate is zero: never.
fn nanos(bytes: u64, rate: u64) -> Option<u64> {
    let nanos = u128::from(bytes) * 1_000_000_000;
    Some(u64::try_from(nanos.checked_div(rate.into())?).unwrap_or(u64::MAX))
}
