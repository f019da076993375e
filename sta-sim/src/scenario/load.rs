//! Reads scenario files, and turns each run that one asks for into a plan.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;

use super::capability;
use super::complaint::{in_our_words, unknown};
use super::matrix::{self, Cell};
use super::mistake::{Decoded, Fix, Located, Mistake, Place, Source};
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

fn from_top_to_bottom(mut mistakes: Vec<Located>) -> Vec<Located> {
    mistakes.sort_by_key(|located| (located.line, located.column));
    mistakes
}

/// A scenario file, read.
#[derive(Clone, Debug)]
pub struct Scenario {
    path: PathBuf,
    name: String,
    text: String,
    /// What was meant by mistakes of shape: a file with some is looked at further, and never run.
    fixes: Vec<Fix>,
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
        let source = Source::read(&name, &text).map_err(|located| LoadError::Wrong(vec![*located]));
        let mut source = source?;
        let Decoded { mut found, file, fixes } = source.decode::<File>();
        let Some(file) = file else {
            return Err(LoadError::Wrong(from_top_to_bottom(found)));
        };
        let cells = matrix::cells(&file.matrix).unwrap_or_else(|(key, why)| {
            found.push(source.locate(&Mistake::new(&Place::top("matrix").key(&key), why)));
            vec![Cell::default()]
        });
        let seeds = text::seeds(file.seeds.as_deref().unwrap_or("0..1")).unwrap_or_else(|why| {
            found.push(source.locate(&Mistake::new(&Place::top("seeds"), why)));
            0..1
        });
        let name = file.name.clone();
        let scenario = Self { path: path.to_owned(), name, text, fixes, file, cells, seeds };
        if found.is_empty() {
            return Ok(scenario);
        }
        if let Err(LoadError::Wrong(more)) = scenario.check() {
            found.extend(more);
        }
        Err(LoadError::Wrong(from_top_to_bottom(found)))
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
        let plan = self.plan_of(seed, world, cell);
        plan.map_err(|found| {
            let told = found.into_iter().map(|mistake| self.told_of(mistake, cell));
            self.wrong(&told.collect::<Vec<_>>())
        })
    }

    fn plan_of(&self, seed: u64, world: World, cell: usize) -> Result<Plan, Vec<Mistake>> {
        let (file, replaced) = self.with_cell(cell).map_err(|mistake| vec![mistake])?;
        let written = self.cells[cell].iter().map(|(key, value)| (key.clone(), value.to_string()));
        let run = Run { seed, world, cell: written.collect() };
        let about = self.about();
        let plan = resolve::resolve(&file, &about, &run);
        let plan = plan.and_then(|plan| match capability::refused(&plan) {
            refused if refused.is_empty() => Ok(Plan { name: self.name.clone(), ..plan }),
            refused => Err(refused),
        });
        // A value of the matrix is wrong where it is written, not where it is put.
        let at_home = |mistake: Mistake| {
            let home = replaced.iter().find(|(place, _)| place.holds(&mistake.place));
            home.map_or(mistake.clone(), |(_, home)| Mistake::new(home, &mistake.why))
        };
        plan.map_err(|mistakes| mistakes.into_iter().map(at_home).collect())
    }

    /// Everything that is wrong with it, in every world it is meant for and every cell.
    ///
    /// # Errors
    /// The mistakes, each once.
    pub fn check(&self) -> Result<(), LoadError> {
        let mut all: Vec<(Mistake, BTreeSet<usize>)> = Vec::new();
        for world in self.worlds() {
            for cell in 0..self.cells() {
                for mistake in
                    self.plan_of(self.seeds.start, world, cell).err().into_iter().flatten()
                {
                    match all.iter_mut().find(|(known, _)| *known == mistake) {
                        Some((_, cells)) => drop(cells.insert(cell)),
                        None => all.push((mistake, BTreeSet::from([cell]))),
                    }
                }
            }
        }
        let told = all.into_iter().map(|(mistake, cells)| match cells.first() {
            Some(&cell) if cells.len() < self.cells() => self.told_of(mistake, cell),
            _ => mistake,
        });
        let told: Vec<Mistake> = told.collect();
        if told.is_empty() { Ok(()) } else { Err(self.wrong(&told)) }
    }

    /// The file with one cell of the matrix written into it. `cell` is below [`Self::cells`].
    ///
    /// # Errors
    /// If the cell does not fit.
    pub fn file_of(&self, cell: usize) -> Result<File, LoadError> {
        let file = self.with_cell(cell).map_err(|mistake| self.wrong(&[mistake]))?;
        Ok(file.0)
    }

    /// As [`Self::file_of`], and where something was replaced: there, and where the matrix says by what.
    fn with_cell(&self, cell: usize) -> Result<(File, Vec<(Place, Place)>), Mistake> {
        let mut replaced = Vec::new();
        if self.cells[cell].is_empty() {
            return Ok((self.file.clone(), replaced));
        }
        let matrix = Place::top("matrix");
        let odd = |error: toml::de::Error| Mistake::new(&matrix, error.message());
        let path = self.path.display().to_string();
        let source =
            Source::read(&path, &self.text).map_err(|located| Mistake::new(&matrix, located))?;
        let mut table: toml::Table = source.with(&self.fixes).deserialize().map_err(odd)?;
        for (key, value) in &self.cells[cell] {
            let values = self.file.matrix.get(key).into_iter().flatten();
            let number = values.into_iter().position(|other| other == value).unwrap_or(0);
            let home = matrix.key(key).index(number);
            let place = matrix::set(&mut table, key, value)
                .map_err(|why| Mistake::new(&matrix.key(key), why))?;
            if let Err(error) = File::deserialize(table.clone()) {
                let keys = place.keys();
                let why = in_our_words(error.message(), &keys);
                let of_the_key =
                    unknown(error.message()).is_some_and(|(typed, _)| keys.contains(&typed));
                return Err(match of_the_key {
                    true => Mistake::new(&matrix.key(key), why),
                    false => Mistake::new(&home, format!("{value} does not fit: {why}")),
                });
            }
            replaced.push((place, home));
        }
        Ok((File::deserialize(table).map_err(odd)?, replaced))
    }

    /// The mistake, and in which cell it is one, where that is not plain.
    fn told_of(&self, mistake: Mistake, cell: usize) -> Mistake {
        if self.cells[cell].is_empty() || Place::top("matrix").holds(&mistake.place) {
            return mistake;
        }
        let pairs = self.cells[cell].iter().map(|(key, value)| format!("{key} = {value}"));
        let cell = pairs.collect::<Vec<_>>().join(", ");
        Mistake { why: format!("{} (where {cell})", mistake.why), ..mistake }
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
            Ok(source) => {
                let source = source.with(&self.fixes);
                LoadError::Wrong(mistakes.iter().map(|m| source.locate(m)).collect())
            }
            Err(located) => LoadError::Wrong(vec![*located]),
        }
    }
}
