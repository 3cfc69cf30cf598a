//! Fabric's wire messages and services, those that are in use.
