//! Means and standard deviations over everybody's rows, on a node.

use super::{NodeJob, Replay, Replayed, Report, Seconds, Told, Wanted, Work};
use crate::{
    config::{Config, Data},
    consent::{Review, Weigh, of},
    data::{self, WantedKey},
    driver::{DriverError, Input},
    keyring::Keyring,
    proposal, report,
    worker::{Ended, Traffic, Worker},
};
use dataset::table::{Columns, Overview, Table};
use protocol::Fault;
use records::{
    Job, JobParams, Kind, Phase, Termination,
    jobs::{LEAST_ROWS, Mean, STATISTICS},
};
use serde::{Deserialize, Serialize};
use statistics::{ColumnSummary, OwnSums, Private};
use std::sync::{Arc, mpsc::Receiver};

/// What a node keeps of a finished job of means.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MeanReport {
    /// The job.
    pub job: Job,
    /// The node's party index.
    pub party: u32,
    /// How it ended.
    pub ending: Termination,
    /// What the organisation's table holds of the job's columns.
    pub table: Overview,
    /// Own rows that count.
    pub own_rows: u64,
    /// Own rows that do not, because one of the columns has a gap there.
    pub left_out: u64,
    /// Rows of all participants that count.
    pub rows: u64,
    /// Mean and standard deviation of each column over them.
    pub columns: Vec<ColumnSummary>,
    /// What the job reveals, in words.
    pub reveals: Vec<String>,
    /// Work.
    pub seconds: Seconds,
    /// Seconds from acceptance to the end, since the node was started.
    pub elapsed: f64,
    /// Ledger traffic.
    pub traffic: Traffic,
}

impl Told for MeanReport {
    fn ending(&self) -> &Termination {
        &self.ending
    }

    fn lines(&self) -> Vec<String> {
        let gaps = match self.left_out {
            0 => String::new(),
            rows => format!("; {rows} more have gaps"),
        };
        let mut lines = vec![format!("rows        {}, {} of them own{gaps}", self.rows, self.own_rows)];
        lines.extend([String::new(), format!("{:<24} {:>20} {:>20}", "column", "mean", "deviation")]);
        let row = |c: &ColumnSummary| format!("{:<24} {:>20} {:>20}", c.column, c.mean, c.deviation);
        lines.extend(self.columns.iter().map(row));
        lines.extend([String::new(), "what this job reveals".into()]);
        lines.extend(self.reveals.iter().map(|line| format!("  - {line}")));
        lines
    }
}

/// What a party brings.
struct Loaded {
    private: Private,
    digest: [u8; 32],
    overview: Overview,
    rows: u64,
    left_out: u64,
}

fn load(config: &Config, job: &Job, party: u32, params: &Mean) -> Result<Loaded, Fault> {
    let Mean { key, key_bits: bits, quorum, .. } = *params;
    let wanted = WantedKey { key: Some(key), bits, quorum, purpose: STATISTICS };
    let share = data::share(config, &job.params, &wanted, party)?;
    let data = config.data.as_ref().ok_or_else(data::no_data)?;
    let table = numbers(data, Some(params.columns.clone()))?;
    let own = OwnSums::of(params, &table).map_err(|e| data::in_file(&data.file)(&e))?;
    Ok(Loaded {
        digest: data::digest(&table, None),
        overview: Overview::new(&data.file, &table),
        rows: own.rows,
        left_out: own.left_out,
        private: Private::new(&job.id, share, own),
    })
}

/// Columns of a table, unless some are named all but those of classes and identifiers. Gaps stay.
fn numbers(data: &Data, named: Option<Vec<String>>) -> Result<Table, Fault> {
    let Columns { label, id, reading, .. } = data::columns(data);
    let ignore = if named.is_none() { label.into_iter().chain(id).collect() } else { Vec::new() };
    data::read_file(&data.file, &Columns { features: named, ignore, reading, ..Columns::default() }, "")
}

/// What the job shows to whom, in words.
fn reveals(params: &Mean, parties: u32, key_bound: Option<u32>) -> Vec<String> {
    let rest = match parties {
        2 => "to each of the two participants: the other's sums, which are the totals less its own".into(),
        n => format!(
            "to {} participants that pool what they put in: the sums of the one that is left, which are the totals less \
             theirs",
            n - 1
        ),
    };
    vec![
        "to everybody on the channel: the number of rows of all participants together".into(),
        format!(
            "to everybody on the channel, where these are at least {}, as the participants count: of each column the sum of \
             all values and the sum of their squares, hence mean and deviation; else nothing more",
            params.min_rows
        ),
        rest,
        "of another job over nearly the same rows: the difference of the totals is that of the rows".into(),
        "a participant that puts in wrong sums makes the totals wrong, and nobody can tell which one it is"
            .into(),
        report::pooled(key_bound, params.quorum, "participant's sums"),
    ]
}

/// Parameters of a job over columns of the organisation's own table, all of its features unless some are named, under a key
/// of which it has a share.
///
/// # Errors
/// No such share, or no table to take columns from.
pub(super) fn template(wanted: &Wanted) -> Result<JobParams, Fault> {
    let config = wanted.config;
    let key = wanted.key.ok_or_else(|| Fault::Input("name the negotiated key: --key".into()))?;
    let share = Keyring::open(config).find(&key.to_string()).map_err(|e| Fault::Input(e.to_string()))?;
    let data = config.data.as_ref().ok_or_else(data::no_data)?;
    let columns = wanted.setting("columns");
    let table =
        numbers(data, columns.map(|names| names.split(',').map(|name| name.trim().into()).collect()))?;
    let bits = share.key().bits() as u32;
    let mean = Mean {
        key,
        key_bits: bits,
        insecure_key_bits: bits < 2048,
        quorum: share.key().quorum(),
        places: statistics::places(&table),
        columns: table.columns,
        value_bits: 48,
        max_rows: 1_000_000,
        min_rows: LEAST_ROWS * wanted.participants.len() as u32,
        two_participants: false,
    };
    let params = proposal::job_params(Kind::Mean(mean), wanted.participants.to_vec());
    params.map_err(|e| Fault::Input(e.to_string()))
}

impl NodeJob for Mean {
    fn check(&self, config: &Config, job: &Job, party: u32) -> Result<Option<[u8; 32]>, Fault> {
        Ok(Some(load(config, job, party, self)?.digest))
    }

    fn run(&self, worker: &Worker, inputs: &Receiver<Input>) -> Result<Ended, DriverError> {
        let job = &worker.job;
        let Loaded { private, digest, overview, rows, left_out } =
            match load(&worker.config, job, worker.party, self) {
                Ok(loaded) => loaded,
                Err(fault) => return worker.give_up(inputs, fault),
            };
        worker.check_data(&digest)?;
        worker.tell(&overview);
        let key_bound = Some(private.key_bound());
        let finished = worker.drive::<statistics::Mean>(inputs, Arc::new(private))?;
        let Some(totals) = finished.output else { return Ok((finished.ending, None)) };
        let report = MeanReport {
            job: job.clone(),
            party: worker.party,
            ending: finished.ending.clone(),
            table: overview,
            own_rows: rows,
            left_out,
            rows: totals.rows,
            columns: totals.columns(self),
            reveals: reveals(self, job.params.parties(), key_bound),
            seconds: finished.seconds,
            elapsed: worker.elapsed(),
            traffic: worker.poster.traffic(),
        };
        Ok((finished.ending, Some(Report::Mean(Box::new(report)))))
    }

    fn review(&self, weigh: &Weigh, review: &mut Review) {
        let parties = weigh.params.parties();
        review.parameters = vec![
            ("columns".into(), self.columns.join(", ")),
            ("decimal places".into(), self.places.to_string()),
            ("least rows in all".into(), self.min_rows.to_string()),
            ("most rows of each".into(), self.max_rows.to_string()),
            ("key".into(), weigh.key_shown(Some(self.key), self.key_bits)),
            ("quorum".into(), of(self.quorum, parties)),
        ];
        weigh.key_bits(self.key_bits, review);
        weigh.quorum(self.quorum, parties, review);
        weigh.bound(parties, review);
        review.reveals = reveals(self, parties, weigh.key_bound());
    }

    fn subject(&self) -> &'static str {
        "the means"
    }

    fn extent(&self) -> String {
        format!("{} columns", self.columns.len())
    }

    fn work(&self, phase: Phase) -> Work {
        if phase == Phase::Setup { Work::Keys } else { Work::Training }
    }

    fn observe(&self, job: &Job) -> Result<Box<dyn Replayed>, Fault> {
        Replay::<statistics::Mean>::start(job, statistics::Mean::proofs, |_| 0)
    }
}
