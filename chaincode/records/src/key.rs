//! Keys of the world state: Fabric composite keys, one for each record, written once.

use crate::{Digest, Fingerprint, JobId, MspId, Slot};

const SEPARATOR: char = '\0';

fn composite(object_type: &str, attributes: &[&str]) -> String {
    let mut key = format!("{SEPARATOR}{object_type}{SEPARATOR}");
    for attribute in attributes {
        key.push_str(attribute);
        key.push(SEPARATOR);
    }
    key
}

/// Object type of the composite keys under which jobs lie.
pub const JOB: &str = "job";
/// Object type of the composite keys under which acceptances lie.
pub const ACCEPTANCE: &str = "acceptance";
/// Object type of the composite keys under which records lie.
pub const RECORD: &str = "record";
/// Object type of the composite keys that say that a record is there.
pub const POSTED: &str = "posted";
/// Object type of the composite keys under which endings lie.
pub const ENDING: &str = "ending";
/// Object type of the composite keys under which reminders lie.
pub const REMINDER: &str = "reminder";
/// Object type of the composite keys under which the members' clocks lie.
pub const CLOCK: &str = "clock";

/// Object type of the composite keys under which threshold keys lie.
pub const THRESHOLD_KEY: &str = "key";

/// Object type of the composite keys under which analysts' public keys lie.
pub const ANALYST_KEY: &str = "analyst-key";
/// Object type of the composite keys under which tables lie that are shared with an analyst.
pub const SHARED_TABLE: &str = "shared-table";
/// Object type of the composite keys under which shared rows lie.
pub const INSTANCE: &str = "instance";

/// Where a [`crate::Job`] lies.
pub fn job(id: &JobId) -> String {
    composite(JOB, &[&id.to_string()])
}

/// Where a [`crate::Acceptance`] lies.
pub fn acceptance(id: &JobId, party: u32) -> String {
    composite(ACCEPTANCE, &[&id.to_string(), &format!("{party:02x}")])
}

/// Where a [`crate::Termination`] lies.
pub fn ending(id: &JobId) -> String {
    composite(ENDING, &[&id.to_string()])
}

/// Where the [`crate::Reminder`] of a participant lies.
pub fn reminder(id: &JobId, party: u32) -> String {
    composite(REMINDER, &[&id.to_string(), &format!("{party:02x}")])
}

/// Where a member's [`crate::Clock`] lies.
pub fn clock(msp_id: &MspId) -> String {
    composite(CLOCK, &[msp_id.as_str()])
}

/// Where the identifier of an open proposal lies: each proposer has so many places, and a new proposal takes one whose
/// job is open no more.
pub fn open_proposal(msp_id: &MspId, place: u32) -> String {
    composite("open", &[msp_id.as_str(), &format!("{place:02x}")])
}

/// Where a [`crate::Record`] lies: type, job, phase, round, party, chunk.
pub fn record(id: &JobId, slot: &Slot) -> String {
    of_slot(RECORD, id, slot)
}

/// Where the SHA-256 of a record lies, written with it: what a barrier reads, instead of records of up to 256 KiB.
pub fn posted(id: &JobId, slot: &Slot) -> String {
    of_slot(POSTED, id, slot)
}

fn of_slot(object_type: &str, id: &JobId, slot: &Slot) -> String {
    composite(
        object_type,
        &[
            &id.to_string(),
            slot.phase.as_str(),
            &format!("{:08x}", slot.round),
            &format!("{:02x}", slot.party),
            &format!("{:08x}", slot.chunk),
        ],
    )
}

/// Where the [`crate::KeyEntry`] of a threshold key lies. The job is in it because a public key is known before it is
/// entered: nobody can take the place of those who made it.
pub fn threshold_key(fingerprint: &Fingerprint, job: &JobId) -> String {
    composite(THRESHOLD_KEY, &[&fingerprint.to_string(), &job.to_string()])
}

/// Where a [`crate::AnalystKey`] lies: analyst, fingerprint.
pub fn analyst_key(analyst: &Digest, fingerprint: &Fingerprint) -> String {
    composite(ANALYST_KEY, &[&analyst.to_string(), &fingerprint.to_string()])
}

/// Where a [`crate::SharedTable`] lies: analyst, provider, table; an analyst's own are a range.
pub fn shared_table(analyst: &Digest, provider: &Digest, table: &Digest) -> String {
    composite(SHARED_TABLE, &[analyst, provider, table].map(Digest::to_string).each_ref().map(String::as_str))
}

/// Where a [`crate::Instance`] lies: analyst, provider, table, row.
pub fn instance(analyst: &Digest, provider: &Digest, table: &Digest, row: u32) -> String {
    let parts = [analyst.to_string(), provider.to_string(), table.to_string(), format!("{row:08x}")];
    composite(INSTANCE, &parts.each_ref().map(String::as_str))
}

/// Where a probe lies: a value without meaning with which a client shows that the ledger commits what it sends.
pub fn probe(msp_id: &MspId, name: &str) -> String {
    composite("probe", &[msp_id.as_str(), name])
}

/// The object type of a composite key, e.g. [`RECORD`].
pub fn object_type(key: &str) -> Option<&str> {
    key.strip_prefix(SEPARATOR)?.split(SEPARATOR).next()
}

/// What a composite key says first after its object type: the job, of [`JOB`], [`ACCEPTANCE`], [`RECORD`], [`REMINDER`] and
/// [`ENDING`].
pub fn subject(key: &str) -> Option<&str> {
    key.strip_prefix(SEPARATOR)?.split(SEPARATOR).nth(1)
}
