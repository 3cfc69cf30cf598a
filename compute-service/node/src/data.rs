//! From an organisation's files to its side of a job.

use crate::{
    config::{Config, Data},
    model::Part,
};
use paillier::KeyShare;
use protocol::{Fault, JobSecret};
use records::Job;
use svm::{
    fixed::Features,
    scaling::Scaler,
    table::{Columns, Table},
    vertical::Private,
};

/// What a participant brings to one job.
pub struct Loaded {
    /// For the protocol.
    pub private: Private,
    /// The frame of the model's part: columns and scaling, without weights.
    pub part: Part,
}

/// Reads key share and table and checks that they fit a job.
///
/// # Errors
/// [`Fault::Input`] with file, line and column.
pub fn load(config: &Config, job: &Job, secret: &JobSecret) -> Result<Loaded, Fault> {
    let input = |e: &dyn std::fmt::Display| Fault::Input(e.to_string());
    let share = KeyShare::read(&config.key_share).map_err(|e| input(&e))?;
    let (table, scaler) = table(&config.data)?;
    let all: Vec<usize> = (0..table.rows.len()).collect();
    let scaled = scaler.apply(&table, &all).map_err(|e| input(&e))?;
    let features = Features::encode(&scaled).map_err(|e| input(&e))?;
    let labels = table.labels().map_err(|e| input(&e))?;
    let ids: Vec<String> = table.rows.iter().filter_map(|row| row.id.clone()).collect();
    let private = Private::new(&job.params, share, &ids, features, labels, secret)?;
    let part = Part { msp_id: String::new(), scaler, weights: Vec::new() };
    Ok(Loaded { private, part })
}

/// The table of an organisation in the order of its identifiers, with the scaling fitted on all of it.
///
/// # Errors
/// [`Fault::Input`] with file, line and column.
pub fn table(data: &Data) -> Result<(Table, Scaler), Fault> {
    let file = data.file.display();
    let input = |e: &dyn std::fmt::Display| Fault::Input(format!("{file}: {e}"));
    let columns = Columns {
        label: Some(data.label.clone()),
        positive: data.positive.clone(),
        id: Some(data.id.clone()),
        ..Columns::default()
    };
    let mut table = Table::read(&data.file, &columns).map_err(|e| Fault::Input(e.to_string()))?;
    table.order_by_id().map_err(|e| input(&e))?;
    if !data.fill_missing {
        table.require_no_gaps().map_err(|e| input(&e))?;
    }
    let all: Vec<usize> = (0..table.rows.len()).collect();
    let scaler = Scaler::fit(&table, &all, data.scale).map_err(|e| input(&e))?;
    Ok((table, scaler))
}
