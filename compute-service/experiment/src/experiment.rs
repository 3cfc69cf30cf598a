use crate::{
    deployment::{Deployment, Held},
    error::{ExperimentError, Result, file_error, input, system},
    key::{DealtKey, Key},
    participants::Participants,
    source::{Source, classes, participant_data, participant_table},
};
use dataset::{
    scaling::Scaling,
    split::{self, Division},
    table::{Overview, Table},
};
use files::Access;
use node::proposal::{HorizontalOptions, VerticalOptions, class_names, job_params};
use records::{Fingerprint, JobParams, Judge, Kind, MspId, Publication};
use svm::{
    evaluation::{Partition, Preparation, Setting},
    reference::Variant,
    vertical::Blinding,
};

/// What is trained, on what, by how many.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// The table.
    pub source: Source,
    /// What is divided among the participants, and what a person chose for the training.
    pub training: TrainingOptions,
    /// Who hold the data: the participants of a training by columns, the providers of one by rows.
    pub holders: u32,
}

/// What a person chose. Numbers of instances, names of columns and the like are the table's and the members' to say.
#[derive(Clone, Debug)]
pub enum TrainingOptions {
    /// Columns are divided, and their holders decrypt together.
    Vertical {
        /// The training.
        options: VerticalOptions,
        /// How every holder scales its columns.
        scale: Scaling,
    },
    /// Rows are divided, and one more organisation, the analyst, trains on all of them.
    Horizontal(HorizontalOptions),
}

impl TrainingOptions {
    /// Bits of the Paillier modulus.
    pub fn key_bits(&self) -> u32 {
        match self {
            Self::Vertical { options, .. } => options.key_bits,
            Self::Horizontal(options) => options.key_bits,
        }
    }

    /// Whether the participants publish the model.
    pub fn model(&self) -> Publication {
        match self {
            Self::Vertical { options, .. } => options.model,
            Self::Horizontal(options) => options.model,
        }
    }
}

impl Experiment {
    /// How many organisations it takes.
    pub fn organisations(&self) -> u32 {
        match self.training {
            TrainingOptions::Vertical { .. } => self.holders,
            TrainingOptions::Horizontal(_) => self.holders + 1,
        }
    }

    /// The same with a table that is divided otherwise into training and test rows.
    pub fn divided(&self, division: Division) -> Self {
        Self { source: Source { division, ..self.source.clone() }, ..self.clone() }
    }

    /// The training as far as its plaintext reference is concerned.
    pub fn setting(&self) -> Setting {
        match &self.training {
            TrainingOptions::Vertical { options, scale } => Setting {
                partition: Partition::Columns { scaling: *scale, batch: options.batch },
                iterations: options.iterations,
                learning_rate: options.learning_rate,
                lambda: options.lambda,
                c: Some(options.c),
            },
            TrainingOptions::Horizontal(options) => Setting {
                partition: Partition::Rows {
                    providers: self.holders,
                    batch: options.batch,
                    standardise: true,
                    variant: Variant { intercept: options.intercept, tolerance: options.tolerance },
                },
                iterations: options.iterations,
                learning_rate: options.learning_rate,
                lambda: options.lambda,
                c: options.c,
            },
        }
    }

    /// Finds what is wrong with table and parameters before anything is started; what the table holds.
    ///
    /// # Errors
    /// What is wrong with table or parameters.
    pub fn check(&self) -> Result<Overview> {
        let (table, _, overview) = self.source.table()?;
        self.prepare(&table, self.source.division).map(|_| overview)
    }

    /// What a training makes of the table, which was read and is divided in any way.
    ///
    /// # Errors
    /// What is wrong with table or parameters.
    pub fn prepare(&self, table: &Table, division: Division) -> Result<Preparation> {
        let prepared =
            self.setting().prepare(table, division, self.holders).map_err(|e| self.source.wrong(e))?;
        let names = (0..self.organisations()).filter_map(|party| party.to_string().parse().ok()).collect();
        self.params(&prepared, names, None)?.validate().map_err(input)?;
        if let TrainingOptions::Vertical { options, .. } = &self.training
            && options.judge == Judge::Blinded
        {
            Blinding::new(options.key_bits, self.holders, options.margin_bits, options.weak_blinding)
                .map_err(input)?;
        }
        Ok(prepared)
    }

    fn params(
        &self,
        prepared: &Preparation,
        participants: Vec<MspId>,
        key: Option<Fingerprint>,
    ) -> Result<JobParams> {
        let Preparation { table, split, .. } = prepared;
        let (rows, classes) = (split.train.len(), classes(table));
        let kind = match &self.training {
            TrainingOptions::Vertical { options, .. } => {
                Kind::VerticalSvm(options.params(self.holders, rows as u32, key, Some(class_names(classes))))
            }
            TrainingOptions::Horizontal(options) => {
                let room = rows.div_ceil(self.holders.max(1) as usize) as u32;
                let pooled = table.with_rows(&split.train);
                // The analyst comes behind the providers.
                Kind::HorizontalSvm(Box::new(options.params(self.holders, &pooled, classes, room, rows)))
            }
        };
        job_params(kind, participants).map_err(system)
    }

    /// Deals a key for a training by columns, which takes seconds.
    ///
    /// # Errors
    /// A size of the key that is not supported, or a training by rows, whose analyst makes its key.
    pub fn deal(&self) -> Result<Key> {
        match &self.training {
            TrainingOptions::Vertical { options, .. } => {
                DealtKey::deal(self.holders, options.quorum(self.holders), options.key_bits).map(Key::Dealt)
            }
            TrainingOptions::Horizontal(_) => {
                Err(input("the analyst of a training by rows makes its key itself"))
            }
        }
    }

    /// Reads the table, divides it, and gives every participant its files and its configuration.
    ///
    /// # Errors
    /// What is wrong with table or parameters, or a file that cannot be written.
    pub fn deploy(&self, participants: &Participants, key: &Key) -> Result<Deployment> {
        let organisations = self.organisations() as usize;
        if participants.configs.len() != organisations {
            return Err(input(format!(
                "{organisations} organisations are needed, not {}",
                participants.configs.len()
            )));
        }
        let (table, dropped, overview) = self.source.table()?;
        let prepared = self.prepare(&table, self.source.division)?;
        let mut params = self.params(&prepared, participants.names(), key.fingerprint())?;
        params.deadlines = Some(participants.deadlines);
        params.validate().map_err(input)?;
        let held = match &self.training {
            TrainingOptions::Vertical { scale, .. } => {
                self.deal_columns(participants, &prepared, *scale, key)?
            }
            TrainingOptions::Horizontal(_) => self.deal_rows(participants, &prepared)?,
        };
        Ok(Deployment { params, participants: participants.clone(), prepared, dropped, overview, held })
    }

    /// Gives every participant some columns of the training rows, and its share of a key that was dealt.
    fn deal_columns(
        &self,
        participants: &Participants,
        prepared: &Preparation,
        scale: Scaling,
        key: &Key,
    ) -> Result<Held> {
        if matches!(key, Key::Analyst) {
            return Err(input("a training by columns needs a threshold key of its participants"));
        }
        let Preparation { table, split, .. } = prepared;
        let blocks = split::deal(table.columns.len(), participants.configs.len()).map_err(input)?;
        for ((party, config), block) in participants.configs.iter().enumerate().zip(blocks) {
            let data = config.with_file_name("data.csv");
            let text = participant_table(table, &split.train, block);
            files::write(&data, text.as_bytes(), Access::Owner).map_err(file_error(&data))?;
            let key_share = config.with_file_name("key-share.json");
            // One that is there is of an earlier job of the same participants, with the same key.
            if let Key::Dealt(dealt) = key
                && !key_share.exists()
            {
                dealt.shares[party].write(&key_share).map_err(|e| ExperimentError::File {
                    path: key_share.display().to_string(),
                    source: std::io::Error::other(e),
                })?;
            }
            participants.configure(party, |config| {
                config.key_share = matches!(key, Key::Dealt(_)).then_some(key_share);
                config.data = Some(participant_data(table, data, scale, self.source.missing));
            })?;
        }
        Ok(Held::Columns { key_seconds: key.seconds(), key_origin: key.origin(), key_bound: key.bound() })
    }

    /// Gives all participants but the last some of the training rows.
    fn deal_rows(&self, participants: &Participants, prepared: &Preparation) -> Result<Held> {
        let Preparation { table, split, .. } = prepared;
        let providers = self.holders as usize;
        // Like cards: whatever order the table is in, every provider gets rows of every kind.
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
        Ok(Held::Rows(dealt))
    }
}
