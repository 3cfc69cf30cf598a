//! Scaling of the columns, fitted on the training rows by each participant alone.

use serde::{Deserialize, Serialize};

/// How columns are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scaling {
    /// To mean 0 and population standard deviation 1.
    Std,
    /// To [−1, 1] by minimum and maximum.
    Unit,
    /// As they are.
    None,
}

/// Scaled rows without gaps; the lines and names are for errors.
#[derive(Clone, PartialEq)]
pub struct Scaled {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Line of the file of each row.
    pub lines: Vec<u64>,
    /// The values.
    pub rows: Vec<Vec<f64>>,
}
