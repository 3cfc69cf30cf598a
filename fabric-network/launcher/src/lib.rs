//! Starts, inspects and stops a real Fabric network without Docker.
