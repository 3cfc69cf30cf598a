use super::Done;
use clap::Subcommand;
use node::experiment::KEY_PURPOSE;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum KeyCommand {
    /// Deal a threshold Paillier key: one file for each member, to be carried there by hand.
    ///
    /// This command holds the whole key while it deals. Run it on a machine that all members trust, carry each file to
    /// its member, and delete the rest.
    Deal {
        /// Number of members n.
        #[arg(long, value_parser = clap::value_parser!(u32).range(2..=64))]
        parties: u32,
        /// How many members decrypt together; all of them unless given.
        #[arg(long)]
        quorum: Option<u32>,
        /// Bits of the modulus N.
        #[arg(long, default_value_t = 2048)]
        key_bits: u32,
        /// Consent to a modulus below 2,048 bits, which can be broken.
        #[arg(long)]
        insecure_key_bits: bool,
        /// Where to put the files key-share-1.json, … (mode 0600).
        #[arg(long)]
        out: PathBuf,
    },
}

pub fn run(command: &KeyCommand) -> Done {
    let KeyCommand::Deal { parties, quorum, key_bits, insecure_key_bits, out } = command;
    if *key_bits < 2048 && !insecure_key_bits {
        return Err(format!(
            "--key-bits {key_bits}: a modulus of {key_bits} bits can be broken; use 2048 or more, or consent with \
             --insecure-key-bits"
        )
        .into());
    }
    let path = |member: u32| out.join(format!("key-share-{member}.json"));
    if let Some(taken) = (1..=*parties).map(path).find(|path| path.exists()) {
        return Err(format!("{} exists; a key share is never overwritten", taken.display()).into());
    }
    std::fs::create_dir_all(out).map_err(|e| format!("cannot make {}: {e}", out.display()))?;
    let quorum = quorum.unwrap_or(*parties);
    let (_, shares) =
        paillier::deal(*parties, quorum, u64::from(*key_bits), KEY_PURPOSE, &mut node::os_rng())?;
    for (member, share) in (1..).zip(&shares) {
        share.write(&path(member))?;
        say!("{}", path(member).display());
    }
    eprintln!("this machine held the whole key; carry each file to its member and delete it here");
    Ok(())
}
