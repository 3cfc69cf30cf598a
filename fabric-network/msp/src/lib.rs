//! Membership service providers: certificate chains, NodeOUs, policies.
//!
//! An [`Msp`] is one organisation's membership rules, read from its folder or from a channel's
//! configuration. It judges an [`Identity`]: whether the certificate leads to the organisation's roots,
//! and which [`Role`] it has. A [`Policy`] says whose signatures are enough. Signatures are those that Fabric takes
//! ([`SigningKey`], [`Certificate::verify`], [`KeyKind`]).
//!
//! Certificates of others are read in one way ([`Certificate::from_pem`]), by contract, node, verifier and ledger alike:
//! a certificate that some of them could read and others could not would stop the others. Own files are read by
//! [`Certificate::find`] and [`bundle`], and only what these encode leaves the process.
//!
//! Everything here comes from other people: no input panics, and an error says what failed.
//!
//! ```no_run
//! use msp::{Identity, Msp, Msps, Policy};
//! # let (creator, message, signature) = (vec![], vec![], vec![]);
//! let msps = Msps::new([Msp::load("Org1MSP", "crypto/peerOrganizations/org1.example.com/msp".as_ref())?]);
//! let identity = Identity::decode(&creator)?;
//! msps.validate(&identity)?;
//! identity.certificate().verify(&message, &signature)?;
//! let policy: Policy = "OutOf(1, 'Org1MSP.peer', 'Org2MSP.peer')".parse()?;
//! let enough = policy.evaluate(&[&identity], &msps);
//! # Ok::<(), msp::Error>(())
//! ```

mod certificate;
mod folder;
mod identity;
mod key;
pub mod passphrase;
mod pem;
mod policy;
mod private_key;
mod provider;
mod signing;
pub mod text;

pub use certificate::{Certificate, bundle, load_bundle};
pub use folder::read_folder;
pub use identity::Identity;
pub use key::{KeyKind, PublicKey};
pub use policy::{ImplicitMeta, Policy, Principal, Role, Rule};
pub use private_key::{KeyError, PrivateKey};
pub use provider::{Msp, Msps};
pub use signing::SigningKey;

use std::path::PathBuf;

/// Why something was not accepted; the texts never contain secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are no certificate, or one that is not supported.
    #[error("not a usable certificate: {0}")]
    Certificate(String),
    /// Bytes that are no serialised identity.
    #[error("not a serialised identity: {0}")]
    Identity(String),
    /// No such organisation.
    #[error("MSP {0} is unknown")]
    UnknownMsp(String),
    /// The certificate is not one of the organisation's.
    #[error("certificate {subject:?} is not valid under MSP {msp_id}: {what}")]
    Invalid {
        /// The organisation.
        msp_id: String,
        /// Common name of the certificate's subject.
        subject: String,
        /// What is wrong.
        what: String,
    },
    /// The signature does not fit the message, is no signature, or has a high s.
    #[error("signature refused: {0}")]
    Signature(&'static str),
    /// The text holds no private key that can be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There was no randomness for a signature.
    #[error("cannot sign: the operating system gives no randomness")]
    Signing,
    /// An Ed25519 key was asked to sign a digest.
    #[error("Ed25519 signs messages, not digests")]
    Digest,
    /// A policy that cannot be read.
    #[error("policy {policy:?}, at character {at}: {what}")]
    Policy {
        /// The text.
        policy: String,
        /// Where in it, counted from 0.
        at: usize,
        /// What was expected.
        what: String,
    },
    /// An MSP's configuration cannot be used.
    #[error("configuration of MSP {msp_id}: {what}")]
    Configuration {
        /// The organisation.
        msp_id: String,
        /// What is wrong.
        what: String,
    },
    /// A file or folder cannot be read.
    #[error("{}: {what}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        what: String,
    },
}
