//! A failure is told, written and replayed: by the program that ships, each time in a process of its own.

use std::path::Path;
use std::process::Command;

/// Everything goes wrong at random, and the promise is too short: this must fail.
const TOO_SHORT: &str = r#"
schema = 1
name = "too short a promise"
clock = { deadline = "60s", healed = "8s" }
group = [
    { name = "tracker" },
    { name = "seed", up = "8 Mbit/s", down = "8 Mbit/s" },
    { name = "leech", count = 3, up = "8 Mbit/s", down = "8 Mbit/s" },
]
content = [{ name = "image.bin", size = "2 MiB", piece = "128 KiB" }]
fault = [
    { do = "power-off", on = "leech", every = "exp 2s", for = "exp 1s max 3s", protect = "last-copy" },
    { do = "reset", on = "leech", every = "exp 2s", for = "1s" },
    { do = "cut", on = "leech", every = "exp 3s", for = "exp 1s max 3s" },
]

[[expect]]
that = "complete"
within = "2200ms"
"#;

/// Runs `sta-sim` in `folder`: its exit code, and what it said on stdout and stderr.
fn sta_sim(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sta-sim"));
    let output =
        command.current_dir(folder).args(arguments).output().expect("the binary was built");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What follows `sta-sim` in the command that replays a failure.
fn replay_of(said: &str) -> Vec<&str> {
    let line = said.lines().rfind(|line| line.trim_start().starts_with("replay"));
    let command = line.and_then(|line| line.split_once("sta-sim ")).expect("a command to replay");
    command.1.split_whitespace().take(2).collect()
}

#[test]
fn a_replay_that_differs_says_so_unless_it_is_meant_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("short.toml"), TOO_SHORT).expect("it can be written");
    let (code, ..) = sta_sim(folder.path(), &["run", "short.toml", "--world", "flow"]);
    assert_eq!(code, Some(3));
    let capsule = std::fs::read_to_string(path("sta-runs/latest/capsule.toml")).expect("written");
    let replay = |text: String, more: &[&str]| {
        std::fs::write(path("c.toml"), text).expect("it can be written");
        let (code, _, said) = sta_sim(folder.path(), &[&["replay", "c.toml"], more].concat());
        (code, said)
    };
    // What another program may make of it.
    let hash = capsule.lines().find(|line| line.starts_with("log-hash")).expect("it has one");
    let (code, said) = replay(capsule.replace(hash, "log-hash = \"00\""), &[]);
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("NOT the same"), "{said}");
    let (code, said) = replay(capsule.replace("within = \"2200ms\"", "within = \"40s\""), &[]);
    assert_eq!(code, Some(0), "another expectation, the same events: {said}");
    assert!(said.contains("the capsule was edited"), "{said}");
    let (code, said) = replay(capsule.replace("size = \"2 MiB\"", "size = \"4 MiB\""), &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the capsule was edited"), "{said}");
    let (code, said) = replay(capsule, &["--world", "turmoil"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("written in the flow world"), "{said}");
}

#[test]
fn the_printed_command_replays_a_failure_in_another_process() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("short.toml"), TOO_SHORT).expect("it can be written");
    for seed in ["1", "2", "3"] {
        let (code, said, _) = sta_sim(folder.path(), &["run", "short.toml", "--seed", seed]);
        assert_eq!(code, Some(3), "safe but not live: {said}");
        let (again, same, why) = sta_sim(folder.path(), &replay_of(&said));
        assert_eq!(again, code, "seed {seed}: {same}{why}");
        assert!(why.contains("the same as when the capsule was written"), "seed {seed}: {why}");
    }
    for name in ["report.html", "report.json", "events.jsonl", "capsule.toml"] {
        assert!(folder.path().join("sta-runs/latest").join(name).is_file(), "{name}");
    }
}

#[test]
fn a_sweep_groups_its_failures_and_confirms_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("short.toml"), TOO_SHORT).expect("it can be written");
    let sweep = ["sweep", "short.toml", "--seeds", "0..3", "-j", "2", "--out", "found"];
    let (code, said, why) = sta_sim(folder.path(), &sweep);
    assert_eq!(code, Some(3), "{said}{why}");
    assert!(said.contains("3 runs, 3 failed"), "{said}");
    assert!(said.contains("(replayed: the same)") && !said.contains("NOT the same"), "{said}");
    let (again, ..) = sta_sim(folder.path(), &replay_of(&said));
    assert_eq!(again, Some(3));
    let part = ["sweep", "short.toml", "--seeds", "0..3", "--shard", "2/3", "--json"];
    let (_, json, _) = sta_sim(folder.path(), &part);
    let outcome: serde_json::Value = serde_json::from_str(json.trim()).expect("one run, one line");
    assert_eq!((&outcome["seed"], &outcome["verdict"]), (&2.into(), &"not-live".into()));
}

#[test]
fn what_is_no_capsule_is_not_replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("short.toml"), TOO_SHORT).expect("it can be written");
    let (code, said, why) = sta_sim(folder.path(), &["replay", "short.toml"]);
    assert_eq!((code, said.as_str()), (Some(2), ""), "{why}");
    assert!(why.contains("short.toml is a scenario, not a capsule"), "{why}");
}

#[test]
fn a_capsule_shrinks_to_what_makes_it_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("short.toml"), TOO_SHORT).expect("it can be written");
    let run = ["run", "short.toml", "--world", "flow", "--out", "runs"];
    let (code, said, _) = sta_sim(folder.path(), &run);
    assert_eq!(code, Some(3), "{said}");
    let capsule = replay_of(&said)[1];
    let shrink = ["shrink", capsule, "--output", "small.toml"];
    let (code, said, why) = sta_sim(folder.path(), &shrink);
    assert_eq!(code, Some(0), "{said}{why}");
    // The promise is too short with no fault at all, for a single receiver.
    let small = std::fs::read_to_string(folder.path().join("small.toml")).expect("it was written");
    assert!(!small.contains("[[event]]") && said.contains("0 events"), "{said}\n{small}");
    let (code, said, why) = sta_sim(folder.path(), &["replay", "small.toml"]);
    assert_eq!(code, Some(3), "{said}{why}");
    assert!(why.contains("the same as when the capsule was written"), "{why}");
}

#[test]
fn files_of_one_name_get_folders_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = TOO_SHORT.replace("2200ms", "50s");
    std::fs::write(folder.path().join("short.toml"), TOO_SHORT).expect("it can be written");
    std::fs::write(folder.path().join("long.toml"), long).expect("it can be written");
    let run = ["run", "short.toml", "long.toml", "--world", "flow"];
    let (code, said, why) = sta_sim(folder.path(), &run);
    assert_eq!(code, Some(3), "{said}{why}");
    assert!(said.contains("PASSED  too short a promise (long.toml)"), "{said}");
    let (again, same, why) = sta_sim(folder.path(), &replay_of(&said));
    assert_eq!(again, Some(3), "the failure was not written over: {same}{why}");
    let (_, said, _) = sta_sim(folder.path(), &["sweep", "short.toml", "long.toml"]);
    for row in ["(short.toml), turmoil: 1 not live", "(long.toml), turmoil: 1 passed"] {
        assert!(said.contains(row), "{row}: {said}");
    }
}

#[test]
fn a_run_that_passed_has_nothing_to_shrink() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = TOO_SHORT.replace("2200ms", "50s");
    std::fs::write(folder.path().join("long.toml"), long).expect("it can be written");
    let run = ["run", "long.toml", "--world", "flow", "--out", "runs"];
    let (code, said, why) = sta_sim(folder.path(), &run);
    assert_eq!(code, Some(0), "{said}{why}");
    let (code, _, why) = sta_sim(folder.path(), &["shrink", "runs/latest/capsule.toml"]);
    assert!(code == Some(2) && why.contains("holds a run that passed"), "{code:?}: {why}");
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in 0..200 {
        let text = TOO_SHORT.replace("too short", &format!("{name:0>900}"));
        std::fs::write(folder.path().join(format!("{name}.toml")), text)
            .expect("it can be written");
    }
    let alone = |arguments: &[&str]| {
        let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
        let mut command = Command::new(env!("CARGO_BIN_EXE_sta-sim"));
        command.current_dir(folder.path()).args(arguments).stdout(out).stderr(err);
        let mut child = command.spawn().expect("the binary was built");
        drop((child.stdout.take(), child.stderr.take()));
        child.wait().expect("it ends").code()
    };
    assert_eq!(alone(&["list", "."]), Some(0));
    assert_eq!(alone(&["check", "."]), Some(0));
    assert_eq!(alone(&["check", "nowhere.toml"]), Some(2), "nobody reads why");
    assert_eq!(alone(&["run", "0.toml", "--world", "flow"]), Some(3));
}
