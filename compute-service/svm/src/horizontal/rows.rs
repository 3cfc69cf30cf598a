//! A provider's rows as the arithmetic wants them.

use super::moments::{self, Units};
use crate::fixed::{FEATURE_PLACES, Features};
use dataset::{
    Label,
    scaling::{Scaled, Scaler},
    table::{Table, is_class},
};
use records::{GradientNoise, HorizontalSvm, VALUE_BITS};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// x at scale 2^12, the intercept's −1 behind them, and y.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Rows {
    values: Vec<Vec<i32>>,
    #[zeroize(skip)]
    labels: Vec<Label>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({})", self.values.len())
    }
}

impl Rows {
    /// Scales and rounds a table's rows; with gradient noise rows of more than the agreed norm are shortened.
    ///
    /// # Errors
    /// Columns or classes that are not the job's, gaps without standardisation, or a scaled value of 32 or more.
    pub fn new(params: &HorizontalSvm, table: &Table, scaler: &Scaler) -> Result<Self, String> {
        check(params, table)?;
        let all: Vec<usize> = (0..table.rows.len()).collect();
        let scaled = scaler.apply(table, &all).map_err(|e| e.to_string())?;
        let features = features(&scaled, params.standardise)?;
        let mut values: Vec<Vec<i32>> = (0..features.len()).map(|row| features.row(row).to_vec()).collect();
        for row in &mut values {
            if params.intercept {
                row.push(-(1 << FEATURE_PLACES));
            }
            if let Some(noise) = &params.gradient_noise {
                shorten(row, noise);
            }
        }
        Ok(Self { values, labels: table.labels().map_err(|e| e.to_string())? })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// x of a row, with the intercept's entry.
    pub fn values(&self, row: usize) -> &[i32] {
        &self.values[row]
    }

    /// y of a row.
    pub fn label(&self, row: usize) -> Label {
        self.labels[row]
    }
}

/// A provider's scaled rows as integers.
///
/// # Errors
/// A scaled value of 32 or more, with line and column; a column that is too fine for the scale.
pub fn features(scaled: &Scaled, standardised: bool) -> Result<Features, String> {
    const MOST: f64 = (1 << (VALUE_BITS - FEATURE_PLACES)) as f64;
    let large = scaled.rows.iter().zip(&scaled.lines).find_map(|(row, line)| {
        // What is rounded to 32 is too large, too.
        let rounded = |x: &f64| (x * f64::from(1 << FEATURE_PLACES)).round_ties_even();
        let place = row.iter().position(|x| rounded(x).abs() >= f64::from(1 << VALUE_BITS))?;
        Some((line, &scaled.columns[place]))
    });
    if let Some((line, column)) = large {
        return Err(match standardised {
            true => format!(
                "line {line}, column `{column}`: the value is {MOST} standard deviations or more from the mean of all rows, \
                 which training by rows does not take; correct the cell, leave the row out, or use the column's logarithm"
            ),
            false => format!(
                "line {line}, column `{column}`: the value is {MOST} or more in magnitude, which training by rows does not \
                 take of columns that are not standardised; correct the cell, or standardise the columns"
            ),
        });
    }
    let features = if standardised { Features::encode(scaled) } else { Features::encode_training(scaled) };
    features.map_err(|e| e.to_string())
}

/// Checks what can be checked before the scaling is known.
///
/// # Errors
/// The first column or class that is not the job's, in words of the table; no rows, or too many; values that do not fit
/// the job's units.
pub fn check(params: &HorizontalSvm, table: &Table) -> Result<(), String> {
    for (place, (found, expected)) in table.columns.iter().zip(&params.columns).enumerate() {
        if found != expected {
            return Err(format!("column {} is `{found}`, in the job it is `{expected}`", place + 1));
        }
    }
    if table.columns.len() != params.columns.len() {
        return Err(format!("{} columns, the job has {}", table.columns.len(), params.columns.len()));
    }
    let classes = table.classes.as_ref().ok_or("no label column")?;
    let (positive, negative) = (&params.positive, &params.negative);
    if !classes.positive.iter().all(|class| is_class(class, positive)) {
        return Err(format!(
            "column `{}`: the positive class is `{}`, in the job it is `{positive}`",
            classes.column,
            classes.positive_name()
        ));
    }
    if let Some(other) = classes.negative.iter().find(|class| !is_class(class, negative)) {
        return Err(format!(
            "column `{}`: the class `{other}` is not one of the job's, which are `{positive}` and `{negative}`",
            classes.column
        ));
    }
    match table.rows.len() {
        0 => return Err("no rows".into()),
        rows if rows > params.rows as usize => {
            return Err(format!("{rows} rows, the job has room for {} of each provider", params.rows));
        }
        _ => {}
    }
    match params.standardise {
        true => moments::check(&Units::of(params), table),
        false => table.require_no_gaps().map_err(|e| e.to_string()),
    }
}

/// Multiplies a row by norm/‖x‖ where that is below 1, rounding towards 0.
fn shorten(row: &mut [i32], noise: &GradientNoise) {
    let norm = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    let most = noise.norm.to_f64() * f64::from(1 << FEATURE_PLACES);
    if norm > most {
        row.iter_mut().for_each(|x| *x = (f64::from(*x) * (most / norm)) as i32);
    }
}
