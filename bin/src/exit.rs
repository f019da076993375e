//! How a program ends: the exit codes, and what it says when it did not do what it was asked.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// The exit codes of `sta-node` and `sta-tracker`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// What was asked is done. Who was asked to serve until told to stop, and is told to stop, has done it.
    Done = 0,
    /// It ran, and what was asked did not hold: pieces are missing or wrong, a download did not complete.
    Unmet = 1,
    /// It could not start: arguments, configuration, a torrent, a port, a tracker that is not there.
    CouldNotStart = 2,
    /// It was interrupted (Ctrl-C, SIGTERM, SIGHUP) before it was done.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a program ends otherwise than done: the thing, the reason, what to do, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The code to end with.
    pub exit: Exit,
    /// The thing, unless the reason says it all.
    pub what: Option<String>,
    /// The reason.
    pub why: String,
    /// What to do about it, where there is something to be done.
    pub advice: Option<String>,
}

impl Failure {
    /// What was asked cannot begin, because of `thing`.
    pub fn start(thing: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::with(Exit::CouldNotStart, thing, reason)
    }

    /// What was asked did not hold, because of `thing`.
    pub fn unmet(thing: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::with(Exit::Unmet, thing, reason)
    }

    /// What was asked cannot begin, because of an error that says all there is to say.
    #[must_use]
    pub fn of(error: impl fmt::Display) -> Self {
        let why = plain(&error.to_string());
        Self { exit: Exit::CouldNotStart, what: None, why, advice: None }
    }

    /// It is about `thing`, which is named at the start of its reason, as in `PATH: why`.
    #[must_use]
    pub fn about(mut self, thing: impl fmt::Display) -> Self {
        let thing = thing.to_string();
        let rest = self.why.strip_prefix(&*thing).and_then(|rest| rest.strip_prefix(": "));
        if let Some(why) = rest.map(str::to_owned) {
            (self.what, self.why) = (Some(thing), why);
        }
        self
    }

    /// The program was asked to leave before it was done.
    #[must_use]
    pub fn interrupted() -> Self {
        let why = "interrupted".to_owned();
        Self { exit: Exit::Interrupted, what: None, why, advice: None }
    }

    fn with(exit: Exit, thing: impl fmt::Display, reason: impl fmt::Display) -> Self {
        let (what, why) = (plain(&thing.to_string()), plain(&reason.to_string()));
        Self { exit, what: Some(what), why, advice: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// `text` without the numbers that the system's errors carry, "(os error 2)": they help nobody.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut parts = text.split(" (os error ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(
            part.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(')'),
        );
    }
    plain
}

/// `error` without the name of the temporary file or folder that it is about, which means nothing to anybody.
#[must_use]
pub fn unnamed(error: &io::Error) -> io::Error {
    let said = error.to_string();
    io::Error::new(error.kind(), said.split(" at path ").next().unwrap_or_default())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(what) = &self.what {
            write!(f, "{what}: ")?;
        }
        f.write_str(&self.why)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::{Exit, Failure};

    #[test]
    fn an_error_names_thing_reason_and_what_to_do() {
        let missing = std::io::Error::from_raw_os_error(2);
        let failure = Failure::start("a.torrent", &missing).advise("make one");
        assert_eq!(failure.exit, Exit::CouldNotStart);
        assert_eq!(failure.to_string(), "a.torrent: No such file or directory\n  make one");
        let twice = Failure::of(format!("{missing}; and {missing}!"));
        assert_eq!(twice.to_string(), "No such file or directory; and No such file or directory!");
        let split = Failure::of("a: b: c").about("a: b");
        assert_eq!((split.to_string().as_str(), split.what.as_deref()), ("a: b: c", Some("a: b")));
        assert_eq!(Failure::of("a: b").about("c").what, None);
    }
}
