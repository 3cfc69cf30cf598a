//! The contracts: one generic job contract for all multi-party jobs.
