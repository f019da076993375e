//! What a right file means.

use std::time::Duration;

use sta_core::model::bitfield::PieceRange;
use sta_core::model::time::Time;

use super::{RIGHT, plan};
use crate::scenario::plan::{Check, HostPlan, LeavePlan, Since};
use crate::scenario::units::Ppm;

const GROUPS: &str = r#"
schema = 1
name = "groups"
[clock]
deadline = "60s"
[[group]]
name = "leech"
count = 40
up = "lognormal 5 Mbit/s p99 40 Mbit/s"
latency = "uniform 1ms to 9ms"
join = "about every 200ms from 1s"
leave = "5s after complete"
[[group]]
name = "tracker"
[[content]]
name = "part"
size = "1 MiB"
piece = "64 KiB"
initial = { "leech[0..2]" = "100%", "leech[2..4]" = "30%" }
[[expect]]
that = "complete"
"#;

fn millis(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

#[test]
fn texts_become_numbers() {
    let plan = plan(RIGHT, 3);
    assert_eq!(plan.about, "Proves that a file is read.");
    assert_eq!((plan.deadline, plan.healed), (millis(60_000), millis(30_000)));
    let names: Vec<&str> = plan.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names[..3], ["tracker[0]", "seed[0]", "leech[0]"]);
    assert_eq!(plan.hosts[1].up, Some(1_000_000));
    assert_eq!(plan.hosts[1].takes[0].have, [PieceRange(0, 7)]);
    assert!(plan.is_source(1) && !plan.is_source(2) && !plan.is_source(0));
    assert!(plan.hosts[0].takes.is_empty(), "a tracker takes part in nothing");
    let Check::Complete { hosts, within, since } = &plan.expectations[0].check else { panic!() };
    assert_eq!(hosts, &[2, 3, 4, 5, 6, 7], "asked of those that lack something");
    assert_eq!((*within, since), (Duration::from_secs(20), &Since::Healed));
}

#[test]
fn hosts_of_a_site_are_known_by_it() {
    let text = RIGHT
        .replace("name = \"leech\"\n", "name = \"leech\"\nsite = \"far\"\nlatency = \"3ms\"\n")
        .replace("on = \"leech[0..2]\"", "on = \"site(far) - leech[0]\"");
    let site = "[[site]]\nname = \"far\"\nup = \"4 Mbit/s\"\nlatency = \"20ms\"\n";
    let plan = plan(&format!("{text}{site}"), 3);
    let sites: Vec<_> = plan.hosts.iter().map(|host| host.site).collect();
    assert_eq!(sites[..3], [None, None, Some(0)]);
    assert_eq!(plan.timeline[0].on.fixed(), Some(vec![3, 4, 5, 6, 7]));
    let far = &plan.core.sites[0];
    assert_eq!((far.up, far.down), (Some(500_000), None));
    let millis = Duration::from_millis;
    assert_eq!(plan.core.delay(None, Some(0)), millis(20));
    assert_eq!(plan.core.delay(Some(0), Some(0)), millis(0));
    assert_eq!(plan.shortest_delay(), millis(2), "the tracker and the seed; two leeches take 6 ms");
}

#[test]
fn hosts_draw_from_streams_of_their_own() {
    let (all, fewer) = (plan(GROUPS, 1), plan(&GROUPS.replace("count = 40", "count = 10"), 1));
    let drawn = |host: &HostPlan| (host.up, host.latency, host.join, host.takes[0].have.clone());
    assert_eq!(all.hosts[0].name, "tracker[0]", "trackers come first");
    for (a, b) in all.hosts[1..].iter().zip(&fewer.hosts[1..]) {
        assert_eq!(drawn(a), drawn(b), "{} does not depend on how many there are", a.name);
    }
    let other = plan(GROUPS, 2);
    assert_ne!(drawn(&all.hosts[5]), drawn(&other.hosts[5]), "another seed draws others");
    assert!(all.hosts[1..].windows(2).all(|pair| pair[0].join <= pair[1].join));
    assert_eq!(all.hosts[1].join, millis(1_000));
    assert_eq!(all.hosts[1].leave, LeavePlan::AfterComplete(Duration::from_secs(5)));
    let held = |host: &HostPlan| -> u32 {
        host.takes[0].have.iter().map(|range| range.1 - range.0 + 1).sum()
    };
    let counts: Vec<u32> = all.hosts[1..6].iter().map(held).collect();
    assert_eq!(counts, [16, 16, 5, 5, 0], "30 % of 16 pieces, rounded up");
}

#[test]
fn chance_turns_a_whole_family_of_faults_off() {
    let text = RIGHT.replace("every = \"exp 4s\"", "every = \"exp 4s\"\nchance = \"25%\"");
    let on = (0..400).filter(|&seed| plan(&text, seed).faults[0].on).count();
    assert!((70..130).contains(&on), "{on} of 400 seeds");
}

#[test]
fn a_matrix_makes_a_plan_of_each_cell() {
    let text = RIGHT.replace(
        "[[expect]]",
        "[matrix]\n\"group.leech.count\" = [2, 3]\n\"content.0.piece\" = [\"64 KiB\"]\n[[expect]]",
    );
    let scenario = super::read(&text);
    assert_eq!(scenario.cells(), 2);
    let plan = scenario.plan(0, crate::scenario::plan::World::Turmoil, 1).expect("a plan");
    assert_eq!(plan.hosts.len(), 5);
    assert_eq!(plan.contents[0].layout.pieces(), 16);
    assert_eq!(plan.cell[1], ("group.leech.count".to_owned(), "3".to_owned()));
}

#[test]
fn a_single_host_differs_from_its_group() {
    let text = RIGHT.replace(
        "[[content]]",
        "[[host]]\nname = \"leech[2]\"\nup = \"1 Mbit/s\"\nbehaviour = \"liar 50%\"\n[[content]]",
    );
    let plan = plan(&text, 0);
    assert_eq!(plan.hosts[4].up, Some(125_000));
    assert_eq!(plan.hosts[4].behaviour, crate::scenario::plan::Behaviour::Liar(Ppm(500_000)));
    assert_eq!(plan.hosts[3].up, Some(1_000_000));
}
