//! Reads the layers and lays them over each other. Knows no key by name: they come from the defaults.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::Settings;
use crate::exit::Failure;

/// The file that is read where none is named.
const FILE_NAME: &str = "sta.toml";
/// What the variables of the environment begin with.
const ENV_PREFIX: &str = "STA_";
/// The variable that names the file where `--config` does not.
const ENV_FILE: &str = "STA_CONFIG";
/// Variables that begin so and are not settings: the file's, and the switch that rewrites golden files in tests.
const ENV_OTHERS: [&str; 2] = [ENV_FILE, "STA_BLESS"];
/// Jaro-Winkler likeness from which a key is worth a guess.
const LIKENESS_MIN: f64 = 0.7;

/// Likeness from which a variable is taken for a misspelt setting rather than for another program's.
const LIKENESS_OF_SLIP: f64 = 0.9;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {reason}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The file is not TOML, or a value does not fit its key.
    #[error("{}:{line}: {reason}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Where in it, counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A key that does not exist, in a file, a variable or an argument.
    #[error("{place}: unknown key {key:?}")]
    UnknownKey {
        /// `FILE:LINE`, or `--set`.
        place: String,
        /// The key.
        key: String,
        /// The known key that is most like it.
        nearest: Option<String>,
    },
    /// A variable or an argument has a value that does not fit.
    #[error("{place}: {reason}")]
    Value {
        /// The variable or the argument.
        place: String,
        /// Why it does not fit.
        reason: String,
    },
}

impl ConfigError {
    pub(in crate::config) fn into_failure(self) -> Failure {
        let place = match &self {
            Self::Read { path, .. } => path.display().to_string(),
            Self::Line { path, line, .. } => format!("{}:{line}", path.display()),
            Self::UnknownKey { place, .. } | Self::Value { place, .. } => place.clone(),
        };
        let failure = Failure::of(&self).about(place);
        let advice = match self {
            Self::Read { .. } => "name another with --config FILE".to_owned(),
            Self::UnknownKey { nearest: Some(nearest), .. } => {
                format!("did you mean {nearest:?}? --print-config shows every key")
            }
            Self::UnknownKey { .. } | Self::Line { .. } | Self::Value { .. } => {
                "--print-config shows every key, with what it means".to_owned()
            }
        };
        failure.advise(advice)
    }
}

/// One key set outside the file: `KEY=VALUE` on the command line, a flag, or a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    place: String,
    key: String,
    value: String,
}

impl Override {
    /// A key that has a flag of its own.
    pub(super) fn flag(key: &str, value: String) -> Self {
        Self { place: format!("--{}", key.replace('.', "-")), key: key.to_owned(), value }
    }
}

impl FromStr for Override {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        Ok(Self { place: format!("--set {key}"), key, value })
    }
}

/// The settings that result from the defaults, the file, the environment and `overrides`.
pub(super) fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (OsString, OsString)>,
    overrides: &[Override],
) -> Result<Settings, ConfigError> {
    let env = in_text(env)?;
    let mut table = defaults();
    if let Some(path) = file.map(Path::to_path_buf).or_else(|| usual_file(&env)) {
        let text = std::fs::read_to_string(&path)
            .map_err(|reason| ConfigError::Read { path: path.clone(), reason })?;
        lay(&mut table, parse_file(&path, &text)?);
    }
    let variables = from_env(&env)?;
    for change in variables.iter().chain(overrides) {
        apply(&mut table, change)?;
    }
    let settings = table.try_into();
    Ok(settings.expect("the file and every change were accepted one by one"))
}

/// The file that the environment names; a variable that is empty is as good as none.
pub(super) fn file_of_env() -> Option<PathBuf> {
    std::env::var_os(ENV_FILE).filter(|file| !file.is_empty()).map(PathBuf::from)
}

/// The environment as text. What is none is nobody's but for a variable of ours.
fn in_text(
    env: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
    let in_text = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        match value.into_string() {
            Ok(value) => Some(Ok((name, value))),
            Err(_) if name.starts_with(ENV_PREFIX) && !ENV_OTHERS.contains(&name.as_str()) => {
                Some(Err(ConfigError::Value { place: name, reason: "it is not UTF-8".to_owned() }))
            }
            Err(_) => None,
        }
    };
    env.filter_map(in_text).collect()
}

fn defaults() -> Table {
    Table::try_from(Settings::default()).expect("the defaults are a table")
}

/// `sta.toml` in the working directory, or in the user's configuration directory.
fn usual_file(env: &[(String, String)]) -> Option<PathBuf> {
    let var = |name: &str| {
        env.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| PathBuf::from(v))
    };
    let user = var("XDG_CONFIG_HOME").or_else(|| var("HOME").map(|home| home.join(".config")));
    let here = Some(PathBuf::from(FILE_NAME));
    let usual = [here, user.map(|dir| dir.join("sta").join(FILE_NAME))];
    usual.into_iter().flatten().find(|path| path.is_file())
}

/// Reads a file: keys first, so that an unknown one is named with its line and its nearest, then values.
fn parse_file(path: &Path, text: &str) -> Result<Table, ConfigError> {
    let line_error = |error: &toml::de::Error| ConfigError::Line {
        path: path.to_owned(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        reason: in_words(error),
    };
    let tree = DeTable::parse(text).map_err(|error| line_error(&error))?;
    if let Some((key, at, wrong)) = unknown_key(tree.get_ref(), &defaults(), "") {
        let line = line_of(text, at);
        return Err(match wrong {
            Wrong::Name(kind) => unknown(format!("{}:{line}", path.display()), key, kind),
            Wrong::NoTable => {
                let reason = format!("{key} is a table; write [{key}], and its keys below it");
                ConfigError::Line { path: path.to_owned(), line, reason }
            }
        });
    }
    let settings = toml::from_str::<Settings>(text).map_err(|error| line_error(&error))?;
    settings.check().map_err(|(key, range)| {
        // What is out of range was written here: the defaults are in theirs.
        let (at, value) = find(tree.get_ref(), &key).unwrap_or_default();
        let line = line_of(text, at);
        ConfigError::Line { path: path.to_owned(), line, reason: out_of_range(&key, value, &range) }
    })?;
    text.parse().map_err(|error| line_error(&error))
}

/// What a value should be, without the names that programmers have for it.
fn in_words(error: &toml::de::Error) -> String {
    let message = error.message().trim_end().replace('\n', "; ");
    message
        .replace("expected u16", "expected a number up to 65535")
        .replace("expected u32", "expected a whole number")
}

fn out_of_range(key: &str, value: &str, range: &str) -> String {
    format!("{value} is out of range: {key} takes {range}")
}

/// Where the value of `key` stands in a file, and what is written there.
fn find<'a>(tree: &'a DeTable<'_>, key: &str) -> Option<(usize, &'a str)> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(a, b)| (a, Some(b)));
    let value = tree.get(first)?;
    match (value.get_ref(), rest) {
        (DeValue::Table(inner), Some(rest)) => find(inner, rest),
        (DeValue::String(text), None) => Some((Spanned::span(value).start, text)),
        (DeValue::Integer(number), None) => Some((Spanned::span(value).start, number.as_str())),
        _ => None,
    }
}

fn line_of(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|&b| b == b'\n').count()
}

/// What is wrong with a key.
enum Wrong {
    /// Nothing of its kind has this name.
    Name(Kind),
    /// It is a table, and has a value.
    NoTable,
}

/// What a key stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Table,
    Value,
}

/// The first key of `tree` that `known` lacks, or that is another's kind, with the byte where it stands.
fn unknown_key(tree: &DeTable<'_>, known: &Table, path: &str) -> Option<(String, usize, Wrong)> {
    tree.iter().find_map(|(key, value)| {
        let (full, at) = (join(path, key.get_ref()), Spanned::span(key).start);
        match (known.get(key.get_ref().as_ref()), value.get_ref()) {
            (None, DeValue::Table(_)) => Some((full, at, Wrong::Name(Kind::Table))),
            (None, _) => Some((full, at, Wrong::Name(Kind::Value))),
            (Some(Value::Table(inner)), DeValue::Table(tree)) => unknown_key(tree, inner, &full),
            (Some(Value::Table(_)), _) => Some((full, at, Wrong::NoTable)),
            (Some(_), _) => None,
        }
    })
}

fn unknown(place: String, key: String, kind: Kind) -> ConfigError {
    let likeness = |known: &String| {
        let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
        let like = strsim::jaro_winkler(&key, known);
        like.max(strsim::jaro_winkler(&last(&key), &last(known)))
    };
    let defaults = defaults();
    let all = match kind {
        Kind::Value => leaves(&defaults, ""),
        Kind::Table => {
            let tables = defaults.iter().filter(|(_, value)| value.is_table());
            tables.map(|(name, _)| name.clone()).collect()
        }
    };
    let nearest = all
        .into_iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|nearest| likeness(nearest) >= LIKENESS_MIN);
    ConfigError::UnknownKey { place, key, nearest }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The paths of every key that has a value.
fn leaves(table: &Table, path: &str) -> Vec<String> {
    let leaf = |(key, value): (&String, &Value)| match value {
        Value::Table(inner) => leaves(inner, &join(path, key)),
        _ => vec![join(path, key)],
    };
    table.iter().flat_map(leaf).collect()
}

/// The variables that are settings. Others that begin like one may be another program's, and are ignored unless they
/// look like a slip. One that is empty is as good as none.
fn from_env(env: &[(String, String)]) -> Result<Vec<Override>, ConfigError> {
    let known = leaves(&defaults(), "");
    let variable = |key: &String| key.to_uppercase().replace(['.', '-'], "_");
    let mut found = Vec::new();
    let is_set = |(name, value): &&(String, String)| {
        !value.is_empty() && !ENV_OTHERS.contains(&name.as_str())
    };
    for (place, value) in env.iter().filter(is_set) {
        let Some(name) = place.strip_prefix(ENV_PREFIX) else { continue };
        if let Some(key) = known.iter().find(|key| variable(key) == name) {
            let (place, key, value) = (place.clone(), key.clone(), value.clone());
            found.push(Override { place, key, value });
            continue;
        }
        let like = |key: &&String| strsim::jaro_winkler(&variable(key), name) >= LIKENESS_OF_SLIP;
        if let Some(meant) = known.iter().find(like) {
            let nearest = Some(format!("{ENV_PREFIX}{}", variable(meant)));
            let place = "environment".to_owned();
            return Err(ConfigError::UnknownKey {
                place,
                key: format!("{ENV_PREFIX}{name}"),
                nearest,
            });
        }
    }
    Ok(found)
}

/// Lays `upper` over `lower`.
fn lay(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(lower)), Value::Table(upper)) => lay(lower, upper),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

/// Sets one key, and checks that the whole still makes sense.
fn apply(table: &mut Table, change: &Override) -> Result<(), ConfigError> {
    let refused = |reason: String| ConfigError::Value { place: change.place.clone(), reason };
    let mut path: Vec<&str> = change.key.split('.').collect();
    let last = path.pop().unwrap_or_default();
    let inner = path.iter().try_fold(&mut *table, |table, key| table.get_mut(*key)?.as_table_mut());
    let slot = inner.and_then(|table| table.get_mut(last)).filter(|value| !value.is_table());
    let Some(slot) = slot else {
        return Err(unknown(change.place.clone(), change.key.clone(), Kind::Value));
    };
    *slot = match slot {
        Value::Integer(_) => {
            let number = change.value.parse();
            Value::Integer(
                number.map_err(|_| refused(format!("{:?} is not a number", change.value)))?,
            )
        }
        _ => Value::String(change.value.clone()),
    };
    let settings = table.clone().try_into::<Settings>();
    let settings = settings.map_err(|error| refused(in_words(&error)))?;
    // What was laid before was in its range.
    settings.check().map_err(|(key, range)| refused(out_of_range(&key, &change.value, &range)))
}
