//! `confab ledger inspect`.

use super::CliResult;
use crate::output::{is_stdout, outputs, write_json};
use base64::{Engine, prelude::BASE64_STANDARD};
use clap::{Args, Subcommand};
use gateway_client::{Block, Checkpoint, Gateway, KvWrite, Options, TransactionInfo, TxValidationCode};
use launcher::Network;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

/// Show what is on a ledger, from its blocks.
///
/// The blocks are asked of a peer, so the ledger must run; real Fabric answers as the development ledger does. State and
/// history are what the valid transactions in the blocks wrote. Private data is in no block and not shown.
#[derive(Args)]
pub struct InspectArgs {
    /// The network's folder.
    #[arg(long)]
    dir: PathBuf,
    /// The organisation whose peer is asked; the first unless given.
    #[arg(long)]
    org: Option<String>,
    /// Write it as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Every block: number, hash and size.
    Blocks,
    /// Every transaction, or those of one block.
    Transactions {
        /// Number of the block.
        #[arg(long)]
        block: Option<u64>,
    },
    /// One transaction with its arguments and writes.
    Transaction {
        /// Its id, or the beginning of it.
        id: String,
    },
    /// The keys that are there, with their values.
    State {
        /// Only keys that begin with this.
        #[arg(long, default_value = "")]
        prefix: String,
    },
    /// Everything that became of one key, the oldest first.
    History {
        /// The key. In composite keys U+0000 may be written `\0`.
        key: String,
    },
}

#[derive(Serialize)]
struct BlockLine {
    number: u64,
    hash: String,
    transactions: usize,
    valid: usize,
    bytes: usize,
}

#[derive(Serialize)]
struct TransactionLine {
    block: u64,
    index: usize,
    id: String,
    /// Fabric's name of the verdict.
    verdict: &'static str,
    creator: String,
    chaincode: String,
    function: String,
    /// Milliseconds since 1970, by the client's clock.
    timestamp_ms: Option<u64>,
}

#[derive(Serialize)]
struct TransactionDetails {
    #[serde(flatten)]
    line: TransactionLine,
    endorsers: Vec<String>,
    args: Vec<Bytes>,
    event: Option<String>,
    writes: Vec<Change>,
}

/// A key and what was written under it.
#[derive(Clone, Serialize)]
struct Change {
    block: u64,
    transaction: String,
    chaincode: String,
    key: String,
    /// None where it was deleted.
    value: Option<Bytes>,
}

/// Text where it is UTF-8, else Base64.
#[derive(Clone, Serialize)]
#[serde(rename_all = "lowercase")]
enum Bytes {
    Text(String),
    Base64(String),
}

impl Bytes {
    fn new(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.into()),
            Err(_) => Self::Base64(BASE64_STANDARD.encode(bytes)),
        }
    }

    fn shown(&self) -> &str {
        match self {
            Self::Text(text) | Self::Base64(text) => text,
        }
    }
}

pub async fn run(args: InspectArgs) -> CliResult {
    let network = Network::load(&args.dir)?;
    let org = match &args.org {
        Some(name) => network.org(name).ok_or_else(|| format!("no organisation {name}"))?,
        None => network.orgs.first().ok_or("the network has no organisation")?,
    };
    let profile = network.path(&org.profile);
    let inputs = outputs().reads(args.dir.join("network.json")).reads(&profile);
    inputs.writes("--json", args.json.as_deref()).check()?;
    let blocks = read(&network, &profile).await?;
    match &args.what {
        What::Blocks => {
            let lines: Vec<_> = blocks.iter().map(block_line).collect();
            args.report(&lines, |line| {
                say!(
                    "{:>6}  {}  {} transactions, {} valid, {} bytes",
                    line.number,
                    &line.hash[..16],
                    line.transactions,
                    line.valid,
                    line.bytes
                );
            })
        }
        What::Transactions { block } => {
            let wanted = blocks.iter().filter(|found| block.is_none_or(|number| found.number == number));
            let lines: Vec<_> = wanted.flat_map(lines).collect();
            args.report(&lines, show_line)
        }
        What::Transaction { id } => {
            let all = blocks
                .iter()
                .flat_map(|block| block.transactions.iter().enumerate().zip(std::iter::repeat(block)));
            let found: Vec<_> = all
                .filter(|((_, transaction), _)| transaction.transaction_id.starts_with(id.as_str()))
                .map(|((index, transaction), block)| details(block, index, transaction))
                .collect();
            if id.is_empty() || found.is_empty() {
                return Err(format!("no transaction {id:?}").into());
            }
            args.report(&found, show_details)
        }
        What::State { prefix } => {
            let mut state = BTreeMap::new();
            for change in
                blocks.iter().flat_map(changes).filter(|change| change.key.starts_with(prefix.as_str()))
            {
                let place = (change.chaincode.clone(), change.key.clone());
                match change.value {
                    Some(_) => drop(state.insert(place, change)),
                    None => drop(state.remove(&place)),
                }
            }
            let lines: Vec<_> = state.into_values().collect();
            args.report(&lines, show_change)
        }
        What::History { key } => {
            let key = key.replace("\\0", "\0");
            let lines: Vec<_> = blocks.iter().flat_map(changes).filter(|change| change.key == key).collect();
            if lines.is_empty() {
                return Err(format!("nothing was ever written under {key:?}").into());
            }
            args.report(&lines, show_change)
        }
    }
}

impl InspectArgs {
    fn report<T: Serialize>(&self, all: &[T], show: impl Fn(&T)) -> CliResult {
        if !is_stdout(self.json.as_deref()) {
            all.iter().for_each(show);
        }
        self.json.as_deref().map_or(Ok(()), |path| write_json(path, &all))
    }
}

/// All blocks that the peer has now.
async fn read(network: &Network, profile: &Path) -> CliResult<Vec<Block>> {
    let gateway = Gateway::from_profile(profile, None, Options::default())?;
    let mut stream = gateway.network(&network.channel).past_blocks(Checkpoint::start());
    let mut blocks = Vec::new();
    while let Some(block) = stream.next().await {
        blocks.push(block?);
    }
    Ok(blocks)
}

fn block_line(block: &Block) -> BlockLine {
    let transactions = &block.transactions;
    BlockLine {
        number: block.number,
        hash: hex::encode(block.hash),
        transactions: transactions.len(),
        valid: transactions.iter().filter(|transaction| transaction.is_valid()).count(),
        bytes: transactions.iter().map(|transaction| transaction.bytes).sum(),
    }
}

fn lines(block: &Block) -> impl Iterator<Item = TransactionLine> {
    block.transactions.iter().enumerate().map(|(index, transaction)| line(block, index, transaction))
}

fn line(block: &Block, index: usize, transaction: &TransactionInfo) -> TransactionLine {
    let since = transaction.timestamp.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    TransactionLine {
        block: block.number,
        index,
        id: transaction.transaction_id.clone(),
        verdict: verdict(transaction.validation_code),
        creator: transaction.creator.msp_id.clone(),
        chaincode: transaction.chaincode.clone(),
        function: transaction.function().unwrap_or_default().into(),
        timestamp_ms: since.and_then(|since| u64::try_from(since.as_millis()).ok()),
    }
}

fn verdict(code: TxValidationCode) -> &'static str {
    code.as_str_name()
}

fn details(block: &Block, index: usize, transaction: &TransactionInfo) -> TransactionDetails {
    TransactionDetails {
        line: line(block, index, transaction),
        endorsers: transaction.endorsers.iter().map(|endorser| endorser.msp_id.clone()).collect(),
        args: transaction.args.iter().map(|arg| Bytes::new(arg)).collect(),
        event: transaction.event.as_ref().map(|event| event.name.clone()),
        writes: transaction.writes.iter().map(|write| change(block, transaction, write)).collect(),
    }
}

/// What the valid transactions of a block wrote.
fn changes(block: &Block) -> impl Iterator<Item = Change> {
    let valid = block.transactions.iter().filter(|transaction| transaction.is_valid());
    valid.flat_map(move |transaction| {
        transaction.writes.iter().map(move |write| change(block, transaction, write))
    })
}

fn change(block: &Block, transaction: &TransactionInfo, write: &KvWrite) -> Change {
    Change {
        block: block.number,
        transaction: transaction.transaction_id.clone(),
        chaincode: write.namespace.clone(),
        key: write.key.clone(),
        value: (!write.is_delete).then(|| Bytes::new(&write.value)),
    }
}

fn show_line(line: &TransactionLine) {
    let id = if line.id.is_empty() { "-" } else { &line.id };
    say!(
        "{:>6}/{:<3} {id}  {}  {} {} {}",
        line.block,
        line.index,
        line.verdict,
        line.creator,
        line.chaincode,
        line.function
    );
}

fn show_details(details: &TransactionDetails) {
    show_line(&details.line);
    say!("  endorsed by {}", details.endorsers.join(", "));
    details.args.iter().for_each(|arg| say!("  argument {}", arg.shown()));
    details.event.iter().for_each(|event| say!("  event {event}"));
    for write in &details.writes {
        say!("  {} {} = {}", write.chaincode, write.key.escape_debug(), shown(write));
    }
}

fn show_change(change: &Change) {
    let id = change.transaction.get(..8).unwrap_or(&change.transaction);
    say!("{:>6} {id}  {} {} = {}", change.block, change.chaincode, change.key.escape_debug(), shown(change));
}

fn shown(change: &Change) -> &str {
    change.value.as_ref().map_or("(deleted)", Bytes::shown)
}
