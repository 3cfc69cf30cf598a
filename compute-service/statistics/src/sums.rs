//! What a participant adds up, and what comes out over all.

use crate::decimal;
use dataset::table::Table;
use num_bigint::{BigInt, BigUint};
use num_traits::Signed;
use records::jobs::Mean as Params;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::ZeroizeOnDrop;

/// By how many places means and deviations are longer than values.
const MORE_PLACES: u32 = 6;

/// Most decimal places that are looked for in a table.
const MOST_PLACES: u32 = 6;

/// With how many decimal places the values of a table are written, six at most.
pub fn places(table: &Table) -> u32 {
    let values = || table.rows.iter().flat_map(|row| row.values.iter().flatten());
    let is_written = |x: f64, places: u32| {
        decimal::scaled(x, places).is_some_and(|scaled| scaled as f64 / 10f64.powi(places as i32) == x)
    };
    (0..MOST_PLACES).find(|places| values().all(|x| is_written(*x, *places))).unwrap_or(MOST_PLACES)
}

/// One participant's sums over its rows without gaps, of integers at the job's scale.
#[derive(Clone, PartialEq, Eq, ZeroizeOnDrop)]
pub struct OwnSums {
    /// Number of rows without gaps.
    pub rows: u64,
    /// Rows that were left out, because one of the columns has a gap there.
    pub left_out: u64,
    /// Σx of each column.
    pub sums: Vec<i128>,
    /// Σx² of each column.
    pub squares: Vec<i128>,
}

impl fmt::Debug for OwnSums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnSums(… of {} columns)", self.sums.len())
    }
}

impl OwnSums {
    /// Adds up a table that has the job's columns and no others, in their order.
    ///
    /// # Errors
    /// Other columns, no row without gaps or more rows than the job has room for, or a value that is too large, with its
    /// line and column.
    pub fn of(params: &Params, table: &Table) -> Result<Self, String> {
        if table.columns != params.columns {
            return Err("the table's columns are not those of the job".into());
        }
        let width = params.columns.len();
        let mut own = Self { rows: 0, left_out: 0, sums: vec![0; width], squares: vec![0; width] };
        let bound = 1i128 << params.value_bits;
        for row in &table.rows {
            let Some(values) = row.values.iter().copied().collect::<Option<Vec<f64>>>() else {
                own.left_out += 1;
                continue;
            };
            own.rows += 1;
            if own.rows > u64::from(params.max_rows) {
                return Err(format!("more than {} rows without gaps, the job's `max_rows`", params.max_rows));
            }
            for (column, x) in values.into_iter().enumerate() {
                let x = decimal::scaled(x, params.places).filter(|x| x.abs() < bound).ok_or_else(|| {
                    format!(
                        "line {}, column `{}`: too large for the job; it takes values up to {} with {} places",
                        row.line,
                        params.columns[column],
                        (bound - 1) / 10i128.pow(params.places),
                        params.places
                    )
                })?;
                // Below 2^28·2^96.
                own.sums[column] += x;
                own.squares[column] += x * x;
            }
        }
        match own.rows {
            0 => Err("no row has a value in each of the job's columns".into()),
            _ => Ok(own),
        }
    }

    /// The sums, then the sums of squares.
    pub(crate) fn values(&self) -> impl Iterator<Item = i128> {
        self.sums.iter().chain(&self.squares).copied()
    }
}

/// The sums over everybody's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Number of rows.
    pub rows: u64,
    /// Σx of each column.
    pub sums: Vec<BigInt>,
    /// Σx² of each column.
    pub squares: Vec<BigInt>,
}

/// What is known of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// Its name.
    pub column: String,
    /// Mean, a decimal.
    pub mean: String,
    /// Standard deviation of a sample, with n − 1 below; a decimal.
    pub deviation: String,
}

impl Totals {
    /// What participants get together, computed in the open.
    pub fn of_all(all: &[OwnSums]) -> Self {
        let columns = all.first().map_or(0, |own| own.sums.len());
        let sum = |of: fn(&OwnSums) -> &[i128], column: usize| -> BigInt {
            all.iter().map(|own| BigInt::from(of(own)[column])).sum()
        };
        Self {
            rows: all.iter().map(|own| own.rows).sum(),
            sums: (0..columns).map(|column| sum(|own| &own.sums, column)).collect(),
            squares: (0..columns).map(|column| sum(|own| &own.squares, column)).collect(),
        }
    }

    /// Whether tables that fit the job can have these totals.
    pub(crate) fn are_possible(&self, params: &Params) -> bool {
        let rows = BigInt::from(self.rows);
        let bound = BigInt::from(1) << params.value_bits;
        self.sums.iter().zip(&self.squares).all(|(sum, squares)| {
            // Cauchy and Schwarz.
            sum * sum <= squares * &rows && *squares <= &rows * &bound * &bound && sum.abs() <= *squares
        })
    }

    /// n·Σx² − (Σx)²: what the variance of a column is, times n(n−1).
    fn spread(&self, column: usize) -> BigUint {
        let (sum, squares) = (&self.sums[column], &self.squares[column]);
        (BigInt::from(self.rows) * squares - sum * sum).to_biguint().unwrap_or_default()
    }

    /// Mean and standard deviation of each column, rounded to six places more than values have.
    pub fn columns(&self, params: &Params) -> Vec<ColumnSummary> {
        let places = params.places + MORE_PLACES;
        let unit = BigUint::from(10u32).pow(params.places);
        let rows = BigUint::from(self.rows);
        // Fewer than two rows have no deviation.
        let below = &rows * self.rows.saturating_sub(1).max(1) * &unit * &unit;
        params
            .columns
            .iter()
            .enumerate()
            .map(|(column, name)| ColumnSummary {
                column: name.clone(),
                mean: decimal::ratio(&self.sums[column], &(&rows * &unit), places),
                deviation: decimal::root(&self.spread(column), &below, places),
            })
            .collect()
    }
}
