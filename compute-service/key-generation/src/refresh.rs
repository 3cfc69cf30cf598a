//! A refresh as a protocol of records.

use crate::{
    Output, Private,
    ending::{self, Ending},
};
use paillier::{KeyError, KeyShare, PublicKey, keygen::refresh};
use protocol::{
    Committed, Fault, Protocol, Role, Status, Step, StepRng, StepTranscript, forms, sealed::Keys,
};
use records::{Body, Bytes, Job, KeyRefresh, Kind, Phase, Slot};

/// Checks that a share is the one with which a party deals in a refresh.
///
/// # Errors
/// [`Fault::Input`] with what differs.
pub fn check_share(params: &KeyRefresh, party: u32, share: &KeyShare) -> Result<(), Fault> {
    let key = share.key();
    let differs = |what: &str, own: u64, asked: u64| match own == asked {
        true => Ok(()),
        false => {
            let reason = format!("the refresh names another {what} than this share's: {asked}, not {own}");
            Err(Fault::Input(reason))
        }
    };
    let Some(dealer) = params.dealers.iter().find(|dealer| dealer.party == party) else {
        return Err(Fault::Input("this party does not deal in the refresh".into()));
    };
    if forms::fingerprint(key) != params.key {
        return Err(Fault::Input("the own share is not of the key to be refreshed".into()));
    }
    if share.purpose() != params.purpose {
        return Err(Fault::Input(format!("the key is for {}, not for {}", share.purpose(), params.purpose)));
    }
    differs("member index", share.index().into(), dealer.member.into())?;
    differs("number of members", key.parties().into(), params.old_parties.into())?;
    differs("quorum", key.quorum().into(), params.dealers.len() as u64)?;
    differs("size of shares", share.share_bits() as u64, params.share_bits.into())
}

/// One party's side of a refresh: an old member who deals, a new member, both, or an observer.
pub struct Refresh {
    params: KeyRefresh,
    transcript: StepTranscript,
    hpke: Vec<[u8; 32]>,
    refresh: Option<refresh::Refresh>,
    ending: Option<Ending>,
}

impl Refresh {
    /// All HPKE keys are there, and the old public key.
    fn begin(&mut self) -> Result<(), Fault> {
        let mut old = None;
        self.hpke = self.transcript.hpke()?;
        for (party, keys) in (0..).zip(self.transcript.keys()?) {
            let Some(threshold) = &keys.threshold else { continue };
            let key = forms::public_key(threshold, self.params.key_bits.into());
            let key = key.map_err(|e| self.transcript.blame(party, format!("the old key: {e}")))?;
            if forms::fingerprint(&key) != self.params.key {
                return Err(self.transcript.blame(party, "its key is not the one of this job"));
            }
            old = Some(key);
        }
        let old = old.ok_or_else(|| Fault::Input("no dealers are named".into()))?;
        if old.parties() != self.params.old_parties {
            return Err(Fault::Input(format!("old_parties: the key has {} members", old.parties())));
        }
        let dealers: Vec<u32> = self.params.dealers.iter().map(|dealer| dealer.member).collect();
        let (bits, new) = (self.params.share_bits as usize, self.params.members.len() as u32);
        let refresh = refresh::Refresh::new(&old, bits, &dealers, new, self.params.quorum)
            .map_err(|e| Fault::Input(e.to_string()))?;
        let parties = self.params.dealers.iter().map(|dealer| dealer.party).collect();
        let sharing = refresh.sharing();
        let (members, width) = (self.params.members.clone(), self.params.share_bytes());
        self.ending = Some(Ending::new(&old, 0, (parties, members), sharing, width));
        self.refresh = Some(refresh);
        Ok(())
    }

    /// Records of partial decryptions whose proof was checked and holds.
    pub fn proofs(&self) -> u64 {
        self.ending.as_ref().and_then(Ending::key).map_or(0, |key| key.parties().into())
    }

    fn complete(&mut self, step: Step) -> Result<(), Fault> {
        match (step.phase, &mut self.ending) {
            (Phase::Keys, _) => self.begin()?,
            (Phase::Deal, Some(ending)) => ending.fold_dealt(&self.transcript),
            (Phase::Verification, Some(ending)) => {
                let refresh = self.refresh.as_ref().expect("the keys come first");
                let assemble =
                    |_: &_, values: &[&[u8]]| -> Result<PublicKey, KeyError> { refresh.public_key(values) };
                ending.fold_verification(&self.transcript, step, assemble)?;
            }
            (Phase::TestDecryption, Some(ending)) => ending.fold_trial(&self.transcript, step)?,
            _ => {}
        }
        self.transcript.open(self.transcript.after(step));
        Ok(())
    }
}

impl Protocol for Refresh {
    type Private = Private;
    type Output = Output;

    fn start(job: &Job, role: Role) -> Result<Self, Fault> {
        let Kind::KeyRefresh(params) = &job.params.kind else {
            return Err(Fault::Input(format!("a {} job is no refresh", job.params.kind.name())));
        };
        let transcript = StepTranscript::new(job, role)?;
        Ok(Self { params: params.clone(), transcript, hpke: Vec::new(), refresh: None, ending: None })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        let complete = self.transcript.fold(committed)?;
        ending::check_key(self.ending.as_ref(), &self.transcript, &committed.record)?;
        complete.map_or(Ok(()), |step| self.complete(step))
    }

    fn pending(&self) -> Vec<Slot> {
        self.transcript.pending()
    }

    fn produce(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        let ending = || self.ending.as_ref().expect("the keys come first");
        let payload = match slot.phase {
            Phase::Keys => {
                let deals = self.params.dealers.iter().any(|dealer| dealer.party == slot.party);
                let threshold = match (&private.share, deals) {
                    (Some(share), true) => {
                        check_share(&self.params, slot.party, share)?;
                        Some(forms::threshold_key(share.key()))
                    }
                    (None, true) => {
                        return Err(Fault::Input("there is no share of the key to be refreshed".into()));
                    }
                    _ => None,
                };
                let keys = Keys::derive(&private.secret, self.transcript.job());
                return Ok(Body::Keys(keys.record(self.transcript.job(), slot.party, None, threshold)));
            }
            Phase::Deal => {
                let (Some(refresh), Some(share)) = (&self.refresh, &private.share) else {
                    return Err(Fault::Input("there is no share of the key to be refreshed".into()));
                };
                let shares = refresh.deal(share, rng).map_err(|e| Fault::Input(e.to_string()))?;
                ending().deal(&self.transcript, slot.party, &shares, &self.hpke, rng)?
            }
            Phase::Verification => ending().verification(&self.transcript, slot.party, private)?,
            Phase::TestDecryption => {
                return ending().trial(&self.transcript, slot, &self.params.purpose, private, rng);
            }
            _ => {
                let key = ending().key().expect("the trial comes before the key");
                return Ok(Body::Key(forms::threshold_key(key)));
            }
        };
        let range = self.transcript.rules().chunk_range(slot.phase, slot.chunk);
        Ok(Body::Part(Bytes(payload[range].to_vec())))
    }

    /// The old share is the one that the parameters name, or nothing is made.
    fn input_digest(&self, slot: Slot, _: &Private) -> [u8; 32] {
        self.transcript.digest_before(self.transcript.step_of(&slot))
    }

    fn status(&self) -> Status<Output> {
        ending::status(self.ending.as_ref(), &self.transcript, 0)
    }
}
