use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// A [`Decimal`] counts units of 1/SCALE.
pub const SCALE: i64 = 1_000_000_000;

/// A number with at most nine decimal places, exact; a string in JSON. Range ±9·10^9.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Decimal(i64);

/// Why a text is no [`Decimal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not of the form `-12.5`.
    #[error("`{0}` is not a decimal number such as 0.00095")]
    Syntax(String),
    /// More places than nine.
    #[error("`{0}` has more than nine decimal places")]
    Places(String),
    /// Too large.
    #[error("`{0}` is too large")]
    Range(String),
}

impl Decimal {
    /// From units of 1/[`SCALE`].
    pub const fn from_raw(units: i64) -> Self {
        Self(units)
    }

    /// In units of 1/[`SCALE`].
    pub const fn raw(self) -> i64 {
        self.0
    }

    /// The nearest floating-point number.
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole)
            || !is_number(fraction)
            || (whole.is_empty() && fraction.is_empty())
            || text.len() > 40
        {
            return Err(DecimalError::Syntax(text.chars().take(40).collect()));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 {
            return Err(DecimalError::Places(text.into()));
        }
        let units =
            format!("0{whole}{fraction:0<9}").parse::<i64>().map_err(|_| DecimalError::Range(text.into()))?;
        Ok(Self(if negative { -units } else { units }))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let (whole, fraction) = (units / SCALE as u64, units % SCALE as u64);
        if fraction == 0 {
            return write!(f, "{sign}{whole}");
        }
        let fraction = format!("{fraction:09}");
        write!(f, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_and_prints_the_canonical_form() {
        for (text, units, printed) in [
            ("0.00095", 950_000, "0.00095"),
            ("1", SCALE, "1"),
            ("-2.50", -5 * SCALE / 2, "-2.5"),
            (".5", SCALE / 2, "0.5"),
            ("3.", 3 * SCALE, "3"),
        ] {
            let d: Decimal = text.parse().unwrap();
            assert_eq!((d.raw(), d.to_string().as_str()), (units, printed));
        }
    }

    #[test]
    fn refuses_what_is_not_exact() {
        for text in ["", "-", ".", "1e-3", "1,5", "+1", "--1", "0.0000000001", "99999999999", "１"] {
            assert!(text.parse::<Decimal>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(units in any::<i64>().prop_filter("i64::MIN has no positive twin", |u| *u != i64::MIN)) {
            let d = Decimal::from_raw(units);
            prop_assert_eq!(d.to_string().parse::<Decimal>().unwrap(), d);
        }
    }
}
