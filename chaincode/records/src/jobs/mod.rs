//! The kinds of jobs: a module for each, with its parameters, its phases and bodies, and the order in which they come.
//!
//! A new kind is one more module and one more line in the list below. What other floors do with it is a `match` over
//! [`Kind`] without a wildcard, so that a kind which was forgotten there does not compile.

mod horizontal_svm;
mod key_generation;
mod key_refresh;
mod mean;
mod vertical_predict;
mod vertical_svm;

pub use horizontal_svm::*;
pub use key_generation::*;
pub use key_refresh::*;
pub use mean::*;
pub use vertical_predict::*;
pub use vertical_svm::*;

use crate::{Fingerprint, ParamsError, params::check, schedule::PhaseSchedule};
use serde::{Deserialize, Serialize};
use std::{fmt::Debug, sync::Arc};

/// What the parameters of a kind of job say about it, without the job.
pub trait JobKind: Debug {
    /// Checks every range that does not depend on the participants' data, for so many participants.
    ///
    /// # Errors
    /// The first field that is out of its range.
    fn validate(&self, parties: u32) -> Result<(), ParamsError>;

    /// Names in words of the proposer's, with their fields: people read them.
    fn names(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }

    /// The phases and their order, of valid parameters.
    fn schedule(&self, parties: u32) -> Arc<dyn PhaseSchedule>;

    /// Fingerprint of the threshold key that the job names.
    fn key(&self) -> Option<Fingerprint> {
        None
    }
}

impl<T: JobKind> JobKind for Box<T> {
    fn validate(&self, parties: u32) -> Result<(), ParamsError> {
        (**self).validate(parties)
    }

    fn names(&self) -> Vec<(&'static str, &str)> {
        (**self).names()
    }

    fn schedule(&self, parties: u32) -> Arc<dyn PhaseSchedule> {
        (**self).schedule(parties)
    }

    fn key(&self) -> Option<Fingerprint> {
        (**self).key()
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident($params:ty) = $name:literal,)*) => {
        /// Which protocol a job runs, and with which parameters.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $name)] $variant($params),)*
        }

        impl Kind {
            /// What it is called, the word of its JSON.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// What its parameters say about it.
            pub fn as_job_kind(&self) -> &dyn JobKind {
                match self {
                    $(Self::$variant(params) => params,)*
                }
            }
        }
    };
}

kinds! {
    /// Training of chapter 5.
    VerticalSvm(VerticalSvm) = "vertical-svm",
    /// Predictions with a model of chapter 5 that stayed split.
    VerticalPredict(VerticalPredict) = "vertical-predict",
    /// Training of chapter 4.
    HorizontalSvm(Box<HorizontalSvm>) = "horizontal-svm",
    /// A threshold key without a dealer (`docs/protocols.md` 1).
    KeyGeneration(KeyGeneration) = "key-generation",
    /// The same key in new shares.
    KeyRefresh(KeyRefresh) = "key-refresh",
    /// Means and deviations of columns over everybody's rows.
    Mean(Mean) = "mean",
}

/// The words for two classes, several of one with `/` between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassNames {
    /// The positive class.
    pub positive: String,
    /// The negative class.
    pub negative: String,
}

impl ClassNames {
    /// The names with their fields.
    pub(crate) fn fields(&self) -> Vec<(&'static str, &str)> {
        vec![("positive", &self.positive), ("negative", &self.negative)]
    }

    /// Checks that there are two.
    pub(crate) fn validate(&self) -> Result<(), ParamsError> {
        for (field, class) in [("positive", &self.positive), ("negative", &self.negative)] {
            check((1..=256).contains(&class.len()), field, "empty or longer than 256 bytes")?;
        }
        check(self.positive != self.negative, "negative", "the same as the positive class")
    }
}

/// What happens to the trained model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Publication {
    /// Every participant posts its part.
    Published,
    /// Every participant keeps its part and posts a salted digest.
    Split,
}
