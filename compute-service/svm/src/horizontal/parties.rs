//! What analyst and providers have of their own, and what comes out for all.

use super::{analyst, check, masks::Masks, noise::Gaussian, params_of, rows::Rows};
use dataset::{scaling::Scaler, table::Table};
use paillier::{Ciphertext, PrivateKey};
use protocol::{Fault, JobSecret, StepRng};
use records::{Comparison, Digest, HorizontalSvm as Params, Job, Phase, Slot};
use sha2::{Digest as _, Sha256};
use std::{collections::BTreeMap, fmt, time::Duration};

/// What a party knows and never posts.
pub struct Private {
    pub(super) secret: JobSecret,
    /// A provider's rows; the analyst has none.
    pub(super) table: Option<Table>,
    pub(super) digest: [u8; 32],
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Private")
            .field("rows", &self.table.as_ref().map(|table| table.rows.len()))
            .finish_non_exhaustive()
    }
}

impl Private {
    /// The analyst's side: its Paillier key follows from the job's secret.
    pub fn analyst(secret: JobSecret) -> Self {
        Self { secret, table: None, digest: [0; 32] }
    }

    /// A provider's side.
    ///
    /// # Errors
    /// [`Fault::Input`]: columns or classes that are not the job's, no rows or too many, gaps without standardisation.
    pub fn provider(params: &Params, table: Table, secret: JobSecret) -> Result<Self, Fault> {
        check(params, &table).map_err(Fault::Input)?;
        let mut hash = Sha256::new();
        for row in &table.rows {
            hash.update([row.label.map_or(0, |label| label.sign() as u8)]);
            row.values.iter().for_each(|v| hash.update(v.map_or([0xff; 8], f64::to_be_bytes)));
        }
        Ok(Self { secret, table: Some(table), digest: hash.finalize().into() })
    }

    pub(super) fn salt(&self, job: &Job) -> [u8; 32] {
        self.secret.derive(&job.id, "model salt")
    }

    pub(super) fn contribution(&self, job: &Job) -> [u8; 32] {
        self.secret.derive(&job.id, "seed contribution")
    }

    pub(super) fn key(&self, job: &Job, params: &Params) -> PrivateKey {
        let slot = Slot { phase: Phase::Keys, round: 0, party: params.analyst, chunk: 0 };
        let mut rng = StepRng::new(&self.secret, &job.id, slot, &[0; 32]);
        PrivateKey::generate(params.key_bits.into(), &mut rng).expect("key bits of valid parameters")
    }
}

/// What all participants learn.
#[derive(Clone, Debug)]
pub struct Output {
    /// Updates that were made.
    pub iterations: u32,
    /// How columns are scaled.
    pub scaler: Scaler,
    /// w, and b where there is an intercept, at scale 2^24, where the model was published.
    pub weights: Option<Vec<i64>>,
    /// Digest of the model, hexadecimal.
    pub digest: Digest,
    /// The joint seed of the batches, where an iteration does not visit all rows ([`batches`](super::batches)).
    pub seed: Option<[u8; 32]>,
    /// What this party's building blocks took since it was started.
    pub times: Times,
    pub(super) gradients: Vec<Vec<Vec<Ciphertext>>>,
}

impl Output {
    /// The model as the analyst knows it, published or not.
    ///
    /// # Errors
    /// Another party's or job's secret.
    pub fn weights_of_analyst(&self, job: &Job, private: &Private) -> Result<Vec<i64>, Fault> {
        let params = params_of(job)?;
        let mut analyst = Analyst::new(job, params, private);
        analyst.follow(params, job.params.parties(), &self.gradients).map_err(Fault::Input)?;
        Ok(analyst.model.weights().to_vec())
    }
}

/// Time that this party spent in the building blocks of table 4.4.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Times {
    /// Secure polynomial multiplication: margins and gradients under encryption.
    pub multiplication: Duration,
    /// Secure comparison: blinding, and the analyst's answers.
    pub comparison: Duration,
}

/// The analyst's secrets, and how far it has come.
pub(super) struct Analyst {
    pub(super) key: PrivateKey,
    pub(super) model: analyst::Model,
    /// Gradients that the model has in it.
    done: usize,
    /// Which of each provider's margins are negative, in one round; decrypted once, however many records that takes.
    pub(super) compared: (u32, BTreeMap<usize, Vec<bool>>),
}

impl Analyst {
    pub(super) fn new(job: &Job, params: &Params, private: &Private) -> Self {
        Self {
            key: private.key(job, params),
            model: analyst::Model::new(params),
            done: 0,
            compared: Default::default(),
        }
    }

    /// Takes in the gradients that are new.
    pub(super) fn follow(
        &mut self,
        params: &Params,
        parties: u32,
        gradients: &[Vec<Vec<Ciphertext>>],
    ) -> Result<(), String> {
        for round in &gradients[self.done..] {
            let gradient = match params.comparison {
                Comparison::Hidden => analyst::open(&self.key, params, parties, &round[0])?,
                Comparison::Paper => {
                    let mut sum = vec![0; params.weights()];
                    for one in round {
                        let values = self.key.decrypt(&one[..params.weights()]);
                        for (sum, value) in sum.iter_mut().zip(values) {
                            *sum +=
                                i64::try_from(value).map_err(|_| "a gradient is too large".to_string())?;
                        }
                    }
                    sum
                }
            };
            self.model.step(&gradient)?;
            self.done += 1;
        }
        Ok(())
    }
}

/// A provider's rows and masks, from when scaling and keys are known.
pub(super) struct Prepared {
    pub(super) rows: Rows,
    pub(super) masks: Masks,
    pub(super) schedule: Option<Vec<Vec<u32>>>,
    pub(super) noise: Option<Gaussian>,
}
