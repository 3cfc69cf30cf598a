//! Jobs that make threshold keys, on a node.

use super::{NodeJob, Replay, Replayed, Report, Seconds, Told};
use crate::{
    config::Config,
    consent::{Below, Review, Weigh, of},
    driver::{DriverError, Input, Progress},
    keyring::Keyring,
    report,
    worker::{Ended, Traffic, Worker},
};
use key_generation::{Generation, Output, Private, Refresh};
use paillier::KeyShare;
use protocol::{Fault, Protocol, Role};
use records::{Collusion, Fingerprint, Job, KeyGeneration, KeyRefresh, Kind, Outcome, Phase, Termination};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    sync::{Arc, mpsc::Receiver},
};

/// What a node keeps of a finished job that made a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Termination,
    /// Fingerprint of the key, hexadecimal.
    pub key: Fingerprint,
    /// Where the own share lies; an old member who leaves has none.
    pub share: Option<PathBuf>,
    /// Candidates for N that were opened.
    pub candidates: u64,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
}

impl Told for KeyReport {
    fn ending(&self) -> &Termination {
        &self.ending
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("key         {}", self.key)];
        lines.extend(self.share.iter().map(|share| format!("own share   {}", share.display())));
        lines
    }
}

impl NodeJob for KeyGeneration {
    fn check(&self, _: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault> {
        Generation::start(job, Role::Member(party)).map(|_| None)
    }

    fn run(&self, worker: &Worker, inputs: &Receiver<Input>) -> Result<Ended, DriverError> {
        make_key::<Generation>(worker, inputs)
    }

    /// Of one that came to no key: to be opened should somebody ask who spoilt it.
    fn keeps_secret(&self, ending: &Termination) -> bool {
        ending.outcome != Outcome::Finished
    }

    fn review(&self, weigh: &Weigh, review: &mut Review) {
        let parties = weigh.params.parties();
        let bound = self.collusion_bound(parties);
        let against = match self.against {
            Collusion::Minority => "minority",
            Collusion::AllButOne => "all-but-one",
        };
        review.parameters = vec![
            ("purpose".into(), self.purpose.clone()),
            ("key".into(), format!("{} bits", self.key_bits)),
            ("quorum".into(), of(self.quorum, parties)),
            (
                "against".into(),
                format!("{against}: {bound} of {parties} together learn nothing of the factors"),
            ),
        ];
        weigh.key_bits(self.key_bits, review);
        weigh.quorum(self.quorum, parties, review);
        weigh.against(bound, parties, review);
        review.reveals = vec![
            "nothing of any data: a key is made, with which later jobs are encrypted".into(),
            report::pooled(Some(bound), self.quorum, "ciphertext under the key, past and future"),
            match self.against {
                Collusion::AllButOne => "to any member that deviates, by an offer that is too long or an own modulus of \
                                         another form: another member's part of the factors; the others do not notice",
                Collusion::Minority => "a member that deviates can spoil the negotiation; an audit names it afterwards",
            }
            .into(),
        ];
    }

    fn subject(&self) -> &'static str {
        "the negotiation of a threshold key"
    }

    fn extent(&self) -> String {
        "key-generation".into()
    }

    fn is_open_ended(&self) -> bool {
        true
    }

    fn step(&self, progress: &Progress) -> Option<String> {
        let is_sieved = progress.phase == Phase::SieveShares;
        is_sieved.then(|| format!("negotiating a threshold key: batch {} of candidates", progress.round + 1))
    }

    fn observe(&self, job: &Job) -> Result<Box<dyn Replayed>, Fault> {
        Replay::<Generation>::start(job, Generation::proofs, |_| 0)
    }
}

impl NodeJob for KeyRefresh {
    fn check(&self, config: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault> {
        Refresh::start(job, Role::Member(party))?;
        dealt_with(config, job, party).map(|_| None)
    }

    fn run(&self, worker: &Worker, inputs: &Receiver<Input>) -> Result<Ended, DriverError> {
        make_key::<Refresh>(worker, inputs)
    }

    fn review(&self, weigh: &Weigh, review: &mut Review) {
        let (members, old) = (self.members.len() as u32, self.dealers.len() as u32);
        let names = |parties: &mut dyn Iterator<Item = u32>| {
            parties.map(|party| weigh.name(party)).collect::<Vec<_>>().join(", ")
        };
        review.parameters = vec![
            ("purpose".into(), self.purpose.clone()),
            ("key".into(), weigh.key_shown(Some(self.key), self.key_bits)),
            ("dealers".into(), names(&mut self.dealers.iter().map(|dealer| dealer.party))),
            ("new members".into(), names(&mut self.members.iter().copied())),
            ("quorum".into(), format!("{}, before {}", of(self.quorum, members), of(old, self.old_parties))),
        ];
        weigh.key_bits(self.key_bits, review);
        weigh.quorum(self.quorum, members, review);
        if self.quorum < old {
            let minimum = format!("{old}, as many as before");
            review.below.push(Below { setting: "quorum".into(), job: of(self.quorum, members), minimum });
        }
        // The key stays as it was made, for as many as had it.
        weigh.bound(members.max(self.old_parties), review);
        review.reveals = vec![
            "nothing of any data: the same key is shared anew".into(),
            format!(
                "any {old} old shares together still open everything under this key, that of later jobs too"
            ),
            report::pooled(weigh.key_bound(), self.quorum, "ciphertext under the key, of earlier jobs too"),
        ];
    }

    fn subject(&self) -> &'static str {
        "the refresh of a threshold key"
    }

    fn extent(&self) -> String {
        "key-refresh".into()
    }

    fn observe(&self, job: &Job) -> Result<Box<dyn Replayed>, Fault> {
        Replay::<Refresh>::start(job, Refresh::proofs, |_| 0)
    }
}

/// A key generation or refresh. The share is on the disk before the report, without which the job would be taken
/// up again.
fn make_key<P: Protocol<Private = Private, Output = Output>>(
    worker: &Worker,
    inputs: &Receiver<Input>,
) -> Result<Ended, DriverError> {
    let secret = worker.store.secret(&worker.job.id)?;
    let share = match dealt_with(&worker.config, &worker.job, worker.party) {
        Ok(share) => share,
        // The old share may be gone when only the new one is left to be kept.
        Err(_) if worker.has_finished()? => None,
        Err(fault) => return worker.give_up(inputs, fault),
    };
    let private = Arc::new(Private { secret, share });
    let finished = worker.drive::<P>(inputs, private.clone())?;
    let (Some(output), Outcome::Finished) = (&finished.output, &finished.ending.outcome) else {
        return Ok((finished.ending, None));
    };
    let kept = match output.is_member(worker.party) {
        // An old member who leaves has nothing to keep.
        false => Ok(None),
        true => output
            .share(&worker.job, worker.party, &private)
            .map_err(|e| e.to_string())
            .and_then(|share| Keyring::open(&worker.config).add(&share).map(Some).map_err(|e| e.to_string())),
    };
    let share = match kept {
        Ok(share) => share,
        Err(reason) => {
            tracing::error!(
                job = ?worker.job.id,
                "the own share is not on the disk: {reason}. Mend that and start the node again: it makes the share \
                 from its database, which must not be deleted before"
            );
            return Ok((finished.ending, None));
        }
    };
    let report = KeyReport {
        job: worker.job.clone(),
        party: worker.party,
        ending: finished.ending.clone(),
        key: protocol::forms::fingerprint(&output.key),
        share,
        candidates: output.candidates,
        seconds: finished.seconds,
        elapsed: worker.elapsed(),
        traffic: worker.poster.traffic(),
    };
    let report = Box::new(report);
    let report = match &worker.job.params.kind {
        Kind::KeyRefresh(_) => Report::KeyRefresh(report),
        _ => Report::KeyGeneration(report),
    };
    Ok((finished.ending, Some(report)))
}

/// The old share of a party that deals in a refresh.
fn dealt_with(config: &Config, job: &Job, party: u32) -> Result<Option<KeyShare>, Fault> {
    let Kind::KeyRefresh(refresh) = &job.params.kind else { return Ok(None) };
    if !refresh.dealers.iter().any(|dealer| dealer.party == party) {
        return Ok(None);
    }
    let share =
        Keyring::open(config).find(&refresh.key.to_string()).map_err(|e| Fault::Input(e.to_string()))?;
    key_generation::check_share(refresh, party, &share)?;
    Ok(Some(share))
}
