use serde::{Deserialize, Serialize};

/// The class y of an instance, as the indicator of eq. 5.4 uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// y = −1.
    Negative,
    /// y = +1.
    Positive,
}

impl Label {
    /// y, −1 or 1.
    pub const fn sign(self) -> i64 {
        match self {
            Self::Negative => -1,
            Self::Positive => 1,
        }
    }

    /// sign(w·x); a tie is +1.
    pub const fn of_sign(negative: bool) -> Self {
        if negative { Self::Negative } else { Self::Positive }
    }
}
