//! Quantities as people write them: `256 KiB`, `90s`, `auto`. A bare number is refused where a unit belongs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time, written with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A value, or `auto`: the program chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice<T> {
    /// The program chooses.
    Auto,
    /// The person has chosen.
    Set(T),
}

/// Bytes per second, or unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Option<u64>);

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a number of bytes with its unit.
    #[error(
        "{0:?} is not a size; write a number and a unit, for example \"256 KiB\" or \"16 MiB\""
    )]
    Size(String),
    /// Not a rate with its unit.
    #[error(
        "{0:?} is not a rate; write a size per second, for example \"10 MiB/s\", or \"unlimited\""
    )]
    Rate(String),
    /// Not a length of time with its unit.
    #[error(
        "{0:?} is not a duration; write a number and a unit, for example \"90s\" or \"1h 30m\""
    )]
    Span(String),
}

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let refused = || UnitError::Size(text.to_owned());
        if !text.trim_end().ends_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(refused());
        }
        text.parse::<ByteSize>().map(|size| Self(size.as_u64())).map_err(|_| refused())
    }
}

impl fmt::Display for Size {
    /// Exact, so that what is printed can be read again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        let whole = |&(unit, _): &(u64, &str)| self.0 >= unit && self.0.is_multiple_of(unit);
        let (unit, name) = units.into_iter().find(whole).unwrap_or((1, "B"));
        write!(f, "{} {name}", self.0 / unit)
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        if text == "unlimited" {
            return Ok(Self(None));
        }
        let size = text.strip_suffix("/s").and_then(|size| size.parse().ok());
        let size = size.filter(|Size(bytes)| *bytes > 0);
        size.map(|Size(bytes)| Self(Some(bytes))).ok_or_else(|| UnitError::Rate(text.to_owned()))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("unlimited"),
            Some(bytes) => write!(f, "{}/s", Size(bytes)),
        }
    }
}

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        humantime::parse_duration(text).map(Self).map_err(|_| UnitError::Span(text.to_owned()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<T: FromStr> FromStr for Choice<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Set) }
    }
}

impl<T: fmt::Display> fmt::Display for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Set(value) => value.fmt(f),
        }
    }
}

impl<T> Choice<T> {
    /// What the person has chosen, if anything.
    pub fn chosen(self) -> Option<T> {
        match self {
            Self::Auto => None,
            Self::Set(value) => Some(value),
        }
    }
}

macro_rules! as_text {
    ($($generic:ident)?, $name:ty) => {
        impl$(<$generic: fmt::Display>)? Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de, $($generic: FromStr<Err: fmt::Display>)?> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

as_text!(, Size);
as_text!(, Span);
as_text!(, Rate);
as_text!(T, Choice<T>);

/// `bytes` for a person, rounded: `1.4 GiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}

/// `rate` bytes per second, for a person: `1.4 MiB/s`.
#[must_use]
pub fn rate(rate: u64) -> String {
    format!("{}/s", bytes(rate))
}

/// `time` for a person: to a tenth of a second below a minute, whole seconds from there.
#[must_use]
pub fn time(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        humantime::format_duration(Duration::from_secs(time.as_secs())).to_string()
    }
}

/// `part` of `whole` in percent, rounded down, so that 100 % means all of it.
#[must_use]
pub fn percent(part: u64, whole: u64) -> u64 {
    u128::from(part).saturating_mul(100).checked_div(whole.into()).map_or(100, |p| p as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Choice, Rate, Size, Span, percent, time};

    #[test]
    fn sizes_are_read_and_printed_exactly() {
        let table = [
            ("256 KiB", 256 << 10, "256 KiB"),
            ("256KiB", 256 << 10, "256 KiB"),
            ("16 MiB", 16 << 20, "16 MiB"),
            ("1.5 MiB", 1536 << 10, "1536 KiB"),
            ("1 MB", 1_000_000, "1000000 B"),
            ("0 B", 0, "0 B"),
        ];
        for (text, bytes, shown) in table {
            let size: Size = text.parse().expect(text);
            assert_eq!((size.0, size.to_string().as_str()), (bytes, shown), "{text}");
            assert_eq!(shown.parse(), Ok(size), "{text} printed can be read again");
        }
        for text in ["", "256", "KiB", "-1 KiB", "256 parsecs", "1 2 KiB"] {
            assert!(text.parse::<Size>().is_err(), "{text:?} is no size");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!("90s".parse(), Ok(Span(Duration::from_secs(90))));
        assert_eq!("1h 30m".parse(), Ok(Span(Duration::from_secs(5400))));
        for text in ["", "90", "-1s", "90 parsecs"] {
            assert!(text.parse::<Span>().is_err(), "{text:?} is no duration");
        }
    }

    #[test]
    fn rates_are_sizes_per_second() {
        for (text, rate) in [("unlimited", None), ("10 MiB/s", Some(10 << 20)), ("1 B/s", Some(1))]
        {
            assert_eq!(text.parse(), Ok(Rate(rate)));
            assert_eq!(Rate(rate).to_string(), text);
        }
        for text in ["", "10", "10 MiB", "0 B/s", "10/s", "fast"] {
            assert!(text.parse::<Rate>().is_err(), "{text:?} is no rate");
        }
    }

    #[test]
    fn auto_is_a_choice() {
        assert_eq!("auto".parse(), Ok(Choice::<Size>::Auto));
        assert_eq!("1 KiB".parse(), Ok(Choice::Set(Size(1024))));
        assert_eq!(Choice::Set(Size(1024)).to_string(), "1 KiB");
    }

    #[test]
    fn figures_for_people() {
        assert_eq!((percent(0, 0), percent(999, 1000), percent(1000, 1000)), (100, 99, 100));
        assert_eq!(time(Duration::from_millis(4_250)), "4.2 s");
        assert_eq!(time(Duration::from_millis(90_900)), "1m 30s");
    }
}
