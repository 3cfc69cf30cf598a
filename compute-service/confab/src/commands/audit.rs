use super::{
    CliResult,
    job::NodeFile,
    verify::{Ledger, Source},
};
use crate::error::CliError;
use crate::output::{Steps, is_stdout, outputs, write_json, write_private_json};
use clap::Args;
use key_generation::{Audited, Opening, Verdict};
use node::audit;
use records::JobId;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct OpenArgs {
    #[command(flatten)]
    node: NodeFile,
    /// The job.
    job: JobId,
    /// The file to be made, for those who audit the job (`confab key audit --opened`).
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
pub struct AuditArgs {
    /// The job.
    job: JobId,
    #[command(flatten)]
    source: Source,
    /// What `confab key open` made, once for each member.
    #[arg(long, value_name = "FILE")]
    opened: Vec<PathBuf>,
    /// Write the findings as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub async fn open(args: &OpenArgs) -> CliResult {
    args.node.known_outputs().writes("--out", Some(&args.out)).check()?;
    let (_, node) = args.node.handle(false).await?;
    let opening = node.open_secret(&args.job).await?;
    write_private_json(&args.out, &opening)?;
    say!("{}", args.out.display());
    tell!("give it to the organisation that audits the job: confab key audit {} --opened FILE …", args.job);
    Ok(())
}

fn read(path: &Path) -> CliResult<Opening> {
    let text = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
    serde_json::from_slice(&text).map_err(|e| format!("{}: {e}", path.display()).into())
}

pub async fn audit(args: AuditArgs) -> CliResult {
    let id = args.job;
    let outputs = args.opened.iter().fold(outputs(), |outputs, file| outputs.reads(file));
    outputs.writes("--json", args.json.as_deref()).check()?;
    let openings = args.opened.iter().map(|path| read(path)).collect::<CliResult<Vec<Opening>>>()?;
    let Ledger { channel, chaincode, msps } = args.source.open(&id).await?;
    let steps = Steps::new();
    let progress = |block| steps.count("block", block, block.max(1));
    let audited = audit::audit(&channel, &chaincode, &id, msps.as_ref(), &openings, progress).await;
    steps.clear();
    let audited = audited?;
    if let Some(path) = &args.json {
        write_json(path, &audited)?;
    }
    if !is_stdout(args.json.as_deref()) {
        show(&audited);
    }
    let named: Vec<&str> = audited.findings.unaccounted().map(|member| member.msp_id.as_str()).collect();
    match named.is_empty() {
        true => Ok(()),
        false => Err(CliError::participant(format!("not accounted for: {}", named.join(", ")))),
    }
}

fn show(audited: &audit::Audited) {
    let (replay, findings) = (&audited.replay, &audited.findings);
    say!("job      {}", replay.job);
    if let Some(ending) = &replay.ending {
        say!("ending   {ending}");
    }
    say!("records  {} in {} blocks", replay.records, replay.blocks);
    if let Some(fault) = &findings.fault {
        say!("fault    {fault}");
    }
    for member in &findings.members {
        say!("{}: {}", member.msp_id, sentence(member));
    }
    if !findings.waits_for.is_empty() {
        say!("the job waits for {}", findings.waits_for.join(", "));
    } else if findings.fault.is_none() {
        say!("the records give no cause for the end of the job");
    }
    for defect in &replay.defects {
        say!("replay   {defect}");
    }
}

fn sentence(member: &Audited) -> String {
    match &member.verdict {
        Verdict::Prescribed => format!("{} records are as the protocol prescribes", member.records),
        Verdict::Deviates { slot, transaction, reason } => {
            format!("DEVIATES at {slot}, transaction {transaction}: {reason}")
        }
        Verdict::WrongOpening => {
            "what was given as its opening does not give the HPKE key that it posted".into()
        }
        Verdict::Unopened => "has opened nothing; not accounted for".into(),
    }
}
