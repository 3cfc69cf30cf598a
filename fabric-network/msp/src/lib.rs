//! Membership service providers: certificate chains, NodeOUs, policies.
