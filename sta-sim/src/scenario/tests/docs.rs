//! `docs/SCENARIOS.md` says what the types say, and its examples and the library are right.

use std::path::{Path, PathBuf};

use super::{RIGHT, read};
use crate::scenario::load::Scenario;
use crate::scenario::reference;

const BEGIN: &str = "<!-- generated -->\n";
const END: &str = "<!-- end of generated -->";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document() -> (PathBuf, String) {
    let path = root().join("docs/SCENARIOS.md");
    let text = std::fs::read_to_string(&path).expect("docs/SCENARIOS.md is there");
    (path, text)
}

#[test]
fn docs_have_the_keys_of_the_schema() {
    let (path, text) = document();
    let (before, rest) = text.split_once(BEGIN).expect("a marked part");
    let (_, after) = rest.split_once(END).expect("an end of it");
    let right = format!("{before}{BEGIN}\n{}\n{END}{after}", reference::markdown());
    if std::env::var_os("STA_BLESS").is_some() {
        std::fs::write(path, right).expect("docs/SCENARIOS.md can be written");
    } else {
        assert!(
            text == right,
            "docs/SCENARIOS.md is not what the types say; run STA_BLESS=1 cargo test -p sta-sim docs"
        );
    }
}

#[test]
fn docs_have_examples_that_are_right() {
    let (_, text) = document();
    let blocks: Vec<&str> = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("a block ends").0)
        .collect();
    let (first, rest) = blocks.split_first().expect("a first scenario");
    let check = |text: &str| read(text).check().unwrap_or_else(|error| panic!("{error}"));
    check(first);
    for block in rest {
        // The others are parts: they belong into a file that has none of theirs.
        let own = ["[clock]", "[matrix]"].iter().filter(|table| block.contains(**table));
        let many = RIGHT.replace("name = \"right\"", "name = \"right\"\nseeds = \"0..20\"");
        let base = own.fold(many, |base, table| {
            base.replace(&format!("{table}\ndeadline = \"60s\"\nhealed = \"30s\"\n"), "")
        });
        check(&format!("{base}\n{block}"));
    }
}

fn library(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            library(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn docs_can_point_at_a_library_that_is_right() {
    let mut files = Vec::new();
    library(&root().join("scenarios"), &mut files);
    files.sort();
    let mut must_fail = 0;
    for path in &files {
        let scenario = Scenario::open(path).unwrap_or_else(|error| panic!("{error}"));
        scenario.check().unwrap_or_else(|error| panic!("{error}"));
        let plan = scenario.plan(scenario.seeds().start, scenario.worlds()[0], 0).expect("checked");
        assert!(plan.about.len() > 40, "{}: the first comment says what it proves", path.display());
        must_fail += usize::from(plan.must_fail.is_some());
    }
    assert!(files.len() >= 25 && must_fail >= 3, "{} files, {must_fail} must fail", files.len());
}
