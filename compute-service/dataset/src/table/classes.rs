//! Which values of a label column are positive and which negative.

use super::{
    TableError,
    cells::{number, same_class},
    error, shown,
};
use unicode_normalization::UnicodeNormalization;

/// Most different values that a label column may have.
const MOST: usize = 64;

/// The values of a label that count as one class, as somebody named them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// One value, or several with commas between them, as on a command line.
    Listed(String),
    /// The values one by one.
    Values(Vec<String>),
    /// One value, or several with slashes between them, as in a job or a model.
    Joined(String),
}

impl From<&str> for Class {
    fn from(list: &str) -> Self {
        Self::Listed(list.into())
    }
}

impl From<String> for Class {
    fn from(list: String) -> Self {
        Self::Listed(list)
    }
}

impl Class {
    /// The words in question. A value that has a comma or slash itself is one word where it is among the `values` of a
    /// column.
    fn words<'a>(&'a self, values: &[&str]) -> Vec<&'a str> {
        let (text, mark) = match self {
            Self::Values(words) => return words.iter().map(|word| word.trim()).collect(),
            Self::Listed(text) => (text, ','),
            Self::Joined(text) => (text, '/'),
        };
        match values.iter().any(|value| same_class(value, text.trim())) {
            true => vec![text.trim()],
            false => text.split(mark).map(str::trim).filter(|word| !word.is_empty()).collect(),
        }
    }

    /// Whether a value of a label belongs to the class.
    pub fn has(&self, value: &str) -> bool {
        self.words(&[value]).iter().any(|word| same_class(word, value))
    }

    /// The words in question, as somebody gave them by an option: at least one, and each once. What a job or a model joined
    /// is taken as it is.
    fn given<'a>(&'a self, option: &'static str, values: &[&str]) -> Result<Vec<&'a str>, TableError> {
        let words = self.words(values);
        let mut each: Vec<&str> = Vec::new();
        for &word in &words {
            let is_again = each.iter().any(|other| same_class(other, word));
            match self {
                Self::Joined(_) if is_again => {}
                _ if is_again => return Err(TableError::ClassTwice { option, value: shown(word) }),
                _ => each.push(word),
            }
        }
        match self {
            Self::Listed(_) | Self::Values(_) if words.is_empty() || words.contains(&"") => {
                Err(TableError::NoClass { option })
            }
            _ => Ok(each),
        }
    }

    /// All words, however they were given.
    pub fn all(&self) -> Vec<&str> {
        self.words(&[])
    }

    /// As it was given.
    pub fn name(&self) -> String {
        match self {
            Self::Listed(text) | Self::Joined(text) => text.clone(),
            Self::Values(words) => words.join("/"),
        }
    }
}

/// Whether a value of a label column belongs to a class, whose name joins several with `/` where these count as one.
pub fn is_class(value: &str, class: &str) -> bool {
    Class::Joined(class.into()).has(value)
}

/// The label column of a [`super::Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    /// Its name.
    pub column: String,
    /// The values that count as positive.
    pub positive: Vec<String>,
    /// The values that count as negative.
    pub negative: Vec<String>,
}

impl Classes {
    /// The positive class in jobs, models and reports: its values, joined with `/`.
    pub fn positive_name(&self) -> String {
        self.positive.join("/")
    }

    /// The negative class.
    pub fn negative_name(&self) -> String {
        self.negative.join("/")
    }

    /// Checks that every value can be told from the names of the classes, which is all that jobs and models have.
    fn check_names(&self, found: &[(&str, u64)]) -> Result<(), TableError> {
        let (positive, negative) = (self.positive_name(), self.negative_name());
        let are_told = |values: &[String], own: &str, other: &str| {
            values.iter().all(|value| is_class(value, own) && !is_class(value, other))
        };
        if are_told(&self.positive, &positive, &negative) && are_told(&self.negative, &negative, &positive) {
            return Ok(());
        }
        let sides = [&self.positive, &self.negative];
        let several = sides.into_iter().filter(|values| values.len() > 1).flatten();
        // A class of one value may look like one of several, too.
        let cause = several.chain(sides.into_iter().flatten()).find(|value| value.contains('/'));
        match cause {
            None => Ok(()),
            Some(value) => Err(TableError::SlashInClass {
                line: found.iter().find(|(other, _)| other == value).map(|(_, line)| *line),
                column: self.column.clone(),
                value: shown(value),
                positive: shown(&positive),
                negative: shown(&negative),
            }),
        }
    }

    pub(super) fn is_positive(&self, cell: &str) -> bool {
        self.positive.iter().any(|value| same_class(value, cell))
    }
}

/// Which classes are asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub positive: Option<&'a Class>,
    pub negative: Option<&'a Class>,
    /// Whether rows of one class alone will do.
    pub one_class: bool,
}

/// The different values of a label column, in order, each with the line where it is first.
pub(super) fn values<'a>(
    column: &str,
    cells: impl Iterator<Item = (u64, &'a str)>,
) -> Result<Vec<(&'a str, u64)>, TableError> {
    let mut values: Vec<(&str, u64)> = Vec::new();
    for (line, cell) in cells {
        // The same text comes again and again.
        let is_known = values.iter().any(|(value, _)| *value == cell)
            || values.iter().any(|(value, _)| same_class(value, cell));
        if !is_known {
            values.push((cell, line));
            if values.len() > MOST {
                return Err(TableError::TooManyClasses { column: column.into() });
            }
        }
    }
    let is_numeric = values.iter().all(|(value, _)| number(value).is_some());
    match is_numeric {
        true => values.sort_by(|(a, _), (b, _)| number(a).partial_cmp(&number(b)).expect("finite numbers")),
        false => values.sort_unstable(),
    }
    Ok(values)
}

/// In what two values differ that may be one.
fn difference(one: &str, other: &str) -> Option<&'static str> {
    let [lower, other_lower] = [one, other].map(str::to_lowercase);
    match () {
        () if lower == other_lower => Some("in upper and lower case"),
        () if one.nfc().eq(other.nfc()) => Some("in the Unicode form of an accent (NFC and NFD)"),
        () if lower.nfc().eq(other_lower.nfc()) => {
            Some("in upper and lower case and in the Unicode form of an accent (NFC and NFD)")
        }
        () => None,
    }
}

/// What to say of a value that looks like one of these words and is none.
fn other_form<'a>(value: &str, mut words: impl Iterator<Item = &'a str>) -> &'static str {
    match words.any(|word| word != value && word.nfc().eq(value.nfc())) {
        true => "; what looks like it has another Unicode form (NFC or NFD)",
        false => "",
    }
}

/// Divides the values of a label column.
pub(super) fn divide(column: &str, found: &[(&str, u64)], wanted: Wanted<'_>) -> Result<Classes, TableError> {
    let classes = sides(column, found, wanted)?;
    classes.check_names(found)?;
    Ok(classes)
}

fn sides(column: &str, found: &[(&str, u64)], wanted: Wanted<'_>) -> Result<Classes, TableError> {
    let values: Vec<&str> = found.iter().map(|(value, _)| *value).collect();
    let column = column.to_owned();
    let listed = || error::list(&values);
    let named = |class: Option<&Class>, option| -> Result<Vec<String>, TableError> {
        let words = class.map(|class| class.given(option, &values)).transpose()?;
        Ok(words.into_iter().flatten().map(String::from).collect())
    };
    let positive = named(wanted.positive, "--positive")?;
    let negative = named(wanted.negative, "--negative")?;
    let is_in = |words: &[String], value: &str| words.iter().any(|word| same_class(word, value));
    if let Some(both) = positive.iter().find(|word| is_in(&negative, word)) {
        return Err(TableError::BothClasses { value: shown(both) });
    }
    for (option, words) in [("--positive", &positive), ("--negative", &negative)] {
        let never = words.iter().find(|word| !values.iter().any(|value| same_class(value, word)));
        if let Some(word) = never.filter(|_| !wanted.one_class) {
            let hint = other_form(word, values.iter().copied());
            return Err(TableError::NoSuchClass {
                column,
                value: shown(word),
                option,
                values: listed(),
                hint,
            });
        }
    }
    let is_named = |value: &str| is_in(&positive, value) || is_in(&negative, value);
    // `Ill` beside `ill` is one word written in two ways more often than two.
    for (place, (one, _)) in found.iter().enumerate() {
        let is_unclear = |other: &str| !(is_named(one) && is_named(other));
        let mut others = found[place + 1..].iter().filter(|(other, _)| is_unclear(other));
        let alike = others.find_map(|(other, line)| Some((other, line, difference(one, other)?)));
        if let Some((other, line, difference)) = alike {
            let (one, other) = (shown(one), shown(other));
            return Err(TableError::SpellingOnly { column, one, other, line: *line, difference });
        }
    }
    let rest: Vec<String> = values.iter().filter(|v| !is_named(v)).map(|v| (*v).to_owned()).collect();
    if wanted.positive.is_some() && wanted.negative.is_some() {
        return match found.iter().find(|(value, _)| !is_named(value)) {
            Some((value, line)) => Err(TableError::NeitherClass {
                line: *line,
                column,
                value: shown(value),
                positive: error::list(&positive),
                negative: error::list(&negative),
                hint: other_form(value, positive.iter().chain(&negative).map(String::as_str)),
            }),
            None => Ok(Classes { column, positive, negative }),
        };
    }
    let too_many = |side, other| TableError::TooManyValues {
        column: column.clone(),
        rest: error::list(&rest),
        side,
        other,
    };
    match (wanted.positive, wanted.negative) {
        (Some(_), _) if rest.len() > 1 && !wanted.one_class => Err(too_many("--positive", "--negative")),
        (_, Some(_)) if rest.len() > 1 && !wanted.one_class => Err(too_many("--negative", "--positive")),
        (Some(_), _) => Ok(Classes { column, positive, negative: rest }),
        (_, Some(_)) => Ok(Classes { column, positive: rest, negative }),
        (None, None) => {
            let is_numeric = values.iter().all(|value| number(value).is_some());
            let mut values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
            match values.len() {
                1 => Ok(Classes { column, positive: values, negative: Vec::new() }),
                2 if is_numeric => {
                    let positive = values.split_off(1);
                    Ok(Classes { column, positive, negative: values })
                }
                _ => Err(TableError::ChoosePositive { column, values: error::list(&values) }),
            }
        }
    }
}
