//! The observer's replay of a job from the blocks: everything that can be checked without a secret.

mod channel;
mod expiry;
mod validation;

use crate::{
    facts::{LedgerEvent, Positioned},
    jobs::{self, Replayed},
    ledger,
};
use expiry::Expiry;
use gateway_client::{Block, Checkpoint, Network, TransactionInfo, TxValidationCode};
use msp::{Identity, Msps};
use protocol::Committed;
use records::{Acceptance, Job, JobId, MspId, Outcome, Record, Rules, Slot, Termination};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use validation::{Found, Validation};

/// What a replay found.
#[derive(Debug, Serialize)]
pub struct Verification {
    /// The job.
    pub job: JobId,
    /// Its participants.
    pub participants: Vec<MspId>,
    /// How it ended on the ledger.
    pub ending: Option<Termination>,
    /// Number of blocks whose hashes were followed.
    pub blocks: u64,
    /// Number of the job's transactions whose signatures were checked.
    pub transactions: u64,
    /// Number of records.
    pub records: u64,
    /// Records that were posted when all that they need was committed.
    pub barriers: u64,
    /// Partial decryption records whose proof holds.
    pub proofs: u64,
    /// Indicators that were recombined.
    pub indicators: u64,
    /// Whether certificates were checked against the organisations' MSPs.
    pub certificates_checked: bool,
    /// Number of the job's transactions whose validation code was made again from the blocks: signatures, identifiers,
    /// endorsement policies, versions read.
    pub validated: u64,
    /// Hash of the channel's first block, hexadecimal: it says who the organisations are and is the peer's word.
    pub first_block: String,
    /// What could not be checked, and what a reader must know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Whether the whole replay came to the output that everybody posted.
    pub complete: bool,
    /// What is wrong, in the order in which it was found.
    pub defects: Vec<String>,
}

/// Why a replay could not be made.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The ledger cannot be read, or its chain is broken.
    #[error(transparent)]
    Gateway(#[from] gateway_client::Error),
    /// No such job.
    #[error("job {0} is not on this ledger")]
    Unknown(JobId),
}

/// Replays a job from the first block to the present one. `msps` are the organisations as they are known otherwise
/// than from the ledger; without them only the signatures are checked, not who may have such a certificate.
///
/// # Errors
/// A ledger that cannot be read, and a job that is not on it. What is wrong with the job is in the result.
pub async fn verify(
    network: &Network,
    chaincode: &str,
    id: &JobId,
    msps: Option<&Msps>,
    mut progress: impl FnMut(u64),
) -> Result<Verification, VerifyError> {
    let mut blocks = network.past_blocks(Checkpoint::start());
    let mut replay = Replay::new(id.clone(), msps);
    while let Some(block) = blocks.next().await {
        let block = block?;
        progress(block.number);
        replay.fold(&block, chaincode);
    }
    replay.finish().ok_or_else(|| VerifyError::Unknown(id.clone()))
}

/// A replay under way: blocks are folded from the first one on, in their order.
pub struct Replay<'a> {
    id: JobId,
    msps: Option<&'a Msps>,
    validation: Validation<'a>,
    first_block: String,
    blocks: u64,
    transactions: u64,
    barriers: u64,
    job: Option<(Job, Rules)>,
    acceptances: BTreeMap<u32, Acceptance>,
    posted: BTreeSet<Slot>,
    proofs: u64,
    ending: Option<Termination>,
    expiry: Expiry,
    protocol: Option<Box<dyn Replayed>>,
    defects: Vec<String>,
    /// Of the block that is folded.
    records: Vec<Committed>,
}

impl<'a> Replay<'a> {
    /// Before the first block; see [`verify`].
    pub fn new(id: JobId, msps: Option<&'a Msps>) -> Self {
        Self {
            id,
            msps,
            validation: Validation::new(msps),
            first_block: String::new(),
            blocks: 0,
            transactions: 0,
            barriers: 0,
            job: None,
            acceptances: BTreeMap::new(),
            posted: BTreeSet::new(),
            proofs: 0,
            ending: None,
            expiry: Expiry::default(),
            protocol: None,
            defects: Vec::new(),
            records: Vec::new(),
        }
    }

    /// The job, once it was proposed.
    pub fn job(&self) -> Option<&Job> {
        self.job.as_ref().map(|(job, _)| job)
    }

    /// Takes the next block; the records in it that its participants may have posted as they did.
    pub fn fold(&mut self, block: &Block, chaincode: &str) -> Vec<Committed> {
        self.blocks += 1;
        if block.number == 0 {
            self.first_block = hex::encode(block.hash);
        }
        let Found { corrected, defects } = self.validation.follow(block, chaincode, &self.id);
        self.defects.extend(defects);
        let block = corrected.as_ref().unwrap_or(block);
        let mut checked = HashSet::new();
        let id = self.id.clone();
        let mut noted = 0;
        for (index, reading) in ledger::readings(block, chaincode) {
            let located = match reading {
                Ok(located) if *located.fact.job() == id => located,
                Err(unreadable) if unreadable.job.as_ref() == Some(&id) => {
                    self.defects.push(unreadable.to_string());
                    continue;
                }
                // Another job's.
                Ok(_) | Err(_) => continue,
            };
            // An ending goes by what lay on the ledger before it.
            self.note_times(&block.transactions[noted..=index], chaincode, block.number);
            noted = index + 1;
            let found =
                |defect: String| format!("block {}, transaction {}: {defect}", located.block, located.tx_id);
            // By its place: an envelope of somebody else may claim the same identifier.
            if checked.insert(index) {
                self.transactions += 1;
                if let Err(defect) = self.check_signatures(&block.transactions[index]) {
                    self.defects.push(found(defect));
                }
            }
            if let Err(defect) = self.fact(&located) {
                self.defects.push(found(defect));
            }
        }
        self.note_times(&block.transactions[noted..], chaincode, block.number);
        std::mem::take(&mut self.records)
    }

    /// Takes what transactions of a block say of time.
    fn note_times(&mut self, transactions: &[TransactionInfo], chaincode: &str, block: u64) {
        let is_valid =
            |transaction: &&TransactionInfo| transaction.validation_code == TxValidationCode::Valid;
        for transaction in transactions.iter().filter(is_valid) {
            let job = self.job.as_ref().map(|(job, rules)| (job, rules, &self.posted));
            if let Err(defect) = self.expiry.record(transaction, chaincode, &self.id, job) {
                self.defects
                    .push(format!("block {block}, transaction {}: {defect}", transaction.transaction_id));
            }
        }
    }

    fn check_signatures(&self, transaction: &TransactionInfo) -> Result<(), String> {
        if let Some(defect) = &transaction.defect {
            return Err(defect.clone());
        }
        transaction.verify_signature().map_err(|e| e.to_string())?;
        transaction.verify_endorsements().map_err(|e| e.to_string())?;
        let Some(msps) = self.msps else { return Ok(()) };
        let creator = (&transaction.creator.msp_id, &transaction.creator.certificate);
        let endorsers = transaction.endorsers.iter().map(|e| (&e.msp_id, &e.certificate));
        for (msp_id, certificate) in endorsers.chain([creator]) {
            let identity = Identity::from_pem(msp_id, certificate).map_err(|e| e.to_string())?;
            msps.validate(&identity).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    fn fact(&mut self, located: &Positioned) -> Result<(), String> {
        match &located.fact {
            LedgerEvent::Proposed(job) if job.proposer != located.creator.msp_id => {
                Err(format!("{} proposed the job as {}", located.creator.msp_id, job.proposer))
            }
            LedgerEvent::Proposed(job) => self.proposed(job),
            LedgerEvent::Accepted(acceptance) => {
                let (job, _) = self.job.as_ref().ok_or("an acceptance before the proposal")?;
                let creator = &located.creator;
                let expected = job.params.participants.get(acceptance.party as usize);
                if expected != Some(&creator.msp_id)
                    || acceptance.msp_id != creator.msp_id
                    || acceptance.key_hash != creator.key_hash
                {
                    return Err(format!("{} accepted as party {}", creator.msp_id, acceptance.party));
                }
                match self.acceptances.insert(acceptance.party, acceptance.clone()) {
                    None => Ok(()),
                    Some(_) => Err(format!("{} accepted twice", creator.msp_id)),
                }
            }
            LedgerEvent::Posted(record) => self.posted(located, record),
            LedgerEvent::Ended(ending) => self.ended(located, ending),
        }
    }

    fn proposed(&mut self, job: &Job) -> Result<(), String> {
        if job.params.id() != job.id {
            return Err("the job's identifier is not the hash of its parameters".into());
        }
        job.params.validate().map_err(|e| e.to_string())?;
        if self.job.is_some() {
            return Err("the job was proposed twice".into());
        }
        self.protocol = Some(jobs::of(&job.params.kind).observe(job).map_err(|fault| fault.to_string())?);
        self.job = Some((job.clone(), Rules::new(&job.params)));
        Ok(())
    }

    fn posted(&mut self, located: &Positioned, record: &Record) -> Result<(), String> {
        let slot = record.slot;
        let (job, rules) = self.job.as_ref().ok_or("a record before the proposal")?;
        if self.ending.is_some() {
            return Err(format!("{slot} was posted after the end"));
        }
        if self.acceptances.len() < job.params.participants.len() {
            return Err(format!("{slot} was posted before all had accepted"));
        }
        rules.check(&slot, &record.body, &record.contributors).map_err(|violation| violation.to_string())?;
        let acceptance = self.acceptances.get(&slot.party).ok_or("a record of a stranger")?;
        if (&acceptance.msp_id, &acceptance.key_hash) != (&located.creator.msp_id, &located.creator.key_hash)
            || record.msp_id != acceptance.msp_id
        {
            return Err(format!("{slot} was signed by {} with another key", located.creator.msp_id));
        }
        if let Some(missing) =
            rules.first_missing(&slot, &record.contributors, |need| self.posted.contains(need))
        {
            return Err(format!("{slot} was posted before {missing}"));
        }
        if !self.posted.insert(slot) {
            return Err(format!("{slot} was posted twice"));
        }
        self.barriers += 1;
        let committed =
            Committed { block: located.block, tx_id: located.tx_id.clone(), record: record.clone() };
        self.records.push(committed);
        // After a fault only the book is checked: what follows from a wrong record means nothing.
        let (Some(protocol), Some(committed)) = (&mut self.protocol, self.records.last()) else {
            return Ok(());
        };
        if let Err(fault) = protocol.apply(committed) {
            self.protocol = None;
            return Err(fault.to_string());
        }
        self.proofs = protocol.proofs();
        Ok(())
    }

    fn ended(&mut self, located: &Positioned, ending: &Termination) -> Result<(), String> {
        let (job, rules) = self.job.as_ref().ok_or("an ending before the proposal")?;
        let by = &located.creator.msp_id;
        let party = job.params.party(by).ok_or_else(|| format!("{by}, no participant, ended the job"))?;
        let accepted = self.acceptances.get(&party);
        if *by != ending.by || accepted.is_some_and(|a| a.key_hash != located.creator.key_hash) {
            return Err(format!("the end by {} was signed by {by} with another key", ending.by));
        }
        if self.ending.is_some() {
            return Err("the job ended twice".into());
        }
        self.ending = Some(ending.clone());
        match &ending.outcome {
            Outcome::Expired(owed) => {
                let accepted = self.acceptances.keys().copied().collect();
                self.expiry.check(job, rules, &accepted, &self.posted, owed)?;
                // After a fault it is not known what the protocol waits for.
                let Some(protocol) = &self.protocol else { return Ok(()) };
                let waiting_for = protocol.waiting_for();
                let mut slots = owed.iter().filter_map(|debt| debt.slot);
                match slots.find(|slot| !waiting_for.contains(slot)) {
                    Some(slot) => Err(format!("nothing waited for {slot}")),
                    None => Ok(()),
                }
            }
            Outcome::Finished | Outcome::Refused(_) | Outcome::Aborted(_) => Ok(()),
        }
    }

    /// What was found; `None` where the job is in none of the blocks.
    pub fn finish(mut self) -> Option<Verification> {
        let (job, _) = self.job?;
        let indicators = self.protocol.as_ref().and_then(|protocol| protocol.result());
        let finished = matches!(&self.ending, Some(Termination { outcome: Outcome::Finished, .. }));
        if finished && indicators.is_none() && self.defects.is_empty() {
            self.defects.push("the job is said to be finished, but records are missing".into());
        }
        Some(Verification {
            job: self.id,
            participants: job.params.participants,
            ending: self.ending,
            blocks: self.blocks,
            transactions: self.transactions,
            records: self.posted.len() as u64,
            barriers: self.barriers,
            proofs: self.proofs,
            indicators: indicators.unwrap_or(0),
            certificates_checked: self.msps.is_some(),
            validated: self.validation.judged,
            first_block: self.first_block,
            notes: self.validation.notes(),
            complete: finished && indicators.is_some() && self.defects.is_empty(),
            defects: self.defects,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{facts::Creator, proposal};
    use records::{Body, Bytes, Digest, KeyHash, Phase, SeedOpen, VERSION};

    fn key_hash(key: &str) -> KeyHash {
        KeyHash(Digest::of(key.as_bytes()))
    }

    fn located(org: usize, key: &str, fact: LedgerEvent) -> Positioned {
        let creator = Creator { msp_id: format!("Org{org}MSP").parse().unwrap(), key_hash: key_hash(key) };
        Positioned { block: 1, tx_id: "tx".into(), creator, bytes: 1, fact }
    }

    fn job() -> Job {
        let names = (1..=3).map(|org| format!("Org{org}MSP").parse().unwrap()).collect();
        let params = proposal::template(10, names).unwrap();
        Job { version: VERSION, id: params.id(), params, proposer: "Org1MSP".parse().unwrap(), proposed: 0 }
    }

    fn acceptance(job: &Job, party: u32) -> LedgerEvent {
        let msp_id = job.params.participants[party as usize].clone();
        LedgerEvent::Accepted(Acceptance {
            version: VERSION,
            job: job.id.clone(),
            party,
            msp_id,
            key_hash: key_hash("k"),
        })
    }

    fn ending(job: &Job, by: &str) -> LedgerEvent {
        let outcome = Outcome::Aborted("enough".into());
        LedgerEvent::Ended(Termination {
            version: VERSION,
            job: job.id.clone(),
            by: by.parse().unwrap(),
            outcome,
        })
    }

    #[test]
    fn who_writes_in_anothers_name_is_a_defect() {
        let job = job();
        let mut replay = Replay::new(job.id.clone(), None);
        let mut defect = |located: Positioned| replay.fact(&located).unwrap_err();
        assert_eq!(defect(located(1, "k", acceptance(&job, 0))), "an acceptance before the proposal");
        assert_eq!(
            defect(located(2, "k", LedgerEvent::Proposed(job.clone()))),
            "Org2MSP proposed the job as Org1MSP"
        );
        let forged = Job { id: JobId::from([0x00; 32]), ..job.clone() };
        assert!(defect(located(1, "k", LedgerEvent::Proposed(forged))).contains("hash of its parameters"));
        replay.fact(&located(1, "k", LedgerEvent::Proposed(job.clone()))).unwrap();
        replay.fact(&located(1, "k", acceptance(&job, 0))).unwrap();

        let mut defect = |located: Positioned| replay.fact(&located).unwrap_err();
        assert_eq!(defect(located(3, "k", acceptance(&job, 1))), "Org3MSP accepted as party 1");
        assert_eq!(defect(located(2, "other", acceptance(&job, 1))), "Org2MSP accepted as party 1");
        assert_eq!(defect(located(1, "k", acceptance(&job, 0))), "Org1MSP accepted twice");
        let slot = Slot { phase: Phase::SeedOpen, round: 0, party: 0, chunk: 0 };
        let body = Body::SeedOpen(SeedOpen { seed: Bytes(vec![1; 32]) });
        let record = Record {
            version: VERSION,
            job: job.id.clone(),
            slot,
            msp_id: "Org1MSP".parse().unwrap(),
            body,
            contributors: Vec::new(),
        };
        let early = located(1, "k", LedgerEvent::Posted(Box::new(record.clone())));
        assert!(defect(early.clone()).contains("before all had accepted"));
        assert_eq!(
            defect(located(4, "k", ending(&job, "Org4MSP"))),
            "Org4MSP, no participant, ended the job"
        );
        assert!(defect(located(2, "k", ending(&job, "Org1MSP"))).contains("signed by Org2MSP"));
        assert!(defect(located(1, "other", ending(&job, "Org1MSP"))).contains("another key"));

        for org in [2, 3] {
            replay.fact(&located(org, "k", acceptance(&job, org as u32 - 1))).unwrap();
        }
        let mut defect = |located: Positioned| replay.fact(&located).unwrap_err();
        assert!(defect(early).contains("was posted before"), "its barrier is not met");
        let stolen = located(2, "k", LedgerEvent::Posted(Box::new(record)));
        assert!(defect(stolen).contains("signed by Org2MSP"));
        replay.fact(&located(1, "k", ending(&job, "Org1MSP"))).unwrap();
        assert_eq!(
            replay.fact(&located(2, "k", ending(&job, "Org2MSP"))).unwrap_err(),
            "the job ended twice"
        );
        let found = replay.finish().unwrap();
        assert_eq!((found.complete, found.records, found.barriers), (false, 0, 0));
    }
}
