//! Batched arithmetic modulo an odd N and modulo N², for Paillier encryption and its protocols.
//!
//! Start with a [`Modulus`]. It holds two [`Ring`]s: `mod_n()` and `mod_n2()`. A ring takes [`BigUint`](num_bigint::BigUint) values in
//! as [`Residue`]s, computes with those, and gives values back; nothing is converted in between. Batches are the
//! natural unit: with AVX-512 IFMA eight residues are computed side by side, and batches spread over the current rayon
//! pool.
//!
//! Exponents that must stay secret are of type [`Secret`], and what takes one runs in constant time: fixed windows, none
//! skipped, whole tables read. Everything that takes a plain number as exponent is variable-time.
//!
//! ```
//! use modexp::{Modulus, Secret};
//! use num_bigint::BigUint;
//!
//! let n = (BigUint::from(1u32) << 255) - 19u32;
//! let modulus = Modulus::new(&n)?;
//! let ring = modulus.mod_n2();
//! let base = ring.residue(&BigUint::from(3u32))?;
//! let secret = Secret::from_biguint(&BigUint::from(5u32), 256)?;
//! assert_eq!(ring.value(&ring.pow_secret(&[base], &secret)[0]), BigUint::from(243u32));
//! # Ok::<(), modexp::Error>(())
//! ```

#[cfg(target_arch = "x86_64")]
mod avx2;
mod backend;
mod columns;
mod engine;
mod error;
mod fixed_base;
mod floor;
#[cfg(target_arch = "x86_64")]
mod ifma;
mod jacobi;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod many;
mod matrix;
mod multi;
mod number;
mod powers;
mod ring;
mod scalar;
mod secret;
mod steps;
mod window;

pub use backend::Backend;
pub use error::Error;
pub use fixed_base::FixedBase;
pub use floor::{DigitProducts, floor};
pub use jacobi::jacobi;
pub use many::{pow_mod_many, pow_mod_many_on, pow_mod_many_secret, pow_mod_many_secret_on};
pub use number::{gcd, mod_inverse};
pub use ring::{Modulus, Residue, Ring};
pub use secret::Secret;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The shortest modulus N in bits.
pub const MIN_BITS: u64 = 128;
/// The longest modulus N in bits.
pub const MAX_BITS: u64 = 4096;
