use super::Output;
use crate::Hyperparameters;
use crate::digest;
use crate::fixed::{self, Features, FixedError, MarginBound, Update};
use dataset::Label;
use paillier::KeyShare;
use protocol::{Fault, JobSecret, forms};
use records::{DataDigest, JobId, JobParams, Model, Setup};
use std::fmt;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// What a participant brings and never posts.
#[derive(ZeroizeOnDrop)]
pub struct Private {
    #[zeroize(skip)]
    pub(super) share: KeyShare,
    features: Features,
    #[zeroize(skip)]
    labels: Vec<Label>,
    #[zeroize(skip)]
    data: DataDigest,
    /// Contribution to the seed.
    contribution: [u8; 32],
    /// Salt of the digest of a model that stays split.
    salt: [u8; 32],
    digest: [u8; 32],
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Private").field("features", &self.features).finish_non_exhaustive()
    }
}

impl Private {
    /// A participant's side of one job: its share of the key, its columns and the labels of all training instances,
    /// in the order of their sorted `ids`, and the job secret, from which what must be the same in two records is
    /// derived.
    ///
    /// # Errors
    /// [`Fault::Input`] where the table is not one of the job's size, identifiers repeat or are not sorted, or one
    /// class is missing.
    pub fn new(
        params: &JobParams,
        share: KeyShare,
        ids: &[String],
        features: Features,
        labels: Vec<Label>,
        secret: &JobSecret,
    ) -> Result<Self, Fault> {
        let job = params.id();
        let instances = params.training().instances;
        for (what, count) in [("identifiers", ids.len()), ("rows", features.len()), ("labels", labels.len())]
        {
            if count != instances as usize {
                return Err(Fault::Input(format!("{count} {what} for a job of {instances} instances")));
            }
        }
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] >= pair[1]) {
            let what = if pair[0] == pair[1] { "repeated" } else { "not in order" };
            return Err(Fault::Input(format!("identifier `{}` is {what}", pair[1])));
        }
        if labels.windows(2).all(|pair| pair[0] == pair[1]) {
            return Err(Fault::Input("all training instances are of one class".into()));
        }
        let signs: Vec<u8> = labels.iter().map(|label| label.sign() as u8).collect();
        let data = DataDigest {
            instances,
            features: features.width() as u32,
            ids: digest::digest("ids", &job, ids).into(),
            labels: digest::digest("labels", &job, [signs]).into(),
        };
        let digest = digest::private(&job, &features, &data);
        let contribution = secret.derive(&job, "seed contribution");
        let salt = secret.derive(&job, "model salt");
        Ok(Self { share, features, labels, data, contribution, salt, digest })
    }

    /// Salt of the digest of a model that stays split; with it the owner shows which part it has.
    pub fn salt(&self) -> &[u8; 32] {
        &self.salt
    }

    pub(super) fn setup(&self) -> Setup {
        Setup { key: forms::threshold_key(self.share.key()), data: self.data.clone() }
    }

    /// Its contribution to the joint seed.
    pub(super) fn contribution(&self) -> &[u8; 32] {
        &self.contribution
    }

    pub(super) fn model(&self, job: &JobId, party: u32, weights: &[i64], split: bool) -> Model {
        digest::published(job, party, weights, split.then_some(&self.salt))
    }

    /// Digest of the data.
    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// wⁱ after the iterations that `indicators` covers.
    pub(super) fn weights_after(
        &self,
        params: &JobParams,
        schedule: &[Vec<u32>],
        indicators: &[Vec<bool>],
    ) -> Result<Zeroizing<Vec<i64>>, FixedError> {
        let update = Update::new(&Hyperparameters::from(params.training()));
        fixed::weights(&self.features, &self.labels, schedule, indicators, &update).map(Zeroizing::new)
    }

    /// aⁱ of the instances of one batch.
    pub(super) fn margins(
        &self,
        params: &JobParams,
        weights: &[i64],
        batch: &[u32],
    ) -> Result<Zeroizing<Vec<i64>>, FixedError> {
        let bound = MarginBound::new(params.training().margin_bits, params.parties());
        let margin = |s: &u32| fixed::margin(weights, &self.features, &self.labels, *s as usize, bound);
        batch.iter().map(margin).collect::<Result<_, _>>().map(Zeroizing::new)
    }

    /// wⁱ of the trained model, at scale 2^24.
    ///
    /// # Errors
    /// [`FixedError::Weight`], which training would have met before.
    pub fn weights(&self, params: &JobParams, output: &Output) -> Result<Vec<i64>, FixedError> {
        Ok(self.weights_after(params, &output.schedule, &output.indicators)?.to_vec())
    }
}
