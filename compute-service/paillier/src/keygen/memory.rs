//! All members in one process: for tests, benches, and to see what key generation costs.

use super::candidates::{Plan, Summands};
use super::exponent::{IntegerSharing, Opening, opening_bits};
use super::refresh::Refresh;
use super::{Fault, Group, Message, biprimality, deliver, seal};
use crate::key::{EncryptionKey, PublicKey, factorial, fixed_bytes, verification_base};
use crate::random;
use crate::threshold::KeyShare;
use modexp::{Residue, Secret};
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::One;
use rand_core::{CryptoRng, SeedableRng};
use rayon::prelude::*;

/// What a key generation did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Batches of candidates.
    pub batches: usize,
    /// Candidates N that were opened.
    pub candidates: usize,
    /// Those without a small factor, for which powers were computed.
    pub tested: usize,
    /// Bytes that a member published and sent, on average: numbers only.
    pub bytes: usize,
}

/// A member's summands of p and q.
type Factors = (BigUint, BigUint);

/// The members' views of one run.
struct Run<R> {
    groups: Vec<Group>,
    rngs: Vec<R>,
    session: [u8; 32],
    statistics: Statistics,
}

/// Generates a key of `bits` bits for `parties` members, `quorum` of whom decrypt together, `batch` candidates at a
/// time. Each member has a generator of its own, seeded from `rng`.
///
/// # Errors
/// Parameters that are not supported; members in memory commit no faults.
pub fn generate<R: CryptoRng + SeedableRng<Seed = [u8; 32]> + Send>(
    parties: u32,
    quorum: u32,
    bits: u64,
    batch: usize,
    purpose: &str,
    rng: &mut R,
) -> Result<(PublicKey, Vec<KeyShare>, Statistics), Fault> {
    if !(2..=parties).contains(&quorum) {
        return Err(Fault::Parameters("a quorum must be in 2..=n"));
    }
    let groups = (0..parties).map(|index| Group::new(parties, index)).collect::<Result<Vec<_>, _>>()?;
    let plans = groups.iter().map(|g| Plan::new(*g, bits)).collect::<Result<Vec<_>, _>>()?;
    let rngs = (0..parties).map(|_| R::from_seed(bytes32(rng))).collect();
    let mut run = Run { groups, rngs, session: bytes32(rng), statistics: Statistics::default() };
    // One seed for each pair, sent by the one with the smaller index.
    let seeds: Vec<Vec<[u8; 32]>> = {
        let sent: Vec<Vec<[u8; 32]>> =
            run.rngs.iter_mut().map(|rng| (0..parties).map(|_| bytes32(rng)).collect()).collect();
        (0..parties as usize)
            .map(|i| (0..parties as usize).map(|j| sent[i.min(j)][i.max(j)]).collect())
            .collect()
    };
    loop {
        run.statistics.batches += 1;
        let Some((n, factors)) = run.batch(&plans, batch, &seeds)? else { continue };
        if let Some((key, shares)) = run.finish(&n, &factors, quorum, purpose)? {
            return Ok((key, shares, run.statistics));
        }
    }
}

fn bytes32(rng: &mut impl CryptoRng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

impl<R: CryptoRng + Send> Run<R> {
    /// One step of every member, side by side.
    fn each<T: Send>(
        &mut self,
        step: impl Fn(Group, &mut R) -> Result<T, Fault> + Sync,
    ) -> Result<Vec<T>, Fault> {
        self.groups.par_iter().zip(&mut self.rngs).map(|(group, rng)| step(*group, rng)).collect()
    }

    /// A step whose results go to each member in private.
    fn send(
        &mut self,
        step: impl Fn(Group, &mut R) -> Result<Vec<Message>, Fault> + Sync,
    ) -> Result<Vec<Vec<Message>>, Fault> {
        let sent = self.each(step)?;
        self.statistics.bytes += sent.iter().flatten().map(size).sum::<usize>() / self.groups.len();
        Ok(deliver(sent))
    }

    /// A step whose results everybody publishes: commitments first, then the openings, which are checked.
    fn publish(
        &mut self,
        name: &str,
        step: impl Fn(Group, &mut R) -> Result<Message, Fault> + Sync,
    ) -> Result<Vec<Message>, Fault> {
        let session = self.session;
        let name = format!("{name} {}", self.statistics.batches);
        let sealed = self.each(|group, rng| {
            let (message, salt) = (step(group, rng)?, bytes32(rng));
            Ok((seal(&session, &name, group.index(), &salt, &message), salt, message))
        })?;
        let mut messages = Vec::with_capacity(sealed.len());
        for ((commitment, salt, message), party) in sealed.into_iter().zip(0..) {
            if seal(&session, &name, party, &salt, &message) != commitment {
                return Err(Fault::Member { party, reason: "opened something else than it committed to" });
            }
            messages.push(message);
        }
        self.statistics.bytes += messages.iter().map(size).sum::<usize>() / self.groups.len();
        Ok(messages)
    }

    /// One batch of candidates: an N that passes all tests, with everybody's summands, if there is one.
    fn batch(
        &mut self,
        plans: &[Plan],
        count: usize,
        seeds: &[Vec<[u8; 32]>],
    ) -> Result<Option<(BigUint, Vec<Factors>)>, Fault> {
        let plan = |group: Group| &plans[group.index() as usize];
        let contributors = plans[0].contributors() as usize;
        // Units for all p, then for all q.
        let units = self.send(|g, rng| {
            let is_contributor = (g.index() as usize) < contributors;
            Ok(if is_contributor { plan(g).share_units(2 * count, rng) } else { vec![vec![]; plans.len()] })
        })?;
        let mut products: Vec<Message> = units.iter().map(|inbox| inbox[0].clone()).collect();
        let from = |member: usize, contributor: usize| &units[member][contributor];
        for factor in 1..contributors - 1 {
            let received = self.send(|g, rng| {
                let i = g.index() as usize;
                Ok(plan(g).reshare(&products[i], from(i, factor), rng))
            })?;
            products = self.each(|g, _| plan(g).reduced(&received[g.index() as usize], 2 * count))?;
        }
        let label = format!("batch {}", self.statistics.batches);
        let summands: Vec<(Summands, Summands)> = self.each(|g, rng| {
            let i = g.index() as usize;
            plan(g).check_units(&units[i][..contributors], 2 * count)?;
            let last = &units[i][contributors - 1];
            Ok(plan(g).summands(&products[i], last, &seeds[i], &label, rng).split_off(count))
        })?;

        let received = self.send(|g, rng| {
            let (p, q) = &summands[g.index() as usize];
            Ok(plan(g).share_factors(p, q, rng))
        })?;
        // The coin's contributions are committed to together with the shares of N, and opened after them.
        let contributions = self.each(|_, rng| Ok(vec![random::number(rng, 256)]))?;
        let published =
            self.publish("product", |g, _| plan(g).share_products(&received[g.index() as usize], count))?;
        let candidates = plans[0].open_products(&published, count)?;
        let coin = {
            let contributions = self.publish("coin", |g, _| Ok(contributions[g.index() as usize].clone()))?;
            biprimality::coin(&contributions)
        };
        let tested = biprimality::trial_division(&candidates);
        self.statistics.candidates += count;
        self.statistics.tested += tested.len();
        let survivors: Vec<(usize, &BigUint)> = tested.iter().map(|&k| (k, &candidates[k])).collect();
        let powers = self.publish("first powers", |g, _| {
            let (p, q) = &summands[g.index() as usize];
            Ok(biprimality::first_powers(g, &survivors, p, q, &coin))
        })?;
        for (place, (k, n)) in survivors.into_iter().enumerate() {
            let of_base = |powers: &[Message], place: usize| {
                biprimality::fits(n, &powers.iter().map(|m| &m[place]).collect::<Vec<_>>())
            };
            if !of_base(&powers, place) {
                continue;
            }
            let all = self.publish("all powers", |g, _| {
                let (p, q) = &summands[g.index() as usize];
                Ok(biprimality::all_powers(g, n, p.get(k), q.get(k), &coin))
            })?;
            if !(0..biprimality::BASES).all(|place| of_base(&all, place)) {
                continue;
            }
            let factors: Vec<Factors> =
                summands.iter().map(|(p, q)| (p.get(k).clone(), q.get(k).clone())).collect();
            let received = self.send(|g, rng| {
                let (p, q) = &factors[g.index() as usize];
                Ok(biprimality::share_gcd(g, n, p, q, rng))
            })?;
            let published =
                self.publish("gcd", |g, _| biprimality::gcd_share(g, n, &received[g.index() as usize]))?;
            if biprimality::gcd_is_one(self.groups[0], n, &published)? {
                return Ok(Some((n.clone(), factors)));
            }
        }
        Ok(None)
    }

    /// Shares of the exponent for a good N; none if θ has a factor in common with N.
    fn finish(
        &mut self,
        n: &BigUint,
        factors: &[Factors],
        quorum: u32,
        purpose: &str,
    ) -> Result<Option<(PublicKey, Vec<KeyShare>)>, Fault> {
        let parties = self.groups.len() as u32;
        let started = self.each(|g, rng| {
            let (p, q) = &factors[g.index() as usize];
            Ok(Opening::new(g, n, p, q, rng))
        })?;
        let (openings, sent): (Vec<Opening>, Vec<Vec<Message>>) = started.into_iter().unzip();
        let received = deliver(sent);
        let published = self.publish("theta", |g, _| {
            let i = g.index() as usize;
            openings[i].share(&received[i])
        })?;
        let opened = openings.iter().map(|o| o.open(&published)).collect::<Result<Vec<_>, _>>()?;
        let theta = factorial(parties) * &opened[0].0 % n;
        if !theta.gcd(n).is_one() {
            return Ok(None);
        }
        let encryption = EncryptionKey::new(n).map_err(|_| Fault::Together("N is refused as a key"))?;
        let sharing =
            IntegerSharing { parties, quorum, dealers: parties, summand_bits: opening_bits(n, parties) };
        let sent = self.each(|g, rng| Ok(sharing.share(&opened[g.index() as usize].1, rng)))?;
        let bound = self.groups[0].collusion_bound();
        let (key, shares) = assemble(&encryption, &sharing, &sent, purpose, |verification| {
            PublicKey::assemble(encryption.clone(), quorum, bound, theta, verification)
        })?;
        Ok(Some((key, shares)))
    }
}

/// The new members' part: shares from what the dealers sent, verification keys, and the key.
fn assemble(
    encryption: &EncryptionKey,
    sharing: &IntegerSharing,
    sent: &[Vec<BigUint>],
    purpose: &str,
    key: impl FnOnce(Vec<Residue>) -> Result<PublicKey, crate::KeyError>,
) -> Result<(PublicKey, Vec<KeyShare>), Fault> {
    let bits = sharing.share_bits() as usize;
    let shares = (0..sharing.parties as usize)
        .map(|i| sharing.add(&sent.iter().map(|outbox| outbox[i].clone()).collect::<Vec<_>>()))
        .collect::<Result<Vec<_>, _>>()?;
    let delta = factorial(sharing.parties);
    let exponents: Vec<Secret> = shares
        .iter()
        .map(|s| Secret::from_biguint(&(s * &delta), bits + delta.bits() as usize).expect("checked by add"))
        .collect();
    let base = verification_base(encryption);
    let verification = encryption.ring().pow_secret_each(&vec![base; exponents.len()], &exponents);
    let key = key(verification).map_err(|_| Fault::Together("the key is refused"))?;
    let shares = shares
        .iter()
        .zip(0..)
        .map(|(share, index)| {
            let share = fixed_bytes(share, bits.div_ceil(8));
            KeyShare::new(key.clone(), index, purpose, &share, bits)
        })
        .collect::<Result<_, _>>()
        .expect("the verification keys were computed from the shares");
    Ok((key, shares))
}

/// New shares of an old key, dealt by a quorum of its members.
///
/// # Errors
/// Old shares that are no quorum of one key, or an unsupported quorum.
pub fn refresh_in_memory(
    old: &[&KeyShare],
    parties: u32,
    quorum: u32,
    rng: &mut impl CryptoRng,
) -> Result<(PublicKey, Vec<KeyShare>), Fault> {
    let first = old.first().ok_or(Fault::Parameters("nobody deals"))?;
    let dealers: Vec<u32> = old.iter().map(|share| share.index()).collect();
    let bits = old.iter().map(|share| share.share_bits()).max().unwrap_or_default();
    let refresh = Refresh::new(first.key(), bits, &dealers, parties, quorum)?;
    let sent = old.iter().map(|share| refresh.deal(share, rng)).collect::<Result<Vec<_>, _>>()?;
    assemble(first.key(), &refresh.sharing(), &sent, first.purpose(), |verification| {
        refresh.key(verification)
    })
}

/// Bytes of a message.
fn size(message: &Message) -> usize {
    message.iter().map(|x| x.bits().div_ceil(8) as usize).sum()
}
