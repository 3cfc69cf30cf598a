//! Threshold keys that came out of jobs.

use crate::{
    ContractError, WorldState,
    call::{Answer, Call, json, refuse, stored},
    router::{Domain, function},
};
use records::{Body, Code, Fingerprint, Job, JobParams, KeyEntry, MspId, key};

/// Most entries of one public key that are looked at when a job names it.
const MAX_ENTRIES: usize = 4096;

/// The functions on keys.
pub(crate) const KEYS: Domain = Domain {
    name: "keys",
    functions: &[
        function("get", "key", |call, world| call.key(world)),
        function("list", "keys", |call, world| call.keys(world)),
    ],
};

impl Call<'_> {
    fn key(&self, world: &mut dyn WorldState) -> Answer {
        let fingerprint: Fingerprint = self.named(0, "key")?;
        match entries(world, &fingerprint)? {
            entries if entries.is_empty() => refuse(Code::UnknownKey, format!("no key {fingerprint}")),
            entries => Ok(json(&entries)),
        }
    }

    fn keys(&self, world: &mut dyn WorldState) -> Answer {
        self.page(world, key::THRESHOLD_KEY, &[], 0, |_, bytes| stored::<KeyEntry>(bytes))
    }
}

/// For what a job wants to use a key.
pub(crate) struct Use<'a> {
    /// The field that is named where the key does not fit.
    pub(crate) field: &'static str,
    /// What the key has to be for.
    pub(crate) purpose: &'a str,
    /// Whether a key is taken that the ledger does not know.
    pub(crate) may_be_dealt: bool,
    /// Whether it has the members, bits and quorum that the job needs.
    pub(crate) fits: &'a dyn Fn(&KeyEntry) -> bool,
}

/// Whether a job may use the key that it names: one of these members, and for this purpose.
pub(crate) fn check(
    world: &mut dyn WorldState,
    params: &JobParams,
    fingerprint: &Fingerprint,
    used: &Use,
) -> Result<(), ContractError> {
    let mut entries = entries(world, fingerprint)?;
    // What strangers entered under this fingerprint is no concern of these participants.
    entries.retain(|entry| entry.members.iter().any(|member| params.participants.contains(member)));
    match entries.iter().map(|entry| unfit(entry, used)).min() {
        Some(None) => Ok(()),
        Some(Some(reason)) => refuse(Code::BadInput, reason),
        None if used.may_be_dealt => Ok(()),
        None => {
            let reason = format!("no key {fingerprint} was negotiated on this ledger by these participants");
            refuse(Code::UnknownKey, reason)
        }
    }
}

/// Why a job may not use a key.
fn unfit(entry: &KeyEntry, used: &Use) -> Option<String> {
    if entry.purpose != used.purpose {
        return Some(format!("key: it is for {}, not for {}", entry.purpose, used.purpose));
    }
    let (bits, quorum, members) = (entry.bits, entry.quorum, entry.members.join(", "));
    let field = used.field;
    (!(used.fits)(entry))
        .then(|| format!("{field}: the key has {bits} bits, for {quorum} of {members}, in this order"))
}

/// The entries of one fingerprint: whoever has seen a public key can enter it for another job, too.
pub(crate) fn entries(
    world: &mut dyn WorldState,
    fingerprint: &Fingerprint,
) -> Result<Vec<KeyEntry>, ContractError> {
    world
        .list(key::THRESHOLD_KEY, &[&fingerprint.to_string()], MAX_ENTRIES)?
        .iter()
        .map(|bytes| stored(bytes))
        .collect()
}

/// Keeps the key that came out of a job.
pub(crate) fn enter(
    world: &mut dyn WorldState,
    job: &Job,
    result: &Body,
    purpose: &str,
    members: Vec<MspId>,
    bits: u32,
    refreshes: Option<Fingerprint>,
) -> Result<(), ContractError> {
    let Body::Key(key) = result else {
        return Err(ContractError::State("a job about a key without one".into()));
    };
    let entry = KeyEntry {
        version: records::VERSION,
        fingerprint: key.fingerprint(),
        job: job.id.clone(),
        purpose: purpose.into(),
        members,
        quorum: key.quorum,
        collusion_bound: key.collusion_bound,
        bits,
        refreshes,
    };
    world.put(&key::threshold_key(&entry.fingerprint, &job.id), json(&entry))
}
