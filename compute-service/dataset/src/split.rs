//! Division of a table: rows into training and test, columns among participants.

use crate::Label;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use std::ops::Range;

/// Indices of the training and of the test rows, each ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows that the model is trained on.
    pub train: Vec<usize>,
    /// Rows that it is tested on.
    pub test: Vec<usize>,
}

/// Why a table cannot be divided.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SplitError {
    /// Not in [0, 1).
    #[error("the test fraction {0} is not in [0, 1)")]
    Fraction(f64),
    /// Less than two instances of a class to train on.
    #[error("{rows} rows with a test fraction of {fraction} leave only one class in the training rows")]
    OneClass {
        /// All rows.
        rows: usize,
        /// The share of test rows.
        fraction: f64,
    },
    /// Fewer than two folds, or more than a class has rows.
    #[error("{folds} folds: at least 2 are needed, and at most the {smaller} rows of the smaller class")]
    Folds {
        /// Folds.
        folds: u32,
        /// Rows of the class that has fewer.
        smaller: usize,
    },
    /// More participants than columns.
    #[error("{columns} feature columns cannot be divided among {parties} participants")]
    Columns {
        /// Feature columns.
        columns: usize,
        /// Participants.
        parties: usize,
    },
}

/// Which rows are kept for the test; both classes have the same share among them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Division {
    /// A share of the rows: [`stratified`].
    Share {
        /// In [0, 1).
        test_fraction: f64,
        /// Decides the rows.
        seed: u64,
    },
    /// One fold of a cross-validation: [`folds`].
    Fold {
        /// Their number.
        folds: u32,
        /// This one, from 0.
        fold: u32,
        /// Decides the folds.
        seed: u64,
    },
}

impl Division {
    /// Divides rows with these labels.
    ///
    /// # Errors
    /// As [`stratified`] or [`folds`].
    ///
    /// # Panics
    /// Where there is no such fold.
    pub fn of(self, labels: &[Label]) -> Result<Split, SplitError> {
        match self {
            Self::Share { test_fraction, seed } => stratified(labels, test_fraction, seed),
            Self::Fold { folds, fold, seed } => {
                Ok(self::folds(labels, folds, seed)?.swap_remove(fold as usize))
            }
        }
    }
}

/// Divides the rows for a stratified cross-validation, from a seed: every row is a test row of one fold, and folds
/// differ by one row at most, of each class as of all.
///
/// # Errors
/// [`SplitError::Folds`].
pub fn folds(labels: &[Label], folds: u32, seed: u64) -> Result<Vec<Split>, SplitError> {
    let mut groups = by_class(labels);
    let smaller = groups.iter().map(Vec::len).min().unwrap_or(0);
    if folds < 2 || folds as usize > smaller {
        return Err(SplitError::Folds { folds, smaller });
    }
    let mut rng = generator("confab folds", seed);
    groups.iter_mut().for_each(|group| shuffle(group, &mut rng));
    let mut fold_of = vec![0; labels.len()];
    for (place, row) in groups.concat().into_iter().enumerate() {
        fold_of[row] = place as u32 % folds;
    }
    let split = |fold| {
        let (test, train) = (0..labels.len()).partition(|&row| fold_of[row] == fold);
        Split { train, test }
    };
    Ok((0..folds).map(split).collect())
}

/// Draws the test rows so that both classes have the same share in them (stratified), from a seed.
///
/// # Errors
/// [`SplitError::Fraction`], [`SplitError::OneClass`].
pub fn stratified(labels: &[Label], test_fraction: f64, seed: u64) -> Result<Split, SplitError> {
    draw(labels, by_class(labels), test_fraction, seed)
}

/// Draws the test rows from all rows alike, from a seed.
///
/// # Errors
/// [`SplitError::Fraction`], [`SplitError::OneClass`].
pub fn plain(labels: &[Label], test_fraction: f64, seed: u64) -> Result<Split, SplitError> {
    draw(labels, vec![(0..labels.len()).collect()], test_fraction, seed)
}

/// The rows of the negative and of the positive class.
fn by_class(labels: &[Label]) -> Vec<Vec<usize>> {
    let of = |class| (0..labels.len()).filter(|&i| labels[i] == class).collect();
    vec![of(Label::Negative), of(Label::Positive)]
}

fn draw(labels: &[Label], groups: Vec<Vec<usize>>, fraction: f64, seed: u64) -> Result<Split, SplitError> {
    if !(0.0..1.0).contains(&fraction) {
        return Err(SplitError::Fraction(fraction));
    }
    let mut rng = generator("confab split", seed);
    let mut split = Split { train: Vec::new(), test: Vec::new() };
    for mut group in groups {
        shuffle(&mut group, &mut rng);
        let tests = (group.len() as f64 * fraction).round() as usize;
        split.train.extend_from_slice(&group[tests..]);
        split.test.extend_from_slice(&group[..tests]);
    }
    split.train.sort_unstable();
    split.test.sort_unstable();
    if split.train.iter().all(|&i| labels[i] == labels[split.train[0]]) {
        return Err(SplitError::OneClass { rows: labels.len(), fraction });
    }
    Ok(split)
}

/// Divides columns among participants in contiguous blocks in the order of the file, as evenly as possible; the
/// first ones get one more.
///
/// # Errors
/// [`SplitError::Columns`] where a participant would get none.
pub fn deal(columns: usize, parties: usize) -> Result<Vec<Range<usize>>, SplitError> {
    if parties == 0 || parties > columns {
        return Err(SplitError::Columns { columns, parties });
    }
    let (size, more) = (columns / parties, columns % parties);
    let start = |party: usize| party * size + party.min(more);
    Ok((0..parties).map(|party| start(party)..start(party + 1)).collect())
}

/// The generator of one purpose and seed, the same on every machine. Not for secrets.
pub fn generator(purpose: &str, seed: u64) -> ChaCha20Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..][..purpose.len()].copy_from_slice(purpose.as_bytes());
    ChaCha20Rng::from_seed(key)
}

/// A number below the bound, without bias.
pub(crate) fn below(rng: &mut impl Rng, bound: u64) -> u64 {
    let excess = (u64::MAX % bound + 1) % bound;
    loop {
        let drawn = rng.next_u64();
        if drawn <= u64::MAX - excess {
            return drawn % bound;
        }
    }
}

fn shuffle(items: &mut [usize], rng: &mut impl Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(rng, i as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Label::{Negative as N, Positive as P};
    use proptest::prelude::*;

    fn labels(negative: usize, positive: usize) -> Vec<Label> {
        [vec![N; negative], vec![P; positive]].concat()
    }

    #[test]
    fn bcwd_keeps_its_shares_in_both_parts() {
        let labels = labels(444, 239);
        let split = stratified(&labels, 0.2, 1).unwrap();
        let positives = |rows: &[usize]| rows.iter().filter(|&&i| labels[i] == P).count();
        assert_eq!((split.train.len(), positives(&split.train)), (546, 191));
        assert_eq!((split.test.len(), positives(&split.test)), (137, 48));
    }

    #[test]
    fn a_seed_gives_one_split_forever() {
        let labels = labels(6, 6);
        let split = stratified(&labels, 0.34, 7).unwrap();
        assert_eq!(split, stratified(&labels, 0.34, 7).unwrap());
        assert_eq!(split.test, PINNED);
        assert!((0..20).any(|seed| stratified(&labels, 0.34, seed).unwrap() != split));
    }

    /// Recorded once; it must not change, or old runs cannot be repeated.
    const PINNED: [usize; 4] = [0, 4, 6, 8];

    #[test]
    fn columns_of_the_books_sets_over_three_to_five() {
        let sizes =
            |columns, parties| deal(columns, parties).unwrap().iter().map(Range::len).collect::<Vec<_>>();
        assert_eq!(sizes(9, 3), [3, 3, 3]);
        assert_eq!(sizes(9, 4), [3, 2, 2, 2]);
        assert_eq!(sizes(9, 5), [2, 2, 2, 2, 1]);
        assert_eq!(sizes(14, 3), [5, 5, 4]);
        assert_eq!(sizes(14, 4), [4, 4, 3, 3]);
        assert_eq!(sizes(14, 5), [3, 3, 3, 3, 2]);
        assert_eq!(deal(2, 3), Err(SplitError::Columns { columns: 2, parties: 3 }));
        assert_eq!(deal(2, 0), Err(SplitError::Columns { columns: 2, parties: 0 }));
    }

    #[test]
    fn what_leaves_one_class_is_refused() {
        assert!(matches!(stratified(&labels(5, 0), 0.2, 0), Err(SplitError::OneClass { .. })));
        assert!(matches!(stratified(&labels(5, 1), 0.6, 0), Err(SplitError::OneClass { .. })));
        assert!(matches!(stratified(&labels(0, 0), 0.2, 0), Err(SplitError::OneClass { .. })));
        for fraction in [1.0, -0.1, f64::NAN] {
            assert!(matches!(plain(&labels(5, 5), fraction, 0), Err(SplitError::Fraction(_))));
        }
    }

    #[test]
    fn a_seed_gives_the_same_folds_forever() {
        let labels = labels(5, 4);
        let tests: Vec<_> = folds(&labels, 3, 7).unwrap().into_iter().map(|split| split.test).collect();
        assert_eq!(tests, PINNED_FOLDS);
        assert!((0..20).any(|seed| folds(&labels, 3, seed) != folds(&labels, 3, 7)));
        let second = Division::Fold { folds: 3, fold: 1, seed: 7 }.of(&labels).unwrap();
        assert_eq!(second.test, PINNED_FOLDS[1]);
    }

    /// Recorded once; it must not change, or old evaluations cannot be repeated.
    const PINNED_FOLDS: [[usize; 3]; 3] = [[0, 4, 6], [1, 2, 7], [3, 5, 8]];

    #[test]
    fn folds_that_some_class_cannot_fill_are_refused() {
        assert_eq!(folds(&labels(9, 4), 5, 1), Err(SplitError::Folds { folds: 5, smaller: 4 }));
        assert_eq!(folds(&labels(9, 4), 1, 1), Err(SplitError::Folds { folds: 1, smaller: 4 }));
        assert_eq!(folds(&[], 2, 1), Err(SplitError::Folds { folds: 2, smaller: 0 }));
    }

    proptest! {
        #[test]
        fn folds_are_stratified(negative in 2usize..60, positive in 2usize..60, count in 2u32..10, seed: u64) {
            prop_assume!(count as usize <= negative.min(positive));
            let labels = labels(negative, positive);
            let splits = folds(&labels, count, seed).unwrap();
            prop_assert_eq!(splits.len(), count as usize);
            let even = |sizes: Vec<usize>| sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1;
            prop_assert!(even(splits.iter().map(|split| split.test.len()).collect()));
            for class in [N, P] {
                let tests = |split: &Split| split.test.iter().filter(|&&row| labels[row] == class).count();
                prop_assert!(even(splits.iter().map(tests).collect()));
            }
            let mut tested: Vec<usize> = splits.iter().flat_map(|split| split.test.clone()).collect();
            tested.sort_unstable();
            prop_assert!(tested.into_iter().eq(0..labels.len()));
            for split in splits {
                let mut all = [split.train, split.test].concat();
                all.sort_unstable();
                prop_assert!(all.into_iter().eq(0..labels.len()));
            }
        }

        #[test]
        fn every_row_is_in_one_part(negative in 2usize..40, positive in 2usize..40, fraction in 0.0..0.5, seed: u64) {
            let labels = labels(negative, positive);
            for split in [stratified(&labels, fraction, seed).ok(), plain(&labels, fraction, seed).ok()] {
                let Some(split) = split else { continue };
                let mut all = [split.train, split.test].concat();
                all.sort_unstable();
                prop_assert!(all.into_iter().eq(0..labels.len()));
            }
        }

        #[test]
        fn every_column_has_one_owner(columns in 1usize..100, parties in 1usize..20) {
            prop_assume!(parties <= columns);
            let blocks = deal(columns, parties).unwrap();
            prop_assert!(blocks.iter().cloned().flatten().eq(0..columns));
            let (least, most) = (blocks.iter().map(Range::len).min(), blocks.iter().map(Range::len).max());
            prop_assert!(most.unwrap() - least.unwrap() <= 1);
        }
    }
}
