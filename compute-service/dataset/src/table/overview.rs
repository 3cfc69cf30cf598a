//! What a table holds, as somebody is told before it is used.

use super::Table;
use crate::Label;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};

/// What was read of a file: sizes, gaps, classes, and what the reader decided by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// The file.
    pub file: String,
    /// Rows of the file.
    pub rows: usize,
    /// Feature columns.
    pub columns: usize,
    /// Cells without a value.
    pub gaps: usize,
    /// Rows with such cells.
    pub rows_with_gaps: usize,
    /// Rows that are not used because of gaps.
    pub left_out: usize,
    /// The classes of the rows that are used; absent where no label column was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassCounts>,
    /// What the reader decided by itself, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How many rows have which class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCounts {
    /// The label column.
    pub column: String,
    /// The positive class.
    pub positive: ClassCount,
    /// The negative class.
    pub negative: ClassCount,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// Its values.
    pub values: Vec<String>,
    /// Number of its rows.
    pub rows: usize,
}

impl Overview {
    /// Counts what is in a table.
    pub fn new(file: &Path, table: &Table) -> Self {
        let gaps = table.rows.iter().map(|row| row.values.iter().filter(|value| value.is_none()).count());
        let (gaps, rows_with_gaps) =
            gaps.fold((0, 0), |(cells, rows), gaps| (cells + gaps, rows + usize::from(gaps > 0)));
        Self {
            file: file.display().to_string(),
            rows: table.rows.len(),
            columns: table.columns.len(),
            gaps,
            rows_with_gaps,
            left_out: 0,
            classes: counts(table),
            notes: table.notes.clone(),
        }
    }

    /// The same, when rows with gaps were left out of the table.
    #[must_use]
    pub fn after_dropping(self, table: &Table) -> Self {
        Self { left_out: self.rows - table.rows.len(), classes: counts(table), ..self }
    }

    /// For people, line by line, each with what it is about.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let gaps = match (self.gaps, self.left_out) {
            (0, _) => "no gaps".into(),
            (gaps, 0) => format!("{gaps} gaps in {} rows", self.rows_with_gaps),
            (gaps, left_out) => format!("{gaps} gaps, {left_out} rows with gaps left out"),
        };
        let mut lines =
            vec![("table", format!("{}: {} rows, {} columns, {gaps}", self.file, self.rows, self.columns))];
        if let Some(ClassCounts { column, positive, negative }) = &self.classes {
            let class = |class: &ClassCount| match class.values.is_empty() {
                true => "no other".into(),
                false => format!("{} of {}", class.rows, class.values.join("/")),
            };
            lines.push(("classes", format!("{column}: {} (positive), {}", class(positive), class(negative))));
        }
        lines.extend(self.notes.iter().map(|note| ("note", note.clone())));
        lines
    }
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.lines().into_iter().map(|(about, text)| match about {
            "table" => text,
            about => format!("{about} {text}"),
        });
        f.write_str(&lines.collect::<Vec<_>>().join("; "))
    }
}

fn counts(table: &Table) -> Option<ClassCounts> {
    let classes = table.classes.as_ref()?;
    let rows = |label| table.rows.iter().filter(|row| row.label == Some(label)).count();
    Some(ClassCounts {
        column: classes.column.clone(),
        positive: ClassCount { values: classes.positive.clone(), rows: rows(Label::Positive) },
        negative: ClassCount { values: classes.negative.clone(), rows: rows(Label::Negative) },
    })
}
