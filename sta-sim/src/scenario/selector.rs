//! Who is meant: `leech[*]`, `any(3, leech)`, `seed + leech[1]`, `incomplete - leech[0..4]`.
//!
//! Groups are looked up when the text is read; what depends on the run or on chance is found when it is asked for.

use std::fmt;

use serde::Serialize;
use sta_core::model::rng::Rng;

use super::dist::below;
use super::plan::HostIx;
use super::units::Ppm;

pub mod parse;

/// A set of hosts, perhaps known only during the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    text: String,
    expr: Expr,
}

/// What a selector is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    /// These, ascending.
    Hosts(Vec<HostIx>),
    /// So many of them, drawn from those that run; all where there are fewer.
    Any(u32, Box<Self>),
    /// This share of those that run, rounded to the nearest and at least one, drawn.
    Share(Ppm, Box<Self>),
    /// The running nodes that lack nothing.
    Complete,
    /// The running nodes that lack something.
    Incomplete,
    /// The running nodes that hold the piece which the fewest of them hold.
    HoldersOfRarest,
    /// Both.
    Plus(Box<Self>, Box<Self>),
    /// The first without the second.
    Minus(Box<Self>, Box<Self>),
}

/// What a selector is resolved against. The driver is one.
pub trait Roll {
    /// How many hosts there are.
    fn hosts(&self) -> usize;
    /// Whether the host's process runs.
    fn runs(&self, host: HostIx) -> bool;
    /// Whether the host is a node that lacks nothing; `None` for a tracker.
    fn complete(&self, host: HostIx) -> Option<bool>;
    /// The running nodes that hold the piece which the fewest of them hold. Empty if there is no piece.
    fn holders_of_rarest(&self) -> Vec<HostIx>;
}

impl Selector {
    /// The hosts, if neither the run nor chance decides who they are.
    #[must_use]
    pub fn fixed(&self) -> Option<Vec<HostIx>> {
        self.expr.fixed()
    }

    /// How many it can mean at most, where so many hosts are nodes.
    #[must_use]
    pub fn most(&self, nodes: usize) -> usize {
        self.expr.most(nodes)
    }

    /// Whoever it can mean, of so many hosts, ascending.
    #[must_use]
    pub fn widest(&self, hosts: usize) -> Vec<HostIx> {
        self.expr.widest(hosts)
    }

    /// Whether chance decides who they are.
    #[must_use]
    pub fn draws(&self) -> bool {
        self.expr.draws()
    }

    /// Who is meant now, ascending. Draws from `rng` only where the selector asks for chance.
    #[must_use]
    pub fn resolve(&self, roll: &dyn Roll, rng: &mut Rng) -> Vec<HostIx> {
        self.expr.resolve(roll, rng)
    }
}

impl Expr {
    pub(super) fn fixed(&self) -> Option<Vec<HostIx>> {
        match self {
            Self::Hosts(hosts) => Some(hosts.clone()),
            Self::Plus(a, b) => Some(union(&a.fixed()?, &b.fixed()?)),
            Self::Minus(a, b) => Some(without(&a.fixed()?, &b.fixed()?)),
            _ => None,
        }
    }

    fn most(&self, nodes: usize) -> usize {
        match self {
            Self::Hosts(hosts) => hosts.len(),
            Self::Any(count, of) => of.most(nodes).min(*count as usize),
            Self::Share(_, of) => of.most(nodes),
            Self::Complete | Self::Incomplete | Self::HoldersOfRarest => nodes,
            Self::Plus(a, b) => a.most(nodes) + b.most(nodes),
            Self::Minus(a, _) => a.most(nodes),
        }
    }

    fn widest(&self, hosts: usize) -> Vec<HostIx> {
        match self {
            Self::Hosts(hosts) => hosts.clone(),
            Self::Any(_, of) | Self::Share(_, of) => of.widest(hosts),
            Self::Complete | Self::Incomplete | Self::HoldersOfRarest => (0..hosts).collect(),
            Self::Plus(a, b) => union(&a.widest(hosts), &b.widest(hosts)),
            Self::Minus(a, b) => without(&a.widest(hosts), &b.fixed().unwrap_or_default()),
        }
    }

    fn draws(&self) -> bool {
        match self {
            Self::Any(..) | Self::Share(..) => true,
            Self::Plus(a, b) | Self::Minus(a, b) => a.draws() || b.draws(),
            _ => false,
        }
    }

    fn resolve(&self, roll: &dyn Roll, rng: &mut Rng) -> Vec<HostIx> {
        let running = |wanted: &dyn Fn(HostIx) -> bool| -> Vec<HostIx> {
            (0..roll.hosts()).filter(|&host| roll.runs(host) && wanted(host)).collect()
        };
        match self {
            Self::Hosts(hosts) => hosts.clone(),
            Self::Any(count, of) => {
                let mut from = of.resolve(roll, rng);
                from.retain(|&host| roll.runs(host));
                draw(*count as usize, from, rng)
            }
            Self::Share(share, of) => {
                let mut from = of.resolve(roll, rng);
                from.retain(|&host| roll.runs(host));
                let count = (from.len() as u64 * u64::from(share.0) + 500_000) / 1_000_000;
                draw(count.max(1) as usize, from, rng)
            }
            Self::Complete => running(&|host| roll.complete(host) == Some(true)),
            Self::Incomplete => running(&|host| roll.complete(host) == Some(false)),
            Self::HoldersOfRarest => roll.holders_of_rarest(),
            Self::Plus(a, b) => union(&a.resolve(roll, rng), &b.resolve(roll, rng)),
            Self::Minus(a, b) => without(&a.resolve(roll, rng), &b.resolve(roll, rng)),
        }
    }
}

/// `count` of `from`, each set as likely as another, ascending.
fn draw(count: usize, mut from: Vec<HostIx>, rng: &mut Rng) -> Vec<HostIx> {
    let count = count.min(from.len());
    for i in 0..count {
        let other = i + below(from.len() - i, rng);
        from.swap(i, other);
    }
    from.truncate(count);
    from.sort_unstable();
    from
}

fn union(a: &[HostIx], b: &[HostIx]) -> Vec<HostIx> {
    let mut both = [a, b].concat();
    both.sort_unstable();
    both.dedup();
    both
}

fn without(a: &[HostIx], b: &[HostIx]) -> Vec<HostIx> {
    a.iter().copied().filter(|host| b.binary_search(host).is_err()).collect()
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
