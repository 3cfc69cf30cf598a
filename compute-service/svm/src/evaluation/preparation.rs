//! What a training makes of a table before anything is encrypted. Trainings, evaluations and encrypted folds
//! come here, so that all of them take the same tables and refuse the same.

use super::{Partition, Setting};
use crate::{fixed::Features, float, horizontal};
use dataset::{
    Label,
    scaling::{Scaled, Scaler, Scaling},
    split::{self, Division, Split},
    table::Table,
};

/// A table, divided and scaled.
#[derive(Clone, Debug)]
pub struct Preparation {
    /// Without the columns that were left out.
    pub table: Table,
    /// Training and test rows.
    pub split: Split,
    /// Columns that have no value in any training row.
    pub left_out: Vec<String>,
    /// Fitted on the training rows.
    pub scaler: Scaler,
    /// The training rows.
    pub train: Scaled,
    /// Their classes.
    pub train_labels: Vec<Label>,
    /// The test rows; the training rows where none are kept for a test.
    pub test: Scaled,
    /// Their classes.
    pub test_labels: Vec<Label>,
    /// The same rows as floats that were scaled by other means: [`float::scaled`].
    pub float: [Scaled; 2],
}

impl Setting {
    /// Divides and scales a table as the participants of a training would; the participants are the providers, where it is
    /// one by rows.
    ///
    /// # Errors
    /// Why there can be no training on it, with line and column where one is at fault.
    pub fn prepare(
        &self,
        table: &Table,
        division: Division,
        participants: u32,
    ) -> Result<Preparation, String> {
        let labels = table.labels().map_err(|e| e.to_string())?;
        let split = division.of(&labels).map_err(|e| e.to_string())?;
        let (kept, left_out): (Vec<_>, Vec<_>) =
            (0..table.columns.len()).partition(|&column| table.has_value(column, &split.train));
        if kept.is_empty() {
            return Err("no column has a value in any training row".into());
        }
        let left_out = left_out.into_iter().map(|column| table.columns[column].clone()).collect();
        let table = table.with_columns(&kept);
        self.check_parts(&table, &split, participants)?;
        let scaler = self.scaler(&table, &split.train)?;
        let tested = if split.test.is_empty() { &split.train } else { &split.test };
        let scaled = |rows: &[usize]| scaler.apply(&table, rows).map_err(|e| e.to_string());
        let (train, test) = (scaled(&split.train)?, scaled(tested)?);
        self.check_features(&train)?;
        let of = |rows: &[usize]| rows.iter().map(|&row| labels[row]).collect();
        let float =
            [&split.train, tested].map(|rows| float::scaled(&table, &split.train, rows, self.means()));
        if let Some(column) = float::differing(&train, &float[0]) {
            return Err(format!(
                "column `{column}`: its scaling is not that of an independent computation; this is a defect of Confab"
            ));
        }
        Ok(Preparation {
            left_out,
            scaler,
            train_labels: of(&split.train),
            test_labels: of(tested),
            train,
            test,
            float,
            split,
            table,
        })
    }

    /// Checks that each party gets columns, or rows.
    fn check_parts(&self, table: &Table, split: &Split, participants: u32) -> Result<(), String> {
        match self.partition {
            Partition::Columns { .. } => {
                split::deal(table.columns.len(), participants as usize).map(drop).map_err(|e| e.to_string())
            }
            Partition::Rows { .. } if split.train.len() < participants as usize => Err(format!(
                "{} training rows cannot be divided among {participants} providers",
                split.train.len()
            )),
            Partition::Rows { .. } => Ok(()),
        }
    }

    fn scaler(&self, table: &Table, rows: &[usize]) -> Result<Scaler, String> {
        match self.partition {
            Partition::Columns { scaling, .. } => {
                Scaler::fit(table, rows, scaling).map_err(|e| e.to_string())
            }
            Partition::Rows { standardise: true, .. } => horizontal::pooled(&table.with_rows(rows)),
            Partition::Rows { .. } => Ok(Scaler::identity(&table.columns)),
        }
    }

    /// That the training rows fit the protocols' integers.
    fn check_features(&self, train: &Scaled) -> Result<(), String> {
        match self.partition {
            Partition::Columns { scaling, .. } => Features::encode_training(train).map(drop).map_err(|e| {
                let advice = if scaling == Scaling::None { "; use --scale std or unit" } else { "" };
                format!("{e}{advice}")
            }),
            Partition::Rows { standardise, .. } => horizontal::features(train, standardise).map(drop),
        }
    }

    /// How the floating-point run scales.
    pub fn means(&self) -> float::Means {
        match self.partition {
            Partition::Columns { scaling, .. } => float::Means { scaling, gaps_count: true },
            Partition::Rows { standardise: true, .. } => {
                float::Means { scaling: Scaling::Std, gaps_count: false }
            }
            Partition::Rows { .. } => float::Means { scaling: Scaling::None, gaps_count: false },
        }
    }
}
