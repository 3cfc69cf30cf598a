//! Makes MSP and TLS trees in the layout of Fabric's own tools.
//!
//! A [`NetworkSpec`] names the organisations; [`generate`] makes, under one folder, what `cryptogen`
//! would make, so that real peers and orderers start from it:
//!
//! ```text
//! DIR/network.json                                  the specification, so that `load` needs no other input
//! DIR/peerOrganizations/org1.example.com/
//!     ca/{ca.org1.example.com-cert.pem,priv_sk}      signs identities
//!     tlsca/{tlsca.org1.example.com-cert.pem,priv_sk} signs TLS certificates
//!     msp/{cacerts,tlscacerts,config.yaml}           what other organisations get to see
//!     peers/peer0.org1.example.com/{msp,tls}
//!     users/{Admin@…,User1@…}/{msp,tls}
//! DIR/ordererOrganizations/example.com/…/orderers/orderer.example.com/{msp,tls}
//! ```
//!
//! Keys are ECDSA P-256 unless the specification asks for another kind, in PKCS#8 PEM, mode 0600. Authorities are
//! always of P-256. Certificates are signed with a low s, so that
//! Fabric keeps their bytes as they are. Roles are NodeOUs (client, peer, admin, orderer).
//!
//! What exists is never overwritten. Every organisation, node and user is prepared in a folder beside
//! its place and renamed, so that it is there completely or not at all; [`generate`] on an existing
//! folder adds what the specification has and the folder lacks.
//!
//! ```no_run
//! use crypto_material::{NetworkSpec, generate};
//! let material = generate(&NetworkSpec::standard(3), "crypto".as_ref())?;
//! let org1 = material.org("Org1")?;
//! let certificate = org1.node("peer0")?.tls_cert();
//! let key = org1.user("User1")?.signing_key();
//! # Ok::<(), crypto_material::Error>(())
//! ```

mod authority;
mod material;
mod spec;

pub use material::{Material, Node, Org, User, generate, load};
pub use spec::{NetworkSpec, NodeSpec, OrgKind, OrgSpec, UserSpec};

use std::path::{Path, PathBuf};

/// Why material could not be made or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The specification is not usable: a repeated or malformed name.
    #[error("the specification of the network is invalid: {0}")]
    Spec(String),
    /// The folder holds an organisation of the same domain that was made for another specification.
    #[error(
        "{}: the material there was made for another specification ({what}); use another folder",
        dir.display()
    )]
    Conflict {
        /// The folder of the material.
        dir: PathBuf,
        /// What differs.
        what: String,
    },
    /// A file that belongs to the material is missing or empty.
    #[error(
        "{} is missing or empty: the material is incomplete; restore it from a copy, or remove {} to have it made anew",
        file.display(),
        remove.display()
    )]
    Incomplete {
        /// The file that is not there.
        file: PathBuf,
        /// The folder whose removal lets [`generate`] start afresh.
        remove: PathBuf,
    },
    /// The folder holds no material.
    #[error("{}: no material there; make it with `generate`", .0.display())]
    Absent(PathBuf),
    /// No such organisation, node or user in the material.
    #[error("there is no {0} in the material")]
    Unknown(String),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or certificate could not be made or read.
    #[error("{}: {what}", path.display())]
    Certificate {
        /// The file, or the subject while it is being made.
        path: PathBuf,
        /// What went wrong.
        what: String,
    },
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
