use super::{
    CliResult,
    audit::{self, AuditArgs, OpenArgs},
    job::NodeFile,
    protect::{self, ProtectArgs},
    watch,
};
use crate::{
    args::{AgainstArg, DeadlineArgs, LedgerArg},
    error::CliError,
    output::{Steps, is_stdout, outputs, write_json},
    program::program,
    shutdown,
};
use clap::{Args, Subcommand};
use experiment::{Participants, Runner};
use gateway_client::{Call, Contract};
use node::{
    KeyList,
    config::Config,
    keyring::{KeySummary, Keyring, KeyringError, own_entry},
    ledger, proposal, protected,
};
use paillier::KeyShare;
use protocol::forms;
use records::{Code, Deadlines, Dealer, Fingerprint, KeyEntry, KeyRefresh, Kind, MspId, TRAINING};
use serde::Serialize;
use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

#[derive(Subcommand)]
pub enum KeyCommand {
    /// Make a threshold key without a dealer: its members negotiate it over the ledger.
    ///
    /// With --config, proposes it to the organisations that are named and waits for the end; each of them accepts with
    /// `confab job accept`, and every node keeps its share. With --out, plays all members on this machine and writes one
    /// file for each, like `confab key deal`.
    Negotiate(NegotiateArgs),
    /// List the keys of which this organisation's node has a share, and those on the ledger.
    List {
        #[command(flatten)]
        node: NodeFile,
        /// Write the list as JSON, `-` for standard output.
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Show one key; never any part of a share.
    Show(ShowArgs),
    /// Give the same key new shares, for the same members or others; ciphertexts stay as they are.
    ///
    /// A quorum of the old members deals. Old shares do not combine with new ones; but as many old shares as decrypted
    /// before still open old data together, so members who leave must be trusted to delete theirs.
    Refresh(RefreshArgs),
    /// Copy a share out of a node, for a backup. With a quorum of such files anyone can decrypt.
    Export {
        #[command(flatten)]
        node: NodeFile,
        /// The key: its fingerprint or the beginning of it.
        #[arg(long)]
        key: String,
        /// The file to be made (mode 0600).
        #[arg(long)]
        out: PathBuf,
    },
    /// Put the key files of a node, or one file, under a passphrase: shares of keys, an analyst's keys.
    ///
    /// The passphrase comes from --passphrase-file FILE, the variable CONFAB_PASSPHRASE, or the terminal. Keys that the node
    /// makes later are protected, too. Stop the node meanwhile.
    Protect(ProtectArgs),
    /// Take the passphrase from the key files of a node, or from one file. Stop the node meanwhile.
    Unprotect(ProtectArgs),
    /// Delete this node's share of a key; without a backup it is lost.
    Delete {
        #[command(flatten)]
        node: NodeFile,
        /// The key: its fingerprint or the beginning of it.
        #[arg(long)]
        key: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Take a share into a node: a backup, or one that was dealt.
    Import {
        #[command(flatten)]
        node: NodeFile,
        /// The file.
        #[arg(long)]
        file: PathBuf,
    },
    /// Open this node's secret of a negotiation that failed, so that others see that it followed the protocol.
    ///
    /// Refused unless the node has read that the job ended without a key: then its candidates are used for nothing, and
    /// the secret was used for nothing else. The secret of a job that made a key, of a refresh
    /// or of a training is never opened.
    Open(OpenArgs),
    /// Find out who spoilt a negotiation that failed, from the secrets that its members opened.
    ///
    /// Replays the job as `confab verify` does, and makes every record of a member who opened its secret anew. The first
    /// that differs names its sender; so does a secret that does not give the HPKE key with which the member began. Who
    /// posted and opened nothing is named as not accounted for.
    Audit(AuditArgs),
    /// Deal a threshold key: one file for each member, to be carried there by hand.
    ///
    /// This command holds the whole key while it deals: for tests, and where a dealer is trusted. Run it on a machine
    /// that all members trust, carry each file to its member, and delete the rest.
    Deal {
        /// Number of members n.
        #[arg(long, value_parser = clap::value_parser!(u32).range(2..=64))]
        parties: u32,
        /// How many members decrypt together; all of them unless given.
        #[arg(long)]
        quorum: Option<u32>,
        #[command(flatten)]
        size: SizeArgs,
        /// Where to put the files key-share-1.json, … (mode 0600).
        #[arg(long)]
        out: PathBuf,
    },
}

/// The size of a key.
#[derive(Args, Clone, Copy)]
pub struct SizeArgs {
    /// Bits of the modulus N.
    #[arg(long, default_value_t = 2048)]
    key_bits: u32,
    /// Consent to a modulus below 2,048 bits, which can be broken.
    #[arg(long)]
    insecure_key_bits: bool,
}

#[derive(Args)]
pub struct NegotiateArgs {
    /// The configuration of the own node: negotiate with other organisations.
    #[arg(long, required_unless_present = "out", conflicts_with = "out")]
    config: Option<PathBuf>,
    /// The members' MSP identifiers; their order is that of the participants in a training.
    #[arg(required_unless_present = "out", conflicts_with = "out", num_args = 2..)]
    members: Vec<MspId>,
    /// Play all members on this machine, and put the files key-share-1.json, … (mode 0600) here.
    #[arg(long, requires = "parties")]
    out: Option<PathBuf>,
    /// Number of members n, with --out.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=64))]
    parties: Option<u32>,
    /// Which ledger, with --out; a temporary one is started.
    #[arg(long, value_enum, default_value = "dev")]
    ledger: LedgerArg,
    /// How many members decrypt together; all of them unless given.
    #[arg(long)]
    quorum: Option<u32>,
    /// Against whom the key protects: see `confab train --help`.
    #[arg(long, value_enum)]
    against: Option<AgainstArg>,
    /// What the key may be used for; no job of another purpose takes it.
    #[arg(long, default_value = TRAINING)]
    purpose: String,
    #[command(flatten)]
    size: SizeArgs,
    #[command(flatten)]
    deadlines: DeadlineArgs,
    /// Write what came out as JSON, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub struct ShowArgs {
    /// The configuration of the own node.
    #[arg(long, required_unless_present = "file", requires = "key")]
    config: Option<PathBuf>,
    /// The key: its fingerprint or the beginning of it.
    #[arg(long)]
    key: Option<String>,
    /// A share file instead of a node's.
    #[arg(long, conflicts_with = "config")]
    file: Option<PathBuf>,
    /// Write it as JSON, with the public key, `-` for standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub struct RefreshArgs {
    #[command(flatten)]
    node: NodeFile,
    /// The key: its fingerprint or the beginning of it.
    #[arg(long)]
    key: String,
    /// The new members' MSP identifiers, in their new order; the old ones unless given.
    #[arg(long, num_args = 2.., value_name = "MSP")]
    members: Vec<MspId>,
    /// The old members who deal, as many as decrypt together; unless given the first who stay, then those who leave.
    #[arg(long, num_args = 2.., value_name = "MSP")]
    dealers: Vec<MspId>,
    /// The old members in their order, of a key that was dealt; the ledger knows those of a negotiated one.
    #[arg(long, num_args = 2.., value_name = "MSP")]
    old_members: Vec<MspId>,
    /// How many of the new members decrypt together; as many as before unless given.
    #[arg(long)]
    quorum: Option<u32>,
    #[command(flatten)]
    deadlines: DeadlineArgs,
}

/// One key, for people and machines.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    key: KeySummary,
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<paillier::KeyParts>,
}

pub async fn run(command: KeyCommand) -> CliResult {
    match command {
        KeyCommand::Negotiate(args) => match (&args.config, &args.out, args.parties) {
            (Some(config), ..) => propose(config, &args).await,
            (_, Some(out), Some(parties)) => play(out, parties, &args).await,
            _ => Err("say with whom: --config FILE MEMBERS…, or --out DIR --parties N".into()),
        },
        KeyCommand::List { node, json } => list(&node, json.as_deref()).await,
        KeyCommand::Show(args) => show(&args).await,
        KeyCommand::Refresh(args) => refresh(&args).await,
        KeyCommand::Export { node, key, out } => {
            let config = node.load()?;
            never_overwritten(&out)?;
            node.outputs(&config).writes("--out", Some(&out)).check()?;
            let share = Keyring::open(&config).find(&key)?;
            protected::write_new(&config.data_dir, &out, share.to_json())?;
            say!("{}", out.display());
            if protected::is_protected(&config.data_dir) {
                tell!("it is under the passphrase of this node");
            }
            Ok(())
        }
        KeyCommand::Import { node, file } => {
            let share = protected::share(&file)?;
            let path = Keyring::open(&node.load()?).add(&share)?;
            say!("{}", path.display());
            tell!("delete {} if it is no backup", file.display());
            Ok(())
        }
        KeyCommand::Protect(args) => protect::protect(&args),
        KeyCommand::Unprotect(args) => protect::unprotect(&args),
        KeyCommand::Delete { node, key, yes } => delete(&node, &key, yes),
        KeyCommand::Open(args) => audit::open(&args).await,
        KeyCommand::Audit(args) => audit::audit(args).await,
        KeyCommand::Deal { parties, quorum, size, out } => deal(parties, quorum, size, &out),
    }
}

impl SizeArgs {
    /// Bits of the modulus.
    pub fn bits(self) -> u32 {
        self.key_bits
    }

    /// Refuses a modulus that can be broken, unless that is consented to.
    pub fn check(self) -> CliResult {
        match self.key_bits >= 2048 || self.insecure_key_bits {
            true => Ok(()),
            false => Err(format!(
                "--key-bits {0}: a modulus of {0} bits can be broken; use 2048 or more, or consent with \
                 --insecure-key-bits",
                self.key_bits
            )
            .into()),
        }
    }
}

fn share_path(out: &Path, member: u32) -> PathBuf {
    out.join(format!("key-share-{member}.json"))
}

/// Not with --force either.
fn never_overwritten(share: &Path) -> CliResult {
    match std::fs::symlink_metadata(share) {
        Ok(_) => Err(format!("{} exists; a key share is never overwritten", share.display()).into()),
        Err(_) => Ok(()),
    }
}

/// Makes a folder for share files, and sees to it that none is there.
fn prepare_folder(out: &Path, parties: u32) -> CliResult {
    (1..=parties).try_for_each(|member| never_overwritten(&share_path(out, member)))?;
    outputs().fills("--out", Some(out), &[]).check()?;
    std::fs::create_dir_all(out)
        .map_err(|e| CliError::environment(format!("cannot make {}: {e}", out.display())))
}

fn deal(parties: u32, quorum: Option<u32>, size: SizeArgs, out: &Path) -> CliResult {
    size.check()?;
    prepare_folder(out, parties)?;
    let quorum = quorum.unwrap_or(parties);
    let (_, shares) =
        paillier::deal(parties, quorum, u64::from(size.key_bits), TRAINING, &mut node::os_rng())?;
    for (member, share) in (1..).zip(&shares) {
        share.write(&share_path(out, member))?;
        say!("{}", share_path(out, member).display());
    }
    tell!("this machine held the whole key; carry each file to its member and delete it here");
    Ok(())
}

impl NegotiateArgs {
    fn generation(&self, parties: u32) -> records::KeyGeneration {
        let against = AgainstArg::collusion(self.against, parties);
        let quorum = self.quorum.unwrap_or(parties);
        let SizeArgs { key_bits, insecure_key_bits } = self.size;
        records::KeyGeneration {
            purpose: self.purpose.clone(),
            ..proposal::key_generation(key_bits, insecure_key_bits, quorum, against)
        }
    }
}

/// Proposes a negotiation in the organisation's name.
async fn propose(config: &Path, args: &NegotiateArgs) -> CliResult {
    args.size.check()?;
    let node = NodeFile::from_path(config);
    node.outputs(&node.load()?).writes("--json", args.json.as_deref()).check()?;
    let kind = Kind::KeyGeneration(args.generation(args.members.len() as u32));
    conclude(&node, kind, args.members.clone(), args.deadlines, args.json.as_deref()).await
}

/// Proposes a job about a key and waits for its end.
async fn conclude(
    node: &NodeFile,
    kind: Kind,
    participants: Vec<MspId>,
    deadlines: DeadlineArgs,
    json: Option<&Path>,
) -> CliResult {
    let mut params = proposal::job_params(kind, participants)?;
    params.deadlines = Some(deadlines.or(Deadlines::PEOPLE));
    params.validate()?;
    let (_, handle) = node.handle(is_stdout(json)).await?;
    let (_, contract) = node.open()?;
    let job = handle.propose(&params).await?;
    tell!("proposed job {job}; each participant accepts it: confab job accept --config FILE {job}");
    let view = watch::until_the_end(&handle, &contract, &job, |state| tell!("{state}")).await?;
    if view.ending.as_ref().is_none_or(|ending| ending.outcome != records::Outcome::Finished) {
        let how = view.ending.map_or_else(|| "not ended".into(), |ending| ending.to_string());
        return Err(CliError::participant(format!("the job was {how}")));
    }
    let entries: Vec<KeyEntry> = ledger::list(&contract, Call::new("keys")).await?;
    let entry = entries
        .into_iter()
        .find(|entry| entry.job == job)
        .ok_or_else(|| CliError::environment("the ledger has no key of this job"))?;
    if !is_stdout(json) {
        say!("{}", entry.fingerprint);
    }
    json.map_or(Ok(()), |file| write_json(file, &entry))
}

/// All members on this machine.
async fn play(out: &Path, parties: u32, args: &NegotiateArgs) -> CliResult {
    args.size.check()?;
    let names = (1..=parties).map(|member| format!("Member{member}").parse()).collect::<Result<_, _>>()?;
    proposal::job_params(Kind::KeyGeneration(args.generation(parties)), names)?.validate()?;
    outputs().fills("--out", Some(out), &[]).writes("--json", args.json.as_deref()).check()?;
    prepare_folder(out, parties)?;
    let steps = Steps::new();
    let temporary = tempfile::Builder::new().prefix("confab-").tempdir()?;
    let deadlines = args.deadlines.or(Deadlines::EXPERIMENT);
    let program = program()?;
    let runner = Runner { program: &program, progress: &steps };
    let making = async {
        let dir = temporary.path().join("ledger");
        let borrowed = runner.borrow_network(args.ledger.kind(), &dir, parties as usize).await?;
        let folder = temporary.path().join("members");
        let members = Participants::on(&borrowed.network, parties, &folder, deadlines)?;
        let reports = runner.negotiate(&members, args.generation(parties)).await?;
        members
            .configs
            .iter()
            .map(|config| {
                let keyring = Keyring::open(&Config::load(config)?);
                Ok(keyring.find(&reports[0].key.to_string())?)
            })
            .collect::<CliResult<Vec<KeyShare>>>()
    };
    let made = shutdown::or_interrupted(making, shutdown::STOPPED).await;
    steps.clear();
    let shares = made?;
    for (member, share) in (1..).zip(&shares) {
        share.write(&share_path(out, member))?;
        if !is_stdout(args.json.as_deref()) {
            say!("{}", share_path(out, member).display());
        }
    }
    tell!("all shares were on this machine; carry each file to its member and delete it here");
    args.json.as_deref().map_or(Ok(()), |file| write_json(file, &KeySummary::of_share(&shares[0], None)))
}

fn delete(node: &NodeFile, key: &str, yes: bool) -> CliResult {
    let keyring = Keyring::open(&node.load()?);
    let share = keyring.find(key)?;
    let key = share.key();
    let others = key.parties() - 1;
    tell!("share {} of key {} ({})", share.index() + 1, forms::fingerprint(key), share.purpose());
    match others >= key.quorum() {
        true => tell!(
            "without it this organisation takes no part in decryptions; {} of the {others} others still can",
            key.quorum()
        ),
        false => tell!(
            "without it nothing under this key can be decrypted any more, for all {} members are needed",
            key.parties()
        ),
    }
    tell!("it cannot be made again; `confab key export` keeps a copy");
    if !yes && !confirmed()? {
        return Err("nothing was deleted".into());
    }
    say!("deleted {}", keyring.delete(&share)?.display());
    Ok(())
}

/// Asks the person at the terminal.
fn confirmed() -> CliResult<bool> {
    if !std::io::stdin().is_terminal() {
        return Err("there is no terminal to ask at; say --yes to delete it".into());
    }
    write!(std::io::stderr(), "delete it? [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

async fn list(node: &NodeFile, json: Option<&Path>) -> CliResult {
    node.known_outputs().writes("--json", json).check()?;
    let KeyList { keys, ledger } = node.handle(is_stdout(json)).await?.1.keys().await?;
    if let Some(reason) = ledger {
        tell!("the ledger cannot be asked ({reason}): these are the node's own shares only");
    }
    if let Some(file) = json {
        write_json(file, &keys)?;
    }
    if !is_stdout(json) {
        if keys.is_empty() {
            tell!("no keys; `confab key negotiate --config FILE MEMBERS…` makes one");
        }
        for key in &keys {
            let own = key.member.map_or("no share here".into(), |member| format!("own share {member}"));
            say!(
                "{}  {} of {}, {} bits, {}, {own}",
                key.fingerprint,
                key.quorum,
                key.members,
                key.bits,
                key.purpose
            );
        }
    }
    Ok(())
}

async fn show(args: &ShowArgs) -> CliResult {
    let outputs = args.config.iter().chain(&args.file).fold(outputs(), |outputs, file| outputs.reads(file));
    outputs.writes("--json", args.json.as_deref()).check()?;
    let with_public = |share: &KeyShare, entry| Shown {
        key: KeySummary::of_share(share, entry),
        public: Some(share.key().to_parts()),
    };
    let key = match (&args.file, &args.config, &args.key) {
        (Some(file), ..) => with_public(&protected::share(file)?, None),
        (_, Some(config), Some(key)) => {
            let (config, contract) = NodeFile::from_path(config).open()?;
            match Keyring::open(&config).find(key) {
                Ok(share) => {
                    let entries = entries(&contract, forms::fingerprint(share.key())).await?;
                    with_public(&share, own_entry(&entries, &share, &own_msp_id(&config)?))
                }
                Err(missing @ KeyringError::Missing { .. }) => {
                    let entry = match key.parse() {
                        Ok(key) => entries(&contract, key).await.unwrap_or_default().into_iter().next(),
                        Err(_) => None,
                    };
                    Shown { key: KeySummary::of_entry(entry.ok_or(missing)?), public: None }
                }
                Err(e) => return Err(e.into()),
            }
        }
        _ => return Err("say which: --config FILE --key FINGERPRINT, or --file FILE".into()),
    };
    if let Some(file) = &args.json {
        write_json(file, &key)?;
    }
    if !is_stdout(args.json.as_deref()) {
        let key = &key.key;
        say!("fingerprint  {}", key.fingerprint);
        say!("purpose      {}", key.purpose);
        say!("modulus      {} bits", key.bits);
        say!("decrypt      {} of {} members together", key.quorum, key.members);
        match key.member {
            Some(member) => say!("own share    that of member {member}"),
            None => say!("own share    none"),
        }
        say!("made against {} colluding members", key.collusion_bound);
        match &key.entry {
            Some(entry) => {
                say!("members      {}", entry.members.join(", "));
                say!("made by job  {}", entry.job);
                if let Some(old) = &entry.refreshes {
                    say!("refreshes    {old}");
                }
            }
            None if args.file.is_some() => {}
            None => say!("the ledger does not know it: it was dealt, or negotiated elsewhere"),
        }
    }
    Ok(())
}

/// What the ledger keeps of a key: an entry for each job that entered it.
async fn entries(contract: &Contract, fingerprint: Fingerprint) -> CliResult<Vec<KeyEntry>> {
    match contract.evaluate(Call::new("key").arg(fingerprint.to_string())).await {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(e) if e.refusal().is_some_and(|r| r.code == Code::UnknownKey.as_str()) => Ok(Vec::new()),
        Err(e) => Err(e.into()),
    }
}

fn own_msp_id(config: &Config) -> CliResult<MspId> {
    Ok(ledger::connect(config)?.user().identity().msp_id().parse()?)
}

async fn refresh(args: &RefreshArgs) -> CliResult {
    let (config, contract) = args.node.open()?;
    let share = Keyring::open(&config).find(&args.key)?;
    let key = share.key();
    let fingerprint = forms::fingerprint(key);
    let entries = entries(&contract, fingerprint).await?;
    let old = match own_entry(&entries, &share, &own_msp_id(&config)?) {
        Some(entry) => entry.members,
        None if args.old_members.is_empty() => {
            return Err(
                "the ledger does not know who the members of this key are: name them with --old-members"
                    .into(),
            );
        }
        None => args.old_members.clone(),
    };
    if old.len() != key.parties() as usize {
        return Err(format!("the key has {} members, not {}", key.parties(), old.len()).into());
    }
    let members = if args.members.is_empty() { old.clone() } else { args.members.clone() };
    let dealers: Vec<MspId> = match args.dealers.is_empty() {
        false => args.dealers.clone(),
        true => {
            let (stay, leave): (Vec<_>, Vec<_>) =
                old.iter().cloned().partition(|name| members.contains(name));
            stay.into_iter().chain(leave).take(key.quorum() as usize).collect()
        }
    };
    if dealers.len() != key.quorum() as usize {
        return Err(format!(
            "--dealers: name exactly {} old members, as many as decrypt together",
            key.quorum()
        )
        .into());
    }
    let mut participants = members.clone();
    participants.extend(dealers.iter().filter(|name| !members.contains(name)).cloned());
    let place = |list: &[MspId], name: &MspId| list.iter().position(|other| other == name);
    let dealers = dealers
        .iter()
        .map(|name| {
            let member = place(&old, name).ok_or_else(|| format!("{name} is no member of this key"))?;
            let party = place(&participants, name).ok_or("a dealer takes part")?;
            Ok(Dealer { party: party as u32, member: member as u32 })
        })
        .collect::<CliResult<Vec<Dealer>>>()?;
    let kind = Kind::KeyRefresh(KeyRefresh {
        key: fingerprint,
        purpose: share.purpose().into(),
        key_bits: key.bits() as u32,
        insecure_key_bits: key.bits() < 2048,
        old_parties: key.parties(),
        share_bits: share.share_bits() as u32,
        dealers,
        members: (0..members.len() as u32).collect(),
        quorum: args.quorum.unwrap_or_else(|| key.quorum().min(members.len() as u32)),
    });
    conclude(&args.node, kind, participants, args.deadlines, None).await
}
