//! Bounds worked out by hand.

use std::time::Duration;

use crate::scenario::plan::BoundPlan;
use crate::scenario::tests::plan;

/// One seed and leeches with these keys, and a content with these.
fn bound(seed: &str, leech: &str, content: &str) -> Option<BoundPlan> {
    bound_with(seed, leech, content, "")
}

/// As [`bound`], with more tables.
fn bound_with(seed: &str, leech: &str, content: &str, more: &str) -> Option<BoundPlan> {
    let text = format!(
        "schema=1\nname='b'\n[clock]\ndeadline='900s'\n[[group]]\nname='tracker'\n[[group]]\nname='seed'\n{seed}\n\
         [[group]]\nname='leech'\n{leech}\n[[content]]\nname='c'\n{content}\n[[expect]]\nthat='complete'\n{more}"
    );
    plan(&text, 0).bound()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const EIGHT: &str = "size='1024 KiB'\npiece='128 KiB'";

#[test]
fn equal_rates_are_counted_in_leaves() {
    // A leaf takes an eighth of a second; M = 64. Receivers -> rounds: M + floor(log2 N).
    for (receivers, rounds) in [(1, 64), (2, 65), (3, 65), (4, 66), (7, 66), (8, 67), (61, 69)] {
        let got = bound("up='128 KiB/s'", &format!("up='128 KiB/s'\ncount={receivers}"), EIGHT);
        let counted = got.and_then(|bound| bound.counted);
        assert_eq!(counted, Some(millis(125 * rounds)), "{receivers} receivers");
    }
}

/// One copy must come into a site and, where its hosts lack it, more than they can send each other; and one out of that of the source.
#[test]
fn what_a_site_lacks_comes_through_its_link() {
    let far = |leech: &str, site: &str| {
        let of = format!("site='far'\ndown='900 KiB/s'\n{leech}");
        let site = format!("[[site]]\nname='far'\n{site}");
        bound_with("up='512 KiB/s'", &of, EIGHT, &site).expect("rates").fluid
    };
    assert_eq!(far("up='512 KiB/s'", "down='64 KiB/s'"), millis(16_000));
    // Four lack 4096 KiB, and have 4 * 32 of their own and 128 from elsewhere.
    assert_eq!(far("up='32 KiB/s'\ncount=4", "down='128 KiB/s'"), millis(16_000));
    // They send nothing out that others lack.
    assert_eq!(far("up='512 KiB/s'", "up='1 KiB/s'"), millis(2_000));
    let at_the_source = "[[site]]\nname='here'\nup='32 KiB/s'";
    let got = bound_with("up='512 KiB/s'\nsite='here'", "up='512 KiB/s'", EIGHT, at_the_source);
    assert_eq!(got.map(|bound| bound.fluid), Some(millis(32_000)));
}

#[test]
fn who_serves_nobody_sends_nothing() {
    let fluid = |behaviour: &str, more: &str| {
        let riders = format!(
            "[[group]]\nname='rider'\nrole='leech'\ncount=2\nup='64 KiB/s'\n{behaviour}\n{more}"
        );
        let got = bound_with("up='64 KiB/s'", "up='64 KiB/s'", EIGHT, &riders);
        got.expect("rates").fluid
    };
    // Three lack 3072 KiB.
    assert_eq!(fluid("", ""), millis(16_000), "the source's one copy");
    assert_eq!(fluid("behaviour='free-rider'", ""), millis(24_000));
    assert_eq!(fluid("behaviour='slowloris 32 KiB/s'", ""), millis(16_000));
    assert_eq!(fluid("behaviour='slowloris 1 KiB/s'", ""), Duration::from_nanos(23_630_769_230));
    let set = "[[event]]\nat='1s'\ndo='set'\non='rider'\nwith={behaviour='honest'}";
    assert_eq!(fluid("behaviour='free-rider'", set), millis(16_000), "it may serve others later");
}

/// A run whose liar was slow took a tenth of the time that no schedule was to take.
#[test]
fn a_liar_is_not_waited_for() {
    let leech = "up='512 KiB/s'\ndown='32 KiB/s'";
    let honest = bound("up='64 KiB/s'", leech, EIGHT).expect("rates");
    assert_eq!(honest.best(), millis(32_000));
    let liar = format!("{leech}\nbehaviour='liar 30%'\n[[group]]\nname='other'\nrole='leech'");
    let with_liar = bound("up='64 KiB/s'", &liar, EIGHT).expect("rates");
    assert_eq!(with_liar.best(), millis(16_000), "what the source takes");
}

#[test]
fn a_short_last_leaf_counts_as_what_it_is() {
    let got =
        bound("up='128 KiB/s'", "up='128 KiB/s'\ncount=4", "size='1000 KiB'\npiece='128 KiB'");
    // 1000 / 128 = 7.8125 s, and twice the 0.0625 s of the last 8 KiB.
    assert_eq!(got.and_then(|bound| bound.counted), Some(Duration::from_micros(7_937_500)));
}

#[test]
fn the_fluid_bound_is_the_largest_of_its_terms() {
    let fluid = |seed: &str, leech: &str| bound(seed, leech, EIGHT).map(|bound| bound.fluid);
    // The source is slow: 1024 / 64.
    assert_eq!(fluid("up='64 KiB/s'", "up='512 KiB/s'\ncount=3"), Some(millis(16_000)));
    // The downloads are slow: 1024 / 32.
    assert_eq!(
        fluid("up='64 KiB/s'", "up='512 KiB/s'\ndown='32 KiB/s'\ncount=3"),
        Some(millis(32_000))
    );
    // All together are slow: 4 * 1024 / (512 + 4 * 64).
    assert_eq!(
        fluid("up='512 KiB/s'", "up='64 KiB/s'\ncount=4"),
        Some(Duration::from_nanos(5_333_333_333))
    );
    // The last to join: 30 s and its download.
    assert_eq!(
        fluid("up='512 KiB/s'", "up='64 KiB/s'\ndown='512 KiB/s'\ncount=2\njoin='every 30s'"),
        Some(millis(32_000))
    );
    assert_eq!(fluid("", ""), None, "nothing limits anything");
}

#[test]
fn the_counted_bound_is_not_claimed_where_it_does_not_apply() {
    let counted = |seed: &str, leech: &str, content: &str| {
        bound(seed, leech, content).and_then(|b| b.counted)
    };
    let equal = "up='128 KiB/s'";
    assert_eq!(counted("up='64 KiB/s'", equal, EIGHT), None, "rates differ");
    assert_eq!(counted("up='128 KiB/s'\ncount=2", equal, EIGHT), None, "two sources");
    assert_eq!(counted(equal, "up='128 KiB/s'\ndown='64 KiB/s'", EIGHT), None, "slow downloads");
    assert_eq!(counted(equal, "up='128 KiB/s'\njoin='1s'", EIGHT), None, "a late joiner");
    let part = format!("{EIGHT}\ninitial={{ 'leech[0]'='50%' }}");
    assert_eq!(counted(equal, equal, &part), None, "a receiver has a part");
    assert_eq!(bound(equal, equal, "size='0 B'").and_then(|b| b.counted), None, "nothing to send");
}

#[test]
fn what_receivers_have_already_need_not_leave_the_source() {
    let part = format!("{EIGHT}\ninitial={{ 'leech[0]'='50%' }}");
    let got = bound("up='128 KiB/s'", "up='128 KiB/s'\ncount=2", &part).map(|bound| bound.fluid);
    // 4 pieces are unknown: 4 s; together 4 + 8 pieces over 3 senders: 4 s.
    assert_eq!(got, Some(millis(4_000)));
}

/// Who may come sooner than its group says counts from then, however often it is to come later.
#[test]
fn an_event_that_starts_hosts_counts_from_its_beginning() {
    let late = "up='512 KiB/s'\ndown='512 KiB/s'\njoin='30s'";
    let fluid = |event: &str| {
        let event = format!("[[event]]\n{event}\n");
        bound_with("up='512 KiB/s'", late, EIGHT, &event).map(|bound| bound.fluid)
    };
    let from = |at: u64| Some(millis(at + 2_000));
    assert_eq!(fluid("at='1s'\ndo='join'\non='leech'"), from(1_000));
    assert_eq!(fluid("at='1s'\ndo='restart'\non='any(1, leech)'"), from(1_000));
    assert_eq!(fluid("at='1s'\ndo='leave'\non='leech'\nfor='2s'"), from(1_000));
    assert_eq!(fluid("when='progress of seed >= 1%'\ndo='join'\non='leech'"), from(0));
    assert_eq!(fluid("at='40s'\ndo='join'\non='leech'"), from(30_000), "it has come");
    assert_eq!(fluid("at='1s'\ndo='join'\non='seed'"), from(30_000), "somebody else");
    assert_eq!(fluid("at='1s'\ndo='crash'\non='leech'\nfor='2s'"), from(30_000), "it is not there");
}

/// They may help, and nobody waits for them.
#[test]
fn who_may_be_gone_for_good_lacks_nothing() {
    let fast = "up='512 KiB/s'\ndown='1024 KiB/s'";
    let gone = "[[group]]\nname='gone'\nrole='leech'\ncount=5\nup='64 KiB/s'\ndown='32 KiB/s'\n";
    let with = |more: &str| bound_with("up='512 KiB/s'", fast, EIGHT, &format!("{gone}{more}"));
    let fluid = |more: &str| with(more).map(|bound| bound.fluid);
    assert_eq!(fluid(""), Some(millis(32_000)), "their downloads");
    let alone = Some(millis(2_000));
    assert_eq!(fluid("leave='at 500ms'"), alone);
    assert_eq!(fluid("leave='on-complete'"), Some(millis(32_000)));
    for verb in ["leave", "crash", "power-off", "wipe", "torn-write"] {
        let event = |more: &str| format!("[[event]]\nat='1s'\ndo='{verb}'\non='gone'\n{more}");
        assert_eq!(fluid(&event("")), alone, "{verb}");
        assert_eq!(fluid(&event("for='2s'")), Some(millis(32_000)), "{verb}, and back");
    }
    assert_eq!(fluid("[[event]]\nat='1s'\ndo='crash'\non='any(1, * - leech)'"), alone);
    assert_eq!(fluid("[[event]]\nat='1s'\ndo='join'\non='gone'\nfor='2s'"), alone);
    // Four who must have it, three, and one: who only helps has no round of its own.
    let equal = "up='128 KiB/s'";
    for (goes, rounds) in [("tracker", 66), ("leech[3]", 65), ("leech[1..4]", 64)] {
        let leaves = format!("[[event]]\nat='1s'\ndo='leave'\non='{goes}'");
        let got = bound_with(equal, "up='128 KiB/s'\ncount=4", EIGHT, &leaves);
        assert_eq!(got.and_then(|bound| bound.counted), Some(millis(125 * rounds)), "{goes}");
    }
}
