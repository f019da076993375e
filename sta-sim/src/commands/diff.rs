//! `sta-sim diff`: where two logs of events differ first. See `cli.rs` for its arguments.

use std::path::Path;

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
        std::fs::read_to_string(&file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))
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
    use super::first_difference;

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
