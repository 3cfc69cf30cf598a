//! The vocabulary of the ledger: records, keys and phase rules.
