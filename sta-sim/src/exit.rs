//! How `sta-sim` ends.

use std::process::ExitCode;

/// The exit codes of `sta-sim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// Everything that was asked held.
    Done = 0,
    /// It ran, and something that was asked did not hold.
    Failed = 1,
    /// It could not start: arguments, a scenario, a capsule.
    CouldNotStart = 2,
    /// Safe but not live: nothing bad happened, and somebody did not finish.
    NotLive = 3,
    /// One seed, two different runs.
    Diverged = 4,
    /// Interrupted by Ctrl-C. What was found until then is printed.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// How the program ends after two runs that end so. Failed is worse than not live, though its number is smaller.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        let badness = |exit: &Self| match exit {
            Self::Done => 0,
            Self::NotLive => 1,
            Self::Failed => 2,
            Self::Diverged => 3,
            Self::CouldNotStart => 4,
            Self::Interrupted => 5,
        };
        std::cmp::max_by_key(self, other, badness)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn safety_is_worse_than_liveness() {
        assert_eq!(Exit::NotLive.worse(Exit::Failed), Exit::Failed);
        assert_eq!(Exit::NotLive.worse(Exit::Done), Exit::NotLive);
    }
}
