use paillier::{Ciphertext, Encryptor, KeyError, PublicKey, Randomness};
use records::{Bytes, ThresholdKey};

/// The consortium's public key with the tables for encryption.
pub(super) struct Key {
    pub(super) public: PublicKey,
    pub(super) encryptor: Encryptor,
}

impl Key {
    pub(super) fn from_record(record: &ThresholdKey, bits: u32) -> Result<Self, KeyError> {
        let public = PublicKey::from_record(record, bits.into())?;
        let encryptor = Encryptor::new(&public, Randomness::Short);
        Ok(Self { public, encryptor })
    }

    /// Reads ciphertexts from a record; the error names the field and the position.
    pub(super) fn decode(&self, field: &str, list: &[Bytes]) -> Result<Vec<Ciphertext>, String> {
        let bytes: Vec<&[u8]> = list.iter().map(|b| b.0.as_slice()).collect();
        Ciphertext::from_bytes_batch(&self.public, &bytes).map_err(|e| format!("{field}: {e}"))
    }

    /// Ciphertexts for a record.
    pub(super) fn encode(&self, list: &[Ciphertext]) -> Vec<Bytes> {
        Ciphertext::to_bytes_batch(&self.public, list).into_iter().map(Bytes).collect()
    }

    /// productᵢ ← productᵢ·factorᵢ.
    pub(super) fn multiply(&self, products: &mut [Ciphertext], factors: &[Ciphertext]) {
        let new = self.public.add_each(products, factors);
        products.clone_from_slice(&new);
    }
}
