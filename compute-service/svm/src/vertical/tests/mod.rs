//! Whole jobs in memory.

mod blinded;
mod faults;
mod prediction;
mod runs;

use super::{Private, VerticalSvm};
use crate::Hyperparameters;
use crate::fixed::Features;
use crate::reference::{self, Reference, Variant};
use dataset::Label;
use dataset::scaling::Scaled;
use dataset::split;
use paillier::KeyShare;
use protocol::{Fault, JobSecret, Trace, simulate};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use records::{Body, Bytes, Job, JobParams, Judge, Kind, Publication, Slot};

/// A job with its data, cut by columns, and a key for it.
struct Bench {
    job: Job,
    table: Scaled,
    labels: Vec<Label>,
    shares: Vec<KeyShare>,
}

/// What a test varies.
#[derive(Clone, Copy)]
struct Shape {
    judge: Judge,
    parties: u32,
    /// All, if none is named.
    quorum: Option<u32>,
    key_bits: u32,
    iterations: u32,
    batch: u32,
    model: Publication,
}

const BLINDED: Shape = Shape {
    judge: Judge::Blinded,
    parties: 3,
    quorum: None,
    key_bits: 512,
    iterations: 4,
    batch: 3,
    model: Publication::Published,
};
const PAPER: Shape = Shape { judge: Judge::Paper, ..BLINDED };

const INSTANCES: u32 = 20;

impl Bench {
    fn new(shape: Shape) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(shape.parties.into());
        let quorum = shape.quorum.unwrap_or(shape.parties);
        let (_, shares) =
            paillier::deal(shape.parties, quorum, shape.key_bits.into(), "test", &mut rng).unwrap();
        let params = JobParams {
            version: records::VERSION,
            contract: "1.0".into(),
            participants: (1..=shape.parties).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
            kind: Kind::VerticalSvm(records::VerticalSvm {
                judge: shape.judge,
                instances: INSTANCES,
                iterations: shape.iterations,
                batch: shape.batch,
                learning_rate: records::Decimal::from_raw(300_000_000 / i64::from(shape.batch)),
                lambda: "0.125".parse().unwrap(),
                c: "1".parse().unwrap(),
                key: None,
                key_bits: shape.key_bits,
                insecure_key_bits: true,
                quorum,
                margin_bits: 42,
                weak_blinding: true,
                model: shape.model,
                classes: None,
            }),
            nonce: Bytes(vec![shape.parties as u8; 16]),
            deadlines: None,
        };
        params.validate().unwrap();
        let columns = 2 * shape.parties as usize + 1;
        let mut value = || f64::from(rng.next_u32() as i32 >> 17) / 4096.0;
        let rows: Vec<Vec<f64>> = (0..INSTANCES).map(|_| (0..columns).map(|_| value()).collect()).collect();
        // A rule of one column, with every seventh instance against it.
        let label = |(i, row): (usize, &Vec<f64>)| Label::of_sign((row[0] < 0.0) != (i % 7 == 0));
        Self {
            labels: rows.iter().enumerate().map(label).collect(),
            table: Scaled {
                columns: (0..columns).map(|c| format!("x{c}")).collect(),
                lines: (1..).take(rows.len()).collect(),
                rows,
            },
            job: Job {
                version: records::VERSION,
                id: params.id(),
                params,
                proposer: "Org1MSP".parse().unwrap(),
                proposed: 0,
            },
            shares,
        }
    }

    fn ids() -> Vec<String> {
        (0..INSTANCES).map(|i| format!("P{i:03}")).collect()
    }

    fn private(&self, party: usize) -> Private {
        self.private_with(party, Self::ids(), self.labels.clone(), &self.shares[party])
    }

    fn private_with(&self, party: usize, ids: Vec<String>, labels: Vec<Label>, share: &KeyShare) -> Private {
        let ranges = split::deal(self.table.columns.len(), self.shares.len()).unwrap();
        let features = Features::encode(&self.table).unwrap().columns(ranges[party].clone());
        let share = KeyShare::from_json(&share.to_json()).unwrap();
        let secret = JobSecret::new([party as u8 + 1; 32]);
        Private::new(&self.job.params, share, &ids, features, labels, &secret).unwrap()
    }

    fn privates(&self) -> Vec<Private> {
        (0..self.shares.len()).map(|party| self.private(party)).collect()
    }

    fn run(&self, seed: u64) -> Trace<super::Output> {
        self.run_with(&self.privates(), seed, |_, body| body).unwrap()
    }

    fn run_with(
        &self,
        privates: &[Private],
        seed: u64,
        tamper: impl FnMut(Slot, Body) -> Body,
    ) -> Result<Trace<super::Output>, Fault> {
        simulate::<VerticalSvm>(&self.job, privates, seed, tamper)
    }

    fn reference(&self, schedule: &[Vec<u32>]) -> Reference {
        let parameters = Hyperparameters::from(self.job.params.training());
        reference::train(&self.table, &self.labels, schedule, &parameters, Variant::default())
    }
}
