//! New rows of an experiment whose participants kept their parts of the model: each of them gets its columns, and they ask
//! the judge.

use crate::{
    error::{Result, file_error, input},
    participants::Participants,
    source::{csv_text, id_column, quoted},
};
use dataset::table::{Columns, Table};
use files::Access;
use node::{
    config::{Config, NewRows},
    model::{Model, Query},
    predictions::{self, Answer, QueryLog},
};
use records::{JobId, JobParams};
use std::{fs, path::Path};

/// A finished training by columns with `--model split`, and everything that its run left in a folder.
#[derive(Debug)]
pub struct SplitRun {
    /// The whole model: the experiment is one person's.
    pub model: Model,
    /// The training.
    pub training: JobId,
    /// The nodes.
    pub participants: Participants,
}

impl SplitRun {
    /// What `confab train --out` left.
    ///
    /// # Errors
    /// A file that is not there or of another kind of run.
    pub fn open(out: &Path) -> Result<Self> {
        let model = Model::load(&out.join("model.json")).map_err(input)?;
        // Paths in a configuration are relative to its own folder.
        let out = &fs::canonicalize(out).map_err(file_error(out))?;
        let training = model.job.clone().filter(|_| model.holders.len() > 1);
        let training = training.ok_or_else(|| {
            input(format!("{}: not of a training by columns that says who holds the model", out.display()))
        })?;
        let participants = Participants::open(&out.join("participants"), &model.holders)?;
        Ok(Self { model, training, participants })
    }

    /// Gives every participant its columns of the new rows, and a limit; the job that asks about them, unless all of them
    /// were answered before.
    ///
    /// # Errors
    /// Rows that do not fit the model, or files that cannot be written.
    pub fn deploy(&self, query: &Query, row_limit: Option<u32>) -> Result<Option<JobParams>> {
        let id = query.id.clone().ok_or_else(|| input("name the column of identifiers with --id"))?;
        let columns = Columns { id: Some(id), features: Some(self.model.columns()), ..Columns::default() };
        let columns = Columns { reading: query.reading.clone(), ..columns };
        let mut table = Table::from_file(&query.file, &columns).map_err(input)?;
        table.order_by_id().map_err(input)?;
        let id_column = id_column(&table);
        let mut first = 0;
        for (party, part) in self.model.parts.iter().enumerate() {
            let file = self.participants.configs[party].with_file_name("new.csv");
            let own = first..first + part.weights.len();
            first = own.end;
            let rows = table.rows.iter().map(|row| (quoted(row.id.as_deref().unwrap_or_default()), row));
            let text = csv_text(&id_column, &table, own, rows);
            files::write(&file, text.as_bytes(), Access::Owner).map_err(file_error(&file))?;
            self.participants.configure(party, |config| {
                let row_limit = row_limit.unwrap_or_else(|| predictions::row_limit(config));
                config.predictions = Some(NewRows {
                    file,
                    id: id_column.clone(),
                    na: None,
                    // The names may be numbers.
                    header: Some(true),
                    decimal_comma: false,
                    row_limit,
                });
            })?;
        }
        let config = self.config()?;
        let answered = QueryLog::load(&config, &self.training).map_err(input)?;
        if table.rows.iter().flat_map(|row| &row.id).all(|id| answered.answers.contains_key(id)) {
            return Ok(None);
        }
        let mut params = predictions::template(&config, &self.training).map_err(input)?;
        params.deadlines = Some(self.participants.deadlines);
        Ok(Some(params))
    }

    fn config(&self) -> Result<Config> {
        Config::load(&self.participants.configs[0]).map_err(input)
    }

    /// What is known of some instances, in their order.
    ///
    /// # Errors
    /// A record that cannot be read, or one of them that was not answered.
    pub fn answers<'a>(&self, ids: impl IntoIterator<Item = &'a String>) -> Result<Vec<Answer>> {
        let mut answered = QueryLog::load(&self.config()?, &self.training).map_err(input)?;
        let answer = |id: &String| {
            let answer = answered.answers.remove(id);
            answer.ok_or_else(|| input(format!("instance `{}` was not answered", id.escape_debug())))
        };
        ids.into_iter().map(answer).collect()
    }
}
