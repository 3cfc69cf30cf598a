//! Pairwise masks: each two providers add and subtract the same numbers, so that a sum over all shows nothing else.

use num_bigint::BigUint;
use protocol::{Fault, JobSecret, StepTranscript, sealed::Keys};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// What a provider shares with each of the others.
pub(super) struct Masks {
    me: u32,
    seeds: Vec<(u32, Zeroizing<[u8; 32]>)>,
}

impl Masks {
    /// The seeds of party `me` with the other `providers`, from the keys that all have posted.
    pub(super) fn new(
        transcript: &StepTranscript,
        me: u32,
        secret: &JobSecret,
        providers: &[u32],
        hpke: &[[u8; 32]],
    ) -> Result<Self, Fault> {
        let keys = Keys::derive(secret, transcript.job());
        if hpke[me as usize] != keys.public() {
            return Err(Fault::Input("the own key on the ledger was made with another job secret".into()));
        }
        let others = providers.iter().filter(|party| **party != me);
        let seed = |&party: &u32| match keys.seed(transcript.job(), &hpke[party as usize]) {
            Some(seed) => Ok((party, Zeroizing::new(seed))),
            None => Err(transcript.blame(party, "its HPKE key is no key")),
        };
        Ok(Self { me, seeds: others.map(seed).collect::<Result<_, _>>()? })
    }

    /// `count` masks below a modulus for one step, each used once.
    pub(super) fn draw(&self, step: &str, modulus: &BigUint, count: usize) -> Vec<BigUint> {
        let mut masks = vec![BigUint::ZERO; count];
        // 128 bits more than the modulus has, so that the rest of a division is uniform.
        let mut bytes = Zeroizing::new(vec![0; modulus.bits().div_ceil(8) as usize + 16]);
        for (party, seed) in &self.seeds {
            let mut key: [u8; 32] = Sha256::new()
                .chain_update(b"confab mask")
                .chain_update(**seed)
                .chain_update(step)
                .finalize()
                .into();
            let mut stream = ChaCha20Rng::from_seed(key);
            key.zeroize();
            for mask in &mut masks {
                stream.fill_bytes(&mut bytes);
                let shared = BigUint::from_bytes_be(&bytes) % modulus;
                let added = if *party > self.me { shared } else { modulus - shared };
                *mask = (&*mask + added) % modulus;
            }
        }
        masks
    }
}
