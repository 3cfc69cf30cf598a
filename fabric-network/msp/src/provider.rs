//! One organisation's membership rules, and those of a channel together.

use crate::pem::Block;
use crate::{Certificate, Error, Identity, Principal, Role, read_folder};
use fabric_protos::msp::{FabricMspConfig, FabricNodeOUs, FabricOuIdentifier};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use x509_parser::prelude::*;

/// The longest chain from a certificate to its root.
const MAX_DEPTH: usize = 8;

/// The membership rules of one organisation.
#[derive(Debug)]
pub struct Msp {
    id: String,
    roots: Vec<Certificate>,
    intermediates: Vec<Certificate>,
    admins: Vec<Certificate>,
    revoked: BTreeSet<Revoked>,
    /// Units one of which every identity must have, when there are any.
    units: Vec<Unit>,
    /// Present when NodeOUs are enabled; roles that the MSP does not define are left out.
    node_units: Option<BTreeMap<Role, Unit>>,
}

/// Subject key id of the authority and serial number of a revoked certificate.
type Revoked = (Vec<u8>, Vec<u8>);

/// An organisational unit, and the authority that must have vouched for it.
#[derive(Debug)]
struct Unit {
    name: String,
    certifier: Option<Certificate>,
}

impl Msp {
    /// The MSP in a folder as Fabric's tools write it.
    ///
    /// # Errors
    /// As [`read_folder`] and [`Msp::new`].
    pub fn load(msp_id: &str, dir: &Path) -> Result<Self, Error> {
        Self::new(&read_folder(msp_id, dir)?)
    }

    /// The MSP of a channel's configuration.
    ///
    /// # Errors
    /// [`Error::Configuration`] naming what is wrong: no root, a root that is not self-signed, an
    /// authority without the rights of one, a certificate or revocation list that cannot be read.
    pub fn new(config: &FabricMspConfig) -> Result<Self, Error> {
        let msp_id = &config.name;
        let bad = |what: String| Error::Configuration { msp_id: msp_id.clone(), what };
        let read = |what: &str, all: &[Vec<u8>]| -> Result<Vec<Certificate>, Error> {
            let read = |pem: &Vec<u8>| Certificate::from_pem(pem).map_err(|e| bad(format!("{what}: {e}")));
            all.iter().map(read).collect()
        };
        let unit = |unit: &FabricOuIdentifier| -> Result<Unit, Error> {
            let certifier = match unit.certificate.as_slice() {
                [] => None,
                pem => {
                    Some(Certificate::from_pem(pem).map_err(|e| bad(format!("certifier of a unit: {e}")))?)
                }
            };
            Ok(Unit { name: unit.organizational_unit_identifier.clone(), certifier })
        };
        if msp_id.is_empty() {
            return Err(bad("it has no name".into()));
        }
        let roots = read("root certificate", &config.root_certs)?;
        if roots.is_empty() {
            return Err(bad("it has no root certificate".into()));
        }
        let mut msp = Self {
            id: msp_id.clone(),
            roots,
            intermediates: read("intermediate certificate", &config.intermediate_certs)?,
            admins: read("administrator's certificate", &config.admins)?,
            revoked: BTreeSet::new(),
            units: config.organizational_unit_identifiers.iter().map(unit).collect::<Result<_, _>>()?,
            node_units: None,
        };
        if let Some(node_ous @ FabricNodeOUs { enable: true, .. }) = &config.fabric_node_ous {
            let defined = [
                (Role::Client, &node_ous.client_ou_identifier),
                (Role::Peer, &node_ous.peer_ou_identifier),
                (Role::Admin, &node_ous.admin_ou_identifier),
                (Role::Orderer, &node_ous.orderer_ou_identifier),
            ];
            let defined =
                defined.into_iter().filter_map(|(role, unit)| unit.as_ref().map(|unit| (role, unit)));
            let units =
                defined.map(|(role, found)| Ok((role, unit(found)?))).collect::<Result<_, Error>>()?;
            msp.node_units = Some(units);
        }
        for root in &msp.roots {
            if let Some(defect) = root.defect() {
                return Err(bad(format!("root {:?}: {defect}", root.common_name())));
            }
            if !root.can_issue || root.subject_key_id.is_none() || !root.issued_by(root) {
                return Err(bad(format!("root {:?} is not a self-signed authority", root.common_name())));
            }
        }
        for intermediate in &msp.intermediates {
            if let Some(defect) = intermediate.defect() {
                return Err(bad(format!("intermediate {:?}: {defect}", intermediate.common_name())));
            }
            if !intermediate.can_issue || intermediate.subject_key_id.is_none() {
                return Err(bad(format!("intermediate {:?} is no authority", intermediate.common_name())));
            }
            msp.chain(intermediate)
                .map_err(|what| bad(format!("{:?}: {what}", intermediate.common_name())))?;
        }
        for list in &config.revocation_list {
            msp.revoked.extend(msp.read_revocations(list).map_err(bad)?);
        }
        Ok(msp)
    }

    /// The organisation's MSP ID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether the identity is one of this organisation, now or then.
    ///
    /// As when Fabric validates blocks, the time of day does not matter: all peers must judge alike.
    /// Use [`validate_at`](Self::validate_at) where somebody asks for something.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what is wrong.
    pub fn validate(&self, identity: &Identity) -> Result<(), Error> {
        self.check(identity).map(drop)
    }

    /// [`validate`](Self::validate), and every certificate of the chain is valid at `time`
    /// (seconds since 1970).
    ///
    /// # Errors
    /// [`Error::Invalid`] naming what is wrong.
    pub fn validate_at(&self, identity: &Identity, time: i64) -> Result<(), Error> {
        let authorities = self.check(identity)?;
        for certificate in [identity.certificate()].into_iter().chain(authorities) {
            let (first, last) = certificate.validity();
            if time < first || time > last {
                let name = certificate.common_name();
                return Err(self
                    .invalid(identity, format!("{name:?} is valid from {first} to {last}, not at {time}")));
            }
        }
        Ok(())
    }

    /// The role of a valid identity; [`Role::Member`] when NodeOUs are not in use.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not valid under this MSP.
    pub fn role(&self, identity: &Identity) -> Result<Role, Error> {
        self.validate(identity)?;
        if self.admins.contains(identity.certificate()) {
            return Ok(Role::Admin);
        }
        let units = identity.certificate().organizational_units();
        let found = self.node_units.iter().flatten().find(|(_, unit)| units.contains(&unit.name));
        Ok(found.map_or(Role::Member, |(role, _)| *role))
    }

    /// Whether the identity is one of this organisation and has the role that the principal names.
    pub fn satisfies(&self, identity: &Identity, principal: &Principal) -> bool {
        if principal.msp_id != self.id {
            return false;
        }
        match self.role(identity) {
            Ok(role) => principal.role == Role::Member || role == principal.role,
            Err(_) => false,
        }
    }

    /// Everything but time; gives the authorities, from the issuer to the root.
    fn check(&self, identity: &Identity) -> Result<Vec<&Certificate>, Error> {
        let refuse = |what: String| self.invalid(identity, what);
        let certificate = identity.certificate();
        if identity.msp_id() != self.id {
            return Err(refuse(format!("it claims MSP {}", identity.msp_id())));
        }
        if certificate.is_ca() {
            return Err(refuse("an authority's certificate cannot be an identity".into()));
        }
        certificate.public_key().map_err(|e| refuse(e.to_string()))?;
        if let Some(defect) = certificate.defect() {
            return Err(refuse(defect.into()));
        }
        let authorities = self.chain(certificate).map_err(refuse)?;
        let issuer = authorities[0];
        // Where there are intermediates, the authorities above them issue no identities.
        if self.intermediates.iter().any(|below| below != issuer && below.issued_by(issuer)) {
            return Err(refuse(format!("{:?} may issue intermediates only", issuer.common_name())));
        }
        let key_id = issuer.subject_key_id.clone().unwrap_or_default();
        if self.revoked.contains(&(key_id, certificate.serial.clone())) {
            return Err(refuse("it has been revoked".into()));
        }
        self.check_units(certificate, issuer).map_err(refuse)?;
        Ok(authorities)
    }

    fn check_units(&self, certificate: &Certificate, issuer: &Certificate) -> Result<(), String> {
        let has = |unit: &&Unit| certificate.organizational_units().contains(&unit.name);
        let vouched = |unit: &&Unit| unit.certifier.as_ref().is_none_or(|certifier| certifier == issuer);
        if !self.units.is_empty() && !self.units.iter().any(|unit| has(&unit) && vouched(&unit)) {
            return Err("it has none of the organisation's units".into());
        }
        let Some(node_units) = &self.node_units else {
            return Ok(());
        };
        let found: Vec<_> = node_units.values().filter(has).collect();
        match found.as_slice() {
            [unit] if vouched(unit) => Ok(()),
            [unit] => Err(format!("its unit {:?} is vouched for by another authority", unit.name)),
            [] => Err("it has no unit that stands for a role".into()),
            _ => Err("it has several units that stand for roles".into()),
        }
    }

    /// The authorities from the certificate's issuer to a root.
    fn chain(&self, certificate: &Certificate) -> Result<Vec<&Certificate>, String> {
        let mut chain: Vec<&Certificate> = Vec::new();
        loop {
            let last = chain.last().copied().unwrap_or(certificate);
            let known = self.roots.iter().chain(&self.intermediates);
            let Some(issuer) = known.into_iter().find(|issuer| issuer.can_issue && last.issued_by(issuer))
            else {
                return Err(format!("no authority of the organisation issued {:?}", last.common_name()));
            };
            // `chain` holds the authorities below this one, which is what the constraint counts.
            if issuer.path_length.is_some_and(|most| chain.len() > most as usize) {
                return Err(format!("too many authorities below {:?}", issuer.common_name()));
            }
            chain.push(issuer);
            if self.roots.contains(issuer) {
                return Ok(chain);
            }
            if chain.len() >= MAX_DEPTH {
                return Err("the chain is too long".into());
            }
        }
    }

    fn read_revocations(&self, list: &[u8]) -> Result<Vec<Revoked>, String> {
        let not_pem = || "a revocation list is not PEM".to_string();
        let (block, _) = Block::first(list).ok().flatten().ok_or_else(not_pem)?;
        let der = block.decode().map_err(|_| not_pem())?;
        let (_, list) =
            CertificateRevocationList::from_der(&der).map_err(|e| format!("a revocation list: {e}"))?;
        let signed_by = |authority: &&Certificate| {
            let parsed = X509Certificate::from_der(authority.der());
            authority.subject == list.issuer().as_raw()
                && parsed.is_ok_and(|(_, parsed)| list.verify_signature(parsed.public_key()).is_ok())
        };
        let Some(authority) = self.roots.iter().chain(&self.intermediates).find(signed_by) else {
            return Err("a revocation list is signed by none of the organisation's authorities".into());
        };
        let key_id = authority.subject_key_id.clone().unwrap_or_default();
        Ok(list.iter_revoked_certificates().map(|one| (key_id.clone(), one.raw_serial().to_vec())).collect())
    }

    fn invalid(&self, identity: &Identity, what: String) -> Error {
        let subject = identity.certificate().common_name().to_owned();
        Error::Invalid { msp_id: self.id.clone(), subject, what }
    }
}

/// The organisations of a channel.
#[derive(Debug, Default)]
pub struct Msps(BTreeMap<String, Msp>);

impl Msps {
    /// The organisations; of two with the same ID the later one counts.
    pub fn new(msps: impl IntoIterator<Item = Msp>) -> Self {
        Self(msps.into_iter().map(|msp| (msp.id.clone(), msp)).collect())
    }

    /// The organisation of this ID.
    ///
    /// # Errors
    /// [`Error::UnknownMsp`].
    pub fn get(&self, msp_id: &str) -> Result<&Msp, Error> {
        self.0.get(msp_id).ok_or_else(|| Error::UnknownMsp(msp_id.into()))
    }

    /// Every organisation, in the order of the IDs.
    pub fn iter(&self) -> impl Iterator<Item = &Msp> {
        self.0.values()
    }

    /// [`Msp::validate`] under the organisation that the identity claims.
    ///
    /// # Errors
    /// [`Error::UnknownMsp`], [`Error::Invalid`].
    pub fn validate(&self, identity: &Identity) -> Result<(), Error> {
        self.get(identity.msp_id())?.validate(identity)
    }

    /// [`Msp::validate_at`] under the organisation that the identity claims.
    ///
    /// # Errors
    /// [`Error::UnknownMsp`], [`Error::Invalid`].
    pub fn validate_at(&self, identity: &Identity, time: i64) -> Result<(), Error> {
        self.get(identity.msp_id())?.validate_at(identity, time)
    }

    /// [`Msp::satisfies`] under the principal's organisation.
    pub fn satisfies(&self, identity: &Identity, principal: &Principal) -> bool {
        self.0.get(&principal.msp_id).is_some_and(|msp| msp.satisfies(identity, principal))
    }
}
