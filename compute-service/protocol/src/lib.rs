//! The one abstraction for ledger-driven multi-party protocols.
