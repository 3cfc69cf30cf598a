//! What a cell says: a number, a gap, a word.

use std::cell::Cell;

/// Words that stand for a gap in any column, compared without regard to case.
pub const GAP_WORDS: [&str; 11] =
    ["", "?", "NA", "N/A", "#N/A", "#NA", "<NA>", "NaN", "null", "#NULL!", "\\N"];
/// Words that stand for a gap where numbers are expected; in labels and identifiers they are words like others.
pub const GAP_WORDS_OF_NUMBERS: [&str; 3] = ["none", "-nan", "."];

/// No word for a gap is longer.
const LONGEST: usize = 6;

/// How the cells of a file are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    /// Further words for gaps.
    na: Vec<String>,
}

/// What a cell that is to be a number is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    Gap,
    Number(f64),
    /// With a decimal comma.
    Comma(f64, Comma),
    Other,
}

/// What the comma of a number is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comma {
    /// It divides the fraction.
    Decimal,
    /// It may divide thousands as well: three digits come after it.
    Unclear,
}

impl Cells {
    pub fn new(na: &[String]) -> Self {
        Self { na: na.iter().map(|word| word.trim().to_owned()).collect() }
    }

    fn is_named(&self, cell: &str) -> bool {
        self.na.iter().any(|word| word.eq_ignore_ascii_case(cell) || same(word, cell))
    }

    /// Whether a label or an identifier is missing. A lone dot is: SAS and SPSS write it so.
    pub fn is_gap(&self, cell: &str) -> bool {
        is_word(cell, &GAP_WORDS) || cell == "." || self.is_named(cell)
    }

    /// Whether a cell says nothing of what a column holds.
    pub fn is_empty(&self, cell: &str) -> bool {
        self.is_gap(cell) || is_word(cell, &GAP_WORDS_OF_NUMBERS)
    }

    pub fn value(&self, cell: &str) -> Value {
        if !self.na.is_empty() && self.is_named(cell) {
            return Value::Gap;
        }
        match number(cell) {
            Some(number) => Value::Number(number),
            None if self.is_empty(cell) => Value::Gap,
            None => with_comma(cell).map_or(Value::Other, |(number, comma)| Value::Comma(number, comma)),
        }
    }
}

fn is_word(cell: &str, words: &[&str]) -> bool {
    // Most cells are numbers.
    let is_number = || cell.as_bytes().first().is_some_and(u8::is_ascii_digit);
    cell.len() <= LONGEST && !is_number() && words.iter().any(|word| word.eq_ignore_ascii_case(cell))
}

/// The finite number in a cell.
pub(super) fn number(cell: &str) -> Option<f64> {
    cell.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Whether two texts are the same number.
fn same(a: &str, b: &str) -> bool {
    matches!((number(a), number(b)), (Some(a), Some(b)) if a == b)
}

/// Whether two labels are the same text or the same number.
pub fn same_class(a: &str, b: &str) -> bool {
    a == b || same(a, b)
}

/// The finite number in a cell with one comma between digits.
pub(super) fn with_comma(cell: &str) -> Option<(f64, Comma)> {
    let (whole, rest) = cell.split_once(',')?;
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let fraction = rest.bytes().take_while(u8::is_ascii_digit).count();
    let exponent = &rest[fraction..];
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain || fraction == 0 || !(exponent.is_empty() || exponent.starts_with(['e', 'E'])) {
        return None;
    }
    let number = number(&format!("{whole}.{rest}"))?;
    let unclear =
        fraction == 3 && exponent.is_empty() && matches!(digits.len(), 1..=3) && !digits.starts_with('0');
    Some((number, if unclear { Comma::Unclear } else { Comma::Decimal }))
}

/// What is known of the commas in the numbers of a file.
#[derive(Default)]
pub(super) struct Commas {
    /// Place of the first number with a comma that divides a fraction, and of the first that may divide thousands.
    pub decimal: Cell<Option<(u64, usize)>>,
    pub unclear: Cell<Option<(u64, usize)>>,
}

impl Commas {
    pub fn seen(&self, comma: Comma, line: u64, column: usize) {
        let place = match comma {
            Comma::Decimal => &self.decimal,
            Comma::Unclear => &self.unclear,
        };
        if place.get().is_none() {
            place.set(Some((line, column)));
        }
    }

    /// Where the first one is.
    pub fn first(&self) -> Option<(u64, usize)> {
        [self.decimal.get(), self.unclear.get()].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_words_of_their_own() {
        let cells = Cells::new(&["-9".into(), " absent ".into()]);
        for gap in
            ["", "?", "NA", "na", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A", "\\N", ".", "<NA>"]
        {
            assert!(cells.is_gap(gap) && cells.value(gap) == Value::Gap, "{gap}");
        }
        for gap in ["-9", "-9.0", "absent", "ABSENT"] {
            assert!(cells.is_gap(gap) && cells.value(gap) == Value::Gap, "{gap}");
            let plain = Cells::default();
            assert!(!plain.is_gap(gap) && plain.value(gap) != Value::Gap, "{gap}");
        }
        for word in ["none", "None"] {
            assert!(!cells.is_gap(word) && cells.value(word) == Value::Gap, "{word}");
        }
        for word in
            ["-", "no", "0", "nano", "N", "nah", "missing", "inf", "-inf", "infinity", "1e999", "0x10"]
        {
            assert!(!cells.is_gap(word) && cells.value(word) != Value::Gap, "{word}");
        }
        assert_eq!(cells.value("inf"), Value::Other);
    }

    #[test]
    fn a_comma_divides_fractions_or_is_unclear() {
        let value = |cell| Cells::default().value(cell);
        for (cell, number) in [
            ("1,5", 1.5),
            ("-0,123", -0.123),
            ("+12,34e-3", 12.34e-3),
            (",5", 0.5),
            ("1234,567", 1234.567),
            ("0,5E2", 50.0),
        ] {
            assert_eq!(value(cell), Value::Comma(number, Comma::Decimal), "{cell}");
        }
        for cell in ["1,234", "-999,000", "12,345"] {
            assert!(matches!(value(cell), Value::Comma(_, Comma::Unclear)), "{cell}");
        }
        for cell in
            ["1,", ",", "1,2,3", "1,234,567", "1.234,5", "1,5x", "a,5", "1,-5", "1 2,5", "1,5e999", "--1,5"]
        {
            assert_eq!(value(cell), Value::Other, "{cell}");
        }
    }
}
