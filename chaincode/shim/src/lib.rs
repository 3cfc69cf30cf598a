//! Chaincode as a service: server, stub and client identity.
