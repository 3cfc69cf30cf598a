use std::path::PathBuf;

/// What is wrong with a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Wraps the others where the table is a file.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<TableError>,
    },
    /// Not found, not permitted, …
    #[error("{0}")]
    Io(String),
    /// More than [`super::MAX_BYTES`].
    #[error("larger than {} MiB", super::MAX_BYTES >> 20)]
    TooLarge,
    /// Bytes that are no text.
    #[error("line {line} is not UTF-8 text")]
    NotUtf8 {
        /// Line of the file.
        line: u64,
    },
    /// No row of data.
    #[error("no row of data")]
    Empty,
    /// A line with more or fewer cells than the first.
    #[error("line {line} has {found} cells, the first line has {expected}")]
    Ragged {
        /// Line of the file.
        line: u64,
        /// Its cells.
        found: usize,
        /// Cells of the first line.
        expected: usize,
    },
    /// The header has a name twice, or an empty one.
    #[error("the header on line {line} names column `{column}` twice")]
    RepeatedColumn {
        /// Line of the file.
        line: u64,
        /// The name.
        column: String,
    },
    /// No such column.
    #[error("there is no column `{name}`; {columns}")]
    NoColumn {
        /// The name that was asked for.
        name: String,
        /// The columns there are.
        columns: String,
    },
    /// One column was given two parts to play.
    #[error("column `{column}` is named twice")]
    ColumnTwice {
        /// The name.
        column: String,
    },
    /// Label and id leave no column.
    #[error("no feature column is left")]
    NoFeatures,
    /// A feature that is no finite number.
    #[error("line {line}, column `{column}`: not a number")]
    NotANumber {
        /// Line of the file.
        line: u64,
        /// Name of the column.
        column: String,
    },
    /// An empty label or identifier.
    #[error("line {line}, column `{column}`: a label or identifier is missing")]
    Gap {
        /// Line of the file.
        line: u64,
        /// Name of the column.
        column: String,
    },
    /// All rows are of one class.
    #[error("column `{column}`: only one class, {value}; two are needed to train or to score a model")]
    OneClass {
        /// Name of the label column.
        column: String,
        /// Its only value.
        value: String,
    },
    /// It is not clear which value is positive.
    #[error("column `{column}` has the values {values}: name the positive one with --positive")]
    ChoosePositive {
        /// Name of the label column.
        column: String,
        /// Its values.
        values: String,
    },
    /// The positive value does not occur.
    #[error("column `{column}` never has the value `{value}` of --positive; it has {values}")]
    NoPositive {
        /// Name of the label column.
        column: String,
        /// The value that was asked for.
        value: String,
        /// Its values.
        values: String,
    },
    /// The label column looks like a feature.
    #[error("column `{column}` has more than 64 different values: it is no label column")]
    TooManyClasses {
        /// Name of the column.
        column: String,
    },
    /// Labels are needed and no column was named.
    #[error("no label column was named")]
    NoLabels,
    /// Identifiers are needed and no column was named.
    #[error("no id column was named")]
    NoIds,
    /// One identifier on two rows.
    #[error("the id `{id}` of line {first} is repeated on line {second}")]
    RepeatedId {
        /// The identifier.
        id: String,
        /// Line of the file where it was first.
        first: u64,
        /// Line of the file where it was again.
        second: u64,
    },
    /// Rows with gaps where rows cannot be left out.
    #[error(
        "cells are missing on the lines {lines}; rows cannot be left out here because all participants must have \
         the same instances: use --missing mean, or have everybody remove these instances"
    )]
    Gaps {
        /// Lines of the file.
        lines: String,
    },
}

impl TableError {
    /// Whether the table lacks a column that was asked for.
    pub fn is_about_a_missing_column(&self) -> bool {
        match self {
            Self::File { problem, .. } => problem.is_about_a_missing_column(),
            other => matches!(other, Self::NoColumn { .. }),
        }
    }
}

/// At most 40 items, the number of the others.
pub(super) fn list<T: AsRef<str>>(items: &[T]) -> String {
    const MOST: usize = 40;
    let shown: Vec<_> = items.iter().take(MOST).map(|i| super::shown(i.as_ref())).collect();
    let rest = items.len().saturating_sub(MOST);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
}
