//! The short texts of a file that say more than a quantity: distributions, joins, leaves, behaviours, seeds.

use std::ops::Range;
use std::time::Duration;

use sta_core::model::bitfield::PieceRange;
use sta_core::model::time::Time;

use super::dist::Dist;
use super::plan::{Behaviour, LeavePlan};
use super::units::{self, Ppm, UnitError};

/// Why a text does not say what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// A quantity in it is none.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// It has another form.
    #[error("{text:?} is not {what}; write {forms}")]
    Form {
        /// What was given.
        text: String,
        /// What it should be.
        what: &'static str,
        /// What to write.
        forms: &'static str,
    },
    /// A quantity that is not allowed here.
    #[error("{0}")]
    Value(String),
}

/// How a distribution's quantities are read.
pub type Quantity = fn(&str) -> Result<u64, UnitError>;

/// Most seeds that one file or command asks for: a day of the fastest world.
pub const SEEDS_MAX: u64 = 100_000_000;

const DURATIONS: &str = "\"10ms\", \"uniform 1ms to 5ms\", \"exp 6s max 30s\", \"lognormal 30ms p99 180ms\" or \"bimodal 10ms or 200ms in 5%\"";

const RATES: &str = "\"20 Mbit/s\", \"uniform 10 Mbit/s to 50 Mbit/s\", \"exp 20 Mbit/s max 100 Mbit/s\", \"lognormal 20 Mbit/s p99 100 Mbit/s\" or \"bimodal 100 Mbit/s or 2 Mbit/s in 20%\"";

/// A distribution of durations or rates.
///
/// # Errors
/// If the text is none.
pub fn dist(text: &str, quantity: Quantity) -> Result<Dist, TextError> {
    let form = || {
        // What it is of is known by what is read.
        let (what, forms) = match quantity("1s").is_ok() {
            true => ("a distribution of durations", DURATIONS),
            false => ("a distribution of rates", RATES),
        };
        TextError::Form { text: text.to_owned(), what, forms }
    };
    let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    match word {
        "uniform" => {
            let (min, max) = rest.split_once(" to ").ok_or_else(form)?;
            let (min, max) = (quantity(min)?, quantity(max)?);
            ascending(min, max, text)?;
            Ok(Dist::Uniform { min, max })
        }
        "exp" => {
            let (mean, max) = match rest.split_once(" max ") {
                Some((mean, max)) => (quantity(mean)?, quantity(max)?),
                None => quantity(rest).map(|mean| (mean, mean.saturating_mul(10)))?,
            };
            ascending(mean, max, text)?;
            Ok(Dist::Exp { mean, max })
        }
        "lognormal" => {
            let (median, p99) = rest.split_once(" p99 ").ok_or_else(form)?;
            let (median, p99) = (quantity(median)?, quantity(p99)?);
            ascending(median, p99, text)?;
            Ok(Dist::Lognormal { median, p99 })
        }
        "bimodal" => {
            let (fast, rest) = rest.split_once(" or ").ok_or_else(form)?;
            let (slow, chance) = rest.split_once(" in ").ok_or_else(form)?;
            let chance = units::share(chance)?.0;
            Ok(Dist::Bimodal { fast: quantity(fast)?, slow: quantity(slow)?, chance })
        }
        letters if letters.starts_with(|c: char| c.is_ascii_alphabetic()) => Err(form()),
        _ => Ok(Dist::Const { value: quantity(text)? }),
    }
}

fn ascending(low: u64, high: u64, text: &str) -> Result<(), TextError> {
    if low <= high {
        Ok(())
    } else {
        Err(TextError::Value(format!("in {text:?} the second quantity is below the first")))
    }
}

/// `dist` as text that [`dist`] reads back.
#[must_use]
pub fn show_dist(dist: &Dist, show: fn(u64) -> String) -> String {
    match *dist {
        Dist::Const { value } => show(value),
        Dist::Uniform { min, max } => format!("uniform {} to {}", show(min), show(max)),
        Dist::Exp { mean, max } => format!("exp {} max {}", show(mean), show(max)),
        Dist::Lognormal { median, p99 } => format!("lognormal {} p99 {}", show(median), show(p99)),
        Dist::Bimodal { fast, slow, chance } => {
            format!("bimodal {} or {} in {}", show(fast), show(slow), Ppm(chance))
        }
    }
}

/// When the hosts of a group start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Join {
    /// The first.
    pub first: u64,
    /// The wait from one to the next.
    pub wait: Dist,
}

/// `"3s"`, `"every 500ms from 3s"` or `"about every 2s from 3s"`.
///
/// # Errors
/// If the text says no such thing.
pub fn join(text: &str) -> Result<Join, TextError> {
    let (about, rest) = match text.strip_prefix("about ") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let Some(rest) = rest.strip_prefix("every ") else {
        let form = || TextError::Form {
            text: text.to_owned(),
            what: "a moment to join",
            forms: "\"3s\", \"every 500ms\", \"every 500ms from 3s\" or \"about every 2s from 3s\"",
        };
        if text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(form());
        }
        return Ok(Join { first: units::duration(text)?, wait: Dist::ZERO });
    };
    let (wait, first) = match rest.split_once(" from ") {
        Some((wait, from)) => (units::duration(wait)?, units::duration(from)?),
        None => (units::duration(rest)?, 0),
    };
    let exp = Dist::Exp { mean: wait, max: wait.saturating_mul(10) };
    Ok(Join { first, wait: if about { exp } else { Dist::Const { value: wait } } })
}

/// `"stay"`, `"on-complete"`, `"20s after complete"` or `"at 30s"`.
///
/// # Errors
/// If the text says no such thing.
pub fn leave(text: &str) -> Result<LeavePlan, TextError> {
    if let Some(at) = text.strip_prefix("at ") {
        return Ok(LeavePlan::At(Time::from_nanos(units::duration(at)?)));
    }
    if let Some(after) = text.strip_suffix(" after complete") {
        return Ok(LeavePlan::AfterComplete(Duration::from_nanos(units::duration(after)?)));
    }
    match text {
        "stay" => Ok(LeavePlan::Stay),
        "on-complete" => Ok(LeavePlan::AfterComplete(Duration::ZERO)),
        _ => Err(TextError::Form {
            text: text.to_owned(),
            what: "a way to leave",
            forms: "\"stay\", \"on-complete\", \"20s after complete\" or \"at 30s\"",
        }),
    }
}

/// `"honest"`, `"corrupt 3%"`, `"liar 50%"`, `"free-rider"`, `"slowloris 1 KiB/s"` or `"churner on 10s off 5s"`.
///
/// # Errors
/// If the text says no such thing.
pub fn behaviour(text: &str) -> Result<Behaviour, TextError> {
    let form = || TextError::Form {
        text: text.to_owned(),
        what: "a behaviour",
        forms: "\"honest\", \"corrupt 3%\", \"liar 50%\", \"free-rider\", \"slowloris 1 KiB/s\" or \"churner on 10s off 5s\"",
    };
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match (word, rest) {
        ("honest", "") => Ok(Behaviour::Honest),
        ("free-rider", "") => Ok(Behaviour::FreeRider),
        (_, "") => Err(form()),
        ("corrupt", share) => Ok(Behaviour::Corrupt(units::share(share)?)),
        ("liar", share) => Ok(Behaviour::Liar(units::share(share)?)),
        ("slowloris", rate) => match units::rate(rate)? {
            0 => Err(TextError::Value("a slowloris that sends nothing is a free-rider".to_owned())),
            rate => Ok(Behaviour::Slowloris(rate)),
        },
        ("churner", rest) => {
            let rest = rest.strip_prefix("on ").ok_or_else(form)?;
            let (on, off) = rest.split_once(" off ").ok_or_else(form)?;
            let (on, off) = (dist(on, units::duration)?, dist(off, units::duration)?);
            if [on, off].contains(&Dist::ZERO) {
                let why = "a churner is there for a while, and away for a while";
                return Err(TextError::Value(why.to_owned()));
            }
            Ok(Behaviour::Churner { on, off })
        }
        _ => Err(form()),
    }
}

/// `behaviour` as text that [`behaviour`] reads back.
#[must_use]
pub fn show_behaviour(behaviour: Behaviour) -> String {
    let duration = |dist: &Dist| show_dist(dist, units::show_duration);
    match behaviour {
        Behaviour::Honest => "honest".to_owned(),
        Behaviour::Corrupt(share) => format!("corrupt {share}"),
        Behaviour::Liar(share) => format!("liar {share}"),
        Behaviour::FreeRider => "free-rider".to_owned(),
        Behaviour::Slowloris(rate) => format!("slowloris {}", units::show_rate(rate)),
        Behaviour::Churner { on, off } => {
            format!("churner on {} off {}", duration(&on), duration(&off))
        }
    }
}

/// `"0..8"`, without the last one, or `"3"`.
///
/// # Errors
/// If the text is no range, or an empty one.
pub fn pieces(text: &str) -> Result<PieceRange, TextError> {
    let form = || TextError::Form {
        text: text.to_owned(),
        what: "a range of pieces",
        forms: "\"0..8\" or \"3\"",
    };
    let number = |text: &str| text.trim().parse::<u32>().map_err(|_| form());
    let (from, to) = match text.split_once("..") {
        Some((from, to)) => (number(from)?, number(to)?),
        None => (number(text)?, number(text)?.checked_add(1).ok_or_else(form)?),
    };
    if from >= to {
        return Err(TextError::Value(format!("the range of pieces {text:?} is empty")));
    }
    Ok(PieceRange(from, to - 1))
}

/// `"0..200"` or `"7"`.
///
/// # Errors
/// If the text is no range, an empty one, or one that nobody would wait for.
pub fn seeds(text: &str) -> Result<Range<u64>, TextError> {
    let form = || TextError::Form {
        text: text.to_owned(),
        what: "a range of seeds",
        forms: "\"0..200\" or \"7\"",
    };
    let number = |text: &str| {
        let digits = text.trim();
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
        let too_large =
            || TextError::Value(format!("{digits} is too large: {} is the last seed", u64::MAX));
        digits.parse::<u64>().map_err(|_| if is_number { too_large() } else { form() })
    };
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => {
            let seed = number(text)?;
            seed..seed.checked_add(1).ok_or_else(form)?
        }
    };
    match range.end.checked_sub(range.start) {
        None | Some(0) => Err(TextError::Value(format!("the range of seeds {text:?} is empty"))),
        Some(count) if count > SEEDS_MAX => {
            Err(TextError::Value(format!("{text:?} are more than {SEEDS_MAX} seeds")))
        }
        Some(_) => Ok(range),
    }
}

/// A number followed by what it counts: `amount("1.25 bounds", "bounds")` is 1,250,000 millionths.
///
/// # Errors
/// If it counts something else.
pub fn amount(text: &str, of: &'static str, example: &'static str) -> Result<u64, TextError> {
    let number = text.trim().strip_suffix(of).ok_or_else(|| TextError::Form {
        text: text.to_owned(),
        what: "an amount for this check",
        forms: example,
    })?;
    Ok(units::decimal(number)?)
}

#[cfg(test)]
mod tests {
    use super::{
        Quantity, TextError, behaviour, dist, join, leave, seeds, show_behaviour, show_dist,
    };
    use crate::scenario::units;

    #[test]
    fn every_form_comes_back_as_it_was_written() {
        for text in [
            "10ms",
            "uniform 1ms to 5ms",
            "exp 6s max 30s",
            "lognormal 30ms p99 180ms",
            "bimodal 10ms or 200ms in 5%",
        ] {
            let read = dist(text, units::duration).expect(text);
            assert_eq!(show_dist(&read, units::show_duration), text);
        }
        for text in [
            "honest",
            "corrupt 3%",
            "liar 50%",
            "free-rider",
            "slowloris 8 kbit/s",
            "churner on exp 10s max 100s off 5s",
        ] {
            assert_eq!(show_behaviour(behaviour(text).expect(text)), text);
        }
    }

    #[test]
    fn what_is_no_distribution_is_answered_in_its_own_units() {
        for (quantity, unit) in [(units::duration as Quantity, "ms"), (units::rate, "Mbit/s")] {
            let error = dist("fast", quantity).expect_err("no number").to_string();
            let forms: Vec<&str> = error.split('"').skip(3).step_by(2).collect();
            assert!(forms[0].ends_with(unit), "{error}");
            for form in &forms {
                dist(form, quantity).unwrap_or_else(|why| panic!("{form}: {why}"));
            }
            assert_eq!(forms.len(), 5, "{error}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for refused in [
            dist("normal 5ms", units::duration).map(drop),
            dist("uniform 5ms to 1ms", units::duration).map(drop),
            dist("uniform 5ms", units::duration).map(drop),
            dist("exp 5", units::duration).map(drop),
            join("every now and then").map(drop),
            leave("never").map(drop),
            behaviour("corrupt").map(drop),
            behaviour("churner off 5s").map(drop),
            behaviour("slowloris 0 B/s").map(drop),
            seeds("5..5").map(drop),
            seeds("9..5").map(drop),
            seeds("0..18446744073709551615").map(drop),
            seeds("18446744073709551615").map(drop),
            seeds("some").map(drop),
        ] {
            let error: TextError = refused.expect_err("refused");
            assert!(error.to_string().len() > 20, "{error}");
        }
    }
}
