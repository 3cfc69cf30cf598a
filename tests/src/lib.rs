//! End-to-end tests, each written once and run on every ledger.
