//! Many candidates for N at once.

use super::pairwise::{Pattern, Product, own_bits};
use super::shamir::Sharing;
use super::{Group, KeygenError, Message, Multiplication, check};
use crate::hash::Transcript;
use crate::{prime, random};
use num_bigint::BigUint;
use num_traits::{One, ToPrimitive, Zero};
use rand_core::CryptoRng;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

/// What is fixed for all candidates of one size and group.
#[derive(Clone, Debug)]
pub struct Plan {
    group: Group,
    bits: u64,
    /// M, a product of small odd primes, in factors that fit into a word.
    words: Vec<(u64, Vec<u32>)>,
    /// Modulo M.
    small: Sharing,
    /// Modulo a number above all N.
    large: Sharing,
    /// F: all candidates are −1 modulo this.
    form: BigUint,
    /// M⁻¹ modulo F.
    unscale: BigUint,
    /// What is added to Σ pᵢ so that N has exactly `bits` bits: 2^(bits/2)/√2, a multiple of F.
    offset: BigUint,
    /// Number of values of F·M·rᵢ in the range of pᵢ.
    multiples: BigUint,
}

/// A member's summands of the candidates p, or of the candidates q.
#[derive(Clone)]
pub struct Summands(Vec<BigUint>);

impl Plan {
    /// For an N of `bits` bits.
    ///
    /// # Errors
    /// A size below 256, above 4,096 (4,000 where members multiply pairwise), not a multiple of 16, or too short for so
    /// many members.
    pub fn new(group: Group, bits: u64) -> Result<Self, KeygenError> {
        let supported = 2 * modexp::MIN_BITS..=modexp::MAX_BITS;
        if !supported.contains(&bits) || !bits.is_multiple_of(16) {
            return Err(KeygenError::Parameters("a modulus has 256 to 4,096 bits, a multiple of 16"));
        }
        if group.multiplication == Multiplication::Pairwise && own_bits(bits) > modexp::MAX_BITS {
            return Err(KeygenError::Parameters(
                "a modulus has at most 4,000 bits where members multiply pairwise",
            ));
        }
        let half = bits / 2;
        let primes = prime::small_primes(1 << 13);
        // Shamir's sharing has no n points modulo a prime up to n: those primes are kept out by form.
        let shared = match group.multiplication {
            Multiplication::Minority => primes.partition_point(|d| *d <= group.parties),
            Multiplication::Pairwise => 0,
        };
        let form = primes[..shared].iter().fold(BigUint::from(4u32), |form, d| form * d);
        // ⌈2^half/√2⌉ up to a multiple of F, so that N ≥ 2^(bits−1).
        let offset = (((BigUint::one() << (2 * half - 1)).sqrt() / &form) + 1u32) * &form;
        let range = ((BigUint::one() << half) - &offset) / group.parties();
        let mut modulus = BigUint::one();
        let mut words: Vec<(u64, Vec<u32>)> = Vec::new();
        for d in primes.into_iter().skip(shared) {
            // 64 bits of the range are left to chance, so that cutting it to whole multiples of F·M does not matter.
            if (&modulus * d).bits() + form.bits() + 64 > range.bits() {
                break;
            }
            modulus *= d;
            match words
                .last_mut()
                .and_then(|(word, primes)| Some((word.checked_mul(d.into())?, word, primes)))
            {
                Some((product, word, primes)) => {
                    *word = product;
                    primes.push(d);
                }
                None => words.push((d.into(), vec![d])),
            }
        }
        if words.is_empty() {
            return Err(KeygenError::Parameters("the modulus is too short for so many members"));
        }
        Ok(Self {
            group,
            bits,
            words,
            multiples: range / (&modulus * &form),
            unscale: modulus.modinv(&form).expect("M and F have different primes"),
            small: Sharing::of(group, modulus),
            large: Sharing::above(bits, group),
            form,
            offset,
        })
    }

    /// The group and the member.
    pub fn group(&self) -> Group {
        self.group
    }

    /// Bits of N.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// Bits of each member's own modulus, where members multiply pairwise.
    pub fn own_bits(&self) -> u64 {
        own_bits(self.bits)
    }

    /// Largest prime that divides M: no candidate p has a factor up to this.
    pub fn sieved_to(&self) -> u32 {
        self.words.last().map_or(1, |(_, primes)| primes[primes.len() - 1])
    }

    /// The probability that a candidate N is the product of two primes.
    ///
    /// A number about x that is prime to the primes of the sieve is a prime with probability Π d/(d−1) / ln x, over 2 and
    /// those primes d (Dirichlet's density); p and q are independent. They lie between 2^(bits/2)/√2 and 2^(bits/2), in
    /// the mean in the middle.
    pub fn success_rate(&self) -> f64 {
        let kept_out = self.form_primes().chain(self.sieve());
        let density: f64 = kept_out.map(|d| f64::from(d) / f64::from(d - 1)).product();
        let middle = (self.bits / 2) as f64 * LN_2 + ((1.0 + FRAC_1_SQRT_2) / 2.0).ln();
        (density / middle).powi(2)
    }

    /// The probability that a candidate N has no factor among the primes up to which it is divided.
    pub fn survival_rate(&self) -> f64 {
        let sieved: Vec<u32> = self.form_primes().chain(self.sieve()).collect();
        let left = prime::small_primes(super::biprimality::TRIAL);
        let left = left.into_iter().filter(|d| !sieved.contains(d));
        left.map(|d| 1.0 - 1.0 / f64::from(d)).product::<f64>().powi(2)
    }

    fn sieve(&self) -> impl Iterator<Item = u32> {
        self.words.iter().flat_map(|(_, primes)| primes.iter().copied())
    }

    /// 2, and the odd primes that the form keeps out.
    fn form_primes(&self) -> impl Iterator<Item = u32> {
        let odd = prime::small_primes(1 << 7).into_iter();
        let form = self.form.clone();
        std::iter::once(2).chain(odd.filter(move |d| (&form % *d).is_zero()))
    }

    /// How many members contribute units: one more than may collude, so that the product is random to those.
    pub fn contributors(&self) -> u32 {
        self.group.collusion_bound() + 1
    }

    /// Step 1, of a contributor, to each in private: shares of `count` random units modulo M. Minority only.
    pub fn share_units(&self, count: usize, rng: &mut impl CryptoRng) -> Vec<Message> {
        self.small.share(&self.units(count, rng), self.group.collusion_bound(), rng)
    }

    /// Step 1, pairwise: `count` random units modulo M, which the member keeps; half of them are for p.
    pub fn units(&self, count: usize, rng: &mut impl CryptoRng) -> Message {
        (0..count).map(|_| self.unit(rng)).collect()
    }

    /// Step 2, pairwise, for `turn` in 1..n: multiplies the running product by another member's units. `shares` is the
    /// member's units at first, and then its summands after the turn before.
    pub fn turn(&self, turn: u32, shares: &Message, units: &Message) -> Product {
        let bits = self.small.modulus().bits();
        let pattern = Pattern::Turn { turn, half: units.len() / 2 };
        Product::new(self.group, pattern, self.small.modulus(), (shares, bits), (units, bits))
    }

    fn unit(&self, rng: &mut impl CryptoRng) -> BigUint {
        loop {
            let x = random::below(rng, self.small.modulus());
            let is_unit = self.words.iter().all(|(word, primes)| {
                let rest = (&x % *word).to_u64().expect("the rest is below a word");
                primes.iter().all(|d| !rest.is_multiple_of(u64::from(*d)))
            });
            if is_unit {
                return x;
            }
        }
    }

    /// Step 2, for every factor after the second, to each in private (minority only): fresh shares of degree t of a
    /// product of shares. `shares` is the running product, `factor` the next contributor's shares.
    pub fn reshare(&self, shares: &Message, factor: &Message, rng: &mut impl CryptoRng) -> Vec<Message> {
        let product = self.small.mul(shares, factor);
        let summands = self.small.summand(self.group.index, &product);
        self.small.share(&summands, self.group.collusion_bound(), rng)
    }

    /// The running product after all members' step 2.
    ///
    /// # Errors
    /// A member that sent a wrong number of values, or one out of range.
    pub fn reduced(&self, received: &[Message], count: usize) -> Result<Message, KeygenError> {
        check(received, count, self.small.modulus())?;
        Ok(self.small.add(received))
    }

    /// Checks what the contributors sent in step 1.
    ///
    /// # Errors
    /// A member that sent a wrong number of values, or one out of range.
    pub fn check_units(&self, received: &[Message], count: usize) -> Result<(), KeygenError> {
        check(received, count, self.small.modulus())
    }

    /// The member's summands of the candidates, from the shares of the last two factors. `seeds` are what the member
    /// shares with each other member (its own place is ignored), and `label` never returns: together they give masks
    /// that cancel in the sum, so that the summands are random. Minority only; pairwise summands are random by
    /// themselves.
    pub fn summands(
        &self,
        shares: &Message,
        factor: &Message,
        seeds: &[[u8; 32]],
        label: &str,
        rng: &mut impl CryptoRng,
    ) -> Summands {
        let m = self.small.modulus();
        let length = (m.bits() as usize + 128).div_ceil(8);
        let mut residues = self.small.summand(self.group.index, &self.small.mul(shares, factor));
        for (k, b) in residues.iter_mut().enumerate() {
            for (seed, other) in seeds.iter().zip(0..).filter(|(_, other)| *other != self.group.index) {
                let mask = Transcript::new("confab mask").bytes(seed).bytes(label.as_bytes()).int(k as u64);
                let mask = mask.expand(length) % m;
                *b += if self.group.index < other { mask } else { m - mask };
            }
        }
        self.lift(&residues, rng)
    }

    /// The member's summands of the candidates, from its summands of the products modulo M.
    pub fn lift(&self, residues: &[BigUint], rng: &mut impl CryptoRng) -> Summands {
        let (m, form) = (self.small.modulus(), &self.form);
        // The first summand makes the sum −1 modulo F, and carries the offset.
        let (wanted, offset) =
            if self.group.is_first() { (form - 1u32, self.offset.clone()) } else { Default::default() };
        let correction = m - &offset % m;
        let summands = residues.iter().map(|b| {
            let b = (b + &correction) % m;
            let lift = (&wanted + form - &b % form) * &self.unscale % form;
            b + m * (lift + form * random::below(rng, &self.multiples)) + &offset
        });
        Summands(summands.collect())
    }

    /// Step 3, to each in private: shares of the summands of p and q (degree t) and of zero (degree 2t). Minority only.
    pub fn share_factors(&self, p: &Summands, q: &Summands, rng: &mut impl CryptoRng) -> Vec<Message> {
        let t = self.group.collusion_bound();
        let mut messages = self.large.share(&p.0, t, rng);
        let zeros = vec![BigUint::ZERO; p.0.len()];
        for (secrets, degree) in [(&q.0, t), (&zeros, 2 * t)] {
            for (message, more) in messages.iter_mut().zip(self.large.share(secrets, degree, rng)) {
                message.extend(more);
            }
        }
        messages
    }

    /// Step 3, pairwise: the product whose summands are the shares of N to be published in step 4.
    pub fn multiply_factors(&self, p: &Summands, q: &Summands) -> Product {
        let half = self.bits / 2;
        Product::new(self.group, Pattern::All, self.large.modulus(), (&p.0, half), (&q.0, half))
    }

    /// Step 4, to be published: shares of the candidates N. Minority only.
    ///
    /// # Errors
    /// A member that sent a wrong number of values, or one out of range.
    pub fn share_products(&self, received: &[Message], count: usize) -> Result<Message, KeygenError> {
        check(received, 3 * count, self.large.modulus())?;
        let sum = self.large.add(received);
        let product = self.large.mul(&sum[..count], &sum[count..2 * count]);
        Ok(self.large.add(&[product, sum[2 * count..].to_vec()]))
    }

    /// The candidates N from all members' step 4.
    ///
    /// # Errors
    /// A wrong number of values or one out of range, or an N that cannot come from candidates.
    pub fn open_products(&self, published: &[Message], count: usize) -> Result<Vec<BigUint>, KeygenError> {
        check(published, count, self.large.modulus())?;
        let products = self.large.open(published);
        if products.iter().any(|n| n.bits() != self.bits || !(n % &self.form).is_one()) {
            return Err(KeygenError::Together("the shares of N do not fit together"));
        }
        Ok(products)
    }
}

impl Summands {
    /// The summand of one candidate.
    pub fn get(&self, k: usize) -> &BigUint {
        &self.0[k]
    }

    /// The first `count`, and the others.
    pub fn split_off(mut self, count: usize) -> (Self, Self) {
        let rest = self.0.split_off(count);
        (self, Self(rest))
    }
}

impl std::fmt::Debug for Summands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Summands({}, …)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keygen::deliver;
    use num_integer::Integer;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const BITS: u64 = 512;
    const COUNT: usize = 8;

    struct Batch {
        plans: Vec<Plan>,
        /// All members' summands of p and q.
        summands: Vec<(Summands, Summands)>,
        /// All members' shares of N.
        shares: Vec<Message>,
    }

    /// t3: two contributors, no resharing.
    fn batch(seed: u64, zero: bool) -> Batch {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let plans: Vec<Plan> =
            (0..3).map(|index| Plan::new(Group::new(3, index).unwrap(), BITS).unwrap()).collect();
        let sent: Vec<Vec<Message>> = plans[..2].iter().map(|p| p.share_units(2 * COUNT, &mut rng)).collect();
        let units = deliver(sent);
        let seeds = [[0; 32], [1; 32], [2; 32]];
        // The seed that i and j share is a function of both.
        let seeds_of = |i: usize| -> Vec<[u8; 32]> { (0..3).map(|j: usize| seeds[(i + j) % 3]).collect() };
        let summands: Vec<(Summands, Summands)> = plans
            .iter()
            .zip(&units)
            .enumerate()
            .map(|(i, (plan, u))| plan.summands(&u[0], &u[1], &seeds_of(i), "t", &mut rng).split_off(COUNT))
            .collect();
        let mut sent: Vec<Vec<Message>> =
            plans.iter().zip(&summands).map(|(plan, (p, q))| plan.share_factors(p, q, &mut rng)).collect();
        if !zero {
            for message in sent.iter_mut().flatten() {
                message[2 * COUNT..].fill(BigUint::ZERO);
            }
        }
        let shares = plans
            .iter()
            .zip(deliver(sent))
            .map(|(plan, inbox)| plan.share_products(&inbox, COUNT).unwrap())
            .collect();
        Batch { plans, summands, shares }
    }

    fn total(summands: &[(Summands, Summands)], k: usize) -> (BigUint, BigUint) {
        (summands.iter().map(|(p, _)| p.get(k)).sum(), summands.iter().map(|(_, q)| q.get(k)).sum())
    }

    #[test]
    fn candidates_have_the_form_that_is_promised() {
        let batch = batch(1, true);
        let plan = &batch.plans[0];
        assert!(plan.sieved_to() > 100, "{}", plan.sieved_to());
        let opened = plan.open_products(&batch.shares, COUNT).unwrap();
        for (k, n) in opened.iter().enumerate() {
            let (p, q) = total(&batch.summands, k);
            assert_eq!(*n, &p * &q);
            for x in [p, q] {
                assert_eq!((x.bits(), (&x % 12u32).to_u32()), (BITS / 2, Some(11)));
                assert_eq!((2..=plan.sieved_to()).find(|d| (&x % *d).is_zero()), None);
            }
        }
    }

    #[test]
    fn sums_have_no_small_factor_in_any_group() {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        for (multiplication, parties, form) in [
            (Multiplication::Minority, 3, 12u32),
            (Multiplication::Minority, 5, 60),
            (Multiplication::Minority, 11, 4620),
            (Multiplication::Pairwise, 2, 4),
            (Multiplication::Pairwise, 5, 4),
        ] {
            let plans: Vec<Plan> = (0..parties)
                .map(|i| Plan::new(Group::with(multiplication, parties, i).unwrap(), BITS).unwrap())
                .collect();
            let m = plans[0].small.modulus();
            // Random summands of random units.
            let mut residues: Vec<Message> =
                (1..parties).map(|_| (0..COUNT).map(|_| random::below(&mut rng, m)).collect()).collect();
            let units = plans[0].units(COUNT, &mut rng);
            let others = |k: usize| residues.iter().map(|r| &r[k]).sum::<BigUint>() % m;
            let rest = (0..COUNT).map(|k| (&units[k] + m - others(k)) % m).collect();
            residues.push(rest);
            let summands: Vec<Summands> =
                plans.iter().zip(&residues).map(|(plan, r)| plan.lift(r, &mut rng)).collect();
            for k in 0..COUNT {
                let p: BigUint = summands.iter().map(|s| s.get(k)).sum();
                assert_eq!((p.bits(), (&p % form).to_u32()), (BITS / 2, Some(form - 1)));
                assert!((2..=plans[0].sieved_to()).all(|d| !(&p % d).is_zero()), "{multiplication:?}");
            }
        }
    }

    #[test]
    fn every_candidate_enters_one_modulus_only() {
        // Were p used twice, gcd(N₁, N₂) = p.
        let (one, other) = (batch(1, true), batch(2, true));
        let mut all = one.plans[0].open_products(&one.shares, COUNT).unwrap();
        all.extend(other.plans[0].open_products(&other.shares, COUNT).unwrap());
        for (i, n) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|m| m.gcd(n).bits() < 32));
        }
    }

    #[test]
    fn opened_shares_hide_the_product_polynomial() {
        // Without the sharing of zero, the published shares give the polynomial f·g, f(0) = p and g(0) = q, whose highest
        // coefficient then is the product of those of f and g.
        let interpolate = |batch: &Batch| {
            let m = batch.plans[0].large.modulus();
            let [a, b, c] = [0, 1, 2].map(|i| BigUint::clone(&batch.shares[i][0]));
            // Second difference: 2·(coefficient of x²).
            (a + c + m * 2u32 - b * 2u32) % m
        };
        assert_ne!(interpolate(&batch(1, true)), interpolate(&batch(1, false)));
        let with = batch(1, true);
        let without = batch(1, false);
        let open = |b: &Batch| b.plans[0].open_products(&b.shares, COUNT).unwrap();
        assert_eq!(open(&with), open(&without), "zero changes shares, not products");
    }

    #[test]
    fn bad_messages_name_their_sender() {
        let batch = batch(1, true);
        let plan = &batch.plans[0];
        let refused = |change: &dyn Fn(&mut Vec<Message>)| {
            let mut shares = batch.shares.clone();
            change(&mut shares);
            plan.open_products(&shares, COUNT).unwrap_err()
        };
        let member = |party, reason| KeygenError::Member { party, reason };
        assert_eq!(
            refused(&|s| {
                s[1].pop();
            }),
            member(1, "a wrong number of values")
        );
        assert_eq!(refused(&|s| s[2][3] = plan.large.modulus().clone()), member(2, "a value out of range"));
        assert_eq!(
            refused(&|s| s[2][3] += 1u32),
            KeygenError::Together("the shares of N do not fit together")
        );
        let units = vec![vec![BigUint::ZERO; COUNT], vec![plan.small.modulus().clone(); COUNT]];
        assert_eq!(plan.check_units(&units, COUNT), Err(member(1, "a value out of range")));
        assert_eq!(plan.reduced(&units, COUNT), Err(member(1, "a value out of range")));
    }
}
