//! The rounds: encrypted margins, partial decryptions, indicators.

use super::book::Book;
use super::judge::Judge;
use super::key::Key;
use paillier::{Ciphertext, Contribution, KeyShare, Partial, Proof, ProofContext};
use protocol::{Fault, StepRng, forms};
use records::{Body, Bytes, Dv, Iv, JobId, Phase, Rules, Slot};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Everything from the moment when key and schedule are known.
pub(super) struct Rounds {
    job: JobId,
    rules: Rules,
    key: Key,
    judge: Box<dyn Judge>,
    /// What the members decrypt in this round, once all IV records are in.
    ciphertexts: Vec<Ciphertext>,
    /// The DV records of this round, and the proofs that are not verified yet.
    partials: BTreeMap<Slot, (Vec<Partial>, Option<Proof>)>,
    /// The DV records that were made here and have not come back from the ledger yet.
    made: Mutex<BTreeMap<Slot, (Dv, Vec<Partial>)>>,
    indicators: Vec<Vec<bool>>,
    /// Records of partial decryptions whose proof was checked and holds.
    proofs: u64,
}

impl Rounds {
    pub(super) fn new(book: &Book, key: Key, judge: Box<dyn Judge>) -> Self {
        Self {
            job: book.job().clone(),
            rules: book.rules().clone(),
            key,
            judge,
            ciphertexts: Vec::new(),
            partials: BTreeMap::new(),
            made: Mutex::default(),
            indicators: Vec::new(),
            proofs: 0,
        }
    }

    pub(super) fn indicators(&self) -> &[Vec<bool>] {
        &self.indicators
    }

    pub(super) fn proofs(&self) -> u64 {
        self.proofs
    }

    pub(super) fn schedule(&self) -> &[Vec<u32>] {
        self.judge.schedule()
    }

    /// A member's record of the preparation or of its partial decryptions.
    pub(super) fn make(&self, slot: Slot, share: &KeyShare, rng: &mut StepRng) -> Result<Body, Fault> {
        match slot.phase {
            Phase::Chain | Phase::Noise => Ok(self.judge.prepare(&self.key, slot, rng)),
            Phase::Dv => self.dv(slot, share, rng).map(Body::Dv).map_err(Fault::Input),
            other => Err(Fault::Input(format!("{other} is not part of this job"))),
        }
    }

    /// A member's IV record with its margins aⁱ.
    pub(super) fn iv(&self, slot: Slot, margins: &[i64], rng: &mut StepRng) -> Iv {
        self.judge.iv(&self.key, self.rules.chunk_range(Phase::Iv, slot.chunk), margins, rng)
    }

    /// Folds a record of the preparation or of the round.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn fold(&mut self, slot: Slot, body: &Body) -> Result<(), String> {
        match body {
            Body::Chain(list) | Body::Noise(list) => self.judge.fold_preparation(&self.key, slot, list),
            Body::Iv(iv) => self.judge.fold_iv(&self.key, self.rules.chunk_range(Phase::Iv, slot.chunk), iv),
            Body::Dv(dv) => self.fold_dv(slot, dv),
            _ => Err("not part of a round".into()),
        }
    }

    /// What follows when all records of a phase of the round are in, or partial decryptions of a quorum.
    ///
    /// # Errors
    /// A proof that does not hold, with its author.
    pub(super) fn complete(&mut self, slot: Slot, book: &mut Book) -> Result<(), Fault> {
        match slot.phase {
            Phase::Iv => self.ciphertexts = self.judge.close(&self.key),
            Phase::Dv => {
                let used = book.decide(slot.round);
                self.decide(&used).map_err(|(party, reason)| match party {
                    Some(party) => book.blame(party, format!("round {}: {reason}", slot.round)),
                    None => Fault::Input(reason),
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    fn context(&self, slot: Slot) -> ProofContext {
        forms::proof_context(&self.job, &slot)
    }

    fn to_decrypt(&self, slot: &Slot) -> &[Ciphertext] {
        &self.ciphertexts[self.rules.chunk_range(Phase::Dv, slot.chunk)]
    }

    /// This member's partial decryptions: only of ciphertexts that were computed here from everybody's records.
    fn dv(&self, slot: Slot, share: &KeyShare, rng: &mut StepRng) -> Result<Dv, String> {
        if share.key() != &self.key.public || share.index() != slot.party {
            return Err("the key share does not belong to this participant and the job's key".into());
        }
        let ciphertexts = self.to_decrypt(&slot);
        let (partials, proof) = paillier::partial_decrypt(share, ciphertexts, &self.context(slot), rng);
        let bytes = Partial::to_bytes_batch(&self.key.public, &partials).into_iter().map(Bytes).collect();
        let dv = Dv { dv: bytes, proof: forms::proof_record(&proof) };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(slot, (dv.clone(), partials));
        Ok(dv)
    }

    /// Reads a DV record; its proof is checked with those of the others. A record that was made here needs no check.
    fn fold_dv(&mut self, slot: Slot, dv: &Dv) -> Result<(), String> {
        let made = self.made.get_mut().unwrap_or_else(PoisonError::into_inner).remove(&slot);
        if let Some((_, partials)) = made.filter(|(made, _)| made == dv) {
            self.partials.insert(slot, (partials, None));
            return Ok(());
        }
        let bytes: Vec<&[u8]> = dv.dv.iter().map(|b| b.0.as_slice()).collect();
        let partials = Partial::from_bytes_batch(&self.key.public, &bytes).map_err(|e| format!("dv: {e}"))?;
        let proof = forms::proof(&dv.proof, &self.key.public).map_err(|e| format!("proof: {e}"))?;
        self.partials.insert(slot, (partials, Some(proof)));
        Ok(())
    }

    /// The DV records of a quorum of members are in: verifies them, decrypts, and ends the round.
    ///
    /// # Errors
    /// What is wrong, and the party at fault if there is one.
    fn decide(&mut self, used: &[u32]) -> Result<(), (Option<u32>, String)> {
        self.partials.retain(|slot, _| used.contains(&slot.party));
        self.verify()?;
        self.proofs += self.partials.len() as u64;
        let mut members: BTreeMap<u32, Vec<Partial>> = BTreeMap::new();
        for (slot, (partials, _)) in std::mem::take(&mut self.partials) {
            // In the order of the chunks, which is that of the slots of one party.
            members.entry(slot.party).or_default().extend(partials);
        }
        let members: Vec<(u32, Vec<Partial>)> = members.into_iter().collect();
        let values =
            paillier::combine(&self.key.public, &members).map_err(|e| (None, format!("decryption: {e}")))?;
        self.ciphertexts.clear();
        self.indicators.push(self.judge.decide(&values));
        Ok(())
    }

    fn verify(&self) -> Result<(), (Option<u32>, String)> {
        let foreign: Vec<(&Slot, &[Partial], &Proof, ProofContext)> = self
            .partials
            .iter()
            .filter_map(|(slot, (partials, proof))| {
                Some((slot, &partials[..], proof.as_ref()?, self.context(*slot)))
            })
            .collect();
        let contributions: Vec<Contribution> = foreign
            .iter()
            .map(|(slot, partials, proof, context)| Contribution {
                index: slot.party,
                ciphertexts: self.to_decrypt(slot),
                partials,
                context,
                proof,
            })
            .collect();
        paillier::verify_partials(&self.key.public, &contributions)
            .map_err(|e| (Some(e.index), e.to_string()))
    }
}
