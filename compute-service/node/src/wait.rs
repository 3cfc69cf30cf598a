//! For whom or what a job waits, in a form for people and machines.

use gateway_client::{
    Call, CallError, Contract, Failure, Meaning, Stage, SubmitFailure, Submitted, UnderWay,
};
use records::{Deadlines, JobId, JobParams, JobView, MspId, Reminder, Slot, Waiting};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    mem::discriminant,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// After how long without progress it is said what a job waits for.
pub const SILENCE: Duration = Duration::from_secs(15);

/// After how long without a record those are reminded that owe one. It is before [`SILENCE`] is over, so that what is said
/// then is also about orderers that do not take the reminder.
pub fn grace(deadlines: &Deadlines) -> Duration {
    Duration::from_secs(10).min(Duration::from_secs(deadlines.step.into()) / 4)
}

/// With less free room than this, a disk is said to be nearly full.
pub const LITTLE_ROOM: u64 = 64 << 20;

/// Somebody or something that a job waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Cause {
    /// A participant's answer to the proposal.
    Answer {
        /// MSP identifier of the participant.
        member: MspId,
    },
    /// A participant's record.
    Record {
        /// MSP identifier of the participant.
        member: MspId,
        /// The record.
        slot: Slot,
    },
    /// The own node, which works.
    Work {
        /// The record that it makes.
        slot: Slot,
    },
    /// The own peer.
    Peer {
        /// Host and port.
        address: String,
        /// What it says, or that it does not.
        reason: String,
    },
    /// Peers or chaincode services that have to endorse.
    Endorsers {
        /// What they say.
        reason: String,
    },
    /// Orderers, or the way of blocks from them to the own peer.
    Ordering {
        /// The transaction that is endorsed and in no block.
        transaction: String,
        /// What the orderers say, where they say something.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A disk on the other side of the own peer.
    FullDisk {
        /// What was said.
        reason: String,
    },
    /// The own disk.
    Disk {
        /// The folder.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
    },
    /// A clock.
    Clock {
        /// What was said.
        reason: String,
    },
    /// A process of the ledger on this machine.
    Process {
        /// Its name.
        name: String,
        /// What it does instead of running.
        state: String,
    },
    /// Nobody is known to owe anything.
    Unknown,
}

impl Cause {
    /// What a failed call says is awaited.
    pub fn from_error(error: &CallError, address: &str) -> Self {
        let reason = || shortened(&error.to_string());
        let own_peer = || {
            let fault = error.fault.as_ref().map(|(_, fault)| fault.to_string());
            let reason = shortened(fault.as_deref().unwrap_or(&error.message));
            Self::Peer { address: address.to_owned(), reason }
        };
        match error.failure() {
            Failure::DiskFull => Self::FullDisk { reason: reason() },
            Failure::Refused(refusal) if refusal.meaning == Meaning::WrongClock => {
                Self::Clock { reason: reason() }
            }
            Failure::WrongClock => Self::Clock { reason: reason() },
            Failure::Refused(refusal) => Self::Peer {
                address: address.to_owned(),
                reason: format!("it lags behind: {}", refusal.detail),
            },
            _ if error.connection => own_peer(),
            Failure::TimedOut if error.details.is_empty() => own_peer(),
            _ => Self::Endorsers { reason: reason() },
        }
    }

    /// What a submission that is at this stage waits for; nothing where it is only under way.
    pub fn of_stage(stage: &Stage, address: &str) -> Option<Self> {
        Some(match stage {
            Stage::Endorsing => return None,
            Stage::NotEndorsed(error) => Self::from_error(error, address),
            Stage::Ordering { last: Some(error), .. }
                if error.connection || error.failure() == Failure::DiskFull =>
            {
                Self::from_error(error, address)
            }
            Stage::Ordering { transaction_id, last } => Self::Ordering {
                transaction: transaction_id.clone(),
                reason: last.as_ref().map(|error| shortened(&error.to_string())),
            },
        })
    }

    /// Whether it does not pass by itself, however long one waits.
    pub fn is_hopeless(&self) -> bool {
        matches!(self, Self::FullDisk { .. } | Self::Clock { .. })
    }

    /// Whether it is the same, whatever is said of it: that differs from try to try.
    pub fn is_like(&self, other: &Self) -> bool {
        match self {
            Self::Answer { .. } | Self::Record { .. } | Self::Work { .. } | Self::Process { .. } => {
                self == other
            }
            _ => discriminant(self) == discriminant(other),
        }
    }

    /// Those that the ledger shows to be awaited: whose answers are missing, or who is reminded of a record.
    pub fn on_ledger(view: &JobView, reminders: &[Reminder]) -> Vec<Self> {
        let names = &view.job.params.participants;
        let silent: Vec<Self> = unanswered(&view.job.params, |party| {
            view.acceptances.get(party as usize).is_some_and(Option::is_some)
        });
        if !silent.is_empty() {
            return silent;
        }
        let of = |reminder: &Reminder| {
            let member = names.get(reminder.slot.party as usize)?.clone();
            Some(Self::Record { member, slot: reminder.slot })
        };
        reminders.iter().filter_map(of).collect()
    }
}

/// The participants that have not accepted.
pub fn unanswered(params: &JobParams, has_accepted: impl Fn(u32) -> bool) -> Vec<Cause> {
    let silent = (0..).zip(&params.participants).filter(|(party, _)| !has_accepted(*party));
    silent.map(|(_, member)| Cause::Answer { member: member.clone() }).collect()
}

/// Foreign text for a line that people read.
fn shortened(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { member } => write!(f, "{member} has not answered the proposal"),
            Self::Record { member, slot } => write!(f, "{member} owes {slot}"),
            Self::Work { slot } => write!(f, "this node makes {slot}"),
            Self::Peer { address, reason } => write!(f, "the own peer at {address}: {reason}"),
            Self::Endorsers { reason } => write!(
                f,
                "no endorsements: {reason}; see whether the peers of the organisations and their chaincode services run"
            ),
            Self::Ordering { transaction, reason } => {
                let short = transaction.get(..12).unwrap_or(transaction);
                write!(f, "transaction {short}… is endorsed and in no block")?;
                if let Some(reason) = reason {
                    write!(f, " ({reason})")?;
                }
                f.write_str("; see whether the orderers run and have room on their disks")
            }
            Self::FullDisk { reason } => write!(f, "a disk is full: {reason}"),
            Self::Disk { path, free } => {
                write!(f, "{} MB are free on the disk of {}; make room", free >> 20, path.display())
            }
            Self::Clock { reason } => write!(f, "a clock is wrong: {reason}"),
            Self::Process { name, state } => write!(f, "the ledger's process {name} {state}"),
            Self::Unknown => f.write_str(
                "no participant is reminded of a record; see whether the nodes of the organisations run (`confab node`)",
            ),
        }
    }
}

/// A job that does not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// When it went on last: seconds since 1970.
    pub since: u64,
    /// Who or what is awaited.
    pub causes: Vec<Cause>,
}

impl Wait {
    /// Why it does not go on, without since when.
    pub fn reason(&self) -> String {
        self.causes.iter().map(Cause::to_string).collect::<Vec<_>>().join("; ")
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = now().saturating_sub(self.since);
        let (h, m, s) = (self.since / 3600 % 24, self.since / 60 % 60, self.since % 60);
        write!(f, "waiting for {} since {h:02}:{m:02}:{s:02} UTC: {}", lasting(seconds), self.reason())
    }
}

fn lasting(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Seconds since 1970, as this machine's clock says.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |duration| duration.as_secs())
}

/// Bytes that are free on the disk of a folder; none where the system does not say.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// A disk with little room.
pub fn little_room(path: &Path) -> Option<Cause> {
    let free = free_bytes(path).filter(|free| *free < LITTLE_ROOM)?;
    Some(Cause::Disk { path: path.to_path_buf(), free })
}

/// Asks the own peer for whom the ledger shows a job to wait.
///
/// # Errors
/// Who or what keeps the peer from saying so.
pub async fn waiting(contract: &Contract, job: &JobId) -> Result<Waiting, Cause> {
    let address = contract.gateway().address();
    let answer = match contract.evaluate(Call::new("waiting").arg(job.to_string())).await {
        Ok(answer) => answer,
        Err(error) => {
            let other = || Cause::Peer { address: address.to_owned(), reason: shortened(&error.to_string()) };
            return Err(error.call().map_or_else(other, |call| Cause::from_error(call, address)));
        }
    };
    let other =
        |e| Cause::Peer { address: address.to_owned(), reason: format!("its answer cannot be read: {e}") };
    serde_json::from_slice(&answer).map_err(other)
}

/// What submissions wait for that have been under way for longer than usual; one of a kind, for all wait for the same peer
/// or the same orderers.
pub fn causes(under_way: &UnderWay, address: &str) -> Vec<Cause> {
    const USUAL: Duration = Duration::from_secs(4);
    let mut causes: Vec<Cause> = Vec::new();
    for (lasts, stage) in under_way.stages() {
        if let Some(cause) = Cause::of_stage(&stage, address).filter(|_| lasts > USUAL) {
            add(&mut causes, cause);
        }
    }
    causes
}

/// Whether the same is awaited.
pub fn same(one: &[Cause], other: &[Cause]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_like(other))
}

/// Adds a cause unless there is one of its kind.
pub fn add(causes: &mut Vec<Cause>, cause: Cause) {
    if causes.iter().all(|known| discriminant(known) != discriminant(&cause)) {
        causes.push(cause);
    }
}

/// Submits a call and, where that takes long, says what it waits for.
///
/// # Errors
/// As [`gateway_client::Submitter::submit`].
pub async fn submit(
    contract: &Contract,
    call: Call,
    retry_timeout: Duration,
    mut say: impl FnMut(&Wait),
) -> Result<Submitted, SubmitFailure> {
    let under_way = UnderWay::default();
    let submitter = contract.watched(&under_way).submitter();
    let since = now();
    let submission = submitter.submit(call, retry_timeout);
    tokio::pin!(submission);
    let mut said = None;
    loop {
        if let Ok(done) = tokio::time::timeout(SILENCE, &mut submission).await {
            return done;
        }
        let address = contract.gateway().address();
        let silent = || Cause::Peer { address: address.to_owned(), reason: "it has not answered yet".into() };
        let cause = causes(&under_way, address).pop().unwrap_or_else(silent);
        // What is said of it differs from try to try.
        if said != Some(discriminant(&cause)) {
            said = Some(discriminant(&cause));
            say(&Wait { since, causes: vec![cause] });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gateway_client::{GrpcCode, Operation, PeerDetail};
    use records::{Code, Phase, Refusal};

    fn call(code: GrpcCode, message: &str, details: &[&str], connection: bool) -> CallError {
        let detail = |message: &&str| PeerDetail {
            address: "peer0.org2:7051".into(),
            msp_id: "Org2MSP".parse().unwrap(),
            message: (*message).into(),
        };
        CallError {
            operation: Operation::Endorse,
            transaction_id: "ab".repeat(32),
            code,
            message: message.into(),
            details: details.iter().map(detail).collect(),
            connection,
            fault: None,
            refusal: details.iter().find_map(|text| crate::ledger::options().refusals.find(text)),
        }
    }

    #[test]
    fn a_failed_call_says_who_is_awaited() {
        let of = |code, message: &str, details: &[&str], connection| {
            Cause::from_error(&call(code, message, details, connection), "own:7051")
        };
        let refusal = Refusal::new(Code::WrongTime, "1201 s off").to_string();
        let full = "write wal: no space left on device";
        let away = "code = Unavailable desc = connection refused";
        let found = [
            of(GrpcCode::Unavailable, "transport error", &[], true),
            of(GrpcCode::DeadlineExceeded, "no answer within 5s", &[], false),
            of(GrpcCode::Aborted, "failed to collect", &[away], false),
            of(GrpcCode::Unavailable, full, &[], false),
            of(GrpcCode::Aborted, "failed to endorse", &[&refusal], false),
        ];
        assert!(
            matches!(&found[0], Cause::Peer { address, reason } if address == "own:7051" && reason == "transport error")
        );
        assert!(matches!(&found[1], Cause::Peer { .. }));
        assert!(
            matches!(&found[2], Cause::Endorsers { reason } if reason.contains("peer0.org2:7051 of Org2MSP"))
        );
        assert!(matches!(&found[3], Cause::FullDisk { .. }) && found[3].is_hopeless());
        assert!(
            matches!(&found[4], Cause::Clock { reason } if reason.contains("1201 s off"))
                && found[4].is_hopeless()
        );
        assert!(!found[0].is_hopeless() && !found[2].is_hopeless());
    }

    #[test]
    fn what_is_endorsed_waits_for_the_orderers() {
        let at = |last| Stage::Ordering { transaction_id: "cd".repeat(32), last };
        let stage = |stage: &Stage| Cause::of_stage(stage, "own:7051");
        assert_eq!(stage(&Stage::Endorsing), None);
        let text = stage(&at(None)).unwrap().to_string();
        assert!(
            text.starts_with(
                "transaction cdcdcdcdcdcd… is endorsed and in no block; see whether the orderers"
            ),
            "{text}"
        );
        let down = call(
            GrpcCode::Unavailable,
            "no orderers could successfully process transaction",
            &["EOF"],
            false,
        );
        let text = stage(&at(Some(down))).unwrap().to_string();
        assert!(text.contains("no orderers could") && text.contains("in no block"), "{text}");
        let gone = call(GrpcCode::Unavailable, "transport error", &[], true);
        assert!(matches!(stage(&at(Some(gone))), Some(Cause::Peer { .. })));
    }

    #[test]
    fn a_wait_says_since_when() {
        let slot = Slot { phase: Phase::Iv, round: 3, party: 1, chunk: 0 };
        let since = now() - 25;
        let wait = Wait { since, causes: vec![Cause::Record { member: "Org2MSP".parse().unwrap(), slot }] };
        let text = wait.to_string();
        assert!(text.starts_with("waiting for 2"), "{text}");
        let (h, m, s) = (since / 3600 % 24, since / 60 % 60, since % 60);
        assert!(
            text.ends_with(&format!(
                "since {h:02}:{m:02}:{s:02} UTC: Org2MSP owes iv round 3 party 1 chunk 0"
            )),
            "{text}"
        );
        assert_eq!(
            [lasting(119), lasting(120), lasting(7_200), lasting(200_000)],
            ["119 s", "2 min", "2 h", "2 days"]
        );
    }

    #[test]
    fn room_is_looked_for_where_the_folder_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(free_bytes(dir.path()).unwrap() > 0);
        assert_eq!(free_bytes(&dir.path().join("none")), None);
    }
}
