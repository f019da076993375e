//! Every file under `scenarios/` is run: in each world that it names, with its first seed, or with all where it asks something of most of them, by the program that ships.
//! A file that lies elsewhere than in the folders below fails: nothing would run it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folders, and whether `cargo test` runs what lies in them. `scale/` takes a release build and is swept by `.ci/run`;
/// `large/` takes minutes a run, or more, and is run by hand;
/// `calibration/` runs here in the worlds that repeat, and in real time by `sta-sim calibrate`.
const FOLDERS: [(&str, bool); 7] = [
    ("smoke", true),
    ("faults", true),
    ("regressions", true),
    ("calibration", true),
    ("known-answers", true),
    ("scale", false),
    ("large", false),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// What lies in a folder, by name; nothing if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> =
        listed.map(|entry| entry.expect("a folder that can be read").path()).collect();
    paths.sort();
    paths
}

/// Runs `sta-sim` with `arguments`: its exit code, and all it said.
fn sta_sim(arguments: &[&str], file: &Path) -> (Option<i32>, String) {
    let out = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sta-sim"));
    command.current_dir(out.path()).args(arguments).arg(file.canonicalize().expect("it is there"));
    let output = command.output().expect("the binary was built");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn every_scenario_holds_what_it_promises() {
    let mut broken = Vec::new();
    let (mut files, mut runs) = (0, 0);
    for (folder, _) in FOLDERS.iter().filter(|(_, run)| *run) {
        for file in entries(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).expect("a readable scenario");
            let worlds = text.lines().find(|line| line.starts_with("worlds")).unwrap_or_default();
            let before = runs;
            for world in ["turmoil", "flow"] {
                let first = world == "turmoil" && worlds.is_empty();
                if first || worlds.contains(world) {
                    runs += 1;
                    // What is asked of most runs takes many.
                    let verb = if text.contains("\nin = ") { "sweep" } else { "run" };
                    let (code, said) = sta_sim(&[verb, "--world", world], &file);
                    if code != Some(0) {
                        broken.push(format!("{} in {world}: {code:?}\n{said}", file.display()));
                    }
                }
            }
            files += 1;
            assert!(runs > before, "{} is run in no world", file.display());
        }
    }
    assert!(files >= 40, "the library has {files} scenarios");
    assert!(broken.is_empty(), "{} runs failed:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_scenario_is_sound_and_says_what_it_proves() {
    for (folder, _) in FOLDERS {
        for file in entries(&root().join(folder)) {
            let (code, said) = sta_sim(&["check"], &file);
            assert_eq!(code, Some(0), "{said}");
            let text = std::fs::read_to_string(&file).expect("a readable scenario");
            assert!(text.starts_with("# "), "{} does not say what it proves", file.display());
        }
    }
}

#[test]
fn nothing_lies_where_nobody_runs_it() {
    let known: Vec<PathBuf> = FOLDERS.iter().map(|(folder, _)| root().join(folder)).collect();
    for path in entries(&root()) {
        assert!(known.contains(&path), "{}: no test runs what lies here", path.display());
    }
    for file in known.iter().flat_map(|folder| entries(folder)) {
        let toml = file.extension().is_some_and(|extension| extension == "toml");
        assert!(toml, "{}: not a scenario", file.display());
    }
}
