//! Whether the first line names the columns, and how they are called.

use super::{
    TableError,
    cells::number,
    grid::{Asked, comment},
    shown,
};
use csv::StringRecord;
use std::{cmp::Ordering, collections::BTreeSet};

/// How many of the first rows show whether the first line is one of them.
const SAMPLE: usize = 1000;

/// Rows with their lines.
type Rows = [(u64, StringRecord)];

/// The columns of a file.
pub(super) struct Named {
    pub columns: Vec<String>,
    /// Columns that play no part unless they are asked for.
    pub left_out: Vec<usize>,
    pub note: Option<String>,
}

/// Whether a row has one of the names that are asked for and that are no numbers.
pub(super) fn has_wanted(cells: &StringRecord, wanted: &[&str]) -> bool {
    wanted.iter().any(|name| number(name).is_none() && cells.iter().any(|cell| cell == name.trim()))
}

/// Whether a row has nothing but text, as names are.
pub(super) fn is_text(cells: &StringRecord) -> bool {
    cells.iter().all(|cell| number(cell).is_none())
}

/// Whether the first row names the columns: it was said, or it has one of the wanted names (that are not numbers), or it
/// counts the columns and is unlike the rows, or it has text above numbers and nowhere a number above numbers. (A row of
/// data with a wrong cell has both.)
pub(super) fn is_first(rows: &Rows, asked: &Asked<'_>) -> Result<bool, TableError> {
    if let Some(told) = asked.header {
        return Ok(told);
    }
    let (line, first) = &rows[0];
    if has_wanted(first, asked.wanted) {
        return Ok(true);
    }
    if let Some(from) = counts(first) {
        return match is_unlike(rows, asked) {
            Some(unlike) => Ok(unlike),
            None if from == 0 && asked.wanted.contains(&"0") => Ok(true),
            None => Err(TableError::UnclearHeader { line: *line, from: from.to_string() }),
        };
    }
    Ok(is_text_above_numbers(&rows[..rows.len().min(SAMPLE)], asked))
}

/// Where a row counts its cells 0, 1, 2, … or 1, 2, 3, …: the number of the first.
fn counts(cells: &StringRecord) -> Option<usize> {
    let from: usize = cells.get(0)?.parse().ok().filter(|from| *from < 2)?;
    let is_next = |(place, cell): (usize, &str)| cell == (from + place).to_string();
    (cells.len() > 1 && cells.iter().enumerate().all(is_next)).then_some(from)
}

/// Whether a first row that counts the columns differs from the rows below: in most columns it is beyond all values. Nobody
/// knows where it is not; but two columns are soon counted by chance.
fn is_unlike(rows: &Rows, asked: &Asked<'_>) -> Option<bool> {
    let (_, first) = &rows[0];
    let below = &rows[1..rows.len().min(SAMPLE)];
    let is_beyond = |column: &usize| {
        let cells = below.iter().filter_map(|(_, cells)| cells.get(*column));
        let mut values = cells.filter(|cell| !asked.cells.is_empty(cell)).map(number);
        let top = number(&first[*column]);
        // Above text a number is a name.
        let compare = |value: Option<f64>| value.and_then(|value| value.partial_cmp(&top?));
        let Some(side) = values.next().map(compare) else { return false };
        side != Some(Ordering::Equal) && values.all(|value| compare(value) == side)
    };
    let beyond = (0..first.len()).filter(is_beyond).count();
    match first.len() {
        2 => Some(beyond == 2 && below.len() >= 5),
        all if 2 * beyond > all => Some(true),
        _ => None,
    }
}

/// The line of a row that is the header once more, be it as a comment. Names that are all numbers may be a row, too.
pub(super) fn repeated(rows: &Rows) -> Option<u64> {
    let (_, first) = rows.first().filter(|(_, first)| first.iter().any(|cell| number(cell).is_none()))?;
    let is_name = |(cell, name): (&str, &str)| cell == name || comment(cell) == Some(name);
    let is_header = |cells: &StringRecord| {
        let width = first.len().max(cells.len());
        // Most rows differ in their first cell.
        (0..width).all(|c| is_name((cells.get(c).unwrap_or_default(), first.get(c).unwrap_or_default())))
    };
    rows[1..].iter().find(|(_, cells)| is_header(cells)).map(|(line, _)| *line)
}

fn is_text_above_numbers(rows: &Rows, asked: &Asked<'_>) -> bool {
    let (_, first) = &rows[0];
    let is_gap = |cell: &str| asked.cells.is_empty(cell);
    if rows.len() == 1 {
        return first.iter().all(|cell| !is_gap(cell) && number(cell).is_none());
    }
    let mut text_above_numbers = false;
    for (column, top) in first.iter().enumerate().filter(|(_, top)| !is_gap(top)) {
        let mut numbers = 0;
        let mut below = 0;
        for cell in rows[1..].iter().filter_map(|(_, cells)| cells.get(column)) {
            let is_number = number(cell).is_some();
            numbers += usize::from(is_number);
            below += usize::from(is_number || !is_gap(cell));
        }
        // A wrong cell further down does not make it a column of text.
        if numbers == 0 || 2 * numbers < below {
            continue;
        }
        if number(top).is_some() {
            return false;
        }
        text_above_numbers = true;
    }
    text_above_numbers
}

/// The names on the first row; `width` is that of the widest.
pub(super) fn names(rows: &Rows, width: usize) -> Result<Named, TableError> {
    let (line, first) = &rows[0];
    let below = &rows[1..];
    let mut columns: Vec<String> = first.iter().map(str::to_owned).collect();
    let named = columns.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
    let value = |column: usize| {
        let has = |(_, cells): &&(u64, StringRecord)| cells.get(column).is_some_and(|cell| !cell.is_empty());
        below.iter().find(has).map(|(line, _)| *line)
    };
    if width > named
        && let Some(first) = value(named)
    {
        return Err(TableError::Unnamed { line: *line, number: named + 1, first });
    }
    columns.truncate(named);
    let (mut left_out, mut note) = (Vec::new(), None);
    let is_index = columns.first().is_some_and(|name| name.is_empty() || name.starts_with("Unnamed: "));
    if is_index && named > 1 && counts_rows(below) {
        left_out.push(0);
        note = Some("left out the first column, which has no name and counts the rows".into());
        if columns[0].is_empty() {
            // No name that anybody asks for.
            columns[0] = "(row)".into();
        }
    }
    for (column, name) in columns.iter().enumerate() {
        if name.is_empty() {
            let first = value(column).unwrap_or(*line);
            return Err(TableError::Unnamed { line: *line, number: column + 1, first });
        }
    }
    let mut seen = BTreeSet::new();
    match columns.iter().find(|name| !seen.insert(name.as_str())) {
        Some(column) => Err(TableError::RepeatedColumn { line: *line, column: shown(column) }),
        None => Ok(Named { columns, left_out, note }),
    }
}

/// Whether the first cells count the rows from 0 or 1, as pandas and R write their index.
fn counts_rows(rows: &Rows) -> bool {
    let number = |(_, cells): &(u64, StringRecord)| cells.get(0).and_then(|cell| cell.parse::<usize>().ok());
    let Some(from) = rows.first().and_then(number).filter(|from| *from < 2) else { return false };
    rows.iter().enumerate().all(|(place, row)| number(row) == Some(from + place))
}

/// The columns of a file without a header.
pub(super) fn numbers(width: usize) -> Named {
    Named { columns: (1..=width).map(|c| c.to_string()).collect(), left_out: Vec::new(), note: None }
}
