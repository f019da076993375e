//! Printing. A reader that has gone away (`| head`) has seen what it wanted: the command goes on without it, and
//! ends as it would have.

use std::io::{self, BufWriter, Write};

/// A line for people on stderr, as `eprintln!` writes it. Where nobody reads it there is nobody to tell, and no error.
macro_rules! note {
    ($($words:tt)*) => {
        $crate::commands::tell::note_line(format_args!($($words)*))
    };
}
pub(crate) use note;

/// See [`note`].
pub(crate) fn note_line(words: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{words}");
}

/// Prints `text`.
pub fn say(text: &str) {
    if let Err(error) = tell(|stdout| stdout.write_all(text.as_bytes())) {
        note!("error: cannot print: {error}");
    }
}

/// Lets `write` print.
///
/// # Errors
/// As stdout's, but for a reader that has gone away.
pub fn tell(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
