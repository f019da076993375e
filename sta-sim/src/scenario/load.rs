//! Reads scenario files, and turns each run that one asks for into a plan.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use super::capability;
use super::complaint::{in_our_words, unknown};
use super::matrix::{self, Cell};
use super::mistake::{Located, Mistake, Place, Source};
use super::plan::{Plan, World};
use super::resolve::{self, Run};
use super::schema::File;
use super::text;

/// Largest scenario file. A capsule of a thousand hosts and ten thousand events has 2 MB.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// Why a file is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("cannot read {path}: {reason}; give the path of a scenario file")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// There are mistakes in it.
    #[error("{}", listed(.0))]
    Wrong(Vec<Located>),
}

fn listed(mistakes: &[Located]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

/// A scenario file, read.
#[derive(Clone, Debug)]
pub struct Scenario {
    path: PathBuf,
    name: String,
    text: String,
    file: File,
    cells: Vec<Cell>,
    seeds: Range<u64>,
}

impl Scenario {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, or is no scenario.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let refused = |reason: String| LoadError::Read { path: path.display().to_string(), reason };
        let size = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
        if size > FILE_BYTES_MAX {
            return Err(refused(format!("{size} bytes are more than a scenario has")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        Self::read(path, text)
    }

    /// Reads `text`, calling it `path` in messages.
    ///
    /// # Errors
    /// If it is no scenario.
    pub fn read(path: &Path, text: String) -> Result<Self, LoadError> {
        let name = path.display().to_string();
        let source =
            Source::read(&name, &text).map_err(|located| LoadError::Wrong(vec![*located]))?;
        let file: File = match source.decode() {
            Ok(file) => file,
            Err(misshapen) => {
                let mended = misshapen.mended.clone();
                let more = mended.map(|mended| Self::read(path, mended).and_then(|it| it.check()));
                let Some(Err(LoadError::Wrong(more))) = more else {
                    return Err(LoadError::Wrong(misshapen.found));
                };
                return Err(LoadError::Wrong(misshapen.with(more, &text)));
            }
        };
        let mut found = Vec::new();
        let cells = matrix::cells(&file.matrix).unwrap_or_else(|(key, why)| {
            found.push(source.locate(&Mistake::new(&Place::top("matrix").key(&key), why)));
            vec![Cell::default()]
        });
        let seeds = text::seeds(file.seeds.as_deref().unwrap_or("0..1")).unwrap_or_else(|why| {
            found.push(source.locate(&Mistake::new(&Place::top("seeds"), why)));
            0..1
        });
        let name = file.name.clone();
        let scenario = Self { path: path.to_owned(), name, text, file, cells, seeds };
        if found.is_empty() {
            return Ok(scenario);
        }
        if let Err(LoadError::Wrong(more)) = scenario.check() {
            found.extend(more);
        }
        Err(LoadError::Wrong(found))
    }

    /// What its runs are called: as it calls itself, unless it was renamed.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls its runs otherwise. What it draws does not depend on it.
    pub fn rename(&mut self, name: String) {
        self.name = name;
    }

    /// Where it was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as written.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// The worlds it is meant for; the first is the usual one.
    #[must_use]
    pub fn worlds(&self) -> Vec<World> {
        resolve::worlds(&self.file)
    }

    /// The seeds that a sweep runs.
    #[must_use]
    pub fn seeds(&self) -> Range<u64> {
        self.seeds.clone()
    }

    /// How many cells its matrix has; 1 without one.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.cells.len()
    }

    /// The plan of one run. `cell` is below [`Self::cells`].
    ///
    /// # Errors
    /// If the file is wrong, or asks for what `world` cannot honour.
    pub fn plan(&self, seed: u64, world: World, cell: usize) -> Result<Plan, LoadError> {
        let file = self.file_of(cell)?;
        let written = self.cells[cell].iter().map(|(key, value)| (key.clone(), value.to_string()));
        let run = Run { seed, world, cell: written.collect() };
        let about = self.about();
        resolve::resolve(&file, &about, &run)
            .and_then(|plan| match capability::refused(&plan) {
                refused if refused.is_empty() => Ok(Plan { name: self.name.clone(), ..plan }),
                refused => Err(refused),
            })
            .map_err(|mistakes| self.wrong(&mistakes))
    }

    /// Everything that is wrong with it, in every world it is meant for and every cell.
    ///
    /// # Errors
    /// The mistakes, each once.
    pub fn check(&self) -> Result<(), LoadError> {
        let mut all: Vec<Located> = Vec::new();
        for world in self.worlds() {
            for cell in 0..self.cells() {
                match self.plan(self.seeds.start, world, cell) {
                    Err(LoadError::Wrong(found)) => {
                        all.extend(
                            found.into_iter().filter(|new| !all.contains(new)).collect::<Vec<_>>(),
                        );
                    }
                    Err(other) => return Err(other),
                    Ok(_) => {}
                }
            }
        }
        if all.is_empty() { Ok(()) } else { Err(LoadError::Wrong(all)) }
    }

    /// The file with one cell of the matrix written into it. `cell` is below [`Self::cells`].
    ///
    /// # Errors
    /// If the cell does not fit.
    pub fn file_of(&self, cell: usize) -> Result<File, LoadError> {
        if self.cells[cell].is_empty() {
            return Ok(self.file.clone());
        }
        let refused = |key: &str, why: String| {
            let place = Place::top("matrix").key(key);
            self.wrong(&[Mistake::new(&place, why)])
        };
        let mut table: toml::Table =
            toml::from_str(&self.text).map_err(|error| refused("", error.message().to_owned()))?;
        for (key, value) in &self.cells[cell] {
            let keys = matrix::set(&mut table, key, value).map_err(|why| refused(key, why))?;
            if let Err(error) = File::deserialize(table.clone()) {
                let why = in_our_words(error.message(), &keys);
                let of_the_key =
                    unknown(error.message()).is_some_and(|(typed, _)| keys.contains(&typed));
                let why = if of_the_key { why } else { format!("{value} does not fit: {why}") };
                return Err(refused(key, why));
            }
        }
        File::deserialize(table).map_err(|error| refused("", error.message().to_owned()))
    }

    /// The comment that the file begins with.
    fn about(&self) -> String {
        let comment = self.text.lines().take_while(|line| line.starts_with('#'));
        let lines: Vec<&str> = comment.map(|line| line.trim_start_matches('#').trim()).collect();
        lines.join(" ")
    }

    fn wrong(&self, mistakes: &[Mistake]) -> LoadError {
        let name = self.path.display().to_string();
        match Source::read(&name, &self.text) {
            Ok(source) => LoadError::Wrong(mistakes.iter().map(|m| source.locate(m)).collect()),
            Err(located) => LoadError::Wrong(vec![*located]),
        }
    }
}
