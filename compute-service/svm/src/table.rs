//! Tables as organisations have them: CSV-like files of numbers with a label column.

use crate::Label;

/// A parsed table: feature columns in the order of the file, gaps where a cell was `?` or empty.
#[derive(Clone, PartialEq)]
pub struct Table {
    /// Names of the feature columns (numbers from 1 where the file has no header).
    pub columns: Vec<String>,
    /// The rows in the order of the file.
    pub rows: Vec<Row>,
    /// The classes; absent where no label column was named.
    pub classes: Option<Classes>,
}

/// One row of a [`Table`].
#[derive(Clone, PartialEq)]
pub struct Row {
    /// Line of the file, from 1.
    pub line: u64,
    /// Cell of the id column, where one was named.
    pub id: Option<String>,
    /// Values in the order of [`Table::columns`].
    pub values: Vec<Option<f64>>,
}

/// The label column of a [`Table`].
#[derive(Clone, PartialEq)]
pub struct Classes {
    /// The value that counts as positive.
    pub positive: String,
    /// The value or values that count as negative.
    pub negative: String,
    /// The class of each row.
    pub labels: Vec<Label>,
}
