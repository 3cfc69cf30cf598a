//! Weka's attribute-relation files.

use super::{
    TableError,
    cells::Cells,
    file::line_at,
    grid::{Grid, comment},
    shown,
};
use csv::StringRecord;
use std::{collections::BTreeSet, iter::Peekable, str::Chars};

/// Where an ARFF file begins, if a text is one: behind comments.
pub(super) fn begins(text: &str) -> Option<usize> {
    let mut position = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        let trimmed = line.trim();
        if trimmed.get(..9).is_some_and(|word| word.eq_ignore_ascii_case("@relation")) {
            return Some(position);
        }
        if !trimmed.is_empty() && !trimmed.starts_with('%') && comment(trimmed).is_none() {
            return None;
        }
        position += line.len();
    }
    None
}

/// Reads names and rows. What the attributes' types say is of no use here: values are checked as those of other files.
pub(super) fn parse(text: &str, start: usize, cells: &Cells) -> Result<Grid, TableError> {
    let first = line_at(text.as_bytes(), start);
    let body = &text[start..];
    let lines: Vec<&str> = match body.contains('\n') {
        true => body.split('\n').collect(),
        false => body.split('\r').collect(),
    };
    let mut lines = (first..).zip(lines.into_iter().map(str::trim)).filter(|(_, line)| {
        let is_comment = line.starts_with('%');
        !line.is_empty() && !is_comment
    });
    let wrong = |line: u64, reason: String| TableError::Arff { line, reason };
    let (mut columns, mut seen) = (Vec::new(), BTreeSet::new());
    loop {
        let Some((line, text)) = lines.next() else { return Err(TableError::Empty) };
        let word = text.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "@relation" => {}
            "@data" => break,
            "@attribute" => {
                let mut rest = text[word.len()..].trim_start().chars().peekable();
                let name = word_of(&mut rest, |c| c.is_whitespace() || c == '{')
                    .ok_or_else(|| wrong(line, "a quote opens that is not closed".into()))?;
                let kind: String = rest.collect::<String>().trim().to_lowercase();
                if name.is_empty() || kind.is_empty() {
                    return Err(wrong(line, "an attribute needs a name and a type".into()));
                }
                if kind.starts_with("relational") {
                    return Err(wrong(
                        line,
                        format!("attribute `{}` is a table of its own: remove it", shown(&name)),
                    ));
                }
                if !seen.insert(name.clone()) {
                    return Err(TableError::RepeatedColumn { line, column: shown(&name) });
                }
                columns.push(name);
            }
            _ => return Err(wrong(line, "neither @attribute nor @data is here: is a line broken?".into())),
        }
    }
    let mut rows = Vec::new();
    for (line, text) in lines {
        if text.starts_with('{') {
            return Err(wrong(
                line,
                "a sparse row: save the data in full (Weka's filter SparseToNonSparse)".into(),
            ));
        }
        let row = row_of(text).ok_or(TableError::OpenQuote { line })?;
        if row.len() != columns.len() {
            let reason = format!("{} cells for {} attributes", row.len(), columns.len());
            return Err(wrong(line, reason));
        }
        if row.iter().any(|cell| !cells.is_empty(cell)) {
            rows.push((line, row));
        }
    }
    match rows.is_empty() {
        true => Err(TableError::Empty),
        false => Ok(Grid {
            columns,
            named: true,
            rows,
            left_out: Vec::new(),
            like_header: None,
            notes: vec!["an ARFF file".into()],
        }),
    }
}

/// The cells of a row, with commas or tabs between them.
fn row_of(line: &str) -> Option<StringRecord> {
    let mut cells = StringRecord::new();
    let mut rest = line.chars().peekable();
    loop {
        while rest.next_if(|c| *c == ' ').is_some() {}
        cells.push_field(&word_of(&mut rest, |c| c == ',' || c == '\t')?);
        while rest.next_if(|c| *c == ' ').is_some() {}
        if rest.next().is_none() {
            return Some(cells);
        }
    }
}

/// A word up to a mark, or in quotes; nothing where a quote is not closed.
fn word_of(rest: &mut Peekable<Chars<'_>>, is_end: impl Fn(char) -> bool) -> Option<String> {
    let mut word = String::new();
    let Some(quote) = rest.next_if(|c| matches!(c, '\'' | '"')) else {
        while let Some(c) = rest.next_if(|c| !is_end(*c)) {
            word.push(c);
        }
        return Some(word.trim_end().to_owned());
    };
    loop {
        match rest.next()? {
            '\\' => match rest.next()? {
                'n' => word.push('\n'),
                't' => word.push('\t'),
                other => word.push(other),
            },
            c if c == quote => break,
            c => word.push(c),
        }
    }
    // What comes between the quote and the mark belongs to the cell.
    while let Some(c) = rest.next_if(|c| !is_end(*c)) {
        word.push(c);
    }
    Some(word.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Grid, TableError> {
        parse(text, begins(text).unwrap(), &Cells::default())
    }

    #[test]
    fn names_and_cells_may_be_quoted() {
        let text = "% a comment\r\n\r\n@RELATION 'two words'\r\n@attribute 'blood pressure' real % mmHg\r\n\
            @Attribute \"it's\" {yes,'not so'}\r\n@attribute age{1,2}\r\n@DATA\r\n% none\r\n1.5, 'not so', 2\r\n?,yes,1\r\n\
            -3,'it\\'s, \\\\',?\r\n";
        let grid = read(text).unwrap();
        assert_eq!(grid.columns, ["blood pressure", "it's", "age"]);
        let cells: Vec<Vec<&str>> = grid.rows.iter().map(|(_, cells)| cells.iter().collect()).collect();
        assert_eq!(cells, [["1.5", "not so", "2"], ["?", "yes", "1"], ["-3", "it's, \\", "?"]]);
        assert_eq!(grid.rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [9, 10, 11]);
    }

    #[test]
    fn what_is_no_row_is_named_by_its_line() {
        let head = "@relation r\n@attribute a real\n@attribute b real\n";
        for (rest, said) in [
            ("@data\n{0 1}\n", "line 5: a sparse row"),
            ("@data\n1,2\n1,2,3\n", "line 6: 3 cells for 2 attributes"),
            ("@data\n1,'2\n", "line 5: a quote opens"),
            ("@attribute a real\n@data\n1,2,3\n", "line 4 names column `a` twice"),
            ("@attribute r relational\n", "line 4: attribute `r` is a table"),
            ("1,2\n", "line 4: neither @attribute nor @data"),
            ("@data\n", "no row of data"),
        ] {
            let error = read(&format!("{head}{rest}")).err().unwrap().to_string();
            assert!(error.contains(said), "{rest}: {error}");
        }
        assert_eq!(begins("a,b\n@relation r\n"), None);
    }
}
