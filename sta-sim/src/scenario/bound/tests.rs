//! Bounds worked out by hand.

use std::time::Duration;

use crate::scenario::plan::BoundPlan;
use crate::scenario::tests::plan;

/// One seed and leeches with these keys, and a content with these.
fn bound(seed: &str, leech: &str, content: &str) -> Option<BoundPlan> {
    let text = format!(
        "schema=1\nname='b'\n[clock]\ndeadline='900s'\n[[group]]\nname='tracker'\n[[group]]\nname='seed'\n{seed}\n\
         [[group]]\nname='leech'\n{leech}\n[[content]]\nname='c'\n{content}\n[[expect]]\nthat='complete'"
    );
    plan(&text, 0).bound()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const EIGHT: &str = "size='1024 KiB'\npiece='128 KiB'";

#[test]
fn equal_rates_are_counted_in_pieces() {
    // A piece takes 1 s; M = 8. Receivers -> rounds: M + floor(log2 N).
    for (receivers, rounds) in [(1, 8), (2, 9), (3, 9), (4, 10), (7, 10), (8, 11), (61, 13)] {
        let got = bound("up='128 KiB/s'", &format!("up='128 KiB/s'\ncount={receivers}"), EIGHT);
        let counted = got.and_then(|bound| bound.counted);
        assert_eq!(counted, Some(Duration::from_secs(rounds)), "{receivers} receivers");
    }
}

#[test]
fn a_short_last_piece_counts_as_what_it_is() {
    let got = bound("up='128 KiB/s'", "up='128 KiB/s'\ncount=4", "size='992 KiB'\npiece='128 KiB'");
    // 992 / 128 = 7.75 s, and twice the 0.75 s of the last piece.
    assert_eq!(got.and_then(|bound| bound.counted), Some(millis(9_250)));
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
