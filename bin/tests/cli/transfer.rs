//! share, seed, download, status: from one machine to others.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use crate::util::{Dir, Signal, names, tracker_of};

#[test]
fn files_of_all_sizes_arrive() {
    // 0 bytes, 1 byte, exactly one piece, one byte more, many pieces.
    for len in [0, 1, 65_536, 65_537, 3_000_000] {
        let dir = Dir::new();
        let bytes = dir.write("file.bin", len);
        let (_share, link) = dir.share("file.bin");
        dir.run(&["download", &link, "-o", "out"]).expect(
            0,
            &["file.bin: complete", "saved      out/file.bin"],
            &[],
        );
        assert!(dir.read("out/file.bin") == bytes, "{len} bytes");
        assert_eq!(names(&dir.path("out")), ["file.bin"], "{len} bytes");
        let again = dir.run(&["download", &link, "-o", "out"]);
        again.expect(0, &["file.bin: complete already"], &[]);
        // A program hears of it as it would of a download.
        let again = dir.run(&["download", &link, "-o", "out", "--json"]);
        again.expect(0, &["\"event\":\"torrent-complete\""], &["file.bin: complete already"]);
        assert_eq!(again.out.lines().count(), 1, "{}", again.out);
    }
}

/// The node inside looked for its own tracker by the name that only others can use, and was never found. For programs its link was a line
/// that is no JSON.
#[test]
fn what_is_shared_under_a_name_for_others_is_found() {
    let dir = Dir::new();
    let bytes = dir.write("file", 300_000);
    // Nobody is at this address (RFC 5737).
    let mut share = dir.start(&["share", "file", "--address", "192.0.2.77", "--json"]);
    let line = share.wait_for("{\"link\":\"sta://192.0.2.77:");
    let link: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let link = link["link"].as_str().expect("text").replace("192.0.2.77", "127.0.0.1");
    let tracker = tracker_of(&link);
    let download = dir.run(&["download", &link, "--tracker", &tracker, "-o", "out"]);
    download.expect(0, &["file: complete"], &[]);
    assert!(dir.read("out/file") == bytes);
    share.signal(Signal::INT);
    let ended = share.end();
    assert!(ended.out.lines().all(|line| line.starts_with('{')), "{}", ended.out);
}

/// The second found the folder locked by the first.
#[test]
fn what_is_named_twice_takes_part_once() {
    let dir = Dir::new();
    let bytes = dir.write("file", 300_000);
    let (share, link) = dir.share("file");
    dir.run(&["download", &link, &link, "-o", "out"]).expect(0, &["file: complete"], &[]);
    assert!(dir.read("out/file") == bytes);
    drop(share);
    dir.run(&["maketorrent", "file"]).expect(0, &[], &[]);
    fs::create_dir(dir.path("part")).expect("a new folder");
    fs::write(dir.path("part/file.part"), &bytes[..150_000]).expect("written");
    let args = ["seed", "file.torrent", "file.torrent", "--data", "part", "--peer", "127.0.0.1:1"];
    let mut seed = dir.start(&args);
    seed.wait_for("seeding 2 of 5 pieces of file");
}

#[test]
fn a_folder_arrives_with_empty_files_and_foreign_names() {
    let dir = Dir::new();
    let files = ["a b/пустой", "a b/日本語/ファイル", "a b/x y/z", "a b/empty/too/.keep"];
    let write = |(index, name): (usize, &&str)| dir.write(name, index * 50_000);
    let bytes: Vec<_> = files.iter().enumerate().map(write).collect();
    for index in 0..300 {
        dir.write(&format!("a b/many/{index}"), index);
    }
    let tool = dir.path("a b/x y/z");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("ours");
    symlink("../many/7", dir.path("a b/x y/seven")).expect("a link");
    let (_share, link) = dir.share("a b");
    dir.run(&["download", &link, "-o", "out"]).expect(0, &["a b: complete"], &[]);
    let seven = fs::read_link(dir.path("out/a b/x y/seven")).expect("a link");
    assert_eq!(seven, Path::new("../many/7"));
    for (name, bytes) in files.iter().zip(bytes) {
        assert!(dir.read(&format!("out/{name}")) == bytes, "{name}");
    }
    let may_execute = |name: &str| {
        let found = fs::metadata(dir.path(&format!("out/{name}"))).expect("there");
        found.permissions().mode() & 0o100 != 0
    };
    assert_eq!(files.map(may_execute), [false, false, true, false]);
    assert_eq!(names(&dir.path("out/a b/many")).len(), 300);
    assert_eq!(names(&dir.path("out")), ["a b"], "nothing else is left");
    dir.run(&["download", &link, "-o", "out"]).expect(0, &["a b: complete already"], &[]);
    fs::remove_file(dir.path("out/a b/пустой")).expect("it was there");
    let again = dir.run(&["download", &link, "-o", "out"]);
    again.expect(2, &[], &["does not match: пустой: missing"]);
}

#[test]
fn what_cannot_be_served_is_not_offered_and_is_named() {
    let dir = Dir::new();
    for name in ["two/a", "two/b", "two/c"] {
        dir.write(name, 65_536);
    }
    dir.run(&["maketorrent", "two"]).expect(0, &[], &[]);
    fs::rename(dir.path("two/a"), dir.path("elsewhere")).expect("moved");
    std::os::unix::fs::symlink(dir.path("elsewhere"), dir.path("two/a")).expect("a link");
    let longer = File::options().append(true).open(dir.path("two/b"));
    longer.and_then(|mut file| file.write_all(b"more")).expect("written");
    dir.run(&["verify", "two.torrent"]).expect(1, &["a: a link", "b: too long"], &[]);
    let mut seed =
        dir.start(&["seed", "two.torrent", "--listen", "127.0.0.1:0", "--peer", "127.0.0.1:9"]);
    seed.wait_for("seeding 1 of 3 pieces of two");
    seed.wait_for("a: a link");
    seed.wait_for("b: too long");
    seed.signal(Signal::TERM);
}

#[test]
fn two_torrents_arrive_at_the_same_time_and_status_shows_who_has_what() {
    let dir = Dir::new();
    let (first, second) = (dir.write("first", 700_000), dir.write("second", 400_000));
    let (_one, link1) = dir.share("first");
    let (_two, link2) = dir.share("second");
    let at = ["--listen", "127.0.0.1:0", "--node-id", "fetcher"];
    let mut download = dir
        .start(&[&["download", &link1, &link2, "-o", "out", "--keep-seeding"], &at[..]].concat());
    download.wait_for("everything is here; serving others");
    assert!(dir.read("out/first") == first && dir.read("out/second") == second);
    let status = dir.run(&["status", "--tracker", &tracker_of(&link2)]);
    status.expect(0, &["2 nodes", " fetcher "], &[]);
    download.signal(Signal::TERM);
    download.end().expect(0, &["first: complete", "second: complete", "share"], &[]);
}

#[test]
fn holders_of_a_part_each_feed_one_downloader() {
    let dir = Dir::new();
    let bytes = dir.write("whole/file", 4 << 20);
    let (_other, link) = dir.share("whole");
    let tracker = tracker_of(&link);
    dir.run(&[
        "maketorrent",
        "whole/file",
        "-o",
        "t.torrent",
        "--tracker",
        &tracker,
        "--piece-size",
        "64 KiB",
    ])
    .expect(0, &[], &[]);
    let quarter = bytes.len() / 4;
    let mut holders = Vec::new();
    for part in 0..4 {
        let folder = dir.path(&format!("part{part}"));
        fs::create_dir(&folder).expect("made");
        let file = File::create(folder.join("file")).expect("made");
        file.set_len(bytes.len() as u64).expect("sparse");
        let at = part * quarter;
        file.write_all_at(&bytes[at..at + quarter], at as u64).expect("written");
        let id = format!("holder-{part}");
        let mut holder = dir.start(&[
            "seed",
            "t.torrent",
            "--data",
            folder.to_str().expect("UTF-8"),
            "--node-id",
            &id,
            "--listen",
            "127.0.0.1:0",
        ]);
        holder.wait_for("seeding 16 of 64 pieces of file");
        holders.push(holder);
    }
    let got = dir.run(&["download", "t.torrent", "-o", "out", "--listen", "127.0.0.1:0"]);
    got.expect(0, &["holder-0", "holder-1", "holder-2", "holder-3", "25 %"], &[]);
    assert!(dir.read("out/file") == bytes);
}

#[test]
fn a_stranger_who_speaks_garbage_or_nothing_stops_nobody() {
    let dir = Dir::new();
    let bytes = dir.write("file", 500_000);
    let at = ["--listen", "127.0.0.1:0", "--tracker-listen", "127.0.0.1:0"];
    let mut share = dir.start(&[&["share", "file"], &at[..]].concat());
    // One is on stdout and the other on stderr: they come in any order.
    let telling = ["seeding file as", "sta-node download"];
    let told = |line: &str| telling.iter().any(|text| line.contains(text));
    let lines = [(); 2].map(|()| share.wait_until("its address and its link", told));
    let [seeding, link] = telling.map(|text| {
        lines.iter().find(|line| line.contains(text)).expect("it is told once").clone()
    });
    let link = link.rsplit(' ').next().expect("a word");
    let node =
        seeding.split(" at ").nth(1).and_then(|rest| rest.split(',').next()).expect("an address");
    let tracker = tracker_of(link).replace("sta://", "");
    let mut strangers = Vec::new();
    for to in [node, &tracker] {
        strangers.push(TcpStream::connect(to).expect("it listens"));
        for words in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"STA/1\n\xff\xff\xff\xff\xff\xff\xff\xff",
            b"STA/1\n\0\0\0\x02\0\0\0\0{}",
        ] {
            let mut stream = TcpStream::connect(to).expect("it listens");
            stream.write_all(words).expect("sent");
            strangers.push(stream);
        }
    }
    dir.run(&["download", link, "-o", "out"]).expect(0, &["file: complete"], &[]);
    assert!(dir.read("out/file") == bytes);
    drop(strangers);
}

#[test]
fn a_rate_is_kept_to() {
    let dir = Dir::new();
    dir.write("file", 2 << 20);
    let (_share, link) = dir.share("file");
    let limit = ["--set", "download-limit=2 MiB/s", "--json"];
    let got = dir.run(&[&["download", &link, "-o", "out"], &limit[..]].concat());
    let last = got.out.lines().find(|line| line.contains("torrent-complete")).expect("complete");
    let last: sta_core::model::event::Record = serde_json::from_str(last).expect("a record");
    // A slow machine takes longer, so only the lower bound says anything.
    assert!(last.at.as_secs_f64() > 0.8, "2 MiB at 2 MiB/s took until {}", last.at);
}

#[test]
fn events_are_one_json_object_a_line() {
    let dir = Dir::new();
    dir.write("file", 300_000);
    let (_share, link) = dir.share("file");
    let got = dir.run(&["download", &link, "-o", "out", "--json"]);
    got.expect(0, &[], &["file: complete"]);
    for line in got.out.lines() {
        let of_program = serde_json::from_str::<sta_bin::event::ProgramRecord>(line);
        if of_program.is_err() {
            serde_json::from_str::<sta_core::model::event::Record>(line)
                .unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
    assert!(got.out.lines().count() > 5);
    for event in
        ["node-started", "torrent-added", "block-received", "piece-verified", "torrent-complete"]
    {
        assert!(got.out.contains(&format!("\"event\":\"{event}\"")), "{event} in {}", got.out);
    }
}

#[test]
fn a_peer_that_is_not_there_is_named_once() {
    let dir = Dir::new();
    dir.write("data", 10);
    dir.run(&["maketorrent", "data"]).expect(0, &[], &[]);
    let mut download =
        dir.start(&["download", "data.torrent", "-o", "out", "--peer", "127.0.0.1:1"]);
    download.wait_for("peer 127.0.0.1:1: Connection refused; trying again");
    download.signal(Signal::TERM);
}

#[test]
fn two_signals_that_come_together_are_one() {
    let dir = Dir::new();
    dir.write("data", 10);
    let (share, _) = dir.share("data");
    share.signal(Signal::INT);
    share.signal(Signal::INT);
    share.end().expect(0, &[], &[]);
}

#[test]
fn a_download_that_gets_nothing_is_given_up_when_asked() {
    let dir = Dir::new();
    dir.write("file", 100_000);
    let (_share, link) = dir.share("file");
    dir.run(&["maketorrent", "file", "--tracker", &tracker_of(&link)]).expect(0, &[], &[]);
    // Another torrent of the same tracker, which nobody has.
    let other = dir.write("other", 100_000);
    dir.run(&["maketorrent", "other", "--tracker", &tracker_of(&link)]).expect(0, &[], &[]);
    assert_eq!(other.len(), 100_000);
    let given_up = dir.run(&[
        "download",
        "file.torrent",
        "other.torrent",
        "-o",
        "out",
        "--give-up-after",
        "900ms",
    ]);
    given_up.expect(
        1,
        &["file: complete"],
        &["other: nothing has come for 900ms and no peer is connected\n  nothing of it is kept; once"],
    );
    assert_eq!(names(&dir.path("out")), ["file"], "nothing was begun");
}

#[test]
fn an_empty_folder_is_not_in_the_way_and_status_asks_the_next_tracker() {
    let dir = Dir::new();
    dir.write("release/a", 70_000);
    let (_share, link) = dir.share("release");
    fs::create_dir_all(dir.path("out/release")).expect("a folder");
    dir.run(&["download", &link, "-o", "out"]).expect(0, &["release: complete"], &[]);
    let trackers = ["--tracker", "sta://127.0.0.1:9", "--tracker", &tracker_of(&link)];
    dir.run(&[&["maketorrent", "release"], &trackers[..]].concat()).expect(0, &[], &[]);
    let status = dir.run(&["status", "release.torrent"]);
    status.expect(0, &["1 node, 1 complete"], &["127.0.0.1:9"]);

    File::options()
        .append(true)
        .open(dir.path("out/release/a"))
        .expect("there")
        .set_len(70_001)
        .expect("longer");
    let again = dir.run(&["download", &link, "-o", "out"]);
    again.expect(2, &[], &["does not match: a: too long: 70001 bytes, it should have 70000"]);
}
