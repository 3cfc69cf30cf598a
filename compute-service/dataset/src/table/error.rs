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
    /// The same after decompression.
    #[error("larger than {} MiB when it is decompressed", super::MAX_BYTES >> 20)]
    TooLargeUnpacked,
    /// A compressed file that cannot be decompressed.
    #[error("compressed (gzip) and damaged: {reason}; fetch or compress it anew")]
    DamagedGzip {
        /// What is wrong.
        reason: String,
    },
    /// A file of another kind.
    #[error("this is {what} and no table: {advice}")]
    Other {
        /// What it is.
        what: &'static str,
        /// What is to be done.
        advice: &'static str,
    },
    /// Bytes that are no text.
    #[error(
        "line {line} is neither UTF-8 nor Windows-1252 (Latin-1) text like the rest: is the file damaged, or put together of \
         several? save it as UTF-8"
    )]
    NotUtf8 {
        /// Line of the file.
        line: u64,
    },
    /// Pairs of bytes that are no text.
    #[error("line {line} is no UTF-16 text like the rest: the file is damaged or cut off; save it as UTF-8")]
    NotUtf16 {
        /// Line of the file.
        line: u64,
    },
    /// Characters that no text has.
    #[error("line {line} has a NUL character: this is no text; save the table as CSV (UTF-8)")]
    NotText {
        /// Line of the file.
        line: u64,
    },
    /// A quote that is never closed.
    #[error(
        "line {line}: a quote opens here that is never closed; close it, or double it where it belongs to the text"
    )]
    OpenQuote {
        /// Line where the row begins.
        line: u64,
    },
    /// Lines above the table.
    #[error(
        "{lines} no part of the table: {why}; remove what is above the names of the columns, or begin it with #"
    )]
    BeforeTable {
        /// Which, with a verb.
        lines: String,
        /// How that shows.
        why: String,
    },
    /// An unexpected character between the cells.
    #[error(
        "line {line}: the cells seem to be separated by `{mark}`; write a line `sep={mark}` above the table, or save it with commas or \
         semicolons between the cells"
    )]
    UnusualSeparator {
        /// First line of the table.
        line: u64,
        /// What it seems to be.
        mark: char,
    },
    /// A line such as `sep=,` that is not true.
    #[error(
        "line {line} names {named} as what separates the cells, but they seem to be separated by {seems}: correct the line, or \
         remove it"
    )]
    WrongSeparator {
        /// Line of the file.
        line: u64,
        /// What it names.
        named: String,
        /// What it seems to be.
        seems: String,
    },
    /// More cells in all rows than in the header.
    #[error(
        "the header on line {line} has {found} names, the rows below have {expected} cells: row names, as R writes them? name \
         the first column, too (in R: col.names = NA, or row.names = FALSE)"
    )]
    RowNames {
        /// Line of the header.
        line: u64,
        /// Its cells.
        found: usize,
        /// Cells of the rows.
        expected: usize,
    },
    /// A column with values and without a name.
    #[error(
        "column {number} has no name in the header on line {line}, but values, as on line {first}: name it, or remove it"
    )]
    Unnamed {
        /// Line of the header.
        line: u64,
        /// Its place, from 1.
        number: usize,
        /// A line with a value.
        first: u64,
    },
    /// It cannot be decided whether the first line is a row.
    #[error(
        "line {line} may name the columns or be a row: it counts from {from}. Say --header, and a column is meant by its name on \
         that line, or --no-header, and it is meant by its number from 1"
    )]
    UnclearHeader {
        /// Line of the file.
        line: u64,
        /// Its first cell.
        from: String,
    },
    /// Commas that may be either.
    #[error(
        "line {line}, column `{column}`: the comma may divide thousands or the fraction; write numbers without separators of \
         thousands and with a decimal point, or say --decimal-comma"
    )]
    UnclearComma {
        /// Line of the file.
        line: u64,
        /// Name of the column.
        column: String,
    },
    /// Decimal commas and decimal points.
    #[error(
        "line {line}, column `{column}` has a decimal comma, line {other}, column `{beside}` a point: write all numbers in one \
         way, without separators of thousands"
    )]
    MixedCommas {
        /// Line of the comma.
        line: u64,
        /// Its column.
        column: String,
        /// Line of the point.
        other: u64,
        /// Its column.
        beside: String,
    },
    /// Something in an ARFF file that no table has.
    #[error("line {line}: {reason}")]
    Arff {
        /// Line of the file.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// No row of data.
    #[error("no row of data")]
    Empty,
    /// A line with more or fewer cells than the first.
    #[error("line {line} has {found} cells, line {first} has {expected}{hint}")]
    Ragged {
        /// Line of the file.
        line: u64,
        /// Its cells.
        found: usize,
        /// The line with which it is compared.
        first: u64,
        /// Cells of that line.
        expected: usize,
        /// What else may be wrong.
        hint: &'static str,
    },
    /// The header has a name twice.
    #[error("the header on line {line} names column `{column}` twice")]
    RepeatedColumn {
        /// Line of the file.
        line: u64,
        /// The name.
        column: String,
    },
    /// The header is there once more.
    #[error(
        "line {line} repeats the header on line {first}: is this file put together of several? remove the line, and see that no \
         row is there twice"
    )]
    RepeatedHeader {
        /// Line where it is again.
        line: u64,
        /// Line of the header.
        first: u64,
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
    #[error("line {line}, column `{column}`: not a number{hint}")]
    NotANumber {
        /// Line of the file.
        line: u64,
        /// Name of the column.
        column: String,
        /// What it looks like, and what can be done about it.
        hint: &'static str,
    },
    /// An empty label or identifier.
    #[error(
        "line {line}, column `{column}`: a label or identifier is missing; complete it, or remove the row"
    )]
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
    /// More than one value is left for a class.
    #[error(
        "column `{column}`: {side} leaves the values {rest}; a class of more than one value has to be named, with commas between \
         the values: say which are meant by {side}, and which by {other}"
    )]
    TooManyValues {
        /// Name of the label column.
        column: String,
        /// The values that no option names.
        rest: String,
        /// The option that was given.
        side: &'static str,
        /// The one that was not.
        other: &'static str,
    },
    /// A value that belongs to neither class.
    #[error(
        "line {line}, column `{column}`: the class `{value}` is neither the positive class, `{positive}`, nor the negative, \
         `{negative}`{hint}"
    )]
    NeitherClass {
        /// Line where it is first.
        line: u64,
        /// Name of the label column.
        column: String,
        /// The value.
        value: String,
        /// The positive values.
        positive: String,
        /// The negative values.
        negative: String,
        /// Whether one of them looks like it.
        hint: &'static str,
    },
    /// A value that belongs to both classes.
    #[error("the class `{value}` is named by --positive and by --negative")]
    BothClasses {
        /// The value.
        value: String,
    },
    /// An option for a class that names no value.
    #[error("{option} names no value of the label, or an empty one: give it a value, or leave it out")]
    NoClass {
        /// The option.
        option: &'static str,
    },
    /// An option for a class that names a value twice.
    #[error("{option} names the class `{value}` twice: is another one meant? name each once")]
    ClassTwice {
        /// The option.
        option: &'static str,
        /// The value.
        value: String,
    },
    /// A value that cannot be found again in the name of its class.
    #[error(
        "{}column `{column}`: the class `{value}` has a slash, with which jobs and models join the values of a class: from their \
         names, here `{positive}` and `{negative}`, the values could not be told again. Write the class without a slash",
        line.map_or(String::new(), |line| format!("line {line}, "))
    )]
    SlashInClass {
        /// Line where it is first, if it is in the table.
        line: Option<u64>,
        /// Name of the label column.
        column: String,
        /// The value.
        value: String,
        /// The name of the positive class.
        positive: String,
        /// The name of the negative class.
        negative: String,
    },
    /// Two values that may be one.
    #[error(
        "line {line}, column `{column}`: `{other}` and `{one}` differ {difference} only; write the class in one way, or name both \
         with --positive or --negative"
    )]
    SpellingOnly {
        /// Line where the second is first.
        line: u64,
        /// Name of the label column.
        column: String,
        /// One value.
        one: String,
        /// The other.
        other: String,
        /// In what they differ.
        difference: &'static str,
    },
    /// A value that was asked for does not occur.
    #[error("column `{column}` never has the value `{value}` of {option}; it has {values}{hint}")]
    NoSuchClass {
        /// Name of the label column.
        column: String,
        /// The value that was asked for.
        value: String,
        /// How.
        option: &'static str,
        /// Its values.
        values: String,
        /// Whether one of them looks like it.
        hint: &'static str,
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
         the same instances: use --missing mean, or have all participants remove these instances"
    )]
    Gaps {
        /// Lines of the file.
        lines: String,
    },
}

impl TableError {
    /// What is wrong, without the file.
    pub fn problem(&self) -> &Self {
        match self {
            Self::File { problem, .. } => problem.problem(),
            other => other,
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
