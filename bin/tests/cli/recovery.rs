//! Killed, interrupted, in the way: what is kept, and what is never touched.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use sta_core::model::event::{Event, Record};

use crate::util::{Dir, Running, Signal, names, tracker_of};

fn record(line: &str) -> Option<Record> {
    serde_json::from_str(line).ok()
}

#[test]
fn after_kill_9_no_verified_piece_is_asked_for_again() {
    let dir = Dir::new();
    let bytes = dir.write("file", 40 << 20);
    let (_share, link) = dir.share("file");
    let mut download = dir.start(&["download", &link, "-o", "out", "--json"]);
    let mut verified = BTreeSet::new();
    // Half-way; what is verified in the instant until the kill only makes the second part shorter.
    while verified.len() < 320 {
        let line = download.wait_for("\"piece-verified\"");
        let Some(Record { event: Event::PieceVerified { piece, .. }, .. }) = record(&line) else {
            panic!("{line}")
        };
        verified.insert(piece);
    }
    download.signal(Signal::KILL);
    assert_eq!(download.end().code, None, "it was killed");
    assert_eq!(names(&dir.path("out")), ["file.part"], "nothing looks complete");

    let again = dir.run(&["download", &link, "-o", "out", "--json"]);
    again.expect(0, &[], &["file: complete"]);
    for event in again.out.lines().filter_map(record).map(|record| record.event) {
        if let Event::BlockAsked { block, .. } = event {
            assert!(!verified.contains(&block.piece), "piece {} is here", block.piece);
        }
    }
    assert!(dir.read("out/file") == bytes);
}

#[test]
fn the_tracker_killed_and_started_again_stops_nobody() {
    let dir = Dir::new();
    let bytes = dir.write("file", 6 << 20);
    let (tracker, at) = dir.tracker("127.0.0.1:0");
    dir.run(&["maketorrent", "file", "--tracker", &at]).expect(0, &[], &[]);
    // Slow enough that the tracker goes away and comes back meanwhile.
    let slow = ["--set", "upload-limit=3 MiB/s", "--listen", "127.0.0.1:0"];
    let mut seed = dir.start(&[&["seed", "file.torrent"], &slow[..]].concat());
    seed.wait_for("seeding file as");
    let download = ["download", "file.torrent", "--listen", "127.0.0.1:0", "-o"];
    let mut first = dir.start(&[&download[..], &["first", "--json", "--keep-seeding"]].concat());
    first.wait_for("\"piece-verified\"");
    tracker.signal(Signal::KILL);
    drop(tracker);
    first.wait_for("trying again");
    let (_tracker, again) = dir.tracker(&at);
    assert_eq!(again, at, "where it was");
    first.wait_for("\"torrent-complete\"");
    // The seed goes away, so that the newcomer must hear of the first downloader.
    drop(seed);
    dir.run(&[&download[..], &["second"]].concat()).expect(0, &["file: complete"], &[]);
    assert!(dir.read("first/file") == bytes && dir.read("second/file") == bytes);
}

/// Something empty was left, and said to hold what was kept.
#[test]
fn ctrl_c_leaves_nothing_where_nothing_came() {
    let dir = Dir::new();
    dir.write("other", 10);
    dir.write("file", 100_000);
    // A tracker that knows nobody who has the file.
    let (_share, link) = dir.share("other");
    let tracker = tracker_of(&link);
    dir.run(&["maketorrent", "file", "--tracker", &tracker]).expect(0, &[], &[]);
    let mut download = dir.start(&["download", "file.torrent", "-o", "out", "--json"]);
    download.wait_for("\"tracker-connected\"");
    download.signal(Signal::INT);
    download.end().expect(
        130,
        &["\"node-stopped\""],
        &["interrupted: nothing of file is verified yet"],
    );
    assert_eq!(names(&dir.path("out")), [""; 0]);
    // What was there before is not this download's.
    fs::write(dir.path("out/file.part"), "").expect("written");
    let mut download = dir.start(&["download", "file.torrent", "-o", "out", "--json"]);
    download.wait_for("\"tracker-connected\"");
    download.signal(Signal::INT);
    download.end().expect(130, &[], &["interrupted: nothing of file is verified yet"]);
    assert_eq!(names(&dir.path("out")), ["file.part"]);
}

#[test]
fn ctrl_c_keeps_what_is_verified_and_says_so() {
    let dir = Dir::new();
    dir.write("file", 40 << 20);
    let (_share, link) = dir.share("file");
    let slow = ["--set", "download-limit=8 MiB/s"];
    let args = ["download", &*link, "-o", "out", "--json"];
    let mut download = dir.start(&[&args[..], &slow[..]].concat());
    download.wait_for("\"piece-verified\"");
    download.signal(Signal::INT);
    let kept = "are verified and kept in out/file.part; the same command goes on from there";
    download.end().expect(130, &[], &["interrupted: ", kept]);
    assert_eq!(names(&dir.path("out")), ["file.part"]);
}

#[test]
fn what_bears_the_name_is_never_overwritten() {
    let dir = Dir::new();
    dir.write("file", 100_000);
    let (_share, link) = dir.share("file");
    let mut other = dir.read("file");
    other[99_999] ^= 1;
    // The same length and one byte different; another length; a folder; a link to nowhere.
    type Make<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let makes: [Make<'_>; 4] = [
        (
            "1 of 2 pieces are wrong",
            Box::new(|| fs::write(dir.path("out/file"), &other).expect("written")),
        ),
        (
            "is there already",
            Box::new(|| fs::write(dir.path("out/file"), b"mine").expect("written")),
        ),
        ("is there already", Box::new(|| fs::create_dir(dir.path("out/file")).expect("made"))),
        (
            "is there already",
            Box::new(|| std::os::unix::fs::symlink("nowhere", dir.path("out/file")).expect("made")),
        ),
    ];
    for (why, make) in makes {
        fs::create_dir(dir.path("out")).expect("made");
        make();
        let before = fs::symlink_metadata(dir.path("out/file")).expect("there");
        dir.run(&["download", &link, "-o", "out"]).expect(
            2,
            &[],
            &["sta-node: out/file: ", why, "it is left alone"],
        );
        let after = fs::symlink_metadata(dir.path("out/file")).expect("still there");
        assert_eq!((before.len(), before.file_type()), (after.len(), after.file_type()), "{why}");
        fs::remove_dir_all(dir.path("out")).expect("gone");
    }
}

/// What has one wrong piece was to be moved away, and all of it to be fetched again.
#[test]
fn what_is_wrong_in_it_alone_is_fetched_when_one_does_what_is_advised() {
    let dir = Dir::new();
    for name in ["the file", "folder/a", "folder/b"] {
        dir.write(name, 100_000);
    }
    // The last byte of each is wrong or missing, which is in one piece of two and of four.
    let table = [
        ("the file", "the file", 1, 100_000),
        ("the file", "the file", 1, 99_999),
        ("folder", "folder/b", 3, 100_000),
        ("folder", "folder/b", 3, 99_999),
    ];
    for (name, path, have, len) in table {
        fs::create_dir(dir.path("out")).expect("made");
        let (_share, link) = dir.share(name);
        let right = dir.read(path);
        for path in ["the file", "folder/a", "folder/b"].iter().filter(|p| p.starts_with(name)) {
            let bytes = dir.read(path);
            dir.write(&format!("out/{path}"), 0);
            fs::write(dir.path(&format!("out/{path}")), bytes).expect("written");
        }
        let mut wrong = right.clone();
        wrong[99_999] ^= 1;
        fs::write(dir.path(&format!("out/{path}")), &wrong[..len]).expect("written");
        let download = ["download", &*link, "-o", "out", "--json"];
        let refused = dir.run(&download);
        refused.expect(2, &[], &["1 of ", " pieces are wrong or missing", "it is left alone"]);
        let advised = refused.err.lines().find(|line| line.starts_with("    mv ")).expect("advice");
        Running::start(dir.shell(advised)).end().expect(0, &[], &[]);
        let again = dir.run(&download);
        again.expect(0, &[&format!("\"have\":{have}}}")], &[&format!("{name}: complete")]);
        assert!(dir.read(&format!("out/{path}")) == right);
        fs::remove_dir_all(dir.path("out")).expect("gone");
    }
}

/// Where the advice would do harm, or would not do: what bears the other name already, a link, a file that is too long, and one of
/// which nothing is right.
#[test]
fn what_cannot_be_mended_is_to_be_moved_away() {
    let dir = Dir::new();
    let bytes = dir.write("file", 100_000);
    let (_share, link) = dir.share("file");
    let mut wrong = bytes.clone();
    wrong[99_999] ^= 1;
    let put = |name: &str, bytes: &[u8]| fs::write(dir.path(name), bytes).expect("written");
    let makes: [&dyn Fn(); 4] = [
        &|| {
            put("out/file", &wrong);
            put("out/file.part", b"another's");
        },
        &|| {
            put("out/wrong", &wrong);
            std::os::unix::fs::symlink("wrong", dir.path("out/file")).expect("made");
        },
        &|| put("out/file", &[&bytes[..], &[0]].concat()),
        &|| put("out/file", &[1; 10]),
    ];
    for make in makes {
        fs::create_dir(dir.path("out")).expect("made");
        make();
        let refused = dir.run(&["download", &link, "-o", "out"]);
        refused.expect(2, &[], &["out/file: is there already", "move it away"]);
        assert!(!refused.err.contains("mv "), "{}", refused.err);
        fs::remove_dir_all(dir.path("out")).expect("gone");
    }
}

/// What is said of a file of another's that is called as a download would be.
const SHORT: &str = "too short: 99999 bytes of 100000, and no piece is right";

/// That a file is too long showed with the first block, and then one was told to move it away and to go on from it. One that
/// was too short, such as what a browser had not completed, was written over.
#[test]
fn what_lies_where_the_part_belongs_is_named_before_anything_is_asked_for() {
    let dir = Dir::new();
    dir.write("file", 100_000);
    dir.write("folder/a", 100_000);
    dir.write("folder/sub/b", 100_000);
    let symlink = |to: &str, path: &str| {
        std::os::unix::fs::symlink(to, dir.path(path)).expect("made");
    };
    symlink("sub", "folder/dir");
    fs::create_dir(dir.path("folder/links")).expect("made");
    symlink("../a", "folder/links/a");
    let tracker = ["--tracker", "127.0.0.1:9"];
    for name in ["file", "folder"] {
        dir.run(&[&["maketorrent", name], &tracker[..]].concat()).expect(0, &[], &[]);
    }
    let write = |path: &str, len| drop(dir.write(path, len));
    let mkdir = |path: &str| fs::create_dir_all(dir.path(path)).expect("made");
    let link = |path: &str| symlink("nowhere", path);
    type Make<'a> = (&'a str, &'a str, &'a str, &'a dyn Fn(&str));
    let makes: [Make<'_>; 14] = [
        ("file", "file.part", "too long: 100001 bytes", &|path| write(path, 100_001)),
        ("file", "file.part", SHORT, &|path| write(path, 99_999)),
        ("folder", "folder.part/sub/b", SHORT, &|path| write(path, 99_999)),
        ("file", "file.part", "Is a directory", &mkdir),
        ("file", "file.part", "links are not followed", &link),
        ("folder", "folder.part", "Not a directory", &|path| write(path, 10)),
        ("folder", "folder.part", "links are not followed", &link),
        ("folder", "folder.part/sub", "Not a directory", &|path| write(path, 10)),
        ("folder", "folder.part/links", "Not a directory", &|path| write(path, 10)),
        ("folder", "folder.part/a", "too long: 100001 bytes", &|path| write(path, 100_001)),
        ("folder", "folder.part/sub/b", "not a file", &mkdir),
        ("folder", "folder.part/a", "a link", &link),
        ("folder", "folder.part/dir", "not a link to sub", &mkdir),
        ("folder", "folder.part/dir", "a link to nowhere, it should lead to sub", &link),
    ];
    for (name, place, why, make) in makes {
        mkdir("out");
        if place.contains('/') {
            mkdir("out/folder.part");
        }
        let path = format!("out/{place}");
        make(&path);
        let before = fs::read(dir.path(&path)).ok();
        let ended = dir.run(&["download", &format!("{name}.torrent"), "-o", "out"]);
        ended.expect(2, &[], &[&format!("sta-node: out/{place}: "), why]);
        assert_eq!(ended.err.matches("move it away").count(), 1, "{}", ended.err);
        assert_eq!(
            ended.err.matches("folder with -o").count()
                + ended.err.matches("choose another folder").count(),
            1,
            "{}",
            ended.err
        );
        assert!(!ended.err.contains("goes on from there"), "{}", ended.err);
        assert!(fs::read(dir.path(&path)).ok() == before, "{path} is not what it was");
        fs::remove_dir_all(dir.path("out")).expect("gone");
    }
}

#[test]
fn a_part_that_broke_off_is_gone_on_with_if_anything_in_it_is_right() {
    let dir = Dir::new();
    for name in ["file", "folder/a", "folder/b"] {
        dir.write(name, 100_000);
    }
    for (name, path) in [("file", "file.part"), ("folder", "folder.part/a")] {
        let bytes = dir.read(if name == "file" { "file" } else { "folder/a" });
        let (_share, link) = dir.share(name);
        let broken = format!("out/{path}");
        dir.write(&broken, 0);
        fs::write(dir.path(&broken), &bytes[..99_999]).expect("written");
        let ended = dir.run(&["download", &link, "-o", "out", "--json"]);
        ended.expect(0, &["\"have\":1}"], &[&format!("{name}: complete")]);
    }
    for name in ["file", "folder/a", "folder/b"] {
        assert!(dir.read(&format!("out/{name}")) == dir.read(name), "{name}");
    }
}

#[test]
fn two_downloads_into_one_place_do_not_meet() {
    let dir = Dir::new();
    dir.write("other", 10);
    dir.write("file", 100_000);
    let (_share, link) = dir.share("other");
    dir.run(&["maketorrent", "file", "--tracker", &tracker_of(&link)]).expect(0, &[], &[]);
    let mut first = dir.start(&["download", "file.torrent", "-o", "out", "--json"]);
    first.wait_for("\"torrent-added\"");
    dir.run(&["download", "file.torrent", "-o", "out"]).expect(2, &[], &["out/file.part: "]);
}

#[test]
fn a_part_is_served_while_the_rest_is_missing() {
    let dir = Dir::new();
    let bytes = dir.write("file", 1 << 20);
    let (share, link) = dir.share("file");
    let tracker = tracker_of(&link);
    dir.run(&["maketorrent", "file", "--tracker", &tracker, "--piece-size", "64 KiB"]).expect(
        0,
        &[],
        &[],
    );
    fs::create_dir(dir.path("half")).expect("made");
    let mut half = bytes;
    half[512 << 10..].fill(0);
    fs::write(dir.path("half/file.part"), half).expect("written");
    let mut seed =
        dir.start(&["seed", "file.torrent", "--data", "half", "--listen", "127.0.0.1:0"]);
    seed.wait_for("seeding 8 of 16 pieces of file");
    drop(share);
}

/// It was sent as it had become: who received it banned the source, and nobody told the person who seeds.
#[test]
fn what_is_changed_while_it_is_shared_is_not_served_and_is_named() {
    let dir = Dir::new();
    let bytes = dir.write("file", 1 << 20);
    dir.write("right/file", 0);
    fs::write(dir.path("right/file"), &bytes).expect("written");
    let (mut share, link) = dir.share("file");
    // One byte of the fourth of sixteen pieces.
    let file = fs::File::options().write(true).open(dir.path("file")).expect("there");
    file.write_all_at(&[!bytes[200_000]], 200_000).expect("written");
    let at = ["--listen", "127.0.0.1:0"];
    let mut download = dir.start(&[&["download", &link, "-o", "out", "--json"], &at[..]].concat());
    share.wait_for("file: it has changed since it was verified");
    for _ in 0..15 {
        download.wait_for("\"piece-verified\"");
    }
    let tracker = tracker_of(&link);
    dir.run(&["maketorrent", "right/file", "--tracker", &tracker]).expect(0, &[], &[]);
    let _right = dir.start(&[&["seed", "right/file.torrent"], &at[..]].concat());
    let ended = download.end();
    ended.expect(0, &["\"torrent-complete\""], &[]);
    assert!(!ended.out.contains("banned") && !ended.out.contains("piece-failed"), "{}", ended.out);
    assert!(dir.read("out/file") == bytes);
    share.signal(Signal::TERM);
    let said = share.end().err;
    assert_eq!(said.matches("it has changed").count(), 1, "{said}");
}

#[test]
fn what_is_only_touched_while_it_is_shared_is_served() {
    let dir = Dir::new();
    let bytes = dir.write("file", 1 << 20);
    let (share, link) = dir.share("file");
    fs::write(dir.path("file"), &bytes).expect("written");
    dir.run(&["download", &link, "-o", "out"]).expect(0, &["file: complete"], &[]);
    assert!(dir.read("out/file") == bytes);
    share.signal(Signal::TERM);
    share.end().expect(0, &[], &[]);
}

/// It was said that everything was here, and who had got nothing served it for ever.
#[test]
fn who_keeps_seeding_says_what_there_is_to_seed() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    for name in ["a", "b"] {
        dir.write(name, 100_000);
        dir.run(&["maketorrent", name, "--tracker", &tracker]).expect(0, &[], &[]);
    }
    let more = ["--listen", "127.0.0.1:0", "--keep-seeding", "--json", "-o"];
    let mut some =
        dir.start(&[&["download", "a.torrent", "b.torrent"], &more[..], &["some"]].concat());
    let mut none = dir.start(&[&["download", "a.torrent"], &more[..], &["none"]].concat());
    some.wait_for("\"torrent-added\"");
    some.wait_for("\"torrent-added\"");
    none.wait_for("\"torrent-added\"");
    // Nobody has them yet: when the first is complete, its name is taken.
    fs::write(dir.path("some/a"), b"mine").expect("written");
    fs::write(dir.path("none/a"), b"mine").expect("written");
    let _seed = dir.start(&["seed", "a.torrent", "b.torrent", "--listen", "127.0.0.1:0"]);
    some.wait_for("not everything is here; serving others what is");
    some.signal(Signal::INT);
    let ended = some.end();
    ended.expect(1, &[], &["some/a: it exists already", "b: complete"]);
    assert!(!ended.err.contains("everything is here; serving others\n"), "{}", ended.err);
    none.end().expect(1, &[], &["none/a: it exists already"]);
}

/// It was said to be saved where nothing was.
#[test]
fn a_folder_that_is_moved_meanwhile_is_told_of() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let bytes = dir.write("file", 100_000);
    dir.run(&["maketorrent", "file", "--tracker", &tracker]).expect(0, &[], &[]);
    let at = ["--listen", "127.0.0.1:0"];
    let args = ["download", "file.torrent", "-o", "some/out", "--json"];
    let mut download = dir.start(&[&args[..], &at].concat());
    download.wait_for("\"torrent-added\"");
    // Nobody has it yet.
    fs::rename(dir.path("some/out"), dir.path("moved")).expect("it is there");
    let _seed = dir.start(&[&["seed", "file.torrent"], &at[..]].concat());
    let words = ["sta-node: some/out: it is not the folder any more", "file is complete in it"];
    let ended = download.end();
    ended.expect(1, &["\"torrent-complete\""], &words);
    assert!(!ended.err.contains("saved"), "{}", ended.err);
    assert!(dir.read("moved/file") == bytes && !dir.path("some/out").exists());
}

/// What had come was of no use to anybody, and stayed.
#[test]
fn what_came_and_was_not_verified_is_not_kept() {
    let dir = Dir::new();
    for name in ["a", "b/c"] {
        dir.write(&format!("folder/{name}"), 3_000_000);
    }
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let args = ["maketorrent", "folder", "--tracker", &tracker, "--piece-size", "4 MiB"];
    dir.run(&args).expect(0, &[], &[]);
    // A piece takes seconds.
    let slow = ["--set", "upload-limit=500 KiB/s", "--listen", "127.0.0.1:0"];
    let mut seed = dir.start(&[&["seed", "folder.torrent"], &slow[..]].concat());
    seed.wait_for("seeding folder as");
    let args = ["download", "folder.torrent", "-o", "out", "--listen", "127.0.0.1:0", "--json"];
    let mut download = dir.start(&[&args[..], &["--give-up-after", "2s"]].concat());
    download.wait_for("\"block-received\"");
    drop(seed);
    download.end().expect(1, &[], &["nothing has come for 2s", "nothing of it is kept"]);
    assert_eq!(names(&dir.path("out")), [""; 0]);
}

/// It said that it tries again, and gave up the moment after.
#[test]
fn who_gives_up_says_that_and_nothing_else() {
    let dir = Dir::new();
    // More than a moment at the rate of the seed, and more files than those that are open already.
    for name in ["a", "b", "c", "d"] {
        dir.write(&format!("folder/{name}"), 500_000);
    }
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    dir.run(&["maketorrent", "folder", "--tracker", &tracker, "--piece-size", "64 KiB"]).expect(
        0,
        &[],
        &[],
    );
    let slow = ["--set", "upload-limit=500 KiB/s", "--listen", "127.0.0.1:0"];
    let mut seed = dir.start(&[&["seed", "folder.torrent"], &slow[..]].concat());
    seed.wait_for("seeding folder as");
    let args = ["download", "folder.torrent", "-o", "out", "--listen", "127.0.0.1:0", "--json"];
    let mut download = dir.start(&args);
    download.wait_for("\"piece-announced\"");
    let most = getrlimit(Resource::Nofile).maximum;
    let few = Rlimit { current: Some(1), maximum: most };
    prlimit(Some(download.pid()), Resource::Nofile, few).expect("it is ours");
    let ended = download.end();
    ended.expect(1, &["\"store-failed\""], &["sta-node: out/folder.part/", "goes on from there"]);
    assert_eq!(ended.err.matches("ulimit -n").count(), 1, "{}", ended.err);
    assert!(!ended.err.contains("trying again"), "{}", ended.err);
}
