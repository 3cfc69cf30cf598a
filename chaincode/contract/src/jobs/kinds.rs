//! What the contract checks of a job because of its kind: when it is proposed, when a record is posted, when it finishes.

use super::predictions;
use crate::{
    ContractError, WorldState,
    keys::{self, Use},
};
use records::{
    Body, Dealer, Fingerprint, HorizontalSvm, Job, JobParams, KeyEntry, KeyGeneration, KeyRefresh, Kind,
    Record, TRAINING, VerticalPredict, VerticalSvm,
    jobs::{Mean, STATISTICS},
};

/// The rules of one kind of job beside those that all have.
pub(super) trait KindRules {
    /// Whether the job may be proposed: what of the ledger it refers to is there, and is the participants'.
    fn check_proposal(&self, _: &mut dyn WorldState, _: &JobParams) -> Result<(), ContractError> {
        Ok(())
    }

    /// Whether a record that is due and of the right form may be posted.
    fn check_record(&self, _: &mut dyn WorldState, _: &Record) -> Result<(), ContractError> {
        Ok(())
    }

    /// What the ledger keeps of a result on which all agree.
    fn finish(&self, _: &mut dyn WorldState, _: &Job, _: &Body) -> Result<(), ContractError> {
        Ok(())
    }
}

/// The rules of a kind.
pub(super) fn rules(kind: &Kind) -> &dyn KindRules {
    match kind {
        Kind::VerticalSvm(params) => params,
        Kind::VerticalPredict(params) => params,
        Kind::HorizontalSvm(params) => &**params,
        Kind::KeyGeneration(params) => params,
        Kind::KeyRefresh(params) => params,
        Kind::Mean(params) => params,
    }
}

/// A key for a purpose, with which all participants decrypt in the order in which the job names them.
fn with_key(
    world: &mut dyn WorldState,
    params: &JobParams,
    purpose: &str,
    key: Option<Fingerprint>,
    quorum: u32,
    bits: u32,
) -> Result<(), ContractError> {
    let Some(key) = key else { return Ok(()) };
    let fits = |entry: &KeyEntry| {
        entry.members == params.participants && (entry.quorum, entry.bits) == (quorum, bits)
    };
    let used = Use { field: "key", purpose, may_be_dealt: false, fits: &fits };
    keys::check(world, params, &key, &used)
}

impl KindRules for VerticalSvm {
    fn check_proposal(&self, world: &mut dyn WorldState, params: &JobParams) -> Result<(), ContractError> {
        with_key(world, params, TRAINING, self.key, self.quorum, self.key_bits)
    }
}

impl KindRules for VerticalPredict {
    fn check_proposal(&self, world: &mut dyn WorldState, params: &JobParams) -> Result<(), ContractError> {
        with_key(world, params, TRAINING, self.key, self.quorum, self.key_bits)?;
        predictions::check_proposal(world, params, self)
    }

    fn check_record(&self, world: &mut dyn WorldState, record: &Record) -> Result<(), ContractError> {
        match &record.body {
            Body::Setup(setup) => predictions::check_setup(world, self, setup),
            _ => Ok(()),
        }
    }
}

impl KindRules for HorizontalSvm {}

impl KindRules for KeyGeneration {
    fn finish(&self, world: &mut dyn WorldState, job: &Job, result: &Body) -> Result<(), ContractError> {
        keys::enter(world, job, result, &self.purpose, job.params.participants.clone(), self.key_bits, None)
    }
}

impl KindRules for KeyRefresh {
    fn check_proposal(&self, world: &mut dyn WorldState, params: &JobParams) -> Result<(), ContractError> {
        let dealers = |entry: &KeyEntry| {
            let own = |dealer: &Dealer| {
                entry.members.get(dealer.member as usize) == params.participants.get(dealer.party as usize)
            };
            let old = (entry.members.len() as u32, entry.bits, entry.quorum);
            old == (self.old_parties, self.key_bits, self.dealers.len() as u32)
                && self.dealers.iter().all(own)
        };
        // A key that was dealt is known to its members only.
        let used = Use { field: "dealers", purpose: &self.purpose, may_be_dealt: true, fits: &dealers };
        keys::check(world, params, &self.key, &used)
    }

    fn finish(&self, world: &mut dyn WorldState, job: &Job, result: &Body) -> Result<(), ContractError> {
        let members = self.members.iter().map(|party| job.params.participants[*party as usize].clone());
        let refreshes = Some(self.key);
        keys::enter(world, job, result, &self.purpose, members.collect(), self.key_bits, refreshes)
    }
}

impl KindRules for Mean {
    fn check_proposal(&self, world: &mut dyn WorldState, params: &JobParams) -> Result<(), ContractError> {
        with_key(world, params, STATISTICS, Some(self.key), self.quorum, self.key_bits)
    }
}
