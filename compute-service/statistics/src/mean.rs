//! The protocol: everybody's encrypted sums, the number of rows, and the totals where there are enough rows.

use crate::{OwnSums, Totals};
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use paillier::{Ciphertext, Encryptor, KeyShare, PublicKey, Randomness, packing::Packing};
use protocol::{
    Committed, Decryption, Fault, Protocol, QuorumTranscript, Role, Status, StepRng, digest, forms,
};
use records::{
    Body, Bytes, Contribution, Job, JobId, JobParams, Kind, Phase, Slot, ThresholdKey, jobs::Mean as Params,
};
use std::fmt;
use zeroize::Zeroizing;

/// What a participant brings and never posts.
pub struct Private {
    share: KeyShare,
    own: OwnSums,
    digest: [u8; 32],
}

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Private(…)")
    }
}

impl Private {
    /// A participant's share of the key and its sums.
    pub fn new(job: &JobId, share: KeyShare, own: OwnSums) -> Self {
        let numbers = [i128::from(own.rows)].into_iter().chain(own.values());
        let bytes: Zeroizing<Vec<u8>> = Zeroizing::new(numbers.flat_map(i128::to_be_bytes).collect());
        let digest = digest("sums", job, [bytes.as_slice()]);
        Self { share, own, digest }
    }

    /// Up to how many colluding members learned nothing of the factors when the key was made.
    pub fn key_bound(&self) -> u32 {
        self.share.key().collusion_bound()
    }
}

fn params_of(params: &JobParams) -> Result<&Params, Fault> {
    match &params.kind {
        Kind::Mean(mean) => Ok(mean),
        other => Err(Fault::Input(format!("a {} job has no means", other.name()))),
    }
}

/// One party's side of a job that learns means and deviations.
pub struct Mean {
    transcript: QuorumTranscript,
    params: Params,
    /// From the first set-up until the sums take it over; its fingerprint is the job's.
    key: Option<ThresholdKey>,
    /// From the moment when the key is known.
    sums: Option<Sums>,
    totals: Option<Totals>,
}

/// The encrypted sums.
struct Sums {
    encryptor: Encryptor,
    packing: Packing,
    /// Those of the participants so far: the number of rows, then the packed sums.
    encrypted: Vec<Ciphertext>,
    decryption: Decryption,
    /// The number of rows, once it is opened.
    rows: Option<u64>,
    /// Whether that is below the minimum: the sums stay closed.
    too_few: bool,
}

impl Sums {
    fn new(transcript: &QuorumTranscript, params: &Params, key: PublicKey) -> Result<Self, Fault> {
        let room = Params::room_bits(key.parties());
        let packing = Packing::new(&key, params.sum_bits(), room).map_err(|e| Fault::Input(e.to_string()))?;
        Ok(Self {
            encryptor: Encryptor::new(&key, Randomness::Short),
            packing,
            encrypted: Vec::new(),
            decryption: Decryption::new(transcript, key),
            rows: None,
            too_few: false,
        })
    }

    /// A participant's contribution. The number of rows has a plaintext of its own, because it is opened alone.
    fn contribute(
        &self,
        job: &JobId,
        slot: Slot,
        own: &OwnSums,
        rng: &mut StepRng,
    ) -> Result<Contribution, Fault> {
        let input = |e: &dyn fmt::Display| Fault::Input(e.to_string());
        let values: Vec<BigInt> = own.values().map(BigInt::from).collect();
        let packed = self.packing.pack(&values).map_err(|e| input(&e))?;
        let plaintexts: Vec<BigInt> = [BigInt::from(own.rows)].into_iter().chain(packed).collect();
        let context = forms::proof_context(job, &slot);
        let (ciphertexts, proof) =
            self.encryptor.encrypt_known(&plaintexts, &context, rng).map_err(|e| input(&e))?;
        Ok(forms::contribution(self.encryptor.key(), &ciphertexts, &proof))
    }

    /// Adds a participant's contribution, if its author knows what is in it.
    fn add(&mut self, job: &JobId, slot: Slot, contribution: &Contribution) -> Result<(), String> {
        let context = forms::proof_context(job, &slot);
        let new = forms::known_ciphertexts(contribution, &context, &self.encryptor)?;
        self.encrypted = match self.encrypted.is_empty() {
            true => new,
            false => self.encryptor.key().add_each(&self.encrypted, &new),
        };
        Ok(())
    }

    /// Takes the number of rows that was opened; the sums are next, where it is enough.
    ///
    /// # Errors
    /// A number that is not enough, or none.
    fn open_rows(&mut self, value: &BigInt, params: &Params, parties: u32) -> Result<(), Fault> {
        let most = u64::from(parties) * u64::from(params.max_rows);
        let rows = value.to_u64().filter(|rows| *rows <= most).ok_or_else(|| {
            Fault::Disagreement(format!("the numbers of rows do not add up to one in 0..={most}"))
        })?;
        self.too_few = rows < u64::from(params.min_rows);
        if self.too_few {
            let min = params.min_rows;
            return Err(Fault::Disagreement(format!(
                "{rows} rows in all, fewer than the minimum of {min}; no sums were opened"
            )));
        }
        self.rows = Some(rows);
        self.decryption.begin(self.encrypted.split_off(1));
        Ok(())
    }

    /// The totals in what was opened last.
    fn totals(&self, plaintexts: &[BigInt], params: &Params) -> Result<Totals, Fault> {
        let columns = params.columns.len();
        let impossible = || {
            Fault::Disagreement(
                "the sums do not belong to any table: a participant contributed wrong ones".into(),
            )
        };
        let mut sums = self.packing.unpack(plaintexts, 2 * columns).map_err(|_| impossible())?;
        let squares = sums.split_off(columns);
        let totals = Totals { rows: self.rows.expect("the rows are opened first"), sums, squares };
        if totals.are_possible(params) { Ok(totals) } else { Err(impossible()) }
    }
}

impl Mean {
    /// Records of partial decryptions whose proof was checked and holds. That of every contribution is checked besides.
    pub fn proofs(&self) -> u64 {
        self.sums.as_ref().map_or(0, |sums| sums.decryption.proofs())
    }

    /// Whether there turned out to be too few rows: the sums stay closed.
    pub fn too_few(&self) -> bool {
        self.sums.as_ref().is_some_and(|sums| sums.too_few)
    }

    /// Another minimum than that of the job.
    #[cfg(test)]
    pub(crate) fn require(&mut self, rows: u32) {
        self.params.min_rows = rows;
    }

    /// What every participant must post at the end: a digest of the totals.
    fn result(&self) -> Option<Body> {
        let totals = self.totals.as_ref()?;
        let numbers = totals.sums.iter().chain(&totals.squares).map(BigInt::to_signed_bytes_be);
        let parts = [totals.rows.to_be_bytes().to_vec()].into_iter().chain(numbers);
        Some(Body::Part(Bytes(digest("totals", self.transcript.job(), parts).to_vec())))
    }

    /// What follows from a complete round of a phase.
    fn complete(&mut self, slot: Slot) -> Result<(), Fault> {
        let parties = self.transcript.rules().parties();
        match (slot.phase, &mut self.sums) {
            (Phase::Setup, _) => {
                let key = self.key.take().expect("a set-up record has the key");
                let key = forms::public_key(&key, self.params.key_bits.into())
                    .map_err(|e| Fault::Input(format!("the public key: {e}")))?;
                self.sums = Some(Sums::new(&self.transcript, &self.params, key)?);
            }
            (Phase::Contribution, Some(sums)) => sums.decryption.begin(vec![sums.encrypted[0].clone()]),
            (Phase::Dv, Some(sums)) => {
                let values = sums.decryption.close_round(slot.round, &mut self.transcript)?;
                match sums.rows {
                    None => match sums.open_rows(&values[0], &self.params, parties) {
                        // Members end the job. That they do is nothing wrong with what an observer sees.
                        Err(_) if sums.too_few && self.transcript.me().is_none() => {}
                        opened => opened?,
                    },
                    Some(_) => self.totals = Some(sums.totals(&values, &self.params)?),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Protocol for Mean {
    type Private = Private;
    type Output = Totals;

    fn start(job: &Job, role: Role) -> Result<Self, Fault> {
        let params = params_of(&job.params)?.clone();
        let transcript = QuorumTranscript::new(job, role, params.quorum)?;
        Ok(Self { transcript, params, key: None, sums: None, totals: None })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        let record = &committed.record;
        let slot = record.slot;
        if !self.transcript.check(record)? {
            return Ok(());
        }
        let folded = match (&record.body, &mut self.sums) {
            (Body::Dv(_), Some(sums)) if sums.too_few => {
                Err("the sums were to be opened, though there are too few rows".into())
            }
            (Body::Key(key), _) => {
                self.key = Some(key.clone());
                Ok(())
            }
            (Body::Contribution(contribution), Some(sums)) => {
                sums.add(self.transcript.job(), slot, contribution)
            }
            (Body::Dv(dv), Some(sums)) => sums.decryption.fold(slot, dv),
            (body @ Body::Part(_), _) => match self.result().as_ref() == Some(body) {
                true => Ok(()),
                false => Err("its result differs from what the records give".into()),
            },
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
        let sums = || self.sums.as_ref().expect("what needs the key comes after the set-up");
        Ok(match slot.phase {
            Phase::Setup => Body::Key(forms::threshold_key(private.share.key())),
            Phase::Contribution => {
                Body::Contribution(sums().contribute(self.transcript.job(), slot, &private.own, rng)?)
            }
            Phase::Dv => Body::Dv(sums().decryption.produce(slot, &private.share, rng)?),
            _ => self.result().expect("the totals are opened before the result"),
        })
    }

    fn contributors(&self, slot: Slot) -> Vec<u32> {
        self.transcript.contributors(&slot)
    }

    fn input_digest(&self, slot: Slot, private: &Private) -> [u8; 32] {
        self.transcript.input_digest(slot, &private.digest)
    }

    fn status(&self) -> Status<Totals> {
        match self.totals.as_ref().filter(|_| self.transcript.is_complete(Phase::Result, 0)) {
            Some(totals) => Status::Done(totals.clone()),
            None if self.too_few() => Status::Running { waiting_for: Vec::new() },
            None => Status::Running { waiting_for: self.transcript.open_slots() },
        }
    }
}
