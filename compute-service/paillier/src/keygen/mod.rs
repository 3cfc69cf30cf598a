//! Key generation without a dealer (`docs/protocols.md` 1): N = p·q so that no member learns p or q.
//!
//! Boneh and Franklin (1997), for members that follow the protocol. What t colluders pool shows them nothing of p and
//! q; how large t may be follows from how sums are multiplied ([`Multiplication`]). Nothing here knows a network. A
//! step is a function of what the member holds and has received; what it returns goes to all members, or one part to
//! each member in private. [`generate`] plays all members in memory.
//!
//! 1. [`candidates`]: many pairs (p, q) at once. Each p = Σ pᵢ is made free of small factors by construction
//!    (Malkin, Wu, Boneh 1999): p ≡ Π aₖ modulo a product M of small primes, the units aₖ coming from t + 1 members.
//!    Primes up to n, modulo which Shamir's sharing has too few points, are kept out by form: p ≡ −1 modulo each of
//!    them, as modulo 4. N is opened from shares of the product that are fresh.
//! 2. [`biprimality`]: trial division of N in public; then powers of random bases of Jacobi symbol 1, which a coin of
//!    all members chooses after N is fixed; and the condition gcd(N, p+q−1) = 1.
//! 3. [`exponent`]: β·φ(N) + N·R is opened with joint random β and R, and −N·R shared over the integers.
//!
//! Where the steps of the two ways of multiplication differ, that of the minority shares its summands by Shamir and
//! multiplies shares, with a fresh sharing of zero of degree 2t; the pairwise one returns a [`pairwise::Product`],
//! which is offered, replied to and finished. What is then published is opened in the same way.
//!
//! What all members publish in a step is committed to before any of it is opened ([`seal`]). Every candidate is used
//! for one N, and no value that depends on one is ever opened apart from N and the tests' results.

pub mod assembly;
pub mod biprimality;
pub mod candidates;
pub mod exponent;
mod memory;
pub mod pairwise;
pub mod refresh;
mod shamir;

pub use memory::{Statistics, generate, refresh_in_memory};

use crate::hash::Transcript;
use crate::key::{MAX_PARTIES, PublicKey};
use num_bigint::BigUint;

/// Numbers that one member sends.
pub type Message = Vec<BigUint>;

/// How sums that the members hold are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Multiplication {
    /// Ben-Or, Goldwasser and Wigderson (1988), for n ≥ 3: private against ⌊(n−1)/2⌋ members.
    Minority,
    /// Under each member's own ordinary Paillier key, for n ≥ 2: private against n − 1 members. See [`pairwise`].
    Pairwise,
}

/// Who generates a key: n members, one of whom is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    multiplication: Multiplication,
    parties: u32,
    index: u32,
}

/// Why key generation stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeygenError {
    /// A member sent something else than the protocol asks for.
    #[error("member {party}: {reason}")]
    Member {
        /// Its index.
        party: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// What the members sent does not fit together, and it cannot be told which member is at fault.
    #[error("{0}")]
    Together(&'static str),
    /// Parameters that this protocol cannot run with.
    #[error("{0}")]
    Parameters(&'static str),
}

impl Group {
    /// Member `index` of `parties`, who multiply as a [minority](Multiplication::Minority) allows.
    ///
    /// # Errors
    /// Fewer than three members or more than 64, or no such member.
    pub fn new(parties: u32, index: u32) -> Result<Self, KeygenError> {
        Self::with(Multiplication::Minority, parties, index)
    }

    /// Member `index` of `parties`, who multiply in the given way.
    ///
    /// # Errors
    /// Too few members for that, or more than 64, or no such member.
    pub fn with(multiplication: Multiplication, parties: u32, index: u32) -> Result<Self, KeygenError> {
        let (least, error) = match multiplication {
            Multiplication::Minority => (3, "privacy against a minority needs 3 to 64 members"),
            Multiplication::Pairwise => (2, "key generation needs 2 to 64 members"),
        };
        if !(least..=MAX_PARTIES).contains(&parties) {
            return Err(KeygenError::Parameters(error));
        }
        if index >= parties {
            return Err(KeygenError::Parameters("there is no such member"));
        }
        Ok(Self { multiplication, parties, index })
    }

    /// How the members multiply.
    pub fn multiplication(self) -> Multiplication {
        self.multiplication
    }

    /// Number n of members.
    pub fn parties(self) -> u32 {
        self.parties
    }

    /// Index of the member, from 0.
    pub fn index(self) -> u32 {
        self.index
    }

    /// t: how many members may pool what they see.
    pub fn collusion_bound(self) -> u32 {
        match self.multiplication {
            Multiplication::Minority => (self.parties - 1) / 2,
            Multiplication::Pairwise => self.parties - 1,
        }
    }

    /// Whether the member holds the public constants of a sum.
    fn is_first(self) -> bool {
        self.index == 0
    }
}

/// Commits to a message: SHA-256 of its place, its sender, a salt of 32 random bytes, and the numbers.
pub fn seal(session: &[u8; 32], step: &str, index: u32, salt: &[u8; 32], message: &Message) -> [u8; 32] {
    Transcript::new("confab key generation")
        .bytes(session)
        .bytes(step.as_bytes())
        .int(index.into())
        .bytes(salt)
        .numbers(message)
        .finish()
}

/// Checks that all members sent `count` numbers below `bound`.
fn check(messages: &[Message], count: usize, bound: &BigUint) -> Result<(), KeygenError> {
    for (message, party) in messages.iter().zip(0..) {
        if message.len() != count {
            return Err(KeygenError::Member { party, reason: "a wrong number of values" });
        }
        if message.iter().any(|x| x >= bound) {
            return Err(KeygenError::Member { party, reason: "a value out of range" });
        }
    }
    Ok(())
}

/// Messages that member after member addressed to all, by recipient.
fn deliver(sent: Vec<Vec<Message>>) -> Vec<Vec<Message>> {
    let mut inboxes = vec![Vec::with_capacity(sent.len()); sent.first().map_or(0, Vec::len)];
    for outbox in sent {
        for (inbox, message) in inboxes.iter_mut().zip(outbox) {
            inbox.push(message);
        }
    }
    inboxes
}

/// The bound under which a key was made, given how many may have colluded at its generation.
fn bound_of(key: &PublicKey, parties: u32) -> u32 {
    key.collusion_bound().min(parties - 1)
}
