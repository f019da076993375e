//! Mistakes in a scenario file, shown with file, line, column, key and what to write.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_spanned::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue, Deserializer};

use super::complaint::{in_our_words, missing, of_toml, unknown};
use super::nearest::nearest;
use super::reference;

/// Mistakes of shape shown at once: more than a person mends before looking again.
const SHOWN_MAX: usize = 20;
/// How often a file is looked at for them: what is put in place of one may have to be put right itself.
const LOOKS_MAX: usize = 3 * SHOWN_MAX;

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

    /// Another key of the same table.
    fn beside(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.pop();
        Self(steps).key(key)
    }

    /// The list of which this is an entry.
    fn list(&self) -> Option<Self> {
        let (last, before) = self.0.split_last()?;
        matches!(last, Step::Index(_)).then(|| Self(before.to_vec()))
    }

    /// Whether it is there, or inside.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    /// The keys that lead there, without the numbers of entries.
    pub(super) fn keys(&self) -> Vec<&str> {
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
    /// It is the key that is wrong, whatever stands there.
    pub(super) is_the_key: bool,
}

impl Mistake {
    /// A mistake at `place`.
    #[must_use]
    pub fn new(place: &Place, why: impl fmt::Display) -> Self {
        Self { place: place.clone(), why: why.to_string(), is_the_key: false }
    }

    /// A key that should not be there.
    #[must_use]
    pub fn of_key(place: &Place, why: impl fmt::Display) -> Self {
        Self { is_the_key: true, ..Self::new(place, why) }
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

/// A file whose shape was looked at.
#[derive(Debug)]
pub struct Decoded<T> {
    /// Keys that nobody knows, keys that are missing, values of the wrong kind.
    pub found: Vec<Located>,
    /// The file as it was meant. `None` if that is not known everywhere: what is missing then would be taken for more
    /// mistakes.
    pub file: Option<T>,
    /// What was meant in place of what was found.
    pub fixes: Vec<Fix>,
}

/// What is put in place of a mistake of shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    place: Place,
    what: Instead,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Instead {
    /// The key is called so.
    Name(String),
    /// The value is this word.
    Word(String),
    /// Nothing is there.
    Nothing,
    /// Something of the kind that belongs there; whatever it is, nothing more is said of it.
    Anything(Filler),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filler {
    Number,
    Text,
    List,
    Table,
}

impl Fix {
    /// Whether it is what was meant, and not only what lets the rest be looked at.
    const fn is_meant(&self) -> bool {
        matches!(self.what, Instead::Name(_) | Instead::Word(_))
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
            let name = at.name_of(step).filter(|_| mistake.is_the_key);
            (at, span) = (next, name.unwrap_or(found));
        }
        let key = format!("{}: ", mistake.place);
        located(self.file, self.text, span, &key, &mistake.why)
    }

    /// The file as a `T`, with every mistake of shape: what each stands for is put in its place, and the rest is looked at
    /// again.
    pub fn decode<T: DeserializeOwned>(&mut self) -> Decoded<T> {
        let (mut found, mut fixes) = (Vec::new(), Vec::<Fix>::new());
        for _ in 0..LOOKS_MAX {
            let error = match self.deserialize() {
                Ok(file) => {
                    let file = fixes.iter().all(Fix::is_meant).then_some(file);
                    return Decoded { found, file, fixes };
                }
                Err(error) => error,
            };
            let span = error.span().unwrap_or(0..0);
            // What was filled in is no mistake of the file's.
            if !self.is_filled_in(&span) {
                found.push(self.explain(&error));
            }
            let fix = self.fix_of(error.message(), &span);
            let nth = fixes.len();
            let fix = fix.filter(|fix| found.len() < SHOWN_MAX && self.apply(fix, nth));
            let Some(fix) = fix else { break };
            fixes.push(fix);
        }
        Decoded { found, file: None, fixes }
    }

    /// The file, with what it was mended by, as a `T`.
    ///
    /// # Errors
    /// If it has another shape.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, toml::de::Error> {
        T::deserialize(Deserializer::from(self.tree.clone()))
    }

    /// The same file with these fixes.
    #[must_use]
    pub fn with(mut self, fixes: &[Fix]) -> Self {
        for (nth, fix) in fixes.iter().enumerate() {
            self.apply(fix, nth);
        }
        self
    }

    /// What to put in place of what `message` complains of, at `span`.
    fn fix_of(&self, message: &str, span: &Range<usize>) -> Option<Fix> {
        let filled_in = self.is_filled_in(span);
        let place = self.place_of(span);
        if let Some(key) = missing(message) {
            let place = place.key(key);
            let what = Instead::Anything(filler(&place)?);
            return Some(Fix { place, what });
        }
        let what = match unknown(message) {
            Some((typed, known)) if message.starts_with("unknown field") => {
                let near = nearest(typed, known).filter(|near| !self.has(&place.beside(near)));
                near.map_or(Instead::Nothing, |near| Instead::Name(near.to_owned()))
            }
            Some((typed, known)) => match nearest(typed, known.iter().copied()) {
                Some(near) => Instead::Word(near.to_owned()),
                None if filled_in => Instead::Word((*known.first()?).to_owned()),
                None => Instead::Anything(Filler::Text),
            },
            None if filled_in => Instead::Nothing,
            None => {
                // A table takes a list for its values in order, and complains of the first.
                let list = place.list().filter(|list| filler(list) == Some(Filler::Table));
                let place = list.unwrap_or(place);
                let what = filler(&place).map_or(Instead::Nothing, Instead::Anything);
                return Some(Fix { place, what });
            }
        };
        Some(Fix { place, what })
    }

    /// Mends the tree, for the `nth` time. Says whether there was something to mend.
    fn apply(&mut self, fix: &Fix, nth: usize) -> bool {
        // What is not in the text stands behind it, each by itself.
        let behind = self.text.len() + 1 + nth;
        let Some((last, before)) = fix.place.0.split_last() else { return false };
        let Some(holder) = Holder::Table(self.tree.get_mut()).at(before) else { return false };
        match (&fix.what, holder, last) {
            (Instead::Name(name), Holder::Table(table), Step::Key(key)) => {
                let Some((old, value)) = table.remove_entry(key.as_str()) else { return false };
                table.insert(Spanned::new(old.span(), Cow::Owned(name.clone())), value);
                true
            }
            (Instead::Nothing, Holder::Table(table), Step::Key(key)) => {
                table.remove(key.as_str()).is_some()
            }
            (Instead::Word(word), holder, last) => {
                let word = DeValue::String(Cow::Owned(word.clone()));
                holder.value(last).map(|value| *value.get_mut() = word).is_some()
            }
            (Instead::Anything(filler), Holder::Table(table), Step::Key(key)) => {
                let name = Spanned::new(behind..behind, Cow::Owned(key.clone()));
                table.insert(name, Spanned::new(behind..behind, filler.value()));
                true
            }
            (Instead::Anything(filler), holder, last) => {
                let new = Spanned::new(behind..behind, filler.value());
                holder.value(last).map(|value| *value = new).is_some()
            }
            _ => false,
        }
    }

    /// Whether nothing of the file's own is at `span`.
    fn is_filled_in(&self, span: &Range<usize>) -> bool {
        span.start > self.text.len()
    }

    fn has(&self, place: &Place) -> bool {
        let mut at = Some(Node::Table(self.tree.get_ref()));
        for step in &place.0 {
            at = at.and_then(|node| node.step(step)).map(|(next, _)| next);
        }
        at.is_some()
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

/// What can stand at `place`; `None` if nothing is known of it.
fn filler(place: &Place) -> Option<Filler> {
    let holds = reference::holds(&place.keys())?;
    Some(match (holds.as_str(), place.0.last()?) {
        ("number", _) => Filler::Number,
        ("table", Step::Key(_)) | ("tables", Step::Index(_)) => Filler::Table,
        ("list" | "tables", Step::Key(_)) => Filler::List,
        _ => Filler::Text,
    })
}

impl Filler {
    fn value(self) -> DeValue<'static> {
        match self {
            Self::Number => DeValue::Integer(DeInteger::default()),
            Self::Text => DeValue::String(Cow::Borrowed("")),
            Self::List => DeValue::Array(DeArray::new()),
            Self::Table => DeValue::Table(DeTable::new()),
        }
    }
}

/// What holds others, to be mended.
enum Holder<'t, 'a> {
    Table(&'t mut DeTable<'a>),
    List(&'t mut DeArray<'a>),
}

impl<'t, 'a> Holder<'t, 'a> {
    /// What is at these steps from it.
    fn at(self, steps: &[Step]) -> Option<Self> {
        let Some((first, rest)) = steps.split_first() else { return Some(self) };
        match self.value(first)?.get_mut() {
            DeValue::Table(table) => Self::Table(table).at(rest),
            DeValue::Array(list) => Self::List(list).at(rest),
            _ => None,
        }
    }

    fn value(self, step: &Step) -> Option<&'t mut Spanned<DeValue<'a>>> {
        match (self, step) {
            (Self::Table(table), Step::Key(key)) => table.get_mut(key.as_str()),
            (Self::List(list), Step::Index(index)) => list.get_mut(*index),
            _ => None,
        }
    }
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

    /// Where the name of what is at this step stands.
    fn name_of(self, step: &Step) -> Option<Range<usize>> {
        let Step::Key(key) = step else { return None };
        let mut names = self.table()?.iter().map(|(name, _)| name);
        names.find(|name| name.get_ref().as_ref() == key.as_str()).map(Spanned::span)
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
