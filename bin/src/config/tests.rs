//! Where a setting comes from, and what is said of one that does not fit.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use super::layers::{Override, load};
use super::{Settings, to_toml};

/// The settings from a file with `text`, the variables `env` and `--set` arguments; or the error, with its advice.
fn settings(text: &str, env: &[(&str, &str)], set: &[&str]) -> Result<Settings, String> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("sta.toml");
    std::fs::write(&path, text).expect("written");
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let set: Vec<Override> = set.iter().map(|text| text.parse().expect("KEY=VALUE")).collect();
    let shown = |error: super::layers::ConfigError| {
        error.into_failure().to_string().replace(&format!("{}/", dir.path().display()), "")
    };
    load(Some(&path), env, &set).map_err(shown)
}

#[test]
fn later_layers_win() {
    let file = "[tracker]\nport = 1\n[engine]\nupload-slots = 1\npeers-wanted = 1\n";
    let env = [("STA_ENGINE_UPLOAD_SLOTS", "2"), ("STA_ENGINE_PEERS_WANTED", "2"), ("HOME", "/")];
    let got = settings(file, &env, &["engine.peers-wanted=3"]).expect("all fit");
    assert_eq!(got.tracker.port, 1, "from the file");
    assert_eq!(got.engine.upload_slots, 2, "the environment wins over the file");
    assert_eq!(got.engine.peers_wanted, 3, "the command line wins over the environment");
    assert_eq!(got.directories, Settings::default().directories, "nobody said anything");
}

/// It was as if it had not been set.
#[test]
fn a_variable_that_is_no_text_is_refused_by_name() {
    let no_text = || OsString::from_vec(vec![b'/', 0xFF]);
    let with = |name: &str| {
        let env = [(OsString::from(name), no_text()), (no_text(), no_text())];
        load(None, env.into_iter(), &[]).map_err(|error| error.into_failure().to_string())
    };
    let error = with("STA_DIRECTORIES_FILES").expect_err("it is ours");
    assert!(error.contains("STA_DIRECTORIES_FILES: it is not UTF-8"), "{error}");
    assert!(with("HOME").is_ok(), "that is others' business");
}

#[test]
fn what_is_printed_reads_as_the_same() {
    let changed = settings("piece-size = \"1 MiB\"", &[], &["node-id=n-1", "tracker.patience=2s"]);
    for want in [Settings::default(), changed.expect("all fit")] {
        let printed = to_toml(&want);
        assert_eq!(settings(&printed, &[], &[]), Ok(want), "{printed}");
    }
}

#[test]
fn every_key_is_printed_with_a_comment() {
    let printed = to_toml(&Settings::default());
    let lines: Vec<&str> = printed.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains(" = ") || pair[1].starts_with('['))
    {
        assert!(pair[0].starts_with("# "), "{:?} has no comment", pair[1]);
    }
}

#[test]
fn a_wrong_file_is_pointed_at() {
    let table = [
        ("trakcer = 1", "sta.toml:1: unknown key \"trakcer\""),
        (
            "\n[trakcer]\nport = 1",
            "sta.toml:2: unknown key \"trakcer\"\n  did you mean \"tracker\"?",
        ),
        ("[directory]\nlogs = \"x\"", "did you mean \"directories\"?"),
        (
            "[engine]\nupload-slots = 0",
            "sta.toml:2: 0 is out of range: engine.upload-slots takes 1 to 64",
        ),
        (
            "\n[tracker]\nlease = \"1s\"",
            "sta.toml:3: 1s is out of range: tracker.lease takes 3s to 1day",
        ),
        (
            "piece-size = \"3 MiB\"",
            "sta.toml:1: 3 MiB is out of range: piece-size takes a power of two from 16 KiB to 16 MiB, or auto",
        ),
        (
            "\n[tracker]\nprot = 1",
            "sta.toml:3: unknown key \"tracker.prot\"\n  did you mean \"tracker.port\"?",
        ),
        ("[engine]\nuplod-slots = 3", "did you mean \"engine.upload-slots\"?"),
        ("zzzzzzzz = 1", "sta.toml:1: unknown key \"zzzzzzzz\"\n  --print-config shows"),
        (
            "\n\nlisten = \"here\"",
            "sta.toml:3: \"here\" is not where a machine can listen; write ADDRESS:PORT",
        ),
        (
            "[tracker]\nlisten = \"0.0.0.0:6081\"",
            "sta.toml:2: \"0.0.0.0:6081\" is not the number of a machine; write it alone",
        ),
        (
            "[tracker]\nport = 70000",
            "sta.toml:2: invalid value: integer `70000`, expected a number up to 65535",
        ),
        (
            "[engine]\nupload-slots = 4.5",
            "invalid type: floating point `4.5`, expected a whole number",
        ),
        ("piece-size = 65536", "sta.toml:1: invalid type: integer `65536`"),
        (
            "piece-size = \"65536\"",
            "sta.toml:1: \"65536\" is not a size; write a number and a unit",
        ),
        ("node-id = \"a b\"", "sta.toml:1: a node id is 1 to 64 letters"),
        ("= 3", "sta.toml:1: "),
        ("tracker = 3", "sta.toml:1: tracker is a table; write [tracker], and its keys below it"),
    ];
    for (text, want) in table {
        let got = settings(text, &[], &[]).expect_err(text);
        assert!(got.contains(want), "{text:?}\n  gave {got}\n  want {want}");
    }
}

#[test]
fn a_wrong_variable_or_argument_is_named() {
    type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str);
    let table: [Row<'_>; 9] = [
        (
            &[("STA_TRACKER_PROT", "1")],
            &[],
            "environment: unknown key \"STA_TRACKER_PROT\"\n  did you mean \"STA_TRACKER_PORT\"?",
        ),
        (&[("STA_TRACKER_PORT", "x")], &[], "STA_TRACKER_PORT: \"x\" is not a number"),
        (&[("STA_TRACKER_PORT", "-1")], &[], "STA_TRACKER_PORT: invalid value"),
        (
            &[],
            &["engine.choke-interval=10"],
            "--set engine.choke-interval: \"10\" is not a duration",
        ),
        (
            &[("STA_BUFFER_SIZE", "2 MiB")],
            &[],
            "STA_BUFFER_SIZE: 2 MiB is out of range: buffer-size takes 16 KiB to 1 MiB, or auto",
        ),
        (&[], &["buffer-size=0 B"], "0 B is out of range: buffer-size takes"),
        (
            &[],
            &["tracker.patience=0s"],
            "--set tracker.patience: 0s is out of range: tracker.patience takes 100ms to 1day",
        ),
        (&[], &["engine.chok-interval=10s"], "did you mean \"engine.choke-interval\"?"),
        (&[], &["engine=1"], "--set engine: unknown key \"engine\""),
    ];
    for (env, set, want) in table {
        let got = settings("", env, set).expect_err(want);
        assert!(got.contains(want), "{got}\n  want {want}");
    }
    assert_eq!(settings("", &[("STA_OTHERS", "1")], &[]), Ok(Settings::default()), "not ours");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = load(Some(&PathBuf::from("/nowhere/sta.toml")), std::iter::empty(), &[]);
    let shown = error.expect_err("it is not there").into_failure().to_string();
    assert!(shown.starts_with("/nowhere/sta.toml: No such file"), "{shown}");
}
