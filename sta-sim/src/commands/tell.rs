//! Printing on stdout. A reader that has gone away (`| head`) has seen what it wanted: the command goes on without it, and
//! ends as it would have.

use std::io::{self, BufWriter, Write};

/// Prints `text`.
pub fn say(text: &str) {
    if let Err(error) = tell(|stdout| stdout.write_all(text.as_bytes())) {
        eprintln!("error: cannot print: {error}");
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
