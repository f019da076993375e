//! maketorrent, show, verify.

use std::fs;

use crate::util::{Dir, names};

#[test]
fn a_torrent_is_made_shown_and_verified() {
    let dir = Dir::new();
    dir.write("ein Bild.png", 200_000);
    let made = dir.run(&[
        "maketorrent",
        "ein Bild.png",
        "--tracker",
        "sta://10.0.0.1:6081",
        "--tracker",
        "10.0.0.2:1",
        "--tracker",
        "10.0.0.1:6081",
        "--piece-size",
        "64 KiB",
    ]);
    made.expect(0, &["ein Bild.png.torrent\n"], &["info-hash "]);
    let hash = made.err.split_whitespace().last().expect("the info-hash").to_owned();
    let shown = dir.run(&["show", "ein Bild.png.torrent"]);
    shown.expect(
        0,
        &["ein Bild.png", &hash, "200000 bytes", "sta://10.0.0.1:6081", "sta://10.0.0.2:1"],
        &[],
    );
    assert_eq!(shown.out.matches("sta://10.0.0.1:6081").count(), 1, "{}", shown.out);
    let json: serde_json::Value =
        serde_json::from_str(&dir.run(&["show", "ein Bild.png.torrent", "--json"]).out)
            .expect("JSON");
    assert_eq!((&json["info_hash"], &json["pieces"]), (&hash.into(), &4.into()));
    dir.run(&["verify", "ein Bild.png.torrent"]).expect(
        0,
        &["complete and right", "4 pieces by BLAKE3"],
        &[],
    );
}

#[test]
fn verify_says_which_files_are_not_right() {
    let dir = Dir::new();
    for name in
        ["a folder/good", "a folder/wrong", "a folder/über", "a folder/gone", "a folder/empty"]
    {
        // Whole pieces, so that no piece is of two files.
        dir.write(name, if name.ends_with("empty") { 0 } else { 6 << 14 });
    }
    dir.run(&["maketorrent", "a folder", "-o", "t.torrent", "--piece-size", "16 KiB"]).expect(
        0,
        &["t.torrent"],
        &[],
    );
    dir.run(&["verify", "t.torrent"]).expect(0, &["complete and right"], &[]);
    let mut wrong = dir.read("a folder/wrong");
    wrong[0] ^= 1;
    fs::write(dir.path("a folder/wrong"), wrong).expect("written");
    fs::write(dir.path("a folder/über"), b"short").expect("written");
    fs::remove_file(dir.path("a folder/gone")).expect("gone");
    fs::remove_file(dir.path("a folder/empty")).expect("gone");
    let verified = dir.run(&["verify", "t.torrent"]);
    verified.expect(
        1,
        &[
            "  wrong: 1 of its 6 pieces",
            "über: too short: 5 bytes of 98304",
            "gone: missing",
            "empty: missing",
        ],
        &[],
    );
    assert!(!verified.out.contains("good:"), "{}", verified.out);
    let json: serde_json::Value =
        serde_json::from_str(&dir.run(&["verify", "t.torrent", "--json"]).out).expect("JSON");
    assert_eq!(
        (&json["complete"], json["files"].as_array().map(Vec::len)),
        (&false.into(), Some(4))
    );
}

/// It said that 0 pieces are missing or wrong, and ended with 1.
#[test]
fn verify_says_what_is_wrong_if_it_is_no_piece() {
    let dir = Dir::new();
    let bytes = dir.write("file", 100_000);
    dir.run(&["maketorrent", "file"]).expect(0, &[], &[]);
    fs::write(dir.path("file"), [&bytes[..], b"more"].concat()).expect("written");
    dir.run(&["verify", "file.torrent"]).expect(
        1,
        &["file: every piece is right, but 1 of 1 files is not\n  file: too long: 100004 bytes"],
        &[],
    );
}

#[test]
fn a_tracker_in_the_configuration_is_named_in_torrents() {
    let dir = Dir::new();
    dir.write("x", 1);
    let set = ["--set", "tracker.address=tracker.example", "--set", "tracker.port=7"];
    dir.run(&[&["maketorrent", "x"], &set[..]].concat()).expect(0, &["x.torrent"], &[]);
    dir.run(&["show", "x.torrent"]).expect(0, &["sta://tracker.example:7"], &[]);
    dir.run(&["maketorrent", "x"]).expect(0, &[], &[]);
    let shown = dir.run(&["show", "x.torrent"]);
    assert!(!shown.out.contains("sta://"), "loopback helps nobody else: {}", shown.out);
}

#[test]
fn a_torrent_is_written_over_nothing_but_a_torrent() {
    let dir = Dir::new();
    let bytes = dir.write("data", 200_000);
    fs::copy(dir.path("data"), dir.path("data.torrent.part")).expect("copied");
    // It begins as torrents do.
    let rules = b"d2 and d6 dice rules\n";
    fs::write(dir.path("dice.txt"), rules).expect("written");
    for (path, to, why) in [
        ("data", "dice.txt", "dice.txt: is there already and is no torrent"),
        ("data", "data", "data: is a part of what the torrent describes"),
        ("folder", "folder/keep", "folder/keep: is a part of what the torrent describes"),
        ("folder", "data", "data: is there already and is no torrent"),
    ] {
        dir.write("folder/keep", 10);
        dir.run(&["maketorrent", path, "-o", to]).expect(2, &[], &[why, "-o"]);
    }
    assert!(dir.read("data") == bytes && dir.read("dice.txt") == rules);
    for _ in 0..2 {
        dir.run(&["maketorrent", "data"]).expect(0, &["data.torrent"], &[]);
    }
    assert!(dir.read("data.torrent.part") == bytes, "somebody's, whatever it is called");
    assert_eq!(dir.read("folder/keep").len(), 10);
}

/// All of it was hashed first, which here takes longer than a test waits.
/// It was replaced without a word.
#[test]
fn what_a_new_torrent_replaces_is_said() {
    let dir = Dir::new();
    dir.write("a", 100_000);
    dir.write("b", 100_000);
    let make = |name: &str, tracker: &str| {
        dir.run(&["maketorrent", name, "-o", "t.torrent", "--tracker", tracker])
    };
    let first = make("a", "10.0.0.1:1");
    let hash = first.err.split_whitespace().last().expect("the info-hash").to_owned();
    for ended in [first, make("a", "10.0.0.1:1")] {
        ended.expect(0, &["t.torrent"], &[]);
        assert!(!ended.err.contains("replaces"), "{}", ended.err);
    }
    let same = "t.torrent: replaces one of the same content";
    make("a", "10.0.0.2:1").expect(0, &["t.torrent"], &[same]);
    let other = format!("t.torrent: replaces that of a, info-hash {hash}");
    make("b", "10.0.0.2:1").expect(0, &["t.torrent"], &[&other]);
}

#[test]
fn where_no_torrent_can_be_written_nothing_is_hashed() {
    let dir = Dir::new();
    let long = "n".repeat(248);
    for name in ["folder/huge", &long] {
        dir.write(name, 0);
        let huge = fs::File::options().write(true).open(dir.path(name)).expect("there");
        huge.set_len(1 << 40).expect("no byte of it is written");
    }
    fs::write(dir.path("mine"), b"mine").expect("written");
    for (path, to, why) in [
        ("folder", "nowhere/x", "nowhere/x: cannot write the torrent: No such file or directory"),
        ("folder", "mine/x", "mine/x: cannot write the torrent: Not a directory"),
        ("folder", "new/", "new/: cannot write the torrent: Not a directory"),
        ("folder", "mine", "mine: is there already and is no torrent"),
        ("folder", ".", ".: is a folder; name the file"),
        ("folder", "folder/x", "folder/x: is a part of what the torrent describes"),
        (&long, &format!("{long}.torrent"), "File name too long"),
    ] {
        let given = ["maketorrent", path, "-o", to];
        // The long one is where it is written if nobody says.
        let args = if path == long { &given[..2] } else { &given[..] };
        dir.run(args).expect(2, &[], &[&format!("sta-node: {to}"), why]);
    }
    assert_eq!(names(&dir.path("")), ["folder", "mine", &long], "nothing is left behind");
}

#[test]
fn a_folder_without_files_is_told_of() {
    let dir = Dir::new();
    dir.write("tree/a/file", 10);
    fs::create_dir_all(dir.path("tree/b/c")).expect("made");
    let said = "tree/b/c: left out, as a torrent carries no empty folders; there is 1 such";
    dir.run(&["maketorrent", "tree"]).expect(0, &[], &[said]);
}

/// Its name was looked for without end.
#[test]
fn the_root_of_a_file_system_is_no_content() {
    let dir = Dir::new();
    dir.run(&["maketorrent", "/"]).expect(2, &[], &["/: it has no name of its own"]);
}

#[test]
fn results_that_cannot_be_printed_are_a_failure() {
    let dir = Dir::new();
    dir.write("data", 10);
    dir.run(&["maketorrent", "data"]).expect(0, &[], &[]);
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let show = dir.node(&["show", "data.torrent", "--json"]).stdout(full).output();
    let show = show.expect("it was built");
    assert_eq!(show.status.code(), Some(1));
    let said = String::from_utf8_lossy(&show.stderr);
    assert!(said.contains("stdout: No space left on device"), "{said}");
}
