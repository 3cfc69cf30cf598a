//! Arguments that several commands take: tables, trainings, where they run.

use crate::error::CliResult;
use clap::{Args, ValueEnum};
use dataset::{
    scaling::Scaling,
    split::Division,
    table::{Class, Columns, Missing, Reading},
};
use experiment::{KeySource, Site, Source, TrainingOptions};
use launcher::Kind;
use node::proposal::{HorizontalOptions, VerticalOptions};
use records::{Collusion, Comparison, Deadlines, Decimal, GradientNoise, Judge, Publication};
use std::path::PathBuf;

/// The table of an experiment.
#[derive(Args, Clone)]
pub struct DataArgs {
    /// The table: CSV in its many forms, ARFF, gzip; docs/tables.md has all. A pipe or /dev/stdin is read once.
    #[arg(long)]
    pub data: PathBuf,
    /// The label column: a name, or a number from 1 where there is no header.
    #[arg(long)]
    pub label: String,
    /// A column that identifies the rows and is no feature.
    #[arg(long)]
    pub id: Option<String>,
    #[command(flatten)]
    classes: ClassArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    /// What is done about gaps: leave the row out, or fill in the column's mean.
    #[arg(long, value_enum, default_value = "drop")]
    missing: MissingArg,
}

/// Which values of a label are which class.
#[derive(Args, Clone, Default)]
pub struct ClassArgs {
    /// The label's values that count as positive, with commas between several; the larger of two numbers unless given.
    #[arg(long, value_name = "VALUES")]
    positive: Option<String>,
    /// The label's values that count as negative; the one that --positive leaves unless given.
    #[arg(long, value_name = "VALUES", allow_hyphen_values = true)]
    negative: Option<String>,
}

impl ClassArgs {
    /// Whether one of them was given.
    pub fn is_given(&self) -> bool {
        self.positive.is_some() || self.negative.is_some()
    }

    /// As a table is asked for them.
    pub fn classes(&self) -> [Option<Class>; 2] {
        [&self.positive, &self.negative].map(|class| class.clone().map(Class::Listed))
    }
}

/// How a file is read, where it does not show by itself.
#[derive(Args, Clone, Default)]
pub struct ReadingArgs {
    /// A word that stands for a gap, beside `?`, NA, NaN, null and the like; may be given again.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    na: Vec<String>,
    /// The first line names the columns, also where the names are numbers.
    #[arg(long, conflicts_with = "no_header")]
    header: bool,
    /// The first line is a row; columns are numbered from 1.
    #[arg(long)]
    no_header: bool,
    /// A comma in a number divides the fraction, also where three digits come after it.
    #[arg(long)]
    decimal_comma: bool,
}

impl ReadingArgs {
    /// Whether one of them was given.
    pub fn is_given(&self) -> bool {
        self.reading() != Reading::default()
    }

    /// As a table is read.
    pub fn reading(&self) -> Reading {
        let header = (self.header || self.no_header).then_some(self.header);
        Reading { header, na: self.na.clone(), decimal_comma: self.decimal_comma }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum MissingArg {
    Drop,
    Mean,
}

impl DataArgs {
    /// The table, divided so.
    pub fn source(&self, division: Division) -> Source {
        let [positive, negative] = self.classes.classes();
        Source {
            data: self.data.clone().into(),
            columns: Columns {
                label: Some(self.label.clone()),
                positive,
                negative,
                id: self.id.clone(),
                reading: self.reading.reading(),
                ..Columns::default()
            },
            missing: match self.missing {
                MissingArg::Drop => Missing::Drop,
                MissingArg::Mean => Missing::Mean,
            },
            division,
        }
    }
}

/// How long the participants of a job wait for each other.
#[derive(Args, Clone, Copy, Default)]
pub struct DeadlineArgs {
    /// How long answers to the proposal are waited for; then the job expires. Seven days unless given, ten minutes in
    /// experiments.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=365 * 24 * 3600))]
    accept_deadline: Option<u32>,
    /// How long each record is waited for, after others were ready for it; then the job expires, and names who owed what.
    /// Half an hour unless given, ten minutes in experiments. Longer than the longest step takes to compute.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=30 * 24 * 3600))]
    step_deadline: Option<u32>,
}

impl DeadlineArgs {
    /// What was given, else these.
    pub fn or(self, default: Deadlines) -> Deadlines {
        Deadlines {
            accept: self.accept_deadline.unwrap_or(default.accept),
            step: self.step_deadline.unwrap_or(default.step),
        }
    }
}

/// What is divided among the participants, and what they do in an update.
#[derive(Args, Clone)]
pub struct ScheduleArgs {
    /// What is divided. `columns`: participants hold different columns of the same rows, and decrypt together. `rows`:
    /// participants are providers of different rows with the same columns, and one more organisation, the analyst, trains
    /// on all of them without seeing any.
    #[arg(long, value_enum, default_value = "columns")]
    pub partition: PartitionArg,
    #[command(flatten)]
    pub rows: RowsArgs,
    /// Number T of updates of the model: 24 by default; by rows 100, at most.
    #[arg(long)]
    iterations: Option<u32>,
    /// Instances of one update: 64 by default; by rows all, else so many of each provider.
    #[arg(long)]
    batch: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PartitionArg {
    Columns,
    Rows,
}

impl ScheduleArgs {
    /// Refuses what belongs to the other partition.
    pub fn check(&self, training: &TrainingArgs, scales_otherwise: bool) -> CliResult {
        let misplaced = match self.partition {
            PartitionArg::Columns => self.rows.given().map(|name| (name, "rows")),
            PartitionArg::Rows if scales_otherwise => Some(("--scale", "columns")),
            PartitionArg::Rows => training.of_columns_only().map(|name| (name, "columns")),
        };
        match misplaced {
            Some((name, partition)) => Err(format!("{name} belongs to --partition {partition}").into()),
            None => Ok(()),
        }
    }

    /// What was chosen for a training by columns.
    pub fn vertical(&self, training: &TrainingArgs) -> VerticalOptions {
        let default = VerticalOptions::default();
        VerticalOptions {
            iterations: self.iterations.unwrap_or(default.iterations),
            batch: self.batch.unwrap_or(default.batch),
            ..training.vertical()
        }
    }

    /// What was chosen for a training by rows.
    pub fn horizontal(&self, training: &TrainingArgs) -> HorizontalOptions {
        let options = training.horizontal(&self.rows);
        HorizontalOptions {
            iterations: self.iterations.unwrap_or(options.iterations),
            batch: self.batch,
            ..options
        }
    }
}

/// What is trained and how, in every command that begins a training.
#[derive(Args, Clone)]
pub struct TrainingArgs {
    /// How the indicator is found: `blinded` hides the margins, `paper` is the book's Algorithm 3 and shows them.
    #[arg(long, value_enum, default_value = "blinded")]
    protocol: ProtocolArg,
    /// Bits of the Paillier modulus.
    #[arg(long, default_value_t = 2048)]
    key_bits: u32,
    /// Consent to a modulus below 2,048 bits, which can be broken.
    #[arg(long)]
    insecure_key_bits: bool,
    /// Consent to blinding factors that are spread over a range of less than 2^256.
    #[arg(long)]
    weak_blinding: bool,
    /// b: margins are less than 2^(b−36) in magnitude; more room for margins is less blinding.
    /// 42 by default, 50 in a training by rows.
    #[arg(long)]
    margin_bits: Option<u32>,
    /// η, the step: 0.00095 by default, 0.5 in a training by rows.
    #[arg(long)]
    learning_rate: Option<Decimal>,
    /// λ of the regulariser: 1 by default, 0.001 in a training by rows.
    #[arg(long)]
    lambda: Option<Decimal>,
    /// C of the hinge loss: 1 by default, 1 over the number of rows in a training by rows.
    #[arg(long)]
    c: Option<Decimal>,
    /// How many participants decrypt together; all of them unless given. With fewer, a round does not wait for all
    /// partial decryptions, and as many colluding participants can open everything.
    #[arg(long)]
    quorum: Option<u32>,
    /// Whether the participants publish their parts of the model on the ledger or keep them.
    #[arg(long, value_enum, default_value = "published")]
    model: ModelArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProtocolArg {
    Blinded,
    Paper,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModelArg {
    Published,
    Split,
}

impl TrainingArgs {
    /// What was chosen for a training by columns, but for its schedule.
    pub fn vertical(&self) -> VerticalOptions {
        let default = VerticalOptions::default();
        VerticalOptions {
            judge: match self.protocol {
                ProtocolArg::Blinded => Judge::Blinded,
                ProtocolArg::Paper => Judge::Paper,
            },
            learning_rate: self.learning_rate.unwrap_or(default.learning_rate),
            lambda: self.lambda.unwrap_or(default.lambda),
            c: self.c.unwrap_or(default.c),
            key_bits: self.key_bits,
            insecure_key_bits: self.insecure_key_bits,
            quorum: self.quorum,
            margin_bits: self.margin_bits.unwrap_or(default.margin_bits),
            weak_blinding: self.weak_blinding,
            model: self.publication(),
            ..default
        }
    }

    fn publication(&self) -> Publication {
        match self.model {
            ModelArg::Published => Publication::Published,
            ModelArg::Split => Publication::Split,
        }
    }

    /// One of these that means nothing in a training by rows and was given.
    fn of_columns_only(&self) -> Option<&'static str> {
        self.quorum.map(|_| "--quorum")
    }

    /// What was chosen for a training by rows, but for its schedule.
    fn horizontal(&self, rows: &RowsArgs) -> HorizontalOptions {
        let default = HorizontalOptions::default();
        HorizontalOptions {
            comparison: match self.protocol {
                ProtocolArg::Blinded => Comparison::Hidden,
                ProtocolArg::Paper => Comparison::Paper,
            },
            tolerance: rows.tolerance,
            learning_rate: self.learning_rate.unwrap_or(default.learning_rate),
            lambda: self.lambda.unwrap_or(default.lambda),
            c: self.c,
            intercept: !rows.no_intercept,
            gradient_noise: rows.gradient_noise.map(|multiplier| GradientNoise {
                multiplier,
                norm: rows.noise_norm,
                delta: rows.noise_delta,
            }),
            key_bits: self.key_bits,
            insecure_key_bits: self.insecure_key_bits,
            margin_bits: self.margin_bits.unwrap_or(default.margin_bits),
            weak_blinding: self.weak_blinding,
            model: self.publication(),
            ..default
        }
    }
}

/// What only a training by rows has.
#[derive(Args, Clone)]
pub struct RowsArgs {
    /// By rows: a model w·x instead of w·x − b.
    #[arg(long)]
    no_intercept: bool,
    /// By rows: end when the norm of the gradient is not above this.
    #[arg(long, value_name = "NORM")]
    tolerance: Option<Decimal>,
    /// By rows: let every provider add discrete Gaussian noise to its gradients, of this standard deviation in multiples of
    /// --noise-norm; the report says which (ε, δ) the run has.
    #[arg(long, value_name = "MULTIPLIER")]
    gradient_noise: Option<Decimal>,
    /// With --gradient-noise: longer rows are shortened to this norm.
    #[arg(long, default_value = "4")]
    noise_norm: Decimal,
    /// With --gradient-noise: the δ for which ε is reported.
    #[arg(long, default_value = "0.00001")]
    noise_delta: Decimal,
}

impl RowsArgs {
    /// Whether providers add noise to their gradients.
    pub fn has_noise(&self) -> bool {
        self.gradient_noise.is_some()
    }

    /// One of these that was given.
    fn given(&self) -> Option<&'static str> {
        let given = [
            (self.no_intercept, "--no-intercept"),
            (self.tolerance.is_some(), "--tolerance"),
            (self.gradient_noise.is_some(), "--gradient-noise"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }
}

/// Where the threshold key of an experiment comes from.
#[derive(Args, Clone)]
pub struct KeyArgs {
    /// Whether the participants negotiate the threshold key, or this command deals it and holds the whole key meanwhile.
    #[arg(long, value_enum, default_value = "negotiate")]
    pub key: KeyArg,
    /// Against whom a negotiated key protects. `minority`: fewer than half of the participants learn nothing of it
    /// together; needs three. `all-but-one`: all others together learn nothing; takes longer. By default what is cheaper.
    #[arg(long, value_enum)]
    against: Option<AgainstArg>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyArg {
    Negotiate,
    Deal,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AgainstArg {
    Minority,
    AllButOne,
}

impl AgainstArg {
    /// As a job has it; unless given, what is cheaper for so many members.
    pub fn collusion(against: Option<Self>, parties: u32) -> Collusion {
        match against {
            Some(Self::Minority) => Collusion::Minority,
            Some(Self::AllButOne) => Collusion::AllButOne,
            None if parties < 3 => Collusion::AllButOne,
            None => Collusion::Minority,
        }
    }
}

impl KeyArgs {
    /// Who makes the key of so many members.
    fn source(&self, members: u32) -> KeySource {
        match self.key {
            KeyArg::Deal => KeySource::Dealer,
            KeyArg::Negotiate => KeySource::Participants(AgainstArg::collusion(self.against, members)),
        }
    }
}

/// Who trains, and where, in every command that runs an experiment.
#[derive(Args, Clone)]
pub struct RunArgs {
    /// Which ledger.
    #[arg(long, value_enum, default_value = "dev")]
    ledger: LedgerArg,
    /// The folder of a network on this machine. One that runs is used and left running; else it is started there and
    /// stopped afterwards. A temporary one unless given.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Number of participants; an organisation each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub participants: u32,
    #[command(flatten)]
    pub training: TrainingArgs,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    deadlines: DeadlineArgs,
    /// How columns are scaled, by each participant alone: mean 0 and deviation 1, to [-1, 1], or not at all.
    #[arg(long, value_enum, default_value = "std")]
    scale: ScaleArg,
    /// Decides which rows are kept for the test.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Replay the job as an observer afterwards (`confab verify`).
    #[arg(long)]
    pub verify: bool,
    /// Write the report as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What keeps the ledger.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LedgerArg {
    /// The embedded development ledger.
    Dev,
    /// Hyperledger Fabric.
    Fabric,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ScaleArg {
    Std,
    Unit,
    None,
}

impl LedgerArg {
    /// As the launcher has it.
    pub fn kind(self) -> Kind {
        match self {
            Self::Dev => Kind::Dev,
            Self::Fabric => Kind::Fabric,
        }
    }
}

impl RunArgs {
    /// Refuses options of the other partition.
    pub fn check(&self, schedule: &ScheduleArgs) -> CliResult {
        schedule.check(&self.training, self.scale != ScaleArg::Std)
    }

    /// What was chosen for the training.
    pub fn options(&self, schedule: &ScheduleArgs) -> TrainingOptions {
        match schedule.partition {
            PartitionArg::Columns => self.vertical(schedule.vertical(&self.training)),
            PartitionArg::Rows => TrainingOptions::Horizontal(schedule.horizontal(&self.training)),
        }
    }

    /// A training by columns, scaled as was chosen.
    pub fn vertical(&self, options: VerticalOptions) -> TrainingOptions {
        let scale = match self.scale {
            ScaleArg::Std => Scaling::Std,
            ScaleArg::Unit => Scaling::Unit,
            ScaleArg::None => Scaling::None,
        };
        TrainingOptions::Vertical { options, scale }
    }

    /// Where it runs.
    pub fn site(&self) -> Site {
        Site {
            ledger: self.ledger.kind(),
            dir: self.dir.clone(),
            key: self.key.source(self.participants),
            deadlines: self.deadlines.or(Deadlines::EXPERIMENT),
        }
    }
}
