//! Groups and hosts.

use std::collections::BTreeSet;
use std::time::Duration;

use sta_core::model::config::EngineConfig;
use sta_core::model::time::Time;

use super::Resolver;
use crate::scenario::dist::Dist;
use crate::scenario::knobs::{self, KnobError, Knobs};
use crate::scenario::mistake::Place;
use crate::scenario::nearest::nearest;
use crate::scenario::plan::{Behaviour, DiskPlan, HostPlan, LeavePlan, Role};
use crate::scenario::schema::{Disk, Group, RoleName};
use crate::scenario::selector::Selector;
use crate::scenario::selector::parse::RESERVED;
use crate::scenario::text::{self, Join, Quantity};
use crate::scenario::units::{self, Ppm};

/// Most hosts of a file: ten times what the flow world is for.
const HOSTS_MAX: u64 = 100_000;
/// Beyond this TCP waits for its timeouts most of the time, and the formula of what it carries (`world/loss.rs`) says far too much.
const LOSS_MAX: Ppm = Ppm(100_000);
/// One-way delay of a host whose group says nothing: a local network seen through turmoil's clock of 1 ms.
const LATENCY_USUAL: &str = "1ms";

impl Resolver<'_> {
    /// Every host, trackers first; `None` if there are too many.
    pub(super) fn hosts(&mut self) -> Option<Vec<HostPlan>> {
        let file = self.file;
        let mut order: Vec<(usize, RoleName)> = Vec::new();
        for (ix, group) in file.group.iter().enumerate() {
            let place = Place::top("group").index(ix);
            self.group_name(group, &place);
            order.push((ix, self.role(group, &place)));
        }
        order.sort_by_key(|(_, role)| *role != RoleName::Tracker);
        let count: u64 = file.group.iter().map(|group| u64::from(group.count)).sum();
        if count > HOSTS_MAX {
            let why = format!("{count} hosts are more than {HOSTS_MAX}");
            self.wrong(&Place::top("group"), why);
            return None;
        }
        let mut hosts = Vec::new();
        for (ix, role) in order {
            let group = &file.group[ix];
            let place = Place::top("group").index(ix);
            let site = self.site_of(group, &place.key("site"));
            self.roster.push(&group.name, group.count, group.site.as_deref());
            let first = hosts.len();
            self.group(group, role, &place, &mut hosts);
            hosts[first..].iter_mut().for_each(|host| host.site = site);
        }
        self.single_hosts(&mut hosts);
        self.topology(&hosts);
        Some(hosts)
    }

    fn group_name(&mut self, group: &Group, place: &Place) {
        let place = place.key("name");
        let name = group.name.as_str();
        if RESERVED.contains(&name) {
            self.wrong(&place, format!("{name:?} means something else in a selector"));
        } else {
            let names = self.file.group.iter().map(|group| group.name.as_str());
            self.name("group", name, names, &place);
        }
        if group.count == 0 {
            self.wrong(&place, format!("the group {name:?} has no host; write count = 1 or more"));
        }
    }

    fn role(&mut self, group: &Group, place: &Place) -> RoleName {
        role_of(group).unwrap_or_else(|| {
            let why = format!(
                "the group {:?} needs a role: \"tracker\", \"seed\" or \"leech\"",
                group.name
            );
            self.wrong(place, why);
            RoleName::Leech
        })
    }

    /// The hosts of one group. What does not differ between them is read once.
    fn group(&mut self, group: &Group, role: RoleName, place: &Place, hosts: &mut Vec<HostPlan>) {
        let rate = |this: &mut Self, text: &Option<String>, key: &str| {
            let place = place.key(key);
            let read = text.as_ref().map(|text| text::dist(text, units::rate as Quantity));
            let dist = read.and_then(|read| this.check(read, &place));
            if dist == Some(Dist::ZERO) {
                this.wrong(
                    &place,
                    "a rate of zero never ends; leave the key out for unlimited, or use a cut",
                );
            }
            dist
        };
        let up = rate(self, &group.up, "up");
        let down = rate(self, &group.down, "down");
        let delay = |this: &mut Self, text: Option<&String>, key: &str, usual: &str| {
            let read = text::dist(text.map_or(usual, String::as_str), units::duration);
            this.check(read, &place.key(key)).unwrap_or(Dist::ZERO)
        };
        let latency = delay(self, group.latency.as_ref(), "latency", LATENCY_USUAL);
        let jitter = delay(self, group.jitter.as_ref(), "jitter", "0s");
        let loss = self.loss(group.loss.as_ref(), &place.key("loss")).unwrap_or(Ppm::NONE);
        let join = text::join(group.join.as_deref().unwrap_or("0s"));
        let join = self.check(join, &place.key("join"));
        let join = join.unwrap_or(Join { first: 0, wait: Dist::ZERO });
        let leave = self.leave(group.leave.as_ref(), role, &place.key("leave"));
        let leave = leave.unwrap_or(LeavePlan::Stay);
        let disk = self.disk(group.disk.as_ref(), &place.key("disk"));
        let behaviour = self.behaviour(group.behaviour.as_ref(), &place.key("behaviour"));
        let engine =
            self.knobs(&group.engine, &place.key("engine")).apply(&EngineConfig::default());
        self.told(&engine, &place.key("engine").key("site"));
        if role == RoleName::Tracker {
            let written = [
                ("disk", group.disk.is_some()),
                ("behaviour", group.behaviour.is_some()),
                ("engine", !group.engine.is_empty()),
            ];
            for (key, _) in written.into_iter().filter(|(_, written)| *written) {
                self.wrong(&place.key(key), not_of_trackers(key));
            }
        }
        let mut joins = self.seed.stream(&format!("group/{}/join", group.name));
        let mut at = join.first;
        for index in 0..group.count {
            let name = format!("{}[{index}]", group.name);
            let draw = |dist: &Dist, what: &str| {
                dist.draw(&mut self.seed.stream(&format!("host/{name}/{what}")))
            };
            // A name that is none has been complained of. Its hosts count all the same: others are known by their place.
            let id = |name: &str| format!("{name}-{index}").parse().ok();
            let Some(id) = id(&group.name).or_else(|| id("nameless")) else { return };
            let host = HostPlan {
                id,
                group: group.name.clone(),
                index,
                role: if role == RoleName::Tracker { Role::Tracker } else { Role::Node },
                up: up.map(|dist| draw(&dist, "up").max(1)),
                down: down.map(|dist| draw(&dist, "down").max(1)),
                site: None,
                latency: Duration::from_nanos(draw(&latency, "latency")),
                name: name.clone(),
                jitter,
                loss,
                join: Time::from_nanos(at),
                leave,
                disk,
                behaviour,
                engine: engine.clone(),
                takes: Vec::new(),
            };
            at = at.saturating_add(join.wait.draw(&mut joins));
            hosts.push(host);
        }
    }

    fn leave(&mut self, text: Option<&String>, role: RoleName, place: &Place) -> Option<LeavePlan> {
        let leave = self.check(text::leave(text?), place)?;
        if role != RoleName::Leech && matches!(leave, LeavePlan::AfterComplete(_)) {
            self.wrong(place, "a tracker or a seed never becomes complete; write \"at 30s\"");
        }
        Some(leave)
    }

    fn disk(&mut self, disk: Option<&Disk>, place: &Place) -> DiskPlan {
        let Some(disk) = disk else { return DiskPlan::default() };
        DiskPlan {
            read: self.rate(disk.read.as_ref(), &place.key("read")),
            write: self.rate(disk.write.as_ref(), &place.key("write")),
            capacity: disk
                .capacity
                .as_ref()
                .and_then(|text| self.check(units::size(text), &place.key("capacity"))),
        }
    }

    pub(super) fn behaviour(&mut self, text: Option<&String>, place: &Place) -> Behaviour {
        let read = text.and_then(|text| self.check(text::behaviour(text), place));
        read.unwrap_or(Behaviour::Honest)
    }

    pub(super) fn share(&mut self, text: Option<&String>, place: &Place, usual: Ppm) -> Ppm {
        text.and_then(|text| self.check(units::share(text), place)).unwrap_or(usual)
    }

    /// So many packets are lost.
    pub(super) fn loss(&mut self, text: Option<&String>, place: &Place) -> Option<Ppm> {
        let share = self.check(units::share(text?), place)?;
        if share > LOSS_MAX {
            self.wrong(
                place,
                format!("what a link that loses {share} carries is not known: at most {LOSS_MAX}; where nothing is to pass, use a cut"),
            );
        }
        Some(share)
    }

    pub(super) fn knobs(
        &mut self,
        table: &std::collections::BTreeMap<String, toml::Value>,
        place: &Place,
    ) -> Knobs {
        let mut knobs = Knobs::default();
        for (name, value) in table {
            let json = serde_json::to_value(value).unwrap_or_default();
            if let Err(error) = knobs.insert(name, &json) {
                let all = knobs::all();
                let names = all.iter().map(|(name, _)| name.as_str());
                let hint = match (&error, nearest(name, names.clone())) {
                    (KnobError::Unknown(_), Some(near)) => format!("; did you mean {near:?}?"),
                    (KnobError::Unknown(_), None) => {
                        format!("; there are {}", names.collect::<Vec<_>>().join(", "))
                    }
                    _ => String::new(),
                };
                let (place, why) = (place.key(name), format!("{error}{hint}"));
                match error {
                    KnobError::Unknown(_) => self.wrong_key(&place, why),
                    KnobError::Value { .. } => self.wrong(&place, why),
                }
            }
        }
        knobs
    }

    /// `[[host]]`: what differs from the group.
    fn single_hosts(&mut self, hosts: &mut [HostPlan]) {
        let file = self.file;
        let mut seen = BTreeSet::new();
        for (ix, table) in file.host.iter().enumerate() {
            let place = Place::top("host").index(ix);
            let Some(selector) = self.selector(&table.name, &place.key("name")) else { continue };
            let Some([host]) = selector
                .fixed()
                .as_deref()
                .map(|all| all.to_vec())
                .and_then(|all| <[usize; 1]>::try_from(all).ok())
            else {
                self.wrong(
                    &place.key("name"),
                    format!("{:?} is not one host; write \"leech[3]\"", table.name),
                );
                continue;
            };
            if !seen.insert(host) {
                self.wrong(
                    &place.key("name"),
                    format!("there are two tables of {}; put their keys into one", table.name),
                );
            }
            if let Some(up) = self.rate(table.up.as_ref(), &place.key("up")) {
                hosts[host].up = Some(up);
            }
            if let Some(down) = self.rate(table.down.as_ref(), &place.key("down")) {
                hosts[host].down = Some(down);
            }
            if let Some(text) = &table.latency {
                hosts[host].latency =
                    Duration::from_nanos(self.duration(text, &place.key("latency")));
            }
            if let Some(text) = &table.join {
                hosts[host].join = Time::from_nanos(self.duration(text, &place.key("join")));
            }
            let group = file.group.iter().find(|group| group.name == hosts[host].group);
            let role = group.and_then(role_of).unwrap_or(RoleName::Leech);
            if let Some(leave) = self.leave(table.leave.as_ref(), role, &place.key("leave")) {
                hosts[host].leave = leave;
            }
            if table.behaviour.is_some() {
                if hosts[host].role == Role::Tracker {
                    self.wrong(&place.key("behaviour"), not_of_trackers("behaviour"));
                }
                hosts[host].behaviour =
                    self.behaviour(table.behaviour.as_ref(), &place.key("behaviour"));
            }
        }
    }

    /// What cannot work, whatever happens.
    fn topology(&mut self, hosts: &[HostPlan]) {
        let place = Place::top("group");
        if !hosts.iter().any(|host| host.role == Role::Tracker) {
            self.wrong(&place, "there is no tracker, so nodes cannot find each other; add a [[group]] with role = \"tracker\"");
        }
        if !hosts.iter().any(|host| host.role == Role::Node) {
            self.wrong(
                &place,
                "there is no node; add groups with role = \"seed\" and role = \"leech\"",
            );
        }
        // In a run one that leaves once it has everything leaves as it comes, if it has; or before, if an event starts it.
        let from_a_run = self.file.capsule.is_some();
        for host in hosts {
            let (key, what, when) = match host.leave {
                LeavePlan::At(at) if at <= host.join && !from_a_run => {
                    ("join", "leaves before it joins", at)
                }
                LeavePlan::At(at) if at >= self.deadline => {
                    ("leave", "leaves after the deadline", at)
                }
                _ if host.join >= self.deadline => ("join", "joins after the deadline", host.join),
                _ => continue,
            };
            let ix = self.file.group.iter().position(|group| group.name == host.group).unwrap_or(0);
            self.wrong(&place.index(ix).key(key), format!("{} {what}, at {when}", host.name));
            return;
        }
    }

    /// Texts that must name hosts, not draw them.
    pub(super) fn fixed(&mut self, text: &str, place: &Place) -> Vec<usize> {
        let Some(selector) = self.selector(text, place) else { return Vec::new() };
        self.fixed_of(&selector, place)
    }

    fn fixed_of(&mut self, selector: &Selector, place: &Place) -> Vec<usize> {
        selector.fixed().unwrap_or_else(|| {
            self.wrong(
                place,
                format!("\"{selector}\" depends on the run; name groups or hosts here"),
            );
            Vec::new()
        })
    }
}

/// Why a key is none of a tracker's.
fn not_of_trackers(key: &str) -> String {
    let why = match key {
        "disk" => "a tracker keeps no pieces, and its database takes no time and no room",
        "engine" => "these are knobs of nodes, and a tracker has none",
        _ => "only nodes behave in another way",
    };
    format!("{why}; leave the key out, or use the tracker's verbs")
}

/// What the hosts of a group are: what the file says, or what the group is called.
pub(super) fn role_of(group: &Group) -> Option<RoleName> {
    let by_name = match group.name.as_str() {
        "tracker" => Some(RoleName::Tracker),
        "seed" => Some(RoleName::Seed),
        "leech" => Some(RoleName::Leech),
        _ => None,
    };
    group.role.or(by_name)
}
