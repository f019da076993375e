//! File, environment, command line: later ones win; what is wrong is pointed at.

use std::fs;

use crate::util::{Dir, Running, Signal};

#[test]
fn later_ones_win_and_the_result_can_be_read_again() {
    let dir = Dir::new();
    fs::write(
        dir.path("sta.toml"),
        "node-id = \"file\"\n[tracker]\nport = 1\naddress = \"file.example\"\n",
    )
    .expect("written");
    let mut command = dir.node(&["--print-config", "--set", "tracker.port=3", "--site", "rack-7"]);
    command.env("STA_TRACKER_PORT", "2").env("STA_NODE_ID", "environment");
    let shown = Running::start(command).end();
    shown.expect(
        0,
        &[
            "node-id = \"environment\"",
            "site = \"rack-7\"",
            "port = 3",
            "address = \"file.example\"",
            "# ",
        ],
        &[],
    );
    fs::write(dir.path("printed.toml"), &shown.out).expect("written");
    let again = dir.run(&["--print-config", "--config", "printed.toml"]);
    again.expect(0, &[], &[]);
    assert_eq!(again.out, shown.out);
}

#[test]
fn the_users_file_is_read_where_there_is_none_here() {
    let dir = Dir::new();
    fs::create_dir_all(dir.path(".config/sta")).expect("made");
    fs::write(dir.path(".config/sta/sta.toml"), "node-id = \"mine\"\n").expect("written");
    dir.run(&["--print-config"]).expect(0, &["node-id = \"mine\""], &[]);
    fs::write(dir.path("sta.toml"), "node-id = \"here\"\n").expect("written");
    dir.run(&["--print-config"]).expect(0, &["node-id = \"here\""], &[]);
}

/// How scripts write that a variable has no value. A value was said to be required.
#[test]
fn an_empty_variable_is_as_good_as_none() {
    let dir = Dir::new();
    fs::write(dir.path("sta.toml"), "site = \"file\"\n").expect("written");
    let variables = ["CONFIG", "NODE_ID", "SITE", "LISTEN", "TRACKER_PORT", "DIRECTORIES_LOGS"];
    for program in ["node", "tracker"] {
        let mut command = dir.program(program, &["--print-config"]);
        command.envs(variables.map(|name| (format!("STA_{name}"), "")));
        let shown = Running::start(command).end();
        shown.expect(0, &["site = \"file\"", "port = 6081", "logs = \"logs\""], &[]);
    }
    fs::write(dir.path("other.toml"), "site = \"other\"\n").expect("written");
    for (args, site) in [(&[][..], "other"), (&["--config", "sta.toml"], "file")] {
        let mut command = dir.node(&[&["--print-config"], args].concat());
        command.env("STA_CONFIG", "other.toml");
        Running::start(command).end().expect(0, &[&format!("site = {site:?}")], &[]);
    }
}

#[test]
fn a_wrong_file_is_pointed_at() {
    let dir = Dir::new();
    fs::write(dir.path("sta.toml"), "\n[tracker]\nprot = 1\n").expect("written");
    dir.run(&["demo"]).expect(
        2,
        &[],
        &["sta-node: sta.toml:3: unknown key \"tracker.prot\"", "did you mean \"tracker.port\"?"],
    );
    dir.run(&["demo", "--config", "no.toml"]).expect(2, &[], &["no.toml: No such file"]);
}

/// Some were found late, by the command that needed them, and a lease of a second was taken for three.
#[test]
fn what_is_out_of_range_is_refused_at_once() {
    let dir = Dir::new();
    let node: [(&[&str], &[&str]); 8] = [
        (&["--set", "engine.upload-slots=0"], &["--set engine.upload-slots: 0", "takes 1 to 64"]),
        (&["--set", "engine.peer-timeout=1ms"], &["engine.peer-timeout takes 3s to 1day"]),
        (&["--set", "tracker.lease=1s"], &["--set tracker.lease: 1s", "takes 3s to 1day"]),
        (&["--set", "buffer-size=1 B"], &["buffer-size takes 16 KiB to 1 MiB"]),
        (&["--set", "piece-size=1 GiB"], &["piece-size takes a power of two from 16 KiB"]),
        (&["--set", "tracker.port=0"], &["tracker.port: a node finds no tracker at port 0"]),
        (&["--set", "tracker.address=host:99"], &["tracker.address: \"host:99\"", "tracker.port"]),
        (&["--listen", "6881"], &["--listen: \"6881\" is not where", "[::]:6881"]),
    ];
    for (args, words) in node {
        dir.run(&[args, &["show", "nothing.torrent"]].concat()).expect(2, &[], words);
    }
    dir.run(&["maketorrent", "x", "--piece-size", "3 MiB"]).expect(
        2,
        &[],
        &["'3 MiB' for '--piece-size <SIZE>'", "a power of two from 16 KiB to 16 MiB"],
    );
}

#[test]
fn logs_go_to_the_logs_directory_and_never_to_stdout() {
    let dir = Dir::new();
    dir.write("file", 100_000);
    let (_share, link) = dir.share("file");
    let got =
        dir.run(&["download", &link, "-o", "out", "--log-level", "trace", "--log-file", "d.log"]);
    got.expect(0, &["file: complete"], &[]);
    let log = dir.read("logs/d.log");
    assert!(log.windows(5).any(|window| window == b" INFO"), "{}", String::from_utf8_lossy(&log));
    let got = dir.run(&["download", &link, "-o", "out2", "--log-level", "trace"]);
    got.expect(0, &["file: complete"], &[" INFO"]);
    assert!(!got.out.contains(" INFO"));
    // What happens was told on stderr alone, and not even there of a tracker.
    let info = ["--log-level", "info", "--log-file", "i.log"];
    dir.run(&[&["download", &link, "-o", "out3"], &info[..]].concat()).expect(0, &[], &[]);
    let told = |file: &str| String::from_utf8(dir.read(file)).expect("text");
    for (event, at_info) in
        [("torrent-complete", true), ("piece-verified", false), ("block-received", false)]
    {
        assert!(told("logs/d.log").contains(event), "{event}");
        assert_eq!(told("logs/i.log").contains(event), at_info, "{event}");
    }
}

/// Each line was told of in two more, and who could not be told of it either died.
#[test]
fn a_log_that_cannot_be_written_is_told_of_once() {
    let dir = Dir::new();
    let told = "sta-tracker: /dev/full: No space left on device\n  lines of the log are lost";
    for (stderr, times) in [("2>&2", 1), ("2>/dev/full", 0)] {
        let mut tracker = dir.shell(&format!("exec \"$0\" \"$@\" {stderr}"));
        let listen = ["--listen", "127.0.0.1:0", "--no-state"];
        let log = ["--log-level", "trace", "--log-file", "/dev/full"];
        tracker.arg(env!("CARGO_BIN_EXE_sta-tracker")).args(listen).args(log);
        let mut tracker = Running::start(tracker);
        let line = tracker.wait_for("the tracker listens at ");
        let at = format!("sta://{}", line.rsplit(' ').next().expect("a word"));
        dir.run(&["status", "--tracker", &at]).expect(0, &[], &[]);
        tracker.signal(Signal::TERM);
        let ended = tracker.end();
        ended.expect(0, &[], &[]);
        assert_eq!(ended.err.matches(told).count(), times, "{}", ended.err);
        assert!(!ended.err.contains("tracing-subscriber"), "{}", ended.err);
    }
}

/// Whatever folders a misspelt path named were made.
#[test]
fn no_folder_is_made_for_a_log_but_the_logs_directory() {
    let dir = Dir::new();
    let absolute = dir.path("nowhere/d.log").display().to_string();
    for (file, folder) in [("nowhere/d.log", "logs/nowhere"), (&*absolute, "nowhere")] {
        let refused = dir.run(&["show", "x.torrent", "--log-file", file]);
        let words = [&*format!("{folder} is missing"), "make it, or name another file"];
        refused.expect(2, &[], &words);
        assert!(dir.path("logs").exists() && !dir.path(folder).exists());
    }
    fs::create_dir(dir.path("nowhere")).expect("made");
    dir.run(&["show", "x.torrent", "--log-file", &absolute]).expect(2, &[], &["x.torrent: "]);
    assert!(dir.path("nowhere/d.log").exists());
}

#[test]
fn a_log_level_that_is_none_is_refused() {
    let dir = Dir::new();
    for level in ["loud", "info,loud"] {
        dir.run(&["--log-level", level, "status"]).expect(2, &[], &["\"loud\" is no level"]);
    }
}

#[test]
fn what_is_printed_can_be_used() {
    let dir = Dir::new();
    let printed = dir.run(&["--log-level", "verbose", "--print-config"]);
    printed.expect(2, &[], &["log-level \"verbose\"", "write error, warn"]);
}
