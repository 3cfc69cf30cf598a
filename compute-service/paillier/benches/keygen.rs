//! Key generation without a dealer, all members in this process:
//! `cargo bench --bench keygen -- [pairwise] [parties [bits [runs]]]`.

use paillier::keygen::{Multiplication, Statistics, generate};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::time::Instant;

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let number = |i: usize, default: u64| numbers.get(i).copied().unwrap_or(default);
    let (parties, bits, runs) = (number(0, 3) as u32, number(1, 2048), number(2, 5));
    let multiplication = if std::env::args().any(|a| a == "pairwise") {
        Multiplication::Pairwise
    } else {
        Multiplication::Minority
    };
    // A candidate takes much longer pairwise, and what a batch holds beyond the first hit is wasted.
    let batch = if multiplication == Multiplication::Pairwise { 256 } else { 1024 };
    let mut seconds: Vec<f64> = (0..runs)
        .map(|run| {
            let mut rng = ChaCha20Rng::seed_from_u64(run);
            let start = Instant::now();
            let (_, _, Statistics { batches, candidates, tested, bytes, .. }) =
                generate(multiplication, parties, parties, bits, batch, "bench", &mut rng)
                    .expect("supported parameters");
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "{parties} members, {bits} bits: {seconds:.2} s, {batches} batches, {candidates} candidates, \
                 {tested} tested, {:.1} MB sent by each",
                bytes as f64 / 1e6
            );
            seconds
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    println!("median {:.2} s", seconds[seconds.len() / 2]);
}
