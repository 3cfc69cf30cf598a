//! Vertical training (chapter 5, `protocols.md` 2): participants with different features of the same instances train
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
mod private;
mod schedule;
mod training;

#[cfg(test)]
mod tests;

pub use blinding::{Blinding, BlindingError, KAPPA, MIN_RANGE, Sampler};
pub use private::Private;
pub use schedule::schedule;

use crate::{digest, fixed::FixedError};
use agreement::Agreement;
use key::Key;
use protocol::{Committed, Fault, Protocol, Role, Status, StepRng};
use records::{Body, Job, JobId, JobParams, Judge, Kind, Model, Phase, Publication, Record, Rules, Slot};
use std::collections::{BTreeMap, BTreeSet};
use training::Training;

/// What everybody learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The visited instances of every iteration.
    pub schedule: Vec<Vec<u32>>,
    /// The indicator of every visit, in the order of the schedule.
    pub indicators: Vec<Vec<bool>>,
    /// wⁱ of every participant at scale 2^24, where the model was published.
    pub weights: Option<Vec<Vec<i64>>>,
    /// The digests of the partial models, hexadecimal.
    pub digests: Vec<String>,
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
    job: JobId,
    params: JobParams,
    rules: Rules,
    role: Role,
    blinding: Option<Blinding>,
    seen: BTreeSet<Slot>,
    /// Records seen of each phase and round.
    counts: BTreeMap<(Phase, u32), usize>,
    /// Digest of the stages that are complete, and the digests of records after them.
    history: [u8; 32],
    recent: BTreeMap<Slot, [u8; 32]>,
    agreement: Agreement,
    /// From the end of the set-up until training takes it over.
    key: Option<Key>,
    /// From the moment when the seed is known.
    training: Option<Training>,
    models: Vec<Option<Model>>,
    /// The members whose partial decryptions decided each round.
    used: Vec<Vec<u32>>,
}

impl VerticalSvm {
    /// The sizes of the blinding; none with the paper's judge.
    pub fn blinding(&self) -> Option<Blinding> {
        self.blinding
    }

    /// Records of partial decryptions whose proof was checked and holds; those that came after a quorum had decided are
    /// not looked at.
    pub fn proofs(&self) -> u64 {
        self.training.as_ref().map_or(0, Training::proofs)
    }

    /// Number of finished iterations.
    pub fn iterations(&self) -> u32 {
        self.training.as_ref().map_or(0, Training::round)
    }

    /// Number of records folded so far, and of all records of the job.
    pub fn progress(&self) -> (usize, usize) {
        let of = |phase| self.rules.rounds(phase) as usize * self.rules.chunks(phase) as usize;
        let all: usize = self.rules.phases().into_iter().map(of).sum();
        (self.seen.len(), all * self.rules.parties() as usize)
    }

    fn msp_id(&self, party: u32) -> &str {
        &self.params.participants[party as usize]
    }

    fn blame(&self, party: u32, reason: impl Into<String>) -> Fault {
        Fault::Participant { party, msp_id: self.msp_id(party).into(), reason: reason.into() }
    }

    /// The members all of whose partial decryptions of a round are in.
    fn decrypted(&self, round: u32) -> Vec<u32> {
        let all = |party: &u32| {
            let party = *party;
            (0..self.rules.chunks(Phase::Dv))
                .all(|chunk| self.seen.contains(&Slot { phase: Phase::Dv, round, party, chunk }))
        };
        (0..self.rules.parties()).filter(all).collect()
    }

    fn is_complete(&self, phase: Phase, round: u32) -> bool {
        if phase == Phase::Dv {
            return self.decrypted(round).len() == self.params.training().quorum as usize;
        }
        let all = (self.rules.parties() * self.rules.chunks(phase)) as usize;
        self.counts.get(&(phase, round)) == Some(&all)
    }

    /// Unseen slots of all parties whose needs are met.
    fn open_slots(&self) -> Vec<Slot> {
        let round = self.iterations();
        let mut open = Vec::new();
        for phase in self.rules.phases() {
            let round = if matches!(phase, Phase::Iv | Phase::Dv) { round } else { 0 };
            if round < self.rules.rounds(phase) && !self.is_complete(phase, round) {
                let slots = self.rules.round_slots(phase, round).into_iter();
                open.extend(slots.filter(|slot| self.is_open(slot)));
            }
        }
        open
    }

    fn is_open(&self, slot: &Slot) -> bool {
        let decided = self.rules.quorum(slot).is_none_or(|(_, round, _)| round < self.iterations());
        decided && self.follows(slot, &self.used(*slot))
    }

    /// Whether a slot is free and what it builds on is there.
    fn follows(&self, slot: &Slot, used: &[u32]) -> bool {
        !self.seen.contains(slot) && self.rules.needs(slot, used).iter().all(|need| self.seen.contains(need))
    }

    /// What can be said against a record before its content is looked at.
    fn check_place(&self, record: &Record) -> Result<(), Fault> {
        let slot = &record.slot;
        if record.job != self.job || slot.party >= self.rules.parties() {
            return Err(Fault::Input(format!("a record of job {:?} party {}", record.job, slot.party)));
        }
        if record.msp_id != self.msp_id(slot.party) {
            return Err(self.blame(slot.party, format!("{slot} was posted by {}", record.msp_id)));
        }
        if !self.rules.exists(slot) {
            return Err(self.blame(slot.party, format!("{slot} is not part of the job")));
        }
        let checked = self.rules.check_used(slot, &record.used);
        checked.map_err(|e| self.blame(slot.party, format!("{slot}: {e}")))?;
        if !self.follows(slot, &record.used) {
            return Err(self.blame(slot.party, format!("{slot} was posted before what it needs")));
        }
        self.rules.check_body(slot, &record.body).map_err(|e| self.blame(slot.party, format!("{slot}: {e}")))
    }

    /// Notes a folded record; completes its stage where it is the last of it.
    fn note(&mut self, record: &Record) {
        let slot = record.slot;
        self.seen.insert(slot);
        *self.counts.entry((slot.phase, slot.round)).or_insert(0) += 1;
        self.recent.insert(slot, digest::digest("record", &self.job, [record.to_json()]));
        // Chain and noise are one stage: a member may be at the noise of one chunk and the chain of another.
        if slot.phase != Phase::Chain && self.is_complete(slot.phase, slot.round) {
            let stage = std::iter::once(&self.history).chain(self.recent.values());
            self.history = digest::digest("history", &self.job, stage);
            self.recent.clear();
        }
    }

    fn fold_model(&mut self, party: u32, model: &Model) -> Result<(), String> {
        let features = self.agreement.features(party);
        if let Some(weights) = parse_weights(model)? {
            if weights.len() != features {
                return Err(format!("{} weights for {features} features", weights.len()));
            }
            if digest::model(&self.job, party, &weights, None) != model.digest {
                return Err("the digest is not that of the weights".into());
            }
        }
        self.models[party as usize] = Some(model.clone());
        Ok(())
    }

    /// What every participant must post at the end.
    fn result(&self) -> Option<records::Result> {
        let digests = self.models.iter().map(|model| model.as_ref().map(|m| m.digest.as_str()));
        Some(records::Result {
            indicators: digest::indicators(self.training.as_ref()?.indicators()),
            model: digest::models(digests.collect::<Option<Vec<_>>>()?),
        })
    }

    fn output(&self) -> Option<Output> {
        let training = self.training.as_ref()?;
        let models = self.models.iter().map(Option::as_ref).collect::<Option<Vec<_>>>()?;
        let weights = models.iter().map(|model| parse_weights(model).ok().flatten()).collect();
        Some(Output {
            schedule: training.schedule().to_vec(),
            indicators: training.indicators().to_vec(),
            weights,
            digests: models.iter().map(|model| model.digest.clone()).collect(),
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
        let params = job.params.clone();
        if !matches!(params.kind, Kind::VerticalSvm(_)) {
            return Err(Fault::Input(format!("a {} job is no training", params.kind.name())));
        }
        params.validate().map_err(|e| Fault::Input(e.to_string()))?;
        if job.id != params.id() {
            return Err(Fault::Input("the job's identifier is not that of its parameters".into()));
        }
        let (training, n) = (params.training(), params.parties());
        if let Role::Member(party) = role
            && party >= n
        {
            return Err(Fault::Input(format!("party {party} of a job of {n}")));
        }
        let blinding = match training.judge {
            Judge::Paper => None,
            Judge::Blinded => {
                Some(Blinding::new(training.key_bits, n, training.margin_bits, training.weak_blinding))
            }
        };
        Ok(Self {
            job: job.id.clone(),
            rules: Rules::new(&params),
            role,
            blinding: blinding.transpose().map_err(|e| Fault::Input(e.to_string()))?,
            seen: BTreeSet::new(),
            counts: BTreeMap::new(),
            history: [0; 32],
            recent: BTreeMap::new(),
            agreement: Agreement::new(n),
            key: None,
            training: None,
            models: vec![None; n as usize],
            used: Vec::new(),
            params,
        })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        let record = &committed.record;
        let slot = record.slot;
        if record.job == self.job && self.seen.contains(&slot) {
            return Ok(());
        }
        self.check_place(record)?;
        if slot.phase == Phase::Dv && slot.round < self.iterations() {
            // A quorum has decided the round without it.
            self.seen.insert(slot);
            return Ok(());
        }
        let folded = match (&record.body, &mut self.training) {
            (Body::Setup(setup), _) => self.agreement.fold_setup(slot.party, setup, &self.params),
            (Body::SeedCommit(commit), _) => self.agreement.fold_commitment(slot.party, commit),
            (Body::SeedOpen(open), _) => self.agreement.fold_opening(&self.job, slot.party, open),
            (Body::Chain(list) | Body::Noise(list), Some(training)) => training.fold_preparation(slot, list),
            (Body::Iv(iv), Some(training)) => training.fold_iv(slot, iv),
            (Body::Dv(dv), Some(training)) => training.fold_dv(slot, dv),
            (Body::Model(model), Some(_)) => self.fold_model(slot.party, model),
            (Body::Result(result), Some(_)) => match self.result().as_ref() == Some(result) {
                true => Ok(()),
                false => Err("its result differs from what the records give".into()),
            },
            _ => unreachable!("refused by the rules, or due after the set-up only"),
        };
        folded.map_err(|reason| self.blame(slot.party, format!("{slot}: {reason}")))?;
        self.note(record);
        if self.is_complete(slot.phase, slot.round) {
            self.complete(slot)?;
        }
        Ok(())
    }

    fn owed(&self) -> Vec<Slot> {
        let Role::Member(me) = self.role else { return Vec::new() };
        self.open_slots().into_iter().filter(|slot| slot.party == me).collect()
    }

    fn make(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        if self.role != Role::Member(slot.party) || !self.is_open(&slot) {
            return Err(Fault::Input(format!("{slot} is not owed")));
        }
        let overflow = |e: FixedError| Fault::Input(e.to_string());
        let training = || self.training.as_ref().expect("what needs the key comes after the set-up");
        Ok(match slot.phase {
            Phase::Setup => Body::Setup(private.setup()),
            Phase::SeedCommit => Body::SeedCommit(private.commit(&self.job, slot.party)),
            Phase::SeedOpen => Body::SeedOpen(private.open()),
            Phase::Chain | Phase::Noise => training().prepare(slot, rng),
            Phase::Iv => {
                let training = training();
                let margins = training.margins(slot, &self.params, private).map_err(overflow)?;
                Body::Iv(training.iv(slot, &margins, rng))
            }
            Phase::Dv => Body::Dv(training().dv(slot, private, rng).map_err(Fault::Input)?),
            Phase::Model => {
                let training = training();
                let weights = private
                    .weights_after(&self.params, training.schedule(), training.indicators())
                    .map_err(overflow)?;
                Body::Model(private.model(&self.job, slot.party, &weights, self.split()))
            }
            Phase::Result => Body::Result(self.result().expect("all models come before the result")),
            other => return Err(Fault::Input(format!("{other} is not part of a training job"))),
        })
    }

    fn used(&self, slot: Slot) -> Vec<u32> {
        let decided = self.rules.quorum(&slot).and_then(|(_, round, _)| self.used.get(round as usize));
        decided.cloned().unwrap_or_default()
    }

    fn inputs(&self, slot: Slot, private: &Private) -> [u8; 32] {
        let place = slot.to_string();
        let own = [place.as_bytes(), &private.digest()[..], &self.history];
        // Of the preparation, a member reads the chain of its chunk.
        let chain = self
            .recent
            .iter()
            .filter(|(read, _)| read.phase == Phase::Chain && read.chunk == slot.chunk)
            .filter(|(read, _)| match slot.phase {
                Phase::Chain => read.party < slot.party,
                phase => phase == Phase::Noise,
            })
            .map(|(_, digest)| &digest[..]);
        digest::digest("inputs", &self.job, own.into_iter().chain(chain))
    }

    fn status(&self) -> Status<Output> {
        let done = self.is_complete(Phase::Result, 0).then(|| self.output()).flatten();
        done.map_or_else(|| Status::Running { waiting_for: self.open_slots() }, Status::Done)
    }
}

impl VerticalSvm {
    /// What follows from a complete round of a phase.
    fn complete(&mut self, slot: Slot) -> Result<(), Fault> {
        let used = if slot.phase == Phase::Dv { self.decrypted(slot.round) } else { Vec::new() };
        match (slot.phase, &mut self.training) {
            (Phase::Setup, _) => {
                self.agreement.check(&self.params)?;
                let key = Key::from_record(self.agreement.key(), self.params.training().key_bits);
                self.key = Some(key.map_err(|e| Fault::Input(format!("the public key: {e}")))?);
                Ok(())
            }
            (Phase::SeedOpen, _) => {
                let key = self.key.take().expect("the set-up comes before the seed");
                let seed = self.agreement.seed(&self.job);
                self.training = Some(Training::new(&self.job, &self.params, self.blinding, key, &seed));
                Ok(())
            }
            (Phase::Iv, Some(training)) => {
                training.close();
                Ok(())
            }
            (Phase::Dv, Some(training)) => {
                let decided = training.decide(&used);
                self.used.push(used);
                decided.map_err(|(party, reason)| match party {
                    Some(party) => self.blame(party, format!("round {}: {reason}", slot.round)),
                    None => Fault::Input(reason),
                })
            }
            _ => Ok(()),
        }
    }
}
