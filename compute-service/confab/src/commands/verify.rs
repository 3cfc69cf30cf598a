use super::{CliResult, job::NodeFile};
use crate::{
    error::CliError,
    output::{Steps, is_stdout, outputs, write_json},
};
use clap::Args;
use experiment::Observer;
use launcher::Network;
use msp::{Msp, Msps};
use node::{
    config::Config,
    ledger,
    verify::{self, Verification},
};
use records::{JobId, JobView};
use std::path::PathBuf;

/// Replays a job from the ledger's blocks, as an observer without any secret.
///
/// Checked are: the hashes of all blocks, the signatures of creators and endorsers of every transaction of the job and
/// their certificates, its endorsement policy and what it read (the peer's own verdict on a transaction is not relied on),
/// that every record is its participant's and came after all that it needs, the proofs of all
/// partial decryptions, the recombined indicators, and the digest of the model where it was published.
#[derive(Args)]
pub struct VerifyArgs {
    /// The job.
    job: JobId,
    #[command(flatten)]
    source: Source,
    /// Write the findings as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Whose blocks are replayed, and against which authorities.
#[derive(Args)]
pub struct Source {
    /// A folder with a ledger of this machine (network.json).
    #[arg(long, required_unless_present = "config")]
    dir: Option<PathBuf>,
    /// The configuration of a node, whose connection is used.
    #[arg(long, conflicts_with = "dir")]
    config: Option<PathBuf>,
    /// With --config: an organisation's authorities, MSPID=FOLDER, where the folder is its MSP as it published it; once
    /// for each organisation.
    #[arg(long, value_name = "MSPID=FOLDER", conflicts_with = "dir", value_parser = msp_folder)]
    msp: Vec<(String, PathBuf)>,
}

/// The blocks that are replayed.
pub struct Ledger {
    /// As a peer shows it.
    pub channel: gateway_client::Network,
    /// The job contract.
    pub chaincode: String,
    /// The organisations, where they are known otherwise than from the ledger.
    pub msps: Option<Msps>,
}

impl Source {
    /// Connects; the participants of this job must be among the organisations, where some are named.
    pub async fn open(&self, id: &JobId) -> CliResult<Ledger> {
        let Some(path) = &self.config else {
            let dir = self.dir.as_ref().ok_or("name the ledger: --dir or --config")?;
            let Observer { channel, chaincode, msps } = Observer::new(&Network::load(dir)?)?;
            return Ok(Ledger { channel, chaincode, msps: Some(msps) });
        };
        let config = Config::load(path)?;
        let channel = ledger::connect(&config)?.network(&config.channel);
        if !self.msp.is_empty() {
            require_msps(&self.msp, &ledger::view(&channel.contract(&config.chaincode), id).await?)?;
        }
        let msps =
            self.msp.iter().map(|(id, folder)| Msp::load(id, folder)).collect::<Result<Vec<_>, _>>()?;
        let msps = (!msps.is_empty()).then(|| Msps::new(msps));
        Ok(Ledger { channel, chaincode: config.chaincode, msps })
    }
}

fn msp_folder(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((id, folder)) if !id.is_empty() && !folder.is_empty() => Ok((id.into(), folder.into())),
        _ => Err("not of the form MSPID=FOLDER".into()),
    }
}

/// Finds participants whose authorities are not named, before every transaction of theirs is a defect.
fn require_msps(named: &[(String, PathBuf)], view: &JobView) -> CliResult {
    let mut missing = view.job.params.participants.clone();
    missing.retain(|msp_id| named.iter().all(|(name, _)| msp_id != name));
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "name the authorities of all participants: --msp is missing for {}",
            missing.join(", ")
        )
        .into()),
    }
}

pub async fn run(args: VerifyArgs) -> CliResult {
    let id = args.job;
    let outputs =
        args.source.config.as_deref().map_or_else(outputs, |file| NodeFile::from_path(file).known_outputs());
    outputs.writes("--json", args.json.as_deref()).check()?;
    let Ledger { channel, chaincode, msps } = args.source.open(&id).await?;
    let steps = Steps::new();
    let progress = |block| steps.count("block", block, block.max(1));
    let found = verify::verify(&channel, &chaincode, &id, msps.as_ref(), progress).await;
    steps.clear();
    let found = found?;
    if let Some(path) = &args.json {
        write_json(path, &found)?;
    }
    if !is_stdout(args.json.as_deref()) {
        show(&found);
    }
    match found.defects.len() {
        0 => Ok(()),
        count => Err(CliError::participant(format!("{count} defects"))),
    }
}

fn show(found: &Verification) {
    say!("job           {}", found.job);
    say!("participants  {}", found.participants.join(", "));
    say!("blocks        {} with an unbroken chain of hashes", found.blocks);
    say!("first block   {}; the other organisations' peers must show the same", found.first_block);
    say!("transactions  {}, signatures of creators and endorsers checked", found.transactions);
    let anchored = if found.certificates_checked {
        "chain to the organisations' authorities"
    } else {
        "not checked against authorities: name the organisations' with --msp, or run with --dir"
    };
    say!("certificates  {anchored}");
    say!(
        "validation    {} transactions validated again: ids, endorsement policies, versions read",
        found.validated
    );
    say!("records       {}, {} of them after all that they need", found.records, found.barriers);
    say!("proofs        {} records of partial decryptions", found.proofs);
    say!("indicators    {} recombined", found.indicators);
    match &found.ending {
        Some(ending) => say!("ending        {ending}"),
        None => say!("ending        none yet"),
    }
    found.notes.iter().for_each(|note| say!("note          {note}"));
    for defect in &found.defects {
        say!("DEFECT        {defect}");
    }
    match (found.complete, found.defects.is_empty()) {
        (true, _) => say!("the job is complete and everything holds"),
        (false, true) => say!("nothing is wrong with what is there; the job is not complete"),
        (false, false) => {}
    }
}
