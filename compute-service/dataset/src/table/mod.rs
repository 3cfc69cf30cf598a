//! Tables as organisations have them: files of numbers with a label column, in the forms in which other programs write them.
//!
//! A file is foreign until it is a [`Table`]: whatever is wrong with it is an error with the line of the file and the
//! name of the column. Errors never quote a feature's value, because a participant may post its reason for giving up.
//! What the reader decides by itself it says in [`Table::notes`].

mod arff;
mod cells;
mod classes;
mod error;
mod file;
mod grid;
mod header;
mod numberlike;
mod overview;
mod separator;
#[cfg(test)]
mod tests;

pub use cells::{GAP_WORDS, GAP_WORDS_OF_NUMBERS, same_class};
pub use classes::{Class, Classes, is_class};
pub use error::TableError;
pub use file::TableFile;
pub use overview::{ClassCount, ClassCounts, Overview};

use crate::Label;
use cells::{Cells, Commas, Value};
use classes::Wanted;
use grid::{Asked, Grid};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    ops::Range,
    path::Path,
};

/// Largest file in bytes, also of what a compressed file becomes.
pub const MAX_BYTES: u64 = 64 << 20;

/// How the cells of a file are read, where it does not show by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether the first line names the columns.
    pub header: Option<bool>,
    /// Words that stand for a gap, beside [`GAP_WORDS`]; a number stands for every way to write it.
    pub na: Vec<String>,
    /// That a comma in a number divides the fraction, also where three digits come after it.
    pub decimal_comma: bool,
}

/// Which columns of a file play which part. Columns are named, or numbered from 1 where the file has no header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Column of the class; without one the table is for prediction only.
    pub label: Option<String>,
    /// The values of the class that count as positive; by default the larger of two numbers, or what `negative` leaves.
    pub positive: Option<Class>,
    /// The values of the class that count as negative; by default the one that `positive` leaves.
    pub negative: Option<Class>,
    /// Whether rows of one class alone will do, be it not the positive one: the classes are known from elsewhere.
    pub one_class: bool,
    /// Column that identifies the instances; it may hold any text and is no feature.
    pub id: Option<String>,
    /// Columns that are not read.
    pub ignore: Vec<String>,
    /// The feature columns in their order; by default all that are left, in the order of the file.
    pub features: Option<Vec<String>>,
    /// How cells are read.
    pub reading: Reading,
}

impl Columns {
    fn names(&self) -> Vec<&str> {
        let parts = [&self.label, &self.id].into_iter().flatten();
        parts.chain(&self.ignore).chain(self.features.iter().flatten()).map(String::as_str).collect()
    }
}

/// What is done about gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Rows with gaps are left out, before anything else is done with the table.
    Drop,
    /// A gap is filled with the mean of the column over the training rows.
    Mean,
}

/// A parsed table, with gaps where cells have none of the words for them. Debug output shows its size only.
#[derive(Clone, PartialEq)]
pub struct Table {
    /// Names of the feature columns (numbers from 1 where the file has no header).
    pub columns: Vec<String>,
    /// The rows in the order of the file.
    pub rows: Vec<Row>,
    /// The label column; absent where none was named.
    pub classes: Option<Classes>,
    /// What the reader decided by itself, in words.
    pub notes: Vec<String>,
}

/// One row of a [`Table`].
#[derive(Clone, PartialEq)]
pub struct Row {
    /// Line of the file, from 1.
    pub line: u64,
    /// Cell of the id column, where one was named.
    pub id: Option<String>,
    /// The class, where a label column was named.
    pub label: Option<Label>,
    /// Values in the order of [`Table::columns`]; finite.
    pub values: Vec<Option<f64>>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} × {})", self.rows.len(), self.columns.len())
    }
}

impl Table {
    /// Reads a file of at most [`MAX_BYTES`], whose content is kept for the next time.
    ///
    /// # Errors
    /// [`TableError::File`] with the path and what is wrong.
    pub fn from_file(file: &TableFile, columns: &Columns) -> Result<Self, TableError> {
        let in_file = |problem| TableError::File { path: file.path().into(), problem: Box::new(problem) };
        Self::parse(&file.bytes().map_err(in_file)?, columns).map_err(in_file)
    }

    /// The same with a file that is read this once.
    ///
    /// # Errors
    /// As [`Table::from_file`].
    pub fn read(path: &Path, columns: &Columns) -> Result<Self, TableError> {
        Self::from_file(&TableFile::from(path), columns)
    }

    /// Parses the bytes of a file: UTF-8, UTF-16 or Windows-1252, gzip or plain, with comma, semicolon, tab, `|` or blanks
    /// between cells or as ARFF, with or without a header. The first row is a header where it has one of the names asked
    /// for, or text where the other rows have numbers.
    ///
    /// # Errors
    /// The first thing that is wrong; see [`TableError`].
    pub fn parse(bytes: &[u8], columns: &Columns) -> Result<Self, TableError> {
        let file::Text { text, mut notes } = file::text(bytes)?;
        let cells = Cells::new(&columns.reading.na);
        let wanted = columns.names();
        let asked = Asked { wanted: &wanted, header: columns.reading.header, cells: &cells };
        let mut grid = grid::parse(&text, &asked)?;
        notes.append(&mut grid.notes);
        let parts = Parts::find(&grid, columns)?;
        let word = |line: u64, row: &csv::StringRecord, column: usize| match &row[column] {
            cell if cells.is_gap(cell) => Err(TableError::Gap { line, column: grid.columns[column].clone() }),
            cell => Ok(cell.to_owned()),
        };
        let classes = match parts.label {
            Some(label) => Some(classes(&grid, label, columns, &cells)?),
            None => None,
        };
        let commas = Commas::default();
        let mut rows = Vec::with_capacity(grid.rows.len());
        for (line, row) in &grid.rows {
            let line = *line;
            let label = match (&classes, parts.label) {
                (Some(classes), Some(column)) => Some(Label::of_sign(!classes.is_positive(&row[column]))),
                _ => None,
            };
            let value = |&column: &usize| match cells.value(&row[column]) {
                Value::Number(number) => Ok(Some(number)),
                Value::Gap => Ok(None),
                Value::Comma(number, comma) => {
                    commas.seen(comma, line, column);
                    Ok(Some(number))
                }
                Value::Other => Err(TableError::NotANumber {
                    line,
                    column: grid.columns[column].clone(),
                    hint: numberlike::hint(&row[column]),
                }),
            };
            rows.push(Row {
                line,
                id: parts.id.map(|column| word(line, row, column)).transpose()?,
                label,
                values: parts.features.iter().map(value).collect::<Result<_, _>>()?,
            });
        }
        if let Some((line, column)) = commas.first() {
            check_commas(&grid, &parts, &commas, (line, column), columns.reading.decimal_comma)?;
            notes.push("numbers have decimal commas".into());
        }
        let names = parts.features.iter().map(|&c| grid.columns[c].clone()).collect();
        let table = Self { columns: names, rows, classes, notes };
        if !columns.one_class {
            table.require_both_classes()?;
        }
        Ok(table)
    }

    /// The classes of all rows, in their order.
    ///
    /// # Errors
    /// [`TableError::NoLabels`] where no label column was named.
    pub fn labels(&self) -> Result<Vec<Label>, TableError> {
        self.rows.iter().map(|r| r.label.ok_or(TableError::NoLabels)).collect()
    }

    /// Puts the rows in the order of their identifiers, in which participants with tables of their own count the
    /// instances.
    ///
    /// # Errors
    /// [`TableError::NoIds`] where no id column was named; [`TableError::RepeatedId`].
    pub fn order_by_id(&mut self) -> Result<(), TableError> {
        let mut lines = HashMap::new();
        for row in &self.rows {
            let id = row.id.as_ref().ok_or(TableError::NoIds)?;
            if let Some(first) = lines.insert(id, row.line) {
                return Err(TableError::RepeatedId { id: shown(id), first, second: row.line });
            }
        }
        self.rows.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(())
    }

    /// Leaves out the rows with gaps and says which lines they were. Only for a table that one owner splits
    /// afterwards: participants with tables of their own must agree about the instances.
    ///
    /// # Errors
    /// [`TableError::Empty`] or [`TableError::OneClass`] where too little is left.
    pub fn drop_gaps(&mut self) -> Result<Vec<u64>, TableError> {
        let (whole, gaps) = std::mem::take(&mut self.rows)
            .into_iter()
            .partition(|row: &Row| row.values.iter().all(Option::is_some));
        self.rows = whole;
        if self.rows.is_empty() {
            return Err(TableError::Empty);
        }
        self.require_both_classes()?;
        Ok(gaps.into_iter().map(|row| row.line).collect())
    }

    /// Checks that there is no gap, where rows cannot be left out.
    ///
    /// # Errors
    /// [`TableError::Gaps`] with the lines.
    pub fn require_no_gaps(&self) -> Result<(), TableError> {
        let gaps = |row: &&Row| row.values.iter().any(Option::is_none);
        let lines: Vec<_> = self.rows.iter().filter(gaps).map(|row| row.line.to_string()).collect();
        if lines.is_empty() { Ok(()) } else { Err(TableError::Gaps { lines: error::list(&lines) }) }
    }

    /// The same rows with some of the feature columns, which lie beside each other.
    ///
    /// # Panics
    /// Where the range goes beyond the columns.
    pub fn slice(&self, columns: Range<usize>) -> Self {
        self.with_columns(&columns.collect::<Vec<_>>())
    }

    /// The same rows with some of the feature columns.
    ///
    /// # Panics
    /// Where there is no such column.
    pub fn with_columns(&self, columns: &[usize]) -> Self {
        let of = |row: &Row| Row { values: columns.iter().map(|&c| row.values[c]).collect(), ..row.clone() };
        Self {
            columns: columns.iter().map(|&c| self.columns[c].clone()).collect(),
            rows: self.rows.iter().map(of).collect(),
            classes: self.classes.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Some of the rows, with all columns.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn with_rows(&self, rows: &[usize]) -> Self {
        Self {
            columns: self.columns.clone(),
            rows: rows.iter().map(|&row| self.rows[row].clone()).collect(),
            classes: self.classes.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Whether a feature column has a value in one of these rows.
    ///
    /// # Panics
    /// Where there is no such column or row.
    pub fn has_value(&self, column: usize, rows: &[usize]) -> bool {
        rows.iter().any(|&row| self.rows[row].values[column].is_some())
    }

    /// Number of gaps of each feature column.
    pub fn gaps(&self) -> Vec<usize> {
        let of = |column: usize| self.rows.iter().filter(|row| row.values[column].is_none()).count();
        (0..self.columns.len()).map(of).collect()
    }

    fn require_both_classes(&self) -> Result<(), TableError> {
        let Some(classes) = &self.classes else { return Ok(()) };
        let first = self.rows.first().and_then(|row| row.label);
        if self.rows.iter().any(|row| row.label != first) {
            return Ok(());
        }
        let value = match first {
            Some(Label::Negative) => error::list(&classes.negative),
            _ => error::list(&classes.positive),
        };
        Err(TableError::OneClass { column: classes.column.clone(), value })
    }
}

/// The columns of a grid that play a part.
struct Parts {
    label: Option<usize>,
    id: Option<usize>,
    features: Vec<usize>,
}

impl Parts {
    fn find(grid: &Grid, columns: &Columns) -> Result<Self, TableError> {
        let find = |name: &String| {
            grid.columns
                .iter()
                .position(|c| c == name.trim())
                .ok_or_else(|| TableError::NoColumn { name: shown(name), columns: grid.described() })
        };
        let mut used = BTreeSet::new();
        let mut once = |name: &String| {
            let column = find(name)?;
            let fresh = used.insert(column);
            if fresh { Ok(column) } else { Err(TableError::ColumnTwice { column: shown(name) }) }
        };
        let label = columns.label.as_ref().map(&mut once).transpose()?;
        let id = columns.id.as_ref().map(&mut once).transpose()?;
        for name in &columns.ignore {
            once(name)?;
        }
        let features = match &columns.features {
            Some(names) => names.iter().map(&mut once).collect::<Result<_, _>>()?,
            None => {
                let is_left = |c: &usize| !used.contains(c) && !grid.left_out.contains(c);
                (0..grid.columns.len()).filter(is_left).collect::<Vec<_>>()
            }
        };
        if features.is_empty() {
            return Err(TableError::NoFeatures);
        }
        Ok(Self { label, id, features })
    }
}

/// Which values of the label column are positive and negative.
fn classes(grid: &Grid, label: usize, columns: &Columns, cells: &Cells) -> Result<Classes, TableError> {
    let column = &grid.columns[label];
    if let Some((line, _)) = grid.rows.iter().find(|(_, row)| cells.is_gap(&row[label])) {
        return Err(TableError::Gap { line: *line, column: column.clone() });
    }
    let found = classes::values(column, grid.rows.iter().map(|(line, row)| (*line, &row[label])))?;
    let Columns { positive, negative, one_class, .. } = columns;
    let wanted = Wanted { positive: positive.as_ref(), negative: negative.as_ref(), one_class: *one_class };
    classes::divide(column, &found, wanted)
}

/// Commas divide the fractions of all numbers or of none, and must not be those between thousands.
fn check_commas(
    grid: &Grid,
    parts: &Parts,
    commas: &Commas,
    (line, column): (u64, usize),
    told: bool,
) -> Result<(), TableError> {
    let name = |column: usize| grid.columns[column].clone();
    for (other, row) in &grid.rows {
        let is_with_point = |c: &&usize| row[**c].contains('.') && cells::number(&row[**c]).is_some();
        if let Some(beside) = parts.features.iter().find(is_with_point) {
            let (column, beside) = (name(column), name(*beside));
            return Err(TableError::MixedCommas { line, column, other: *other, beside });
        }
    }
    match (commas.decimal.get(), commas.unclear.get()) {
        (None, Some((line, column))) if !told => Err(TableError::UnclearComma { line, column: name(column) }),
        _ => Ok(()),
    }
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    short.escape_debug().to_string()
}
