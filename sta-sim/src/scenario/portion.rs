//! In how many of many runs something must hold: `"90% of runs"`, `"all but 2 runs"`.
//!
//! Runs are counted, and nothing is estimated: half of the runs are within a limit if their median is. Of so few that none of
//! them may miss it, it would say no more than that all of them must hold, and nothing is said.

use std::fmt;

use serde::{Serialize, Serializer};

use super::text::TextError;
use super::units::{self, Ppm};
use crate::checks::Held;

const FORMS: &str = "\"90% of runs\" or \"all but 2 runs\"";

/// In how many runs of a sweep something must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portion {
    /// In this share of them.
    Share(Ppm),
    /// In all but so many.
    AllBut(u64),
}

/// In how many runs something held, did not, and was not put to the test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How many there were.
    pub runs: u64,
    /// In so many it held.
    #[serde(rename = "held_in")]
    pub held: u64,
    /// The seeds of those in which it did not.
    #[serde(rename = "missed_with")]
    pub missed: Vec<u64>,
}

impl Portion {
    /// What `text` says.
    ///
    /// # Errors
    /// If it says no such thing, or what every run has to hold or none.
    pub fn read(text: &str) -> Result<Self, TextError> {
        let form =
            || TextError::Form { text: text.to_owned(), what: "a part of the runs", forms: FORMS };
        let what = text.strip_suffix(" runs").ok_or_else(form)?;
        if let Some(number) = what.strip_prefix("all but ") {
            return match number.parse().map_err(|_| form())? {
                0 => Err(TextError::Value("without this key it must hold in every run".to_owned())),
                runs => Ok(Self::AllBut(runs)),
            };
        }
        match units::share(what.strip_suffix(" of").ok_or_else(form)?)? {
            Ppm(0) => Err(TextError::Value("it holds in 0% of any runs; write more".to_owned())),
            Ppm(1_000_000) => {
                Err(TextError::Value("without this key it must hold in every run".to_owned()))
            }
            share => Ok(Self::Share(share)),
        }
    }

    /// In how many of so many runs it need not hold.
    #[must_use]
    pub const fn may_miss(self, runs: u64) -> u64 {
        match self {
            Self::Share(share) => Ppm(1_000_000 - share.0).of(runs),
            Self::AllBut(misses) => misses,
        }
    }

    /// The fewest runs of which it says something: one of them may miss it, and one may not.
    #[must_use]
    pub const fn least_runs(self) -> u64 {
        match self {
            Self::Share(share) => {
                let least = 1_000_000_u64.div_ceil(1_000_000 - share.0 as u64);
                if least < 2 { 2 } else { least }
            }
            Self::AllBut(misses) => misses.saturating_add(1),
        }
    }

    /// Whether it held, where what was asked came to this.
    #[must_use]
    pub fn judge(self, count: &Count) -> Held {
        let (may_miss, missed) = (self.may_miss(count.runs), count.missed.len() as u64);
        let unasked = count.runs - count.held - missed;
        if count.runs < self.least_runs() {
            let least = self.least_runs();
            return Held::Unasked(format!("it takes {least} runs at least to say so"));
        }
        if missed > may_miss {
            return Held::No;
        }
        if missed + unasked > may_miss {
            return Held::Unasked(format!("{unasked} runs did not put it to the test"));
        }
        Held::Yes
    }
}

impl Count {
    /// Adds what the run of `seed` said.
    pub fn add(&mut self, held: &Held, seed: u64) {
        self.runs += 1;
        match held {
            Held::Yes => self.held += 1,
            Held::No => self.missed.push(seed),
            Held::Unasked(_) => {}
        }
    }
}

impl fmt::Display for Portion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{share} of runs"),
            Self::AllBut(misses) => write!(f, "all but {misses} runs"),
        }
    }
}

impl Serialize for Portion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Portion};
    use crate::checks::Held;

    fn portion(text: &str) -> Portion {
        Portion::read(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        for text in ["90% of runs", "0.5% of runs", "all but 1 runs", "all but 20 runs"] {
            assert_eq!(portion(text).to_string(), text);
        }
        for text in ["90%", "9 runs", "all but two runs", "all but 0 runs", "0% of runs"] {
            Portion::read(text).expect_err(text);
        }
        Portion::read("100% of runs").expect_err("that is every run");
    }

    #[test]
    fn runs_are_counted_and_of_too_few_nothing_is_said() {
        let judged = |text: &str, held: u64, missed: u64, unasked: u64| {
            let count =
                Count { runs: held + missed + unasked, held, missed: (0..missed).collect() };
            match portion(text).judge(&count) {
                Held::Yes => "held".to_owned(),
                Held::No => "missed".to_owned(),
                Held::Unasked(why) => why,
            }
        };
        let few = |least: u64| format!("it takes {least} runs at least to say so");
        assert_eq!(judged("90% of runs", 9, 0, 0), few(10));
        assert_eq!(judged("90% of runs", 9, 1, 0), "held");
        assert_eq!(judged("90% of runs", 18, 2, 0), "held");
        assert_eq!(judged("90% of runs", 17, 2, 0), "missed", "one of 19 may miss it");
        assert_eq!(judged("90% of runs", 9, 0, 1), "held", "whatever that one would have said");
        assert_eq!(judged("90% of runs", 8, 1, 1), "1 runs did not put it to the test");
        assert_eq!(judged("50% of runs", 1, 0, 0), few(2));
        assert_eq!(judged("50% of runs", 2, 2, 0), "held");
        assert_eq!(judged("50% of runs", 2, 3, 0), "missed");
        assert_eq!(judged("10% of runs", 1, 0, 0), few(2), "one run says nothing of others");
        assert_eq!(judged("99.9% of runs", 999, 0, 0), few(1_000));
        assert_eq!(judged("all but 2 runs", 2, 0, 0), few(3));
        assert_eq!(judged("all but 2 runs", 1, 2, 0), "held");
        assert_eq!(judged("all but 2 runs", 7, 3, 0), "missed");
        assert_eq!(judged("all but 2 runs", 0, 2, 1), "1 runs did not put it to the test");
    }
}
