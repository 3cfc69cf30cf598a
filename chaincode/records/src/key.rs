//! Keys of the world state: Fabric composite keys, one for each record, written once.

use crate::{Digest, JobId, Slot};

const SEPARATOR: char = '\0';

fn composite(kind: &str, attributes: &[&str]) -> String {
    let mut key = format!("{SEPARATOR}{kind}{SEPARATOR}");
    for attribute in attributes {
        key.push_str(attribute);
        key.push(SEPARATOR);
    }
    key
}

/// Kind of the composite keys under which jobs lie.
pub const JOB: &str = "job";
/// Kind of the composite keys under which acceptances lie.
pub const ACCEPTANCE: &str = "acceptance";
/// Kind of the composite keys under which records lie.
pub const RECORD: &str = "record";
/// Kind of the composite keys that say that a record is there.
pub const POSTED: &str = "posted";
/// Kind of the composite keys under which endings lie.
pub const ENDING: &str = "ending";
/// Kind of the composite keys under which reminders lie.
pub const REMINDER: &str = "reminder";
/// Kind of the composite keys under which the members' clocks lie.
pub const CLOCK: &str = "clock";

/// Kind of the composite keys under which threshold keys lie.
pub const THRESHOLD_KEY: &str = "key";

/// Kind of the composite keys under which analysts' public keys lie.
pub const ANALYST_KEY: &str = "analyst-key";
/// Kind of the composite keys under which tables lie that are shared with an analyst.
pub const SHARED_TABLE: &str = "shared-table";
/// Kind of the composite keys under which shared rows lie.
pub const INSTANCE: &str = "instance";

/// Where a [`crate::Job`] lies.
pub fn job(id: &JobId) -> String {
    composite(JOB, &[&id.0])
}

/// Where a [`crate::Acceptance`] lies.
pub fn acceptance(id: &JobId, party: u32) -> String {
    composite(ACCEPTANCE, &[&id.0, &format!("{party:02x}")])
}

/// Where a [`crate::Ending`] lies.
pub fn ending(id: &JobId) -> String {
    composite(ENDING, &[&id.0])
}

/// Where the [`crate::Reminder`] of a participant lies.
pub fn reminder(id: &JobId, party: u32) -> String {
    composite(REMINDER, &[&id.0, &format!("{party:02x}")])
}

/// Where a member's [`crate::Clock`] lies.
pub fn clock(msp_id: &str) -> String {
    composite(CLOCK, &[msp_id])
}

/// Where the identifier of an open proposal lies: each proposer has so many places, and a new proposal takes one whose
/// job is open no more.
pub fn open_proposal(msp_id: &str, place: u32) -> String {
    composite("open", &[msp_id, &format!("{place:02x}")])
}

/// Where a [`crate::Record`] lies: type, job, phase, round, party, chunk.
pub fn record(id: &JobId, slot: &Slot) -> String {
    of_slot(RECORD, id, slot)
}

/// Where the SHA-256 of a record lies, written with it: what a barrier reads, instead of records of up to 256 KiB.
pub fn posted(id: &JobId, slot: &Slot) -> String {
    of_slot(POSTED, id, slot)
}

fn of_slot(kind: &str, id: &JobId, slot: &Slot) -> String {
    composite(
        kind,
        &[
            &id.0,
            slot.phase.as_str(),
            &format!("{:08x}", slot.round),
            &format!("{:02x}", slot.party),
            &format!("{:08x}", slot.chunk),
        ],
    )
}

/// Where the [`crate::KeyEntry`] of a threshold key lies. The job is in it because a public key is known before it is
/// entered: nobody can take the place of those who made it.
pub fn threshold_key(fingerprint: &str, job: &JobId) -> String {
    composite(THRESHOLD_KEY, &[fingerprint, &job.0])
}

/// Where a [`crate::AnalystKey`] lies: analyst, fingerprint.
pub fn analyst_key(analyst: &Digest, fingerprint: &Digest) -> String {
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
pub fn probe(msp_id: &str, name: &str) -> String {
    composite("probe", &[msp_id, name])
}

/// The kind of a composite key, e.g. [`RECORD`].
pub fn kind(key: &str) -> Option<&str> {
    key.strip_prefix(SEPARATOR)?.split(SEPARATOR).next()
}

/// What a composite key says first after its kind: the job, of [`JOB`], [`ACCEPTANCE`], [`RECORD`], [`REMINDER`] and
/// [`ENDING`].
pub fn subject(key: &str) -> Option<&str> {
    key.strip_prefix(SEPARATOR)?.split(SEPARATOR).nth(1)
}
