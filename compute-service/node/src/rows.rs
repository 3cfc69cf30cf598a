//! An experiment by rows: one table's rows are dealt to providers, an analyst trains on all of them, and what comes out is
//! compared with training on the pooled rows.

use crate::{
    experiment::{
        ExperimentError, Participants, Source, file_error, input, job_params, participant_data,
        participant_table,
    },
    model::Model,
    report::LedgerReport,
    worker::RowsReport,
};
use dataset::{
    Label,
    metrics::Metrics,
    scaling::Scaling,
    split::Division,
    table::{Overview, Table},
};
use files::Access;
use num_bigint::BigInt;
use records::{Comparison, Decimal, HorizontalSvm, JobId, JobParams, Kind, MspId, Outcome, Publication};
use serde::{Deserialize, Serialize};
use svm::{
    Hyperparameters,
    evaluation::{Preparation, Setting},
    fixed, float, horizontal,
    reference::{self, Variant},
};

/// What is to be trained, on what, by how many.
#[derive(Clone, Debug)]
pub struct RowsPlan {
    /// The table.
    pub source: Source,
    /// C of the hinge loss; 1/m for m training rows unless given.
    pub c: Option<Decimal>,
    /// Everything else; columns, classes and rows are filled in.
    pub training: HorizontalSvm,
}

/// An experiment whose files are laid out: a folder for each participant, the analyst's being the last.
#[derive(Debug)]
pub struct RowsPrepared {
    /// The job to be proposed.
    pub params: JobParams,
    prepared: Preparation,
    /// The training rows of each provider.
    dealt: Vec<Vec<usize>>,
    dropped: Vec<u64>,
    overview: Overview,
    /// The nodes.
    pub participants: Participants,
}

impl RowsPlan {
    /// Finds what is wrong with table and parameters before anything is started; what the table holds.
    ///
    /// # Errors
    /// What is wrong with table or parameters.
    pub fn check(&self, providers: u32) -> Result<Overview, ExperimentError> {
        let (table, _, overview) = self.source.table()?;
        self.preparation(&table, self.source.division, providers).map(|_| overview)
    }

    /// The same with a table that was read, divided in any way: what a training makes of it.
    ///
    /// # Errors
    /// What is wrong with table or parameters.
    pub fn preparation(
        &self,
        table: &Table,
        division: Division,
        providers: u32,
    ) -> Result<Preparation, ExperimentError> {
        let setting = Setting::by_rows(&self.training, providers, self.c);
        let prepared = setting.prepare(table, division, providers).map_err(|e| self.source.wrong(e))?;
        let names = (0..=providers).filter_map(|party| party.to_string().parse().ok()).collect();
        self.params(&prepared, names)?;
        Ok(prepared)
    }

    fn params(&self, prepared: &Preparation, names: Vec<MspId>) -> Result<JobParams, ExperimentError> {
        let Preparation { table, split, .. } = prepared;
        let classes = table.classes.as_ref().ok_or_else(|| input("no label column"))?;
        let (rows, providers) = (split.train.len(), names.len() - 1);
        let training = HorizontalSvm {
            analyst: providers as u32,
            columns: table.columns.clone(),
            units: match self.training.standardise {
                true => horizontal::units(&table.with_rows(&split.train)),
                false => Vec::new(),
            },
            positive: classes.positive_name(),
            negative: classes.negative_name(),
            rows: rows.div_ceil(providers.max(1)) as u32,
            c: self.c.unwrap_or_else(|| Hyperparameters::mean_c(rows)),
            ..self.training.clone()
        };
        let params = job_params(Kind::HorizontalSvm(Box::new(training)), names)?;
        params.validate().map_err(input)?;
        Ok(params)
    }

    /// Reads the table, deals its training rows to all participants but the last, and gives each its files and its
    /// configuration.
    ///
    /// # Errors
    /// What is wrong with table or parameters, or a file that cannot be written.
    pub fn lay_out(&self, participants: &Participants) -> Result<RowsPrepared, ExperimentError> {
        let (table, dropped, overview) = self.source.table()?;
        let names = participants.organisations.iter().map(|(msp_id, _)| msp_id.clone()).collect();
        let providers = participants.configs.len() - 1;
        let prepared = self.preparation(&table, self.source.division, providers as u32)?;
        let params = JobParams { deadlines: Some(participants.deadlines), ..self.params(&prepared, names)? };
        let Preparation { table, split, .. } = &prepared;
        // Like cards: whatever order the table is in, everybody gets of everything.
        let dealt: Vec<Vec<usize>> = (0..providers)
            .map(|party| split.train.iter().skip(party).step_by(providers).copied().collect())
            .collect();
        for (party, rows) in dealt.iter().enumerate() {
            let file = participants.configs[party].with_file_name("data.csv");
            let text = participant_table(table, rows, 0..table.columns.len());
            files::write(&file, text.as_bytes(), Access::Owner).map_err(file_error(&file))?;
            participants.configure(party, |config| {
                config.data = Some(participant_data(table, file, Scaling::Std, self.source.missing));
            })?;
        }
        participants.accept(&params.id())?;
        Ok(RowsPrepared { params, prepared, dealt, dropped, overview, participants: participants.clone() })
    }
}

/// The report of `confab train --partition rows`; what `--json` writes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RowsSummary {
    /// Layout version.
    pub version: u32,
    /// The job on the ledger.
    pub job: JobId,
    /// What the table holds.
    #[serde(default)]
    pub table: Overview,
    /// Number of providers; the analyst comes on top.
    pub providers: u32,
    /// Training rows of all providers together.
    pub instances: u32,
    /// Number of test rows.
    pub test_instances: u32,
    /// Number of columns.
    pub features: u32,
    /// Lines that were left out because of gaps.
    pub dropped_lines: Vec<u64>,
    /// Columns that were left out, having no value in any training row.
    #[serde(default)]
    pub left_out: Vec<String>,
    /// Gaps in the training rows that count as their column's mean.
    pub filled_gaps: u32,
    /// Updates that were made, and the most that were allowed.
    pub iterations: (u32, u32),
    /// Rows of each provider in one iteration.
    pub batch: u32,
    /// How margins were compared.
    pub protocol: Comparison,
    /// Bits of the analyst's N.
    pub key_bits: u32,
    /// L, the octaves of the blinding; absent for the paper's protocol.
    pub blinding_bits: Option<u32>,
    /// ε of the whole run at the δ that was asked for, where there is gradient noise.
    pub epsilon: Option<f64>,
    /// The ledger and what went over it.
    pub ledger: LedgerReport,
    /// As table 4.4 of the book splits it.
    pub seconds: RowsTimes,
    /// The model of the secure run on the test rows.
    pub secure: Metrics,
    /// The plaintext reference on the same rows.
    pub plaintext: Metrics,
    /// 64-bit floating point on the same rows and schedule.
    pub float: Metrics,
    /// Whether every weight is the reference's; absent where noise was added.
    pub identical_weights: Option<bool>,
    /// Whether every prediction is the reference's; absent where noise was added.
    pub identical_predictions: Option<bool>,
    /// Most memory of any participant's process, in bytes, where the system says so.
    pub peak_memory: Option<u64>,
    /// What the run reveals, in words.
    pub reveals: Vec<String>,
}

/// Seconds, split as in table 4.4 of the book. Those of the providers are added up, as there.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RowsTimes {
    /// From the proposal to the last participant's end.
    pub total: f64,
    /// Work of all providers.
    pub providers: f64,
    /// Work of the analyst.
    pub analyst: f64,
    /// Secure comparison, of all.
    pub comparison: f64,
    /// Secure polynomial multiplication, of all providers.
    pub multiplication: f64,
    /// Processor time of all participants' processes together while at work.
    pub cpu_all_participants: f64,
}

impl RowsPrepared {
    /// What the nodes kept of the finished job, by party.
    ///
    /// # Errors
    /// A report that is missing or cannot be read.
    pub fn reports(&self) -> Result<Vec<RowsReport>, ExperimentError> {
        self.participants.reports(&self.params.id())
    }

    fn training(&self) -> &HorizontalSvm {
        match &self.params.kind {
            Kind::HorizontalSvm(training) => training,
            _ => unreachable!("prepared as a training by rows"),
        }
    }

    /// Which of the pooled rows each iteration visits.
    fn schedule(&self, analyst: &RowsReport) -> Result<Vec<Vec<u32>>, ExperimentError> {
        let training = self.training();
        let Some(batch) = training.batch else {
            let all = (0..self.dealt.concat().len() as u32).collect();
            return Ok(vec![all; training.iterations as usize]);
        };
        let seed = analyst.seed.as_ref().and_then(|seed| hex::decode(seed).ok()?.try_into().ok());
        let seed = seed.ok_or_else(|| ExperimentError::Unfinished("no seed of the batches".into()))?;
        let mut schedule = vec![Vec::new(); training.iterations as usize];
        let mut first = 0;
        for (party, rows) in self.dealt.iter().enumerate() {
            let rows = rows.len() as u32;
            let own = horizontal::batches(&analyst.job, training, &seed, party as u32, rows, batch);
            for (visits, own) in schedule.iter_mut().zip(own) {
                visits.extend(own.into_iter().map(|row| first + row));
            }
            first += rows;
        }
        Ok(schedule)
    }

    /// The trained model in the words of the table, as the analyst has it.
    ///
    /// # Errors
    /// A job that did not finish.
    pub fn model(&self, reports: &[RowsReport]) -> Result<Model, ExperimentError> {
        let analyst = &reports[self.training().analyst as usize];
        if analyst.ending.outcome != Outcome::Finished {
            return Err(ExperimentError::Unfinished(analyst.ending.to_string()));
        }
        analyst.model.clone().ok_or_else(|| ExperimentError::Unfinished("no model".into()))
    }

    /// Compares what came out with the plaintext reference of the same schedule.
    ///
    /// # Errors
    /// A job that did not finish.
    pub fn summary(
        &self,
        reports: &[RowsReport],
        ledger_kind: &str,
        total: f64,
    ) -> Result<RowsSummary, ExperimentError> {
        let training = self.training();
        let model = self.model(reports)?;
        let part = &model.parts[0];
        let Preparation { table, split, test_labels, .. } = &self.prepared;
        let pooled = self.dealt.concat();
        let labels = table.labels().map_err(input)?;
        let train_labels: Vec<Label> = pooled.iter().map(|&row| labels[row]).collect();
        let test_rows = if split.test.is_empty() { &split.train } else { &split.test };
        let train = part.scaler.apply(table, &pooled).map_err(input)?;
        let test = part.scaler.apply(table, test_rows).map_err(input)?;
        let means = Setting::by_rows(training, 1, None).means();
        let floats = |rows| float::scaled(table, &pooled, rows, means);
        let float_train = floats(&pooled);
        if let Some(column) = float::differing(&train, &float_train) {
            return Err(input(format!(
                "column `{column}`: the providers' scaling is not that of an independent computation; this is a defect of \
                 Confab"
            )));
        }
        let variant = Variant { intercept: training.intercept, tolerance: training.tolerance };
        let exact = training.gradient_noise.is_none();
        let analyst = &reports[training.analyst as usize];
        let schedule = self.schedule(analyst)?;
        let reference =
            reference::train(&train, &train_labels, &schedule, &Hyperparameters::from(training), variant);
        let float =
            float::train(&float_train, &train_labels, &schedule, &Hyperparameters::from(training), variant);
        let float_predictions = float.predict(&floats(test_rows));
        let predictions: Vec<Label> = test.rows.iter().map(|row| fixed::class_of(&part.score(row))).collect();
        let reference_predictions = reference.predict(&test);
        let mut weights: Vec<BigInt> = part.weights.iter().map(|w| BigInt::from(*w)).collect();
        weights.extend(training.intercept.then(|| BigInt::from(part.intercept)));
        let work = |report: &RowsReport| report.seconds.keys + report.seconds.training;
        let providers = || reports.iter().filter(|report| report.party != training.analyst);
        let iterations = analyst.iterations;
        let values = pooled.iter().flat_map(|&row| &table.rows[row].values);
        let filled_gaps = values.filter(|value| value.is_none()).count() as u32;
        Ok(RowsSummary {
            version: records::VERSION,
            job: self.params.id(),
            table: self.overview.clone(),
            providers: training.providers(self.params.parties()),
            instances: pooled.len() as u32,
            test_instances: split.test.len() as u32,
            features: table.columns.len() as u32,
            dropped_lines: self.dropped.clone(),
            left_out: self.prepared.left_out.clone(),
            filled_gaps,
            iterations: (iterations, training.iterations),
            batch: training.active(),
            protocol: training.comparison,
            key_bits: training.key_bits,
            blinding_bits: horizontal::HorizontalSvm::blinding(training).map(|blinding| blinding.range),
            epsilon: training.gradient_noise.as_ref().map(|noise| horizontal::epsilon(noise, iterations)),
            ledger: LedgerReport::new(ledger_kind, reports.iter().map(|report| &report.traffic)),
            seconds: RowsTimes {
                total,
                providers: providers().map(work).sum(),
                analyst: work(analyst),
                comparison: reports.iter().map(|r| r.comparison).sum(),
                multiplication: reports.iter().map(|r| r.multiplication).sum(),
                cpu_all_participants: reports.iter().map(|r| r.seconds.cpu).sum(),
            },
            secure: Metrics::new(test_labels, &predictions),
            plaintext: Metrics::new(test_labels, &reference_predictions),
            float: Metrics::new(test_labels, &float_predictions),
            identical_weights: exact.then(|| weights == reference.weights),
            identical_predictions: exact.then(|| predictions == reference_predictions),
            peak_memory: reports.iter().filter_map(|report| report.peak_memory).max(),
            reveals: reveals(training, self.dealt.len(), iterations, &pooled.len().to_string()),
        })
    }
}

/// What a training by rows reveals, in words: before it, with the most iterations and rows, and after.
pub(crate) fn reveals(
    training: &HorizontalSvm,
    providers: usize,
    iterations: u32,
    rows: &str,
) -> Vec<String> {
    let mut list = vec![
        "to everybody on the channel: columns, classes, room for rows, number of iterations".to_string(),
    ];
    if training.standardise {
        list.push(
            "to everybody: number, mean and deviation of each column over all providers' rows together; of each column \
             of the proposer's, before, the largest magnitude to a factor of 256"
                .into(),
        );
    }
    match horizontal::HorizontalSvm::blinding(training) {
        None => list.extend([
            "to analyst and provider, and to everybody on the channel: every indicator of every row and iteration".to_string(),
            "to the analyst: every provider's gradient; with the indicators it can solve for single rows".to_string(),
        ]),
        Some(blinding) => {
            let visits = iterations.saturating_mul(training.active());
            list.push(
                "to the analyst: the sum of all gradients of each iteration, while one provider at least does not collude \
                 with it; differences between iterations can expose single rows unless --gradient-noise hides them"
                    .into(),
            );
            list.push(format!(
                "to the analyst, of a provider: its mean log₂|2d+1| to about {:.1} octaves",
                blinding.octaves(visits)
            ));
            if training.active() < 10 {
                list.push("fewer than ten rows of a provider in an iteration: means over so few say more of each".into());
            }
        }
    }
    if providers == 2 && training.standardise {
        list.push("to each of the two providers: how many rows the other has, and mean and deviation of its columns".into());
    }
    list.push(
        "to an analyst that deviates (a malformed modulus, a crafted model, wrong answers): single rows, and nobody notices"
            .into(),
    );
    list.push(match training.model {
        Publication::Published => format!("the whole model, trained on {rows} rows"),
        Publication::Split => "no weights: the analyst keeps the model".into(),
    });
    list
}
