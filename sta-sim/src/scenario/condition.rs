//! When something is true: `progress of leech[*] >= 50%`, `count(complete) >= 3`, `event(cut) + 5s`.
//!
//! A condition is looked at again and again, so it may not draw: `any` and `share` are refused in it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use sta_core::model::rng::Rng;
use sta_core::model::time::Time;

use super::nearest::nearest;
use super::selector::parse::Roster;
use super::selector::{Roll, Selector};
use super::units::{self, Ppm};
use super::view::View;

/// A condition on a run. Once it holds, what waits for it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub(super) text: String,
    pub(super) expr: Expr,
}

/// What a condition asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    /// Bytes verified by all of these together over the bytes they want.
    Progress { of: Selector, at_least: Ppm },
    /// How many hosts are selected.
    Count { of: Selector, cmp: Cmp, number: u32 },
    /// So long after the event of this id ended (began, where it does not last).
    After { event: String, delay: Duration },
    /// Events of this kind have happened so often.
    Happened { kind: String, at_least: u64 },
}

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cmp {
    AtLeast,
    AtMost,
    Exactly,
}

impl Cmp {
    fn holds(self, count: u64, number: u32) -> bool {
        match self {
            Self::AtLeast => count >= u64::from(number),
            Self::AtMost => count <= u64::from(number),
            Self::Exactly => count == u64::from(number),
        }
    }
}

/// What a condition is asked of. The driver is one.
pub trait Scene: Roll {
    /// The world.
    fn view(&self) -> &dyn View;
    /// When the last occurrence so far of the event ended.
    fn ended(&self, event: &str) -> Option<Time>;
}

impl Condition {
    /// Whether it holds at `now`.
    pub fn holds(&self, now: Time, scene: &dyn Scene, rng: &mut Rng) -> bool {
        match &self.expr {
            Expr::Progress { of, at_least } => {
                let (mut have, mut all) = (0u128, 0u128);
                for host in of.resolve(scene, rng) {
                    let progress = scene.view().progress(host);
                    have += u128::from(progress.have.min(progress.of));
                    all += u128::from(progress.of);
                }
                have * 1_000_000 >= all * u128::from(at_least.0)
            }
            Expr::Count { of, cmp, number } => {
                cmp.holds(of.resolve(scene, rng).len() as u64, *number)
            }
            Expr::After { event, delay } => {
                scene.ended(event).is_some_and(|ended| ended + *delay <= now)
            }
            Expr::Happened { kind, at_least } => scene.view().happened(kind) >= *at_least,
        }
    }
}

/// What a condition may speak of.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// The groups.
    pub roster: &'a Roster,
    /// The ids of the timeline's events.
    pub events: &'a [String],
    /// The kinds of events in the log.
    pub kinds: &'a [&'a str],
    /// How many hosts are nodes.
    pub nodes: usize,
}

/// Why a text is not a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConditionError(String);

const FORMS: &str = "\"progress of leech[*] >= 50%\", \"count(complete) >= 3\", \"event(ID) + 5s\" or \"first(piece-failed)\"";

impl Condition {
    /// Reads `text`.
    ///
    /// # Errors
    /// If it is not a condition, or speaks of what is not there.
    pub fn parse(text: &str, known: Known<'_>) -> Result<Self, ConditionError> {
        let form = || ConditionError(format!("{text:?} is not a condition; write {FORMS}"));
        let expr = if let Some(rest) = text.strip_prefix("progress of ") {
            let (of, share) = rest.split_once(">=").ok_or_else(form)?;
            let of = steady(of.trim(), known.roster)?;
            // Trackers come first. They lack nothing, so that it would hold at once.
            let trackers = known.roster.len().saturating_sub(known.nodes);
            if of.fixed().is_some_and(|hosts| hosts.iter().all(|host| *host < trackers)) {
                return Err(ConditionError(format!(
                    "{text:?} says nothing: \"{of}\" fetch nothing, being trackers; name nodes"
                )));
            }
            Expr::Progress { of, at_least: units::share(share.trim()).map_err(said)? }
        } else if let Some(rest) = text.strip_prefix("count(") {
            let (of, rest) = rest.rsplit_once(')').ok_or_else(form)?;
            let rest = rest.trim();
            let signs = [(">=", Cmp::AtLeast), ("<=", Cmp::AtMost), ("==", Cmp::Exactly)];
            let found = signs.iter().find_map(|(sign, cmp)| Some((*cmp, rest.strip_prefix(sign)?)));
            let (cmp, number) = found.ok_or_else(form)?;
            let digits = number.trim();
            if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
                return Err(form());
            }
            // There are never so many hosts.
            let number = digits.parse().unwrap_or(u32::MAX);
            let of = steady(of, known.roster)?;
            // Those that are named are always as many; of others it is known how many there can be.
            let (named, most) = (of.fixed().map(|hosts| hosts.len()), of.most(known.nodes));
            let never = match named {
                Some(named) => !cmp.holds(named as u64, number),
                None => cmp != Cmp::AtMost && number as usize > most,
            };
            if never {
                let at_most = if named.is_some() { "" } else { " at most" };
                return Err(ConditionError(format!(
                    "{text:?} never holds: \"{of}\" are {most} hosts{at_most}"
                )));
            }
            Expr::Count { of, cmp, number }
        } else if let Some(rest) = text.strip_prefix("event(") {
            let (event, delay) = rest.split_once(')').ok_or_else(form)?;
            let delay = match delay.trim().strip_prefix('+') {
                Some(delay) => units::duration(delay.trim()).map_err(said)?,
                None if delay.trim().is_empty() => 0,
                None => return Err(form()),
            };
            named("event", event, known.events.iter().map(String::as_str))?;
            Expr::After { event: event.to_owned(), delay: Duration::from_nanos(delay) }
        } else if let Some(rest) = text.strip_prefix("first(") {
            let kind = rest.strip_suffix(')').ok_or_else(form)?;
            named("kind of event in the log", kind, known.kinds.iter().copied())?;
            Expr::Happened { kind: kind.to_owned(), at_least: 1 }
        } else {
            return Err(form());
        };
        Ok(Self { text: text.to_owned(), expr })
    }

    /// The event for whose end it waits, if it waits for one, and how long after that it holds.
    #[must_use]
    pub fn after(&self) -> Option<(&str, Duration)> {
        match &self.expr {
            Expr::After { event, delay } => Some((event, *delay)),
            _ => None,
        }
    }
}

fn said(error: impl fmt::Display) -> ConditionError {
    ConditionError(error.to_string())
}

fn steady(text: &str, roster: &Roster) -> Result<Selector, ConditionError> {
    let selector = Selector::parse(text, roster).map_err(said)?;
    if selector.draws() {
        return Err(ConditionError(format!(
            "{text:?} draws hosts, and a condition must not; name a group"
        )));
    }
    Ok(selector)
}

/// Whether `name` is one of `known`.
///
/// # Errors
/// If it is not: what it may have meant.
pub(super) fn named<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), ConditionError> {
    if known.clone().any(|other| other == name) {
        return Ok(());
    }
    let hint = match nearest(name, known.clone()) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.clone().next().is_none() => "there are none".to_owned(),
        None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
    };
    Err(ConditionError(format!("there is no {what} {name:?}; {hint}")))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Condition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}
