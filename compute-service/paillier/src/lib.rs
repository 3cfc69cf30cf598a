//! Threshold Paillier encryption.
