use super::CliResult;
use clap::Subcommand;
use crypto_material::{NetworkSpec, generate};
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum CryptoCommand {
    /// Make a CA, a TLS CA, a peer, an administrator and a user for each organisation, and one orderer.
    ///
    /// The layout is that of Fabric's cryptogen, so that peers and orderers start from it. What is there already is
    /// kept.
    Generate {
        /// Number of organisations: Org1MSP (org1.example.com), Org2MSP, …
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
        orgs: u16,
        /// Where to put it.
        #[arg(long)]
        dir: PathBuf,
    },
}

pub fn run(command: &CryptoCommand) -> CliResult {
    let CryptoCommand::Generate { orgs, dir } = command;
    generate(&NetworkSpec::standard(usize::from(*orgs)), dir)?;
    say!("crypto material for {orgs} organisations and an orderer is in {}", dir.display());
    Ok(())
}
