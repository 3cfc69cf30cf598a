//! Which member deviated in a generation that failed: members open their job secrets, and their records are made again.
//!
//! Every record of a member is a function of its job secret and the records before it. A generation that was aborted
//! has made no key: its candidates are used for nothing, and neither is the secret, so it can be opened. The secret
//! gives the HPKE key that the member published first, so no member can open another one; and it gives all its records, so
//! a record that differs is one that the protocol does not prescribe.
//!
//! A refresh is never opened. What its dealers sealed would give away their shares of a key that goes on.

use crate::{Generation, Private};
use protocol::{Committed, Fault, JobSecret, Protocol, Role, Status, StepRng, possession, sealed::Keys};
use records::{Body, Bytes, Job, JobId, Kind, MemberKeys, MspId, Phase, Slot};
use serde::{Deserialize, Serialize};
use std::fmt;

const OPENING_VERSION: u32 = 1;

/// A member's job secret, to be shown to the auditors of a generation that failed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    version: u32,
    job: JobId,
    msp_id: MspId,
    secret: Bytes,
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opening({}, {}, …)", self.job, self.msp_id)
    }
}

impl Opening {
    /// Of the job and the member with this MSP identifier.
    pub fn new(job: &JobId, msp_id: &MspId, secret: &JobSecret) -> Self {
        let secret = Bytes(secret.expose().to_vec());
        Self { version: OPENING_VERSION, job: job.clone(), msp_id: msp_id.clone(), secret }
    }

    /// Whose it is said to be.
    pub fn msp_id(&self) -> &MspId {
        &self.msp_id
    }

    /// The party of a job whose opening this is, and the secret.
    fn of(&self, job: &Job) -> Result<(usize, JobSecret), Fault> {
        let unfit = |reason: String| Fault::Input(format!("the opening of {}: {reason}", self.msp_id));
        if self.version != OPENING_VERSION {
            return Err(unfit(format!("version {} is not {OPENING_VERSION}", self.version)));
        }
        if self.job != job.id {
            return Err(unfit(format!("it is of job {}", self.job)));
        }
        let party = job.params.party(&self.msp_id);
        let party = party.ok_or_else(|| unfit("not a participant".into()))?;
        let secret = self.secret.0.as_slice().try_into().map_err(|_| unfit("not 32 bytes".into()))?;
        Ok((party as usize, JobSecret::new(secret)))
    }
}

/// What an audit says of one member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every record that was looked at is the one that its secret and the records before it give.
    Prescribed,
    /// This record is another one.
    Deviates {
        /// Where it was posted.
        slot: Slot,
        /// The transaction that posted it.
        transaction: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What was given as its opening does not give the HPKE key that it posted.
    WrongOpening,
    /// It posted records and opened nothing.
    Unopened,
}

/// A member after an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Audited {
    /// Its index.
    pub party: u32,
    /// Its MSP identifier.
    pub msp_id: MspId,
    /// How many of its records were made anew and are the same.
    pub records: u64,
    /// What came out.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What came out of an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Every member, by index.
    pub members: Vec<Audited>,
    /// Why the members could not go on, as it can be seen from the records. Records after that are not audited.
    pub fault: Option<String>,
    /// MSP identifiers of the members for whose records the job waits.
    pub waits_for: Vec<MspId>,
}

impl Findings {
    /// The members whose records are not all accounted for: who deviated, or cannot or will not show that it did not.
    pub fn unaccounted(&self) -> impl Iterator<Item = &Audited> {
        self.members.iter().filter(|member| member.verdict != Verdict::Prescribed)
    }
}

/// An audit under way: records are folded in the order of the ledger.
pub struct Audit {
    job: Job,
    observer: Generation,
    members: Vec<Member>,
    fault: Option<Fault>,
}

/// A member whose records are made anew.
struct Member {
    given: Vec<JobSecret>,
    /// Its side of the protocol, as long as it is followed.
    own: Option<Generation>,
    private: Option<Private>,
    keys: Option<MemberKeys>,
    /// Where it posted last, and in which transaction.
    last: Option<(Slot, String)>,
    records: u64,
    verdict: Option<Verdict>,
}

impl Audit {
    /// Before the first record. Of several openings of one member the one counts that gives its HPKE key.
    ///
    /// # Errors
    /// A job that is no key generation, or an opening of another job, of a stranger, or damaged.
    pub fn new(job: &Job, openings: &[Opening]) -> Result<Self, Fault> {
        if !matches!(job.params.kind, Kind::KeyGeneration(_)) {
            let kind = job.params.kind.name();
            return Err(Fault::Input(format!(
                "a {kind} job cannot be audited by opening, only a generation"
            )));
        }
        let mut given = vec![Vec::new(); job.params.parties() as usize];
        for opening in openings {
            let (party, secret) = opening.of(job)?;
            given[party].push(secret);
        }
        let member = |(party, given): (u32, Vec<JobSecret>)| {
            let own = match given.is_empty() {
                true => None,
                false => Some(Generation::start(job, Role::Member(party))?),
            };
            Ok(Member { given, own, private: None, keys: None, last: None, records: 0, verdict: None })
        };
        let members = (0..).zip(given).map(member).collect::<Result<_, Fault>>()?;
        let observer = Generation::start(job, Role::Observer)?;
        Ok(Self { job: job.clone(), observer, members, fault: None })
    }

    /// Takes the next record of the job.
    pub fn apply(&mut self, committed: &Committed) {
        let slot = committed.record.slot;
        if self.fault.is_some() || slot.party as usize >= self.members.len() {
            return;
        }
        self.members[slot.party as usize].check(&self.job, committed);
        if let Err(fault) = self.observer.apply(committed) {
            if let Fault::Participant { party, reason, .. } = &fault {
                self.found(*party, reason, slot.phase);
            }
            self.fault = Some(fault);
            return;
        }
        for own in self.members.iter_mut().filter_map(|member| member.own.as_mut()) {
            // What the observer could fold, a member can.
            let _ = own.apply(committed);
        }
    }

    /// What the observer says against a party. Of two that posted one key the records may not tell whose it is; who
    /// opened the secret behind it made it, and the other one copied.
    fn found(&mut self, party: u32, reason: &str, phase: Phase) {
        let accounted = |member: &Member| member.private.is_some() && member.verdict.is_none();
        let named = &self.members[party as usize];
        if phase == Phase::Keys && accounted(named) {
            let copied = |other: &Member| !accounted(other) && other.shares_a_key_with(named);
            if let Some(copier) = self.members.iter().position(copied) {
                let own = &self.job.params.participants[party as usize];
                self.members[copier].deviates(format!("its key is that of {own}, who opened its secret"));
                return;
            }
        }
        self.members[party as usize].deviates(reason.to_owned());
    }

    /// What came out.
    pub fn finish(self) -> Findings {
        let names = &self.job.params.participants;
        let waiting = match (&self.fault, self.observer.status()) {
            (None, Status::Running { waiting_for }) => waiting_for,
            _ => Vec::new(),
        };
        let waits = |party: u32| waiting.iter().any(|slot| slot.party == party);
        let waits_for = (0..).zip(names).filter(|(party, _)| waits(*party)).map(|(_, name)| name.clone());
        let waits_for = waits_for.collect();
        let audited = |((party, msp_id), member): ((u32, &MspId), Member)| {
            let unopened = member.last.is_some() && member.private.is_none();
            let verdict =
                member.verdict.unwrap_or(if unopened { Verdict::Unopened } else { Verdict::Prescribed });
            Audited { party, msp_id: msp_id.clone(), records: member.records, verdict }
        };
        let members = (0..).zip(names).zip(self.members).map(audited).collect();
        Findings { members, fault: self.fault.map(|fault| fault.to_string()), waits_for }
    }
}

impl Member {
    /// Whether both posted the same HPKE key or own modulus.
    fn shares_a_key_with(&self, other: &Self) -> bool {
        let (Some(one), Some(other)) = (&self.keys, &other.keys) else { return false };
        let hpke = |keys: &MemberKeys| keys.hpke.0.as_slice().try_into().ok();
        let same = hpke(one).zip(hpke(other)).is_some_and(|(one, other)| possession::same(&one, &other));
        same || (one.paillier.is_some() && one.paillier == other.paillier)
    }

    /// At its last record.
    fn deviates(&mut self, reason: String) {
        let Some((slot, transaction)) = self.last.clone() else { return };
        self.verdict.get_or_insert(Verdict::Deviates { slot, transaction, reason });
        self.own = None;
    }

    /// Compares a record of this member with what its secret and the records before it give.
    fn check(&mut self, job: &Job, committed: &Committed) {
        let record = &committed.record;
        self.last = Some((record.slot, committed.tx_id.clone()));
        if let (Phase::Keys, Body::Keys(keys), None) = (record.slot.phase, &record.body, &self.private) {
            self.keys = Some(keys.clone());
            let gives = |secret: &JobSecret| Keys::derive(secret, &job.id).public() == *keys.hpke.0;
            match self.given.iter().find(|secret| gives(secret)) {
                Some(secret) => self.private = Some(Private { secret: secret.clone(), share: None }),
                None if self.given.is_empty() => {}
                None => {
                    self.verdict = Some(Verdict::WrongOpening);
                    self.own = None;
                }
            }
        }
        let (Some(private), Some(own)) = (&self.private, &self.own) else { return };
        // What is not due the observer refuses.
        if !own.pending().contains(&record.slot) {
            return;
        }
        let inputs = own.input_digest(record.slot, private);
        let mut rng = StepRng::new(&private.secret, &job.id, record.slot, &inputs);
        match own.produce(record.slot, private, &mut rng) {
            Ok(body) if is_same(&record.body, &body) => self.records += 1,
            Ok(_) => self.deviates("not what its secret and the records before give".into()),
            Err(fault) => self.deviates(format!("nothing could be posted here: {fault}")),
        }
    }
}

/// Whether a body was posted as it is made today: keys without proofs are of before there were any.
fn is_same(posted: &Body, made: &Body) -> bool {
    match (posted, made) {
        (Body::Keys(posted), Body::Keys(made)) if posted.possession.is_none() => {
            *posted == MemberKeys { possession: None, ..made.clone() }
        }
        _ => posted == made,
    }
}
