//! What a cell looks like that has to be a number and is none, and what can be done about it.

use super::cells::{number, with_comma};

const LIMIT: &str = " but a limit, such as <0.5 or >90; write the number that all participants agree on for it, or where it stands \
    for a gap, name it with --na";
const PERCENT: &str =
    " but a percentage; remove the percent sign, and see that the whole column has one unit";
const THOUSANDS: &str = " because of what divides the thousands, a comma, a blank or another mark; write 1234.5 in place of 1,234.5";
const INFINITE: &str = " but infinite, or too large for one; write a finite number, or where it stands for a gap, name it \
    with --na";
const MINUS: &str =
    " because its minus is a dash such as U+2212 and not the ASCII character; write - in its place";
const INVISIBLE: &str = " because of a character that does not show, such as U+200B; remove it";
const BLANK: &str = " because of a blank in it, perhaps a non-breaking one (U+00A0); remove it, or see whether it is two numbers";
const DATE: &str = " but a date or a time; write a number for it, such as the days since one that all participants agree on, or \
    remove the column";
const TRUTH: &str = " but a word such as true or no; write 1 and 0 in its place, or where it stands for a gap, name it with --na";
const UNIT: &str = " because of what comes behind it, such as a unit or a mark; remove that";
const WORD: &str = "; where the word stands for a gap, name it with --na";

/// What to say behind "not a number". The cell is not in it: a participant may post its reason for giving up.
pub(super) fn hint(cell: &str) -> &'static str {
    let without = |is_out: fn(char) -> bool| cell.replace(is_out, "");
    match () {
        () if cell.contains(is_invisible) && is_numeric(&without(is_invisible)) => INVISIBLE,
        () if cell.contains(is_dash) && is_numeric(&cell.replace(is_dash, "-")) => MINUS,
        () if cell.starts_with(['<', '>', '≤', '≥']) => LIMIT,
        () if cell.strip_suffix(['%', '‰']).is_some_and(|rest| is_numeric(rest.trim_end())) => PERCENT,
        () if is_infinite(cell) => INFINITE,
        () if is_truth(cell) => TRUTH,
        () if is_date_or_time(cell) => DATE,
        () if has_thousands(cell) => THOUSANDS,
        () if cell.contains(char::is_whitespace) && is_numeric(&without(char::is_whitespace)) => BLANK,
        () if has_unit(cell) => UNIT,
        () => WORD,
    }
}

/// Whether a text is a number, or one but for the marks between its thousands.
fn is_numeric(text: &str) -> bool {
    number(text).is_some() || with_comma(text).is_some() || has_thousands(text)
}

/// A dash that is not the ASCII one.
fn is_dash(c: char) -> bool {
    matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}')
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn is_infinite(cell: &str) -> bool {
    cell.parse::<f64>().is_ok_and(f64::is_infinite) || cell.trim_start_matches(['+', '-']) == "∞"
}

fn is_truth(cell: &str) -> bool {
    ["true", "false", "yes", "no", "t", "f", "y", "n"].iter().any(|word| word.eq_ignore_ascii_case(cell))
}

/// Days such as 2024-01-31, 31.1.2024 or 31-Jan-24, also with a time behind them; months such as 2024-01; times.
fn is_date_or_time(cell: &str) -> bool {
    let day = cell.split([' ', 'T']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split(['-', '/', '.', ':']).collect();
    let are_digits = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_year = |part: &&str| part.len() == 4;
    let is_short = |part: &&str| part.len() < 3;
    match parts.as_slice() {
        [first, month, last] if month.len() > 2 && month.chars().all(char::is_alphabetic) => {
            [first, last].into_iter().all(are_digits)
        }
        all if !all.iter().all(are_digits) => false,
        // A time, also with fractions of its seconds. A titre such as 1:160 is none.
        [hours, minutes] | [hours, minutes, _] | [hours, minutes, _, _] if day.contains(':') => {
            is_short(hours) && minutes.len() == 2
        }
        [_, _] if !day.contains('.') => parts.iter().any(is_year) && parts.iter().any(is_short),
        [_, _, _] => parts.iter().all(|part| is_year(part) || is_short(part)),
        _ => false,
    }
}

/// Whether the digits before the fraction are in groups of three.
fn has_thousands(cell: &str) -> bool {
    let digits = cell.trim_start_matches(['+', '-']);
    let is_mark = |c: &char| ",.'’_".contains(*c) || c.is_whitespace();
    let Some(mark) = digits.chars().find(|c| !c.is_ascii_digit()).filter(is_mark) else { return false };
    let (whole, fraction) = match digits.rsplit_once(['.', ',']) {
        Some((whole, fraction)) if !digits[whole.len()..].starts_with(mark) => (whole, fraction),
        _ => (digits, ""),
    };
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mut groups = whole.split(mark);
    let first = groups.next().unwrap_or_default();
    let mut groups = groups.peekable();
    matches!(first.len(), 1..=3)
        && groups.peek().is_some()
        && groups.all(|group| group.len() == 3 && are_digits(group))
        && are_digits(first)
        && are_digits(fraction)
}

/// Whether a number comes first, and then something without digits.
fn has_unit(cell: &str) -> bool {
    let Some(last) = cell.rfind(|c: char| c.is_ascii_digit()) else { return false };
    let (number, unit) = cell.split_at(last + 1);
    is_numeric(number) && unit.contains(|c: char| c.is_alphabetic() || "*#°†".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_called_what_they_look_like() {
        for (cells, expected) in [
            (&["<0.5", ">90", "< 1,5", "<=3", "≥ 7", ">1,000.5", "<LOD"][..], LIMIT),
            (&["12 %", "12%", "-0,5 %", "3\u{a0}%", "1.5‰"], PERCENT),
            (
                &[
                    "1,234.5",
                    "-1,234,567",
                    "1.234.567",
                    "1.234,5",
                    "1'234",
                    "1 234",
                    "12\u{a0}345,6",
                    "1\u{202f}234.5",
                ],
                THOUSANDS,
            ),
            (&["inf", "-inf", "Infinity", "+INFINITY", "1e999", "-∞"], INFINITE),
            (&["\u{2212}1.5", "\u{2013}3", "1e\u{2212}9", "\u{2212}1,5"], MINUS),
            (&["\u{200b}5", "5\u{feff}", "\u{200e}-1,5"], INVISIBLE),
            (&["- 5", "1 2.5", "1\u{a0}2"], BLANK),
            (
                &[
                    "2024-01-31",
                    "31.01.2024",
                    "1/31/24",
                    "31-Jan-2024",
                    "2024-01",
                    "2024-01-31T10:00:00Z",
                    "2024-01-31 10:00",
                    "12:30",
                    "12:30:05.25",
                ],
                DATE,
            ),
            (&["true", "FALSE", "yes", "No", "t"], TRUTH),
            (&["5 mg", "5.2*", "1,5x", "37 °C", "12H"], UNIT),
            (
                &[
                    "x",
                    "-",
                    "0x10",
                    "1,2,3",
                    "40-50",
                    "1,",
                    "12,34.5",
                    "1:2:3:4:5",
                    "%",
                    "unknown",
                    "a-b-c",
                    "1234,567.5",
                    "--5",
                    "５",
                ],
                WORD,
            ),
        ] {
            for cell in cells {
                assert_eq!(hint(cell), expected, "{cell}");
            }
        }
    }
}
