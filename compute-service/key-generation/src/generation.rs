//! A key generation as a protocol of records.

use crate::{
    Output, Private,
    ending::{self, Ending},
    member::{Cache, Member},
    wire,
};
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::One;
use paillier::{
    EncryptionKey,
    keygen::{
        Group, Message, Multiplication, assembly,
        biprimality::{self, BASES},
        candidates::Plan,
        exponent::{self, IntegerSharing},
        pairwise, seal,
    },
};
use protocol::{Committed, Fault, Protocol, Role, Status, Step, StepRng, StepTranscript, forms, possession};
use records::{Body, Bytes, Collusion, Job, KeyGeneration, KeySizes, Kind, MemberKeys, Phase, Slot};
use std::{
    f64::consts::LN_2,
    sync::{Mutex, PoisonError},
};

/// One party's side of a key generation.
pub struct Generation {
    pub(crate) params: KeyGeneration,
    pub(crate) transcript: StepTranscript,
    pub(crate) sizes: KeySizes,
    /// The member's, or the first one's for an observer, who uses what is public of it.
    pub(crate) plan: Plan,
    pub(crate) hpke: Vec<[u8; 32]>,
    /// The moduli of the members' own keys, where they multiply in pairs.
    pub(crate) moduli: Vec<Message>,
    pub(crate) batch: Batch,
    pub(crate) ending: Option<Ending>,
    candidates: u64,
    cache: Mutex<Cache>,
}

/// What is public of the current batch of candidates.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) candidates: Vec<BigUint>,
    pub(crate) coin: [u8; 32],
    /// Places of the candidates without a small factor.
    pub(crate) survivors: Vec<usize>,
    /// MessageContext of the first that passed one base.
    pub(crate) passed: Option<usize>,
    /// β·φ(N) + N·R.
    pub(crate) opened: BigUint,
    pub(crate) theta: BigUint,
    /// All members' opened shares of θ.
    pub(crate) theta_shares: Vec<Message>,
}

impl Batch {
    pub(crate) fn survivors(&self) -> Vec<(usize, &BigUint)> {
        self.survivors.iter().map(|&k| (k, &self.candidates[k])).collect()
    }

    /// The candidate that passed.
    pub(crate) fn n(&self) -> (usize, &BigUint) {
        let k = self.passed.expect("a candidate passed");
        (k, &self.candidates[k])
    }
}

/// Whose fault a step of the arithmetic says it is.
pub(crate) fn fault_of(
    transcript: &StepTranscript,
    step: Step,
    fault: paillier::keygen::KeygenError,
) -> Fault {
    use paillier::keygen::KeygenError::{Member, Together};
    match fault {
        Member { party, reason } => transcript.blame(party, format!("{}: {reason}", step.name())),
        Together(reason) => Fault::Disagreement(format!("{}: {reason}", step.name())),
        other => Fault::Input(other.to_string()),
    }
}

/// The commitment that an opening belongs to.
pub(crate) fn commitment_of(opening: Phase) -> Phase {
    match opening {
        Phase::ProductOpen => Phase::ProductCommit,
        Phase::PowerOpen => Phase::PowerCommit,
        Phase::PowersOpen => Phase::PowersCommit,
        Phase::GcdOpen => Phase::GcdCommit,
        Phase::ThetaOpen => Phase::ThetaCommit,
        other => unreachable!("{other} opens nothing"),
    }
}

impl Generation {
    /// Candidates for N that were opened so far, as far as they could be tested.
    pub fn candidates(&self) -> u64 {
        self.candidates
    }

    /// The session of commitments: the job.
    pub(crate) fn session(&self) -> [u8; 32] {
        *self.transcript.job().0.bytes()
    }

    /// Among so many candidates one is good but for a chance of 2⁻³⁰, if no member deviates.
    fn most_candidates(&self) -> u64 {
        (30.0 * LN_2 / self.plan.success_rate()).ceil() as u64
    }

    /// Bytes of the numbers that an opening holds.
    pub(crate) fn width(&self, opening: Phase) -> usize {
        match opening {
            Phase::ProductOpen => self.sizes.factor,
            Phase::ThetaOpen => self.sizes.theta,
            _ => self.sizes.modulus,
        }
    }

    /// What all members opened, `count` numbers each, checked against the commitments.
    fn opened(&self, step: Step, count: usize) -> Result<Vec<Message>, Fault> {
        let commitment = Step::first(commitment_of(step.phase), step.round);
        let open = |party| {
            let wrong = |reason: &str| self.transcript.blame(party, format!("{}: {reason}", step.name()));
            let payload = self.transcript.payload(step, party);
            let (salt, numbers) = payload.split_at_checked(32).ok_or_else(|| wrong("no salt"))?;
            let numbers = wire::decode(numbers, self.width(step.phase)).filter(|n| n.len() == count);
            let numbers = numbers.ok_or_else(|| wrong("a wrong number of values"))?;
            let salt = salt.try_into().expect("32 bytes");
            let sealed = seal(&self.session(), &step.name(), party, salt, &numbers);
            match self.transcript.payload(commitment, party) == sealed {
                true => Ok(numbers),
                false => Err(wrong("opened something else than it committed to")),
            }
        };
        (0..self.transcript.rules().parties()).map(open).collect()
    }

    fn fold_keys(&mut self) -> Result<(), Fault> {
        self.hpke = self.transcript.hpke()?;
        let keys = self.transcript.keys()?;
        let moduli = keys.iter().filter_map(|keys| keys.paillier.as_ref());
        self.moduli = moduli.map(|modulus| vec![BigUint::from_bytes_be(&modulus.0)]).collect();
        self.check_own(&keys)
    }

    /// That the members' own moduli are theirs, where they multiply in pairs.
    fn check_own(&self, keys: &[&MemberKeys]) -> Result<(), Fault> {
        let job = self.transcript.job();
        for ((party, keys), modulus) in (0..).zip(keys).zip(&self.moduli) {
            let Some(root) = keys.possession.as_ref().and_then(|shown| shown.paillier.as_ref()) else {
                continue;
            };
            let root = BigUint::from_bytes_be(&root.0);
            if !pairwise::is_possession(&modulus[0], &possession::statement(job, party, keys), &root) {
                return Err(self.transcript.blame(party, "does not prove that its own modulus is its own"));
            }
        }
        let coprime =
            |one: u32, other: u32| self.moduli[one as usize][0].gcd(&self.moduli[other as usize][0]).is_one();
        match self.moduli.is_empty() {
            true => Ok(()),
            false => self.transcript.check_distinct("own modulus", coprime),
        }
    }

    /// The candidates, the coin, and who survives the trial division.
    fn fold_products(&mut self, step: Step) -> Result<(), Fault> {
        let count = self.params.candidates as usize;
        let mut shares = self.opened(step, count + 1)?;
        let coins: Vec<Message> = shares.iter_mut().map(|message| message.split_off(count)).collect();
        let candidates = self
            .plan
            .open_products(&shares, count)
            .map_err(|fault| fault_of(&self.transcript, step, fault))?;
        let mut survivors = biprimality::trial_division(&candidates);
        // What fits into a record of powers.
        let entries = self.transcript.rules().max_chunk_len(Phase::PowerOpen);
        let tested = (entries - 32) / self.sizes.modulus;
        survivors.truncate(tested);
        let coin = biprimality::coin(&coins);
        self.candidates += count.min(tested) as u64;
        self.batch = Batch { candidates, coin, survivors, ..Batch::default() };
        Ok(())
    }

    fn fits(n: &BigUint, powers: &[Message], place: usize) -> bool {
        biprimality::fits(n, &powers.iter().map(|message| &message[place]).collect::<Vec<_>>())
    }

    /// Folds a complete opening; whether the round goes on.
    fn fold_opening(&mut self, step: Step) -> Result<bool, Fault> {
        match step.phase {
            Phase::ProductOpen => self.fold_products(step)?,
            Phase::PowerOpen => {
                let powers = self.opened(step, self.batch.survivors.len())?;
                let survivors = self.batch.survivors();
                let moduli: Vec<&BigUint> = survivors.iter().map(|(_, n)| *n).collect();
                biprimality::check_powers(&powers, &moduli)
                    .map_err(|fault| fault_of(&self.transcript, step, fault))?;
                let passed =
                    (0..survivors.len()).find(|&place| Self::fits(survivors[place].1, &powers, place));
                self.batch.passed = passed.map(|place| survivors[place].0);
                return Ok(self.batch.passed.is_some());
            }
            Phase::PowersOpen => {
                let powers = self.opened(step, BASES)?;
                let (_, n) = self.batch.n();
                biprimality::check_powers(&powers, &[n; BASES])
                    .map_err(|fault| fault_of(&self.transcript, step, fault))?;
                return Ok((0..BASES).all(|place| Self::fits(n, &powers, place)));
            }
            Phase::GcdOpen => {
                let shares = self.opened(step, 1)?;
                let one = biprimality::gcd_is_one(self.plan.group(), self.batch.n().1, &shares);
                return one.map_err(|fault| fault_of(&self.transcript, step, fault));
            }
            Phase::ThetaOpen => {
                let shares = self.opened(step, 1)?;
                let n = self.batch.n().1.clone();
                let opened = exponent::opened(self.plan.group(), &n, &shares);
                let opened = opened.map_err(|fault| fault_of(&self.transcript, step, fault))?;
                let delta: BigUint = (1..=self.transcript.rules().parties()).map(BigUint::from).product();
                let theta = delta * &opened % &n;
                let good = theta.gcd(&n).is_one();
                (self.batch.opened, self.batch.theta, self.batch.theta_shares) = (opened, theta, shares);
                if good {
                    self.begin_ending(step.round, &n)?;
                }
                return Ok(good);
            }
            _ => {}
        }
        Ok(true)
    }

    fn begin_ending(&mut self, round: u32, n: &BigUint) -> Result<(), Fault> {
        let key = EncryptionKey::new(n).map_err(|e| Fault::Disagreement(format!("N is refused: {e}")))?;
        let parties = self.transcript.rules().parties();
        let sharing = IntegerSharing {
            parties,
            quorum: self.params.quorum,
            dealers: parties,
            summand_bits: exponent::opening_bits(n, parties),
        };
        let all: Vec<u32> = (0..parties).collect();
        self.ending = Some(Ending::new(&key, round, (all.clone(), all), sharing, self.sizes.share));
        Ok(())
    }

    /// Records of partial decryptions whose proof was checked and holds.
    pub fn proofs(&self) -> u64 {
        self.ending.as_ref().and_then(Ending::key).map_or(0, |key| key.parties().into())
    }

    fn complete(&mut self, step: Step) -> Result<(), Fault> {
        let goes_on = match step.phase {
            Phase::Keys => {
                self.fold_keys()?;
                true
            }
            Phase::Deal => {
                self.ending.iter_mut().for_each(|ending| ending.fold_dealt(&self.transcript));
                true
            }
            Phase::Verification => {
                let bound = self.params.collusion_bound(self.transcript.rules().parties());
                let (quorum, theta) = (self.params.quorum, self.batch.theta.clone());
                let ending = self.ending.as_mut().expect("θ comes before the verification keys");
                ending.fold_verification(&self.transcript, step, |encryption, values| {
                    assembly::public_key(encryption, quorum, bound, theta, values)
                })?;
                true
            }
            Phase::TestDecryption => {
                let ending = self.ending.as_mut().expect("θ comes before the trial");
                ending.fold_trial(&self.transcript, step)?;
                self.transcript.open(Some(Step::first(Phase::Key, 0)));
                return Ok(());
            }
            _ => self.fold_opening(step)?,
        };
        let next = match goes_on {
            true => self.transcript.after(step),
            false
                if self.candidates >= self.most_candidates()
                    || step.round + 1 == KeyGeneration::MAX_BATCHES =>
            {
                return Err(Fault::Disagreement(format!(
                    "none of {} candidates is good, which is no chance: some member posts wrong values",
                    self.candidates
                )));
            }
            false => Some(Step::first(Phase::SieveShares, step.round + 1)),
        };
        self.transcript.open(next);
        Ok(())
    }
}

impl Protocol for Generation {
    type Private = Private;
    type Output = Output;

    fn start(job: &Job, role: Role) -> Result<Self, Fault> {
        let Kind::KeyGeneration(params) = &job.params.kind else {
            return Err(Fault::Input(format!("a {} job is no key generation", job.params.kind.name())));
        };
        let transcript = StepTranscript::new(job, role)?;
        let multiplication = match params.against {
            Collusion::Minority => Multiplication::Minority,
            Collusion::AllButOne => Multiplication::Pairwise,
        };
        let parties = job.params.parties();
        let plan = Group::with(multiplication, parties, transcript.me().unwrap_or(0))
            .and_then(|group| Plan::new(group, params.key_bits.into()))
            .map_err(|e| Fault::Input(e.to_string()))?;
        Ok(Self {
            params: params.clone(),
            transcript,
            sizes: params.sizes(parties),
            plan,
            hpke: Vec::new(),
            moduli: Vec::new(),
            batch: Batch::default(),
            ending: None,
            candidates: 0,
            cache: Mutex::default(),
        })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        let complete = self.transcript.fold(committed)?;
        ending::check_key(self.ending.as_ref(), &self.transcript, &committed.record)?;
        match complete {
            Some(step) if step.phase == Phase::Key => {
                self.transcript.open(None);
                Ok(())
            }
            Some(step) => self.complete(step),
            None => Ok(()),
        }
    }

    fn pending(&self) -> Vec<Slot> {
        self.transcript.pending()
    }

    fn produce(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut member = Member::new(self, private, slot.party, &mut cache);
        let ending = || self.ending.as_ref().expect("θ comes before the key's end");
        match slot.phase {
            Phase::Keys => Ok(Body::Keys(member.keys())),
            Phase::TestDecryption => {
                ending().trial(&self.transcript, slot, &self.params.purpose, private, rng)
            }
            Phase::Key => {
                let key = ending().key().expect("the trial comes before the key");
                Ok(Body::Key(forms::threshold_key(key)))
            }
            _ => {
                let payload = member.payload(self.transcript.step_of(&slot))?;
                let range = self.transcript.rules().chunk_range(slot.phase, slot.chunk);
                let part = payload.get(range.start..range.end.min(payload.len())).unwrap_or_default();
                Ok(Body::Part(Bytes(part.to_vec())))
            }
        }
    }

    fn input_digest(&self, slot: Slot, _: &Private) -> [u8; 32] {
        self.transcript.digest_before(self.transcript.step_of(&slot))
    }

    fn status(&self) -> Status<Output> {
        ending::status(self.ending.as_ref(), &self.transcript, self.candidates)
    }
}
