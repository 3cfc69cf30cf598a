//! An organisation's node: driver, store and jobs.
