//! Reads selectors.
//!
//! ```text
//! sum  = term (("+" | "-") term)*
//! term = "(" sum ")" | "*" | "complete" | "incomplete" | "holders(rarest)"
//!      | "any(" number "," sum ")" | "share(" percentage "," sum ")" | "site(" site ")" | group [ "[" which "]" ]
//! which = "*" | number | number ".." number
//! ```

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Expr, Selector};
use crate::scenario::nearest::nearest;
use crate::scenario::plan::HostIx;
use crate::scenario::units::{self, Ppm};

/// Deepest nesting of parentheses; nobody writes three.
const DEPTH_MAX: u32 = 16;

/// Which hosts a group has, and a site.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    groups: Vec<(String, Range<HostIx>)>,
    sites: BTreeMap<String, Vec<HostIx>>,
}

/// Why a text is not a selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct SelectorError {
    why: String,
}

/// Words that mean something by themselves, so that no group may be called so.
pub const RESERVED: [&str; 6] = ["any", "share", "site", "complete", "incomplete", "holders"];

impl Roster {
    /// Adds a group of `count` hosts after the hosts known so far, which are of `site`.
    pub fn push(&mut self, name: &str, count: u32, site: Option<&str>) {
        let first = self.len();
        let hosts = first..first + count as usize;
        if let Some(site) = site {
            self.sites.entry(site.to_owned()).or_default().extend(hosts.clone());
        }
        self.groups.push((name.to_owned(), hosts));
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.last().map_or(0, |(_, hosts)| hosts.end)
    }

    /// Whether the host is of a site.
    #[must_use]
    pub fn has_site(&self, host: HostIx) -> bool {
        self.sites.values().any(|hosts| hosts.contains(&host))
    }

    /// Whether there is no host.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The groups' names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.groups.iter().map(|(name, _)| name.as_str())
    }
}

impl Selector {
    /// Reads `text`.
    ///
    /// # Errors
    /// If it is not a selector, names a group or a host that is not there, or matches nobody for certain.
    pub fn parse(text: &str, roster: &Roster) -> Result<Self, SelectorError> {
        let mut parser = Parser { text, at: 0, roster, depth: 0 };
        let expr = parser.sum()?;
        if !parser.rest().is_empty() {
            return Err(parser.refused("the end, \"+\" or \"-\""));
        }
        if expr.fixed().is_some_and(|hosts| hosts.is_empty()) {
            return Err(SelectorError { why: format!("{text:?} matches no host") });
        }
        Ok(Self { text: text.to_owned(), expr })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    roster: &'a Roster,
    depth: u32,
}

impl<'a> Parser<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), SelectorError> {
        if self.take(token) { Ok(()) } else { Err(self.refused(&format!("{token:?}"))) }
    }

    fn refused(&mut self, wanted: &str) -> SelectorError {
        let found = match self.rest().chars().next() {
            Some(c) => format!("{c:?}"),
            None => "the end".to_owned(),
        };
        let column = self.text[..self.at].chars().count() + 1;
        SelectorError {
            why: format!(
                "{:?} is not a selector: at character {column} stands {found} where {wanted} belongs",
                self.text
            ),
        }
    }

    /// The characters from here on that `keep` takes.
    fn word(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn number(&mut self) -> Result<u32, SelectorError> {
        let digits = self.word(|c| c.is_ascii_digit());
        if digits.is_empty() {
            return Err(self.refused("a number"));
        }
        // There are never so many hosts, whatever the number is.
        Ok(digits.parse().unwrap_or(u32::MAX).min(u32::MAX - 1))
    }

    fn sum(&mut self) -> Result<Expr, SelectorError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(SelectorError { why: "a selector nests too deeply".to_owned() });
        }
        let mut sum = self.term()?;
        loop {
            if self.take("+") {
                sum = Expr::Plus(Box::new(sum), Box::new(self.term()?));
            } else if self.take("-") {
                sum = Expr::Minus(Box::new(sum), Box::new(self.term()?));
            } else {
                self.depth -= 1;
                return Ok(sum);
            }
        }
    }

    fn term(&mut self) -> Result<Expr, SelectorError> {
        if self.take("(") {
            let sum = self.sum()?;
            self.expect(")")?;
            return Ok(sum);
        }
        if self.take("*") {
            return Ok(Expr::Hosts((0..self.roster.len()).collect()));
        }
        let name = self.word(is_of_name);
        match name {
            "" => Err(self.refused("a group")),
            "complete" => Ok(Expr::Complete),
            "incomplete" => Ok(Expr::Incomplete),
            "any" => {
                self.expect("(")?;
                let count = self.number()?;
                if count == 0 {
                    return Err(SelectorError { why: format!("{:?} draws nobody", self.text) });
                }
                let from = self.drawn_from()?;
                let there = from.fixed().map_or(self.roster.len(), |hosts| hosts.len());
                if count as usize > there {
                    let why = format!("{:?} draws {count} of {there} hosts", self.text);
                    return Err(SelectorError { why });
                }
                Ok(Expr::Any(count, from))
            }
            "share" => {
                self.expect("(")?;
                let text = self.word(|c| c.is_ascii_digit() || c == '.' || c == '%');
                let share = units::share(text)
                    .map_err(|why| SelectorError { why: format!("in {:?}: {why}", self.text) })?;
                if share == Ppm::NONE {
                    return Err(SelectorError { why: format!("{:?} draws nobody", self.text) });
                }
                Ok(Expr::Share(share, self.drawn_from()?))
            }
            "holders" => {
                self.expect("(")?;
                self.expect("rarest")?;
                self.expect(")")?;
                Ok(Expr::HoldersOfRarest)
            }
            "site" => {
                self.expect("(")?;
                let site = self.word(is_of_name);
                let hosts = self.roster.sites.get(site).cloned();
                if self.roster.sites.is_empty() {
                    let why = format!(
                        "there is no site {site:?}; write site = {site:?} in a [[group]], and a [[site]]"
                    );
                    return Err(SelectorError { why });
                }
                let known = self.roster.sites.keys().map(String::as_str);
                let hosts = hosts.ok_or_else(|| nothing_called("site", site, known, &[]))?;
                self.expect(")")?;
                Ok(Expr::Hosts(hosts))
            }
            group => self.members(group),
        }
    }

    fn drawn_from(&mut self) -> Result<Box<Expr>, SelectorError> {
        self.expect(",")?;
        let from = self.sum()?;
        self.expect(")")?;
        Ok(Box::new(from))
    }

    fn members(&mut self, group: &str) -> Result<Expr, SelectorError> {
        let found = self.roster.groups.iter().find(|(name, _)| name == group);
        let Some((_, hosts)) = found else {
            let of_log = group.rsplit_once('-').filter(|(name, number)| {
                number.parse::<u32>().is_ok() && self.roster.names().any(|known| known == *name)
            });
            if let Some((name, number)) = of_log {
                let why =
                    format!("{group:?} is what the log calls a host; write {name}[{number}] here");
                return Err(SelectorError { why });
            }
            return Err(nothing_called("group", group, self.roster.names(), &RESERVED));
        };
        if !self.take("[") {
            return Ok(Expr::Hosts(hosts.clone().collect()));
        }
        let count = hosts.len() as u32;
        let (from, to) = if self.take("*") {
            (0, count)
        } else {
            let from = self.number()?;
            let to = if self.take("..") { self.number()? } else { from.saturating_add(1) };
            (from, to)
        };
        self.expect("]")?;
        if count == 0 {
            return Err(SelectorError { why: format!("{group:?} has no host") });
        }
        if from >= to {
            let why = format!(
                "{:?} is an empty range: the first number belongs to it, the last does not; {group}[2..4] is two hosts",
                self.text
            );
            return Err(SelectorError { why });
        }
        if to > count {
            return Err(SelectorError {
                why: format!(
                    "{:?} is not there: {group} has {count} hosts, {group}[0] to {group}[{}]",
                    self.text,
                    count.saturating_sub(1)
                ),
            });
        }
        let first = hosts.start;
        Ok(Expr::Hosts((first + from as usize..first + to as usize).collect()))
    }
}

/// Whether a name of a group or a site may have it.
pub fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// There is no such group or site. `words` could be meant as well.
fn nothing_called<'a>(
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    words: &[&'a str],
) -> SelectorError {
    let hint = match nearest(name, known.clone().chain(words.iter().copied())) {
        Some(near) => format!("; did you mean {near:?}?"),
        None => format!("; the {what}s are {}", known.collect::<Vec<_>>().join(", ")),
    };
    SelectorError { why: format!("there is no {what} {name:?}{hint}") }
}
