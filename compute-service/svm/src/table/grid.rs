//! From bytes to cells: encoding, delimiter, header, lines of the file.

use super::{MAX_BYTES, TableError, error, shown};
use csv::{ReaderBuilder, StringRecord, Trim};
use std::collections::BTreeSet;

/// The cells of a file, all rows of one width.
pub(super) struct Grid {
    /// Names from the header, or numbers from 1.
    pub columns: Vec<String>,
    /// Whether the names come from the file.
    pub named: bool,
    /// Line of the file and cells; at least one row.
    pub rows: Vec<(u64, StringRecord)>,
}

impl Grid {
    /// The columns there are, for an error.
    pub fn described(&self) -> String {
        if self.named {
            return format!("the columns are {}", error::list(&self.columns));
        }
        format!("the file has no header, its columns are numbered 1 to {}", self.columns.len())
    }
}

/// Parses a file; the `wanted` names of columns help to recognise a header.
pub(super) fn parse(bytes: &[u8], wanted: &[&str]) -> Result<Grid, TableError> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(TableError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| TableError::NotUtf8 {
        line: 1 + Lines::default().breaks_before(bytes, e.valid_up_to()),
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = match delimiter(text) {
        Some(delimiter) => delimited(text, delimiter),
        None => blanks(text),
    };
    let (_, first) = rows.first().ok_or(TableError::Empty)?;
    let expected = first.len();
    if let Some((line, cells)) = rows.iter().find(|(_, cells)| cells.len() != expected) {
        return Err(TableError::Ragged { line: *line, found: cells.len(), expected });
    }
    name_columns(rows, wanted)
}

/// Whether a cell has no value.
pub(super) fn is_gap(cell: &str) -> bool {
    cell.is_empty() || cell == "?"
}

/// The finite number in a cell.
pub(super) fn number(cell: &str) -> Option<f64> {
    cell.parse::<f64>().ok().filter(|v| v.is_finite())
}

/// The character between cells, or none where they are separated by blanks: the first candidate that divides the
/// first lines into equally many cells; else the one that divides the first line into most.
fn delimiter(text: &str) -> Option<u8> {
    let widths = |delimiter: u8| -> Vec<usize> {
        records(text, delimiter).take(20).map(|(_, cells)| cells.len()).collect()
    };
    let candidates = [b'\t', b';', b','].map(|d| (d, widths(d)));
    let divides = |widths: &[usize]| widths.first().is_some_and(|&w| w > 1);
    let even = |widths: &[usize]| widths.iter().all(|w| Some(w) == widths.first());
    let by_first_line = || candidates.iter().filter(|(_, w)| divides(w)).max_by_key(|(_, w)| w[0]);
    candidates.iter().find(|(_, w)| divides(w) && even(w)).or_else(by_first_line).map(|(d, _)| *d)
}

fn delimited(text: &str, delimiter: u8) -> Vec<(u64, StringRecord)> {
    let mut lines = Lines::default();
    records(text, delimiter)
        .map(|(start, cells)| (1 + lines.breaks_before(text.as_bytes(), start), cells))
        .collect()
}

fn blanks(text: &str) -> Vec<(u64, StringRecord)> {
    let cells =
        |(index, line): (usize, &str)| (index as u64 + 1, line.split_whitespace().collect::<StringRecord>());
    text.lines().enumerate().map(cells).filter(|(_, cells)| !cells.is_empty()).collect()
}

/// The records that are not blank, each with the position where its first line begins.
fn records(text: &str, delimiter: u8) -> impl Iterator<Item = (usize, StringRecord)> {
    let reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    reader.into_records().filter_map(move |record| {
        let cells = record.expect("text in memory, records of any width");
        let start = cells.position().map_or(0, |p| p.byte() as usize);
        // The reader's own position may lie before line breaks that it has skipped.
        let skipped = text.as_bytes()[start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let blank = cells.len() == 1 && cells[0].is_empty();
        (!blank).then_some((start + skipped, cells))
    })
}

/// Counts line breaks (LF, CR LF or CR) up to growing positions.
#[derive(Default)]
struct Lines {
    position: usize,
    breaks: u64,
}

impl Lines {
    fn breaks_before(&mut self, bytes: &[u8], position: usize) -> u64 {
        while self.position < position {
            let is_break = match bytes[self.position] {
                b'\n' => true,
                b'\r' => bytes.get(self.position + 1) != Some(&b'\n'),
                _ => false,
            };
            self.breaks += u64::from(is_break);
            self.position += 1;
        }
        self.breaks
    }
}

fn name_columns(mut rows: Vec<(u64, StringRecord)>, wanted: &[&str]) -> Result<Grid, TableError> {
    let named = has_header(&rows, wanted);
    let columns: Vec<String> = if named {
        let (line, names) = rows.remove(0);
        let mut seen = BTreeSet::new();
        if let Some(column) = names.iter().find(|name| !seen.insert(*name)) {
            return Err(TableError::RepeatedColumn { line, column: shown(column) });
        }
        names.iter().map(str::to_owned).collect()
    } else {
        (1..=rows[0].1.len()).map(|c| c.to_string()).collect()
    };
    if rows.is_empty() {
        return Err(TableError::Empty);
    }
    Ok(Grid { columns, named, rows })
}

/// Whether the first row names the columns: it has one of the wanted names (that are not numbers), or it has text
/// above numbers and nowhere a number above numbers. (A row of data with a wrong cell has both.)
fn has_header(rows: &[(u64, StringRecord)], wanted: &[&str]) -> bool {
    let (_, first) = &rows[0];
    if wanted.iter().any(|name| number(name).is_none() && first.iter().any(|cell| cell == name.trim())) {
        return true;
    }
    if rows.len() == 1 {
        return first.iter().all(|cell| !is_gap(cell) && number(cell).is_none());
    }
    let mut text_above_numbers = false;
    for (column, top) in first.iter().enumerate().filter(|(_, top)| !is_gap(top)) {
        let below = || rows[1..].iter().map(|(_, cells)| &cells[column]).filter(|cell| !is_gap(cell));
        let numbers = below().filter(|cell| number(cell).is_some()).count();
        // A wrong cell further down does not make it a column of text.
        if numbers == 0 || 2 * numbers < below().count() {
            continue;
        }
        if number(top).is_some() {
            return false;
        }
        text_above_numbers = true;
    }
    text_above_numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(text: &str) -> Vec<u64> {
        parse(text.as_bytes(), &[]).unwrap().rows.iter().map(|(line, _)| *line).collect()
    }

    #[test]
    fn recognises_each_delimiter() {
        for text in
            ["1,2,3\n4,5,6", "1;2;3\n4;5;6", "1\t2\t3\n4\t5\t6", "1 2 3\n4  5 \t6  ", " 1 2 3 \n4 5 6"]
        {
            let grid = parse(text.as_bytes(), &[]).unwrap();
            assert_eq!(grid.columns, ["1", "2", "3"], "{text:?}");
            assert_eq!(grid.rows[1].1, vec!["4", "5", "6"], "{text:?}");
        }
    }

    #[test]
    fn semicolons_win_over_commas_inside_cells() {
        assert_eq!(parse(b"1,5;2,5\n1,5;2,5", &[]).unwrap().columns.len(), 2);
        assert_eq!(parse(b"\"a,b\";c;d\n1;2;3", &[]).unwrap().columns, ["a,b", "c", "d"]);
    }

    #[test]
    fn lines_are_those_of_the_file() {
        assert_eq!(lines("1,2\n3,4\n5,6"), [1, 2, 3]);
        assert_eq!(lines("1,2\r\n3,4\r\n\r\n5,6\r\n"), [1, 2, 4]);
        assert_eq!(lines("\n\n1,2\n\n3,4\n  \n5,6"), [3, 5, 7]);
        assert_eq!(lines("1,2\r3,4\r5,6"), [1, 2, 3]);
        assert_eq!(lines("\"1\n\",2\n3,4"), [1, 3]);
        assert_eq!(lines("1 2\n\n3 4\r\n5 6"), [1, 3, 4]);
        assert_eq!(lines("\u{feff}a,b\n1,2\n3,4"), [2, 3]);
    }

    #[test]
    fn a_header_is_text_above_numbers() {
        let named = |text: &str| parse(text.as_bytes(), &[]).unwrap().named;
        assert!(named("id,age,class\np1,5,yes\np2,6,no"));
        assert!(named("age,weight\n?,1\n5,"), "gaps decide nothing");
        assert!(!named("p1,5,yes\np2,6,no"));
        assert!(!named("5,x,1\n6,7,1\n6,7,1"), "a row of data with a wrong cell");
        assert!(named("a,b\n1,2\nx,4\n5,6"), "a wrong cell further down");
        assert!(!named("?,1\n2,3"));
        let wanted = |name| parse(b"id,2\nr1,5\nr2,6", &[name]).unwrap().named;
        assert!(wanted("id"), "names may be numbers where one that was asked for is there");
        assert!(!wanted("2") && !wanted("age"));
    }

    #[test]
    fn an_empty_file_and_a_lone_header_are_empty() {
        for text in ["", "\n\n", " \n", "a,b,c", "a,b,c\n", "\u{feff}"] {
            assert_eq!(parse(text.as_bytes(), &[]).err(), Some(TableError::Empty), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_named_by_its_line() {
        assert_eq!(parse(b"1,2\r\n3,\xff\n", &[]).err(), Some(TableError::NotUtf8 { line: 2 }));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, &[]);
        }

        #[test]
        fn foreign_text_never_panics(text in "[0-9a?,; \t\"\r\n\u{feff}é.-]{0,120}") {
            if let Ok(grid) = parse(text.as_bytes(), &[]) {
                prop_assert!(grid.rows.iter().all(|(_, cells)| cells.len() == grid.columns.len()));
                prop_assert!(grid.rows.windows(2).all(|w| w[0].0 < w[1].0));
            }
        }
    }
}
