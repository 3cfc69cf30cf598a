//! From text to cells: what lies above the table, what lies between cells, which rows there are.

use super::{
    TableError, arff,
    cells::{Cells, GAP_WORDS},
    file::{Lines, line_at},
    header::{self, Named},
    separator::{self, most},
};
use csv::{ReaderBuilder, StringRecord, Trim};

/// The cells of a file.
pub(super) struct Grid {
    /// Names from the header, or numbers from 1.
    pub columns: Vec<String>,
    /// Whether the names come from the file.
    pub named: bool,
    /// Line of the file and cells, none fewer than there are columns; at least one row.
    pub rows: Vec<(u64, StringRecord)>,
    /// Columns that play no part unless they are asked for.
    pub left_out: Vec<usize>,
    /// A comment that may have been meant as the header: its line, and with what it begins.
    pub like_header: Option<(u64, &'static str)>,
    /// What was done that the reader of the file may not expect.
    pub notes: Vec<String>,
}

impl Grid {
    /// The columns there are, for an error.
    pub fn described(&self) -> String {
        let columns = match self.named {
            true => format!("the columns are {}", super::error::list(&self.columns)),
            false => format!("the file has no header, its columns are numbered 1 to {}", self.columns.len()),
        };
        match self.like_header {
            None => columns,
            Some((line, mark)) => format!(
                "{columns}; line {line} begins with {mark} and was taken for a comment: if it names the columns, remove the {mark}"
            ),
        }
    }
}

/// What is known of a file before it is read.
pub(super) struct Asked<'a> {
    /// Names of columns; they help to recognise a header.
    pub wanted: &'a [&'a str],
    /// Whether the first line is a header, where that was said.
    pub header: Option<bool>,
    /// How cells are read.
    pub cells: &'a Cells,
}

/// How many of the first rows say what the file is like.
pub(super) const SAMPLE: usize = 50;

/// Parses the text of a file.
pub(super) fn parse(text: &str, asked: &Asked<'_>) -> Result<Grid, TableError> {
    let above = Above::find(text);
    if let Some(start) = arff::begins(text) {
        return arff::parse(text, start, asked.cells);
    }
    let table = Span { text, start: above.end };
    let delimiter = separator::find(table, above.separator)?;
    let rows = match delimiter {
        Some(delimiter) => delimited(table, delimiter),
        None => blanks(table),
    };
    let mut grid = Shape { rows, delimiter }.grid(&above, text, asked)?;
    if above.comments > 0 {
        let (from, to) = (above.first_comment, above.last_comment);
        let lines = if from == to { format!("line {from}") } else { format!("lines {from} to {to}") };
        grid.notes.insert(0, format!("passed over comments above the table, {lines}"));
    }
    if let Some(mark) = delimiter.filter(|mark| !b",;\t".contains(mark)) {
        grid.notes.push(format!("cells are separated by {}", char::from(mark)));
    }
    Ok(grid)
}

/// A part of a text, up to its end.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    pub text: &'a str,
    pub start: usize,
}

/// What lies above the table: `sep=;`, as Excel has it, and comments.
struct Above<'a> {
    /// Where the table begins.
    end: usize,
    /// The line of `sep=;`, and the mark.
    separator: Option<(u64, u8)>,
    comments: usize,
    first_comment: u64,
    last_comment: u64,
    /// The last comment.
    last: &'a str,
}

impl<'a> Above<'a> {
    fn find(text: &'a str) -> Self {
        let mut above =
            Self { end: 0, separator: None, comments: 0, first_comment: 0, last_comment: 0, last: "" };
        let (mut line_number, mut separator_end) = (0, 0);
        let mut position = 0;
        while position < text.len() {
            let rest = &text[position..];
            let length = rest.find(['\r', '\n']).unwrap_or(rest.len());
            let (line, after) = (rest[..length].trim(), &rest[length..]);
            let ending = if after.starts_with("\r\n") { 2 } else { usize::from(!after.is_empty()) };
            line_number += 1;
            if line.is_empty() {
                // Belongs to what comes next.
            } else if let Some(mark) = separator::named(line).filter(|_| above.separator.is_none()) {
                separator_end = position + length + ending;
                (above.separator, above.end) = (Some((line_number, mark)), separator_end);
            } else if comment(line).is_some() {
                if above.comments == 0 {
                    above.first_comment = line_number;
                }
                above.comments += 1;
                (above.last_comment, above.last) = (line_number, line);
                above.end = position + length + ending;
            } else {
                return above;
            }
            position += length + ending;
        }
        // Nothing but comments: then they are none.
        Self { end: separator_end, comments: 0, ..above }
    }
}

/// What a comment says.
pub(super) fn comment(line: &str) -> Option<&str> {
    comment_mark(line).map(|mark| line.trim_start_matches(mark).trim())
}

/// With what a comment begins. A column may be called `%fat`, and a first cell be `#N/A`.
fn comment_mark(line: &str) -> Option<&'static str> {
    match line {
        _ if GAP_WORDS.iter().any(|word| word.len() > 1 && line.starts_with(word)) => None,
        _ if line.starts_with('#') => Some("#"),
        _ if line.starts_with("% ") || line.starts_with("%%") || line == "%" => Some("%"),
        _ if line.starts_with("//") => Some("//"),
        _ => None,
    }
}

fn delimited(table: Span<'_>, delimiter: u8) -> Vec<(u64, StringRecord)> {
    let mut lines = Lines::default();
    records(table, delimiter)
        .map(|(start, cells)| (1 + lines.breaks_before(table.text.as_bytes(), start), cells))
        .collect()
}

fn blanks(table: Span<'_>) -> Vec<(u64, StringRecord)> {
    let first = line_at(table.text.as_bytes(), table.start);
    let cells = |(index, line): (usize, &str)| {
        (first + index as u64, line.split_whitespace().collect::<StringRecord>())
    };
    lines(table).enumerate().map(cells).filter(|(_, cells)| !cells.is_empty()).collect()
}

/// The lines with ends of any kind, mixed as well.
pub(super) fn lines(table: Span<'_>) -> impl Iterator<Item = &str> {
    let text = &table.text[table.start..];
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// The records that are not blank, each with the position where its first line begins.
pub(super) fn records(table: Span<'_>, delimiter: u8) -> impl Iterator<Item = (usize, StringRecord)> {
    let bytes = &table.text.as_bytes()[table.start..];
    let reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(bytes);
    reader.into_records().filter_map(move |record| {
        let cells = record.expect("text in memory, records of any width");
        let start = cells.position().map_or(0, |p| p.byte() as usize);
        // The reader's own position may lie before line breaks that it has skipped.
        let skipped = bytes[start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let blank = cells.len() == 1 && cells[0].is_empty();
        (!blank).then_some((table.start + start + skipped, cells))
    })
}

/// The rows of a file before it is known which cells belong to the table.
struct Shape {
    rows: Vec<(u64, StringRecord)>,
    delimiter: Option<u8>,
}

/// Cells up to the last that is not empty.
pub(super) fn used(cells: &StringRecord) -> usize {
    match cells.len() {
        0 => 0,
        all if !cells[all - 1].is_empty() => all,
        all => (0..all).rev().find(|cell| !cells[*cell].is_empty()).map_or(0, |last| last + 1),
    }
}

impl Shape {
    fn grid(mut self, above: &Above<'_>, text: &str, asked: &Asked<'_>) -> Result<Grid, TableError> {
        let mut notes = Vec::new();
        let all = self.rows.len();
        self.rows.retain(|(_, cells)| used(cells) > 0);
        match all - self.rows.len() {
            0 => {}
            1 => notes.push("passed over a line of empty cells".into()),
            blank => notes.push(format!("passed over {blank} lines of empty cells")),
        }
        let mut like_header = None;
        match self.commented_names(above, asked) {
            Some(names) if header::has_wanted(&names, asked.wanted) => {
                notes.push(format!("the comment on line {} names the columns", above.last_comment));
                self.rows.insert(0, (above.last_comment, names));
            }
            Some(names) if names.len() > 1 => {
                like_header = comment_mark(above.last).map(|mark| (above.last_comment, mark));
            }
            _ => {}
        }
        let Some((_, first)) = self.rows.first() else { return Err(TableError::Empty) };
        let (line, last) = &self.rows[self.rows.len() - 1];
        let is_open = last.iter().next_back().is_some_and(|cell| cell.contains(['\n', '\r']));
        if is_open && !text.trim_end().ends_with('"') {
            return Err(TableError::OpenQuote { line: *line });
        }
        let (first_used, first_cells) = (used(first), first.len());
        self.nothing_above(asked)?;
        let named = header::is_first(&self.rows, asked)?;
        let like_header = like_header.filter(|_| !named || asked.header == Some(true));
        let widest = self.rows.iter().map(|(_, cells)| used(cells)).max().unwrap_or(0);
        let width = if named { first_used } else { widest };
        if self.rows.iter().any(|(_, cells)| cells.len() < width) || widest > first_cells.max(width) {
            return Err(self.ragged(named));
        }
        if let Some(line) = header::repeated(&self.rows).filter(|_| named) {
            return Err(TableError::RepeatedHeader { line, first: self.rows[0].0 });
        }
        let Named { columns, left_out, note } = match named {
            true => header::names(&self.rows, widest)?,
            false => header::numbers(width),
        };
        notes.extend(note);
        if named
            && self.rows[0].1.iter().all(|cell| super::cells::number(cell).is_some())
            && asked.header.is_none()
        {
            let line = self.rows[0].0;
            notes.push(format!(
                "line {line} counts from {} and is taken for the names of the columns; with --no-header it is a row",
                columns[0]
            ));
        }
        let beyond = self.rows.iter().map(|(_, cells)| cells.len()).max().unwrap_or(0);
        match beyond.saturating_sub(columns.len()) {
            0 => {}
            1 => notes.push("left out an empty column at the end".into()),
            empty => notes.push(format!("left out {empty} empty columns at the end")),
        }
        if named {
            self.rows.remove(0);
        }
        match self.rows.is_empty() {
            true => Err(TableError::Empty),
            false => Ok(Grid { columns, named, rows: self.rows, left_out, like_header, notes }),
        }
    }

    /// The cells of the last comment above the rows, if it may name the columns: it has as many as the first row, which does
    /// not name them. They are without its mark, as NumPy writes it, unless a column is asked for that begins with it.
    fn commented_names(&self, above: &Above<'_>, asked: &Asked<'_>) -> Option<StringRecord> {
        let (_, first) = self.rows.first()?;
        if above.comments == 0 || asked.header == Some(false) || header::has_wanted(first, asked.wanted) {
            return None;
        }
        let cells = |text: &str| match self.delimiter {
            Some(delimiter) => records(Span { text, start: 0 }, delimiter).next().map(|(_, cells)| cells),
            None => Some(text.split_whitespace().collect()),
        };
        let is_asked_for = |names: &StringRecord| asked.wanted.iter().any(|name| name.trim() == &names[0]);
        let names = cells(above.last).filter(is_asked_for).or_else(|| cells(comment(above.last)?));
        names.filter(|names| names.len() == first.len())
    }

    /// Finds a title and other lines above the names of the columns.
    fn nothing_above(&self, asked: &Asked<'_>) -> Result<(), TableError> {
        if asked.header == Some(false) {
            return Ok(());
        }
        let wanted = |(_, cells): &&(u64, StringRecord)| header::has_wanted(cells, asked.wanted);
        let (line, first) = &self.rows[0];
        let below = self.rows.iter().take(SAMPLE).position(|row| wanted(&row)).unwrap_or(0);
        let before = |rows: usize, why: String| {
            let last = self.rows[rows - 1].0;
            let lines = match *line == last {
                true => format!("line {line} is"),
                false => format!("lines {line} to {last} are"),
            };
            Err(TableError::BeforeTable { lines, why })
        };
        if below > 0 && header::is_text(&self.rows[below].1) {
            return before(below, format!("the columns have their names on line {}", self.rows[below].0));
        }
        let sample: Vec<usize> =
            self.rows.iter().skip(1).take(SAMPLE).map(|(_, cells)| used(cells)).collect();
        let (width, _) = most(&sample);
        if used(first) == 1 && width > 1 && self.rows.len() > 2 && !header::has_wanted(first, asked.wanted) {
            let is_table = first.len() < width || header::is_text(&self.rows[1].1);
            if is_table && super::cells::number(&first[0]).is_none() {
                return before(1, format!("it has one cell, line {} has {width}", self.rows[1].0));
            }
        }
        Ok(())
    }

    /// Which line has too few cells or too many: one that is unlike most others.
    fn ragged(&self, named: bool) -> TableError {
        let sample = &self.rows[usize::from(named)..];
        let widths: Vec<usize> = sample.iter().take(SAMPLE).map(|(_, cells)| cells.len()).collect();
        let (usual, count) = most(&widths);
        let (line, first) = &self.rows[0];
        if named && usual == first.len() + 1 && count == widths.len() {
            return TableError::RowNames { line: *line, found: first.len(), expected: usual };
        }
        let differs = |cells: &StringRecord| match named {
            true => cells.len() < used(first) || used(cells) > first.len(),
            false => cells.len() != usual,
        };
        let place = match named {
            // Where no row is like the header, it is the odd one.
            true if sample.iter().all(|(_, cells)| differs(cells)) => None,
            _ => self.rows.iter().position(|(_, cells)| differs(cells)),
        };
        let odd = place.unwrap_or(0);
        let is_other =
            |(place, (_, cells)): &(usize, &(u64, StringRecord))| *place != odd && cells.len() == usual;
        let others = match named && odd > 0 {
            true => Some((0, &self.rows[0])),
            false => self.rows.iter().enumerate().find(is_other),
        };
        let (_, (other, expected)) = others.unwrap_or((0, &self.rows[0]));
        let (line, cells) = &self.rows[odd];
        let spans = cells.iter().any(|cell| cell.contains(['\n', '\r']));
        let hint = match self.delimiter {
            _ if spans && odd + 1 == self.rows.len() => return TableError::OpenQuote { line: *line },
            _ if spans => "; a quoted cell goes on over several lines: is a quote missing?",
            _ if cells[0].starts_with('#') => {
                "; comments are passed over above the table only: remove the line"
            }
            Some(b',') if place.is_none() => {
                "; numbers with decimal commas need semicolons between the cells"
            }
            None => "; cells are separated by blanks here: an empty cell has to be written as ?",
            _ => "",
        };
        TableError::Ragged { line: *line, found: cells.len(), first: *other, expected: expected.len(), hint }
    }
}
