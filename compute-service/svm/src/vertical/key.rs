use paillier::{Ciphertext, Encryptor, KeyError, PublicKey, Randomness};
use protocol::forms;
use records::{Bytes, ThresholdKey};
use std::sync::{Mutex, PoisonError};

/// The consortium's public key with the tables for encryption.
pub(super) struct Key {
    pub(super) public: PublicKey,
    pub(super) encryptor: Encryptor,
    /// What was encoded here and has not come back from the ledger yet.
    encoded: Mutex<Vec<(Vec<Bytes>, Vec<Ciphertext>)>>,
}

impl Key {
    pub(super) fn from_record(record: &ThresholdKey, bits: u32) -> Result<Self, KeyError> {
        let public = forms::public_key(record, bits.into())?;
        let encryptor = Encryptor::new(&public, Randomness::Short);
        Ok(Self { public, encryptor, encoded: Mutex::default() })
    }

    /// Reads ciphertexts from a record; the error names the field and the position. The bytes that this key's
    /// [`encode`](Self::encode) made need no check.
    pub(super) fn decode(&self, field: &str, list: &[Bytes]) -> Result<Vec<Ciphertext>, String> {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = encoded.iter().position(|(bytes, _)| bytes == list) {
            return Ok(encoded.swap_remove(own).1);
        }
        drop(encoded);
        let bytes: Vec<&[u8]> = list.iter().map(|b| b.0.as_slice()).collect();
        Ciphertext::from_bytes_batch(&self.public, &bytes).map_err(|e| format!("{field}: {e}"))
    }

    /// Ciphertexts for a record.
    pub(super) fn encode(&self, list: Vec<Ciphertext>) -> Vec<Bytes> {
        let bytes: Vec<Bytes> =
            Ciphertext::to_bytes_batch(&self.public, &list).into_iter().map(Bytes).collect();
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        encoded.push((bytes.clone(), list));
        bytes
    }

    /// productᵢ ← productᵢ·factorᵢ.
    pub(super) fn multiply(&self, products: &mut [Ciphertext], factors: &[Ciphertext]) {
        let new = self.public.add_each(products, factors);
        products.clone_from_slice(&new);
    }
}
