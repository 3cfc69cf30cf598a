//! Which peers endorse a transaction.

use crate::channel::Peer;
use crate::definition::{Definitions, Required, Signer};
use fabric_protos::peer::{
    ChaincodeCall, ChaincodeEndorsedAction, ChaincodeInterest, Endorsement, ProposalResponse,
};
use msp::{Policy, Role};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The peers that may endorse, what they must satisfy together, and what they have said.
pub struct Plan {
    definitions: Option<Arc<Definitions>>,
    interest: ChaincodeInterest,
    /// Those who may endorse, the most welcome first; who fails is taken out.
    peers: Vec<Arc<Peer>>,
    asked: BTreeSet<String>,
    payload: Option<Vec<u8>>,
    endorsements: Vec<(String, Endorsement)>,
}

/// What is to be done for a plan.
pub enum Next {
    /// Ask these, and wait for those who were asked before.
    Ask(Vec<Arc<Peer>>),
    /// There are endorsements enough.
    Complete,
    /// Those who are left are not enough.
    Impossible,
}

impl Plan {
    /// A plan for a transaction with this interest.
    pub fn new(definitions: &Arc<Definitions>, interest: ChaincodeInterest, peers: Vec<Arc<Peer>>) -> Self {
        Self { definitions: Some(definitions.clone()), interest, ..Self::of_all(peers) }
    }

    /// A plan that asks all of these, whatever the policies say.
    pub fn of_all(peers: Vec<Arc<Peer>>) -> Self {
        Self {
            definitions: None,
            interest: ChaincodeInterest::default(),
            peers,
            asked: BTreeSet::new(),
            payload: None,
            endorsements: Vec::new(),
        }
    }

    /// Whether those who are left can satisfy the policies.
    pub fn is_possible(&self) -> bool {
        self.chosen().is_some()
    }

    /// Leaves only members of the collections that are written, for there is data that others must not see.
    /// Gives the collections that were not so protected before.
    pub fn protect(&mut self) -> Vec<String> {
        let mut protected = Vec::new();
        for call in self.interest.chaincodes.iter_mut().filter(|call| call.no_private_reads) {
            call.no_private_reads = false;
            protected.extend(call.collection_names.iter().cloned());
        }
        protected
    }

    /// What is to be done next.
    pub fn next(&self) -> Next {
        let Some(mut chosen) = self.chosen() else {
            return Next::Impossible;
        };
        let has_endorsed =
            |peer: &Arc<Peer>| self.endorsements.iter().any(|(known, _)| known == peer.msp_id());
        if chosen.iter().all(has_endorsed) {
            return Next::Complete;
        }
        chosen.retain(|peer| !self.asked.contains(peer.msp_id()));
        Next::Ask(chosen)
    }

    pub fn ask(&mut self, peer: &Peer) {
        self.asked.insert(peer.msp_id().into());
    }

    /// Takes a peer's answer, or gives the reason why not.
    pub fn endorsed(&mut self, peer: &Peer, response: ProposalResponse) -> Option<String> {
        self.ask(peer);
        if self.payload.as_ref().is_some_and(|payload| *payload != response.payload) {
            self.refused(peer);
            return Some("ProposalResponsePayloads do not match".into());
        }
        self.payload = Some(response.payload);
        self.endorsements.extend(response.endorsement.map(|one| (peer.msp_id().to_owned(), one)));
        None
    }

    /// Does without a peer.
    pub fn refused(&mut self, peer: &Peer) {
        self.peers.retain(|known| known.msp_id() != peer.msp_id());
    }

    /// What the peers said, without those who are not needed.
    pub fn into_action(self) -> ChaincodeEndorsedAction {
        let needed: BTreeSet<String> =
            self.chosen().unwrap_or_default().iter().map(|peer| peer.msp_id().to_owned()).collect();
        let endorsements = self.endorsements.into_iter().filter(|(msp_id, _)| needed.contains(msp_id));
        ChaincodeEndorsedAction {
            proposal_response_payload: self.payload.unwrap_or_default(),
            endorsements: endorsements.map(|(_, endorsement)| endorsement).collect(),
        }
    }

    /// As few peers as satisfy the policies, in the sense that none of them can be left out.
    fn chosen(&self) -> Option<Vec<Arc<Peer>>> {
        let Some(definitions) = &self.definitions else {
            // Whoever was named must endorse.
            let all = self.asked.iter().all(|asked| self.peers.iter().any(|peer| peer.msp_id() == asked));
            return all.then(|| self.peers.clone());
        };
        let requirements = requirements(definitions, &self.interest)?;
        let mut chosen = self.peers.clone();
        chosen.retain(|peer| requirements.iter().all(|requirement| requirement.admits(peer.msp_id())));
        let holds = |chosen: &[Arc<Peer>]| {
            let signers: Vec<_> =
                chosen.iter().map(|peer| Signer { msp_id: peer.msp_id().into(), role: Role::Peer }).collect();
            requirements.iter().all(|requirement| requirement.policy.holds(&signers))
        };
        if !holds(&chosen) {
            return None;
        }
        for i in (0..chosen.len()).rev() {
            let peer = chosen.remove(i);
            if !holds(&chosen) {
                chosen.insert(i, peer);
            }
        }
        Some(chosen)
    }
}

/// A policy, and who may contribute to it.
pub struct Requirement {
    pub policy: Required,
    /// Members of the collection that is read; anybody where none is.
    members: Option<BTreeSet<String>>,
}

impl Requirement {
    /// Whether a peer of the organisation may contribute.
    pub fn admits(&self, msp_id: &str) -> bool {
        self.members.as_ref().is_none_or(|members| members.contains(msp_id))
    }
}

/// What must hold; nothing where the interest names what is not there.
pub fn requirements(definitions: &Definitions, interest: &ChaincodeInterest) -> Option<Vec<Requirement>> {
    let mut requirements = Vec::new();
    for call in &interest.chaincodes {
        requirements.extend(requirements_of(definitions, call)?);
    }
    Some(requirements)
}

fn requirements_of(definitions: &Definitions, call: &ChaincodeCall) -> Option<Vec<Requirement>> {
    let definition = definitions.get(&call.name)?;
    let mut found = Vec::new();
    for name in &call.collection_names {
        let collection = definition.collection(name)?;
        let members = (!call.no_private_reads).then(|| collection.members());
        found.push(Requirement { policy: definition.endorsers(collection), members });
    }
    for policy in &call.key_policies {
        let policy = Required::Signature(Policy::from_envelope(policy).ok()?);
        found.push(Requirement { policy, members: None });
    }
    if call.collection_names.is_empty() && !call.disregard_namespace_policy {
        found.push(Requirement { policy: definition.policy.clone(), members: None });
    }
    Some(found)
}
