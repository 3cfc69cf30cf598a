//! A joint seed by commit and reveal: all contributions count, and a participant chooses its own without knowing the others'.

use crate::digest;
use records::{JobId, SeedCommit, SeedOpen};

/// All commitments and contributions.
#[derive(Default)]
pub(crate) struct JointSeed {
    commitments: Vec<Option<[u8; 32]>>,
    contributions: Vec<Option<Vec<u8>>>,
}

impl JointSeed {
    pub(crate) fn new(parties: u32) -> Self {
        Self { commitments: vec![None; parties as usize], contributions: vec![None; parties as usize] }
    }

    pub(crate) fn fold_commitment(&mut self, party: u32, commit: &SeedCommit) -> Result<(), String> {
        let commitment = commit.commitment.0.as_slice().try_into().map_err(|_| "not 32 bytes")?;
        self.commitments[party as usize] = Some(commitment);
        Ok(())
    }

    pub(crate) fn fold_opening(&mut self, job: &JobId, party: u32, open: &SeedOpen) -> Result<(), String> {
        if self.commitments[party as usize] != Some(digest::commitment(job, party, &open.seed.0)) {
            return Err("the opening does not fit the commitment".into());
        }
        self.contributions[party as usize] = Some(open.seed.0.clone());
        Ok(())
    }

    /// The seed, once all contributions are open.
    pub(crate) fn value(&self, job: &JobId) -> [u8; 32] {
        digest::digest("seed", job, self.contributions.iter().flatten())
    }
}

/// A party's commitment to its contribution.
pub(crate) fn commit(job: &JobId, party: u32, contribution: &[u8; 32]) -> SeedCommit {
    SeedCommit { commitment: digest::commitment(job, party, contribution).to_vec().into() }
}

/// A party's contribution.
pub(crate) fn open(contribution: &[u8; 32]) -> SeedOpen {
    SeedOpen { seed: contribution.to_vec().into() }
}
