//! Which character lies between cells.

use super::{
    TableError,
    cells::{Cells, Value},
    file::line_at,
    grid::{SAMPLE, Span, lines, records, used},
};

/// Marks that are looked for; of equals the first.
const USUAL: [u8; 4] = [b'\t', b';', b'|', b','];
/// Marks that are in cells for other reasons more often than between them, and have to be named: `sep=^`.
const UNUSUAL: [u8; 4] = [b'^', b':', b'~', b'!'];

/// How a mark divides the first rows.
#[derive(Clone, Copy)]
struct Division {
    /// None for blanks.
    mark: Option<u8>,
    /// The most frequent number of cells, and how many rows have it.
    width: usize,
    count: usize,
    rows: usize,
}

impl Division {
    fn new(mark: Option<u8>, widths: &[usize]) -> Self {
        let (width, count) = most(widths);
        Self { mark, width, count, rows: widths.len() }
    }

    fn by(table: Span<'_>, mark: u8) -> Self {
        let widths: Vec<usize> = records(table, mark).take(SAMPLE).map(|(_, cells)| cells.len()).collect();
        Self::new(Some(mark), &widths)
    }

    fn by_blanks(table: Span<'_>) -> Self {
        let widths = lines(table).map(|line| line.split_whitespace().count()).filter(|width| *width > 0);
        Self::new(None, &widths.take(SAMPLE).collect::<Vec<_>>())
    }

    /// Whether all rows are divided into equally many cells.
    fn is_even(&self) -> bool {
        self.width > 1 && self.count == self.rows
    }
}

/// The character between cells, or none where they are separated by blanks: the one that a line of the file names, else the
/// first usual one that divides the first rows into equally many cells; else the one that divides most of them into equally
/// many.
pub(super) fn find(table: Span<'_>, named: Option<(u64, u8)>) -> Result<Option<u8>, TableError> {
    if let Some((line, mark)) = named {
        return check(table, line, mark).map(|()| Some(mark));
    }
    let usual = USUAL.map(|mark| Division::by(table, mark));
    let divide = || usual.iter().filter(|division| division.width > 1);
    let even = divide().find(|division| division.is_even());
    // Of equals the first.
    let best = || divide().rev().max_by_key(|division| (division.count, division.width));
    let found = even
        .or_else(best)
        .filter(|division| division.mark != Some(b',') || !has_blanks_and_decimal_commas(table))
        .copied()
        .unwrap_or_else(|| Division::by_blanks(table));
    if found.is_even() {
        return Ok(found.mark);
    }
    let is_better = |mark: &u8| {
        let other = Division::by(table, *mark);
        other.is_even() && other.rows > 1 && other.width > found.width
    };
    match UNUSUAL.into_iter().find(is_better) {
        Some(mark) => {
            let start = records(table, mark).next().map_or(table.start, |(start, _)| start);
            let line = line_at(table.text.as_bytes(), start);
            Err(TableError::UnusualSeparator { line, mark: char::from(mark) })
        }
        None => Ok(found.mark),
    }
}

/// Checks that the mark which a line names divides the rows into equally many cells, or that no other does.
fn check(table: Span<'_>, line: u64, mark: u8) -> Result<(), TableError> {
    let own = Division::by(table, mark);
    // Some programs end rows with a separator, or some of them.
    let filled: Vec<usize> = records(table, mark).take(SAMPLE).map(|(_, cells)| used(&cells)).collect();
    if own.is_even() || Division::new(Some(mark), &filled).is_even() {
        return Ok(());
    }
    // In decimal numbers and names there are commas and blanks, too.
    let is_seldom = |mark: Option<u8>| mark.is_some_and(|mark| b"\t;|".contains(&mark));
    let is_better = |other: &Division| other.is_even() && (other.width > own.width || is_seldom(other.mark));
    let marks = USUAL.into_iter().chain(UNUSUAL).map(|mark| Division::by(table, mark));
    match marks.chain([Division::by_blanks(table)]).find(is_better) {
        Some(other) => Err(TableError::WrongSeparator {
            line,
            named: described(Some(mark)),
            seems: described(other.mark),
        }),
        None => Ok(()),
    }
}

/// What lies between cells, in words.
fn described(mark: Option<u8>) -> String {
    match mark {
        None => "blanks".into(),
        Some(b'\t') => "tabs".into(),
        Some(mark) => format!("`{}`", char::from(mark)),
    }
}

/// Whether blanks divide all rows behind the first into equally many cells, of which those with a comma are numbers; where
/// none of them has a comma, the first row is one of them.
fn has_blanks_and_decimal_commas(table: Span<'_>) -> bool {
    let rows = lines(table).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let all: Vec<Vec<&str>> = rows.filter(|cells| !cells.is_empty()).take(1 + SAMPLE).collect();
    let behind = all.get(1..).unwrap_or_default();
    let rows = if behind.iter().flatten().any(|cell| cell.contains(',')) { behind } else { &all };
    let mut cells = rows.iter().flatten().filter(|cell| cell.contains(',')).peekable();
    let width = rows.first().map_or(0, Vec::len);
    width > 1
        && cells.peek().is_some()
        && cells.all(|cell| matches!(Cells::default().value(cell), Value::Comma(..)))
        && rows.iter().all(|row| row.len() == width)
}

/// The most frequent of some numbers, the largest of equals, and how often it is there.
pub(super) fn most(numbers: &[usize]) -> (usize, usize) {
    let count = |number: usize| numbers.iter().filter(|other| **other == number).count();
    numbers
        .iter()
        .map(|number| (*number, count(*number)))
        .max_by_key(|(number, count)| (*count, *number))
        .unwrap_or((0, 0))
}

/// The delimiter of a line such as `sep=;`.
pub(super) fn named(line: &str) -> Option<u8> {
    let line = line.trim_matches('"');
    let mark = match line.get(..4) {
        Some(start) if start.eq_ignore_ascii_case("sep=") => &line[4..],
        _ => return None,
    };
    match mark.as_bytes() {
        // A tab was trimmed.
        [] => Some(b'\t'),
        [mark] if mark.is_ascii_punctuation() && *mark != b'"' => Some(*mark),
        _ => None,
    }
}
