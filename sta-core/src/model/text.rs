//! Words of strangers, fit to be shown.

/// Longest text of a stranger that is shown: a line.
const SHOWN_MAX: usize = 120;

/// What a stranger wrote, fit for a log line and a terminal: no control characters, and no more than a line.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_reaches_a_terminal_but_a_line_of_text() {
        assert_eq!(printable("no \x1b[31mred\r\nläuft"), "no [31mredläuft");
        assert_eq!(printable(&"x".repeat(1 << 20)).len(), 120);
    }
}
