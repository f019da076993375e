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

/// A folder was named that nobody had ever seen.
#[test]
fn a_folder_for_it_that_is_not_there_is_named() {
    let dir = Dir::new();
    let mut command = dir.node(&["demo"]);
    command.env("TMPDIR", "/nonexistent");
    let ended = Running::start(command).end();
    ended.expect(2, &[], &["sta-node: /nonexistent: No such file or directory\n  name a folder"]);
    assert!(!ended.err.contains("sta-demo"), "{}", ended.err);
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
