//! Scaling of the columns, fitted on the training rows by each participant alone.
//!
//! What is fitted does not depend on the unit of measurement: sums are formed of values that a power of two has brought near 1.
//!
//! Every column is scaled by itself and in one order of operations, so that the result does not depend on who holds
//! which column. Gaps are filled with the column's mean over the training rows before anything else is fitted.

use crate::{
    float64::{exponent, times_power_of_two},
    table::Table,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

/// How columns are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// To mean 0 and population standard deviation 1 (as scikit-learn's StandardScaler).
    Std,
    /// To [−1, 1] by minimum and maximum; other rows may lie outside.
    Unit,
    /// As they are.
    None,
}

/// Scaled rows without gaps; lines and names are for errors. Debug output shows the size only.
#[derive(Clone, PartialEq)]
pub struct Scaled {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Line of the file of each row.
    pub lines: Vec<u64>,
    /// The values, a row for each line and a value for each column.
    pub rows: Vec<Vec<f64>>,
}

impl fmt::Debug for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scaled({} × {})", self.rows.len(), self.columns.len())
    }
}

/// Why columns cannot be scaled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScalingError {
    /// Nothing to fit on.
    #[error("column `{column}` has no value in any training row")]
    NoValue {
        /// Name of the column.
        column: String,
    },
    /// The deviation has less bits than a float has.
    #[error("column `{column}`: the values differ by less than 1e-307, too little to be scaled")]
    TooSmall {
        /// Name of the column.
        column: String,
    },
    /// The mean, as a float, is not exact enough for the deviation.
    #[error(
        "column `{column}`: the values differ by too little for their size (less than 1 in 10^11); take a common number off \
         the column"
    )]
    Offset {
        /// Name of the column.
        column: String,
    },
    /// Sums of all providers that are none of any values.
    #[error("column `{column}`: mean or deviation is no finite number")]
    NotFinite {
        /// Name of the column.
        column: String,
    },
    /// The table is not the one that the scaler is for.
    #[error("the model's columns are {expected}, the table has {found}")]
    Columns {
        /// Columns of the scaler.
        expected: String,
        /// Columns of the table.
        found: String,
    },
}

/// The fitted scaling of a participant's columns. The participant keeps it for predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaler {
    /// How the columns were scaled.
    pub scaling: Scaling,
    columns: Vec<Column>,
}

/// One column's scaling: x ↦ (x − centre)/divisor. Debug output shows its name only.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What a gap counts as.
    #[serde(with = "exact")]
    pub fill: f64,
    /// What is taken off.
    #[serde(with = "exact")]
    pub centre: f64,
    /// What the rest is divided by; positive.
    #[serde(serialize_with = "exact::serialize", deserialize_with = "divisor")]
    pub divisor: f64,
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Column({:?})", self.name)
    }
}

impl Scaler {
    /// Fits every column of the table on the rows with the given indices.
    ///
    /// # Errors
    /// [`ScalingError::NoValue`], [`ScalingError::TooSmall`], [`ScalingError::Offset`].
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn fit(table: &Table, rows: &[usize], scaling: Scaling) -> Result<Self, ScalingError> {
        let fit = |(index, name): (usize, &String)| {
            let cells: Vec<_> = rows.iter().map(|&row| table.rows[row].values[index]).collect();
            Column::fit(name, &cells, scaling)
        };
        Ok(Self { scaling, columns: table.columns.iter().enumerate().map(fit).collect::<Result<_, _>>()? })
    }

    /// From each column's name, mean and standard deviation, which a constant column has not: its scale stays as it is.
    ///
    /// # Errors
    /// [`ScalingError::TooSmall`], [`ScalingError::NotFinite`].
    pub fn standard(moments: Vec<(String, f64, Option<f64>)>) -> Result<Self, ScalingError> {
        let column = |(name, mean, deviation): (String, f64, Option<f64>)| {
            let divisor = deviation.unwrap_or(1.0);
            if !mean.is_finite() || !divisor.is_finite() {
                return Err(ScalingError::NotFinite { column: name });
            }
            Column { name, fill: mean, centre: mean, divisor }.checked()
        };
        Ok(Self {
            scaling: Scaling::Std,
            columns: moments.into_iter().map(column).collect::<Result<_, _>>()?,
        })
    }

    /// That leaves columns as they are.
    pub fn identity(columns: &[String]) -> Self {
        let column = |name: &String| Column { name: name.clone(), fill: 0.0, centre: 0.0, divisor: 1.0 };
        Self { scaling: Scaling::None, columns: columns.iter().map(column).collect() }
    }

    /// The columns with their scaling.
    pub fn fitted(&self) -> &[Column] {
        &self.columns
    }

    /// Names of the columns.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|c| c.name.as_str())
    }

    /// Scales the rows with the given indices and fills their gaps.
    ///
    /// # Errors
    /// [`ScalingError::Columns`] where the table's columns are not those that were fitted.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn apply(&self, table: &Table, rows: &[usize]) -> Result<Scaled, ScalingError> {
        if !self.columns().eq(table.columns.iter().map(String::as_str)) {
            let expected = self.columns().collect::<Vec<_>>().join(", ");
            return Err(ScalingError::Columns { expected, found: table.columns.join(", ") });
        }
        let scale = |row: &usize| -> Vec<f64> {
            table.rows[*row].values.iter().zip(&self.columns).map(|(v, column)| column.scale(*v)).collect()
        };
        Ok(Scaled {
            columns: table.columns.clone(),
            lines: rows.iter().map(|&row| table.rows[row].line).collect(),
            rows: rows.iter().map(scale).collect(),
        })
    }
}

impl Column {
    fn fit(name: &str, cells: &[Option<f64>], scaling: Scaling) -> Result<Self, ScalingError> {
        let present: Vec<f64> = cells.iter().flatten().copied().collect();
        if present.is_empty() {
            return Err(ScalingError::NoValue { column: name.into() });
        }
        let minimum = present.iter().copied().fold(f64::INFINITY, f64::min);
        let maximum = present.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // The mean of equal values may be off by a rounding, and the deviation would then not be 0.
        let constant = minimum == maximum;
        // A power of two changes no digit, and neither sums nor squares overflow or vanish.
        let unit = exponent(minimum.abs().max(maximum.abs())).unwrap_or(0);
        let near_one = |v: f64| times_power_of_two(v, -unit);
        let mean_of = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / present.len() as f64;
        let first = mean_of(&mut present.iter().map(|v| near_one(*v)));
        // What the sum of many large numbers has lost.
        let mean = first + mean_of(&mut present.iter().map(|v| near_one(*v) - first));
        let fill = if constant { minimum } else { times_power_of_two(mean, unit) };
        let (centre, divisor) = match scaling {
            Scaling::None => (0.0, 1.0),
            Scaling::Std | Scaling::Unit if constant => (minimum, 1.0),
            Scaling::Std => {
                let squares = present.iter().map(|v| (near_one(*v) - mean).powi(2)).sum::<f64>();
                // A gap is at the mean.
                (fill, times_power_of_two((squares / cells.len() as f64).sqrt(), unit))
            }
            Scaling::Unit => (minimum / 2.0 + maximum / 2.0, maximum / 2.0 - minimum / 2.0),
        };
        let column = Self { name: name.into(), fill, centre, divisor }.checked()?;
        if scaling != Scaling::None && !constant {
            column.require_exact_centre()?;
        }
        Ok(column)
    }

    /// Checks that the centre of a column that is not constant is exact to a small part of the divisor.
    ///
    /// # Errors
    /// [`ScalingError::Offset`].
    pub fn require_exact_centre(&self) -> Result<(), ScalingError> {
        // A float is exact to 2^−53 of it.
        match self.divisor >= self.centre.abs() * 2f64.powi(-38) {
            true => Ok(()),
            false => Err(ScalingError::Offset { column: self.name.clone() }),
        }
    }

    fn checked(self) -> Result<Self, ScalingError> {
        match self.divisor >= f64::MIN_POSITIVE {
            true => Ok(self),
            false => Err(ScalingError::TooSmall { column: self.name }),
        }
    }

    /// The scaled value, which is finite: what no float is large enough for is the largest one.
    fn scale(&self, value: Option<f64>) -> f64 {
        let value = value.unwrap_or(self.fill);
        let difference = value - self.centre;
        let scaled = match difference.is_finite() {
            true => difference / self.divisor,
            false => (value / 2.0 - self.centre / 2.0) / (self.divisor / 2.0),
        };
        scaled.clamp(-f64::MAX, f64::MAX)
    }
}

/// Numbers as text: serde_json's own reading of floats may be off in the last place.
mod exact {
    use super::*;

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .ok()
            .filter(|v: &f64| v.is_finite())
            .ok_or_else(|| D::Error::custom("not a finite number"))
    }
}

fn divisor<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let divisor = exact::deserialize(deserializer)?;
    if divisor > 0.0 { Ok(divisor) } else { Err(D::Error::custom("the divisor is not positive")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Columns;

    fn table(text: &str) -> Table {
        Table::parse(text.as_bytes(), &Columns::default()).unwrap()
    }

    fn scaled(text: &str, train: &[usize], rows: &[usize], scaling: Scaling) -> Vec<Vec<f64>> {
        let table = table(text);
        Scaler::fit(&table, train, scaling).unwrap().apply(&table, rows).unwrap().rows
    }

    #[test]
    fn std_uses_the_population_deviation_of_the_training_rows() {
        // Mean 5, population deviation 2: the textbook's example.
        let rows = scaled("2\n4\n4\n4\n5\n5\n7\n9\n11", &[0, 1, 2, 3, 4, 5, 6, 7], &[0, 4, 8], Scaling::Std);
        assert_eq!(rows, [[-1.5], [0.0], [3.0]]);
    }

    #[test]
    fn unit_maps_the_training_range_to_minus_one_and_one() {
        let rows = scaled("2,1\n4,1\n10,1\n14,3", &[0, 1, 2], &[0, 1, 2, 3], Scaling::Unit);
        assert_eq!(rows, [[-1.0, 0.0], [-0.5, 0.0], [1.0, 0.0], [2.0, 2.0]]);
    }

    #[test]
    fn a_constant_column_becomes_zero_despite_rounding() {
        let text = ["0.1"; 7].join("\n") + "\n1.1";
        for scaling in [Scaling::Std, Scaling::Unit] {
            let rows = scaled(&text, &[0, 1, 2, 3, 4, 5, 6], &[0, 7], scaling);
            assert_eq!(rows, [[0.0], [1.0]]);
        }
    }

    #[test]
    fn none_leaves_values_and_fills_gaps_with_the_training_mean() {
        assert_eq!(
            scaled("1,9\n?,9\n3,9\n100,9", &[0, 1, 2], &[1, 3], Scaling::None),
            [[2.0, 9.0], [100.0, 9.0]]
        );
    }

    #[test]
    fn gaps_count_in_the_deviation_once_they_are_filled() {
        // 1, 3 and a gap filled with 2: variance 2/3.
        let rows = scaled("1,0\n?,0\n3,0", &[0, 1, 2], &[0, 1], Scaling::Std);
        assert_eq!(rows[0][0], -1.0 / (2.0f64 / 3.0).sqrt());
        assert_eq!(rows[1][0], 0.0);
    }

    #[test]
    fn what_cannot_be_fitted_is_named() {
        let gaps = table("1,?\n2,?\n3,4");
        let error = Scaler::fit(&gaps, &[0, 1], Scaling::Std).unwrap_err();
        assert_eq!(error, ScalingError::NoValue { column: "2".into() });
        let close = table("5e-324,1\n1e-323,2");
        let error = Scaler::fit(&close, &[0, 1], Scaling::Std).unwrap_err();
        assert_eq!(error, ScalingError::TooSmall { column: "1".into() });
        // Nothing is divided by.
        assert!(Scaler::fit(&close, &[0, 1], Scaling::None).is_ok());
    }

    #[test]
    fn scaling_does_not_depend_on_the_unit() {
        let values = [49.0, 55.4, 64.3, 82.4, 53.8, 43.6, 60.25];
        let text = |unit: i32| values.map(|v| format!("{:e}", v * 2f64.powi(unit))).join("\n");
        for scaling in [Scaling::Std, Scaling::Unit] {
            let rows = |unit| scaled(&text(unit), &[0, 1, 2, 3, 4, 5], &[0, 1, 2, 3, 4, 5, 6], scaling);
            for unit in [-1000, -100, -30, 30, 100, 1000] {
                assert_eq!(rows(unit), rows(0), "2^{unit}");
            }
        }
    }

    #[test]
    fn an_offset_changes_nothing_until_it_hides_the_values() {
        let of = |offset: f64| {
            let text = [1.0, 2.0, 4.0, 8.0].map(|v| format!("{}", v + offset)).join("\n");
            Scaler::fit(&table(&text), &[0, 1, 2, 3], Scaling::Std).map(|scaler| scaler.fitted()[0].divisor)
        };
        for offset in [1e3, -1e6, 1e9, 1e11] {
            assert!((of(offset).unwrap() / of(0.0).unwrap() - 1.0).abs() < 1e-9, "{offset}");
        }
        assert_eq!(of(1e15), Err(ScalingError::Offset { column: "1".into() }));
        // The sum of many of these numbers is not exact.
        let cell = |row: usize| if row.is_multiple_of(2) { 1e9 } else { 1e9 + 0.02 };
        let text = (0..20_000).map(|row| cell(row).to_string()).collect::<Vec<_>>().join("\n");
        let table = table(&text);
        let fitted = Scaler::fit(&table, &(0..20_000).collect::<Vec<_>>(), Scaling::Std).unwrap();
        assert!((fitted.fitted()[0].centre - 1e9 - 0.01).abs() < 2e-7, "{}", fitted.fitted()[0].centre);
    }

    #[test]
    fn the_largest_numbers_are_scaled() {
        let text = "1e308,1\n-1e308,2\n1.7e308,1";
        assert_eq!(scaled(text, &[0, 1], &[0, 1], Scaling::Std), [[1.0, -1.0], [-1.0, 1.0]]);
        let far = scaled("1e-300\n-1e-300\n1e300", &[0, 1], &[2], Scaling::Std);
        assert_eq!(far, [[f64::MAX]]);
    }

    #[test]
    fn a_stored_scaler_scales_to_the_same_bits() {
        let table = table("0.1,7\n0.7,1e-9\n1.3,2.2250738585072014e-308\n77.77777,3");
        for scaling in [Scaling::Std, Scaling::Unit, Scaling::None] {
            let scaler = Scaler::fit(&table, &[0, 1, 2, 3], scaling).unwrap();
            let json = serde_json::to_string(&scaler).unwrap();
            assert_eq!(serde_json::from_str::<Scaler>(&json).unwrap(), scaler);
        }
        let zero = r#"{"scaling":"std","columns":[{"name":"a","fill":"0","centre":"0","divisor":"0"}]}"#;
        assert!(serde_json::from_str::<Scaler>(zero).unwrap_err().to_string().contains("not positive"));
        let nan = r#"{"scaling":"std","columns":[{"name":"a","fill":"NaN","centre":"0","divisor":"1"}]}"#;
        assert!(serde_json::from_str::<Scaler>(nan).unwrap_err().to_string().contains("finite"));
    }

    #[test]
    fn another_table_is_refused() {
        let scaler = Scaler::fit(&table("a,b\n1,2\n3,4"), &[0, 1], Scaling::Std).unwrap();
        let error = scaler.apply(&table("b,a\n1,2\n3,4"), &[0]).unwrap_err();
        assert!(error.to_string().contains("columns are a, b, the table has b, a"), "{error}");
    }
}
