use clap::{Args, ValueEnum};
use node::experiment;
use records::{Collusion, Decimal, Judge, KeyGeneration, Publication, VerticalSvm};

/// What is trained and how, in every command that begins a training.
#[derive(Args, Clone)]
pub struct TrainingArgs {
    /// How the indicator is found: `blinded` hides the margins, `paper` is the book's Algorithm 3 and shows them.
    #[arg(long, value_enum, default_value = "blinded")]
    protocol: ProtocolArg,
    /// Bits of the Paillier modulus.
    #[arg(long, default_value_t = 2048)]
    key_bits: u32,
    /// Consent to a modulus below 2,048 bits, which can be broken.
    #[arg(long)]
    insecure_key_bits: bool,
    /// Consent to a blinding of less than 256 octaves.
    #[arg(long)]
    weak_blinding: bool,
    /// b: margins are less than 2^(b−36) in magnitude; more room for margins is less blinding.
    #[arg(long, default_value_t = 42)]
    margin_bits: u32,
    /// η, the step.
    #[arg(long, default_value = "0.00095")]
    learning_rate: Decimal,
    /// λ of the regulariser.
    #[arg(long, default_value = "1")]
    lambda: Decimal,
    /// C of the hinge loss.
    #[arg(long, default_value = "1")]
    c: Decimal,
    /// How many participants decrypt together; all of them unless given. With fewer, a round does not wait for all
    /// partial decryptions, and as many colluding participants can open everything.
    #[arg(long)]
    quorum: Option<u32>,
    /// Whether the participants publish their parts of the model on the ledger or keep them.
    #[arg(long, value_enum, default_value = "published")]
    model: ModelArg,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProtocolArg {
    Blinded,
    Paper,
}

#[derive(Clone, Copy, ValueEnum)]
enum ModelArg {
    Published,
    Split,
}

impl TrainingArgs {
    /// The parameters of a job.
    pub fn parameters(&self, instances: u32, iterations: u32, batch: u32, participants: u32) -> VerticalSvm {
        VerticalSvm {
            judge: match self.protocol {
                ProtocolArg::Blinded => Judge::Blinded,
                ProtocolArg::Paper => Judge::Paper,
            },
            instances,
            iterations,
            batch,
            learning_rate: self.learning_rate,
            lambda: self.lambda,
            c: self.c,
            key: None,
            key_bits: self.key_bits,
            insecure_key_bits: self.insecure_key_bits,
            quorum: self.quorum.unwrap_or(participants),
            margin_bits: self.margin_bits,
            weak_blinding: self.weak_blinding,
            model: match self.model {
                ModelArg::Published => Publication::Published,
                ModelArg::Split => Publication::Split,
            },
        }
    }
}

/// Where the threshold key of an experiment comes from.
#[derive(Args, Clone)]
pub struct KeyArgs {
    /// Whether the participants negotiate the threshold key, or this command deals it and holds the whole key meanwhile.
    #[arg(long, value_enum, default_value = "negotiate")]
    pub key: KeyArg,
    /// Against whom a negotiated key protects. `minority`: fewer than half of the participants learn nothing of it
    /// together; needs three. `all-but-one`: all others together learn nothing; takes longer. By default what is cheaper.
    #[arg(long, value_enum)]
    against: Option<AgainstArg>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyArg {
    Negotiate,
    Deal,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum AgainstArg {
    Minority,
    AllButOne,
}

impl AgainstArg {
    /// As a job has it; unless given, what is cheaper for so many members.
    pub fn collusion(against: Option<Self>, parties: u32) -> Collusion {
        match against {
            Some(Self::Minority) => Collusion::Minority,
            Some(Self::AllButOne) => Collusion::AllButOne,
            None if parties < 3 => Collusion::AllButOne,
            None => Collusion::Minority,
        }
    }
}

impl KeyArgs {
    /// The key generation for a training.
    pub fn generation(&self, training: &VerticalSvm, parties: u32) -> KeyGeneration {
        let against = AgainstArg::collusion(self.against, parties);
        experiment::key_generation(training.key_bits, training.insecure_key_bits, training.quorum, against)
    }
}
