//! A member of a key generation that deviates: what it posts has the right form, opens and fits its commitment, and is
//! wrong.

use key_generation::{Generation, Output};
use num_bigint::BigUint;
use paillier::keygen::seal;
use protocol::{
    Committed, Fault, Protocol, Role, Status, StepRng,
    sealed::{self, MessageContext},
};
use records::{Body, Bytes, Collusion, Job, KeyGeneration, KeySizes, Kind, Phase, Slot};

/// What a member knows, and in which phase it deviates, if it does.
pub struct Private {
    pub own: key_generation::Private,
    pub deviates_in: Option<Phase>,
}

/// One member's side of a generation, for jobs whose messages fit into a chunk.
pub struct Deviating {
    inner: Generation,
    job: Job,
    params: KeyGeneration,
    /// What the members published: HPKE keys, and own moduli where they multiply in pairs.
    hpke: Vec<[u8; 32]>,
    moduli: Vec<BigUint>,
}

/// Commitments and their openings.
pub const OPENINGS: [(Phase, Phase); 5] = [
    (Phase::ProductCommit, Phase::ProductOpen),
    (Phase::PowerCommit, Phase::PowerOpen),
    (Phase::PowersCommit, Phase::PowersOpen),
    (Phase::GcdCommit, Phase::GcdOpen),
    (Phase::ThetaCommit, Phase::ThetaOpen),
];

fn part(body: Body) -> Vec<u8> {
    let Body::Part(part) = body else { panic!("another body") };
    part.0
}

fn decode(bytes: &[u8], width: usize) -> Vec<BigUint> {
    bytes.chunks(width).map(BigUint::from_bytes_be).collect()
}

fn encode(numbers: &[BigUint], width: usize) -> Vec<u8> {
    let pad = |number: &BigUint| {
        let digits = number.to_bytes_be();
        [vec![0; width - digits.len()], digits].concat()
    };
    numbers.iter().flat_map(pad).collect()
}

impl Deviating {
    fn sizes(&self) -> KeySizes {
        self.params.sizes(self.job.params.parties())
    }

    fn is_pairwise(&self) -> bool {
        self.params.against == Collusion::AllButOne
    }

    fn step(slot: Slot) -> String {
        // Each pass has one chunk.
        format!("{} {} {}", slot.phase, slot.round, slot.chunk)
    }

    /// Salt and numbers of an honest opening, all numbers one more than they should be.
    fn opening(
        &self,
        slot: Slot,
        private: &Private,
        rng: &mut StepRng,
    ) -> Result<([u8; 32], Vec<BigUint>), Fault> {
        let payload = part(self.inner.produce(slot, &private.own, rng)?);
        let (salt, numbers) = payload.split_at(32);
        let numbers = decode(numbers, self.width(slot.phase)).into_iter().map(|number| number + 1u32);
        Ok((salt.try_into().unwrap(), numbers.collect()))
    }

    fn width(&self, phase: Phase) -> usize {
        match phase {
            Phase::ProductOpen => self.sizes().factor,
            Phase::ThetaOpen => self.sizes().theta,
            _ => self.sizes().modulus,
        }
    }

    /// Zeros instead of every message that was sealed.
    fn reseal(&self, slot: Slot, payload: &[u8], rng: &mut StepRng) -> Vec<u8> {
        let (parties, from) = (self.job.params.parties(), slot.party);
        // Shares of the exponent go to oneself, too.
        let recipients: Vec<u32> =
            (0..parties).filter(|to| slot.phase == Phase::Deal || *to != from).collect();
        let message = vec![0; payload.len() / recipients.len() - sealed::OVERHEAD];
        let step = Self::step(slot);
        let sealed = recipients.into_iter().map(|to| {
            let place = MessageContext { of: &self.job.id, step: &step, from, to };
            sealed::seal(&self.hpke[to as usize], &place, &message, rng).unwrap()
        });
        sealed.collect::<Vec<_>>().concat()
    }

    /// Twice everything that was encrypted: an offer, or the replies to the others, each after its length.
    fn double(&self, slot: Slot, payload: &[u8]) -> Vec<u8> {
        let width = self.sizes().ciphertext;
        let double = |owner: u32, bytes: &[u8]| {
            let n = &self.moduli[owner as usize];
            let squares = decode(bytes, width).iter().map(|c| c * c % (n * n)).collect::<Vec<_>>();
            encode(&squares, width)
        };
        if slot.chunk.is_multiple_of(2) {
            return double(slot.party, payload);
        }
        let (mut rest, mut doubled) = (payload, Vec::new());
        for to in (0..self.job.params.parties()).filter(|to| *to != slot.party) {
            let (length, more) = rest.split_at(4);
            let (message, more) = more.split_at(u32::from_be_bytes(length.try_into().unwrap()) as usize);
            doubled.extend([length.to_vec(), double(to, message)].concat());
            rest = more;
        }
        doubled
    }
}

impl Protocol for Deviating {
    type Private = Private;
    type Output = Output;

    fn start(job: &Job, role: Role) -> Result<Self, Fault> {
        let Kind::KeyGeneration(params) = &job.params.kind else { panic!("no generation") };
        let (inner, params) = (Generation::start(job, role)?, params.clone());
        let parties = job.params.participants.len();
        let (hpke, moduli) = (vec![[0; 32]; parties], vec![BigUint::ZERO; parties]);
        Ok(Self { inner, job: job.clone(), params, hpke, moduli })
    }

    fn apply(&mut self, committed: &Committed) -> Result<(), Fault> {
        if let Body::Keys(keys) = &committed.record.body {
            let party = committed.record.slot.party as usize;
            self.hpke[party] = keys.hpke.0.as_slice().try_into().unwrap();
            if let Some(modulus) = &keys.paillier {
                self.moduli[party] = BigUint::from_bytes_be(&modulus.0);
            }
        }
        self.inner.apply(committed)
    }

    fn pending(&self) -> Vec<Slot> {
        self.inner.pending()
    }

    fn produce(&self, slot: Slot, private: &Private, rng: &mut StepRng) -> Result<Body, Fault> {
        let opens = OPENINGS.iter().find(|(commits, opens)| [*commits, *opens].contains(&slot.phase));
        let Some(deviates_in) = private.deviates_in else {
            return self.inner.produce(slot, &private.own, rng);
        };
        if let Some((commits, opens)) = opens.filter(|(_, opens)| *opens == deviates_in) {
            let open = Slot { phase: *opens, ..slot };
            let (salt, numbers) = self.opening(open, private, rng)?;
            let session = *self.job.id.0.bytes();
            let payload = match slot.phase == *commits {
                true => seal(&session, &Self::step(open), slot.party, &salt, &numbers).to_vec(),
                false => [salt.to_vec(), encode(&numbers, self.width(*opens))].concat(),
            };
            return Ok(Body::Part(Bytes(payload)));
        }
        let body = self.inner.produce(slot, &private.own, rng)?;
        if slot.phase != deviates_in {
            return Ok(body);
        }
        let payload = part(body);
        let payload = match self.is_pairwise() && slot.phase != Phase::Deal {
            true => self.double(slot, &payload),
            false => self.reseal(slot, &payload, rng),
        };
        Ok(Body::Part(Bytes(payload)))
    }

    fn input_digest(&self, slot: Slot, private: &Private) -> [u8; 32] {
        self.inner.input_digest(slot, &private.own)
    }

    fn status(&self) -> Status<Output> {
        self.inner.status()
    }
}
