use super::{CliResult, job::NodeFile, key::SizeArgs};
use crate::{
    args::{ClassArgs, ReadingArgs},
    error::{Blamed, CliError},
    output::{Steps, is_stdout, outputs, replaces, write_json},
    render::tell_table,
};
use clap::{Args, Subcommand};
use dataset::table::{Columns, Overview, Table};
use node::{
    blobs::Blobs,
    config::Config,
    data,
    instances::{AnalystKeys, Collected, Offer, Sharing, SharingError, checked, names, provider_secret},
};
use records::{AnalystKey, Device, Digest, Fingerprint, MspId, SharedTable};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum InstancesCommand {
    /// Publish a key under which others encrypt rows for this organisation, and print its address.
    ///
    /// The first time a key pair is made; the secret part stays in the node's data directory (analyst-keys/, mode 0600).
    /// Without it nothing that is encrypted under it can be read: keep a copy of the folder.
    Key(KeyArgs),
    /// List the analysts who have published a key.
    Analysts(ReportArgs),
    /// Encrypt a table's rows for an analyst and record them on the ledger.
    ///
    /// The table is the one of the [data] section, or that of --data. Every member of the channel sees who shares how many rows
    /// of which columns with whom, only the analyst any value. Numbers are exact to nine decimal places, gaps stay
    /// gaps; identifiers are not shared. Where the command was interrupted, give it again: it goes on with the rest.
    Share(ShareArgs),
    /// List the tables that are shared with this organisation, or with --to those it shares with an analyst.
    List(ListArgs),
    /// Fetch the rows that are shared with this organisation, check and decrypt them, and write a CSV file for each table.
    Fetch(FetchArgs),
}

#[derive(Args)]
pub struct ReportArgs {
    #[command(flatten)]
    node: NodeFile,
    /// Write it as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub struct KeyArgs {
    #[command(flatten)]
    report: ReportArgs,
    #[command(flatten)]
    size: SizeArgs,
    /// Make another key though there is one; providers use the newest.
    #[arg(long)]
    new: bool,
}

#[derive(Args)]
pub struct ShareArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// The analyst: its MSP identifier, or its address (eight digits or more).
    #[arg(long, value_name = "ANALYST")]
    to: String,
    /// Which of the analyst's keys, by the beginning of its fingerprint; the newest unless given.
    #[arg(long)]
    key: Option<String>,
    /// Consent to a key below 2,048 bits, which can be broken.
    #[arg(long)]
    insecure_key_bits: bool,
    /// The table, instead of the one in the [data] section of the configuration.
    #[arg(long, value_name = "CSV")]
    data: Option<PathBuf>,
    /// The label column, a name or a number from 1, of two classes; with --data.
    #[arg(long, requires = "data")]
    label: Option<String>,
    #[command(flatten)]
    classes: ClassArgs,
    #[command(flatten)]
    reading: ReadingArgs,
    /// A column that identifies the rows, which is not shared; with --data.
    #[arg(long, requires = "data")]
    id: Option<String>,
    /// Further columns that are not shared; with --data.
    #[arg(long, requires = "data", value_name = "COLUMN")]
    ignore: Vec<String>,
    /// What made the rows: four bytes, 8 hexadecimal digits.
    #[arg(long, default_value = "00000000")]
    device: Device,
    /// A folder that the analyst sees, too, for rows of more than 8 KiB of ciphertexts: each lies there under its SHA-256.
    #[arg(long, value_name = "DIR")]
    blobs: Option<PathBuf>,
    /// Put smaller rows into that folder, too; the ledger has their digests only.
    #[arg(long, requires = "blobs")]
    off_ledger: bool,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// The analyst with whom this organisation shares: MSP identifier or address.
    #[arg(long, value_name = "ANALYST")]
    to: Option<String>,
}

#[derive(Args)]
pub struct FetchArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// The folder for the CSV files (mode 0600).
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only of this provider: MSP identifier or address.
    #[arg(long, value_name = "PROVIDER")]
    from: Option<String>,
    /// Only this table, by the beginning of its name.
    #[arg(long)]
    table: Option<String>,
    /// The folder with the rows that do not lie on the ledger.
    #[arg(long, value_name = "DIR")]
    blobs: Option<PathBuf>,
}

/// A published key, for people and machines.
#[derive(Serialize)]
struct ShownKey {
    msp_id: MspId,
    address: Digest,
    fingerprint: Fingerprint,
    bits: u32,
    published: u64,
}

/// A shared table, for people and machines.
#[derive(Serialize)]
struct ShownTable {
    table: Digest,
    /// Rows that are on the ledger.
    present: usize,
    #[serde(flatten)]
    frame: SharedTable,
}

pub async fn run(command: InstancesCommand) -> CliResult {
    match command {
        InstancesCommand::Key(args) => key(&args).await,
        InstancesCommand::Analysts(args) => {
            let keys = args.connect()?.1.analyst_keys().await?;
            args.show(&keys.iter().map(shown).collect::<Vec<_>>(), |keys| keys.iter().for_each(say_key))
        }
        InstancesCommand::Share(args) => share(&args).await,
        InstancesCommand::List(args) => list(&args).await,
        InstancesCommand::Fetch(args) => fetch(&args).await,
    }
}

impl ReportArgs {
    fn connect(&self) -> CliResult<(Config, Sharing)> {
        let config = self.node.load()?;
        self.node.outputs(&config).writes("--json", self.json.as_deref()).check()?;
        let sharing = Sharing::connect(&config)?;
        Ok((config, sharing))
    }

    /// For people, unless a machine reads standard output.
    fn show<T: Serialize>(&self, found: &T, say: impl Fn(&T)) -> CliResult {
        if !is_stdout(self.json.as_deref()) {
            say(found);
        }
        self.json.as_deref().map_or(Ok(()), |file| write_json(file, found))
    }
}

fn shown(key: &AnalystKey) -> ShownKey {
    ShownKey {
        msp_id: key.msp_id.clone(),
        address: key.analyst,
        fingerprint: key.modulus.fingerprint(),
        bits: key.modulus.bits(),
        published: key.published,
    }
}

fn say_key(key: &ShownKey) {
    say!("{}", key.msp_id);
    say!("  address  {}", key.address);
    say!("  key      {}, {} bits", key.fingerprint, key.bits);
}

async fn key(args: &KeyArgs) -> CliResult {
    args.size.check()?;
    let (config, sharing) = args.report.connect()?;
    let keys = AnalystKeys::open(&config);
    if args.new || keys.list()?.is_empty() {
        let steps = Steps::new();
        steps.step(&format!("making a key of {} bits", args.size.bits()));
        let made = keys.generate(args.size.bits().into());
        steps.clear();
        made?;
    }
    // Also one that was made, but not published because the command was interrupted.
    let mut own = Vec::new();
    for fingerprint in keys.list()? {
        own.push(sharing.publish(&keys.find(&fingerprint)?).await?);
    }
    let all = sharing.analyst_keys().await?;
    let is_own =
        |key: &&AnalystKey| key.analyst == sharing.address() && own.contains(&key.modulus.fingerprint());
    let own: Vec<ShownKey> = all.iter().filter(is_own).map(shown).collect();
    args.report.show(&own, |own| own.iter().for_each(say_key))
}

impl ShareArgs {
    fn table(&self, config: &Config) -> CliResult<Table> {
        let Some(file) = &self.data else {
            if self.classes.is_given() || self.reading.is_given() {
                return Err(
                    "how a table is read belongs to --data; for that of the node it is said in [data]".into(),
                );
            }
            return Ok(data::read(config.data.as_ref().ok_or_else(data::no_data)?)?);
        };
        let [positive, negative] = self.classes.classes();
        let columns = Columns {
            label: self.label.clone(),
            positive,
            negative,
            id: self.id.clone(),
            ignore: self.ignore.clone(),
            reading: self.reading.reading(),
            ..Columns::default()
        };
        let table = Table::read(file, &columns)?;
        tell_table(&Overview::new(file, &table));
        Ok(table)
    }
}

async fn share(args: &ShareArgs) -> CliResult {
    if let Some(data) = &args.data {
        outputs().reads(data).writes("--json", args.report.json.as_deref()).check()?;
    }
    let (config, sharing) = args.report.connect()?;
    let table = args.table(&config)?;
    // A name, and not the beginning of an address.
    if !args.to.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        sharing.check_member(&args.to.parse()?).await?;
    }
    let to = sharing.key_of(&args.to, args.key.as_deref()).await?;
    sharing.check_member(&to.msp_id).await?;
    let key = checked(&to, args.insecure_key_bits)?;
    let blobs = args.blobs.as_deref().map(Blobs::open);
    let offer =
        Offer { to: &to, key: &key, device: args.device, blobs: blobs.as_ref(), off_ledger: args.off_ledger };
    let secret = provider_secret(&config.data_dir)?;
    let steps = Steps::new();
    steps.step(&format!("sharing {} rows with {}", table.rows.len(), to.msp_id));
    let progress = |done: u32, of: u32| steps.count("rows", done.into(), of.into());
    let provided = sharing.share(&table, &offer, &secret, progress).await;
    steps.clear();
    args.report.show(&provided?, |p| {
        say!("table    {}", p.table);
        say!("analyst  {} ({})", to.msp_id, p.analyst);
        say!("key      {}", p.key);
        say!("rows     {} on the ledger, {} of them from before", p.rows, p.already);
        let place = if p.off_ledger { "in the folder" } else { "on the ledger" };
        say!("a row    {} ciphertexts, {} bytes, {place}", p.ciphertexts, p.row_bytes);
        if p.rounded > 0 {
            say!("rounded  {} cells, to nine decimal places", p.rounded);
        }
    })
}

async fn list(args: &ListArgs) -> CliResult {
    let (_, sharing) = args.report.connect()?;
    let own = sharing.address();
    let tables = match &args.to {
        None => sharing.tables(&own, None).await?,
        Some(analyst) => {
            let analyst = sharing.key_of(analyst, None).await?.analyst;
            sharing.tables(&analyst, Some(&own)).await?
        }
    };
    let mut found = Vec::new();
    for frame in tables {
        found.push(ShownTable { table: frame.id(), present: sharing.rows(&frame).await?.len(), frame });
    }
    args.report.show(&found, |found| {
        for ShownTable { table, present, frame } in found {
            say!("table    {table}");
            say!("from     {} ({}), device {}", frame.msp_id, frame.provider, frame.device);
            say!("rows     {present} of {}, columns {}", frame.rows, some(&frame.columns));
            if let Some(classes) = &frame.classes {
                say!("label    {}: {} or {}", classes.column, classes.positive, classes.negative);
            }
            let place = if frame.off_ledger { "elsewhere, by digest" } else { "on the ledger" };
            say!("key      {}, {} bits; ciphertexts {place}", frame.key, frame.key_bits);
            say!("");
        }
        if found.is_empty() {
            say!("no tables for {own}");
        }
    })
}

/// The first names of many.
fn some(columns: &[String]) -> String {
    const SHOWN: usize = 12;
    match columns.get(..SHOWN) {
        Some(first) if columns.len() > SHOWN => {
            format!("{} and {} more", first.join(", "), columns.len() - SHOWN)
        }
        _ => columns.join(", "),
    }
}

async fn fetch(args: &FetchArgs) -> CliResult {
    outputs().fills("--out", Some(&args.out), &[]).check()?;
    let (config, sharing) = args.report.connect()?;
    let mut tables = sharing.tables(&sharing.address(), None).await?;
    tables.retain(|table| {
        args.from.as_ref().is_none_or(|name| names(name, table.msp_id.as_str(), &table.provider))
    });
    tables.retain(|table| args.table.as_ref().is_none_or(|id| table.id().to_string().starts_with(id)));
    if tables.is_empty() {
        return Err(format!("no such table is shared with {}", sharing.address()).into());
    }
    let (keys, blobs) = (AnalystKeys::open(&config), args.blobs.as_deref().map(Blobs::open));
    let steps = Steps::new();
    let (mut collected, mut problems): (Vec<Collected>, Vec<SharingError>) = Default::default();
    for table in &tables {
        steps.step(&format!("fetching {} rows of {}", table.rows, table.msp_id));
        let progress = |done: u32, of: u32| steps.count("rows", done.into(), of.into());
        match sharing.collect(table, &keys, blobs.as_ref(), (&args.out, replaces()), progress).await {
            Ok(one) => collected.push(one),
            Err(problem) => problems.push(problem),
        }
    }
    steps.clear();
    args.report.show(&collected, |collected| {
        for one in collected {
            say!("{}  {} of {} rows of {}", one.file.display(), one.rows, one.of, one.msp_id);
        }
    })?;
    let Some(first) = problems.first() else { return Ok(()) };
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(CliError::new(first.blame(), all.join("; ")))
}
