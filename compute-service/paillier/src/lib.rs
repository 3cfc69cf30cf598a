//! Threshold Paillier encryption.
//!
//! A [`PublicKey`] has a modulus N whose factors no member knows, and a verification key for each member. Every
//! member holds a [`KeyShare`]; a quorum of them decrypts together ([`partial_decrypt`], [`verify_partials`],
//! [`combine`]), each with a [`Proof`] that it used its share. The arithmetic on ciphertexts and the [`Encryptor`]
//! need only the [`EncryptionKey`], to which a `PublicKey` dereferences; an ordinary key pair, whose owner knows the
//! factors, is a [`PrivateKey`].
//!
//! Where a sum of several authors' ciphertexts is decrypted, each shows with a [`KnowledgeProof`] that it knows what it put in.
//!
//! [`packing`] puts several values into one plaintext; [`pool`] keeps zero-encryptions ready.
//!
//! ```
//! use num_bigint::BigInt;
//! use paillier::{Contribution, Encryptor, ProofContext, Randomness, combine, deal, partial_decrypt, verify_partials};
//!
//! let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
//! // A dealer, and 256 bits, are for trying: see `keygen`, and use 2,048 bits or more.
//! let (key, shares) = deal(3, 2, 256, "trying", &mut rng)?;
//! let ciphertexts =
//!     Encryptor::new(&key, Randomness::Short).encrypt(&[BigInt::from(20), BigInt::from(22)], &mut rng)?;
//! let sum = [key.sum(&ciphertexts)];
//!
//! let mut members = Vec::new();
//! for share in &shares[..2] {
//!     let context = ProofContext::new().bytes(b"which sum this is").int(share.index().into());
//!     let (partials, proof) = partial_decrypt(share, &sum, &context, &mut rng);
//!     let (index, context) = (share.index(), &context);
//!     verify_partials(
//!         &key,
//!         &[Contribution { index, ciphertexts: &sum, partials: &partials, context, proof: &proof }],
//!     )?;
//!     members.push((index, partials));
//! }
//! assert_eq!(combine(&key, &members)?, [BigInt::from(42)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`keygen`] makes keys without a dealer. Everything is done in batches, because [`modexp`] computes eight residues side by side and on all threads.
//!
//! # Security
//!
//! What is assumed beyond that N cannot be factored and that N-th residues modulo N² are not recognised without the
//! factors:
//!
//! * *Short randomness* (Damgård, Jurik, Nielsen 2010). A ciphertext is blinded by h_s^r with r of 512 bits (or 1,024,
//!   see [`Randomness`]) instead of a full-range N-th power. That h_s^r is not told apart from h_s^R with R of full
//!   length is a computational assumption, and it holds only against those who do not know the factors: the owner of a
//!   [`PrivateKey`] can take roots. What goes to such an owner comes from
//!   [`Encryptor::encrypt_fully`], [`Encryptor::pack_products_fully`] or [`Encryptor::rerandomise_fully`].
//! * *Equal Jacobi symbols*. All randomness is a power of the one generator h = −H² mod N, so that the Jacobi symbol of
//!   every ciphertext is +1; a ciphertext from outside with another symbol is refused. A ciphertext R of symbol −1
//!   would show the parity of a in R^a·\[\[0\]\].
//! * *Low order*. The factors of N need not be safe primes. The soundness of [`Proof`] then also needs that it is infeasible to
//!   find an element of small order other than ±1 modulo N² (such an element gives a factor of N). Squares exclude −1.
//! * *The proof's hash* (SHA-256) is modelled as a random function (Fiat–Shamir).
//! * The shares are statistically hiding: q − 1 of them tell at most 2⁻⁸⁰ about the secret exponent for each coefficient
//!   of the sharing polynomial.
//! * Paillier encryption is malleable and is not secure against chosen ciphertexts. Members must decrypt only what they
//!   have computed themselves by a protocol's rule; the proofs bind the partial decryptions to the application's context, member and
//!   ciphertexts, and the caller sees to it that none is made twice.
//!
//! Powers with secret exponents take constant time. `num_bigint::BigUint`, which is used for values, can neither be
//! wiped nor be computed with in constant time: secrets are kept in it only while a key or a key pair is made.

mod ciphertext;
mod encrypt;
pub mod fixed;
mod hash;
mod key;
mod key_file;
pub mod keygen;
mod knowledge;
mod limbs;
pub mod measure;
pub mod packing;
mod parts;
pub mod pool;
mod prime;
mod private;
mod random;
mod threshold;

pub use ciphertext::{Ciphertext, CiphertextError, Invalid};
pub use encrypt::{Encryptor, Randomness};
pub use key::{EncryptionKey, KeyError, Overflow, PublicKey};
pub use key_file::read as read_key_file;
pub use knowledge::{KnowledgeProof, Unknown};
pub use parts::{KeyParts, ProofParts};
pub use private::PrivateKey;
pub use random::below;
pub use threshold::{
    CombineError, Contribution, KeyShare, Partial, Proof, ProofContext, Reason, ShareError, WrongShare,
    combine, deal, partial_decrypt, verify_partial, verify_partials,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
