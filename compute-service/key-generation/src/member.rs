//! A member's secrets in a key generation, as a function of its job secret and the records.

use crate::{
    Private,
    generation::{Generation, commitment_of, fault_of},
    wire,
};
use num_bigint::BigUint;
use paillier::keygen::{
    Group, Message, Multiplication, biprimality,
    candidates::Summands,
    exponent::Opening,
    pairwise::{OwnKey, Peers, Product, Replied},
    seal,
};
use protocol::{
    Fault, Step, StepRng, possession,
    sealed::{self, Keys, MessageContext},
};
use records::{Bytes, MemberKeys, Phase, Slot};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, sync::Arc};
use zeroize::Zeroizing;

/// What was computed before: of the current round, but for the keys.
#[derive(Default)]
pub(crate) struct Cache {
    round: u32,
    own: Option<OwnKey>,
    peers: Option<Arc<Peers>>,
    /// Messages to each member, by step.
    sent: BTreeMap<Step, Arc<Vec<Message>>>,
    /// Summands after a pairwise exchange, by the step of the replies.
    replied: BTreeMap<Step, Arc<(Vec<Message>, Replied)>>,
    factors: Option<Arc<(Summands, Summands)>>,
    /// Salt and numbers, by the step of the opening.
    openings: BTreeMap<Step, Arc<([u8; 32], Message)>>,
    payload: Option<(Step, Arc<Vec<u8>>)>,
}

/// One member at one step.
pub(crate) struct Member<'a> {
    generation: &'a Generation,
    private: &'a Private,
    me: u32,
    keys: Keys,
    cache: &'a mut Cache,
}

impl<'a> Member<'a> {
    pub(crate) fn new(
        generation: &'a Generation,
        private: &'a Private,
        me: u32,
        cache: &'a mut Cache,
    ) -> Self {
        let keys = Keys::derive(&private.secret, generation.transcript.job());
        Self { generation, private, me, keys, cache }
    }

    fn group(&self) -> Group {
        self.generation.plan.group()
    }

    fn is_pairwise(&self) -> bool {
        self.group().multiplication() == Multiplication::Pairwise
    }

    fn parties(&self) -> u32 {
        self.group().parties()
    }

    fn count(&self) -> usize {
        self.generation.params.candidates as usize
    }

    /// Randomness for one purpose in a step: of the job's secret, the step, and everything that was posted before it.
    fn rng(&self, step: Step, purpose: &str) -> StepRng {
        let transcript = &self.generation.transcript;
        let chunk = transcript.rules().subround(step.phase, step.subround).start;
        let slot = Slot { phase: step.phase, round: step.round, party: self.me, chunk };
        let inputs = Sha256::new().chain_update(transcript.digest_before(step)).chain_update(purpose);
        StepRng::new(&self.private.secret, transcript.job(), slot, &inputs.finalize().into())
    }

    fn fault(&self, step: Step) -> impl Fn(paillier::keygen::KeygenError) -> Fault {
        move |fault| fault_of(&self.generation.transcript, step, fault)
    }

    /// The member's record of keys.
    pub(crate) fn keys(&mut self) -> MemberKeys {
        let (job, me, width) =
            (self.generation.transcript.job(), self.me, self.generation.sizes.ciphertext / 2);
        if !self.is_pairwise() {
            return self.keys.record(job, me, None, None);
        }
        let modulus = Bytes(wire::encode(&self.own_key().message(), width));
        let mut keys = self.keys.record(job, me, Some(modulus), None);
        let root = self.own_key().possession(&possession::statement(job, me, &keys));
        let shown = keys.possession.as_mut().expect("just made");
        shown.paillier = Some(Bytes(wire::encode(&[root], width)));
        keys
    }

    fn own_key(&mut self) -> &OwnKey {
        // The same in all rounds.
        let slot = Slot { phase: Phase::Keys, round: 0, party: self.me, chunk: 0 };
        let mut rng = StepRng::new(&self.private.secret, self.generation.transcript.job(), slot, &[0; 32]);
        self.cache.own.get_or_insert_with(|| OwnKey::generate(&self.generation.plan, &mut rng))
    }

    fn peers(&mut self) -> Result<Arc<Peers>, Fault> {
        if let Some(peers) = &self.cache.peers {
            return Ok(peers.clone());
        }
        self.own_key();
        let own = self.cache.own.take().expect("just made");
        if self.generation.moduli[self.me as usize] != own.message() {
            return Err(Fault::Input("the own key on the ledger was made with another job secret".into()));
        }
        let peers = Peers::new(&self.generation.plan, own, &self.generation.moduli)
            .map_err(self.fault(Step::first(Phase::Keys, 0)))?;
        let peers = Arc::new(peers);
        self.cache.peers = Some(peers.clone());
        Ok(peers)
    }

    /// Everything that the member posts in a step, chunks joined.
    pub(crate) fn payload(&mut self, step: Step) -> Result<Arc<Vec<u8>>, Fault> {
        if self.cache.round != step.round {
            let (own, peers) = (self.cache.own.take(), self.cache.peers.take());
            *self.cache = Cache { round: step.round, own, peers, ..Cache::default() };
        }
        if let Some((made, payload)) = &self.cache.payload
            && *made == step
        {
            return Ok(payload.clone());
        }
        let payload = Arc::new(self.produce(step)?);
        self.cache.payload = Some((step, payload.clone()));
        Ok(payload)
    }

    fn produce(&mut self, step: Step) -> Result<Vec<u8>, Fault> {
        use Phase::*;
        let round = step.round;
        match step.phase {
            SieveShares | Factors | Gcd | Theta if self.is_pairwise() => {
                let width = self.generation.sizes.ciphertext;
                match step.subround.is_multiple_of(2) {
                    true => {
                        let (product, peers) = (self.product(step)?, self.peers()?);
                        Ok(wire::encode(&product.offer(&peers, &mut self.rng(step, "offer")), width))
                    }
                    false => {
                        let replies = self.replied(step)?;
                        let others = (0..).zip(&replies.0).filter(|(to, _)| *to != self.me);
                        let encode = |(_, m): (u32, &Message)| wire::encode(m, width);
                        Ok(wire::join(&others.map(encode).collect::<Vec<_>>()))
                    }
                }
            }
            SieveShares | Reshare | Factors | Gcd | Theta => self.seal(step),
            ProductCommit | PowerCommit | PowersCommit | GcdCommit | ThetaCommit => {
                let phases = [ProductOpen, PowerOpen, PowersOpen, GcdOpen, ThetaOpen];
                let opens = phases.into_iter().find(|phase| commitment_of(*phase) == step.phase);
                let open = Step::first(opens.expect("every commitment is opened"), round);
                let opening = self.opening(open)?;
                let session = self.generation.session();
                Ok(seal(&session, &open.name(), self.me, &opening.0, &opening.1).to_vec())
            }
            ProductOpen | PowerOpen | PowersOpen | GcdOpen | ThetaOpen => {
                let opening = self.opening(step)?;
                let numbers = wire::encode(&opening.1, self.generation.width(step.phase));
                Ok([&opening.0[..], &numbers].concat())
            }
            Deal => {
                let generation = self.generation;
                let ending = generation.ending.as_ref().expect("θ comes before the shares");
                let opening = self.theta(Step::first(Theta, round))?.0;
                let opened = opening.open(&generation.batch.theta_shares).map_err(self.fault(step))?;
                let mut rng = self.rng(step, "deal");
                let shares = ending.sharing().share(&opened.1, &mut rng);
                ending.deal(&generation.transcript, self.me, &shares, &generation.hpke, &mut rng)
            }
            Verification => {
                let ending = self.generation.ending.as_ref().expect("θ comes before the verification keys");
                ending.verification(&self.generation.transcript, self.me, self.private)
            }
            other => Err(Fault::Input(format!("{other} has no parts"))),
        }
    }

    /// Width of the numbers in a private message.
    fn width(&self, phase: Phase) -> usize {
        let sizes = &self.generation.sizes;
        match phase {
            Phase::SieveShares | Phase::Reshare => sizes.unit,
            Phase::Factors => sizes.factor,
            Phase::Gcd => sizes.modulus,
            _ => sizes.theta,
        }
    }

    /// What the member sends to each in a step, itself included.
    fn sent(&mut self, step: Step) -> Result<Arc<Vec<Message>>, Fault> {
        if let Some(sent) = self.cache.sent.get(&step) {
            return Ok(sent.clone());
        }
        let (plan, mut rng) = (&self.generation.plan, self.rng(step, "shares"));
        let sent = match step.phase {
            Phase::SieveShares => plan.share_units(2 * self.count(), &mut rng),
            Phase::Reshare => {
                let product = self.running_product(step.round, step.subround)?;
                let factor = self.units(step.round, step.subround + 1)?;
                plan.reshare(&product, &factor, &mut rng)
            }
            Phase::Factors => {
                let factors = self.factors(step.round)?;
                plan.share_factors(&factors.0, &factors.1, &mut rng)
            }
            Phase::Gcd => {
                let (factors, (k, n)) = (self.factors(step.round)?, self.generation.batch.n());
                biprimality::share_gcd(self.group(), n, factors.0.get(k), factors.1.get(k), &mut rng)
            }
            _ => {
                let (factors, (k, n)) = (self.factors(step.round)?, self.generation.batch.n());
                Opening::new(self.group(), n, factors.0.get(k), factors.1.get(k), &mut rng).1
            }
        };
        let sent = Arc::new(sent);
        self.cache.sent.insert(step, sent.clone());
        Ok(sent)
    }

    /// The messages of a step to the others, each sealed to its recipient.
    fn seal(&mut self, step: Step) -> Result<Vec<u8>, Fault> {
        let sent = self.sent(step)?;
        let (width, name, job) = (self.width(step.phase), step.name(), self.generation.transcript.job());
        let mut rng = self.rng(step, "seal");
        let mut payload = Vec::new();
        for (to, message) in (0..).zip(sent.iter()).filter(|(to, _)| *to != self.me) {
            let place = MessageContext { of: job, step: &name, from: self.me, to };
            let message = Zeroizing::new(wire::encode(message, width));
            let sealed = sealed::seal(&self.generation.hpke[to as usize], &place, &message, &mut rng);
            payload.extend(
                sealed.ok_or_else(|| self.generation.transcript.blame(to, "its HPKE key is no key"))?,
            );
        }
        Ok(payload)
    }

    /// The private message of one author of a step to this member.
    fn received(&mut self, step: Step, from: u32) -> Result<Message, Fault> {
        if from == self.me {
            return Ok(self.sent(step)?[self.me as usize].clone());
        }
        let transcript = &self.generation.transcript;
        let payload = transcript.payload(step, from);
        let others = self.parties() as usize - 1;
        let place = self.me - u32::from(self.me > from);
        let length = payload.len() / others;
        let sealed = &payload[place as usize * length..][..length];
        let name = step.name();
        let place = MessageContext { of: transcript.job(), step: &name, from, to: self.me };
        let opened = self.keys.open(&place, sealed);
        let numbers = opened.and_then(|bytes| wire::decode(&bytes, self.width(step.phase)));
        numbers.ok_or_else(|| {
            transcript.blame(from, format!("{name}: its message to this member does not open"))
        })
    }

    fn inbox(&mut self, step: Step) -> Result<Vec<Message>, Fault> {
        let authors = self.generation.transcript.rules().authors(step.phase);
        authors.into_iter().map(|from| self.received(step, from)).collect()
    }

    /// This member's shares of a contributor's units.
    fn units(&mut self, round: u32, contributor: u32) -> Result<Message, Fault> {
        let step = Step::first(Phase::SieveShares, round);
        let units = self.received(step, contributor)?;
        let checked = self.generation.plan.check_units(std::slice::from_ref(&units), 2 * self.count());
        checked.map_err(|_| {
            let reason = format!("{}: units out of range", step.name());
            self.generation.transcript.blame(contributor, reason)
        })?;
        Ok(units)
    }

    /// This member's shares of the product of the first contributors' units, after so many new sharings.
    fn running_product(&mut self, round: u32, reshared: u32) -> Result<Message, Fault> {
        let Some(subround) = reshared.checked_sub(1) else { return self.units(round, 0) };
        let step = Step { round, phase: Phase::Reshare, subround };
        let inbox = self.inbox(step)?;
        self.generation.plan.reduced(&inbox, 2 * self.count()).map_err(self.fault(step))
    }

    /// The member's summands of all candidates p and q of a round.
    fn factors(&mut self, round: u32) -> Result<Arc<(Summands, Summands)>, Fault> {
        if let Some(factors) = &self.cache.factors {
            return Ok(factors.clone());
        }
        let (plan, count) = (&self.generation.plan, self.count());
        let step = Step::first(Phase::Factors, round);
        let mut rng = self.rng(step, "summands");
        let summands = match self.is_pairwise() {
            true => {
                let shares = self.turned(round, self.parties() - 1)?;
                plan.lift(&shares, &mut rng)
            }
            false => {
                let contributors = plan.contributors();
                let product = self.running_product(round, contributors - 2)?;
                let last = self.units(round, contributors - 1)?;
                let seeds = self.seeds()?;
                plan.summands(&product, &last, &seeds, &format!("batch {round}"), &mut rng)
            }
        };
        let factors = Arc::new(summands.split_off(count));
        self.cache.factors = Some(factors.clone());
        Ok(factors)
    }

    /// What the member shares with each other one.
    fn seeds(&self) -> Result<Vec<[u8; 32]>, Fault> {
        let transcript = &self.generation.transcript;
        let seed = |(party, key)| match party == self.me {
            true => Ok([0; 32]),
            false => {
                let seed = self.keys.seed(transcript.job(), key);
                seed.ok_or_else(|| transcript.blame(party, "its HPKE key is of low order"))
            }
        };
        (0..).zip(&self.generation.hpke).map(seed).collect()
    }

    /// Pairwise: the member's summands of the product of the first units, after so many turns.
    fn turned(&mut self, round: u32, turns: u32) -> Result<Message, Fault> {
        match turns.checked_sub(1) {
            None => {
                let step = Step::first(Phase::SieveShares, round);
                Ok(self.generation.plan.units(2 * self.count(), &mut self.rng(step, "units")))
            }
            Some(turn) => self.multiplied(Step { round, phase: Phase::SieveShares, subround: 2 * turn + 1 }),
        }
    }

    /// Pairwise: what is multiplied in a step of offers or replies.
    fn product(&mut self, step: Step) -> Result<Product, Fault> {
        let (plan, round) = (&self.generation.plan, step.round);
        match step.phase {
            Phase::SieveShares => {
                let turn = step.subround / 2;
                let (shares, units) = (self.turned(round, turn)?, self.turned(round, 0)?);
                Ok(plan.turn(turn + 1, &shares, &units))
            }
            Phase::Factors => {
                let factors = self.factors(round)?;
                Ok(plan.multiply_factors(&factors.0, &factors.1))
            }
            Phase::Gcd => {
                let (factors, (k, n)) = (self.factors(round)?, self.generation.batch.n());
                let mut rng = self.rng(Step::first(Phase::Gcd, round), "r");
                Ok(biprimality::multiply_gcd(self.group(), n, factors.0.get(k), factors.1.get(k), &mut rng))
            }
            _ => self.theta(step).map(|(_, product)| product.expect("pairwise")),
        }
    }

    /// Pairwise: the replies, and what stays with the member.
    fn replied(&mut self, step: Step) -> Result<Arc<(Vec<Message>, Replied)>, Fault> {
        if let Some(replied) = self.cache.replied.get(&step) {
            return Ok(replied.clone());
        }
        let (product, peers) = (self.product(step)?, self.peers()?);
        let offer = Step { subround: step.subround - 1, ..step };
        let width = self.generation.sizes.ciphertext;
        let transcript = &self.generation.transcript;
        let offers = (0..self.parties()).map(|party| {
            let offers = wire::decode(&transcript.payload(offer, party), width);
            offers.ok_or_else(|| transcript.blame(party, format!("{}: not ciphertexts", offer.name())))
        });
        let offers = offers.collect::<Result<Vec<_>, _>>()?;
        let replied =
            product.reply(&peers, &offers, &mut self.rng(step, "reply")).map_err(self.fault(offer))?;
        let replied = Arc::new(replied);
        self.cache.replied.insert(step, replied.clone());
        Ok(replied)
    }

    /// Pairwise: the member's summands of the products, from the replies of a step.
    fn multiplied(&mut self, step: Step) -> Result<Message, Fault> {
        let (replied, peers) = (self.replied(step)?, self.peers()?);
        let transcript = &self.generation.transcript;
        let width = self.generation.sizes.ciphertext;
        let inbox = (0..self.parties()).map(|from| {
            if from == self.me {
                return Ok(Message::new());
            }
            let payload = transcript.payload(step, from);
            let place = (self.me - u32::from(self.me > from)) as usize;
            let message = wire::split(&payload).and_then(|parts| wire::decode(parts.get(place)?, width));
            message.ok_or_else(|| transcript.blame(from, format!("{}: not ciphertexts", step.name())))
        });
        let inbox = inbox.collect::<Result<Vec<_>, _>>()?;
        replied.1.finish(&peers, &inbox).map_err(self.fault(step))
    }

    /// The member's part of θ, and the product of which it comes where members multiply in pairs.
    fn theta(&mut self, step: Step) -> Result<(Opening, Option<Product>), Fault> {
        let first = Step { subround: 0, ..step };
        let (factors, (k, n)) = (self.factors(step.round)?, self.generation.batch.n());
        let (group, p, q) = (self.group(), factors.0.get(k), factors.1.get(k));
        Ok(match self.is_pairwise() {
            true => {
                let mut rng = self.rng(first, "theta");
                let (opening, product) = Opening::pairwise(group, n, p, q, &mut rng);
                (opening, Some(product))
            }
            false => (Opening::new(group, n, p, q, &mut self.rng(first, "shares")).0, None),
        })
    }

    /// Salt and numbers of an opening.
    fn opening(&mut self, open: Step) -> Result<Arc<([u8; 32], Message)>, Fault> {
        if let Some(opening) = self.cache.openings.get(&open) {
            return Ok(opening.clone());
        }
        let generation = self.generation;
        let (plan, batch, round) = (&generation.plan, &generation.batch, open.round);
        let mut rng = self.rng(Step::first(commitment_of(open.phase), round), "salt");
        let mut salt = [0; 32];
        rand_core::Rng::fill_bytes(&mut rng, &mut salt);
        let sent = |phase| Step::first(phase, round);
        let reply = |phase| Step { round, phase, subround: 1 };
        let numbers = match (open.phase, self.is_pairwise()) {
            (Phase::ProductOpen, pairwise) => {
                let mut shares = match pairwise {
                    true => self.multiplied(reply(Phase::Factors))?,
                    false => {
                        let step = sent(Phase::Factors);
                        let inbox = self.inbox(step)?;
                        plan.share_products(&inbox, self.count()).map_err(self.fault(step))?
                    }
                };
                let mut coin = [0; 32];
                rand_core::Rng::fill_bytes(&mut rng, &mut coin);
                shares.push(BigUint::from_bytes_be(&coin));
                shares
            }
            (Phase::PowerOpen, _) => {
                let factors = self.factors(round)?;
                biprimality::first_powers(
                    self.group(),
                    &batch.survivors(),
                    &factors.0,
                    &factors.1,
                    &batch.coin,
                )
            }
            (Phase::PowersOpen, _) => {
                let (factors, (k, n)) = (self.factors(round)?, batch.n());
                biprimality::all_powers(self.group(), n, factors.0.get(k), factors.1.get(k), &batch.coin)
            }
            (Phase::GcdOpen, true) => self.multiplied(reply(Phase::Gcd))?,
            (Phase::GcdOpen, false) => {
                let inbox = self.inbox(sent(Phase::Gcd))?;
                biprimality::gcd_share(self.group(), batch.n().1, &inbox)
                    .map_err(self.fault(sent(Phase::Gcd)))?
            }
            (_, true) => {
                let summand = self.multiplied(reply(Phase::Theta))?;
                self.theta(sent(Phase::Theta))?.0.publish(&summand).map_err(self.fault(open))?
            }
            (_, false) => {
                let inbox = self.inbox(sent(Phase::Theta))?;
                self.theta(sent(Phase::Theta))?.0.share(&inbox).map_err(self.fault(sent(Phase::Theta)))?
            }
        };
        let opening = Arc::new((salt, numbers));
        self.cache.openings.insert(open, opening.clone());
        Ok(opening)
    }
}
