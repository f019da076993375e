//! `sta-sim diff`: where two logs of events differ first, or what two sweeps of the same seeds came to. See `cli.rs` for its
//! arguments.

use std::path::Path;

use serde_json::Value;

use crate::cli::DiffArgs;
use crate::commands::tell::{note, say};
use crate::exit::Exit;
use crate::sweep::compare::{self, Sweep};

/// What it compares, in words.
const WANTED: &str =
    "give two logs of events, the folders of two runs, or what two times `sweep --json` printed";
/// Lines shown before the first that differs.
const BEFORE: usize = 5;
/// Lines shown after it, of each log.
const AFTER: usize = 2;

/// What can be compared.
enum Side {
    Log(String),
    Sweep(Sweep),
}

/// Compares the two. Ends with [`Exit::Diverged`] if two logs differ, and with [`Exit::Failed`] if a seed fails in the second sweep
/// that did not in the first.
#[must_use]
pub fn main(args: &DiffArgs) -> Exit {
    match diff(args) {
        Ok(exit) => exit,
        Err(why) => {
            note!("error: {why}");
            Exit::CouldNotStart
        }
    }
}

fn diff(args: &DiffArgs) -> Result<Exit, String> {
    match (read(&args.left)?, read(&args.right)?) {
        (Side::Log(a), Side::Log(b)) => {
            let compared = compare(&a, &b);
            say(&compared.text);
            Ok(if compared.same { Exit::Done } else { Exit::Diverged })
        }
        (Side::Sweep(a), Side::Sweep(b)) => {
            let compared = compare::compare(&a, &b)
                .ok_or("no scenario has a seed that is in both; sweep the same --seeds twice")?;
            say(&compared.text);
            Ok(if compared.worse { Exit::Failed } else { Exit::Done })
        }
        (Side::Log(_), Side::Sweep(_)) | (Side::Sweep(_), Side::Log(_)) => {
            Err("one is a log of events, the other tells of runs: give two of a kind".to_owned())
        }
    }
}

fn read(path: &Path) -> Result<Side, String> {
    let file = if path.is_dir() { path.join("events.jsonl") } else { path.to_owned() };
    let shown = file.display();
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("cannot read {shown}: {error}; {WANTED}"))?;
    if is_log(&text) {
        return Ok(Side::Log(text));
    }
    if text.is_empty() {
        return Err(format!("{shown} is empty; {WANTED}"));
    }
    let sweep = Sweep::read(&text).map_err(|why| format!("{shown}: {why}; {WANTED}"))?;
    Ok(Side::Sweep(sweep))
}

/// Whether it begins as a log does. What comes later may be of another version, and is compared as text.
fn is_log(text: &str) -> bool {
    let first = text.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
    let has = |key: &str| first.as_ref().is_some_and(|line| line.get(key).is_some());
    has("at") && (has("event") || has("note"))
}

/// What came of a comparison.
#[derive(Debug)]
pub struct Compared {
    /// Whether every node and tracker said the same.
    pub same: bool,
    /// What differs first, or how much is the same, for a person.
    pub text: String,
}

/// Compares what nodes and trackers said. What the world notes besides, such as what wanted a fault, is another in a capsule's run.
#[must_use]
pub fn compare(a: &str, b: &str) -> Compared {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    if a == b {
        return Compared { same: true, text: format!("the same: {} lines\n", a.len()) };
    }
    let said = |lines: &[&str]| (0..lines.len()).filter(|&ix| is_said(lines[ix])).collect();
    let (of_a, of_b): (Vec<usize>, Vec<usize>) = (said(&a), said(&b));
    let pairs = of_a.iter().zip(&of_b);
    let same = pairs.take_while(|(x, y)| a[**x] == b[**y]).count();
    if same == of_a.len() && same == of_b.len() {
        let line = 1 + a.iter().zip(&b).take_while(|(x, y)| x == y).count();
        let text = format!(
            "the same: all {same} events of every node and tracker; what the world notes differs, first in line {line}\n"
        );
        return Compared { same: true, text };
    }
    let at = |said: &[usize], lines: &[&str]| said.get(same).copied().unwrap_or(lines.len());
    let (at_a, at_b) = (at(&of_a, &a), at(&of_b, &b));
    let mut text = match same {
        0 => "the first event differs already: other files, seeds or worlds have nothing in common; runs that were to be the same have\n".to_owned(),
        _ => format!("event {} differs; before it, in a:\n", same + 1),
    };
    let before = if same == 0 { at_a } else { at_a.saturating_sub(BEFORE) };
    for line in &a[before..at_a] {
        text.push_str(&format!("    {line}\n"));
    }
    for (name, lines, at) in [("a", &a, at_a), ("b", &b, at_b)] {
        let shown = &lines[at..lines.len().min(at + 1 + AFTER)];
        if shown.is_empty() {
            text.push_str(&format!("  {name} ends here\n"));
        }
        for line in shown {
            text.push_str(&format!("  {name} {line}\n"));
        }
    }
    Compared { same: false, text }
}

/// Whether a node or a tracker said it: the world's notes have no `event`, nor has the hash at the end. In a text the quotes would be escaped, and
/// what wanted a fault may be an event, but is in a note.
fn is_said(line: &str) -> bool {
    line.contains("\"event\":") && !line.contains("\"note\":")
}

#[cfg(test)]
mod tests {
    use super::{compare, is_log, main};
    use crate::cli::DiffArgs;
    use crate::exit::Exit;

    #[test]
    fn what_is_no_log_is_not_compared() {
        assert!(is_log("{\"at\":0,\"note\":\"mark\",\"name\":\"x\"}\n"));
        assert!(is_log("{\"at\":5,\"who\":\"leech-0\",\"event\":\"node-stopped\"}\n"));
        for text in ["", "schema = 1\n", "{\n", "{\"seed\":1}\n", "5\n"] {
            assert!(!is_log(text), "{text:?}");
        }
        let manifest = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let args = DiffArgs { left: manifest.clone(), right: manifest };
        assert!(matches!(main(&args), Exit::CouldNotStart), "the same, and no logs");
    }

    /// A log of events with these names, as a world writes it.
    fn log(events: &[&str]) -> String {
        let line = |name: &&str| format!("{{\"event\":\"{name}\"}}\n");
        events.iter().map(line).collect()
    }

    #[test]
    fn the_first_event_that_differs_is_shown_with_its_neighbours() {
        assert!(compare(&log(&["1", "2"]), &log(&["1", "2"])).same);
        let differ = |a: &[&str], b: &[&str]| {
            let compared = compare(&log(a), &log(b));
            assert!(!compared.same, "{}", compared.text);
            compared.text.replace("{\"event\":\"", "").replace("\"}", "")
        };
        assert_eq!(
            differ(&["1", "2", "3", "4"], &["1", "2", "x"]),
            "event 3 differs; before it, in a:\n    1\n    2\n  a 3\n  a 4\n  b x\n"
        );
        let text = differ(&["1", "2"], &["2", "2"]);
        assert!(text.starts_with("the first event differs already: other files, seeds"), "{text}");
        assert!(text.ends_with("have\n  a 1\n  a 2\n  b 2\n  b 2\n"), "{text}");
        let text = differ(&["1"], &["1", "2"]);
        assert!(text.contains("a ends here") && text.contains("b 2"), "{text}");
    }

    /// A run and its replay differed in what had wanted a fault, and nothing was said of what came after.
    #[test]
    fn what_the_world_notes_is_no_difference() {
        let log = |origin: &str, last: &str| {
            let fault = "{\"at\":1,\"note\":\"fault-began\",\"origin\":";
            let (first, last) = (log(&["1"]), log(&[last]));
            format!("{first}{fault}{origin}}}\n{last}{{\"hash\":\"of {origin:?}\"}}\n")
        };
        let (run, replay) = (log("\"churn\"", "2"), log("{\"event\":0}", "2"));
        let compared = compare(&run, &replay);
        assert!(compared.same && compared.text.contains("first in line 2"), "{compared:?}");
        let other = compare(&run, &log("{\"event\":0}", "3"));
        assert!(!other.same && other.text.contains("event 2 differs"), "{other:?}");
    }
}
