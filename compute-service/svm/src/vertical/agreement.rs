//! What the participants must agree on before anything is computed: key, instances, labels, seed.

use crate::digest;
use protocol::Fault;
use records::{JobId, JobParams, SeedCommit, SeedOpen, Setup, ThresholdKey};

/// Everybody's set-up and contribution to the seed.
pub(super) struct Agreement {
    setups: Vec<Option<Setup>>,
    commitments: Vec<Option<[u8; 32]>>,
    contributions: Vec<Option<Vec<u8>>>,
}

impl Agreement {
    pub(super) fn new(parties: u32) -> Self {
        let n = parties as usize;
        Self { setups: vec![None; n], commitments: vec![None; n], contributions: vec![None; n] }
    }

    pub(super) fn fold_setup(&mut self, party: u32, setup: &Setup, params: &JobParams) -> Result<(), String> {
        let (found, expected) = (setup.data.instances, params.training().instances);
        if found != expected {
            return Err(format!("{found} instances instead of {expected}"));
        }
        if setup.data.features == 0 {
            return Err("no features".into());
        }
        self.setups[party as usize] = Some(setup.clone());
        Ok(())
    }

    /// Compares all set-ups.
    pub(super) fn check(&self, params: &JobParams) -> Result<(), Fault> {
        let setups: Vec<&Setup> = self.setups.iter().flatten().collect();
        let compare = |what: &str, same: &dyn Fn(&Setup, &Setup) -> bool| match groups(
            &setups,
            same,
            &params.participants,
        )
        .as_slice()
        {
            [_] => Ok(()),
            several => {
                let sides = several.join("; ");
                Err(Fault::Disagreement(format!("{what} differ between participants: {sides}")))
            }
        };
        compare("the public keys", &|a, b| a.key == b.key)?;
        compare("the instances (identifiers)", &|a, b| a.data.ids == b.data.ids)?;
        compare("the labels", &|a, b| a.data.labels == b.data.labels)
    }

    pub(super) fn fold_commitment(&mut self, party: u32, commit: &SeedCommit) -> Result<(), String> {
        let commitment = commit.commitment.0.as_slice().try_into().map_err(|_| "not 32 bytes")?;
        self.commitments[party as usize] = Some(commitment);
        Ok(())
    }

    pub(super) fn fold_opening(&mut self, job: &JobId, party: u32, open: &SeedOpen) -> Result<(), String> {
        if self.commitments[party as usize] != Some(digest::commitment(job, party, &open.seed.0)) {
            return Err("the opening does not fit the commitment".into());
        }
        self.contributions[party as usize] = Some(open.seed.0.clone());
        Ok(())
    }

    /// The joint seed, once all contributions are open.
    pub(super) fn seed(&self, job: &JobId) -> [u8; 32] {
        digest::digest("seed", job, self.contributions.iter().flatten())
    }

    /// The key that all have posted.
    pub(super) fn key(&self) -> &ThresholdKey {
        &self.setups[0].as_ref().expect("every set-up was checked").key
    }

    /// Number of a participant's features.
    pub(super) fn features(&self, party: u32) -> usize {
        self.setups[party as usize].as_ref().map_or(0, |setup| setup.data.features as usize)
    }
}

/// Names of the participants by what they agree on, the largest group first.
fn groups(setups: &[&Setup], same: &dyn Fn(&Setup, &Setup) -> bool, names: &[String]) -> Vec<String> {
    let mut groups: Vec<(&Setup, Vec<&str>)> = Vec::new();
    for (setup, name) in setups.iter().zip(names) {
        match groups.iter_mut().find(|(other, _)| same(setup, other)) {
            Some((_, members)) => members.push(name),
            None => groups.push((setup, vec![name])),
        }
    }
    groups.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    groups.into_iter().map(|(_, members)| members.join(", ")).collect()
}
