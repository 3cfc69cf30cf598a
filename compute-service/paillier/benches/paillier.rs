//! Times of every operation at 2,048 bits in batches of 64, on all threads of rayon's pool (`RAYON_NUM_THREADS=1` for
//! one). Reported per element.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use num_bigint::BigInt;
use paillier::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::hint::black_box;

const BITS: u64 = 2048;
const BATCH: usize = 64;
const MEMBERS: u32 = 3;

fn context(party: u32) -> ProofContext {
    ProofContext::new().bytes(b"bench").int(party.into())
}

fn encryption(c: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let private = PrivateKey::generate(BITS, &mut rng).expect("a supported size");
    let key = private.public();
    let m: Vec<BigInt> = (0..BATCH as i64).map(|i| (i * 0x1234_5678 - 77_777).into()).collect();
    let encryptor = Encryptor::new(key, Randomness::Short);
    let long = Encryptor::new(key, Randomness::Long);
    let ciphertexts = encryptor.encrypt(&m, &mut rng).expect("small plaintexts");
    let bytes = Ciphertext::to_bytes_batch(key, &ciphertexts);
    let factors: Vec<BigInt> =
        (0..BATCH as i64).map(|i| (i * 66_666_667 % (1 << 32) - (1 << 31)).into()).collect();
    let many: Vec<Ciphertext> = ciphertexts.iter().cycle().take(4096).cloned().collect();
    let scalars: Vec<BigInt> = (0..4096).map(|i: i64| (i * 40_503 % 65_536 - 32_768).into()).collect();

    let mut group = c.benchmark_group("paillier");
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("encrypt, 512-bit randomness", |b| b.iter(|| encryptor.encrypt(&m, &mut rng)));
    group.bench_function("encrypt, 1024-bit randomness", |b| b.iter(|| long.encrypt(&m, &mut rng)));
    group.bench_function("encrypt zero, 512-bit randomness", |b| b.iter(|| encryptor.zeros(BATCH, &mut rng)));
    group.bench_function("rerandomise, full range", |b| {
        b.iter(|| encryptor.rerandomise_fully(&ciphertexts, &mut rng));
    });
    group.bench_function("decrypt, ordinary key", |b| b.iter(|| private.decrypt(&ciphertexts)));
    group.bench_function("add", |b| b.iter(|| key.add_each(&ciphertexts, black_box(&ciphertexts))));
    group.bench_function("multiply by 32 bits", |b| b.iter(|| key.scale_each(&ciphertexts, &factors)));
    group.bench_function("to bytes", |b| b.iter(|| Ciphertext::to_bytes_batch(key, &ciphertexts)));
    group.bench_function("from bytes", |b| b.iter(|| Ciphertext::from_bytes_batch(key, &bytes)));
    group.throughput(Throughput::Elements(4096));
    group.bench_function("dot product, 16-bit factors", |b| b.iter(|| key.dot(&many, &scalars)));
}

fn threshold(c: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let (key, shares) = deal(MEMBERS, MEMBERS, BITS, "bench", &mut rng).expect("supported parameters");
    let m: Vec<BigInt> = (0..BATCH as i64).map(BigInt::from).collect();
    let ciphertexts =
        Encryptor::new(&key, Randomness::Short).encrypt(&m, &mut rng).expect("small plaintexts");
    let contexts: Vec<ProofContext> = (0..MEMBERS).map(context).collect();
    let records: Vec<(Vec<Partial>, Proof)> = shares
        .iter()
        .zip(&contexts)
        .map(|(share, context)| partial_decrypt(share, &ciphertexts, context, &mut rng))
        .collect();
    let contributions: Vec<Contribution> = (0..MEMBERS)
        .map(|index| {
            let (partials, proof) = &records[index as usize];
            Contribution {
                index,
                ciphertexts: &ciphertexts,
                partials,
                context: &contexts[index as usize],
                proof,
            }
        })
        .collect();
    let parts: Vec<(u32, &[Partial])> = contributions.iter().map(|c| (c.index, c.partials)).collect();
    let bytes = Partial::to_bytes_batch(&key, &records[0].0);

    let mut group = c.benchmark_group("threshold");
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("partial decryption with proof", |b| {
        b.iter(|| partial_decrypt(&shares[0], &ciphertexts, &contexts[0], &mut rng));
    });
    group.bench_function("partial decryption of one with proof", |b| {
        b.iter(|| partial_decrypt(&shares[0], &ciphertexts[..1], &contexts[0], &mut rng));
    });
    group.bench_function("verify one record", |b| b.iter(|| verify_partial(&key, &contributions[1])));
    group.bench_function("verify two records", |b| b.iter(|| verify_partials(&key, &contributions[1..])));
    group.bench_function("combine three members", |b| b.iter(|| combine(&key, &parts)));
    group.bench_function("partials from bytes", |b| b.iter(|| Partial::from_bytes_batch(&key, &bytes)));
    group.bench_function("deal", |b| b.iter(|| deal(MEMBERS, MEMBERS, BITS, "bench", &mut rng)));
}

criterion_group!(benches, encryption, threshold);
criterion_main!(benches);
