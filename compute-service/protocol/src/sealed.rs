//! Messages from member to member: HPKE (RFC 9180), base mode, X25519, HKDF-SHA-256, ChaCha20-Poly1305.
//!
//! The sender is known because the record that carries the message is signed; context, step, sender and recipient are
//! bound into the message.

use crate::{Context, JobSecret, StepRng, possession};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256 as Kem, single_shot_open, single_shot_seal_with_rng,
};
use records::{Bytes, MemberKeys, Possession, ThresholdKey};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

const INFO: &[u8] = b"confab message 1";
/// Bytes of an encapsulated key and a tag.
pub const OVERHEAD: usize = 32 + 16;

/// A member's key pair for one job.
pub struct Keys {
    secret: <Kem as hpke::Kem>::PrivateKey,
    public: <Kem as hpke::Kem>::PublicKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(…)")
    }
}

/// Where a message belongs.
#[derive(Clone, Copy)]
pub struct MessageContext<'a> {
    /// The job, or whatever else the members exchange messages for.
    pub of: &'a dyn Context,
    /// Phase, round and pass.
    pub step: &'a str,
    /// Party index of the sender.
    pub from: u32,
    /// Party index of the recipient.
    pub to: u32,
}

impl MessageContext<'_> {
    fn bytes(&self) -> Vec<u8> {
        let place = format!("/{}/{}/{}", self.step, self.from, self.to);
        [&self.of.bytes(), place.as_bytes()].concat()
    }
}

impl Keys {
    /// The pair that follows from a job's secret.
    pub fn derive(secret: &JobSecret, context: &(impl Context + ?Sized)) -> Self {
        let seed = Zeroizing::new(secret.derive(context, "hpke"));
        let (secret, public) = Kem::derive_keypair(&*seed);
        Self { secret, public }
    }

    /// The public key, 32 bytes.
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes().into()
    }

    /// The record of keys of a party, with the proof that they are its own.
    pub fn record(
        &self,
        context: &(impl Context + ?Sized),
        party: u32,
        paillier: Option<Bytes>,
        threshold: Option<ThresholdKey>,
    ) -> MemberKeys {
        let hpke = Bytes(self.public().to_vec());
        let mut keys = MemberKeys { hpke, paillier, threshold, possession: None };
        let secret = Zeroizing::new(<[u8; 32]>::from(self.secret.to_bytes()));
        let proof = possession::prove(&secret, &possession::statement(context, party, &keys));
        keys.possession = Some(Possession { hpke: Bytes(proof.to_vec()), paillier: None });
        keys
    }

    /// Opens a message; `None` if it was not sealed to this key for this place.
    pub fn open(&self, place: &MessageContext, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (encapsulated, ciphertext) = sealed.split_at_checked(32)?;
        let encapsulated = <Kem as hpke::Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
        let opened = single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeR::Base,
            &self.secret,
            &encapsulated,
            INFO,
            ciphertext,
            &place.bytes(),
        );
        opened.ok().map(Zeroizing::new)
    }

    /// What this member shares with one other and with no third: a hash of the Diffie–Hellman value; `None` if
    /// the other's key is of low order.
    pub fn seed(&self, context: &(impl Context + ?Sized), other: &[u8; 32]) -> Option<[u8; 32]> {
        let secret = Zeroizing::new(<[u8; 32]>::from(self.secret.to_bytes()));
        let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*other));
        let mut pair = [self.public(), *other];
        pair.sort_unstable();
        let seed = || {
            let hash = Sha256::new().chain_update(b"confab pair seed").chain_update(context.bytes());
            hash.chain_update(pair[0]).chain_update(pair[1]).chain_update(shared.as_bytes()).finalize().into()
        };
        shared.was_contributory().then(seed)
    }
}

/// Seals a message to a member's public key; `None` if that is no key.
pub fn seal(to: &[u8; 32], place: &MessageContext, message: &[u8], rng: &mut StepRng) -> Option<Vec<u8>> {
    let to = <Kem as hpke::Kem>::PublicKey::from_bytes(to).ok()?;
    let (encapsulated, ciphertext) = single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &to,
        INFO,
        message,
        &place.bytes(),
        rng,
    )
    .ok()?;
    Some([encapsulated.to_bytes().as_slice(), &ciphertext].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use records::{JobId, Phase, Slot};

    #[test]
    fn a_message_opens_for_its_recipient_at_its_place_only() {
        let job = JobId::from([0xab; 32]);
        let [a, b, c] = [1, 2, 3].map(|i| Keys::derive(&JobSecret::new([i; 32]), &job));
        let slot = Slot { phase: Phase::SieveShares, round: 0, party: 0, chunk: 0 };
        let mut rng = StepRng::new(&JobSecret::new([9; 32]), &job, slot, &[0; 32]);
        let place = MessageContext { of: &job, step: "units 0", from: 0, to: 1 };
        let sealed = seal(&b.public(), &place, b"share", &mut rng).unwrap();
        assert_eq!(sealed.len(), 5 + OVERHEAD);
        assert_eq!(b.open(&place, &sealed).unwrap().as_slice(), b"share");
        assert!(c.open(&place, &sealed).is_none());
        assert!(b.open(&MessageContext { from: 2, ..place }, &sealed).is_none());
        assert!(b.open(&MessageContext { step: "units 1", ..place }, &sealed).is_none());
        for at in [0, 31, 32, sealed.len() - 1] {
            let mut other = sealed.clone();
            other[at] ^= 1;
            assert!(b.open(&place, &other).is_none());
        }
        assert!(b.open(&place, &sealed[..20]).is_none());
        assert_eq!(a.seed(&job, &b.public()), b.seed(&job, &a.public()));
        assert_ne!(a.seed(&job, &b.public()), a.seed(&job, &c.public()));
        assert_eq!(a.seed(&job, &[0; 32]), None);
        assert!(seal(&[0; 32], &place, b"share", &mut rng).is_none());
    }
}
