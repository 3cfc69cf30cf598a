//! The embedded development ledger, which speaks Fabric's protocols.
