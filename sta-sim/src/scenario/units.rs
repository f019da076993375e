//! Quantities as text with a unit, and as exact integers.
//!
//! A number without a unit is refused, and so is a quantity that is not a whole number of nanoseconds or bytes.

use std::fmt;

use serde::Serialize;

/// Nanoseconds, bytes, bytes per second or parts per million above this are a mistake: 292 years, or 8 EiB.
const MOST: u128 = i64::MAX as u128;

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A number, and nothing else.
    #[error("{text:?} has no unit; write {example}")]
    NoUnit {
        /// What was given.
        text: String,
        /// What to write, for instance.
        example: &'static str,
    },
    /// A unit of another kind of quantity, or none at all.
    #[error("{unit:?} is not a unit of {what}; the units are {units}")]
    Unit {
        /// What was given.
        unit: String,
        /// The kind of quantity.
        what: &'static str,
        /// The units it takes.
        units: String,
    },
    /// No number where one belongs.
    #[error("{text:?} is not {what}; write {example}")]
    Number {
        /// What was given.
        text: String,
        /// The kind of quantity.
        what: &'static str,
        /// What to write, for instance.
        example: &'static str,
    },
    /// Too fine, too large or too small.
    #[error("{text:?} is {why}")]
    Range {
        /// What was given.
        text: String,
        /// The reason.
        why: &'static str,
    },
}

/// A kind of quantity.
struct Kind {
    what: &'static str,
    example: &'static str,
    /// Units, each as a numerator and a denominator of the smallest unit.
    units: &'static [(&'static str, u128, u128)],
    /// Whether several may follow each other, as in `1m30s`.
    compound: bool,
}

const DURATION: Kind = Kind {
    what: "a duration",
    example: "\"250ms\" or \"1m30s\"",
    units: &[
        ("ns", 1, 1),
        ("us", 1_000, 1),
        ("ms", 1_000_000, 1),
        ("s", 1_000_000_000, 1),
        ("m", 60_000_000_000, 1),
        ("h", 3_600_000_000_000, 1),
    ],
    compound: true,
};

const SIZE: Kind = Kind {
    what: "a size",
    example: "\"64 MiB\" or \"512 B\"",
    units: &[
        ("B", 1, 1),
        ("kB", 1_000, 1),
        ("KiB", 1 << 10, 1),
        ("MB", 1_000_000, 1),
        ("MiB", 1 << 20, 1),
        ("GB", 1_000_000_000, 1),
        ("GiB", 1 << 30, 1),
        ("TiB", 1 << 40, 1),
    ],
    compound: false,
};

const RATE: Kind = Kind {
    what: "a rate",
    example: "\"8 Mbit/s\" or \"1 MiB/s\"",
    units: &[
        ("bit/s", 1, 8),
        ("kbit/s", 125, 1),
        ("Mbit/s", 125_000, 1),
        ("Gbit/s", 125_000_000, 1),
        ("B/s", 1, 1),
        ("kB/s", 1_000, 1),
        ("KiB/s", 1 << 10, 1),
        ("MB/s", 1_000_000, 1),
        ("MiB/s", 1 << 20, 1),
        ("GB/s", 1_000_000_000, 1),
        ("GiB/s", 1 << 30, 1),
    ],
    compound: false,
};

const SHARE: Kind = Kind {
    what: "a share",
    example: "\"2%\" or \"0.5%\"",
    units: &[("%", 10_000, 1)],
    compound: false,
};

/// A share, in parts per million. `2%` is 20,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Ppm(pub u32);

impl Ppm {
    /// All of it.
    pub const ALL: Self = Self(1_000_000);
    /// None of it.
    pub const NONE: Self = Self(0);

    /// This share of `whole`, rounded down.
    #[must_use]
    pub const fn of(self, whole: u64) -> u64 {
        (whole as u128 * self.0 as u128 / 1_000_000) as u64
    }
}

impl fmt::Display for Ppm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", show_decimal(self.0.into(), 10_000))
    }
}

/// Nanoseconds of a duration: `"250ms"`, `"1m30s"`, `"0.5s"`.
///
/// # Errors
/// If it is not one.
pub fn duration(text: &str) -> Result<u64, UnitError> {
    DURATION.parse(text)
}

/// Bytes of a size: `"64 MiB"`, `"10 MB"`.
///
/// # Errors
/// If it is not one.
pub fn size(text: &str) -> Result<u64, UnitError> {
    SIZE.parse(text)
}

/// Bytes per second of a rate: `"8 Mbit/s"` is 1,000,000.
///
/// # Errors
/// If it is not one.
pub fn rate(text: &str) -> Result<u64, UnitError> {
    RATE.parse(text)
}

/// A share of at most 100 %: `"2%"`.
///
/// # Errors
/// If it is not one.
pub fn share(text: &str) -> Result<Ppm, UnitError> {
    match u32::try_from(SHARE.parse(text)?) {
        Ok(ppm) if ppm <= Ppm::ALL.0 => Ok(Ppm(ppm)),
        _ => Err(UnitError::Range { text: text.to_owned(), why: "more than 100%" }),
    }
}

/// A number without a unit, in parts per million: `1.25` is 1,250,000.
///
/// # Errors
/// If it is not one.
pub fn decimal(text: &str) -> Result<u64, UnitError> {
    const DECIMAL: Kind =
        Kind { what: "a number", example: "1.25", units: &[("", 1_000_000, 1)], compound: false };
    DECIMAL.parse(text)
}

impl Kind {
    fn parse(&self, text: &str) -> Result<u64, UnitError> {
        let number =
            || UnitError::Number { text: text.to_owned(), what: self.what, example: self.example };
        let out_of = |why| UnitError::Range { text: text.to_owned(), why };
        let (mut rest, mut sum) = (text.trim(), 0u128);
        if rest.is_empty() {
            return Err(number());
        }
        if rest.starts_with('-') {
            return Err(out_of("less than nothing"));
        }
        if rest.contains(',') {
            return Err(out_of("written with a comma; write a point"));
        }
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let (digits, after) = rest.split_at(end);
            let (value, scale) = match read_decimal(digits) {
                Some(Ok(read)) => read,
                Some(Err(why)) => return Err(out_of(why)),
                None => return Err(number()),
            };
            let after = after.trim_start();
            let end = match self.compound {
                true => after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()),
                false => after.len(),
            };
            let (unit, after) = after.split_at(end);
            let (up, down) = self.unit(unit.trim_end(), text)?;
            let scaled = value.checked_mul(up).ok_or_else(|| out_of("too large"))?;
            if scaled % (scale * down) != 0 {
                return Err(out_of("finer than the smallest unit"));
            }
            sum = sum.saturating_add(scaled / (scale * down));
            rest = after;
        }
        if sum > MOST { Err(out_of("too large")) } else { Ok(sum as u64) }
    }

    fn unit(&self, unit: &str, text: &str) -> Result<(u128, u128), UnitError> {
        let known = self.units.iter().find(|(name, ..)| *name == unit);
        match known {
            Some((_, up, down)) => Ok((*up, *down)),
            None if unit.is_empty() => {
                Err(UnitError::NoUnit { text: text.to_owned(), example: self.example })
            }
            None => {
                let names: Vec<&str> = self.units.iter().map(|(name, ..)| *name).collect();
                Err(UnitError::Unit {
                    unit: unit.to_owned(),
                    what: self.what,
                    units: names.join(", "),
                })
            }
        }
    }
}

/// `12.5` as 125 over 10; or why there are more than 18 digits, with which something could overflow. `None` if it is no
/// number.
fn read_decimal(digits: &str) -> Option<Result<(u128, u128), &'static str>> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || fraction.contains('.') || digits.ends_with('.') {
        return None;
    }
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.len() > 18 {
        return Some(Err("too large"));
    }
    if whole.len() + fraction.len() > 18 {
        return Some(Err("finer than can be told apart; write fewer digits"));
    }
    let digits = format!("0{whole}{fraction}");
    Some(Ok((digits.parse().ok()?, 10u128.pow(fraction.len() as u32))))
}

/// `nanos` as text that [`duration`] reads back: in the largest unit up to seconds that it fills.
#[must_use]
pub fn show_duration(nanos: u64) -> String {
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000), ("ns", 1)];
    let (name, one) = units.into_iter().find(|(_, one)| nanos >= *one).unwrap_or(("s", 1));
    format!("{}{name}", show_decimal(nanos, one))
}

/// `bytes` as text that [`size`] reads back: in the largest binary unit that needs no more than three decimals.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let fits = |one: u64| bytes >= one && (u128::from(bytes) * 1_000).is_multiple_of(one.into());
    let (name, one) = units.into_iter().find(|(_, one)| fits(*one)).unwrap_or(("B", 1));
    format!("{} {name}", show_decimal(bytes, one))
}

/// Bytes per second as text that [`rate`] reads back.
#[must_use]
pub fn show_rate(bytes_per_s: u64) -> String {
    let bits: &[(&str, u64)] = &[("Gbit/s", 125_000_000), ("Mbit/s", 125_000), ("kbit/s", 125)];
    for (unit, one) in bits {
        if bytes_per_s >= *one && (bytes_per_s % one).is_multiple_of((one / 5).max(1)) {
            return format!("{} {unit}", show_decimal(bytes_per_s, *one));
        }
    }
    format!("{bytes_per_s} B/s")
}

/// `value / one` without trailing zeros; exact if `one` divides a power of ten times `value`, else cut off.
fn show_decimal(value: u64, one: u64) -> String {
    let mut text = (value / one).to_string();
    let mut rest = u128::from(value % one);
    if rest > 0 {
        text.push('.');
    }
    for _ in 0..9 {
        if rest == 0 {
            break;
        }
        rest *= 10;
        text.push(char::from(b'0' + (rest / u128::from(one)) as u8));
        rest %= u128::from(one);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Ppm, UnitError, decimal, duration, rate, share, size};
    use super::{show_duration, show_rate, show_size};

    #[test]
    fn quantities_are_read_exactly() {
        for (text, nanos) in [
            ("250ms", 250_000_000),
            ("1m30s", 90_000_000_000),
            ("1 m 30 s", 90_000_000_000),
            ("0.5us", 500),
            ("0s", 0),
            ("1h", 3_600_000_000_000),
            ("1.00000000000000000000s", 1_000_000_000),
            ("00000000000000000000001s", 1_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(nanos), "{text}");
        }
        for (text, bytes) in [("64 MiB", 64 << 20), ("1.5KiB", 1_536), ("10 MB", 10_000_000)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for (text, per_s) in [("8 Mbit/s", 1_000_000), ("1 MiB/s", 1 << 20), ("8 bit/s", 1)] {
            assert_eq!(rate(text), Ok(per_s), "{text}");
        }
        for (text, ppm) in [("2%", 20_000), ("0.0001%", 1), ("100%", 1_000_000)] {
            assert_eq!(share(text), Ok(Ppm(ppm)), "{text}");
        }
        assert_eq!(decimal("1.25"), Ok(1_250_000));
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_what_to_write() {
        let said = |result: Result<u64, UnitError>| result.expect_err("refused").to_string();
        for (got, expected) in [
            (said(duration("250")), "\"250\" has no unit; write \"250ms\" or \"1m30s\""),
            (said(duration("")), "\"\" is not a duration; write \"250ms\" or \"1m30s\""),
            (said(duration("-1s")), "\"-1s\" is less than nothing"),
            (said(duration("1.s")), "\"1.s\" is not a duration; write \"250ms\" or \"1m30s\""),
            (said(duration("0.1ns")), "\"0.1ns\" is finer than the smallest unit"),
            (said(duration("999999999h")), "\"999999999h\" is too large"),
            (said(size("99999999999999999999 B")), "\"99999999999999999999 B\" is too large"),
            (
                said(size("1.99999999999999999999 B")),
                "\"1.99999999999999999999 B\" is finer than can be told apart",
            ),
            (said(share("101%").map(|p| p.0.into())), "\"101%\" is more than 100%"),
            (said(rate("1 bit/s")), "\"1 bit/s\" is finer than the smallest unit"),
            (said(rate("8 Mbit")), "\"Mbit\" is not a unit of a rate"),
            (said(size("8 mb")), "\"mb\" is not a unit of a size"),
        ] {
            assert!(got.starts_with(expected), "{got}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(x in 0u64..1 << 50) {
            prop_assert_eq!(duration(&show_duration(x)), Ok(x));
            prop_assert_eq!(size(&show_size(x)), Ok(x));
            prop_assert_eq!(rate(&show_rate(x)), Ok(x));
            let ppm = Ppm((x % 1_000_001) as u32);
            prop_assert_eq!(share(&ppm.to_string()), Ok(ppm));
        }

        #[test]
        fn no_text_panics(text in "[0-9a-zA-Z./% -]{0,24}") {
            let _ = (duration(&text), size(&text), rate(&text), share(&text), decimal(&text));
        }
    }
}
