use super::{
    Done,
    nodes::{participants, run_job},
    train::{ON_TEST, RunArgs, SingleArgs, kind_name, show_ledger, show_left_out, show_metrics, tell_table},
};
use crate::{
    output::{Steps, is_stdout, write_json},
    shutdown,
};
use launcher::Kind;
use node::{
    experiment::Participants,
    rows::{RowsPlan, RowsPrepared, RowsSummary},
    worker::RowsReport,
};
use std::time::Instant;

/// A training by rows: `confab train --partition rows`.
pub async fn train(plan: &RowsPlan, run: &RunArgs, single: &SingleArgs) -> Done {
    let steps = Steps::new();
    let done = tokio::select! {
        done = conduct(plan, run, single, &steps) => done,
        () = shutdown::requested() => Err("interrupted; nodes and ledger were stopped".into()),
    };
    steps.clear();
    let (summary, verified) = done?;
    if !is_stdout(run.json.as_deref()) {
        show(&summary, verified);
    }
    if let Some(path) = &run.json {
        write_json(path, &summary)?;
    }
    if summary.identical_weights == Some(false) || summary.identical_predictions == Some(false) {
        return Err("the secure run differs from the plaintext reference; this is a defect of Confab".into());
    }
    match verified {
        Some(false) => Err("the observer's replay found defects".into()),
        _ => Ok(()),
    }
}

async fn conduct(
    plan: &RowsPlan,
    run: &RunArgs,
    single: &SingleArgs,
    steps: &Steps,
) -> Done<(RowsSummary, Option<bool>)> {
    let temporary = tempfile::Builder::new().prefix("confab-").tempdir()?;
    tell_table(&plan.check(run.participants)?);
    let (work, folder) = single.folders(temporary.path())?;
    let orgs = organisations(run);
    let borrowed = run.network(temporary.path(), orgs, steps).await?;
    let network = &borrowed.network;
    let nodes = participants(network, orgs as u32, &folder, run.deadlines())?;
    let (prepared, reports, summary) = run_plan(plan, &nodes, network.kind, steps).await?;
    if single.out.is_some() {
        write_json(&work.join("model.json"), &prepared.model(&reports)?)?;
        write_json(&work.join("report.json"), &summary)?;
    }
    let verified = run.replay(network, &prepared.params.id(), steps).await?;
    Ok((summary, verified))
}

/// The providers, and the analyst behind them.
pub fn organisations(run: &RunArgs) -> usize {
    run.participants as usize + 1
}

/// One training by rows, compared with the reference.
pub async fn run_plan(
    plan: &RowsPlan,
    nodes: &Participants,
    kind: Kind,
    steps: &Steps,
) -> Done<(RowsPrepared, Vec<RowsReport>, RowsSummary)> {
    let prepared = plan.lay_out(nodes)?;
    let start = Instant::now();
    run_job(&prepared.participants, &prepared.params, steps).await?;
    let total = start.elapsed().as_secs_f64();
    let reports = prepared.reports()?;
    steps.step("comparing with the plaintext reference");
    let summary = prepared.summary(&reports, kind_name(kind), total)?;
    Ok((prepared, reports, summary))
}

fn show(r: &RowsSummary, verified: Option<bool>) {
    say!("job           {}", r.job);
    say!(
        "data          {} training and {} test instances, {} features; rows dealt to {} providers",
        r.instances,
        r.test_instances,
        r.features,
        r.providers
    );
    if !r.dropped_lines.is_empty() {
        say!("              {} lines with gaps were left out", r.dropped_lines.len());
    }
    show_left_out(&r.left_out);
    if r.filled_gaps > 0 {
        say!("              {} gaps count as their column's mean", r.filled_gaps);
    }
    let (made, most) = r.iterations;
    say!(
        "training      {made} of at most {most} updates, {} rows of each provider, {:?} comparison",
        r.batch,
        r.protocol
    );
    say!("key           {} bits, the analyst's own", r.key_bits);
    if let Some(epsilon) = r.epsilon {
        say!("noise         ε = {epsilon:.2} for a row of one provider, by that provider's own noise");
    }
    let s = &r.seconds;
    say!(
        "time          {:.1} s: work of all providers {:.1} s and the analyst {:.1} s; of it comparison {:.1} s, \
         polynomial multiplication {:.1} s",
        s.total,
        s.providers,
        s.analyst,
        s.comparison,
        s.multiplication
    );
    say!("processor     {:.1} s of all participants together while at work", s.cpu_all_participants);
    if let Some(bytes) = r.peak_memory {
        say!("memory        {} MB at most in a participant's process", bytes / 1_000_000);
    }
    show_ledger(&r.ledger);
    say!("");
    show_metrics(
        ON_TEST,
        &[("secure", &r.secure), ("plaintext reference", &r.plaintext), ("64-bit floating point", &r.float)],
    );
    say!("");
    let answer = |holds: Option<bool>| match holds {
        Some(true) => "yes",
        Some(false) => "NO",
        None => "not compared, for there was noise",
    };
    say!("every weight equals the reference's       {}", answer(r.identical_weights));
    say!("every prediction equals the reference's   {}", answer(r.identical_predictions));
    if let Some(verified) = verified {
        say!(
            "an observer's replay of the blocks        {}",
            if verified { "found nothing wrong" } else { "FOUND DEFECTS" }
        );
    }
    say!("");
    say!("what this run reveals");
    for line in &r.reveals {
        say!("  - {line}");
    }
}
