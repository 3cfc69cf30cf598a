//! Training by rows on both ledgers: providers and an analyst as nodes, killed meanwhile; the model is that of the pooled
//! rows.

mod fixture;

use fixture::{Ledger, run};
use launcher::Kind;
use node::{experiment::Source, rows::RowsPlan, worker::RowsReport};
use records::{Comparison, Decimal, HorizontalSvm, Publication};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn on_the_development_ledger() {
    on(Ledger::start(Kind::Dev, 4).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_fabric() {
    on(Ledger::start(Kind::Fabric, 4).await).await;
}

async fn on(ledger: Option<Ledger>) {
    let Some(ledger) = ledger else { return };
    the_model_is_that_of_the_pooled_rows_though_nodes_are_killed(&ledger).await;
    the_papers_protocol_comes_to_the_same(&ledger).await;
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn plan(ledger: &Ledger, name: &str, comparison: Comparison, model: Publication) -> RowsPlan {
    let training = HorizontalSvm {
        comparison,
        analyst: 0,
        columns: Vec::new(),
        positive: String::new(),
        negative: String::new(),
        standardise: true,
        rows: 0,
        batch: None,
        iterations: 8,
        tolerance: None,
        learning_rate: decimal("0.5"),
        lambda: decimal("0.001"),
        c: decimal("1"),
        intercept: true,
        gradient_noise: None,
        key_bits: 512,
        insecure_key_bits: true,
        margin_bits: 50,
        weak_blinding: true,
        model,
    };
    let table = ledger.network.dir.join(format!("{name}.csv"));
    RowsPlan { source: Source::generated(&table, 70).unwrap(), c: None, training }
}

async fn the_model_is_that_of_the_pooled_rows_though_nodes_are_killed(ledger: &Ledger) {
    let nodes = ledger.participants("kept", 4);
    let plan = plan(ledger, "kept", Comparison::Hidden, Publication::Split);
    let prepared = plan.lay_out(&nodes).unwrap();
    // A provider, then the analyst, who is the last.
    let killed = [(1, Duration::from_millis(1200)), (3, Duration::from_millis(700))];
    let reports: Vec<RowsReport> = run(&nodes, &prepared.params, &killed).await;
    let summary = prepared.summary(&reports, ledger.name(), 0.0).unwrap();
    assert_eq!(summary.identical_weights, Some(true));
    assert_eq!(summary.identical_predictions, Some(true));
    assert_eq!(summary.iterations, (8, 8));
    assert!(summary.secure.scores.accuracy > 0.7, "{:?}", summary.secure);
    // The model stays with the analyst.
    assert_eq!(
        reports.iter().map(|report| report.model.is_some()).collect::<Vec<_>>(),
        [false, false, false, true]
    );
    let found = ledger.verify(&prepared.params.id()).await;
    assert!(found.complete, "{:?}", found.defects);
}

async fn the_papers_protocol_comes_to_the_same(ledger: &Ledger) {
    let nodes = ledger.participants("paper", 4);
    let plan = plan(ledger, "paper", Comparison::Paper, Publication::Published);
    let prepared = plan.lay_out(&nodes).unwrap();
    let reports: Vec<RowsReport> = run(&nodes, &prepared.params, &[]).await;
    let summary = prepared.summary(&reports, ledger.name(), 0.0).unwrap();
    assert_eq!(summary.identical_weights, Some(true));
    assert!(reports.iter().all(|report| report.model.is_some()));
    assert!(ledger.verify(&prepared.params.id()).await.complete);
}
