//! Endorsement policies of single keys.

use crate::StubError;
use fabric_protos::common::{
    MspPrincipal, MspRole, SignaturePolicy, SignaturePolicyEnvelope, msp_principal::Classification,
    msp_role::MspRoleType, signature_policy,
};
use fabric_protos::prost::Message;
use std::collections::BTreeMap;

/// Who of an organisation may endorse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleType {
    /// Any identity that the organisation has certified.
    Member,
    /// Its peers only.
    Peer,
}

/// An endorsement policy that wants every one of its organisations, as a key may have one in place of
/// the chaincode's or the collection's.
///
/// ```
/// use shim::{KeyEndorsementPolicy, RoleType};
///
/// let mut policy = KeyEndorsementPolicy::default();
/// policy.add_orgs(RoleType::Peer, ["Org1MSP", "Org2MSP"]);
/// policy.del_orgs(["Org1MSP"]);
/// assert_eq!(KeyEndorsementPolicy::parse(&policy.to_bytes())?, policy);
/// assert_eq!(policy.orgs().collect::<Vec<_>>(), ["Org2MSP"]);
/// # Ok::<(), shim::StubError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyEndorsementPolicy {
    orgs: BTreeMap<String, RoleType>,
}

impl KeyEndorsementPolicy {
    /// Reads what [`to_bytes`](Self::to_bytes) or the helper of another language's shim made.
    ///
    /// # Errors
    /// [`StubError::Policy`] for any policy that does not want all of a list of organisations.
    pub fn parse(bytes: &[u8]) -> Result<Self, StubError> {
        let policy = SignaturePolicyEnvelope::decode(bytes)
            .map_err(|_| StubError::Policy("is no signature policy"))?;
        let mut orgs = BTreeMap::new();
        for identity in &policy.identities {
            let role = MspRole::decode(identity.principal.as_slice())
                .ok()
                .filter(|_| identity.principal_classification == Classification::Role as i32)
                .ok_or(StubError::Policy("names something else than an organisation's members or peers"))?;
            let kind = match role.role() {
                MspRoleType::Member => RoleType::Member,
                MspRoleType::Peer => RoleType::Peer,
                _ => return Err(StubError::Policy("names neither members nor peers")),
            };
            orgs.insert(role.msp_identifier, kind);
        }
        let all = Self::all(policy.identities.len());
        if orgs.len() != policy.identities.len() || policy.rule != Some(all) {
            return Err(StubError::Policy("does not want each of its organisations once"));
        }
        Ok(Self { orgs })
    }

    /// Adds organisations by MSP ID; one that is there gets the role.
    pub fn add_orgs(&mut self, role: RoleType, msp_ids: impl IntoIterator<Item = impl Into<String>>) {
        self.orgs.extend(msp_ids.into_iter().map(|id| (id.into(), role)));
    }

    /// Takes organisations off the policy.
    pub fn del_orgs(&mut self, msp_ids: impl IntoIterator<Item = impl AsRef<str>>) {
        for id in msp_ids {
            self.orgs.remove(id.as_ref());
        }
    }

    /// The MSP IDs, sorted.
    pub fn orgs(&self) -> impl Iterator<Item = &str> {
        self.orgs.keys().map(String::as_str)
    }

    /// The policy for
    /// [`Stub::set_state_validation_parameter`](crate::Stub::set_state_validation_parameter): the same
    /// bytes for the same organisations.
    pub fn to_bytes(&self) -> Vec<u8> {
        let identities = self.orgs.iter().map(|(id, role)| {
            let role = match role {
                RoleType::Member => MspRoleType::Member,
                RoleType::Peer => MspRoleType::Peer,
            };
            let principal = MspRole { msp_identifier: id.clone(), role: role.into() }.encode_to_vec();
            MspPrincipal { principal_classification: Classification::Role.into(), principal }
        });
        let rule = Some(Self::all(self.orgs.len()));
        SignaturePolicyEnvelope { version: 0, rule, identities: identities.collect() }.encode_to_vec()
    }

    /// Signatures by all of so many principals.
    fn all(count: usize) -> SignaturePolicy {
        let count = count as i32;
        let signed_by = |n| SignaturePolicy { r#type: Some(signature_policy::Type::SignedBy(n)) };
        let rule = signature_policy::NOutOf { n: count, rules: (0..count).map(signed_by).collect() };
        SignaturePolicy { r#type: Some(signature_policy::Type::NOutOf(rule)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(orgs: &[&str]) -> KeyEndorsementPolicy {
        let mut policy = KeyEndorsementPolicy::default();
        policy.add_orgs(RoleType::Member, orgs.iter().copied());
        policy
    }

    fn changed(change: impl FnOnce(&mut SignaturePolicyEnvelope)) -> Result<KeyEndorsementPolicy, StubError> {
        let bytes = policy(&["Org1MSP", "Org2MSP"]).to_bytes();
        let mut envelope = SignaturePolicyEnvelope::decode(bytes.as_slice()).unwrap();
        change(&mut envelope);
        KeyEndorsementPolicy::parse(&envelope.encode_to_vec())
    }

    #[test]
    fn the_bytes_are_those_of_the_go_shim() {
        // pkg/statebased: NewStateEP, AddOrgs(MEMBER, "Org1MSP", "Org2MSP"), Policy
        let expected = "120c120a08021202080012020801\
                        1a0b12090a074f7267314d5350\
                        1a0b12090a074f7267324d5350";
        assert_eq!(hex::encode(policy(&["Org2MSP", "Org1MSP"]).to_bytes()), expected);
    }

    #[test]
    fn roles_survive_and_the_last_one_counts() {
        let mut policy = policy(&["Org1MSP", "Org2MSP"]);
        policy.add_orgs(RoleType::Peer, ["Org2MSP"]);
        let again = KeyEndorsementPolicy::parse(&policy.to_bytes()).unwrap();
        assert_eq!(again, policy);
        assert_eq!(again.orgs["Org2MSP"], RoleType::Peer);
        let none = KeyEndorsementPolicy::default();
        assert_eq!(KeyEndorsementPolicy::parse(&none.to_bytes()).unwrap(), none);
    }

    #[test]
    fn other_policies_are_not_taken_for_this_kind() {
        assert!(changed(|_| {}).is_ok());
        let any = |policy: &mut SignaturePolicyEnvelope| {
            let Some(signature_policy::Type::NOutOf(rule)) = &mut policy.rule.as_mut().unwrap().r#type else {
                panic!("n of n");
            };
            rule.n = 1;
        };
        assert!(matches!(changed(any), Err(StubError::Policy(_))), "any instead of all");
        let twice =
            |policy: &mut SignaturePolicyEnvelope| policy.identities[1] = policy.identities[0].clone();
        assert!(matches!(changed(twice), Err(StubError::Policy(_))), "an organisation twice");
        let unit = |policy: &mut SignaturePolicyEnvelope| policy.identities[0].principal_classification = 1;
        assert!(matches!(changed(unit), Err(StubError::Policy(_))), "an organisational unit");
        let admin = |policy: &mut SignaturePolicyEnvelope| {
            let role = MspRole { msp_identifier: "Org1MSP".into(), role: MspRoleType::Admin.into() };
            policy.identities[0].principal = role.encode_to_vec();
        };
        assert!(matches!(changed(admin), Err(StubError::Policy(_))), "an administrator");
        assert!(KeyEndorsementPolicy::parse(&[0xff]).is_err());
        assert!(KeyEndorsementPolicy::parse(&[]).is_err());
    }
}
