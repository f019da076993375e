//! The demo: what a newcomer runs first.

use std::fs;

use crate::util::{Dir, Running, Signal, names};

#[test]
fn three_sources_feed_one_node_and_nothing_is_left() {
    let dir = Dir::new();
    fs::create_dir(dir.path("tmp")).expect("made");
    let mut command = dir.node(&["demo"]);
    command.env("TMPDIR", dir.path("tmp"));
    let ended = Running::start(command).end();
    ended.expect(
        0,
        &["node-a", "node-b", "node-c", "33 %", "the copy's BLAKE3 is that of the original"],
        &[],
    );
    assert!(names(&dir.path("tmp")).is_empty());
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let dir = Dir::new();
    fs::create_dir(dir.path("tmp")).expect("made");
    let mut command = dir.node(&["demo"]);
    command.env("TMPDIR", dir.path("tmp"));
    let mut demo = Running::start(command);
    demo.wait_for("as node-a");
    demo.signal(Signal::INT);
    demo.end().expect(130, &[], &["interrupted"]);
    assert!(names(&dir.path("tmp")).is_empty());
}
