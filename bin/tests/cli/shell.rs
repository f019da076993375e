//! The interactive node, driven by a script: the seed document's workflow.

use crate::util::{Dir, Running, Signal, names};

/// An interactive node called `id`, whose repository is the folder of that name, with the tracker at `tracker`.
fn interactive(dir: &Dir, id: &str, tracker: &str, more: &[&str]) -> Running {
    let port = tracker.rsplit(':').next().expect("a port").to_owned();
    let (port, files) = (format!("tracker.port={port}"), format!("directories.files={id}"));
    let args = ["-node_id", id, "--listen", "127.0.0.1:0", "--set", &port, "--set", &files];
    let mut node = dir.start(&[&args[..], more].concat());
    node.wait_for(&format!("node {id} at 127.0.0.1:"));
    node
}

#[test]
fn the_seed_documents_workflow() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let bytes = dir.write("n1/my example.txt", 300_000);
    let mut first = interactive(&dir, "n1", &tracker, &[]);
    first.type_line("MAKETORRENT \"my example.txt\"");
    first.wait_for("made n1/my example.txt.torrent");
    first.type_line("seeding 'my example.txt.torrent'");
    first.wait_for("seeding my example.txt, 5 of 5 pieces");

    let mut second = interactive(&dir, "n2", &tracker, &[]);
    second.type_line("DOWNLOAD \"n1/my example.txt.torrent\"");
    second.wait_for("my example.txt: complete");
    assert!(dir.read("n2/my example.txt") == bytes);
    second.type_line("STATUS");
    second.wait_for("complete");
    second.type_line("PEERS");
    second.wait_until("n1 in the table of peers", |line| line.starts_with(" n1 "));
    second.type_line("EXIT");
    second.end().expect(0, &[], &[]);
    assert_eq!(names(&dir.path("n2")), ["my example.txt", "my example.txt.torrent"]);

    // Its repository is verified and registered at the start, so that a third node can fetch from it alone.
    drop(first);
    let mut second = interactive(&dir, "n2", &tracker, &[]);
    second.wait_for("seeding my example.txt, 5 of 5 pieces");
    let mut third =
        interactive(&dir, "n3", &tracker, &["-torrent_file", "n2/my example.txt.torrent"]);
    third.wait_for("my example.txt: complete");
    third.end().expect(0, &[" n2 "], &[]);
}

#[test]
fn the_end_of_a_script_waits_for_its_downloads() {
    let dir = Dir::new();
    let bytes = dir.write("file", 2_000_000);
    let (_share, link) = dir.share("file");
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.type_line(&format!("download {link}"));
    node.end().expect(0, &["downloading file", "file: complete"], &[]);
    assert!(dir.read("n1/file") == bytes);
}

#[test]
fn a_script_that_fails_says_so() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.type_line("DWONLOAD x");
    node.wait_for("DWONLOAD: no such command; did you mean DOWNLOAD?");
    node.type_line("SEEDING nothing.torrent");
    node.wait_for("nothing.torrent");
    node.type_bytes(b"\xff\n");
    node.wait_for("no such command");
    node.type_line("HELP");
    node.wait_for("MAKETORRENT");
    node.end().expect(1, &["EXIT"], &[]);
}

#[test]
fn ctrl_c_leaves_in_order() {
    let dir = Dir::new();
    dir.write("other", 10);
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let node = interactive(&dir, "n1", &tracker, &["--json"]);
    node.signal(Signal::INT);
    node.end().expect(0, &["\"node-stopped\""], &[]);

    // Nobody has the other file: something is still to come.
    dir.run(&["maketorrent", "other"]).expect(0, &[], &[]);
    let mut node = interactive(&dir, "n2", &tracker, &["--torrent-file", "other.torrent"]);
    node.wait_for("downloading other");
    node.signal(Signal::INT);
    node.end().expect(130, &[], &[]);
}
