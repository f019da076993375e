//! Mistakes in a scenario file, shown with file, line, column, key and what to write.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::complaint::{in_our_words, of_toml, unknown};
use super::nearest::nearest;

/// Mistakes of shape shown at once: more than a person mends before looking again.
const SHOWN_MAX: usize = 20;

/// Where in a file: `group[1].up`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Place {
    /// A key at the top.
    #[must_use]
    pub fn top(key: &str) -> Self {
        Self(vec![Step::Key(key.to_owned())])
    }

    /// A key of this table.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.and(Step::Key(key.to_owned()))
    }

    /// An entry of this array.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.and(Step::Index(index))
    }

    /// The keys that lead there, without the numbers of entries.
    fn keys(&self) -> Vec<&str> {
        let steps = self.0.iter();
        let keys = steps.filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) => None,
        });
        keys.collect()
    }

    fn and(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if i == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Something that is wrong with a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Which key.
    pub place: Place,
    /// What is wrong, and what to write.
    pub why: String,
}

impl Mistake {
    /// A mistake at `place`.
    #[must_use]
    pub fn new(place: &Place, why: impl fmt::Display) -> Self {
        Self { place: place.clone(), why: why.to_string() }
    }
}

/// A mistake, found in the text of a file. Shows as a compiler's error does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {key}{why}\n{excerpt}")]
pub struct Located {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The key and a colon, or nothing.
    pub key: String,
    /// What is wrong, and what to write.
    pub why: String,
    /// The line, with marks under what is meant.
    pub excerpt: String,
}

impl Located {
    /// The same, its line shown as it stands in `text`, where everything is in the same place.
    fn shown_in(mut self, text: &str) -> Self {
        let written = text.lines().nth(self.line - 1).unwrap_or_default();
        let marks = self.excerpt.lines().nth(1).unwrap_or_default();
        self.excerpt = format!("{} | {written}\n{marks}", self.line);
        self
    }
}

/// What is wrong with the shape of a file: keys that nobody knows, values of the wrong kind.
#[derive(Debug)]
pub struct Misshapen {
    /// Each of them, from top to bottom; never empty.
    pub found: Vec<Located>,
    /// The text with what was meant in place of each, everything else where it was. `None` if that is not known of all
    /// of them: what is missing then would be taken for more mistakes.
    pub mended: Option<String>,
}

impl Misshapen {
    /// What was found, and `more` that is wrong with the values of [`Self::mended`], of which `text` is the original.
    #[must_use]
    pub fn with(self, more: Vec<Located>, text: &str) -> Vec<Located> {
        let mut all = self.found;
        all.extend(more.into_iter().map(|located| located.shown_in(text)));
        all.sort_by_key(|located| (located.line, located.column));
        all
    }
}

/// The text of a file, and where its keys stand.
pub struct Source<'a> {
    file: &'a str,
    text: &'a str,
    tree: Spanned<DeTable<'a>>,
}

impl<'a> Source<'a> {
    /// Reads the tree of keys.
    ///
    /// # Errors
    /// If it is not TOML.
    pub fn read(file: &'a str, text: &'a str) -> Result<Self, Box<Located>> {
        match DeTable::parse(text) {
            Ok(tree) => Ok(Self { file, text, tree }),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let start = text[..span.start.min(text.len())].rfind('\n').map_or(0, |at| at + 1);
                let line = text[start..].lines().next().unwrap_or_default();
                let why = of_toml(error.message(), line);
                Err(Box::new(located(file, text, span, "", &why)))
            }
        }
    }

    /// Where `mistake` stands; at the nearest table around it if the key is not written.
    #[must_use]
    pub fn locate(&self, mistake: &Mistake) -> Located {
        let mut span = 0..0;
        let mut at = Node::Table(self.tree.get_ref());
        for step in &mistake.place.0 {
            let Some((next, found)) = at.step(step) else { break };
            (at, span) = (next, found);
        }
        let key = format!("{}: ", mistake.place);
        located(self.file, self.text, span, &key, &mistake.why)
    }

    /// The file as a `T`.
    ///
    /// # Errors
    /// Every key that is unknown or has a value of the wrong kind: each is mended or taken out, and the rest is looked at
    /// again.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Misshapen> {
        let mut text = self.text.to_owned();
        let mut found: Vec<(usize, Located)> = Vec::new();
        let (mut understood, mut whole) = (true, false);
        while found.len() < SHOWN_MAX {
            let error = match toml::from_str(&text) {
                Ok(file) if found.is_empty() => return Ok(file),
                Ok(_) => {
                    whole = true;
                    break;
                }
                Err(error) => error,
            };
            // What is missing now may have been taken out before.
            if !found.is_empty() && error.message().starts_with("missing field") {
                break;
            }
            let span = error.span().unwrap_or(0..0);
            found.push((span.start, self.explain(&error)));
            let Some(entry) = self.entry_at(&span) else { break };
            if let Some(rest) = mended(&text, &entry, error.message()) {
                text = rest;
            } else if let Some(rest) = blanked(&text, &entry) {
                text = rest;
                understood = false;
            } else {
                break;
            }
        }
        found.sort_by_key(|(start, _)| *start);
        let found = found.into_iter().map(|(_, located)| located).collect();
        Err(Misshapen { found, mended: (whole && understood).then_some(text) })
    }

    /// The key and its value, on one line, that hold the span.
    fn entry_at(&self, span: &Range<usize>) -> Option<Range<usize>> {
        let mut at = Node::Table(self.tree.get_ref());
        let mut entry = None;
        while let Some((step, next)) = at.child_holding(span) {
            if let (Step::Key(key), Some(table)) = (&step, at.table()) {
                let found = table.iter().find(|(name, _)| name.get_ref().as_ref() == key.as_str());
                entry = found
                    .map(|(name, value)| name.span().start..value.span().end)
                    .filter(|range| range.start < range.end)
                    .filter(|range| !self.text[range.clone()].contains('\n'));
            }
            at = next;
        }
        entry
    }

    /// What serde complains of, in our words.
    #[must_use]
    pub fn explain(&self, error: &toml::de::Error) -> Located {
        let span = error.span().unwrap_or(0..0);
        let place = self.place_of(&span);
        let key = if place.0.is_empty() { String::new() } else { format!("{place}: ") };
        located(self.file, self.text, span, &key, &in_our_words(error.message(), &place.keys()))
    }

    /// The innermost key whose name or value holds the span.
    fn place_of(&self, span: &Range<usize>) -> Place {
        let mut place = Place::default();
        let mut at = Node::Table(self.tree.get_ref());
        while let Some((step, next)) = at.child_holding(span) {
            place.0.push(step);
            at = next;
        }
        place
    }
}

/// `text` with what was meant by the entry that `message` complains of, if it fits where the other stands.
fn mended(text: &str, entry: &Range<usize>, message: &str) -> Option<String> {
    let written = &text[entry.clone()];
    let (typed, known) = unknown(message)?;
    let near = nearest(typed, known)?;
    let (from, to) = if message.starts_with("unknown field") {
        (written[..written.find('=')?].to_owned(), near.to_owned())
    } else {
        (format!("\"{typed}\""), format!("\"{near}\""))
    };
    let width = from.len();
    let new = (to.len() <= width).then(|| written.replacen(&from, &format!("{to:width$}"), 1))?;
    with(text, entry, &new)
}

/// `text` without the entry.
fn blanked(text: &str, entry: &Range<usize>) -> Option<String> {
    with(text, entry, &" ".repeat(entry.len()))
}

/// `text` with another `entry`, as long as the one before; `None` if that is the same, or no TOML.
fn with(text: &str, entry: &Range<usize>, new: &str) -> Option<String> {
    let rest = [&text[..entry.start], new, &text[entry.end..]].concat();
    (rest != text && DeTable::parse(&rest).is_ok()).then_some(rest)
}

/// A node of the tree of keys.
#[derive(Clone, Copy)]
enum Node<'t, 'a> {
    Table(&'t DeTable<'a>),
    Value(&'t DeValue<'a>),
}

impl<'t, 'a> Node<'t, 'a> {
    fn table(self) -> Option<&'t DeTable<'a>> {
        match self {
            Self::Table(table) => Some(table),
            Self::Value(value) => value.as_table(),
        }
    }

    fn step(self, step: &Step) -> Option<(Self, Range<usize>)> {
        let value = match (step, self) {
            (Step::Key(key), _) => {
                let (name, value) = self
                    .table()?
                    .iter()
                    .find(|(name, _)| name.get_ref().as_ref() == key.as_str())?;
                // A table is shown by its name, a value by itself.
                let plain = !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
                let span = if plain { value.span() } else { name.span() };
                return Some((Self::Value(value.get_ref()), span));
            }
            (Step::Index(index), Self::Value(value)) => value.as_array()?.get(*index)?,
            (Step::Index(_), Self::Table(_)) => return None,
        };
        Some((Self::Value(value.get_ref()), value.span()))
    }

    fn child_holding(self, span: &Range<usize>) -> Option<(Step, Self)> {
        let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
        if let Some(table) = self.table() {
            let (name, value) = table.iter().find(|(name, value)| {
                holds(name.span()) || holds(value.span()) || inside(value.get_ref(), span)
            })?;
            return Some((Step::Key(name.get_ref().to_string()), Self::Value(value.get_ref())));
        }
        let Self::Value(value) = self else { return None };
        let array = value.as_array()?;
        let found =
            |entry: &Spanned<DeValue<'_>>| holds(entry.span()) || inside(entry.get_ref(), span);
        let index = array.iter().position(found)?;
        Some((Step::Index(index), Self::Value(array.get(index)?.get_ref())))
    }
}

/// Whether something inside `value` holds `span`: a table's own span is its header alone.
fn inside(value: &DeValue<'_>, span: &Range<usize>) -> bool {
    Node::Value(value).child_holding(span).is_some()
}

fn located(file: &str, text: &str, span: Range<usize>, key: &str, why: &str) -> Located {
    let start = span.start.min(text.len());
    let before = &text[..start];
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let shown = text[line_start..].lines().next().unwrap_or("");
    let column = before[line_start..].chars().count();
    let end = span.end.clamp(start, line_start + shown.len().max(start - line_start));
    let marks = text[start..end].chars().count().max(1);
    let number = line.to_string();
    let (pad, space) = (" ".repeat(number.len()), " ".repeat(column));
    let marks = "^".repeat(marks);
    Located {
        file: file.to_owned(),
        line,
        column: column + 1,
        key: key.to_owned(),
        why: why.to_owned(),
        excerpt: format!("{number} | {shown}\n{pad} | {space}{marks}"),
    }
}
