//! The scenario files that a command is about.

use std::io;
use std::path::{Path, PathBuf};

use crate::scenario::load::LoadError;

/// Folders inside folders, at most: `scenarios/smoke/...` needs two.
const DEPTH_MAX: u32 = 8;

/// The files named, and those in the folders named and below, by name.
///
/// # Errors
/// If one cannot be read, or a folder holds no scenario.
pub fn expand(named: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let mut files = Vec::new();
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
    Ok(files)
}

fn walk(folder: &Path, depth: u32, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && depth > 0 {
            walk(&path, depth - 1, files)?;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    Ok(())
}
