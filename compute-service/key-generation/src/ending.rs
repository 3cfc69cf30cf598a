//! How a key generation and a refresh end: shares are dealt, verification keys published, and the key tried.

use crate::{Private, wire};
use num_bigint::BigUint;
use paillier::{
    Contribution, EncryptionKey, KeyError, KeyShare, Partial, PublicKey,
    keygen::{assembly, exponent::IntegerSharing},
};
use protocol::{
    Fault, Status, Step, StepRng, StepTranscript, forms,
    sealed::{self, Keys, MessageContext},
};
use records::{Body, Bytes, Dv, Job, JobId, Phase, Record, Slot};
use zeroize::Zeroizing;

/// What all members learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The public key.
    pub key: PublicKey,
    /// Candidates for N that were opened; none in a refresh.
    pub candidates: u64,
    dealing: Dealing,
    dealt: Vec<Vec<u8>>,
}

impl Output {
    /// Whether a party is a member of the new key.
    pub fn is_member(&self, party: u32) -> bool {
        self.dealing.index(party).is_some()
    }

    /// The own share.
    ///
    /// # Errors
    /// A party that is no member of the new key, or another job's secret.
    pub fn share(&self, job: &Job, party: u32, private: &Private) -> Result<KeyShare, Fault> {
        let purpose = match &job.params.kind {
            records::Kind::KeyGeneration(generation) => &generation.purpose,
            records::Kind::KeyRefresh(refresh) => &refresh.purpose,
            _ => return Err(Fault::Input("a training makes no key".into())),
        };
        let unfit = || Fault::Input("the dealt shares do not open with this node's secret".into());
        let index = self.dealing.index(party).ok_or_else(unfit)?;
        let keys = Keys::derive(&private.secret, &job.id);
        let share = self.dealing.receive(&job.id, party, &keys, &self.dealt).map_err(|_| unfit())?;
        let share = assembly::key_share(&self.key, &self.dealing.sharing, index, purpose, &share);
        share.map_err(|e| Fault::Input(e.to_string()))
    }
}

/// Who gives shares to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dealing {
    step: Step,
    dealers: Vec<u32>,
    /// Party indices by member index.
    members: Vec<u32>,
    sharing: IntegerSharing,
    /// Bytes of a share, fixed for the job.
    width: usize,
}

impl Dealing {
    fn index(&self, party: u32) -> Option<u32> {
        self.members.iter().position(|member| *member == party).map(|index| index as u32)
    }

    /// The share of a member from what was dealt; the index of the dealer at fault where there is none.
    fn receive(&self, job: &JobId, me: u32, keys: &Keys, dealt: &[Vec<u8>]) -> Result<BigUint, u32> {
        let index = self.index(me).unwrap_or_default() as usize;
        let length = self.width + sealed::OVERHEAD;
        let step = self.step.name();
        let mut received = Vec::new();
        for (&from, payload) in self.dealers.iter().zip(dealt) {
            let sealed = payload.get(index * length..(index + 1) * length).ok_or(from)?;
            let opened =
                keys.open(&MessageContext { of: job, step: &step, from, to: me }, sealed).ok_or(from)?;
            received.push(BigUint::from_bytes_be(&opened));
        }
        self.sharing.add(&received).map_err(|fault| match fault {
            paillier::keygen::KeygenError::Member { party, .. } => self.dealers[party as usize],
            _ => self.dealers[0],
        })
    }
}

/// Where a job about a key stands.
pub(crate) fn status(
    ending: Option<&Ending>,
    transcript: &StepTranscript,
    candidates: u64,
) -> Status<Output> {
    let waiting_for = transcript.open_slots();
    let done = waiting_for.is_empty().then(|| ending.and_then(|ending| ending.output(candidates))).flatten();
    done.map_or(Status::Running { waiting_for }, Status::Done)
}

/// Checks that a posted key is the one that the records give.
pub(crate) fn check_key(
    ending: Option<&Ending>,
    transcript: &StepTranscript,
    record: &Record,
) -> Result<(), Fault> {
    let own = ending.and_then(Ending::key).map(forms::threshold_key);
    match (&record.body, own) {
        (Body::Key(key), Some(own)) if *key != own => {
            Err(transcript.blame(record.slot.party, "its key is not the one that the records give"))
        }
        _ => Ok(()),
    }
}

/// The last steps, from when it is known what is shared.
pub(crate) struct Ending {
    encryption: EncryptionKey,
    dealing: Dealing,
    dealt: Vec<Vec<u8>>,
    key: Option<PublicKey>,
    tried: bool,
}

impl Ending {
    pub(crate) fn new(
        encryption: &EncryptionKey,
        round: u32,
        (dealers, members): (Vec<u32>, Vec<u32>),
        sharing: IntegerSharing,
        width: usize,
    ) -> Self {
        let step = Step::first(Phase::Deal, round);
        let dealing = Dealing { step, dealers, members, sharing, width };
        Self { encryption: encryption.clone(), dealing, dealt: Vec::new(), key: None, tried: false }
    }

    pub(crate) fn sharing(&self) -> &IntegerSharing {
        &self.dealing.sharing
    }

    pub(crate) fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref().filter(|_| self.tried)
    }

    pub(crate) fn output(&self, candidates: u64) -> Option<Output> {
        let key = self.key()?.clone();
        Some(Output { key, candidates, dealing: self.dealing.clone(), dealt: self.dealt.clone() })
    }

    /// A share for each member, sealed to it.
    pub(crate) fn deal(
        &self,
        transcript: &StepTranscript,
        me: u32,
        shares: &[BigUint],
        hpke: &[[u8; 32]],
        rng: &mut StepRng,
    ) -> Result<Vec<u8>, Fault> {
        let step = self.dealing.step.name();
        let mut payload = Vec::new();
        for (&to, share) in self.dealing.members.iter().zip(shares) {
            let place = MessageContext { of: transcript.job(), step: &step, from: me, to };
            let message = Zeroizing::new(wire::encode(std::slice::from_ref(share), self.dealing.width));
            let sealed = sealed::seal(&hpke[to as usize], &place, &message, rng);
            payload.extend(sealed.ok_or_else(|| transcript.blame(to, "its HPKE key is no key"))?);
        }
        Ok(payload)
    }

    pub(crate) fn fold_dealt(&mut self, transcript: &StepTranscript) {
        let of = |dealer: &u32| transcript.payload(self.dealing.step, *dealer);
        self.dealt = self.dealing.dealers.iter().map(of).collect();
    }

    /// The member's share.
    fn received(&self, transcript: &StepTranscript, me: u32, private: &Private) -> Result<BigUint, Fault> {
        let keys = Keys::derive(&private.secret, transcript.job());
        let share = self.dealing.receive(transcript.job(), me, &keys, &self.dealt);
        share.map_err(|dealer| transcript.blame(dealer, "its share cannot be opened or is out of range"))
    }

    pub(crate) fn verification(
        &self,
        transcript: &StepTranscript,
        me: u32,
        private: &Private,
    ) -> Result<Vec<u8>, Fault> {
        let share = self.received(transcript, me, private)?;
        Ok(assembly::verification_key(&self.encryption, &self.dealing.sharing, &share))
    }

    /// Puts the key together from the verification keys.
    pub(crate) fn fold_verification(
        &mut self,
        transcript: &StepTranscript,
        step: Step,
        assemble: impl FnOnce(&EncryptionKey, &[&[u8]]) -> Result<PublicKey, KeyError>,
    ) -> Result<(), Fault> {
        let values: Vec<Vec<u8>> =
            self.dealing.members.iter().map(|m| transcript.payload(step, *m)).collect();
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let key = assemble(&self.encryption, &values).map_err(|error| match error {
            KeyError::Verification { index, reason } => {
                transcript.blame(self.dealing.members[index as usize], format!("verification key: {reason}"))
            }
            other => Fault::Disagreement(format!("the key is refused: {other}")),
        })?;
        self.key = Some(key);
        Ok(())
    }

    pub(crate) fn trial(
        &self,
        transcript: &StepTranscript,
        slot: Slot,
        purpose: &str,
        private: &Private,
        rng: &mut StepRng,
    ) -> Result<Body, Fault> {
        let key = self.key.as_ref().expect("the verification keys come before the trial");
        let index = self.dealing.index(slot.party).expect("only members try the key");
        let share = self.received(transcript, slot.party, private)?;
        let share = assembly::key_share(key, &self.dealing.sharing, index, purpose, &share)
            .map_err(|e| Fault::Input(e.to_string()))?;
        let context = forms::proof_context(transcript.job(), &slot);
        let (partials, proof) = paillier::partial_decrypt(&share, &[assembly::trial(key).1], &context, rng);
        let dv = Partial::to_bytes_batch(key, &partials).into_iter().map(Bytes).collect();
        Ok(Body::Dv(Dv { dv, proof: forms::proof_record(&proof) }))
    }

    /// Checks that every member has its share of the same exponent: every proof, and the decryption by quorums that
    /// together hold all members.
    pub(crate) fn fold_trial(&mut self, transcript: &StepTranscript, step: Step) -> Result<(), Fault> {
        let key = self.key.as_ref().expect("the verification keys come before the trial");
        let (number, ciphertext) = assembly::trial(key);
        let mut decrypted = Vec::new();
        for (index, &party) in (0..).zip(&self.dealing.members) {
            let Some(Body::Dv(dv)) = transcript.body(step.phase, step.round, party) else {
                return Err(transcript.blame(party, "no partial decryption"));
            };
            let wrong = |reason: String| transcript.blame(party, format!("trial: {reason}"));
            let partials =
                Partial::from_bytes_batch(key, &[&dv.dv[0].0]).map_err(|e| wrong(e.to_string()))?;
            let proof = forms::proof(&dv.proof, key).map_err(|e| wrong(e.to_string()))?;
            let slot = Slot { phase: step.phase, round: step.round, party, chunk: 0 };
            let context = forms::proof_context(transcript.job(), &slot);
            let ciphertexts = std::slice::from_ref(&ciphertext);
            let partials_of = &partials;
            let contribution =
                Contribution { index, ciphertexts, partials: partials_of, context: &context, proof: &proof };
            paillier::verify_partial(key, &contribution).map_err(|e| wrong(e.to_string()))?;
            decrypted.push((index, partials));
        }
        let quorum = key.quorum() as usize;
        for last in quorum - 1..decrypted.len() {
            let mut members = decrypted[..quorum - 1].to_vec();
            members.push(decrypted[last].clone());
            let opened = paillier::combine(key, &members);
            if opened.as_deref() != Ok(std::slice::from_ref(&number)) {
                return Err(Fault::Disagreement(
                    "the new key does not decrypt; negotiate another one".into(),
                ));
            }
        }
        self.tried = true;
        Ok(())
    }
}
