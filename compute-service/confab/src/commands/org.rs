use crate::{
    error::CliResult,
    output::{Steps, outputs, write_json},
    program::{chaincode_command, definition},
    render::show_network,
    shutdown,
};
use clap::{Args, Subcommand};
use launcher::{
    Network,
    org::{self, Channel, Export, OrgOptions},
};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum OrgCommand {
    /// Make the keys of one organisation, on its own machine.
    Init {
        /// Short name, e.g. Clinic; the MSP identifier is ClinicMSP.
        #[arg(long)]
        name: String,
        /// Domain, e.g. clinic.example.com.
        #[arg(long)]
        domain: String,
        /// HOST:PORT at which the other organisations reach its peer.
        #[arg(long)]
        peer: String,
        /// HOST:PORT at which they reach its orderer, if it is to run one; one or three of the organisations do.
        #[arg(long)]
        orderer: Option<String>,
        /// Where keys, configuration, data and logs go.
        #[arg(long)]
        dir: PathBuf,
    },
    /// Write what the other organisations need to know of this one: certificates of its authorities, addresses.
    Export {
        /// The organisation's folder.
        #[arg(long)]
        dir: PathBuf,
        /// The file to be made.
        #[arg(long)]
        out: PathBuf,
    },
    /// Start this organisation's peer, orderer and chaincode service, and join the channel.
    ///
    /// The first time it waits up to a quarter of an hour for the other organisations to do the same. Afterwards it starts
    /// what does not run. `confab network status|logs|down --dir DIR` work on the organisation's folder.
    Start {
        /// The organisation's folder.
        #[arg(long)]
        dir: PathBuf,
        /// What `confab network create` made.
        #[arg(long)]
        channel: PathBuf,
        /// Where an official Fabric release was unpacked; FABRIC_HOME unless given.
        #[arg(long)]
        fabric_home: Option<PathBuf>,
    },
}

#[derive(Args)]
pub struct CreateArgs {
    /// What an organisation exported (`confab org export`), once for each.
    #[arg(long = "org", required = true, value_name = "FILE")]
    orgs: Vec<PathBuf>,
    /// The channel's name.
    #[arg(long, default_value = "confab")]
    channel: String,
    /// The file to be made.
    #[arg(long, default_value = "channel.json")]
    out: PathBuf,
    /// Where an official Fabric release was unpacked; FABRIC_HOME unless given.
    #[arg(long)]
    fabric_home: Option<PathBuf>,
}

pub async fn run(command: OrgCommand) -> CliResult {
    match command {
        OrgCommand::Init { name, domain, peer, orderer, dir } => {
            let options = OrgOptions { dir, name, domain, peer, orderer, definition: definition()? };
            let network = org::init(&options)?;
            say!("{} in {}", network.orgs[0].msp_id, network.dir.display());
            tell!(
                "its keys are in there; give others what `confab org export --dir {} --out FILE` writes",
                network.dir.display()
            );
            Ok(())
        }
        OrgCommand::Export { dir, out } => {
            outputs().writes("--out", Some(&out)).check()?;
            write_json(&out, &org::export(&Network::load(&dir)?)?)
        }
        OrgCommand::Start { dir, channel, fabric_home } => {
            let (channel, chaincode) = (Channel::load(&channel)?, chaincode_command()?);
            let steps = Steps::new();
            let mut progress = |step: &str| steps.step(step);
            let starting = org::start(&dir, &channel, &chaincode, fabric_home.as_deref(), &mut progress);
            let network = shutdown::or_interrupted(starting, shutdown::UNDONE).await;
            steps.clear();
            show_network(&network?);
            Ok(())
        }
    }
}

pub async fn create(args: CreateArgs) -> CliResult {
    let outputs = args.orgs.iter().fold(outputs(), |outputs, file| outputs.reads(file));
    outputs.writes("--out", Some(&args.out)).check()?;
    let orgs = args.orgs.iter().map(|file| Ok(Export::load(file)?)).collect::<CliResult<Vec<Export>>>()?;
    let channel = org::create(&args.channel, &definition()?, &orgs, args.fabric_home.as_deref()).await?;
    write_json(&args.out, &channel)?;
    let file = args.out.display();
    say!("{file}: channel {} of {} organisations", channel.name, orgs.len());
    say!("give it to all of them; each starts its part on its own machine:");
    for org in &orgs {
        say!("  {:<12} confab org start --dir DIR --channel {file}    # peer {}", org.name, org.peer.address);
    }
    Ok(())
}
