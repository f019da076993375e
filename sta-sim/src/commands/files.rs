//! The scenario files that a command is about.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::commands::deliver::OUT;
use crate::report;
use crate::scenario::load::{LoadError, Scenario};

/// Folders inside folders, at most: `scenarios/smoke/...` needs two.
const DEPTH_MAX: u32 = 8;

/// The scenarios of the files named, and of those in the folders named and below, read but not checked. Where several
/// have one name, each is called by its path too: folders of runs and rows of a sweep are called as scenarios are.
///
/// # Errors
/// As [`expand`], and if one is no scenario.
pub fn open(named: &[PathBuf]) -> Result<Vec<Scenario>, LoadError> {
    let files = expand(named)?;
    let mut scenarios =
        files.iter().map(|path| Scenario::open(path)).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = scenarios.iter().map(|one| report::plain(one.name())).collect();
    for (scenario, own) in scenarios.iter_mut().zip(&names) {
        if names.iter().filter(|name| *name == own).count() > 1 {
            scenario.rename(format!("{} ({})", scenario.name(), scenario.path().display()));
        }
    }
    Ok(scenarios)
}

/// The files named, and those in the folders named and below, by name; each once.
///
/// # Errors
/// If one cannot be read, or a folder holds no scenario.
pub fn expand(named: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let mut files: Vec<PathBuf> = Vec::new();
    for path in named {
        let refused = |reason: String| LoadError::Read { path: path.display().to_string(), reason };
        if path.is_dir() {
            let before = files.len();
            walk(path, DEPTH_MAX, &mut files).map_err(|error| refused(error.to_string()))?;
            files[before..].sort();
            if files.len() == before {
                return Err(refused("the folder holds no .toml file".to_owned()));
            }
        } else {
            files.push(path.clone());
        }
    }
    let mut seen = BTreeSet::new();
    files.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    Ok(files)
}

fn walk(folder: &Path, depth: u32, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && depth > 0 {
            // Capsules of runs are read where they are named, not where somebody's scenarios lie.
            if !path.ends_with(OUT) {
                walk(&path, depth - 1, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::open;

    #[test]
    fn files_of_one_name_are_told_apart_and_each_is_read_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |file: &str, name: &str| {
            let text = crate::scenario::tests::RIGHT.replace("\"right\"", &format!("{name:?}"));
            std::fs::write(folder.path().join(file), text).expect("it can be written");
            folder.path().join(file)
        };
        let [a, b, c] =
            [write("a.toml", "One name"), write("b.toml", "one-name"), write("c.toml", "other")];
        let named = |paths: &[&std::path::PathBuf]| -> Vec<String> {
            let paths: Vec<_> = paths.iter().map(|path| (*path).clone()).collect();
            let scenarios = open(&paths).expect("they are right");
            scenarios.iter().map(|one| one.name().to_owned()).collect()
        };
        let expected =
            [format!("One name ({})", a.display()), format!("one-name ({})", b.display())];
        assert_eq!(named(&[&a, &b, &c]), [&expected[..], &["other".to_owned()]].concat());
        assert_eq!(named(&[&a, &a, &c]), ["One name", "other"]);
    }
}
