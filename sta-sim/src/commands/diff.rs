//! `sta-sim diff`: where two logs of events differ first. See `cli.rs` for its arguments.

use std::path::Path;

use serde_json::Value;

use crate::cli::DiffArgs;
use crate::commands::tell::{note, say};
use crate::exit::Exit;

/// Lines shown before the first that differs.
const BEFORE: usize = 5;
/// Lines shown after it, of each log.
const AFTER: usize = 2;

/// Compares the two logs.
#[must_use]
pub fn main(args: &DiffArgs) -> Exit {
    let read = |path: &Path| {
        let file = if path.is_dir() { path.join("events.jsonl") } else { path.to_owned() };
        let text = std::fs::read_to_string(&file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        match is_log(&text) {
            true => Ok(text),
            false => Err(format!("{} is no log of events", file.display())),
        }
    };
    match (read(&args.left), read(&args.right)) {
        (Ok(a), Ok(b)) => match first_difference(&a, &b) {
            None => {
                say(&format!("the same: {} lines\n", a.lines().count()));
                Exit::Done
            }
            Some(text) => {
                say(&text);
                Exit::Diverged
            }
        },
        (Err(why), _) | (_, Err(why)) => {
            note!("error: {why}; give two logs of events, or the folders of two runs");
            Exit::CouldNotStart
        }
    }
}

/// Whether it begins as a log does. What comes later may be of another version, and is compared as text.
fn is_log(text: &str) -> bool {
    let first = text.lines().next().and_then(|line| serde_json::from_str::<Value>(line).ok());
    let has = |key: &str| first.as_ref().is_some_and(|line| line.get(key).is_some());
    has("at") && (has("event") || has("note"))
}

/// The first line in which `a` and `b` differ, with what comes before and after it, for a person. `None` if they are the
/// same.
#[must_use]
pub fn first_difference(a: &str, b: &str) -> Option<String> {
    if a == b {
        return None;
    }
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let same = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let mut text = match same {
        0 => "line 1 differs already: other files, seeds or worlds have nothing in common; runs that were to be the same have\n".to_owned(),
        _ => format!("line {} differs; before it, in both:\n", same + 1),
    };
    for line in &a[same.saturating_sub(BEFORE)..same] {
        text.push_str(&format!("    {line}\n"));
    }
    for (name, lines) in [("a", &a), ("b", &b)] {
        let shown = &lines[same.min(lines.len())..lines.len().min(same + 1 + AFTER)];
        if shown.is_empty() {
            text.push_str(&format!("  {name} ends here\n"));
        }
        for line in shown {
            text.push_str(&format!("  {name} {line}\n"));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{first_difference, is_log, main};
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

    #[test]
    fn the_first_line_that_differs_is_shown_with_its_neighbours() {
        assert_eq!(first_difference("1\n2\n", "1\n2\n"), None);
        let text = first_difference("1\n2\n3\n4\n", "1\n2\nx\n").expect("they differ");
        assert_eq!(
            text,
            "line 3 differs; before it, in both:\n    1\n    2\n  a 3\n  a 4\n  b x\n"
        );
        let text = first_difference("1\n2\n", "2\n2\n").expect("they differ");
        assert!(text.starts_with("line 1 differs already: other files, seeds"), "{text}");
        assert!(text.ends_with("have\n  a 1\n  a 2\n  b 2\n  b 2\n"), "{text}");
        let text = first_difference("1\n", "1\n2\n").expect("they differ");
        assert!(text.contains("a ends here") && text.contains("b 2"), "{text}");
    }
}
