//! Who posts what, after what: the table that the job contract enforces and the protocols follow.
//!
//! A record may be posted once all records that [`Rules::needs`] names are committed. The table is a function of the
//! job's parameters alone.

use crate::{Body, JobParams, Judge, MAX_RECORD_BYTES, VerticalSvm};
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
    /// What everybody holds to be the result.
    Result,
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
    /// Iteration for [`Phase::Iv`] and [`Phase::Dv`], else 0.
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

/// The phases of one job with their sizes.
#[derive(Clone, Debug)]
pub struct Rules {
    parties: u32,
    key_bytes: usize,
    training: VerticalSvm,
}

/// Comparisons in one chunk of chain and noise, so that members work on different chunks at the same time.
const BULK: usize = 128;

impl Rules {
    /// The table for a job whose parameters are valid.
    pub fn new(params: &JobParams) -> Self {
        let training = params.training().clone();
        Self { parties: params.parties(), key_bytes: (training.key_bits / 8) as usize, training }
    }

    /// Number n of participants.
    pub fn parties(&self) -> u32 {
        self.parties
    }

    /// Length in bytes of a ciphertext, fixed for the job.
    pub fn ciphertext_bytes(&self) -> usize {
        2 * self.key_bytes
    }

    /// Phases of this job in their order.
    pub fn phases(&self) -> Vec<Phase> {
        use Phase::*;
        match self.training.judge {
            Judge::Blinded => vec![Setup, SeedCommit, SeedOpen, Chain, Noise, Iv, Dv, Model, Result],
            Judge::Paper => vec![Setup, SeedCommit, SeedOpen, Iv, Dv, Model, Result],
        }
    }

    /// Number of rounds of a phase.
    pub fn rounds(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Iv | Phase::Dv => self.training.iterations,
            _ => 1,
        }
    }

    /// Number of entries of a phase's round, over all chunks.
    fn entries(&self, phase: Phase) -> usize {
        match phase {
            Phase::Chain | Phase::Noise => self.training.comparisons() as usize,
            Phase::Iv | Phase::Dv => self.training.batch as usize,
            _ => 1,
        }
    }

    /// Most entries in one chunk.
    pub fn chunk_entries(&self, phase: Phase) -> usize {
        let ciphertext = (self.ciphertext_bytes() * 4).div_ceil(3) + 8;
        let room = MAX_RECORD_BYTES - 24 * 1024;
        match phase {
            Phase::Chain | Phase::Noise => (room / ciphertext).min(BULK),
            Phase::Iv if self.training.judge == Judge::Paper => room / (2 * ciphertext + 64),
            Phase::Iv | Phase::Dv => room / ciphertext,
            _ => 1,
        }
    }

    /// Number of chunks of a phase's round.
    pub fn chunks(&self, phase: Phase) -> u32 {
        self.entries(phase).div_ceil(self.chunk_entries(phase)) as u32
    }

    /// Range of the entries that a chunk holds.
    pub fn chunk_range(&self, phase: Phase, chunk: u32) -> std::ops::Range<usize> {
        let size = self.chunk_entries(phase);
        let start = chunk as usize * size;
        start..(start + size).min(self.entries(phase))
    }

    /// Whether the job has this slot at all.
    pub fn exists(&self, slot: &Slot) -> bool {
        self.phases().contains(&slot.phase)
            && slot.party < self.parties
            && slot.round < self.rounds(slot.phase)
            && slot.chunk < self.chunks(slot.phase)
    }

    /// All slots of one round of a phase: chunks of all parties.
    pub fn round_slots(&self, phase: Phase, round: u32) -> Vec<Slot> {
        let chunks = self.chunks(phase);
        (0..self.parties)
            .flat_map(|party| (0..chunks).map(move |chunk| Slot { phase, round, party, chunk }))
            .collect()
    }

    /// The records that must be committed before a slot may be filled; exact keys, no ranges. Only direct
    /// predecessors are named: theirs were checked when they were posted.
    pub fn needs(&self, slot: &Slot) -> Vec<Slot> {
        let before = |phase| self.round_slots(phase, 0);
        match slot.phase {
            Phase::Setup => Vec::new(),
            Phase::SeedCommit => before(Phase::Setup),
            Phase::SeedOpen => before(Phase::SeedCommit),
            Phase::Chain if slot.party == 0 => before(Phase::SeedOpen),
            Phase::Chain => vec![Slot { party: slot.party - 1, ..*slot }],
            Phase::Noise => vec![Slot { phase: Phase::Chain, party: self.parties - 1, ..*slot }],
            Phase::Iv if slot.round > 0 => self.round_slots(Phase::Dv, slot.round - 1),
            Phase::Iv if self.training.judge == Judge::Blinded => before(Phase::Noise),
            Phase::Iv => before(Phase::SeedOpen),
            Phase::Dv => self.round_slots(Phase::Iv, slot.round),
            Phase::Model => self.round_slots(Phase::Dv, self.training.iterations - 1),
            Phase::Result => before(Phase::Model),
        }
    }

    /// Checks form and sizes of a body for its slot: everything that can be seen without the key.
    ///
    /// # Errors
    /// What is wrong, with the name of the field.
    pub fn check_body(&self, slot: &Slot, body: &Body) -> std::result::Result<(), String> {
        if body.phase() != slot.phase {
            return Err(format!("a {} body in a {} slot", body.phase(), slot.phase));
        }
        let entries = self.chunk_range(slot.phase, slot.chunk).len();
        let count = |name: &str, len: usize, want: usize| match len == want {
            true => Ok(()),
            false => Err(format!("{name}: {len} entries instead of {want}")),
        };
        let length = |name: &str, bytes: &crate::Bytes, want: usize| match bytes.0.len() == want {
            true => Ok(()),
            false => Err(format!("{name}: {} bytes instead of {want}", bytes.0.len())),
        };
        let ciphertexts = |name: &str, list: &[crate::Bytes]| {
            count(name, list.len(), entries)?;
            list.iter().try_for_each(|c| length(name, c, self.ciphertext_bytes()))
        };
        let digest =
            |name: &str, hex: &str| match hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
                true => Ok(()),
                false => Err(format!("{name}: not a SHA-256 digest in hexadecimal")),
            };
        match body {
            Body::Setup(setup) => {
                length("n", &setup.key.n, self.key_bytes)?;
                length("theta", &setup.key.theta, self.key_bytes)?;
                length("base", &setup.key.base, self.ciphertext_bytes())?;
                count("verification", setup.key.verification.len(), self.parties as usize)?;
                let keys = &setup.key.verification;
                keys.iter().try_for_each(|v| length("verification", v, self.ciphertext_bytes()))?;
                if setup.key.quorum != self.training.quorum {
                    return Err(format!("quorum: {} instead of {}", setup.key.quorum, self.training.quorum));
                }
                digest("ids", &setup.data.ids)?;
                digest("labels", &setup.data.labels)
            }
            Body::SeedCommit(commit) => length("commitment", &commit.commitment, 32),
            Body::SeedOpen(open) => length("seed", &open.seed, 32),
            Body::Chain(list) => ciphertexts("chain", list),
            Body::Noise(list) => ciphertexts("noise", list),
            Body::Iv(iv) => {
                ciphertexts("tiv", &iv.tiv)?;
                match (&iv.paper, self.training.judge) {
                    (None, Judge::Blinded) => Ok(()),
                    (None, Judge::Paper) => Err("paper: missing".into()),
                    (Some(_), Judge::Blinded) => Err("paper: not part of the blinded judge".into()),
                    (Some(paper), Judge::Paper) => {
                        ciphertexts("r2", &paper.r2)?;
                        for (name, list) in [("r1", &paper.r1), ("r3", &paper.r3)] {
                            count(name, list.len(), entries)?;
                            list.iter().try_for_each(|r| length(name, r, 8))?;
                        }
                        count("rpi", paper.rpi.len(), entries)?;
                        let range = 1..=self.training.instances;
                        match paper.rpi.iter().find(|r| !range.contains(r)) {
                            Some(r) => Err(format!("rpi: {r} is not in 1..={}", self.training.instances)),
                            None => Ok(()),
                        }
                    }
                }
            }
            Body::Dv(dv) => {
                ciphertexts("dv", &dv.dv)?;
                length("challenge", &dv.proof.challenge, 16)?;
                let response = dv.proof.response.0.len();
                match (1..=4 * self.ciphertext_bytes()).contains(&response) {
                    true => Ok(()),
                    false => Err(format!("response: {response} bytes")),
                }
            }
            Body::Model(model) => {
                digest("digest", &model.digest)?;
                let published = self.training.model == crate::Publication::Published;
                match (&model.weights, published) {
                    (None, true) => Err("weights: missing".into()),
                    (Some(_), false) => Err("weights: the model stays split".into()),
                    (None, false) => Ok(()),
                    (Some(weights), true) => match weights.iter().all(|w| w.parse::<i64>().is_ok()) {
                        true => Ok(()),
                        false => Err("weights: not integers".into()),
                    },
                }
            }
            Body::Result(result) => {
                digest("indicators", &result.indicators)?;
                digest("model", &result.model)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, Decimal, Kind, Publication};
    use std::collections::BTreeSet;

    fn params(judge: Judge, n: usize, batch: u32, iterations: u32) -> JobParams {
        JobParams {
            version: crate::VERSION,
            contract: "1.0".into(),
            participants: (1..=n).map(|i| format!("Org{i}MSP")).collect(),
            kind: Kind::VerticalSvm(VerticalSvm {
                judge,
                instances: 100,
                iterations,
                batch,
                learning_rate: "0.00095".parse::<Decimal>().unwrap(),
                lambda: Decimal::default(),
                c: "1".parse().unwrap(),
                key_bits: 2048,
                insecure_key_bits: false,
                quorum: n as u32,
                margin_bits: 42,
                weak_blinding: false,
                model: Publication::Published,
            }),
            nonce: Bytes(vec![7; 16]),
        }
    }

    /// Every slot can be reached, and none before what it needs: the table has no cycle and no gap.
    #[test]
    fn the_table_can_be_walked_to_its_end() {
        for (judge, batch, iterations) in
            [(Judge::Blinded, 300, 3), (Judge::Paper, 200, 2), (Judge::Blinded, 1, 5)]
        {
            let params = params(judge, 3, batch, iterations);
            params.validate().unwrap();
            let rules = Rules::new(&params);
            let all: BTreeSet<Slot> = rules
                .phases()
                .into_iter()
                .flat_map(|phase| (0..rules.rounds(phase)).map(move |round| (phase, round)))
                .flat_map(|(phase, round)| rules.round_slots(phase, round))
                .collect();
            let mut done = BTreeSet::new();
            while done.len() < all.len() {
                let free =
                    |s: &&Slot| !done.contains(*s) && rules.needs(s).iter().all(|need| done.contains(need));
                let next: Vec<Slot> = all.iter().filter(free).copied().collect();
                assert!(!next.is_empty(), "stuck after {} of {} slots", done.len(), all.len());
                assert!(next.iter().all(|s| rules.exists(s)));
                done.extend(next);
            }
        }
    }

    #[test]
    fn chunks_cover_every_entry_once_and_fit_a_record() {
        let rules = Rules::new(&params(Judge::Blinded, 3, 700, 3));
        for phase in [Phase::Chain, Phase::Noise, Phase::Iv, Phase::Dv] {
            let covered: usize = (0..rules.chunks(phase)).map(|c| rules.chunk_range(phase, c).len()).sum();
            assert_eq!(covered, rules.entries(phase));
            let list = vec![Bytes(vec![255; rules.ciphertext_bytes()]); rules.chunk_entries(phase)];
            assert!(serde_json::to_vec(&list).unwrap().len() < MAX_RECORD_BYTES - 8 * 1024);
        }
    }

    #[test]
    fn bodies_are_checked_against_their_slot() {
        let rules = Rules::new(&params(Judge::Blinded, 3, 2, 1));
        let slot = Slot { phase: Phase::Iv, round: 0, party: 0, chunk: 0 };
        let tiv = |count, length| Body::Iv(Iv { tiv: vec![Bytes(vec![1; length]); count], paper: None });
        use crate::Iv;
        assert_eq!(rules.check_body(&slot, &tiv(2, 512)), Ok(()));
        assert_eq!(rules.check_body(&slot, &tiv(1, 512)).unwrap_err(), "tiv: 1 entries instead of 2");
        assert_eq!(rules.check_body(&slot, &tiv(2, 511)).unwrap_err(), "tiv: 511 bytes instead of 512");
        let chain = Body::Chain(Vec::new());
        assert_eq!(rules.check_body(&slot, &chain).unwrap_err(), "a chain body in a iv slot");
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let mut p = params(Judge::Blinded, 3, 2, 1);
        let Kind::VerticalSvm(training) = &mut p.kind;
        training.key_bits = 1024;
        assert_eq!(p.validate().unwrap_err().field, "key_bits");
        let mut p = params(Judge::Blinded, 3, 2, 1);
        p.participants[2] = "Org1MSP".into();
        assert_eq!(p.validate().unwrap_err().field, "participants");
    }
}
