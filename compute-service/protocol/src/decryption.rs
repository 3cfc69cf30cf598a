//! Ciphertexts that a quorum decrypts, by records with proofs (DV).

use crate::{Fault, QuorumTranscript, StepRng, forms};
use num_bigint::BigInt;
use paillier::{Ciphertext, Contribution, KeyShare, Partial, Proof, ProofContext, PublicKey};
use records::{Bytes, Dv, JobId, Phase, Rules, Slot};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Partial decryptions of what a job decrypts, round after round.
pub struct Decryption {
    job: JobId,
    rules: Rules,
    key: PublicKey,
    /// What the members decrypt in this round, once it is known.
    ciphertexts: Vec<Ciphertext>,
    /// The DV records of this round, and the proofs that are not verified yet.
    partials: BTreeMap<Slot, (Vec<Partial>, Option<Proof>)>,
    /// The DV records that were made here and have not come back from the ledger yet.
    made: Mutex<BTreeMap<Slot, (Dv, Vec<Partial>)>>,
    /// Records whose proof was checked and holds.
    proofs: u64,
}

impl Decryption {
    /// Before the first round.
    pub fn new(transcript: &QuorumTranscript, key: PublicKey) -> Self {
        Self {
            job: transcript.job().clone(),
            rules: transcript.rules().clone(),
            key,
            ciphertexts: Vec::new(),
            partials: BTreeMap::new(),
            made: Mutex::default(),
            proofs: 0,
        }
    }

    /// Records of partial decryptions whose proof was checked and holds.
    pub fn proofs(&self) -> u64 {
        self.proofs
    }

    /// Begins a round. A member decrypts nothing but these, which it computed from all members' records.
    pub fn begin(&mut self, ciphertexts: Vec<Ciphertext>) {
        self.ciphertexts = ciphertexts;
    }

    fn context(&self, slot: Slot) -> ProofContext {
        forms::proof_context(&self.job, &slot)
    }

    fn to_decrypt(&self, slot: &Slot) -> &[Ciphertext] {
        let mut chunks = self.ciphertexts.chunks(self.rules.max_chunk_len(Phase::Dv));
        chunks.nth(slot.chunk as usize).unwrap_or_default()
    }

    /// A member's record.
    ///
    /// # Errors
    /// A share of another member or key.
    pub fn produce(&self, slot: Slot, share: &KeyShare, rng: &mut StepRng) -> Result<Dv, Fault> {
        if share.key() != &self.key || share.index() != slot.party {
            let reason = "the key share does not belong to this participant and the job's key";
            return Err(Fault::Input(reason.into()));
        }
        let ciphertexts = self.to_decrypt(&slot);
        let (partials, proof) = paillier::partial_decrypt(share, ciphertexts, &self.context(slot), rng);
        let bytes = Partial::to_bytes_batch(&self.key, &partials).into_iter().map(Bytes).collect();
        let dv = Dv { dv: bytes, proof: forms::proof_record(&proof) };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.insert(slot, (dv.clone(), partials));
        Ok(dv)
    }

    /// Reads a record; its proof is checked with those of the others. A record that was made here needs no check.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn fold(&mut self, slot: Slot, dv: &Dv) -> Result<(), String> {
        let made = self.made.get_mut().unwrap_or_else(PoisonError::into_inner).remove(&slot);
        if let Some((_, partials)) = made.filter(|(made, _)| made == dv) {
            self.partials.insert(slot, (partials, None));
            return Ok(());
        }
        let bytes: Vec<&[u8]> = dv.dv.iter().map(|b| b.0.as_slice()).collect();
        let partials = Partial::from_bytes_batch(&self.key, &bytes).map_err(|e| format!("dv: {e}"))?;
        let proof = forms::proof(&dv.proof, &self.key).map_err(|e| format!("proof: {e}"))?;
        self.partials.insert(slot, (partials, Some(proof)));
        Ok(())
    }

    /// The records of a quorum are in: verifies them and decrypts, which ends the round.
    ///
    /// # Errors
    /// A proof that does not hold, with its author.
    pub fn close_round(
        &mut self,
        round: u32,
        transcript: &mut QuorumTranscript,
    ) -> Result<Vec<BigInt>, Fault> {
        let contributors = transcript.close_round(round);
        self.partials.retain(|slot, _| contributors.contains(&slot.party));
        self.verify().map_err(|wrong| transcript.blame(wrong.index, format!("round {round}: {wrong}")))?;
        self.proofs += self.partials.len() as u64;
        let mut members: BTreeMap<u32, Vec<Partial>> = BTreeMap::new();
        for (slot, (partials, _)) in std::mem::take(&mut self.partials) {
            // In the order of the chunks, which is that of the slots of one party.
            members.entry(slot.party).or_default().extend(partials);
        }
        let members: Vec<(u32, Vec<Partial>)> = members.into_iter().collect();
        let values = paillier::combine(&self.key, &members);
        self.ciphertexts.clear();
        values.map_err(|e| Fault::Input(format!("decryption: {e}")))
    }

    fn verify(&self) -> Result<(), paillier::WrongShare> {
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
        paillier::verify_partials(&self.key, &contributions)
    }
}
