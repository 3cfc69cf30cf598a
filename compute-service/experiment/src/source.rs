//! The table of an experiment, and what of it each participant gets.

use crate::error::{ExperimentError, Result, file_error, input};
use dataset::{
    Label, generate,
    scaling::Scaling,
    split::Division,
    table::{Classes, Columns, Missing, Overview, Row, Table, TableFile},
};
use node::config::{Data, Words};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// The table of an experiment, and what of it is kept for the test.
#[derive(Clone, Debug)]
pub struct Source {
    /// The table; its content is read once.
    pub data: TableFile,
    /// Which of its columns are what.
    pub columns: Columns,
    /// What is done about gaps.
    pub missing: Missing,
    /// Which rows are kept for the test.
    pub division: Division,
}

impl Source {
    /// A generated table of so many patients, which is written to the file `table`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn generated(table: &Path, rows: usize) -> Result<Self> {
        fs::write(table, generate::patients(rows, 1)).map_err(file_error(table))?;
        Ok(Self {
            data: table.into(),
            columns: Columns {
                label: Some(generate::LABEL.into()),
                id: Some(generate::ID.into()),
                ..Columns::default()
            },
            missing: Missing::Drop,
            division: Division::Share { test_fraction: 0.2, seed: 1 },
        })
    }

    /// The table, the lines that were left out because of gaps, and what it holds.
    ///
    /// # Errors
    /// What is wrong with the table.
    pub fn table(&self) -> Result<(Table, Vec<u64>, Overview)> {
        let mut table = Table::from_file(&self.data, &self.columns).map_err(input)?;
        let overview = Overview::new(self.data.path(), &table);
        let dropped = match self.missing {
            Missing::Drop => table.drop_gaps().map_err(|e| self.wrong(e))?,
            Missing::Mean => Vec::new(),
        };
        let overview = overview.after_dropping(&table);
        Ok((table, dropped, overview))
    }

    /// Names the file in what is wrong with its rows.
    pub(crate) fn wrong(&self, e: impl std::fmt::Display) -> ExperimentError {
        input(format!("{}: {e}", self.data.path().display()))
    }
}

/// The training rows with some of the columns, as a participant would have them: in the words of the table.
pub(crate) fn participant_table(table: &Table, rows: &[usize], columns: std::ops::Range<usize>) -> String {
    let (id, classes) = (id_column(table), classes(table));
    let words = [classes.negative_name(), classes.positive_name()].map(|word| quoted(&word));
    let rows = rows.iter().enumerate().map(|(index, &row)| {
        let row = &table.rows[row];
        let word = &words[usize::from(row.label == Some(Label::Positive))];
        (format!("r{index:08},{word}"), row)
    });
    csv_text(&format!("{id},{}", quoted(&classes.column)), table, columns, rows)
}

/// How a participant reads its table of an experiment.
pub(crate) fn participant_data(table: &Table, file: PathBuf, scale: Scaling, missing: Missing) -> Data {
    let classes = classes(table);
    Data {
        file,
        id: Some(id_column(table)),
        label: classes.column.clone(),
        positive: Some(Words::Values(vec![classes.positive_name()])),
        negative: Some(Words::Values(vec![classes.negative_name()])),
        na: None,
        header: Some(true),
        decimal_comma: false,
        scale,
        fill_missing: missing == Missing::Mean,
    }
}

pub(crate) fn classes(table: &Table) -> &Classes {
    table.classes.as_ref().expect("a table without labels is not prepared")
}

/// A name for a column of identifiers that no column has. It is no number, so that the header shows as one.
pub(crate) fn id_column(table: &Table) -> String {
    let is_taken = |name: &str| {
        let label = table.classes.as_ref().map(|classes| &classes.column);
        table.columns.iter().chain(label).any(|column| column.trim() == name)
    };
    let mut name = "id".to_string();
    while is_taken(&name) {
        name.push('_');
    }
    name
}

/// A table's header and rows with some of its columns, behind cells that come with each.
pub(crate) fn csv_text<'a>(
    first: &str,
    table: &Table,
    columns: std::ops::Range<usize>,
    rows: impl Iterator<Item = (String, &'a Row)>,
) -> String {
    let mut text = first.to_owned();
    for name in &table.columns[columns.clone()] {
        let _ = write!(text, ",{}", quoted(name));
    }
    text.push('\n');
    for (cells, row) in rows {
        text.push_str(&cells);
        for value in &row.values[columns.clone()] {
            let _ = match value {
                Some(value) => write!(text, ",{value}"),
                None => write!(text, ",?"),
            };
        }
        text.push('\n');
    }
    text
}

/// Any text as a cell.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
