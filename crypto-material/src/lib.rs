//! Makes MSP and TLS trees in the layout of Fabric's own tools.
