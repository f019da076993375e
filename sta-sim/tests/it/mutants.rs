//! The patches of `.ci/mutants` fit the sources of today: one that does not would be found out by nobody until somebody runs
//! them by hand.

use std::path::Path;

/// Of each hunk of a patch: the file, and the lines that it takes for granted.
fn hunks(patch: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut file = String::new();
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("+++ b/") {
            path.clone_into(&mut file);
        } else if line.starts_with("@@") {
            found.push((file.clone(), String::new()));
        } else if !line.starts_with("---")
            && let Some((_, before)) = found.last_mut()
            && let Some(old) = line.strip_prefix(' ').or_else(|| line.strip_prefix('-'))
        {
            before.push_str(old);
            before.push('\n');
        }
    }
    found
}

#[test]
fn every_mutant_fits_the_sources() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut hunks_seen = 0;
    for entry in std::fs::read_dir(here.join("tests/mutants")).expect("the mutants are there") {
        let path = entry.expect("it can be read").path();
        let patch = std::fs::read_to_string(&path).expect("a patch is text");
        for (file, before) in hunks(&patch) {
            let source = std::fs::read_to_string(here.join("..").join(&file)).expect("it exists");
            let fits = source.contains(&before);
            assert!(fits, "{} does not fit {file} any more; it expects\n{before}", path.display());
            hunks_seen += 1;
        }
    }
    assert!(hunks_seen >= 6, "{hunks_seen} hunks are fewer than there are mutants");
}
