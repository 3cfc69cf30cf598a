//! Nodes of this machine, as child processes, for one job at a time.

use super::{Done, program, train::PATIENCE_SECS};
use crate::output::Steps;
use launcher::Network;
use node::{
    experiment::{Participants, job_params},
    run::Event,
    worker::KeyReport,
};
use records::{Ending, JobParams, KeyGeneration, Kind, Outcome, Phase, Rules};
use std::{path::Path, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    sync::mpsc,
};

/// Runs a node for every participant until the job has ended.
pub async fn run_job(participants: &Participants, params: &JobParams, steps: &Steps) -> Done {
    let program = program()?;
    let job = params.id();
    let parties = params.participants.len();
    let (events, mut on_event) = mpsc::unbounded_channel();
    let mut nodes: Vec<Child> = Vec::new();
    for party in 0..parties {
        let mut node = participants.spawn_node(&program, party, &job)?;
        let stdout = node.stdout.take().ok_or("a node without standard output")?;
        let events = events.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(event) = serde_json::from_str::<Event>(&line) {
                    let _ = events.send((party, Some(event)));
                }
            }
            let _ = events.send((party, None));
        });
        nodes.push(node);
    }
    drop(events);
    let mut progress = Shown::new(params);
    steps.step(progress.begin);
    participants.propose(params).await?;
    let mut ended: Vec<Option<Ending>> = vec![None; parties];
    let mut unfit = Vec::new();
    while let Some((party, event)) = on_event.recv().await {
        match event {
            Some(Event::Progress { job: of, progress: made }) if of == job && party == 0 => {
                progress.show(&made, steps);
            }
            Some(Event::Ended { job: of, ending, .. }) if of == job => ended[party] = Some(ending),
            Some(Event::Unfit { job: of, reason }) if of == job => unfit.push((party, reason)),
            None if ended[party].is_none() => {
                let name = &params.participants[party];
                let log = participants.configs[party].with_file_name("node.log");
                let text = std::fs::read_to_string(&log).unwrap_or_default();
                let last = text.lines().last().unwrap_or("it said nothing");
                return Err(format!("the node of {name} stopped: {last}").into());
            }
            _ => {}
        }
    }
    for node in &mut nodes {
        // They stop by themselves when the job has ended.
        if tokio::time::timeout(Duration::from_secs(10), node.wait()).await.is_err() {
            node.kill().await?;
        }
    }
    match ended.into_iter().flatten().find(|ending| ending.outcome != Outcome::Finished) {
        None => Ok(()),
        Some(ending) => Err(match unfit.first() {
            // The ledger is not told, but this is all one person's data.
            Some((party, reason)) => format!("{}: {reason}", params.participants[*party]),
            None => format!("the job was {ending}"),
        }
        .into()),
    }
}

/// Nodes for the first organisations of a network.
pub fn participants(network: &Network, parties: u32, dir: &Path) -> Done<Participants> {
    let organisations = network.organisations(parties as usize);
    let (channel, chaincode) = (network.channel.clone(), network.chaincode.name.clone());
    Ok(Participants::new(dir, organisations, channel, chaincode, PATIENCE_SECS)?)
}

/// What a person sees of a job under way.
struct Shown {
    begin: &'static str,
    /// Number of all records, where it is known beforehand.
    records: Option<u64>,
    batch: Option<u32>,
}

impl Shown {
    fn new(params: &JobParams) -> Self {
        let rules = Rules::new(params);
        let of = |phase: Phase| {
            let slots = u64::from(rules.chunks(phase)) * rules.authors(phase).len() as u64;
            // Only one of the rounds that could end with a model does.
            let rounds = if phase == Phase::Model { 1 } else { rules.rounds(phase) };
            u64::from(rounds) * slots
        };
        let all = || Some(rules.phases().into_iter().map(of).sum());
        let (begin, records) = match &params.kind {
            Kind::VerticalSvm(_) | Kind::HorizontalSvm(_) => ("proposing the training", all()),
            Kind::VerticalPredict(_) => ("proposing the predictions", all()),
            Kind::KeyGeneration(_) => ("proposing the negotiation of a threshold key", None),
            Kind::KeyRefresh(_) => ("proposing the refresh of a threshold key", all()),
        };
        Self { begin, records, batch: None }
    }

    fn show(&mut self, progress: &node::driver::Progress, steps: &Steps) {
        match self.records {
            Some(records) => steps.count(progress.phase.as_str(), progress.records, records),
            None if progress.phase == Phase::Units && self.batch != Some(progress.round) => {
                self.batch = Some(progress.round);
                steps.step(&format!(
                    "negotiating a threshold key: batch {} of candidates",
                    progress.round + 1
                ));
            }
            None => {}
        }
    }
}

/// Lets the participants negotiate a key; what each of them has of it.
pub async fn negotiate(
    participants: &Participants,
    generation: KeyGeneration,
    steps: &Steps,
) -> Done<Vec<KeyReport>> {
    let names = participants.organisations.iter().map(|(msp_id, _)| msp_id.clone()).collect();
    let params = job_params(Kind::KeyGeneration(generation), names)?;
    params.validate()?;
    participants.accept(&params.id())?;
    run_job(participants, &params, steps).await?;
    Ok(participants.reports(&params.id())?)
}
