//! Training by rows (chapter 4, `docs/protocols.md` 3): providers hold different rows of the same columns, an analyst with an
//! ordinary Paillier key trains a linear model on all of them without seeing one.
//!
//! [`HorizontalSvm`] is one party's side as a [`Protocol`]. Every iteration is four steps: the analyst posts the encrypted
//! model (Weights), the providers blinded margins with secretly flipped signs (Margins), the analyst the encrypted answer
//! which are negative (Indicators), and the providers their masked gradients (Gradient). Neither side sees an indicator;
//! the analyst decrypts the sum of all gradients. With [`Comparison::Paper`] the steps are those of the book.

mod analyst;
mod masks;
mod moments;
mod noise;
mod paper;
mod parties;
mod provider;
mod rows;

#[cfg(test)]
mod tests;

pub use moments::{pooled, units};
pub use noise::epsilon;
pub use parties::{Output, Private, Times};
pub use rows::{Rows, check, features};

use crate::{
    digest,
    seed::{self, JointSeed},
    vertical::Blinding,
    vertical::schedule,
};
use masks::Masks;
use moments::{Pooled, Units};
use noise::Gaussian;
use num_bigint::{BigInt, BigUint};
use paillier::{Ciphertext, EncryptionKey, Encryptor, PrivateKey, Randomness};
use parties::{Analyst, Prepared};
use protocol::{Committed, Fault, Protocol, Role, Status, Step, StepRng, StepTranscript, sealed::Keys};
use provider::{Plan, Provider, Slots, gradient_packing};
use records::{
    Body, Bytes, Comparison, HorizontalResult, HorizontalSvm as Params, Job, Kind, Model, Phase, Publication,
    Slot,
};
use std::{
    cell::Cell,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

#[derive(Default)]
struct Cache {
    analyst: Option<Analyst>,
    prepared: Option<Arc<Prepared>>,
    times: Times,
}

/// One party's side of a training by rows.
pub struct HorizontalSvm {
    job: Job,
    params: Params,
    transcript: StepTranscript,
    providers: Vec<u32>,
    hpke: Vec<[u8; 32]>,
    /// Of the analyst's public key.
    encryptor: Option<Encryptor>,
    slots: Option<Slots>,
    scaling: Option<Pooled>,
    seed: Option<[u8; 32]>,
    joint: JointSeed,
    /// `[[w]]` of the current round.
    weights: Vec<Ciphertext>,
    /// Each provider's margins of the current round, at the analyst and observers.
    margins: Vec<Vec<Ciphertext>>,
    /// The own comparisons of the current round: encrypted, or the paper's.
    comparisons: Vec<Ciphertext>,
    indicators: Vec<bool>,
    /// Of each round the ciphertexts of the summed gradient, or with the paper's protocol every provider's.
    gradients: Vec<Vec<Vec<Ciphertext>>>,
    model: Option<Model>,
    cache: Mutex<Cache>,
}

fn params_of(job: &Job) -> Result<&Params, Fault> {
    match &job.params.kind {
        Kind::HorizontalSvm(params) => Ok(params),
        other => Err(Fault::Input(format!("a {} job is no training by rows", other.name()))),
    }
}

impl HorizontalSvm {
    /// Number of finished iterations.
    pub fn iterations(&self) -> u32 {
        self.gradients.len() as u32
    }

    /// The blinding of margins; none with the paper's protocol.
    pub fn blinding(params: &Params) -> Option<Blinding> {
        let (_, range) = params.margin_slots();
        let hidden = params.comparison == Comparison::Hidden;
        hidden.then(|| Blinding::of_one(params.margin_bits, params.margin_floor(), range))
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn encryptor(&self) -> &Encryptor {
        self.encryptor.as_ref().expect("keys come first")
    }

    fn slots(&self) -> &Slots {
        self.slots.as_ref().expect("keys come first")
    }

    fn is_paper(&self) -> bool {
        self.params.comparison == Comparison::Paper
    }

    fn is_analyst(&self) -> bool {
        self.transcript.me() == Some(self.params.analyst)
    }

    /// The ciphertexts that a party posted in a complete step, as bytes.
    fn posted(&self, step: Step, party: u32) -> impl Iterator<Item = &[u8]> {
        let lists = self.transcript.bodies(step, party).filter_map(|body| match body {
            Body::Ciphertexts(list) => Some(list),
            _ => None,
        });
        lists.flatten().map(|bytes| bytes.0.as_slice())
    }

    /// Reads the ciphertexts of a complete step.
    fn read(&self, step: Step, party: u32) -> Result<Vec<Ciphertext>, Fault> {
        let bytes: Vec<&[u8]> = self.posted(step, party).collect();
        self.take(step, party, &bytes)
    }

    fn take(&self, step: Step, party: u32, bytes: &[&[u8]]) -> Result<Vec<Ciphertext>, Fault> {
        let taken = Ciphertext::from_bytes_batch(self.encryptor().key(), bytes);
        taken.map_err(|e| self.transcript.blame(party, format!("{} round {}: {e}", step.phase, step.round)))
    }

    fn write(&self, list: Vec<Ciphertext>) -> Body {
        let bytes = Ciphertext::to_bytes_batch(self.encryptor().key(), &list);
        Body::Ciphertexts(bytes.into_iter().map(Bytes).collect())
    }

    fn fold_keys(&mut self) -> Result<(), Fault> {
        self.hpke = self.transcript.hpke()?;
        let analyst = self.params.analyst;
        let n = self.transcript.keys()?[analyst as usize].paillier.as_ref().expect("checked by the rules");
        let blame = |reason: String| self.transcript.blame(analyst, reason);
        let key =
            EncryptionKey::new(&BigUint::from_bytes_be(&n.0)).map_err(|e| blame(format!("paillier: {e}")))?;
        if key.bits() != u64::from(self.params.key_bits) {
            return Err(blame(format!("paillier: a modulus of {} bits", key.bits())));
        }
        self.slots = Some(Slots::new(&self.params, &key));
        self.encryptor = Some(Encryptor::new(&key, Randomness::Short));
        if !self.params.standardise {
            self.scaling = Some(Pooled::identity(&self.params.columns));
        }
        Ok(())
    }

    fn fold_moments(&mut self, step: Step) -> Result<(), Fault> {
        let posted: Vec<Vec<u8>> =
            self.providers.iter().map(|party| self.transcript.payload(step, *party)).collect();
        let pooled = Pooled::new(&self.params.columns, &Units::of(&self.params), &posted);
        self.scaling = Some(pooled.map_err(|e| Fault::Disagreement(format!("over all providers, {e}")))?);
        Ok(())
    }

    fn fold_seed(&mut self, step: Step) -> Result<(), Fault> {
        let job = &self.job.id;
        for party in 0..self.transcript.rules().parties() {
            let folded = match self.transcript.bodies(step, party).next() {
                Some(Body::SeedCommit(commit)) => self.joint.fold_commitment(party, commit),
                Some(Body::SeedOpen(open)) => self.joint.fold_opening(job, party, open),
                _ => unreachable!("the step is complete"),
            };
            folded.map_err(|e| self.transcript.blame(party, format!("{}: {e}", step.phase)))?;
        }
        self.seed = (step.phase == Phase::SeedOpen).then(|| self.joint.value(job));
        Ok(())
    }

    /// What the analyst's answer says of the own margins.
    fn fold_indicators(&mut self, step: Step) -> Result<(), Fault> {
        let active = self.params.active() as usize;
        let own = self.transcript.me().and_then(|me| self.providers.iter().position(|party| *party == me));
        let range =
            own.map_or(0..self.providers.len() * active, |place| place * active..(place + 1) * active);
        let analyst = self.params.analyst;
        if self.is_paper() {
            let lists = self.transcript.bodies(step, analyst).filter_map(|body| match body {
                Body::Indicators(list) => Some(list),
                _ => None,
            });
            self.indicators = lists.flatten().copied().skip(range.start).take(range.len()).collect();
            return Ok(());
        }
        if self.is_analyst() {
            return Ok(());
        }
        let bytes: Vec<&[u8]> = self.posted(step, analyst).skip(range.start).take(range.len()).collect();
        self.comparisons = self.take(step, analyst, &bytes)?;
        Ok(())
    }

    fn fold_gradients(&mut self, step: Step) -> Result<(), Fault> {
        let mut parts =
            self.providers.iter().map(|party| self.read(step, *party)).collect::<Result<Vec<_>, _>>()?;
        if !self.is_paper() {
            let key = self.encryptor().key();
            let sum = parts.into_iter().reduce(|a, b| key.add_each(&a, &b)).expect("two providers at least");
            parts = vec![sum];
        }
        self.gradients.push(parts);
        Ok(())
    }

    fn fold_model(&mut self, step: Step) -> Result<(), Fault> {
        let analyst = self.params.analyst;
        let Some(Body::Model(model)) = self.transcript.bodies(step, analyst).next().cloned() else {
            unreachable!("the step is complete")
        };
        let blame = |reason: String| Err(self.transcript.blame(analyst, reason));
        if let Some(weights) = published(&model) {
            if weights.len() != self.params.weights() {
                return blame(format!("{} weights instead of {}", weights.len(), self.params.weights()));
            }
            if digest::model(&self.job.id, analyst, &weights, None) != model.digest {
                return blame("the digest is not that of the weights".into());
            }
        }
        self.model = Some(model);
        Ok(())
    }

    fn closing(&self) -> HorizontalResult {
        let model = self.model.as_ref().expect("the model comes before the result");
        HorizontalResult { transcript: self.transcript.digest().into(), model: model.digest }
    }

    /// Takes in a complete step; the next one.
    fn complete(&mut self, step: Step) -> Result<Option<Step>, Fault> {
        let observes = self.transcript.me().is_none();
        match step.phase {
            Phase::Keys => self.fold_keys()?,
            Phase::Moments => self.fold_moments(step)?,
            Phase::SeedCommit | Phase::SeedOpen => self.fold_seed(step)?,
            Phase::Weights => {
                self.weights = self.read(step, self.params.analyst)?;
                if !self.weights.is_empty() && self.weights.len() != self.params.weights() {
                    return Err(self
                        .transcript
                        .blame(self.params.analyst, "it ended training in a part of its records only"));
                }
                if self.weights.is_empty() {
                    return Ok(Some(Step::first(Phase::Model, step.round)));
                }
            }
            Phase::Margins => {
                if self.is_analyst() || observes {
                    self.margins = self
                        .providers
                        .iter()
                        .map(|party| self.read(step, *party))
                        .collect::<Result<_, _>>()?;
                }
            }
            Phase::Indicators => self.fold_indicators(step)?,
            Phase::Gradient => {
                self.fold_gradients(step)?;
                return Ok(Some(Step::first(Phase::Weights, step.round + 1)));
            }
            Phase::Model => {
                self.fold_model(step)?;
                return Ok(Some(Step::first(Phase::Result, 0)));
            }
            _ => return Ok(None),
        }
        Ok(self.transcript.after(step))
    }

    /// Runs something with the analyst's secrets, all gradients so far taken in.
    fn with_analyst<T>(
        &self,
        private: &Private,
        run: impl FnOnce(&mut Analyst, &mut Times) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut cache = self.cache();
        let Cache { analyst, times, .. } = &mut *cache;
        let analyst = analyst.get_or_insert_with(|| Analyst::new(&self.job, &self.params, private));
        if let Some(encryptor) = &self.encryptor
            && encryptor.key().n() != analyst.key.public().n()
        {
            return Err(Fault::Input("the own key on the ledger was made with another job secret".into()));
        }
        // Under their masks it cannot be told whose part of a sum it was; and the model belongs to all.
        let followed = analyst.follow(&self.params, self.transcript.rules().parties(), &self.gradients);
        followed.map_err(Fault::Disagreement)?;
        run(analyst, times)
    }

    fn prepared(&self, private: &Private, me: u32) -> Result<Arc<Prepared>, Fault> {
        let mut cache = self.cache();
        if let Some(prepared) = &cache.prepared {
            return Ok(prepared.clone());
        }
        let table = private.table.as_ref().ok_or_else(|| Fault::Input("this provider has no rows".into()))?;
        let scaling = self.scaling.as_ref().expect("scaling comes before training");
        if self.params.standardise {
            moments::check_scaled(&Units::of(&self.params), table, scaling).map_err(Fault::Input)?;
        }
        let rows = Rows::new(&self.params, table, &scaling.scaler).map_err(Fault::Input)?;
        let masks = Masks::new(&self.transcript, me, &private.secret, &self.providers, &self.hpke)?;
        let schedule = self.params.batch.map(|batch| {
            batches(
                &self.job,
                &self.params,
                &self.seed.expect("seeds come before training"),
                me,
                rows.len() as u32,
                batch,
            )
        });
        let noise = self.params.gradient_noise.as_ref().map(Gaussian::new);
        let prepared = Arc::new(Prepared { rows, masks, schedule, noise });
        cache.prepared = Some(prepared.clone());
        Ok(prepared)
    }

    /// Runs something with a provider's side of a round.
    fn with_provider(
        &self,
        slot: Slot,
        private: &Private,
        run: impl FnOnce(&Provider, &Prepared, &[usize]) -> Vec<Ciphertext>,
    ) -> Result<Body, Fault> {
        let prepared = self.prepared(private, slot.party)?;
        let batch: Vec<usize> = match &prepared.schedule {
            Some(schedule) => schedule[slot.round as usize].iter().map(|row| *row as usize).collect(),
            None => (0..prepared.rows.len()).collect(),
        };
        // The same for the margins and the gradient of a round.
        let first = Slot { phase: Phase::Margins, chunk: 0, ..slot };
        let before = self.transcript.digest_before(self.transcript.step_of(&first));
        let inputs = digest::digest("plan", &self.job.id, [before, private.digest]);
        let mut rng = StepRng::new(&private.secret, &self.job.id, first, &inputs);
        let plan = Plan::draw(&batch, self.params.active() as usize, &mut rng);
        let provider = Provider {
            params: &self.params,
            encryptor: self.encryptor(),
            rows: &prepared.rows,
            plan: &plan,
            multiplied: Cell::default(),
        };
        let start = Instant::now();
        let list = run(&provider, &prepared, &batch);
        let (all, multiplied) = (start.elapsed(), provider.multiplied.get());
        let times = &mut self.cache().times;
        times.multiplication += multiplied;
        // What a provider does for the margins beside multiplying is for the comparison.
        if slot.phase == Phase::Margins {
            times.comparison += all - multiplied;
        }
        Ok(self.write(list))
    }

    fn make_margins(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        let chunk = self.transcript.rules().chunk_range(slot.phase, slot.chunk);
        self.with_provider(slot, private, |provider, _, batch| match self.is_paper() {
            true => paper::pairs(provider, &self.weights, batch, chunk, rng),
            false => provider.blinded(self.slots(), &self.weights, chunk, rng),
        })
    }

    fn make_gradient(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        let chunk = self.transcript.rules().chunk_range(slot.phase, slot.chunk);
        self.with_provider(slot, private, |provider, prepared, batch| {
            let all = if self.is_paper() {
                paper::gradient(provider, &self.weights, batch, &self.indicators, rng)
            } else {
                let packing =
                    gradient_packing(&self.params, self.transcript.rules().parties(), self.encryptor().key());
                let mut noise = vec![0; self.params.weights()];
                if let (Some(gaussian), Some(params)) = (&prepared.noise, &self.params.gradient_noise) {
                    noise.fill_with(|| {
                        loop {
                            let draw = gaussian.draw(rng);
                            if draw.unsigned_abs() < 1 << params.bits() {
                                return draw;
                            }
                        }
                    });
                }
                let step = self.transcript.step_of(&slot).name();
                provider.gradient(&packing, &self.comparisons, (&prepared.masks, &step), &noise, rng)
            };
            all[chunk].to_vec()
        })
    }

    fn make_weights(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        let range = self.transcript.rules().chunk_range(slot.phase, slot.chunk);
        let list = self.with_analyst(private, |analyst, _| {
            if slot.round == self.params.iterations || analyst.model.has_converged() {
                return Ok(Vec::new());
            }
            let weights: Vec<_> = analyst.model.weights()[range].iter().map(|w| (*w).into()).collect();
            self.encrypt(&weights, rng)
        })?;
        Ok(self.write(list))
    }

    fn make_indicators(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        let active = self.params.active() as usize;
        let range = self.transcript.rules().chunk_range(slot.phase, slot.chunk);
        self.with_analyst(private, |analyst, times| {
            let start = Instant::now();
            let mut bits = Vec::new();
            if analyst.compared.0 != slot.round {
                analyst.compared = (slot.round, BTreeMap::new());
            }
            // Only the providers of whose margins this chunk speaks.
            for place in range.start / active..range.end.div_ceil(active) {
                if !analyst.compared.1.contains_key(&place) {
                    let all = self.compare(&analyst.key, place)?;
                    analyst.compared.1.insert(place, all);
                }
                let from = range.start.max(place * active) - place * active;
                let to = range.end.min((place + 1) * active) - place * active;
                bits.extend_from_slice(&analyst.compared.1[&place][from..to]);
            }
            let body = match self.is_paper() {
                true => Body::Indicators(bits),
                false => {
                    let bits: Vec<_> = bits.into_iter().map(|bit| u8::from(bit).into()).collect();
                    self.write(self.encrypt(&bits, rng)?)
                }
            };
            times.comparison += start.elapsed();
            Ok(body)
        })
    }

    fn encrypt(&self, plaintexts: &[BigInt], rng: &mut StepRng) -> Result<Vec<Ciphertext>, Fault> {
        self.encryptor().encrypt(plaintexts, rng).map_err(|e| Fault::Input(e.to_string()))
    }

    /// Which margins of a provider are negative, or with the paper's protocol below 1.
    fn compare(&self, key: &PrivateKey, place: usize) -> Result<Vec<bool>, Fault> {
        let margins = &self.margins[place];
        if self.is_paper() {
            return Ok(paper::compare(key, margins));
        }
        let found = analyst::compare(key, self.slots(), margins, self.params.active() as usize);
        found.map_err(|e| self.transcript.blame(self.providers[place], e))
    }

    fn make_model(&self, private: &Private) -> Result<Body, Fault> {
        let weights = self.with_analyst(private, |analyst, _| Ok(analyst.model.weights().to_vec()))?;
        let split = self.params.model == Publication::Split;
        let salt = private.salt(&self.job);
        let salt = split.then_some(&salt);
        Ok(Body::Model(digest::published(&self.job.id, self.params.analyst, &weights, salt)))
    }

    fn make_keys(&self, slot: Slot, private: &Private) -> Result<Body, Fault> {
        let keys = Keys::derive(&private.secret, &self.job.id);
        let paillier = match slot.party == self.params.analyst {
            false => None,
            true => Some(
                self.with_analyst(private, |analyst, _| Ok(Bytes(analyst.key.public().n().to_bytes_be())))?,
            ),
        };
        Ok(Body::Keys(keys.record(&self.job.id, slot.party, paillier, None)))
    }

    fn make_moments(&self, slot: Slot, private: &Private) -> Result<Body, Fault> {
        let table = private.table.as_ref().ok_or_else(|| Fault::Input("this provider has no rows".into()))?;
        let sums = moments::sums(&Units::of(&self.params), table);
        let masks = Masks::new(&self.transcript, slot.party, &private.secret, &self.providers, &self.hpke)?;
        let step = self.transcript.step_of(&slot).name();
        let payload = moments::encode(&sums, &masks.draw(&step, &moments::modulus(), sums.len()));
        let range = self.transcript.rules().chunk_range(slot.phase, slot.chunk);
        Ok(Body::Moments(Bytes(payload[range].to_vec())))
    }
}

/// The rows of one provider that each iteration visits, where it does not visit all.
pub fn batches(
    job: &Job,
    params: &Params,
    seed: &[u8; 32],
    party: u32,
    rows: u32,
    batch: u32,
) -> Vec<Vec<u32>> {
    let seed = digest::digest("batches", &job.id, [&seed[..], &party.to_be_bytes()]);
    schedule(&seed, rows, params.iterations, batch.min(params.rows))
}

fn published(model: &Model) -> Option<Vec<i64>> {
    // The rules let only integers pass.
    model.weights.as_ref().map(|weights| weights.iter().filter_map(|w| w.parse().ok()).collect())
}

impl Protocol for HorizontalSvm {
    type Private = Private;
    type Output = Output;

    fn start(job: &Job, role: Role) -> Result<Self, Fault> {
        let params = params_of(job)?.clone();
        let transcript = StepTranscript::new(job, role)?;
        let providers = (0..job.params.parties()).filter(|party| *party != params.analyst).collect();
        Ok(Self {
            job: job.clone(),
            params,
            transcript,
            providers,
            hpke: Vec::new(),
            encryptor: None,
            slots: None,
            scaling: None,
            seed: None,
            joint: JointSeed::new(job.params.parties()),
            weights: Vec::new(),
            margins: Vec::new(),
            comparisons: Vec::new(),
            indicators: Vec::new(),
            gradients: Vec::new(),
            model: None,
            cache: Mutex::default(),
        })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        let record = &committed.record;
        if let (Body::Closing(closing), Some(_)) = (&record.body, &self.model)
            && *closing != self.closing()
        {
            return Err(self
                .transcript
                .blame(record.slot.party, "its result differs from what the records give"));
        }
        if let Some(step) = self.transcript.fold(committed)? {
            let next = self.complete(step)?;
            self.transcript.open(next);
        }
        Ok(())
    }

    fn pending(&self) -> Vec<Slot> {
        self.transcript.pending()
    }

    fn produce(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        match slot.phase {
            Phase::Keys => self.make_keys(slot, private),
            Phase::Moments => self.make_moments(slot, private),
            Phase::SeedCommit => {
                let commit = seed::commit(&self.job.id, slot.party, &private.contribution(&self.job));
                Ok(Body::SeedCommit(commit))
            }
            Phase::SeedOpen => Ok(Body::SeedOpen(seed::open(&private.contribution(&self.job)))),
            Phase::Weights => self.make_weights(slot, private, rng),
            Phase::Margins => self.make_margins(slot, private, rng),
            Phase::Indicators => self.make_indicators(slot, private, rng),
            Phase::Gradient => self.make_gradient(slot, private, rng),
            Phase::Model => self.make_model(private),
            Phase::Result => Ok(Body::Closing(self.closing())),
            other => Err(Fault::Input(format!("{other} is not part of a training by rows"))),
        }
    }

    fn input_digest(&self, slot: Slot, private: &Private) -> [u8; 32] {
        let before = self.transcript.digest_before(self.transcript.step_of(&slot));
        digest::digest("inputs", &self.job.id, [before, private.digest])
    }

    fn status(&self) -> Status<Output> {
        let waiting_for = self.transcript.open_slots();
        if !waiting_for.is_empty() {
            return Status::Running { waiting_for };
        }
        let model = self.model.as_ref().expect("nothing is open after the model only");
        Status::Done(Output {
            iterations: self.iterations(),
            scaler: self.scaling.as_ref().expect("scaling comes before training").scaler.clone(),
            weights: published(model),
            digest: model.digest,
            seed: self.seed,
            times: self.cache().times,
            gradients: self.gradients.clone(),
        })
    }
}
