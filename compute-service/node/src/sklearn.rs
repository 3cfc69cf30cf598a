//! Models in a form that scikit-learn's own estimators take: numbers and names in JSON, nothing that runs.
//!
//! The estimators are `make_pipeline(SimpleImputer(), StandardScaler(), FunctionTransformer(np.rint), LinearSVC())`. They
//! are fitted on two rows that say nothing ([`Export::fit`]), so that they are as scikit-learn of any version wants them,
//! and then given what they are to have learned ([`Export::fitted`]). In units of 2^−12, as here, features are rounded to
//! integers, half to even; weights and decision values are then the same numbers as here, as long as they have no more
//! than the 53 bits of a float.

use crate::model::{Model, ModelError};
use serde::Serialize;
use svm::fixed::{FEATURE_PLACES, ONE, WEIGHT_PLACES};

/// What `confab model export --format sklearn` writes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Export {
    /// Layout version.
    pub version: u32,
    /// The columns that the estimators expect, in their order.
    pub columns: Vec<String>,
    /// Arguments of `fit`: shapes and types only.
    pub fit: Placeholder,
    /// Attributes of the steps, by their names in the pipeline.
    pub fitted: Fitted,
}

/// Two rows, one of each class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Placeholder {
    #[serde(rename = "X")]
    x: [Vec<f64>; 2],
    y: [Class; 2],
}

/// A class as tables have it: a number where it reads like one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
enum Class {
    Integer(i64),
    Real(f64),
    Text(String),
}

/// See [`Export::fitted`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fitted {
    simpleimputer: Imputer,
    standardscaler: Scaler,
    linearsvc: Machine,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Imputer {
    statistics_: Vec<f64>,
    /// Only where the training tables had a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    feature_names_in_: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Scaler {
    mean_: Vec<f64>,
    scale_: Vec<f64>,
    var_: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct Machine {
    coef_: [Vec<f64>; 1],
    intercept_: [f64; 1],
    /// Negative, positive.
    classes_: [Class; 2],
}

impl Export {
    /// The whole model.
    ///
    /// # Errors
    /// A part of the model that is not here.
    pub fn new(model: &Model) -> Result<Self, ModelError> {
        model.require_whole()?;
        let columns = model.columns();
        let fitted = || model.parts.iter().flat_map(|part| part.scaler.fitted());
        let fills: Vec<f64> = fitted().map(|column| column.fill).collect();
        // Exact: a power of two.
        let scale: Vec<f64> =
            fitted().map(|column| column.divisor / f64::from(1 << FEATURE_PLACES)).collect();
        let weights = model.parts.iter().flat_map(|part| &part.weights);
        let intercept: i64 = model.parts.iter().map(|part| part.intercept).sum();
        let classes = Class::both(&model.negative, &model.positive);
        // Columns of a table without a header have numbers for names, which scikit-learn does not take for names.
        let is_named = columns.iter().any(|name| name.parse::<u32>().is_err());
        Ok(Self {
            version: records::VERSION,
            fit: Placeholder { x: [fills.clone(), fills.clone()], y: classes.clone() },
            fitted: Fitted {
                simpleimputer: Imputer {
                    statistics_: fills,
                    feature_names_in_: is_named.then(|| columns.clone()),
                },
                standardscaler: Scaler {
                    mean_: fitted().map(|column| column.centre).collect(),
                    // Nothing decides by it; JSON has no infinity.
                    var_: scale.iter().map(|scale| (scale * scale).min(f64::MAX)).collect(),
                    scale_: scale,
                },
                linearsvc: Machine {
                    coef_: [weights.map(|w| *w as f64 / ONE as f64).collect()],
                    // A decision value of 0 is positive here and negative there; others are multiples of 2^−36.
                    intercept_: [0.5 / ONE as f64 - intercept as f64 / f64::from(1 << WEIGHT_PLACES)],
                    classes_: classes,
                },
            },
            columns,
        })
    }
}

impl Class {
    /// Of one type: scikit-learn wants that.
    fn both(negative: &str, positive: &str) -> [Self; 2] {
        let both = [negative, positive];
        if let [Ok(negative), Ok(positive)] = both.map(str::parse) {
            return [Self::Integer(negative), Self::Integer(positive)];
        }
        match both.map(|class| class.parse().ok().filter(|value: &f64| value.is_finite())) {
            [Some(negative), Some(positive)] => [Self::Real(negative), Self::Real(positive)],
            _ => both.map(|class| Self::Text(class.into())),
        }
    }
}
