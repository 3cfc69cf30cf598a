use crate::{Bytes, Digest, Fingerprint, HorizontalResult, Iv, ResultDigests, Setup};
use serde::{Deserialize, Serialize};

/// What a record says, by phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// See [`Setup`].
    Setup(Setup),
    /// See [`SeedCommit`].
    SeedCommit(SeedCommit),
    /// See [`SeedOpen`].
    SeedOpen(SeedOpen),
    /// One chunk of R⁽ᵏ⁾, a ciphertext for each comparison (`docs/protocols.md` 2b, preparation 1).
    Chain(Vec<Bytes>),
    /// One chunk of Nₖ, a ciphertext for each comparison (`docs/protocols.md` 2b, preparation 2).
    Noise(Vec<Bytes>),
    /// See [`Iv`].
    Iv(Iv),
    /// See [`Dv`].
    Dv(Dv),
    /// See [`Model`].
    Model(Model),
    /// See [`ResultDigests`].
    Result(ResultDigests),
    /// See [`MemberKeys`].
    Keys(MemberKeys),
    /// One chunk of what a member posts in a phase of key generation or refresh: sealed messages to the others, a
    /// commitment, or its opening.
    Part(Bytes),
    /// The public key that came out.
    Key(ThresholdKey),
    /// Of each column the number of its values, their sum and the sum of their squares, each
    /// [`MOMENT_BYTES`](crate::MOMENT_BYTES) long and masked so that only the sums over all providers show.
    Moments(Bytes),
    /// Ciphertexts under the analyst's key: one chunk of the model, of margins, of indicators or of gradients.
    Ciphertexts(Vec<Bytes>),
    /// One chunk of the paper's indicators, which all see.
    Indicators(Vec<bool>),
    /// See [`HorizontalResult`].
    Closing(HorizontalResult),
    /// See [`Contribution`].
    Contribution(Contribution),
}

impl Body {
    /// For messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Setup(_) => "a setup body",
            Self::SeedCommit(_) => "a seed-commit body",
            Self::SeedOpen(_) => "a seed-open body",
            Self::Chain(_) => "a chain body",
            Self::Noise(_) => "a noise body",
            Self::Iv(_) => "an iv body",
            Self::Dv(_) => "a dv body",
            Self::Model(_) => "a model body",
            Self::Result(_) => "a result body",
            Self::Keys(_) => "a keys body",
            Self::Part(_) => "a part body",
            Self::Key(_) => "a key body",
            Self::Moments(_) => "a moments body",
            Self::Ciphertexts(_) => "a ciphertexts body",
            Self::Indicators(_) => "an indicators body",
            Self::Closing(_) => "a closing body",
            Self::Contribution(_) => "a contribution body",
        }
    }
}

/// The public part of a threshold Paillier key (`docs/protocols.md` 1). Numbers are big-endian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdKey {
    /// The modulus N.
    pub n: Bytes,
    /// How many members decrypt together.
    pub quorum: u32,
    /// Up to how many colluding members learn nothing of the factors of N: the bound of the key's generation.
    pub collusion_bound: u32,
    /// θ modulo N: what the decryption exponent is modulo N.
    pub theta: Bytes,
    /// The verification base v, a square modulo N².
    pub base: Bytes,
    /// vᵢ = v^(Δ·shareᵢ) of every member.
    pub verification: Vec<Bytes>,
}

impl ThresholdKey {
    /// SHA-256 of its JSON: what a key is called.
    pub fn fingerprint(&self) -> Fingerprint {
        let json = serde_json::to_vec(self).expect("a key holds only strings, integers and arrays");
        Fingerprint(Digest::of(&json))
    }
}

/// Commitment to a contribution to the seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedCommit {
    /// SHA-256 of job, party and opening; 32 bytes.
    pub commitment: Bytes,
}

/// Opening of a [`SeedCommit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedOpen {
    /// The contribution, 32 bytes.
    pub seed: Bytes,
}

/// DV record (table 5.3 of the book): partial decryptions of the chunk and one proof for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dv {
    /// Partial decryptions in the order of the instances.
    pub dv: Vec<Bytes>,
    /// That all of them were made with the share behind the member's verification key.
    pub proof: Proof,
}

/// What a party puts into sums that are decrypted later, encrypted under the threshold key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// One for each sum.
    pub ciphertexts: Vec<Bytes>,
    /// That the author knows what is in them: of a copy nobody has such a proof.
    pub proof: Proof,
}

/// Non-interactive proof: of equal exponents, or of known plaintexts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Challenge, 16 bytes.
    pub challenge: Bytes,
    /// The response: one integer, or several of fixed lengths.
    pub response: Bytes,
}

/// The partial model of a participant, or its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// wⁱ at scale 2^24 as decimal strings; absent where the model stays split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Vec<String>>,
    /// Of the job, party and weights, and of a salt that the owner keeps where they are absent.
    pub digest: Digest,
}

/// What a member of a key generation or refresh is sent messages under, and what it knows of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberKeys {
    /// X25519 public key for HPKE (RFC 9180), for this job only; 32 bytes.
    pub hpke: Bytes,
    /// The modulus of an ordinary Paillier key, where members multiply in pairs; the analyst's in a training by rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paillier: Option<Bytes>,
    /// The old public key, from those who deal in a refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<ThresholdKey>,
    /// Absent in records of before there were such proofs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub possession: Option<Possession>,
}

/// That the author of [`MemberKeys`] knows what belongs to them: it holds for one job and one party, so that whoever
/// copies the keys has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Possession {
    /// Signature by the HPKE key over job, party and the other keys; 64 bytes.
    pub hpke: Bytes,
    /// An N-th root, for the N in `paillier`, of what is hashed from the same; from members that multiply in pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paillier: Option<Bytes>,
}
