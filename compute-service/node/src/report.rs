//! What trainings reveal, in words.

use records::{HorizontalSvm, JobParams, Judge, Publication};
use serde::{Deserialize, Serialize};
use svm::{horizontal, vertical::Blinding};

/// Bounds on what the blinded judge shows beyond the indicator (`docs/protocols.md` 2b).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LeakBound {
    /// Statistical distance of one comparison between any two values d, d′ of one sign.
    pub distance_per_comparison: f64,
    /// Most visits to one instance.
    pub visits_per_instance: u32,
    /// To how many octaves log₂|2d+1| of one value stays unknown after that many visits to it.
    pub octaves_unknown: f64,
}

impl LeakBound {
    /// With so many visits to one instance.
    pub fn new(blinding: &Blinding, visits: u32) -> Self {
        Self {
            distance_per_comparison: blinding.worst_distance(),
            visits_per_instance: visits,
            octaves_unknown: blinding.octaves(visits),
        }
    }
}

/// What a training by columns reveals, in words: before it, as far as it is known then, and after. The key's bound is absent
/// where there is no share of it.
pub fn reveals(params: &JobParams, key_bound: Option<u32>, bound: Option<&LeakBound>) -> Vec<String> {
    let training = params.training();
    let mut list = vec![
        "to all members of the channel: number of instances and features, digests of identifiers and labels, \
         the schedule, and every indicator I[y·w·x < 1]"
            .to_string(),
        "the indicators are inequalities on inner products of a member's rows, for w⁰ and y are known"
            .to_string(),
    ];
    match (training.judge, bound) {
        (Judge::Blinded, Some(bound)) => list.push(format!(
            "of each margin beyond its indicator: statistical distance at most {:.3} a comparison; after {} visits \
             log₂|2d+1| of an instance stays unknown to within {:.1} octaves (factors of two)",
            bound.distance_per_comparison, bound.visits_per_instance, bound.octaves_unknown
        )),
        _ => list.push(
            "the paper's judge publishes r₁ and r₃: every margin y·w·x is known to all members to within one unit"
                .to_string(),
        ),
    }
    list.push(pooled(key_bound, training.quorum, "margin"));
    list.push(
        "to any participant that deviates, by what it puts into its IV records: any ciphertext under the key, of \
         earlier jobs too; the others do not notice"
            .to_string(),
    );
    list.push(match training.model {
        Publication::Published => {
            "the whole model; it is an exact linear equation on the rows that were in the margin".to_string()
        }
        Publication::Split => "no weights: each participant keeps its part".to_string(),
    });
    list
}

/// What colluding members of a key learn, in words.
pub(crate) fn pooled(key_bound: Option<u32>, quorum: u32, what: &str) -> String {
    match key_bound.map(|bound| bound.min(quorum.saturating_sub(1))) {
        None => format!(
            "to members that pool what they see: possibly every {what}; from how many on is not known here, where no share \
             of the key is"
        ),
        Some(0) => "to the party that dealt the key: everything".to_string(),
        Some(1) => format!(
            "to any two that pool what they see: possibly every {what}; a single one learns no more than this"
        ),
        Some(t) => format!(
            "to any {} that pool what they see: possibly every {what}; any {t} learn no more than this",
            t + 1
        ),
    }
}

/// What a training by rows reveals, in words: before it, with the most iterations and rows, and after.
pub fn reveals_by_rows(
    training: &HorizontalSvm,
    providers: usize,
    iterations: u32,
    rows: &str,
) -> Vec<String> {
    let mut list = vec![
        "to all members of the channel: columns, classes, room for rows, number of iterations".to_string(),
    ];
    if training.standardise {
        list.push(
            "to all members: number, mean and deviation of each column over all providers' rows together; of each column \
             of the proposer's, before, the largest magnitude to a factor of 256"
                .into(),
        );
    }
    match horizontal::HorizontalSvm::blinding(training) {
        None => list.extend([
            "to analyst and provider, and to all members of the channel: every indicator of every row and iteration".to_string(),
            "to the analyst: every provider's gradient; with the indicators it can solve for single rows".to_string(),
        ]),
        Some(blinding) => {
            let visits = iterations.saturating_mul(training.active());
            list.push(
                "to the analyst: the sum of all gradients of each iteration, while one provider at least does not collude \
                 with it; differences between iterations can expose single rows unless --gradient-noise hides them"
                    .into(),
            );
            list.push(format!(
                "to the analyst, of a provider: its mean log₂|2d+1| to within about {:.1} octaves (factors of two)",
                blinding.octaves(visits)
            ));
            if training.active() < 10 {
                list.push("fewer than ten rows of a provider in an iteration: means over so few say more of each".into());
            }
        }
    }
    if providers == 2 && training.standardise {
        list.push("to each of the two providers: how many rows the other has, and mean and deviation of its columns".into());
    }
    list.push(
        "to an analyst that deviates (a malformed modulus, a crafted model, wrong answers): single rows, unnoticed"
            .into(),
    );
    list.push(match training.model {
        Publication::Published => format!("the whole model, trained on {rows} rows"),
        Publication::Split => "no weights: the analyst keeps the model".into(),
    });
    list
}
