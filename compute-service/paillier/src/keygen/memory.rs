//! All members in one process: for tests, benches, and to see what key generation costs.

use super::candidates::{Plan, Summands};
use super::exponent::{IntegerSharing, Opening, opening_bits};
use super::pairwise::{OwnKey, Peers, Product};
use super::refresh::Refresh;
use super::{Group, KeygenError, Message, Multiplication, assembly, biprimality, deliver, seal};
use crate::key::{EncryptionKey, PublicKey, factorial};
use crate::random;
use crate::threshold::KeyShare;
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
    /// Those that passed one base.
    pub passed: usize,
    /// Those of these that passed all bases.
    pub biprime: usize,
    /// Bytes that a member published and sent, on average: numbers only.
    pub bytes: usize,
}

/// A member's summands of p and q.
type Factors = (BigUint, BigUint);

/// Each member's summands of all candidates p and q of a batch.
type Batch = Vec<(Summands, Summands)>;

/// The members' views of one run.
struct Run<R> {
    groups: Vec<Group>,
    plans: Vec<Plan>,
    rngs: Vec<R>,
    /// What each member shares with each other one; for a minority only.
    seeds: Vec<Vec<[u8; 32]>>,
    /// All members' own keys as each member sees them; pairwise only.
    peers: Vec<Peers>,
    session: [u8; 32],
    statistics: Statistics,
}

/// Generates a key of `bits` bits for `parties` members, `quorum` of whom decrypt together, `batch` candidates at a
/// time, multiplied in the given way. Each member has a generator of its own, seeded from `rng`.
///
/// # Errors
/// Parameters that are not supported; members in memory commit no faults.
pub fn generate<R: CryptoRng + SeedableRng<Seed = [u8; 32]> + Send>(
    multiplication: Multiplication,
    parties: u32,
    quorum: u32,
    bits: u64,
    batch: usize,
    purpose: &str,
    rng: &mut R,
) -> Result<(PublicKey, Vec<KeyShare>, Statistics), KeygenError> {
    if !(2..=parties).contains(&quorum) {
        return Err(KeygenError::Parameters("a quorum must be in 2..=n"));
    }
    let mut run = Run::new(multiplication, parties, bits, rng)?;
    loop {
        run.statistics.batches += 1;
        let Some((n, factors)) = run.batch(batch)? else { continue };
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

impl<R: CryptoRng + SeedableRng<Seed = [u8; 32]> + Send> Run<R> {
    fn new(
        multiplication: Multiplication,
        parties: u32,
        bits: u64,
        rng: &mut R,
    ) -> Result<Self, KeygenError> {
        let groups: Vec<Group> = (0..parties)
            .map(|index| Group::with(multiplication, parties, index))
            .collect::<Result<_, _>>()?;
        let plans = groups.iter().map(|g| Plan::new(*g, bits)).collect::<Result<_, _>>()?;
        let rngs = groups.iter().map(|_| R::from_seed(bytes32(rng))).collect();
        let session = bytes32(rng);
        let statistics = Statistics::default();
        let mut run = Self { groups, plans, rngs, seeds: vec![], peers: vec![], session, statistics };
        run.start(multiplication)?;
        Ok(run)
    }

    /// One step of every member, side by side.
    fn each<T: Send>(
        &mut self,
        step: impl Fn(Group, &mut R) -> Result<T, KeygenError> + Sync,
    ) -> Result<Vec<T>, KeygenError> {
        self.groups.par_iter().zip(&mut self.rngs).map(|(group, rng)| step(*group, rng)).collect()
    }

    /// A step whose results go to each member in private.
    fn send(
        &mut self,
        step: impl Fn(Group, &mut R) -> Result<Vec<Message>, KeygenError> + Sync,
    ) -> Result<Vec<Vec<Message>>, KeygenError> {
        let sent = self.each(step)?;
        self.statistics.bytes += sent.iter().flatten().map(size).sum::<usize>() / self.groups.len();
        Ok(deliver(sent))
    }

    /// A step whose results all members publish: commitments first, then the openings, which are checked.
    fn publish(
        &mut self,
        name: &str,
        step: impl Fn(Group, &mut R) -> Result<Message, KeygenError> + Sync,
    ) -> Result<Vec<Message>, KeygenError> {
        let session = self.session;
        let name = format!("{name} {}", self.statistics.batches);
        let sealed = self.each(|group, rng| {
            let (message, salt) = (step(group, rng)?, bytes32(rng));
            Ok((seal(&session, &name, group.index(), &salt, &message), salt, message))
        })?;
        let mut messages = Vec::with_capacity(sealed.len());
        for ((commitment, salt, message), party) in sealed.into_iter().zip(0..) {
            if seal(&session, &name, party, &salt, &message) != commitment {
                return Err(KeygenError::Member {
                    party,
                    reason: "opened something else than it committed to",
                });
            }
            messages.push(message);
        }
        self.statistics.bytes += messages.iter().map(size).sum::<usize>() / self.groups.len();
        Ok(messages)
    }

    /// What the members need before the first batch.
    fn start(&mut self, multiplication: Multiplication) -> Result<(), KeygenError> {
        let parties = self.groups.len();
        match multiplication {
            Multiplication::Minority => {
                // One seed for each pair, sent by the one with the smaller index.
                let sent = self.each(|_, rng| Ok((0..parties).map(|_| bytes32(rng)).collect::<Vec<_>>()))?;
                self.seeds =
                    (0..parties).map(|i| (0..parties).map(|j| sent[i.min(j)][i.max(j)]).collect()).collect();
            }
            Multiplication::Pairwise => {
                let plan = self.plans[0].clone();
                let own = self.each(|_, rng| Ok(OwnKey::generate(&plan, rng)))?;
                let published = self.publish("own keys", |g, _| Ok(own[g.index() as usize].message()))?;
                self.peers = self
                    .plans
                    .iter()
                    .zip(own)
                    .map(|(plan, own)| Peers::new(plan, own, &published))
                    .collect::<Result<_, _>>()?;
            }
        }
        Ok(())
    }

    /// A pairwise multiplication: all members' summands.
    fn multiply(&mut self, products: &[Product]) -> Result<Vec<Message>, KeygenError> {
        let peers = std::mem::take(&mut self.peers);
        let of = |g: Group| (&products[g.index() as usize], &peers[g.index() as usize]);
        let offers = self.each(|g, rng| {
            let (product, peers) = of(g);
            Ok(product.offer(peers, rng))
        })?;
        let (sent, replied): (Vec<Vec<Message>>, Vec<_>) = self
            .each(|g, rng| {
                let (product, peers) = of(g);
                product.reply(peers, &offers, rng)
            })?
            .into_iter()
            .unzip();
        self.statistics.bytes +=
            offers.iter().chain(sent.iter().flatten()).map(size).sum::<usize>() / self.groups.len();
        let inboxes = deliver(sent);
        let summands = self.each(|g, _| {
            let i = g.index() as usize;
            replied[i].finish(&peers[i], &inboxes[i])
        })?;
        self.peers = peers;
        Ok(summands)
    }

    /// All members' summands of `count` candidates p and as many q, without small factors.
    fn summands(&mut self, count: usize) -> Result<Batch, KeygenError> {
        let plans = self.plans.clone();
        let plan = |group: Group| &plans[group.index() as usize];
        if !self.peers.is_empty() {
            let units = self.each(|g, rng| Ok(plan(g).units(2 * count, rng)))?;
            let mut shares = units.clone();
            for turn in 1..plans.len() as u32 {
                let products: Vec<Product> =
                    plans.iter().zip(&shares).zip(&units).map(|((p, s), u)| p.turn(turn, s, u)).collect();
                shares = self.multiply(&products)?;
            }
            return self.each(|g, rng| Ok(plan(g).lift(&shares[g.index() as usize], rng).split_off(count)));
        }
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
        let seeds = self.seeds.clone();
        self.each(|g, rng| {
            let i = g.index() as usize;
            plan(g).check_units(&units[i][..contributors], 2 * count)?;
            let last = &units[i][contributors - 1];
            Ok(plan(g).summands(&products[i], last, &seeds[i], &label, rng).split_off(count))
        })
    }

    /// All members' shares of every N, to be published.
    fn products(&mut self, summands: &Batch, count: usize) -> Result<Vec<Message>, KeygenError> {
        let plans = self.plans.clone();
        if !self.peers.is_empty() {
            let products: Vec<Product> =
                plans.iter().zip(summands).map(|(plan, (p, q))| plan.multiply_factors(p, q)).collect();
            return self.multiply(&products);
        }
        let received = self.send(|g, rng| {
            let (p, q) = &summands[g.index() as usize];
            Ok(plans[g.index() as usize].share_factors(p, q, rng))
        })?;
        self.each(|g, _| plans[g.index() as usize].share_products(&received[g.index() as usize], count))
    }

    /// All members' shares of r·(p+q−1) modulo N, to be published.
    fn gcd(&mut self, n: &BigUint, factors: &[Factors]) -> Result<Vec<Message>, KeygenError> {
        if !self.peers.is_empty() {
            let products = self.each(|g, rng| {
                let (p, q) = &factors[g.index() as usize];
                Ok(biprimality::multiply_gcd(g, n, p, q, rng))
            })?;
            return self.multiply(&products);
        }
        let received = self.send(|g, rng| {
            let (p, q) = &factors[g.index() as usize];
            Ok(biprimality::share_gcd(g, n, p, q, rng))
        })?;
        self.each(|g, _| biprimality::gcd_share(g, n, &received[g.index() as usize]))
    }

    /// All members' parts of the opening of θ, and their shares, to be published.
    fn theta(
        &mut self,
        n: &BigUint,
        factors: &[Factors],
    ) -> Result<(Vec<Opening>, Vec<Message>), KeygenError> {
        if !self.peers.is_empty() {
            let started = self.each(|g, rng| {
                let (p, q) = &factors[g.index() as usize];
                Ok(Opening::pairwise(g, n, p, q, rng))
            })?;
            let (openings, products): (Vec<Opening>, Vec<Product>) = started.into_iter().unzip();
            let summands = self.multiply(&products)?;
            let shares =
                openings.iter().zip(&summands).map(|(o, s)| o.publish(s)).collect::<Result<_, _>>()?;
            return Ok((openings, shares));
        }
        let started = self.each(|g, rng| {
            let (p, q) = &factors[g.index() as usize];
            Ok(Opening::new(g, n, p, q, rng))
        })?;
        let (openings, sent): (Vec<Opening>, Vec<Vec<Message>>) = started.into_iter().unzip();
        let received = deliver(sent);
        let shares = openings.iter().zip(&received).map(|(o, r)| o.share(r)).collect::<Result<_, _>>()?;
        Ok((openings, shares))
    }

    /// One batch of candidates: an N that passes all tests, with all members' summands, if there is one.
    fn batch(&mut self, count: usize) -> Result<Option<(BigUint, Vec<Factors>)>, KeygenError> {
        let summands = self.summands(count)?;
        let shares = self.products(&summands, count)?;
        // The coin's contributions are committed to together with the shares of N, and opened after them.
        let contributions = self.each(|_, rng| Ok(vec![random::number(rng, 256)]))?;
        let published = self.publish("product", |g, _| Ok(shares[g.index() as usize].clone()))?;
        let candidates = self.plans[0].open_products(&published, count)?;
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
        biprimality::check_powers(&powers, &survivors.iter().map(|(_, n)| *n).collect::<Vec<_>>())?;
        for (place, (k, n)) in survivors.into_iter().enumerate() {
            let of_base = |powers: &[Message], place: usize| {
                biprimality::fits(n, &powers.iter().map(|m| &m[place]).collect::<Vec<_>>())
            };
            if !of_base(&powers, place) {
                continue;
            }
            self.statistics.passed += 1;
            let all = self.publish("all powers", |g, _| {
                let (p, q) = &summands[g.index() as usize];
                Ok(biprimality::all_powers(g, n, p.get(k), q.get(k), &coin))
            })?;
            biprimality::check_powers(&all, &vec![n; biprimality::BASES])?;
            if !(0..biprimality::BASES).all(|place| of_base(&all, place)) {
                continue;
            }
            self.statistics.biprime += 1;
            let factors: Vec<Factors> =
                summands.iter().map(|(p, q)| (p.get(k).clone(), q.get(k).clone())).collect();
            let shares = self.gcd(n, &factors)?;
            let published = self.publish("gcd", |g, _| Ok(shares[g.index() as usize].clone()))?;
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
    ) -> Result<Option<(PublicKey, Vec<KeyShare>)>, KeygenError> {
        let parties = self.groups.len() as u32;
        let (openings, shares) = self.theta(n, factors)?;
        let published = self.publish("theta", |g, _| Ok(shares[g.index() as usize].clone()))?;
        let opened = openings.iter().map(|o| o.open(&published)).collect::<Result<Vec<_>, _>>()?;
        let theta = factorial(parties) * &opened[0].0 % n;
        if !theta.gcd(n).is_one() {
            return Ok(None);
        }
        let encryption = EncryptionKey::new(n).map_err(|_| KeygenError::Together("N is refused as a key"))?;
        let sharing =
            IntegerSharing { parties, quorum, dealers: parties, summand_bits: opening_bits(n, parties) };
        let sent = self.each(|g, rng| Ok(sharing.share(&opened[g.index() as usize].1, rng)))?;
        let bound = self.groups[0].collusion_bound();
        let (key, shares) = assemble(&encryption, &sharing, &sent, purpose, |verification| {
            assembly::public_key(&encryption, quorum, bound, theta, verification)
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
    key: impl FnOnce(&[&[u8]]) -> Result<PublicKey, crate::KeyError>,
) -> Result<(PublicKey, Vec<KeyShare>), KeygenError> {
    let shares = (0..sharing.parties as usize)
        .map(|i| sharing.add(&sent.iter().map(|outbox| outbox[i].clone()).collect::<Vec<_>>()))
        .collect::<Result<Vec<_>, _>>()?;
    let verification: Vec<Vec<u8>> =
        shares.par_iter().map(|share| assembly::verification_key(encryption, sharing, share)).collect();
    let verification: Vec<&[u8]> = verification.iter().map(Vec::as_slice).collect();
    let key = key(&verification).map_err(|_| KeygenError::Together("the key is refused"))?;
    let shares = shares
        .iter()
        .zip(0..)
        .map(|(share, index)| assembly::key_share(&key, sharing, index, purpose, share))
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
) -> Result<(PublicKey, Vec<KeyShare>), KeygenError> {
    let first = old.first().ok_or(KeygenError::Parameters("no old shares are given"))?;
    let dealers: Vec<u32> = old.iter().map(|share| share.index()).collect();
    let bits = old.iter().map(|share| share.share_bits()).max().unwrap_or_default();
    let refresh = Refresh::new(first.key(), bits, &dealers, parties, quorum)?;
    let sent = old.iter().map(|share| refresh.deal(share, rng)).collect::<Result<Vec<_>, _>>()?;
    assemble(first.key(), &refresh.sharing(), &sent, first.purpose(), |verification| {
        refresh.public_key(verification)
    })
}

/// Bytes of a message.
fn size(message: &Message) -> usize {
    message.iter().map(|x| x.bits().div_ceil(8) as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::Multiplication::{Minority, Pairwise};
    use crate::keygen::shamir::Sharing;
    use crate::prime::random_prime;
    use num_bigint::BigInt;
    use num_traits::Zero;
    use rand_chacha::ChaCha20Rng;

    const GROUPS: [(Multiplication, u32); 4] = [(Minority, 3), (Minority, 5), (Pairwise, 2), (Pairwise, 3)];

    /// Members with summands of two given numbers.
    fn members(
        multiplication: Multiplication,
        parties: u32,
        factors: [&BigUint; 2],
    ) -> (Run<ChaCha20Rng>, Vec<Factors>) {
        let mut rng = ChaCha20Rng::seed_from_u64(parties.into());
        let run = Run::new(multiplication, parties, 256, &mut rng).unwrap();
        let [p, q] = factors.map(|x| {
            let part = x / (parties + 1);
            let mut summands = vec![part.clone(); parties as usize];
            summands[0] = x - part * (parties - 1);
            summands
        });
        (run, p.into_iter().zip(q).collect())
    }

    fn prime(seed: u64) -> BigUint {
        random_prime(128, &mut ChaCha20Rng::seed_from_u64(seed))
    }

    #[test]
    fn only_a_blinded_sum_is_opened_for_the_gcd() {
        let (p, q) = (prime(1), prime(2));
        let n = &p * &q;
        // p + q − 1 = 0 modulo p for q ≡ 1 (mod p); no small factor, because that would disturb the sharing.
        let (bad_p, bad_q) = (3..)
            .map(|seed| (prime(seed), (prime(seed) << 1u32) + 1u32))
            .find(|(_, q)| q.gcd(&15u32.into()).is_one())
            .unwrap();
        for (multiplication, parties) in GROUPS {
            let (mut run, factors) = members(multiplication, parties, [&p, &q]);
            let group = run.groups[0];
            let opened = [0, 1].map(|_| {
                let published = run.gcd(&n, &factors).unwrap();
                assert!(biprimality::gcd_is_one(group, &n, &published).unwrap());
                (Sharing::of(group, n.clone()).open(&published).swap_remove(0), published)
            });
            assert_ne!(opened[0].0, opened[1].0, "r is fresh each time");
            assert!((0..parties as usize).all(|i| opened[0].1[i] != opened[1].1[i]));
            assert!(opened.iter().all(|(value, _)| *value != (&p + &q - 1u32) % &n));
            let (mut run, factors) = members(multiplication, parties, [&bad_p, &bad_q]);
            let n = &bad_p * &bad_q;
            let published = run.gcd(&n, &factors).unwrap();
            assert!(!biprimality::gcd_is_one(group, &n, &published).unwrap());
        }
    }

    #[test]
    fn theta_hides_all_but_a_random_multiple_of_phi_modulo_n() {
        let (p, q) = (prime(1), prime(2));
        let (n, phi) = (&p * &q, (&p - 1u32) * (&q - 1u32));
        for (multiplication, parties) in GROUPS {
            let (mut run, factors) = members(multiplication, parties, [&p, &q]);
            let thetas = [0, 1].map(|_| {
                let (openings, published) = run.theta(&n, &factors).unwrap();
                let opened: Vec<_> = openings.iter().map(|o| o.open(&published).unwrap()).collect();
                let theta = opened[0].0.clone();
                let d: BigInt = opened.into_iter().map(|(_, summand)| summand).sum();
                let d = d.to_biguint().expect("β·φ(N) is positive");
                assert!((&d % &phi).is_zero() && !d.is_zero());
                assert_eq!(&d % &n, &theta % &n);
                assert!(theta.bits() > d.bits() + 64, "{} {}", theta.bits(), d.bits());
                theta % &n
            });
            assert_ne!(thetas[0], thetas[1], "β is fresh each time");
        }
    }

    #[test]
    fn candidates_come_from_everybodys_summands() {
        for (multiplication, parties) in GROUPS {
            let mut rng = ChaCha20Rng::seed_from_u64(3);
            let mut run = Run::new(multiplication, parties, 256, &mut rng).unwrap();
            let summands = run.summands(4).unwrap();
            let shares = run.products(&summands, 4).unwrap();
            let opened = run.plans[0].open_products(&shares, 4).unwrap();
            for (k, n) in opened.iter().enumerate() {
                let p: BigUint = summands.iter().map(|(p, _)| p.get(k)).sum();
                let q: BigUint = summands.iter().map(|(_, q)| q.get(k)).sum();
                assert_eq!(*n, &p * &q);
                let sieved_to = run.plans[0].sieved_to();
                assert!((2..=sieved_to).all(|d| !(n % d).is_zero()), "{multiplication:?}");
            }
            // The same factors in fresh shares.
            let again = run.products(&summands, 4).unwrap();
            assert!(again.iter().zip(&shares).all(|(a, b)| a.iter().zip(b).all(|(a, b)| a != b)));
            assert_eq!(run.plans[0].open_products(&again, 4).unwrap(), opened);
        }
    }
}
