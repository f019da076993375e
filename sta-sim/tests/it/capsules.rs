//! Whatever a scenario makes happen, its capsule makes the same happen.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;
use sta_sim::commands::replay::{came_to_the_same, job};
use sta_sim::execute::Job;
use sta_sim::scenario::capsule::is_edited;
use sta_sim::scenario::load::Scenario;
use sta_sim::scenario::plan::World;

/// Hosts that leave in the moment in which they come, or together with others that were done before.
#[test]
fn a_capsule_lets_hosts_leave_when_they_did() {
    let file = |size: &str, leech: &str, content: &str| {
        format!(
            "schema = 1\nname = 'any'\n[clock]\ndeadline = '40s'\n[[group]]\nname = 'tracker'\n\
             [[group]]\nname = 'seed'\nup = '100 Mbit/s'\n[[group]]\nname = 'leech'\ncount = 12\n\
             up = '8 Mbit/s'\ndown = '8 Mbit/s'\n{leech}\n[[content]]\nname = 'c'\nsize = '{size}'\n\
             {content}\n[[expect]]\nthat = 'complete'\n"
        )
    };
    let has_all = "initial = { 'leech[1]' = '100%' }";
    let at_its_start = file("4 MiB", "join = 'every 500ms'\nleave = 'on-complete'", has_all);
    let later = "join = '3s'\nleave = 'on-complete'\n[[group]]\nname = 'other'\nrole = 'leech'\n\
        count = 12\nup = '8 Mbit/s'\ndown = '8 Mbit/s'\nleave = '3s after complete'";
    for text in [at_its_start, file("100 kB", later, "")] {
        for world in [World::Flow, World::Turmoil] {
            let scenario = read(&text).expect("it is right");
            assert!(scenario.plan(0, world, 0).is_ok(), "it can be run");
            replays(&text, 0, world).expect("the same");
        }
    }
}

/// Something with hosts that an event or a random fault does.
const WHO: &[&str] = &["leech", "leech[0]", "any(1, leech)", "share(50%, leech)", "seed", "*"];

/// What is done, with the keys that it needs.
const WHAT: &[&str] = &[
    "do = 'cut'",
    "do = 'cut-oneway'",
    "do = 'hold'",
    "do = 'reset'",
    "do = 'crash'",
    "do = 'power-off'",
    "do = 'restart'",
    "do = 'leave'",
    "do = 'pause'",
    "do = 'wipe'",
    "do = 'disk-full'",
    "do = 'corrupt-disk'\nwith = { share = '50%' }",
    "do = 'disk-unreadable'\nwith = { share = '50%' }",
    "do = 'slow'\nwith = { up = '1 Mbit/s' }",
    "do = 'flap'\nwith = { period = '400ms' }",
    "do = 'set'\nwith = { behaviour = 'slowloris 1 Mbit/s' }",
    "do = 'set'\nwith = { behaviour = 'free-rider' }",
];

fn one_of(options: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(options).prop_map(str::to_owned)
}

fn event() -> impl Strategy<Value = String> {
    let start = one_of(&[
        "at = '0s'",
        "at = '700ms'",
        "at = '1s'",
        "at = '3s'",
        "when = 'count(complete) >= 2'",
        "when = 'first(piece-verified)'",
        "when = 'progress of leech[0] >= 30%'",
    ]);
    let against = one_of(&["", "", "against = 'leech[1]'", "against = 'seed'"]);
    let lasts = one_of(&["", "for = '500ms'", "for = '2s'", "for = '9s'", "for = 'exp 1s'"]);
    let often = one_of(&["", "", "every = '1200ms'\ntimes = 3"]);
    (start, one_of(WHAT), one_of(WHO), against, lasts, often).prop_map(
        |(start, what, who, against, lasts, often)| {
            format!("[[event]]\n{start}\n{what}\non = \"{who}\"\n{against}\n{lasts}\n{often}\n")
        },
    )
}

fn scenario() -> impl Strategy<Value = String> {
    let leech = one_of(&[
        "",
        "",
        "leave = 'on-complete'",
        "leave = '2s after complete'",
        "join = 'every 500ms'\nleave = 'on-complete'",
        "join = '1s'\nleave = '1s after complete'\n[[group]]\nname = 'other'\nrole = 'leech'\nleave = '2s after complete'",
        "leave = 'at 4s'",
        "behaviour = 'churner on exp 2s off 1s'",
        "behaviour = 'churner on 1s off 30s'",
        "join = 'about every 500ms'",
        "up = 'lognormal 5 Mbit/s p99 40 Mbit/s'",
    ]);
    let size = one_of(&["1 B", "256 KiB", "2 MiB", "6 MiB"]);
    let healed = one_of(&["2s", "5s", "12s"]);
    let fault = one_of(&[
        "",
        "",
        "[[fault]]\ndo = 'crash'\non = 'leech'\nevery = 'exp 1s'\nfor = 'exp 1s'\n",
        "[[fault]]\ndo = 'leave'\non = 'leech'\nevery = 'exp 1s'\nfor = '700ms'\n",
    ]);
    let site = one_of(&[
        "",
        "",
        "[[site]]\nname = 'far'\nup = '6 Mbit/s'\ndown = '4 Mbit/s'\nlatency = '30ms'\n",
    ]);
    let events = prop::collection::vec(event(), 0..4).prop_map(|events| events.concat());
    let initial =
        one_of(&["", "", "initial = { 'leech[1]' = '100%' }", "initial = { leech = '40%' }"]);
    (leech, 2..4u32, (size, initial), (healed, site), events, fault).prop_map(
        |(leech, count, (size, initial), (healed, site), events, fault)| {
            let of = if site.is_empty() { "" } else { "site = 'far'" };
            format!(
                "schema = 1\nname = 'any'\n[clock]\ndeadline = '40s'\nhealed = '{healed}'\n\
                 {site}[[group]]\nname = 'tracker'\n[[group]]\nname = 'seed'\nup = '8 Mbit/s'\n\
                 [[group]]\nname = 'leech'\ncount = {count}\n{of}\n{leech}\n\
                 [[content]]\nname = 'c'\nsize = '{size}'\npiece = '64 KiB'\n{initial}\n\
                 {events}{fault}[[expect]]\nthat = 'waste'\nat-most = '99%'\n"
            )
        },
    )
}

fn read(text: &str) -> Option<Scenario> {
    Scenario::read(Path::new("any.toml"), text.to_owned()).ok()
}

/// Runs `text`, and its capsule; says what differed.
fn replays(text: &str, seed: u64, world: World) -> Result<(), TestCaseError> {
    let Some(scenario) = read(text) else { return Ok(()) };
    let run = Job { scenario: Arc::new(scenario), seed, world, cell: 0 };
    // What contradicts itself is refused.
    let Ok(done) = run.execute(None) else { return Ok(()) };
    let capsule = run.capsule(&done).expect("it was read before");
    let again = read(&capsule).map(|capsule| {
        assert!(!is_edited(capsule.file()), "as it was written:\n{}", capsule.path().display());
        job(capsule)
    });
    let Some(Ok(again)) = again else { panic!("no capsule:\n{capsule}") };
    let replayed = again.execute(None).unwrap_or_else(|error| panic!("{error}:\n{capsule}"));
    prop_assert!(came_to_the_same(&again, &replayed), "of\n{}\nthis is\n{}", text, capsule);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_capsule_replays_what_it_was_written_by(text in scenario(), seed in 0..1_000u64) {
        replays(&text, seed, World::Flow)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 15, ..ProptestConfig::default() })]

    #[test]
    fn a_capsule_replays_on_turmoil_too(text in scenario(), seed in 0..1_000u64) {
        replays(&text, seed, World::Turmoil)?;
    }
}
