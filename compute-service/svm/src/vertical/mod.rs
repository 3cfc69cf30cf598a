//! Vertical training (chapter 5, `docs/protocols.md` 2): participants with different features of the same instances train
//! one linear model, and learn of each other's margins only what the judge shows.
//!
//! [`VerticalSvm`] is one party's side as a [`Protocol`]: set-up, joint seed, preparation of the blinding, for every
//! iteration encrypted margins (IV) and partial decryptions (DV), partial models, result. Everything but the
//! participant's own records is a function of the ledger, so that an observer folds the same records to the same
//! output.

mod agreement;
pub(crate) mod blinding;
mod judge;
mod key;
mod prediction;
mod private;
mod rounds;
mod schedule;

#[cfg(test)]
mod tests;

pub use blinding::{Blinding, BlindingError, KAPPA, MIN_RANGE, Sampler};
pub use prediction::{Parts, Prediction, SplitPart};
pub use private::Private;
pub use schedule::schedule;

use crate::seed::{self, JointSeed};
use crate::{
    digest,
    fixed::{FixedError, ONE},
};
use agreement::Agreement;
use key::Key;
use protocol::{Committed, Fault, Protocol, QuorumTranscript, Role, Status, StepRng};
use records::{Body, Digest, Job, JobParams, Judge, Kind, Model, Phase, Publication, Slot};
use rounds::Rounds;
use std::collections::BTreeMap;

/// What all participants learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The visited instances of every iteration.
    pub schedule: Vec<Vec<u32>>,
    /// The indicator of every visit, in the order of the schedule.
    pub indicators: Vec<Vec<bool>>,
    /// wⁱ of every participant at scale 2^24, where the model was published.
    pub weights: Option<Vec<Vec<i64>>>,
    /// The digests of the partial models.
    pub digests: Vec<Digest>,
}

impl Output {
    /// How often the most visited instance was visited.
    pub fn most_visits(&self) -> u32 {
        let mut visits = BTreeMap::new();
        self.schedule.iter().flatten().for_each(|s| *visits.entry(s).or_insert(0) += 1);
        visits.into_values().max().unwrap_or(0)
    }
}

/// One party's side of a vertical training job.
pub struct VerticalSvm {
    transcript: QuorumTranscript,
    params: JobParams,
    blinding: Option<Blinding>,
    agreement: Agreement,
    seed: JointSeed,
    /// From the end of the set-up until the rounds take it over.
    key: Option<Key>,
    /// From the moment when the seed is known.
    rounds: Option<Rounds>,
    models: Vec<Option<Model>>,
}

impl VerticalSvm {
    /// The sizes of the blinding; none with the paper's judge.
    pub fn blinding(&self) -> Option<Blinding> {
        self.blinding
    }

    /// Records of partial decryptions whose proof was checked and holds; those that came after a quorum had decided are
    /// not looked at.
    pub fn proofs(&self) -> u64 {
        self.rounds.as_ref().map_or(0, Rounds::proofs)
    }

    /// Number of finished iterations.
    pub fn iterations(&self) -> u32 {
        self.transcript.round()
    }

    /// Number of records folded so far, and of all records of the job.
    pub fn progress(&self) -> (usize, usize) {
        self.transcript.progress()
    }

    fn fold_model(&mut self, party: u32, model: &Model) -> Result<(), String> {
        let features = self.agreement.features(party);
        if let Some(weights) = parse_weights(model)? {
            if weights.len() != features {
                return Err(format!("{} weights for {features} features", weights.len()));
            }
            if digest::model(self.transcript.job(), party, &weights, None) != model.digest {
                return Err("the digest is not that of the weights".into());
            }
        }
        self.models[party as usize] = Some(model.clone());
        Ok(())
    }

    /// What every participant must post at the end.
    fn result(&self) -> Option<records::ResultDigests> {
        let digests = self.models.iter().map(|model| model.as_ref().map(|m| &m.digest));
        Some(records::ResultDigests {
            indicators: digest::indicators(self.rounds.as_ref()?.indicators()),
            model: digest::models(digests.collect::<Option<Vec<_>>>()?),
        })
    }

    fn output(&self) -> Option<Output> {
        let rounds = self.rounds.as_ref()?;
        let models = self.models.iter().map(Option::as_ref).collect::<Option<Vec<_>>>()?;
        let weights = models.iter().map(|model| parse_weights(model).ok().flatten()).collect();
        Some(Output {
            schedule: rounds.schedule().to_vec(),
            indicators: rounds.indicators().to_vec(),
            weights,
            digests: models.iter().map(|model| model.digest).collect(),
        })
    }

    fn split(&self) -> bool {
        self.params.training().model == Publication::Split
    }
}

fn parse_weights(model: &Model) -> Result<Option<Vec<i64>>, String> {
    let Some(weights) = &model.weights else { return Ok(None) };
    let parsed: Result<_, _> = weights.iter().map(|w| w.parse()).collect();
    parsed.map(Some).map_err(|_| "weights: not integers".into())
}

impl Protocol for VerticalSvm {
    type Private = Private;
    type Output = Output;

    fn start(job: &Job, role: Role) -> Result<Self, Fault> {
        let Kind::VerticalSvm(training) = &job.params.kind else {
            return Err(Fault::Input(format!("a {} job is no training", job.params.kind.name())));
        };
        let transcript = QuorumTranscript::new(job, role, training.quorum)?;
        let n = job.params.parties();
        let blinding = match training.judge {
            Judge::Paper => None,
            Judge::Blinded => {
                Some(Blinding::new(training.key_bits, n, training.margin_bits, training.weak_blinding))
            }
        };
        Ok(Self {
            transcript,
            params: job.params.clone(),
            blinding: blinding.transpose().map_err(|e| Fault::Input(e.to_string()))?,
            agreement: Agreement::new(n),
            seed: JointSeed::new(n),
            key: None,
            rounds: None,
            models: vec![None; n as usize],
        })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        let record = &committed.record;
        let slot = record.slot;
        if !self.transcript.check(record)? {
            return Ok(());
        }
        let instances = self.params.training().instances;
        let folded = match (&record.body, &mut self.rounds) {
            (Body::Setup(setup), _) => self.agreement.fold_setup(slot.party, setup, instances),
            (Body::SeedCommit(commit), _) => self.seed.fold_commitment(slot.party, commit),
            (Body::SeedOpen(open), _) => self.seed.fold_opening(self.transcript.job(), slot.party, open),
            (Body::Model(model), Some(_)) => self.fold_model(slot.party, model),
            (Body::Result(result), Some(_)) => match self.result().as_ref() == Some(result) {
                true => Ok(()),
                false => Err("its result differs from what the records give".into()),
            },
            (body, Some(rounds)) => rounds.fold(slot, body),
            _ => unreachable!("refused by the rules, or due after the set-up only"),
        };
        match self.transcript.commit(record, folded)? {
            true => self.complete(slot),
            false => Ok(()),
        }
    }

    fn pending(&self) -> Vec<Slot> {
        self.transcript.pending()
    }

    fn produce(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        self.transcript.check_owed(&slot)?;
        let overflow = |e: FixedError| Fault::Input(e.to_string());
        let job = self.transcript.job();
        let rounds = || self.rounds.as_ref().expect("what needs the key comes after the set-up");
        let weights = || {
            let rounds = rounds();
            private.weights_after(&self.params, rounds.schedule(), rounds.indicators()).map_err(overflow)
        };
        Ok(match slot.phase {
            Phase::Setup => Body::Setup(private.setup()),
            Phase::SeedCommit => Body::SeedCommit(seed::commit(job, slot.party, private.contribution())),
            Phase::SeedOpen => Body::SeedOpen(seed::open(private.contribution())),
            Phase::Iv => {
                let batch = &rounds().schedule()[slot.round as usize];
                let range = self.transcript.rules().chunk_range(Phase::Iv, slot.chunk);
                let margins = private.margins(&self.params, &weights()?, &batch[range]).map_err(overflow)?;
                Body::Iv(rounds().iv(slot, &margins, rng))
            }
            Phase::Model => Body::Model(private.model(job, slot.party, &weights()?, self.split())),
            Phase::Result => Body::Result(self.result().expect("all models come before the result")),
            _ => return rounds().produce(slot, &private.share, rng),
        })
    }

    fn contributors(&self, slot: Slot) -> Vec<u32> {
        self.transcript.contributors(&slot)
    }

    fn input_digest(&self, slot: Slot, private: &Private) -> [u8; 32] {
        self.transcript.input_digest(slot, private.digest())
    }

    fn status(&self) -> Status<Output> {
        let done = self.transcript.is_complete(Phase::Result, 0).then(|| self.output()).flatten();
        done.map_or_else(|| Status::Running { waiting_for: self.transcript.open_slots() }, Status::Done)
    }
}

impl VerticalSvm {
    /// What follows from a complete round of a phase.
    fn complete(&mut self, slot: Slot) -> Result<(), Fault> {
        let training = self.params.training();
        match (slot.phase, &mut self.rounds) {
            (Phase::Setup, _) => {
                self.key = Some(self.agreement.key(self.transcript.participants(), training.key_bits)?);
                Ok(())
            }
            (Phase::SeedOpen, _) => {
                let key = self.key.take().expect("the set-up comes before the seed");
                let seed = self.seed.value(self.transcript.job());
                let judge: Box<dyn judge::Judge> = match self.blinding {
                    Some(blinding) => {
                        let schedule =
                            schedule(&seed, training.instances, training.iterations, training.batch);
                        let rules = self.transcript.rules().clone();
                        Box::new(judge::Blinded::new(rules, blinding, schedule, ONE))
                    }
                    None => Box::new(judge::Paper::new(training, &key, &seed)),
                };
                self.rounds = Some(Rounds::new(&self.transcript, key, judge));
                Ok(())
            }
            (_, Some(rounds)) => rounds.complete(slot, &mut self.transcript),
            _ => Ok(()),
        }
    }
}
