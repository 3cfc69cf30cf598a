//! Products of sums, by pairs of members under each member's own ordinary key: private against all members but one.
//!
//! (Σ xᵢ)·(Σ yⱼ) = Σᵢⱼ xᵢ·yⱼ. Member i offers \[\[xᵢ\]\] under its own key, and every other member j replies
//! \[\[xᵢ·yⱼ + m\]\] with a fresh mask m, 80 bits longer than the product (`docs/protocols.md` 1, point 2). What i decrypts is
//! added to i's summand of the product, m is taken from j's. All summands are uniform given their sum, so that they may
//! be opened.
//!
//! A reply goes to one who knows the factors of the key and can take roots: it is blinded with r^N′ for a full-range r.
//! An offer is read by the others only, and blinded with short randomness.
//!
//! The members are taken to follow the protocol. What can be checked without proofs is: a modulus is of the length
//! agreed on, odd, 1 modulo 4, neither a prime nor a square, without small factors and without one in common with
//! another member's; a ciphertext is a canonical unit of Jacobi symbol +1; what is decrypted is in range. Nobody proves
//! that its modulus has two prime factors, that it offered a short number, or that it replied to all with the same one.

use super::candidates::Plan;
use super::{Group, KeygenError, Message};
use crate::ciphertext::{CiphertextError, units};
use crate::hash::Transcript;
use crate::threshold::STATISTICAL;
use crate::{Ciphertext, EncryptionKey, Encryptor, Invalid, KeyError, PrivateKey, Randomness, random};
use modexp::{Modulus, Secret};
use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use num_traits::One;
use rand_core::CryptoRng;
use std::fmt;

/// By how many bits an own modulus must be longer than a product: for the mask, for a carry, and because a plaintext is
/// below N′/2.
const ROOM: u64 = STATISTICAL + 3;
/// The least own modulus for an N of 2,048 bits or more.
const LEAST_BITS: u64 = 3072;

/// Bits of each member's own modulus for an N of `bits` bits. Only below 2,048 bits, where N itself is not safe, it is
/// shorter than 3,072.
pub(super) fn own_bits(bits: u64) -> u64 {
    (bits + ROOM).next_multiple_of(64).max(if bits < 2048 { 0 } else { LEAST_BITS })
}

/// A member's ordinary key pair for one key generation.
#[derive(Clone)]
pub struct OwnKey(PrivateKey);

impl OwnKey {
    /// A key pair of the length that the plan demands.
    pub fn generate(plan: &Plan, rng: &mut impl CryptoRng) -> Self {
        Self(PrivateKey::generate(plan.own_bits(), rng).expect("the plan has a supported size"))
    }

    /// The modulus N′, to be published.
    pub fn message(&self) -> Message {
        vec![self.0.public().n().clone()]
    }

    /// The N′-th root of what is hashed from a statement, which takes the factors: a member that copies the modulus cannot
    /// give one for a statement of its own. See [`is_possession`].
    pub fn possession(&self, statement: &[u8; 32]) -> BigUint {
        self.0.root(&challenge(self.0.public().n(), statement))
    }
}

/// A number below N′ that no member can choose.
fn challenge(modulus: &BigUint, statement: &[u8; 32]) -> BigUint {
    // 128 bits more than the modulus has, so that the rest of a division is uniform.
    let bytes = modulus.bits().div_ceil(8) as usize + 16;
    Transcript::new("confab own modulus").number(modulus).bytes(statement).expand(bytes) % modulus
}

/// Whether this is [`OwnKey::possession`] for a modulus and a statement.
pub fn is_possession(modulus: &BigUint, statement: &[u8; 32], root: &BigUint) -> bool {
    let Ok(arithmetic) = Modulus::new(modulus) else { return false };
    let ring = arithmetic.mod_n();
    let Ok(root) = ring.residue(root) else { return false };
    let power = ring.pow_vartime_all(&[root], modulus);
    ring.value(&power[0]) == challenge(modulus, statement)
}

impl fmt::Debug for OwnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnKey({} bits)", self.0.public().bits())
    }
}

/// All members' own keys, as one member sees them.
#[derive(Debug)]
pub struct Peers {
    own: PrivateKey,
    encryptors: Vec<Encryptor>,
}

impl Peers {
    /// From the member's key pair and all members' published moduli, in the order of the members.
    ///
    /// # Errors
    /// The member whose modulus is refused, or not one message of each member with the own among them.
    pub fn new(plan: &Plan, own: OwnKey, published: &[Message]) -> Result<Self, KeygenError> {
        let group = plan.group();
        let at_own_place = published.get(group.index() as usize);
        if published.len() != group.parties() as usize || at_own_place != Some(&own.message()) {
            return Err(KeygenError::Parameters(
                "there must be one modulus of each member, the own among them",
            ));
        }
        let mut product = BigUint::one();
        let mut encryptors = Vec::with_capacity(published.len());
        for (message, party) in published.iter().zip(0..) {
            let fault = |reason| KeygenError::Member { party, reason };
            let [n] = message.as_slice() else { return Err(fault("a wrong number of values")) };
            if n.bits() != plan.own_bits() {
                return Err(fault("an own modulus of a wrong length"));
            }
            let key = EncryptionKey::new(n).map_err(|error| {
                fault(match error {
                    KeyError::Even => "an even own modulus",
                    KeyError::Residue => "an own modulus that is 3 modulo 4",
                    KeyError::SmallFactor(_) => "an own modulus with a small factor",
                    KeyError::Square => "an own modulus that is a square",
                    KeyError::Prime => "an own modulus that is a prime",
                    _ => "an own modulus of an unsupported size",
                })
            })?;
            if !product.gcd(n).is_one() {
                return Err(fault("an own modulus with a factor in common with another member's"));
            }
            product *= n;
            encryptors.push(Encryptor::new(&key, Randomness::Short));
        }
        Ok(Self { own: own.0, encryptors })
    }

    fn encryptor(&self, party: u32) -> &Encryptor {
        &self.encryptors[party as usize]
    }

    /// What `party` sent, as ciphertexts under the key of `owner`.
    fn ciphertexts(
        &self,
        party: u32,
        owner: u32,
        message: &Message,
        count: usize,
    ) -> Result<Vec<Ciphertext>, KeygenError> {
        let fault = |reason| KeygenError::Member { party, reason };
        if message.len() != count {
            return Err(fault("a wrong number of values"));
        }
        let refused = |error: CiphertextError| {
            fault(match error.reason {
                Invalid::Trivial => "a ciphertext that is 0 or 1",
                Invalid::TooLarge => "a ciphertext that is not below N′²",
                Invalid::NotUnit => "a ciphertext that is not coprime to N′",
                Invalid::Jacobi => "a ciphertext of Jacobi symbol −1",
                Invalid::Length => "a ciphertext of a wrong length",
            })
        };
        let residues = units(self.encryptor(owner).key(), message).map_err(refused)?;
        Ok(residues.into_iter().map(Ciphertext).collect())
    }
}

/// Who offers and who replies, at each place of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pattern {
    /// Every member to every other: the product of two sums.
    All,
    /// A sum of the members before position `turn` times the number of the one at that position. Positions are indices
    /// in the first half of the batch and the reverse in the second, so that the work is shared.
    Turn { turn: u32, half: usize },
}

impl Pattern {
    /// The places at which a member offers, in order.
    fn offers(self, parties: u32, owner: u32, count: usize) -> Vec<usize> {
        (0..count)
            .filter(|&place| self.position(parties, owner, place).is_none_or(|p| p < self.turn()))
            .collect()
    }

    /// Whether a member replies at a place where another offers.
    fn replies(self, parties: u32, replier: u32, place: usize) -> bool {
        self.position(parties, replier, place).is_none_or(|p| p == self.turn())
    }

    fn turn(self) -> u32 {
        match self {
            Self::All => 0,
            Self::Turn { turn, .. } => turn,
        }
    }

    fn position(self, parties: u32, member: u32, place: usize) -> Option<u32> {
        match self {
            Self::All => None,
            Self::Turn { half, .. } if place < half => Some(member),
            Self::Turn { .. } => Some(parties - 1 - member),
        }
    }
}

/// A member's part of a batch of multiplications, before anything is sent.
pub struct Product {
    group: Group,
    pattern: Pattern,
    /// The summands are modulo this.
    modulus: BigUint,
    x: Vec<BigUint>,
    x_bits: u64,
    y: Vec<BigUint>,
    y_bits: u64,
}

/// A member's part after its replies: its masks, negated, and what it has of the product itself.
pub struct Replied {
    group: Group,
    pattern: Pattern,
    modulus: BigUint,
    widths: Widths,
    sum: Vec<BigUint>,
}

/// y is cut into chunks so that chunk, x and mask fit into a plaintext.
#[derive(Clone, Copy)]
struct Widths {
    chunks: u64,
    chunk: u64,
    mask: u64,
}

impl Product {
    /// Of the sums of the members' `x` and `y`, place by place, with the bits of a summand.
    pub(super) fn new(
        group: Group,
        pattern: Pattern,
        modulus: &BigUint,
        (x, x_bits): (&[BigUint], u64),
        (y, y_bits): (&[BigUint], u64),
    ) -> Self {
        debug_assert!(x.iter().all(|x| x.bits() <= x_bits) && y.iter().all(|y| y.bits() <= y_bits));
        Self { group, pattern, modulus: modulus.clone(), x: x.to_vec(), x_bits, y: y.to_vec(), y_bits }
    }

    fn widths(&self, peers: &Peers) -> Widths {
        let chunks = self.y_bits.div_ceil(peers.own.public().bits() - ROOM - self.x_bits);
        let chunk = self.y_bits.div_ceil(chunks);
        Widths { chunks, chunk, mask: self.x_bits + chunk + STATISTICAL }
    }

    /// To all members: the member's x under its own key.
    pub fn offer(&self, peers: &Peers, rng: &mut impl CryptoRng) -> Message {
        let Group { parties, index, .. } = self.group;
        let places = self.pattern.offers(parties, index, self.x.len());
        let x: Vec<BigInt> = places.into_iter().map(|place| self.x[place].clone().into()).collect();
        let offered = peers.encryptor(index).encrypt(&x, rng).expect("summands are shorter than own moduli");
        values(peers.own.public(), &offered)
    }

    /// To each in private, from all members' offers: the products with the member's y, masked.
    ///
    /// # Errors
    /// A member that sent a wrong number of values, or something that is no ciphertext under its key.
    pub fn reply(
        &self,
        peers: &Peers,
        offers: &[Message],
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<Message>, Replied), KeygenError> {
        let Group { parties, index, .. } = self.group;
        let (widths, count, m) = (self.widths(peers), self.x.len(), &self.modulus);
        let mut sum: Vec<BigUint> = match self.pattern {
            Pattern::All => self.x.iter().zip(&self.y).map(|(x, y)| x * y % m).collect(),
            Pattern::Turn { .. } => vec![BigUint::ZERO; count],
        };
        let mut replies = vec![Message::new(); parties as usize];
        for (offered, owner) in offers.iter().zip(0..parties).filter(|(_, owner)| *owner != index) {
            let places = self.pattern.offers(parties, owner, count);
            let offered = peers.ciphertexts(owner, owner, offered, places.len())?;
            let (mut bases, mut exponents, mut masks) = (Vec::new(), Vec::new(), Vec::new());
            let answered = places
                .into_iter()
                .zip(offered)
                .filter(|(place, _)| self.pattern.replies(parties, index, *place));
            for (place, ciphertext) in answered {
                for c in 0..widths.chunks {
                    let chunk = (&self.y[place] >> (c * widths.chunk)) % (BigUint::one() << widths.chunk);
                    let mask = random::number(rng, widths.mask as usize);
                    sum[place] += m - (&mask << (c * widths.chunk)) % m;
                    bases.push(ciphertext.clone());
                    exponents.push(Secret::from_biguint(&chunk, widths.chunk as usize).expect("reduced"));
                    masks.push(mask);
                }
            }
            let encryptor = peers.encryptor(owner);
            let key = encryptor.key();
            let products = key.scale_each_secret(&bases, &exponents);
            let masks: Vec<Ciphertext> = key.one_plus(&masks).into_iter().map(Ciphertext).collect();
            let masked = encryptor.rerandomise_fully(&key.add_each(&products, &masks), rng);
            replies[owner as usize] = values(key, &masked);
        }
        let replied = Replied { group: self.group, pattern: self.pattern, modulus: m.clone(), widths, sum };
        Ok((replies, replied))
    }
}

impl Replied {
    /// The member's summands of the products, modulo the step's modulus, from all members' replies.
    ///
    /// # Errors
    /// A member that sent a wrong number of values, something that is no ciphertext under this member's key, or one
    /// whose plaintext is out of range.
    pub fn finish(&self, peers: &Peers, replies: &[Message]) -> Result<Message, KeygenError> {
        let Group { parties, index, .. } = self.group;
        let Widths { chunks, chunk, mask } = self.widths;
        let offered = self.pattern.offers(parties, index, self.sum.len());
        let mut sum = self.sum.clone();
        for (message, party) in replies.iter().zip(0..parties).filter(|(_, party)| *party != index) {
            let places: Vec<usize> =
                offered.iter().copied().filter(|p| self.pattern.replies(parties, party, *p)).collect();
            let count = places.len() * chunks as usize;
            let decrypted = peers.own.decrypt(&peers.ciphertexts(party, index, message, count)?);
            if decrypted.iter().any(|v| v.sign() == Sign::Minus || v.bits() > mask + 1) {
                return Err(KeygenError::Member { party, reason: "a masked product out of range" });
            }
            for (place, chunked) in places.into_iter().zip(decrypted.chunks(chunks as usize)) {
                for (v, c) in chunked.iter().zip(0..) {
                    sum[place] += v.magnitude() << (c * chunk);
                }
            }
        }
        Ok(sum.into_iter().map(|x| x % &self.modulus).collect())
    }
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Product({:?}, {}, …)", self.pattern, self.x.len())
    }
}

impl fmt::Debug for Replied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replied({:?}, {}, …)", self.pattern, self.sum.len())
    }
}

fn values(key: &EncryptionKey, ciphertexts: &[Ciphertext]) -> Message {
    key.ring().values(&crate::ciphertext::residues(ciphertexts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encrypt::generator;
    use crate::keygen::{Multiplication, deliver};
    use crate::prime::{random_prime, small_factor};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;
    use std::collections::BTreeSet;
    use std::sync::LazyLock;

    const BITS: u64 = 512;

    fn peers_of(parties: u32, seed: u64) -> (Vec<Plan>, Vec<Peers>) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let group = |i| Group::with(Multiplication::Pairwise, parties, i).unwrap();
        let plans: Vec<Plan> = (0..parties).map(|i| Plan::new(group(i), BITS).unwrap()).collect();
        let own: Vec<OwnKey> = plans.iter().map(|plan| OwnKey::generate(plan, &mut rng)).collect();
        let published: Vec<Message> = own.iter().map(OwnKey::message).collect();
        let peers =
            plans.iter().zip(own).map(|(plan, own)| Peers::new(plan, own, &published).unwrap()).collect();
        (plans, peers)
    }

    static THREE: LazyLock<(Vec<Plan>, Vec<Peers>)> = LazyLock::new(|| peers_of(3, 1));

    /// All members' offers, replies by recipient, and what each member holds after them.
    struct Exchange {
        offers: Vec<Message>,
        inboxes: Vec<Vec<Message>>,
        replied: Vec<Replied>,
    }

    fn exchange(products: &[Product], peers: &[Peers], rng: &mut ChaCha20Rng) -> Exchange {
        let offers: Vec<Message> = products.iter().zip(peers).map(|(p, peers)| p.offer(peers, rng)).collect();
        let (sent, replied): (Vec<_>, Vec<_>) =
            products.iter().zip(peers).map(|(p, peers)| p.reply(peers, &offers, rng).unwrap()).unzip();
        Exchange { offers, inboxes: deliver(sent), replied }
    }

    fn finish(exchange: &Exchange, peers: &[Peers]) -> Vec<Message> {
        let Exchange { inboxes, replied, .. } = exchange;
        replied
            .iter()
            .zip(peers)
            .zip(inboxes)
            .map(|((r, peers), inbox)| r.finish(peers, inbox).unwrap())
            .collect()
    }

    fn total(messages: &[Message], place: usize, modulus: &BigUint) -> BigUint {
        messages.iter().map(|m| &m[place]).sum::<BigUint>() % modulus
    }

    /// Products of sums of `x_bits` and `y_bits`, two places.
    fn products(modulus: &BigUint, x_bits: u64, y_bits: u64, rng: &mut ChaCha20Rng) -> Vec<Product> {
        let mut numbers = |bits: u64| -> Vec<BigUint> {
            // Largest and random.
            vec![(BigUint::one() << bits) - 1u32, random::number(rng, bits as usize)]
        };
        (0..3)
            .map(|i| {
                let group = THREE.0[i].group();
                Product::new(
                    group,
                    Pattern::All,
                    modulus,
                    (&numbers(x_bits), x_bits),
                    (&numbers(y_bits), y_bits),
                )
            })
            .collect()
    }

    #[test]
    fn own_moduli_have_room_for_the_masks() {
        for (bits, own) in [(256, 384), (512, 640), (1024, 1152), (2048, 3072), (3072, 3200), (4000, 4096)] {
            assert_eq!(own_bits(bits), own);
            assert!(own >= bits + 82 && own <= modexp::MAX_BITS);
        }
        let group = Group::with(Multiplication::Pairwise, 2, 0).unwrap();
        assert!(matches!(Plan::new(group, 4016), Err(KeygenError::Parameters(_))));
    }

    #[test]
    fn summands_add_up_to_products_of_sums() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let peers = &THREE.1;
        // The sizes of factors (one chunk), and of the exponent (two).
        for (x_bits, y_bits, chunks) in [(256, 256, 1), (257, 512, 2)] {
            let modulus = (BigUint::one() << 800) + 1u32;
            let products = products(&modulus, x_bits, y_bits, &mut rng);
            assert_eq!(products[0].widths(&peers[0]).chunks, chunks);
            let summands = finish(&exchange(&products, peers, &mut rng), peers);
            for place in 0..2 {
                let sum = |of: fn(&Product) -> &Vec<BigUint>| -> BigUint {
                    products.iter().map(|p| &of(p)[place]).sum()
                };
                assert_eq!(total(&summands, place, &modulus), sum(|p| &p.x) * sum(|p| &p.y) % &modulus);
            }
            // The same once more gives other summands of the same sum.
            let again = finish(&exchange(&products, peers, &mut rng), peers);
            assert!((0..3).all(|i| again[i] != summands[i]));
            assert_eq!(total(&again, 0, &modulus), total(&summands, 0, &modulus));
        }
    }

    #[test]
    fn turns_multiply_everybodys_units() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let (plans, peers) = (&THREE.0, &THREE.1);
        let units: Vec<Message> = plans.iter().map(|plan| plan.units(4, &mut rng)).collect();
        let mut shares = units.clone();
        for turn in 1..3 {
            let products: Vec<Product> = (0..3).map(|i| plans[i].turn(turn, &shares[i], &units[i])).collect();
            shares = finish(&exchange(&products, peers, &mut rng), peers);
        }
        let modulus = plans[0].turn(1, &units[0], &units[0]).modulus;
        for place in 0..4 {
            let product = units.iter().fold(BigUint::one(), |product, u| product * &u[place] % &modulus);
            assert_eq!(total(&shares, place, &modulus), product);
        }
    }

    #[test]
    fn masks_are_80_bits_longer_than_products() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        let peers = &THREE.1;
        let modulus = (BigUint::one() << BITS) + 1u32;
        let products = products(&modulus, 256, 256, &mut rng);
        // What the owner decrypts has 512 + 80 bits, or one more by the carry, whatever was multiplied.
        let longest = (0..8)
            .flat_map(|_| {
                let inboxes = exchange(&products, peers, &mut rng).inboxes;
                let seen = peers[0].ciphertexts(1, 0, &inboxes[0][1], 2).unwrap();
                peers[0].own.decrypt(&seen)
            })
            .map(|seen| seen.bits())
            .max();
        assert!(matches!(longest, Some(591..=593)), "{longest:?}");
        assert_eq!(products[0].widths(&peers[0]).mask, 512 + 80);
    }

    #[test]
    fn replies_are_blinded_over_the_full_range() {
        // The owner of a key with p ≡ 1 (mod 3) tells cubes modulo p from others. If the generator is a cube, all its
        // powers are, and y modulo 3 could be read from a reply to an offer that is none.
        let mut rng = ChaCha20Rng::seed_from_u64(5);
        let group = |i| Group::with(Multiplication::Pairwise, 2, i).unwrap();
        let plans = [0, 1].map(|i| Plan::new(group(i), 256).unwrap());
        let class = |x: &BigUint, p: &BigUint| x.modpow(&((p - 1u32) / 3u32), p);
        let (own, p) = loop {
            let [p, q] = [0, 1].map(|_| random_prime(192, &mut rng));
            let Ok(own) = PrivateKey::from_factors(&p, &q) else { continue };
            if (&p % 3u32).is_one() && class(&generator(own.public()), &p).is_one() {
                break (OwnKey(own), p);
            }
        };
        let other = OwnKey::generate(&plans[1], &mut rng);
        let published = [own.message(), other.message()];
        let peers = [(own, 0), (other, 1)].map(|(own, i)| Peers::new(&plans[i], own, &published).unwrap());
        let numbers: Vec<BigUint> = (0..24).map(|_| random::number(&mut rng, 128)).collect();
        let products = [0, 1].map(|i| {
            let modulus = BigUint::one() << 256u32;
            Product::new(group(i), Pattern::All, &modulus, (&numbers, 128), (&numbers, 128))
        });
        let exchange = exchange(&products, &peers, &mut rng);
        assert!(exchange.offers[0].iter().all(|c| class(c, &p).is_one()));
        let classes: BTreeSet<BigUint> = exchange.inboxes[0][1].iter().map(|c| class(c, &p)).collect();
        assert_eq!(classes.len(), 3);
    }

    #[test]
    fn bad_own_moduli_name_their_member() {
        let mut rng = ChaCha20Rng::seed_from_u64(6);
        let group = Group::with(Multiplication::Pairwise, 2, 0).unwrap();
        let plan = Plan::new(group, 256).unwrap();
        let seed_key = |seed| OwnKey::generate(&plan, &mut ChaCha20Rng::seed_from_u64(seed));
        let refused =
            |message: Message| match Peers::new(&plan, seed_key(1), &[seed_key(1).message(), message]) {
                Err(KeygenError::Member { party: 1, reason }) => reason,
                other => panic!("{other:?}"),
            };
        let good = seed_key(2).message();
        Peers::new(&plan, seed_key(1), &[seed_key(1).message(), good.clone()]).unwrap();
        let p = random_prime(192, &mut rng);
        let prime =
            (1u32..).map(|k| &good[0] + 4 * k).find(|n| BigUint::from(2u32).modpow(&(n - 1u32), n).is_one());
        for (modulus, reason) in [
            (&good[0] >> 1u32, "an own modulus of a wrong length"),
            (&good[0] + 1u32, "an even own modulus"),
            (&p * &p, "an own modulus that is a square"),
            (prime.unwrap(), "an own modulus that is a prime"),
            ((BigUint::one() << 384) - 1u32, "an own modulus with a small factor"),
            (
                seed_key(1).message().swap_remove(0),
                "an own modulus with a factor in common with another member's",
            ),
        ] {
            assert_eq!(refused(vec![modulus]), reason);
        }
        assert_eq!(refused(vec![]), "a wrong number of values");
        let residue = (0u32..).map(|k| &good[0] + 2u32 + 4 * k).find(|n| small_factor(n, 1 << 12).is_none());
        assert_eq!(refused(vec![residue.unwrap()]), "an own modulus that is 3 modulo 4");
    }

    #[test]
    fn bad_offers_and_replies_name_their_sender() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let peers = &THREE.1;
        let products = products(&(BigUint::one() << BITS), 256, 256, &mut rng);
        let good = exchange(&products, peers, &mut rng);
        // Ciphertexts under the key of `owner` that are none, and why.
        let bad = |owner: usize| {
            let key = peers[owner].own.public();
            let minus = (2u32..).map(BigUint::from).find(|x| modexp::jacobi(x, key.n()) == -1).unwrap();
            [
                (BigUint::ZERO, "a ciphertext that is 0 or 1"),
                (BigUint::one(), "a ciphertext that is 0 or 1"),
                (key.n_squared().clone(), "a ciphertext that is not below N′²"),
                (key.n_squared() << 999u32, "a ciphertext that is not below N′²"),
                (key.n().clone(), "a ciphertext that is not coprime to N′"),
                (minus, "a ciphertext of Jacobi symbol −1"),
            ]
        };
        for (value, reason) in bad(2) {
            let mut offers = good.offers.clone();
            offers[2][1] = value;
            let error = products[0].reply(&peers[0], &offers, &mut rng).map(|_| ()).unwrap_err();
            assert_eq!(error, KeygenError::Member { party: 2, reason });
        }
        let finish = |change: &dyn Fn(&mut Message)| {
            let mut inbox = good.inboxes[0].clone();
            change(&mut inbox[2]);
            good.replied[0].finish(&peers[0], &inbox).unwrap_err()
        };
        for (value, reason) in bad(0) {
            assert_eq!(finish(&|m| m[0] = value.clone()), KeygenError::Member { party: 2, reason });
        }
        let member = |reason| KeygenError::Member { party: 2, reason };
        assert_eq!(finish(&|m| m.truncate(1)), member("a wrong number of values"));
        let mut offers = good.offers.clone();
        offers[2].push(BigUint::one());
        let error = products[0].reply(&peers[0], &offers, &mut rng).map(|_| ()).unwrap_err();
        assert_eq!(error, member("a wrong number of values"));
        // A ciphertext made for another member is a ciphertext here too, but of a number that is far too long.
        let other = good.inboxes[1][2][0].clone() % peers[0].own.public().n_squared();
        let error = finish(&|m| m[0] = other.clone());
        assert!(matches!(error, KeygenError::Member { party: 2, .. }), "{error}");
        let long =
            &peers[0].encryptors[0].encrypt(&[BigInt::one() << 594u32, (-1).into()], &mut rng).unwrap();
        for value in values(peers[0].own.public(), long) {
            assert_eq!(finish(&|m| m[0] = value.clone()), member("a masked product out of range"));
        }
    }
}
