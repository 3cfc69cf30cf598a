//! Tables as organisations have them: CSV-like files of numbers with a label column.
//!
//! A file is foreign until it is a [`Table`]: whatever is wrong with it is an error with the line of the file and the
//! name of the column. Errors never quote a feature's value, because a participant may post its reason for giving up.

mod error;
mod grid;

pub use error::TableError;

use crate::Label;
use grid::{Grid, is_gap, number, parse};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    fs::File,
    io::Read,
    ops::Range,
    path::Path,
};

/// Largest file in bytes.
pub const MAX_BYTES: u64 = 64 << 20;

/// Which columns of a file play which part. Columns are named, or numbered from 1 where the file has no header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// Column of the class; without one the table is for prediction only.
    pub label: Option<String>,
    /// The value of the class that counts as positive; by default the larger of two numbers.
    pub positive: Option<String>,
    /// Whether rows of one class alone will do, be it not the positive one: the classes are known from elsewhere.
    pub one_class: bool,
    /// Column that identifies the instances; it may hold any text and is no feature.
    pub id: Option<String>,
    /// Columns that are not read.
    pub ignore: Vec<String>,
    /// The feature columns in their order; by default all that are left, in the order of the file.
    pub features: Option<Vec<String>>,
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

/// A parsed table with gaps where a cell was `?` or empty. Debug output shows its size only.
#[derive(Clone, PartialEq)]
pub struct Table {
    /// Names of the feature columns (numbers from 1 where the file has no header).
    pub columns: Vec<String>,
    /// The rows in the order of the file.
    pub rows: Vec<Row>,
    /// The label column; absent where none was named.
    pub classes: Option<Classes>,
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

/// The label column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// Its name.
    pub column: String,
    /// The value that counts as positive.
    pub positive: String,
    /// The values that count as negative.
    pub negative: Vec<String>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} × {})", self.rows.len(), self.columns.len())
    }
}

impl Table {
    /// Reads a file of at most [`MAX_BYTES`].
    ///
    /// # Errors
    /// [`TableError::File`] with the path and what is wrong.
    pub fn read(path: &Path, columns: &Columns) -> Result<Self, TableError> {
        let in_file = |problem| TableError::File { path: path.into(), problem: Box::new(problem) };
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|e| in_file(TableError::Io(e.to_string())))?;
        Self::parse(&bytes, columns).map_err(in_file)
    }

    /// Parses the bytes of a file: comma, semicolon, tab or blanks between cells, with or without a header. The first
    /// row is a header where it has one of the names asked for, or text where the other rows have numbers.
    ///
    /// # Errors
    /// The first thing that is wrong; see [`TableError`].
    pub fn parse(bytes: &[u8], columns: &Columns) -> Result<Self, TableError> {
        let grid = parse(bytes, &columns.names())?;
        let parts = Parts::find(&grid, columns)?;
        let classes = match parts.label {
            Some(label) => Some(classes(&grid, label, columns)?),
            None => None,
        };
        let mut rows = Vec::with_capacity(grid.rows.len());
        for (line, cells) in &grid.rows {
            let text = |column: usize| match cells[column].trim() {
                cell if is_gap(cell) => {
                    Err(TableError::Gap { line: *line, column: grid.columns[column].clone() })
                }
                cell => Ok(cell.to_owned()),
            };
            let label = match (&classes, parts.label) {
                (Some(classes), Some(column)) => Some(classes.label(&text(column)?)),
                _ => None,
            };
            let value = |&column: &usize| match cells[column].trim() {
                cell if is_gap(cell) => Ok(None),
                cell => number(cell).map(Some).ok_or_else(|| TableError::NotANumber {
                    line: *line,
                    column: grid.columns[column].clone(),
                }),
            };
            rows.push(Row {
                line: *line,
                id: parts.id.map(text).transpose()?,
                label,
                values: parts.features.iter().map(value).collect::<Result<_, _>>()?,
            });
        }
        let names = parts.features.iter().map(|&c| grid.columns[c].clone()).collect();
        let table = Self { columns: names, rows, classes };
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
            _ => shown(&classes.positive),
        };
        Err(TableError::OneClass { column: classes.column.clone(), value })
    }
}

impl Classes {
    fn label(&self, cell: &str) -> Label {
        if same_class(cell, &self.positive) { Label::Positive } else { Label::Negative }
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
            None => (0..grid.columns.len()).filter(|c| !used.contains(c)).collect::<Vec<_>>(),
        };
        if features.is_empty() {
            return Err(TableError::NoFeatures);
        }
        Ok(Self { label, id, features })
    }
}

/// Which values of the label column are positive and negative.
fn classes(grid: &Grid, label: usize, columns: &Columns) -> Result<Classes, TableError> {
    let column = grid.columns[label].clone();
    let mut values: Vec<&str> = Vec::new();
    for (_, cells) in &grid.rows {
        let cell = cells[label].trim();
        if !is_gap(cell) && !values.iter().any(|v| same_class(v, cell)) {
            values.push(cell);
            if values.len() > 64 {
                return Err(TableError::TooManyClasses { column });
            }
        }
    }
    match values.iter().map(|v| number(v)).collect::<Option<Vec<_>>>() {
        Some(_) => values.sort_by(|a, b| number(a).partial_cmp(&number(b)).expect("finite numbers")),
        None => values.sort_unstable(),
    }
    let numeric = values.iter().all(|v| number(v).is_some());
    let owned = |values: Vec<&str>| values.into_iter().map(str::to_owned).collect();
    let chosen = match &columns.positive {
        Some(wanted) if columns.one_class && !values.iter().any(|v| same_class(v, wanted.trim())) => {
            return Ok(Classes { column, positive: wanted.clone(), negative: owned(values) });
        }
        Some(wanted) => values.iter().position(|v| same_class(v, wanted.trim())).ok_or_else(|| {
            TableError::NoPositive {
                column: column.clone(),
                value: shown(wanted),
                values: error::list(&values),
            }
        })?,
        None if values.len() == 1 => 0,
        None if values.len() == 2 && numeric => 1,
        None => return Err(TableError::ChoosePositive { column, values: error::list(&values) }),
    };
    let positive = values.remove(chosen).to_owned();
    Ok(Classes { column, positive, negative: owned(values) })
}

/// Whether two labels are the same text or the same number.
pub fn same_class(a: &str, b: &str) -> bool {
    a == b || matches!((number(a), number(b)), (Some(a), Some(b)) if a == b)
}

/// Whether a value of a label column belongs to a class, whose name joins several with `/` where these count as one.
pub fn is_class(value: &str, class: &str) -> bool {
    same_class(value, class) || class.split('/').any(|one| same_class(value, one))
}

fn shown(text: &str) -> String {
    let short: String = text.chars().take(64).collect();
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn columns(label: &str) -> Columns {
        Columns { label: Some(label.into()), ..Columns::default() }
    }

    fn parse_labelled(text: &str, label: &str) -> Result<Table, TableError> {
        Table::parse(text.as_bytes(), &columns(label))
    }

    fn error(text: &str, columns: &Columns) -> String {
        Table::parse(text.as_bytes(), columns).unwrap_err().to_string()
    }

    const PATIENTS: &str = "patient;age;sick;pulse\nb;50;yes;?\na;61;no;80\nc;;no;70\n";

    fn patients() -> Columns {
        Columns { id: Some("patient".into()), positive: Some("yes".into()), ..columns("sick") }
    }

    #[test]
    fn reads_a_named_table() {
        let table = Table::parse(PATIENTS.as_bytes(), &patients()).unwrap();
        assert_eq!(table.columns, ["age", "pulse"]);
        assert_eq!(table.labels().unwrap(), [Label::Positive, Label::Negative, Label::Negative]);
        assert_eq!(table.rows[0].values, [Some(50.0), None]);
        assert_eq!(table.rows[2].id.as_deref(), Some("c"));
        assert_eq!(table.rows.iter().map(|r| r.line).collect::<Vec<_>>(), [2, 3, 4]);
        let classes = table.classes.unwrap();
        assert_eq!((classes.positive.as_str(), &classes.negative[..]), ("yes", &["no".to_owned()][..]));
    }

    #[test]
    fn the_larger_number_is_positive_unless_told() {
        let labels = |positive: Option<&str>| {
            let columns = Columns { positive: positive.map(str::to_owned), ..columns("2") };
            Table::parse(b"1,10\n2,9\n3,10.0\n", &columns).unwrap().labels().unwrap()
        };
        assert_eq!(labels(None), [Label::Positive, Label::Negative, Label::Positive]);
        assert_eq!(labels(Some("9.0")), [Label::Negative, Label::Positive, Label::Negative]);
    }

    #[test]
    fn one_class_against_the_others_when_told() {
        let table =
            Table::parse(b"1,1\n2,2\n3,3", &Columns { positive: Some("3".into()), ..columns("2") }).unwrap();
        assert_eq!(table.labels().unwrap(), [Label::Negative, Label::Negative, Label::Positive]);
        assert_eq!(table.classes.unwrap().negative, ["1", "2"]);
    }

    #[test]
    fn features_can_be_chosen_without_reading_the_others() {
        let chosen = Columns { features: Some(vec!["pulse".into(), "age".into()]), ..Columns::default() };
        let table = Table::parse(PATIENTS.as_bytes(), &chosen).unwrap();
        assert_eq!(table.columns, ["pulse", "age"]);
        assert_eq!(table.rows[1].values, [Some(80.0), Some(61.0)]);
        assert_eq!(table.labels(), Err(TableError::NoLabels));
        let ignoring = Columns { ignore: vec!["patient".into(), "sick".into()], ..Columns::default() };
        assert_eq!(Table::parse(PATIENTS.as_bytes(), &ignoring).unwrap().columns, ["age", "pulse"]);
    }

    #[test]
    fn missing_columns_list_those_there_are() {
        assert_eq!(
            error(PATIENTS, &columns("ill")),
            "there is no column `ill`; the columns are patient, age, sick, pulse"
        );
        assert_eq!(
            error("1,2\n3,4", &columns("3")),
            "there is no column `3`; the file has no header, its columns are numbered 1 to 2"
        );
        let twice = Columns { id: Some("2".into()), ..columns("2") };
        assert_eq!(error("1,2\n3,4", &twice), "column `2` is named twice");
        assert_eq!(error("1\n2", &columns("1")), "no feature column is left");
        assert_eq!(error("a,b,a\n1,2,3", &columns("b")), "the header on line 1 names column `a` twice");
    }

    #[test]
    fn wrong_cells_are_named_by_line_and_column_and_not_shown() {
        for wrong in ["x", "1,5", "NaN", "inf", "1e999", "0x10"] {
            let text = format!("age;sick\n50;0\n\n\"{wrong}\";1\n51;1\n");
            assert_eq!(error(&text, &columns("sick")), "line 4, column `age`: not a number", "{wrong}");
        }
        assert_eq!(error("5,0\n6,1\nx,1\n7,0", &columns("2")), "line 3, column `1`: not a number");
        let gap = "line 3, column `sick`: a label or identifier is missing";
        assert_eq!(error("age;sick\n50;0\n51;?\n52;1", &columns("sick")), gap);
    }

    #[test]
    fn ragged_lines_are_named() {
        let message = "line 3 has 2 cells, the first line has 3";
        assert_eq!(error("1,2,3\n4,5,6\n7,8\n", &columns("3")), message);
        assert_eq!(error("1 2 3\n4 5 6\n7 8\n", &columns("3")), message);
    }

    #[test]
    fn classes_that_do_not_do_are_explained() {
        let one = "column `2`: only one class, 1; two are needed to train or to score a model";
        assert_eq!(error("5,1\n6,1", &columns("2")), one);
        assert_eq!(error("5,1\n6,1", &Columns { positive: Some("1".into()), ..columns("2") }), one);
        let alone = Columns { positive: Some("4".into()), one_class: true, ..columns("2") };
        let healthy = Table::parse(b"5,1\n6,1", &alone).unwrap();
        assert_eq!(healthy.labels().unwrap(), [Label::Negative; 2]);
        assert_eq!(Table::parse(b"5,4\n6,4", &alone).unwrap().labels().unwrap(), [Label::Positive; 2]);
        let three = "column `2` has the values 1, 2, 10: name the positive one with --positive";
        assert_eq!(error("5,10\n6,1\n7,2", &columns("2")), three);
        let text = "column `sick` has the values no, yes: name the positive one with --positive";
        assert_eq!(error(PATIENTS, &Columns { positive: None, ..patients() }), text);
        let never = "column `2` never has the value `4` of --positive; it has 1, 2";
        assert_eq!(error("5,2\n6,1", &Columns { positive: Some("4".into()), ..columns("2") }), never);
        let many: String = (0..100).map(|i| format!("{i},{i}\n")).collect();
        assert!(error(&many, &columns("2")).contains("no label column"));
    }

    #[test]
    fn instances_come_in_the_order_of_their_ids() {
        let mut table = Table::parse(PATIENTS.as_bytes(), &patients()).unwrap();
        table.order_by_id().unwrap();
        assert_eq!(table.rows.iter().map(|r| r.line).collect::<Vec<_>>(), [3, 2, 4]);
        assert_eq!(table.labels().unwrap(), [Label::Negative, Label::Positive, Label::Negative]);

        let repeated = PATIENTS.replace("c;;", "b;1;");
        let mut table = Table::parse(repeated.as_bytes(), &patients()).unwrap();
        assert_eq!(
            table.order_by_id().unwrap_err().to_string(),
            "the id `b` of line 2 is repeated on line 4"
        );
        let mut table = parse_labelled("1,0\n2,1", "2").unwrap();
        assert_eq!(table.order_by_id(), Err(TableError::NoIds));
    }

    #[test]
    fn gaps_are_dropped_or_named() {
        let text = "1,5,0\n?,6,1\n3,7,1\n4,,0\n";
        let mut table = parse_labelled(text, "3").unwrap();
        assert!(
            table
                .require_no_gaps()
                .unwrap_err()
                .to_string()
                .starts_with("cells are missing on the lines 2, 4;")
        );
        assert_eq!(table.drop_gaps().unwrap(), [2, 4]);
        assert_eq!(table.rows.iter().map(|r| r.line).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(table.require_no_gaps(), Ok(()));

        let mut all = parse_labelled("?,0\n?,1\n5,1\n6,1", "2").unwrap();
        assert_eq!(all.drop_gaps(), Err(TableError::OneClass { column: "2".into(), value: "1".into() }));
        let mut none = parse_labelled("?,0\n?,1", "2").unwrap();
        assert_eq!(none.drop_gaps(), Err(TableError::Empty));
    }

    #[test]
    fn slices_keep_rows_and_classes() {
        let table = parse_labelled("1,2,3,0\n4,5,6,1", "4").unwrap();
        let slice = table.slice(1..3);
        assert_eq!(slice.columns, ["2", "3"]);
        assert_eq!(slice.rows[1].values, [Some(5.0), Some(6.0)]);
        assert_eq!(slice.labels(), table.labels());
        assert_eq!(format!("{slice:?}"), "Table(2 × 2)");
    }

    #[test]
    fn files_that_cannot_be_read_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent.csv");
        let error = Table::read(&path, &columns("1")).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}: ", path.display())) && error.contains("o such file"),
            "{error}"
        );

        let path = folder.path().join("large.csv");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        let error = Table::read(&path, &columns("1")).unwrap_err().to_string();
        assert!(error.ends_with("large.csv: larger than 64 MiB"), "{error}");

        let path = folder.path().join("good.csv");
        std::fs::write(&path, PATIENTS).unwrap();
        assert_eq!(Table::read(&path, &patients()).unwrap().rows.len(), 3);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in prop::collection::vec((prop::collection::vec(prop::option::of(-1e12..1e12f64), 3), any::<bool>()), 2..30),
            delimiter in prop::sample::select(vec![",", ";", "\t", "  "]),
            header: bool,
        ) {
            prop_assume!(rows.iter().any(|r| r.1) && rows.iter().any(|r| !r.1));
            // A column without any number would make the header a guess.
            prop_assume!(!header || (0..3).all(|c| rows.iter().any(|r| r.0[c].is_some())));
            let mut text = if header { ["a", "b", "c", "y"].join(delimiter) + "\r\n" } else { String::new() };
            for (values, label) in &rows {
                let mut cells: Vec<_> = values.iter().map(|v| v.map_or("?".into(), |v| v.to_string())).collect();
                cells.push(u8::from(*label).to_string());
                text += &(cells.join(delimiter) + "\r\n");
            }
            let table = parse_labelled(&text, if header { "y" } else { "4" }).unwrap();
            prop_assert_eq!(table.rows.len(), rows.len());
            for (index, (row, (values, label))) in table.rows.iter().zip(&rows).enumerate() {
                prop_assert_eq!(&row.values, values);
                prop_assert_eq!(row.label, Some(Label::of_sign(!label)));
                prop_assert_eq!(row.line, index as u64 + 1 + u64::from(header));
            }
        }

        #[test]
        fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Table::parse(&bytes, &columns("1"));
        }

        #[test]
        fn foreign_text_gives_finite_numbers(text in "[0-9a?,;\"\r\n é.e-]{0,120}", label in "[0-9]") {
            if let Ok(table) = parse_labelled(&text, &label) {
                prop_assert!(table.rows.iter().flat_map(|r| r.values.iter().flatten()).all(|v| v.is_finite()));
            }
        }
    }
}
