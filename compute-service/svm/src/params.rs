use records::{Decimal, HorizontalSvm, SCALE, VerticalSvm};
use serde::{Deserialize, Serialize};

/// η, λ and C of the update w ← w − η(λw − C·Σ I·y·x).
///
/// The model is linear without a bias term, as in eq. 5.4. The book writes λ both for the step (eq. 5.3) and for the
/// regulariser (eq. 5.2); here they are two numbers. The sum runs over the batch and is not divided by its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hyperparameters {
    /// η, the step.
    pub learning_rate: Decimal,
    /// λ of the regulariser.
    pub lambda: Decimal,
    /// C of the hinge loss.
    pub c: Decimal,
}

impl Hyperparameters {
    /// C = 1/m for m training rows, so that an update by all rows moves the model by their mean.
    ///
    /// # Panics
    /// Where there are no rows.
    pub fn mean_c(rows: usize) -> Decimal {
        Decimal::from_raw((SCALE / rows as i64).max(1))
    }
}

impl From<&VerticalSvm> for Hyperparameters {
    fn from(job: &VerticalSvm) -> Self {
        Self { learning_rate: job.learning_rate, lambda: job.lambda, c: job.c }
    }
}

impl From<&HorizontalSvm> for Hyperparameters {
    fn from(job: &HorizontalSvm) -> Self {
        Self { learning_rate: job.learning_rate, lambda: job.lambda, c: job.c }
    }
}
