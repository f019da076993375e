//! From a file to a [`Plan`]: what its texts mean, for one seed and one cell of the matrix.
//!
//! All mistakes are gathered, not only the first. Draws come from streams named after what they are for
//! (`"host/leech[3]/up"`), so that adding a host or an event changes nothing else.

use std::fmt;
use std::time::Duration;

use sta_core::model::rng::Seed;
use sta_core::model::time::Time;

use super::bound;
use super::mistake::{Mistake, Place};
use super::plan::{Check, Plan, World};
use super::schema::{File, SCHEMA, WorldName};
use super::selector::Selector;
use super::selector::parse::Roster;
use super::site::Core;
use super::units;
use crate::runlog::Kind;

mod certain;
mod contents;
mod expect;
mod hosts;
mod sites;
mod timeline;
mod vain;
mod waits;

/// Nanoseconds, a century: the deadline of a file that gives none that can be read. Nothing is told that it comes too late.
const UNKNOWN_DEADLINE: u64 = 100 * 365 * 86_400 * 1_000_000_000;

/// What a file becomes a plan with.
#[derive(Clone, Debug)]
pub struct Run {
    /// The root of all randomness.
    pub seed: u64,
    /// Where it runs.
    pub world: World,
    /// The cell of the matrix, as written.
    pub cell: Vec<(String, String)>,
}

impl From<WorldName> for World {
    fn from(name: WorldName) -> Self {
        match name {
            WorldName::Turmoil => Self::Turmoil,
            WorldName::Flow => Self::Flow,
            WorldName::Tcp => Self::Tcp,
        }
    }
}

/// The worlds that a file is meant for.
#[must_use]
pub fn worlds(file: &File) -> Vec<World> {
    match file.worlds.as_slice() {
        [] => vec![World::Turmoil],
        named => named.iter().map(|&name| name.into()).collect(),
    }
}

/// What `file` means.
///
/// # Errors
/// Every mistake in it.
pub fn resolve(file: &File, about: &str, run: &Run) -> Result<Plan, Vec<Mistake>> {
    let mut resolver = Resolver {
        file,
        seed: Seed(run.seed),
        roster: Roster::default(),
        core: Core::default(),
        deadline: Time::ZERO,
        healed: Time::ZERO,
        healed_is_wrong: false,
        mistakes: Vec::new(),
    };
    let plan = resolver.plan(about, run);
    plan.filter(|_| resolver.mistakes.is_empty()).ok_or(resolver.mistakes)
}

/// Reads a file, and remembers what is wrong with it.
struct Resolver<'a> {
    file: &'a File,
    seed: Seed,
    roster: Roster,
    core: Core,
    deadline: Time,
    healed: Time,
    /// What depends on `healed` is then not looked at: it would be told of the same mistake.
    healed_is_wrong: bool,
    mistakes: Vec<Mistake>,
}

impl Resolver<'_> {
    /// `None` if it is too large to be looked at.
    fn plan(&mut self, about: &str, run: &Run) -> Option<Plan> {
        self.version();
        self.clock();
        let latency = self.or_default(
            &self.file.network.latency,
            &Place::top("network").key("latency"),
            "0s",
        );
        let lasted = self.file.capsule.as_ref().and_then(|capsule| capsule.lasted.as_ref());
        let place = Place::top("capsule").key("lasted");
        let lasted = lasted.map_or(0, |text| self.duration(text, &place));
        self.core = Core { latency: Duration::from_nanos(latency), sites: self.sites() };
        let mut hosts = self.hosts()?;
        let mut contents = self.contents(&mut hosts);
        let timeline = self.timeline();
        let faults = self.faults();
        let expectations = self.expectations(&hosts, &contents, &timeline);
        self.cover();
        for ix in 0..contents.len() {
            contents[ix].bound = bound::of_one(&hosts, &contents, &timeline, &self.core.sites, ix);
        }
        Some(Plan {
            name: self.file.name.clone(),
            about: self.file.about.clone().unwrap_or_else(|| about.to_owned()),
            seed: run.seed,
            world: run.world,
            cell: run.cell.clone(),
            deadline: self.deadline,
            healed: self.healed,
            lasts: Time::from_nanos(lasted),
            core: std::mem::take(&mut self.core),
            hosts,
            contents,
            timeline,
            faults,
            expectations,
            cover: self.file.cover.clone(),
            must_fail: self.file.must_fail.map(|check| expect::name(check).to_owned()),
        })
    }

    fn version(&mut self) {
        let schema = self.file.schema;
        if schema == SCHEMA {
            return;
        }
        let what = if self.file.capsule.is_some() { "a capsule" } else { "a file" };
        self.wrong(
            &Place::top("schema"),
            format!("{what} of schema {schema}; this sta-sim reads schema {SCHEMA}: write schema = {SCHEMA}, or replay it with the version that wrote it"),
        );
    }

    fn clock(&mut self) {
        let place = Place::top("clock");
        let read = units::duration(&self.file.clock.deadline);
        let deadline = self.check(read, &place.key("deadline")).unwrap_or(UNKNOWN_DEADLINE);
        if deadline == 0 {
            self.wrong(&place.key("deadline"), "a run that ends at once proves nothing");
        }
        let deadline = if deadline == 0 { UNKNOWN_DEADLINE } else { deadline };
        let healed = self.file.clock.healed.as_ref();
        let healed = healed.map(|text| self.check(units::duration(text), &place.key("healed")));
        self.healed_is_wrong = healed == Some(None);
        let healed = healed.flatten().unwrap_or(deadline);
        if healed > deadline {
            self.healed_is_wrong = true;
            self.wrong(
                &place.key("healed"),
                "is after the deadline; nothing would be left to watch",
            );
        }
        (self.deadline, self.healed) = (Time::from_nanos(deadline), Time::from_nanos(healed));
    }

    /// `cover` and `must-fail`.
    fn cover(&mut self) {
        for (ix, kind) in self.file.cover.iter().enumerate() {
            let place = Place::top("cover").index(ix);
            let known = Kind::EVENTS.iter().copied();
            let named = super::condition::named("kind of event in the log", kind, known);
            self.check(named, &place);
        }
        if let Some(check) = self.file.must_fail {
            let name = expect::name(check);
            let always = [Check::Integrity.name(), Check::Manners.name()];
            if !always.contains(&name) && !self.file.expect.iter().any(|e| e.that == check) {
                self.wrong(
                    &Place::top("must-fail"),
                    format!("nothing evaluates {name:?}; add an [[expect]] with that = {name:?}"),
                );
            }
        }
    }

    fn wrong(&mut self, place: &Place, why: impl fmt::Display) {
        self.note(Mistake::new(place, why));
    }

    /// The key itself is wrong, whatever stands there.
    fn wrong_key(&mut self, place: &Place, why: impl fmt::Display) {
        self.note(Mistake::of_key(place, why));
    }

    fn note(&mut self, mistake: Mistake) {
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// The value, or `None` and a mistake.
    fn check<T, E: fmt::Display>(&mut self, result: Result<T, E>, place: &Place) -> Option<T> {
        result.map_err(|error| self.wrong(place, error)).ok()
    }

    /// The quantity; 0 and a mistake if it is none.
    fn duration(&mut self, text: &str, place: &Place) -> u64 {
        self.check(units::duration(text), place).unwrap_or(0)
    }

    fn or_default(&mut self, text: &Option<String>, place: &Place, default: &str) -> u64 {
        self.duration(text.as_deref().unwrap_or(default), place)
    }

    /// A rate that must not be zero.
    fn rate(&mut self, text: Option<&String>, place: &Place) -> Option<u64> {
        let rate = self.check(units::rate(text?), place)?;
        if rate == 0 {
            self.wrong(
                place,
                "a rate of zero never ends; leave the key out for unlimited, or use a cut",
            );
            return None;
        }
        Some(rate)
    }

    fn selector(&mut self, text: &str, place: &Place) -> Option<Selector> {
        let read = Selector::parse(text, &self.roster);
        self.check(read, place)
    }
}
