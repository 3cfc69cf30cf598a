//! What several commands show, and the tables that they write.

use crate::{
    error::{CliError, CliResult},
    output::{is_stdout, put, write},
};
use dataset::{metrics::Metrics, table::Overview};
use files::Access;
use launcher::Network;
use node::model::Predictions;
use std::path::Path;

/// What was read, before it is used.
pub fn tell_table(table: &Overview) {
    table.lines().iter().for_each(|(about, text)| tell!("{about:<8} {text}"));
}

/// A line of measures for each model, by name, under a title.
pub fn show_metrics(title: &str, models: &[(&str, &Metrics)]) {
    say!("{title:<24} {:>9} {:>9} {:>9} {:>9}", "accuracy", "precision", "recall", "F1");
    for (name, metrics) in models {
        let m = &metrics.scores;
        say!("{name:<24} {:>9.4} {:>9.4} {:>9.4} {:>9.4}", m.accuracy, m.precision, m.recall, m.f1);
    }
}

/// What predictions say of a table as a whole.
pub fn show_predictions(found: &Predictions) {
    if found.filled > 0 {
        say!("{} empty cells were filled with the training rows' mean", found.filled);
    }
    let Some(measures) = &found.measures else { return };
    let counts = &measures.confusion;
    show_metrics("on these rows", &[("the model", measures)]);
    say!(
        "right: {} positive, {} negative; wrong: {} of the negative, {} of the positive",
        counts.true_positive,
        counts.true_negative,
        counts.false_positive,
        counts.false_negative
    );
}

/// Writes a table, for its owner's eyes only.
pub fn write_csv<const N: usize>(
    path: &Path,
    header: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> CliResult {
    let failed = |e: csv::Error| CliError::defect(format!("cannot write {}: {e}", path.display()));
    let mut text = csv::Writer::from_writer(Vec::new());
    text.write_record(header).map_err(failed)?;
    for row in rows {
        text.write_record(row).map_err(failed)?;
    }
    let text = text.into_inner().map_err(|e| e.into_error())?;
    match is_stdout(Some(path)) {
        true => write(path, &text),
        false => put(path, &text, Access::Owner),
    }
}

/// Says how to use a network that is up.
pub fn show_network(network: &Network) {
    say!("channel {}, chaincode {} {}", network.channel, network.chaincode.name, network.chaincode.version);
    for org in &network.orgs {
        say!("  {:<8} peer {}  {}", org.msp_id, org.peer.address, network.path(&org.profile).display());
    }
    for guest in &network.guests {
        say!("chaincode {} {}", guest.name, guest.version);
        for (org, service) in &guest.services {
            say!("  {:<8} service {}, which registers as {}", org, service.address(), guest.id(service));
        }
    }
}
