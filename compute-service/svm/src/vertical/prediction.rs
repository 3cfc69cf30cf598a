//! Predictions with a model that stayed split (`docs/protocols.md` 2): the blinded judge shows of every new
//! instance whether the sum of all wⁱ·xⁱ is negative, which is its class, and next to nothing else.
//!
//! [`Prediction`] is one party's side as a [`Protocol`]: set-up, preparation of the blinding, one round of encrypted parts
//! (IV) and partial decryptions (DV), result. To the judge it is one iteration of a training in which every instance is
//! visited once and compared with 0 instead of 1.

use super::{
    agreement::Agreement,
    blinding::{Blinding, BlindingError},
    judge,
    rounds::Rounds,
};
use crate::{
    digest,
    fixed::{self, Features, MarginBound},
};
use dataset::Label;
use paillier::KeyShare;
use protocol::{Committed, Fault, Protocol, QuorumTranscript, Role, Status, StepRng, forms};
use records::{Body, DataDigest, Job, JobParams, Kind, Phase, Setup, Slot, VerticalPredict};
use std::fmt;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// What a participant brings to predictions and never posts.
#[derive(ZeroizeOnDrop)]
pub struct Parts {
    #[zeroize(skip)]
    share: KeyShare,
    /// wⁱ·xⁱ of every instance.
    scores: Vec<i64>,
    #[zeroize(skip)]
    data: DataDigest,
    digest: [u8; 32],
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parts({})", self.scores.len())
    }
}

/// A participant's part of a split model, with the salt of its digest.
#[derive(ZeroizeOnDrop)]
pub struct SplitPart {
    /// wⁱ at scale 2^24.
    pub weights: Vec<i64>,
    /// What [`super::Private::salt`] was in the training.
    pub salt: [u8; 32],
}

impl fmt::Debug for SplitPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SplitPart({})", self.weights.len())
    }
}

fn params_of(params: &JobParams) -> Result<&VerticalPredict, Fault> {
    match &params.kind {
        Kind::VerticalPredict(predict) => Ok(predict),
        other => Err(Fault::Input(format!("a {} job makes no predictions", other.name()))),
    }
}

impl Parts {
    /// A participant's side of one job: its share of the key, its part of the model, and its columns of the instances in
    /// the order of their sorted `ids`.
    ///
    /// # Errors
    /// [`Fault::Input`] where the part is not the one that the participant named when training ended, the table is not
    /// one of the job's size, identifiers repeat or are not sorted, or a part of a decision value is too large.
    pub fn new(
        params: &JobParams,
        party: u32,
        share: KeyShare,
        part: &SplitPart,
        ids: &[String],
        features: &Features,
    ) -> Result<Self, Fault> {
        let (job, predict) = (params.id(), params_of(params)?);
        let named = digest::model(&predict.training, party, &part.weights, Some(&part.salt));
        if predict.digests.get(party as usize) != Some(&named) {
            return Err(Fault::Input(format!(
                "the own part of the model is not the one that was named when training {} ended",
                predict.training
            )));
        }
        for (what, count) in [("identifiers", ids.len()), ("rows", features.len())] {
            if count != predict.instances as usize {
                let instances = predict.instances;
                return Err(Fault::Input(format!("{count} {what} for a job of {instances} instances")));
            }
        }
        if features.width() != part.weights.len() {
            let (found, expected) = (features.width(), part.weights.len());
            return Err(Fault::Input(format!("{found} columns for {expected} weights")));
        }
        if let Some(pair) = ids.windows(2).find(|pair| pair[0] >= pair[1]) {
            let what = if pair[0] == pair[1] { "repeated" } else { "not in order" };
            return Err(Fault::Input(format!("identifier `{}` is {what}", pair[1].escape_debug())));
        }
        let bound = MarginBound::new(predict.margin_bits, params.parties());
        let score = |(row, id): (usize, &String)| {
            let score = i64::try_from(fixed::score(&part.weights, features.row(row))).ok();
            score.filter(|score| score.unsigned_abs() <= bound.largest().unsigned_abs()).ok_or_else(|| {
                let id = id.escape_debug();
                Fault::Input(format!(
                    "instance `{id}` lies farther from the plane than the judge can compare"
                ))
            })
        };
        let scores = ids.iter().enumerate().map(score).collect::<Result<Vec<_>, _>>().map(Zeroizing::new)?;
        let data = DataDigest {
            instances: predict.instances,
            features: features.width() as u32,
            ids: digest::digest("ids", &job, ids).into(),
            // No participant knows any; the same from all.
            labels: digest::digest("labels", &job, [[0u8; 0]; 0]).into(),
        };
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(scores.iter().flat_map(|a| a.to_be_bytes()).collect());
        let digest = digest::digest("parts", &job, [bytes.as_slice(), data.ids.to_string().as_bytes()]);
        Ok(Self { share, scores: scores.to_vec(), data, digest })
    }
}

/// One party's side of predictions.
pub struct Prediction {
    transcript: QuorumTranscript,
    params: VerticalPredict,
    blinding: Blinding,
    agreement: Agreement,
    /// From the moment when the key is known.
    rounds: Option<Rounds>,
}

impl Prediction {
    /// The sizes of the blinding that predictions with these parameters have.
    ///
    /// # Errors
    /// No room for any, or for less than without consent.
    pub fn blinding(params: &VerticalPredict, parties: u32) -> Result<Blinding, BlindingError> {
        Blinding::new(params.key_bits, parties, params.margin_bits, params.weak_blinding)
    }

    /// Records of partial decryptions whose proof was checked and holds.
    pub fn proofs(&self) -> u64 {
        self.rounds.as_ref().map_or(0, Rounds::proofs)
    }

    /// What the judge says of every instance: whether it is negative.
    fn signs(&self) -> Option<&[bool]> {
        self.rounds.as_ref()?.indicators().first().map(Vec::as_slice)
    }

    /// What every participant must post at the end.
    fn result(&self) -> Option<records::ResultDigests> {
        Some(records::ResultDigests {
            indicators: digest::indicators(&[self.signs()?.to_vec()]),
            model: digest::models(&self.params.digests),
        })
    }

    /// What follows from a complete round of a phase.
    fn complete(&mut self, slot: Slot) -> Result<(), Fault> {
        match (&mut self.rounds, slot.phase) {
            (None, _) => {
                let key = self.agreement.key(self.transcript.participants(), self.params.key_bits)?;
                let rules = self.transcript.rules().clone();
                let all = vec![(0..self.params.instances).collect()];
                let judge = judge::Blinded::new(rules, self.blinding, all, 0);
                self.rounds = Some(Rounds::new(&self.transcript, key, Box::new(judge)));
                Ok(())
            }
            (Some(rounds), _) => rounds.complete(slot, &mut self.transcript),
        }
    }
}

impl Protocol for Prediction {
    type Private = Parts;
    /// The classes, in the order of the sorted identifiers.
    type Output = Vec<Label>;

    fn start(job: &Job, role: Role) -> Result<Self, Fault> {
        let params = params_of(&job.params)?.clone();
        let transcript = QuorumTranscript::new(job, role, params.quorum)?;
        let n = job.params.parties();
        let blinding = Self::blinding(&params, n).map_err(|e| Fault::Input(e.to_string()))?;
        Ok(Self { transcript, params, blinding, agreement: Agreement::new(n), rounds: None })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        let record = &committed.record;
        let slot = record.slot;
        if !self.transcript.check(record)? {
            return Ok(());
        }
        let folded = match (&record.body, &mut self.rounds) {
            (Body::Setup(setup), _) => self.agreement.fold_setup(slot.party, setup, self.params.instances),
            (Body::Result(result), _) => match self.result().as_ref() == Some(result) {
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

    fn produce(&self, slot: Slot, private: &Parts, rng: &mut StepRng) -> Result<Body, Fault> {
        self.transcript.check_owed(&slot)?;
        let rounds = || self.rounds.as_ref().expect("what needs the key comes after the set-up");
        match slot.phase {
            Phase::Setup => Ok(Body::Setup(Setup {
                key: forms::threshold_key(private.share.key()),
                data: private.data.clone(),
            })),
            Phase::Iv => {
                let range = self.transcript.rules().chunk_range(Phase::Iv, slot.chunk);
                Ok(Body::Iv(rounds().iv(slot, &private.scores[range], rng)))
            }
            Phase::Result => Ok(Body::Result(self.result().expect("all partial decryptions come before"))),
            _ => rounds().produce(slot, &private.share, rng),
        }
    }

    fn contributors(&self, slot: Slot) -> Vec<u32> {
        self.transcript.contributors(&slot)
    }

    fn input_digest(&self, slot: Slot, private: &Parts) -> [u8; 32] {
        self.transcript.input_digest(slot, &private.digest)
    }

    fn status(&self) -> Status<Vec<Label>> {
        match self.signs().filter(|_| self.transcript.is_complete(Phase::Result, 0)) {
            Some(signs) => Status::Done(signs.iter().map(|negative| Label::of_sign(*negative)).collect()),
            None => Status::Running { waiting_for: self.transcript.open_slots() },
        }
    }
}
