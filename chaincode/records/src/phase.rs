//! The places of a job's records.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A step of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Public key and digests of the data.
    Setup,
    /// Commitments to the seed.
    SeedCommit,
    /// Openings of the seed.
    SeedOpen,
    /// Product chain of the blinding, one member after the other.
    Chain,
    /// Noise below the blinding.
    Noise,
    /// Encrypted margins, one round an iteration.
    Iv,
    /// Partial decryptions, one round an iteration.
    Dv,
    /// Partial models.
    Model,
    /// What each participant takes for the result.
    Result,
    /// Key generation and refresh: the keys under which members send each other messages.
    Keys,
    /// Key generation: shares of the units whose product a candidate is modulo many small primes.
    #[serde(rename = "units")]
    SieveShares,
    /// Key generation: new shares of a product of shares.
    Reshare,
    /// Key generation: shares of the members' summands of p and q.
    Factors,
    /// Key generation: commitments to the shares of N and to the coin.
    ProductCommit,
    /// Key generation: shares of N, and the coin.
    ProductOpen,
    /// Key generation: commitments to one power for each candidate.
    PowerCommit,
    /// Key generation: one power for each candidate without a small factor.
    PowerOpen,
    /// Key generation: commitments to all powers for the first candidate that passed.
    PowersCommit,
    /// Key generation: all powers for that candidate.
    PowersOpen,
    /// Key generation: shares of r and of p + q − 1.
    Gcd,
    /// Key generation: commitments to the shares of r·(p+q−1).
    GcdCommit,
    /// Key generation: shares of r·(p+q−1).
    GcdOpen,
    /// Key generation: shares of β, φ(N) and N·R.
    Theta,
    /// Key generation: commitments to the shares of β·φ(N) + N·R.
    ThetaCommit,
    /// Key generation: shares of β·φ(N) + N·R.
    ThetaOpen,
    /// Key generation and refresh: shares of the exponent.
    Deal,
    /// Key generation and refresh: verification keys.
    Verification,
    /// Key generation and refresh: partial decryptions of a known plaintext.
    #[serde(rename = "trial")]
    TestDecryption,
    /// Key generation and refresh: the public key that each member takes for the result.
    Key,
    /// Training by rows: masked sums of the columns, from which their scaling follows.
    Moments,
    /// Training by rows: the encrypted model, one round an iteration; nothing where training has ended.
    Weights,
    /// Training by rows: blinded margins.
    Margins,
    /// Training by rows: which margins are below 1, encrypted.
    Indicators,
    /// Training by rows: masked gradients.
    Gradient,
    /// What each party puts into sums, encrypted.
    Contribution,
}

impl Phase {
    /// The word in keys and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::SeedCommit => "seed-commit",
            Self::SeedOpen => "seed-open",
            Self::Chain => "chain",
            Self::Noise => "noise",
            Self::Iv => "iv",
            Self::Dv => "dv",
            Self::Model => "model",
            Self::Result => "result",
            Self::Keys => "keys",
            Self::SieveShares => "units",
            Self::Reshare => "reshare",
            Self::Factors => "factors",
            Self::ProductCommit => "product-commit",
            Self::ProductOpen => "product-open",
            Self::PowerCommit => "power-commit",
            Self::PowerOpen => "power-open",
            Self::PowersCommit => "powers-commit",
            Self::PowersOpen => "powers-open",
            Self::Gcd => "gcd",
            Self::GcdCommit => "gcd-commit",
            Self::GcdOpen => "gcd-open",
            Self::Theta => "theta",
            Self::ThetaCommit => "theta-commit",
            Self::ThetaOpen => "theta-open",
            Self::Deal => "deal",
            Self::Verification => "verification",
            Self::TestDecryption => "trial",
            Self::Key => "key",
            Self::Moments => "moments",
            Self::Weights => "weights",
            Self::Margins => "margins",
            Self::Indicators => "indicators",
            Self::Gradient => "gradient",
            Self::Contribution => "contribution",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The place of a record in its job; with the job it is the ledger key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// The step.
    pub phase: Phase,
    /// Iteration of a training, batch of candidates in key generation, else 0.
    pub round: u32,
    /// Index of the participant.
    pub party: u32,
    /// Part of a step that is too large for one record.
    pub chunk: u32,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} round {} party {} chunk {}", self.phase, self.round, self.party, self.chunk)
    }
}
