//! One clear error that names the thing, the reason and what to do, with its exit code.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;

use bytes::Bytes;
use sta_core::model::files::{FileKind, Files};
use sta_core::model::metainfo::{About, Builder};
use sta_core::wire::frame::{PREAMBLE, encode};
use sta_core::wire::tracker::FromTracker;

use crate::util::{Dir, Ended, Running, names};

/// The error begins with the program and the thing, and does not talk like a debugger.
fn expect_error(ended: &Ended, code: i32, words: &[&str]) {
    ended.expect(code, &[], words);
    let shown = &ended.err;
    assert!(shown.starts_with("sta-node: ") || shown.contains("\nsta-node: "), "{shown}");
    assert!(!shown.contains("os error") && !shown.contains("panicked"), "{shown}");
}

#[test]
fn what_is_not_there_is_named() {
    let dir = Dir::new();
    dir.write("file", 10);
    dir.run(&["maketorrent", "file"]).expect(0, &[], &[]);
    fs::create_dir(dir.path("elsewhere")).expect("made");
    let table: [(&[&str], &[&str]); 7] = [
        (&["show", "no.torrent"], &["no.torrent", "No such file"]),
        (&["verify", "no.torrent"], &["no.torrent", "No such file"]),
        (&["seed", "no.torrent"], &["no.torrent", "No such file"]),
        (&["download", "no.torrent"], &["no.torrent", "No such file"]),
        (&["maketorrent", "nothing"], &["nothing", "No such file"]),
        (&["share", "nothing"], &["nothing", "No such file"]),
        (&["seed", "file.torrent", "--data", "elsewhere"], &["elsewhere/file", "--data"]),
    ];
    for (args, words) in table {
        expect_error(&dir.run(args), 2, words);
    }
}

#[test]
fn broken_torrents_are_refused() {
    let dir = Dir::new();
    dir.write("file", 100_000);
    dir.run(&["maketorrent", "file"]).expect(0, &[], &[]);
    let good = dir.read("file.torrent");
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).expect("there");
        [&good[..at], to, &good[at + from.len()..]].concat()
    };
    let table: [(&str, Vec<u8>, &str); 8] = [
        ("truncated", good[..good.len() / 2].to_vec(), "bencode"),
        ("empty", Vec::new(), "bencode"),
        ("text", b"hello".to_vec(), "bencode"),
        ("not canonical", replaced(b"6:lengthi100000e", b"6:lengthi0100000e"), "bencode"),
        ("negative", replaced(b"6:lengthi100000e", b"6:lengthi-100000e"), "negative"),
        ("a wrong length", replaced(b"6:lengthi100000e", b"6:lengthi999999e"), "pieces"),
        ("out of the folder", replaced(b"4:name4:file", b"4:name7:../file"), "refused"),
        ("deep", [vec![b'l'; 100_000], vec![b'e'; 100_000]].concat(), "bencode"),
    ];
    for (name, bytes, why) in table {
        fs::write(dir.path("broken.torrent"), bytes).expect("written");
        for command in ["show", "verify", "seed", "download"] {
            let ended = dir.run(&[command, "broken.torrent"]);
            expect_error(&ended, 2, &["broken.torrent", why]);
            assert!(ended.err.lines().count() <= 3, "{name}: {}", ended.err);
        }
    }
    assert!(!dir.path("broken").exists() && !dir.path("../file").exists());
}

#[test]
fn a_tracker_that_is_not_there_is_named() {
    let dir = Dir::new();
    dir.write("file", 10);
    // A port that was free a moment ago: nobody listens.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let tracker = format!("sta://{free}");
    dir.run(&["maketorrent", "file", "--tracker", &tracker]).expect(0, &[], &[]);
    let words = [&*format!("tracker {free}: "), "trying again", "start it with sta-tracker"];
    let impatient = ["--set", "tracker.patience=300ms", "--listen", "127.0.0.1:0"];
    for command in [&["download", "file.torrent", "-o", "out"][..], &["seed", "file.torrent"]] {
        expect_error(&dir.run(&[command, &impatient[..]].concat()), 2, &words);
    }
    assert_eq!(names(&dir.path("out")), [""; 0], "nothing was begun");
    let refused = dir.run(&["status", "--tracker", &tracker]);
    expect_error(&refused, 2, &[&free.to_string(), "is it running"]);
    let link = format!("{tracker}/{}", "0".repeat(40));
    expect_error(&dir.run(&["download", &link]), 2, &[&free.to_string()]);
}

#[test]
fn sharing_what_nobody_could_fetch_is_refused() {
    let dir = Dir::new();
    dir.write("file", 10);
    let address = ["--address", "192.0.2.1"];
    let args = [&["share", "file", "--listen", "127.0.0.1:0"], &address[..]].concat();
    expect_error(&dir.run(&args), 2, &["--listen 127.0.0.1:0", "192.0.2.1", "--tracker-listen"]);
    for odd in ["host:99", "sta://host", "http://host/", "", "a b"] {
        let words =
            [&*format!("--address: {odd:?} is not"), "the port is that of --tracker-listen"];
        expect_error(&dir.run(&["share", "file", "--address", odd]), 2, &words);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let dir = Dir::new();
    dir.write("file", 10);
    dir.run(&["maketorrent", "file"]).expect(0, &[], &[]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let at = taken.local_addr().expect("bound").to_string();
    expect_error(
        &dir.run(&["seed", "file.torrent", "--listen", &at]),
        2,
        &[&at, "in use", "--listen"],
    );
    expect_error(
        &dir.run(&["share", "file", "--tracker-listen", &at]),
        2,
        &[&at, "in use", "--tracker-listen"],
    );
}

#[test]
fn a_place_that_cannot_take_it_is_named() {
    let dir = Dir::new();
    dir.write("file", 10);
    // 8 TiB: no machine that runs this test has so much room.
    let piece_bytes = 16 << 20;
    let pieces = 1 << 19;
    let huge = Builder {
        files: Files::single("huge".to_owned(), pieces * u64::from(piece_bytes), FileKind::Plain)
            .expect("a name"),
        piece_bytes,
        sha1: Bytes::from(vec![0; pieces as usize * 20]),
        blake3: None,
        trackers: Vec::new(),
        about: About::default(),
    };
    fs::write(dir.path("huge.torrent"), huge.build().expect("a torrent").bytes()).expect("written");
    expect_error(
        &dir.run(&["download", "huge.torrent", "-o", "out"]),
        2,
        &["out: no space: 8.0 TiB to come", "-o"],
    );
    assert_eq!(names(&dir.path("out")), [""; 0], "nothing was begun");
    // A folder that can never be: below a file.
    expect_error(
        &dir.run(&["download", "huge.torrent", "-o", "file/out"]),
        2,
        &["file/out", "Not a directory"],
    );
}

#[test]
fn a_file_where_a_folder_belongs_and_the_other_way_round_are_named() {
    let dir = Dir::new();
    dir.write("file", 10);
    dir.write("plain", 10);
    fs::create_dir(dir.path("folder")).expect("made");
    let make = |to| dir.run(&["maketorrent", "file", "-o", to]);
    expect_error(&make("folder"), 2, &["folder: is a folder", "for example folder/NAME.torrent"]);
    expect_error(&make("nowhere/x"), 2, &["nowhere/x", "No such file or directory; choose"]);
    make("file.torrent").expect(0, &[], &[]);
    let into = dir.run(&["download", "file.torrent", "-o", "plain"]);
    expect_error(&into, 2, &["plain: File exists: it is not a folder"]);
    expect_error(&dir.run(&["seed", "file"]), 2, &["file: not a usable torrent", "maketorrent"]);
    expect_error(&dir.run(&["seed", "folder"]), 2, &["folder: ", "Is a directory", "maketorrent"]);
    for no_folder in ["plain", "nowhere"] {
        let verify = dir.run(&["verify", "file.torrent", "--data", no_folder]);
        expect_error(&verify, 2, &[&format!("{no_folder}: "), "with --data"]);
    }
}

/// With the longest name whose torrent has a name; and with one more.
#[test]
fn long_names_are_taken_or_refused_in_words() {
    let dir = Dir::new();
    let (fits, too_long) = ("n".repeat(247), "n".repeat(248));
    let bytes = dir.write(&fits, 10);
    dir.write(&too_long, 10);
    dir.run(&["maketorrent", &fits]).expect(0, &[], &[]);
    expect_error(&dir.run(&["maketorrent", &too_long]), 2, &["File name too long", "-o"]);
    let (_share, link) = dir.share(&too_long);
    dir.run(&["download", &link, "-o", "out"]).expect(0, &[": complete"], &[]);
    assert!(dir.read(&format!("out/{too_long}")).len() == bytes.len());
}

#[test]
fn wrong_arguments_are_explained() {
    let dir = Dir::new();
    let table: [(&[&str], &str); 17] = [
        (&["--torrent-file", "x"], "sta-node: --node-id: it is missing"),
        (&[], "Usage: sta-node"),
        (
            &["status", "--tracker", "http://host:80/announce"],
            "only trackers of STA speak STA, and theirs begin with sta://; write sta://HOST:PORT",
        ),
        (
            &["status", "--tracker", "udp://host:80"],
            "only trackers of STA speak STA, and theirs begin with sta://; write sta://HOST:PORT",
        ),
        (
            &["status", "--tracker", "sta://host:80/x"],
            "\"sta://host:80/x\" is not an address: something",
        ),
        (&["status", "--tracker", "STA://[::1]:0/"], "port 0 is nowhere"),
        (
            &["download", "x", "--peer", "http://host:80"],
            "nothing stands before its host; write HOST:PORT",
        ),
        (&["download", "http://host/x.torrent"], "fetch the .torrent file first"),
        (&["download", "STA://host:1"], "copy the whole line that `sta-node share` printed"),
        (&["frobnicate"], "frobnicate"),
        (&["download"], "FILE.torrent"),
        (&["maketorrent", "x", "--piece-size", "65536"], "\"65536\" is not a size"),
        (&["maketorrent", "x", "--tracker", "nowhere"], "it has no port"),
        (&["download", "x", "--seed-for", "90"], "is not a duration"),
        (&["download", "x", "--seed-for", "90s", "--keep-seeding"], "cannot be used with"),
        (&["download", "sta://host:1"], "copy the whole line that `sta-node share` printed"),
        (&["--node-id", "a b"], "a node id is 1 to 64 letters"),
    ];
    for (args, words) in table {
        dir.run(args).expect(2, &[], &[words]);
    }
    assert!(!dir.run(&["--torrent-file", "x"]).err.contains("Usage"));
}

#[test]
fn help_begins_with_what_the_program_does() {
    let dir = Dir::new();
    for (name, does) in [("node", "Shares files with many"), ("tracker", "Knows which node has")] {
        let help = Running::start(dir.program(name, &["--help"])).end();
        help.expect(0, &["Usage: ", "in the logs directory"], &[]);
        assert!(help.out.starts_with(does), "{}", help.out);
    }
}

/// It was said to be started, which it was.
#[test]
fn what_a_tracker_refuses_is_advised_about() {
    let dir = Dir::new();
    dir.write("file", 10);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let tracker = format!("sta://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        let why = "the node id n is in use by 192.0.2.7:7000; choose another".to_owned();
        let mut answer = PREAMBLE.to_vec();
        encode(&FromTracker::Error { why }, 0, &mut answer);
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let hung_up =
                stream.write_all(&answer).and_then(|()| io::copy(&mut stream, &mut io::sink()));
            drop(hung_up);
        }
    });
    dir.run(&["maketorrent", "file", "--tracker", &tracker]).expect(0, &[], &[]);
    let patience = ["--node-id", "n", "--set", "tracker.patience=2s", "--listen", "127.0.0.1:0"];
    let refused = dir.run(&[&["seed", "file.torrent"], &patience[..]].concat());
    expect_error(
        &refused,
        2,
        &["it refuses: the node id n is in use", "something else with --node-id"],
    );
    assert!(!refused.err.contains("start it"), "{}", refused.err);
}

/// A folder of another name was made and used instead, and a torrent that other commands take was refused.
#[test]
fn names_need_not_be_text_and_are_refused_where_they_must() {
    let dir = Dir::new();
    dir.write("file", 10);
    dir.run(&["maketorrent", "file"]).expect(0, &[], &[]);
    let odd = OsStr::from_bytes(b"odd-\xff.torrent");
    fs::rename(dir.path("file.torrent"), dir.path("").join(odd)).expect("it is there");
    let mut download = dir.node(&["download"]);
    download.arg(odd).args(["--peer", "127.0.0.1:1"]);
    Running::start(download).end().expect(0, &["file: complete"], &[]);
    let mut tracker = dir.program("tracker", &["--listen", "127.0.0.1:0", "--state"]);
    tracker.arg(OsStr::from_bytes(b"state-\xff"));
    Running::start(tracker).end().expect(2, &[], &["--state", "not UTF-8", "another folder"]);
    assert_eq!(names(&dir.path("")).len(), 2, "no folder was made");
}
