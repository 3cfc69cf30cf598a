//! Keys that nobody dealt.

mod common;

use common::{decrypt_with, some_plaintexts};
use paillier::keygen::Multiplication::{Minority, Pairwise};
use paillier::keygen::candidates::Plan;
use paillier::keygen::{Group, KeygenError, Multiplication, Statistics, generate, refresh_in_memory};
use paillier::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn encrypt(key: &PublicKey) -> Vec<Ciphertext> {
    common::encrypt(key, &some_plaintexts(key), 6)
}

fn generated(
    multiplication: Multiplication,
    parties: u32,
    quorum: u32,
    bits: u64,
) -> (PublicKey, Vec<KeyShare>) {
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(parties));
    let batch = if multiplication == Pairwise { 64 } else { 256 };
    let (key, shares, _) =
        generate(multiplication, parties, quorum, bits, batch, "training", &mut rng).unwrap();
    assert_eq!((key.bits(), key.parties(), key.quorum()), (bits, parties, quorum));
    let bound = if multiplication == Pairwise { parties - 1 } else { (parties - 1) / 2 };
    assert_eq!(key.collusion_bound(), bound);
    assert_eq!(PublicKey::from_parts(&key.to_parts(), bits).unwrap(), key);
    let json = shares[1].to_json();
    assert_eq!(KeyShare::from_json(&json).unwrap().to_json(), json);
    (key, shares)
}

#[test]
fn generated_keys_decrypt_t3n3_t3n4_t3n5_t5n7() {
    for (parties, quorum, members) in
        [(3, 3, vec![2, 0, 1]), (4, 3, vec![3, 0, 1]), (5, 3, vec![4, 1, 2]), (7, 5, vec![6, 1, 2, 4, 5])]
    {
        decrypts(&generated(Minority, parties, quorum, 256), &members);
    }
}

#[test]
fn keys_generated_pairwise_decrypt_t2n2_t3n3_t2n4() {
    decrypts(&generated(Pairwise, 2, 2, 512), &[1, 0]);
    decrypts(&generated(Pairwise, 3, 3, 512), &[2, 0, 1]);
    decrypts(&generated(Pairwise, 4, 2, 256), &[3, 1]);
}

fn decrypts((key, shares): &(PublicKey, Vec<KeyShare>), members: &[usize]) {
    let shares: Vec<&KeyShare> = members.iter().map(|&i| &shares[i]).collect();
    assert_eq!(common::open(&shares, &encrypt(key)), some_plaintexts(key));
}

#[test]
fn refreshed_keys_open_old_ciphertexts_and_do_not_mix() {
    let (key, shares) = generated(Minority, 3, 2, 256);
    let ciphertexts = encrypt(&key);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    // To the same members, and from there to five with another quorum, and back to two.
    let (same, second) = refresh_in_memory(&[&shares[2], &shares[0]], 3, 2, &mut rng).unwrap();
    let (five, third) = refresh_in_memory(&[&second[1], &second[2]], 5, 3, &mut rng).unwrap();
    let (two, fourth) = refresh_in_memory(&[&third[4], &third[0], &third[2]], 2, 2, &mut rng).unwrap();
    for (key, shares) in [
        (&same, vec![&second[0], &second[1]]),
        (&five, third[1..4].iter().collect()),
        (&two, fourth.iter().collect()),
    ] {
        assert_eq!(key.collusion_bound(), 1);
        assert_eq!(combine(key, &decrypt_with(&shares, &ciphertexts)).unwrap(), some_plaintexts(key));
    }
    // Old shares still open old data together; an old and a new one do not.
    let old = decrypt_with(&[&shares[0], &shares[1]], &ciphertexts);
    let new = decrypt_with(&[&second[0], &second[1]], &ciphertexts);
    assert_eq!(combine(&key, &old).unwrap(), some_plaintexts(&key));
    for key in [&key, &same] {
        assert!(combine(key, &[old[0].clone(), new[1].clone()]).is_err());
        assert!(combine(key, &[new[0].clone(), old[1].clone()]).is_err());
    }
    assert!(refresh_in_memory(&[&shares[0], &second[1]], 3, 2, &mut rng).is_err());
    assert!(refresh_in_memory(&[&shares[0], &shares[0]], 3, 2, &mut rng).is_err());
    assert!(refresh_in_memory(&[&shares[0]], 3, 2, &mut rng).is_err());
}

#[test]
fn unsupported_parameters_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for (multiplication, parties, quorum, bits) in [
        (Minority, 2, 2, 256),
        (Minority, 65, 2, 256),
        (Minority, 64, 2, 256),
        (Minority, 3, 1, 256),
        (Minority, 3, 4, 256),
        (Minority, 3, 3, 255),
        (Minority, 3, 3, 128),
        (Pairwise, 1, 1, 256),
        (Pairwise, 65, 2, 256),
        (Pairwise, 2, 2, 4096),
    ] {
        let error = generate(multiplication, parties, quorum, bits, 16, "training", &mut rng).unwrap_err();
        assert!(matches!(error, KeygenError::Parameters(_)), "{error}");
    }
}

/// The number of keys that are made to see how often a candidate is good; several hundred with a release build and
/// `CONFAB_KEYS=300`. The generators are seeded, so that no number of keys fails by chance once it has passed.
fn keys() -> usize {
    std::env::var("CONFAB_KEYS").ok().and_then(|keys| keys.parse().ok()).unwrap_or(24)
}

/// Candidates without a small factor and good ones are as many as theory says, and how long it takes until one is good
/// is geometric: no stage of the sieve lets fewer through, and none refuses what is good.
#[test]
fn candidates_are_good_as_often_as_theory_says() {
    // Small batches, so that many are needed.
    const BATCH: usize = 32;
    let keys = keys();
    for (multiplication, parties, bits) in [(Pairwise, 2, 512), (Minority, 3, 512), (Pairwise, 3, 256)] {
        let group = Group::with(multiplication, parties, 0).unwrap();
        let plan = Plan::new(group, bits).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(bits + u64::from(parties));
        let made = |_| {
            let key = generate(multiplication, parties, 2, bits, BATCH, "training", &mut rng);
            key.unwrap().2
        };
        let made: Vec<Statistics> = (0..keys).map(made).collect();
        let sum = |of: fn(&Statistics) -> usize| made.iter().map(of).sum::<usize>() as f64;
        let (candidates, tested) = (sum(|s| s.candidates), sum(|s| s.tested));
        let (passed, biprime) = (sum(|s| s.passed), sum(|s| s.biprime));

        let survival = plan.survival_rate();
        let expected = candidates * survival;
        let deviation = (tested - expected) / (expected * (1.0 - survival)).sqrt();
        // One batch has a good candidate with this probability.
        let batch = 1.0 - (1.0 - plan.success_rate()).powi(BATCH as i32);
        let batches = sum(|s| s.batches);
        let late = (batches - keys as f64 / batch) / ((keys as f64 * (1.0 - batch)).sqrt() / batch);
        // Four classes of waiting times that are equally likely, but for rounding to whole batches.
        let until = |share: f64| ((1.0 - share).ln() / (1.0 - batch).ln()).round();
        let bounds = [0.0, until(0.25), until(0.5), until(0.75), f64::INFINITY];
        let chi: f64 = bounds
            .windows(2)
            .map(|bound| {
                let inside = |s: &&Statistics| (s.batches as f64) > bound[0] && s.batches as f64 <= bound[1];
                let share = (1.0 - batch).powf(bound[0]) - (1.0 - batch).powf(bound[1]);
                let expected = keys as f64 * share;
                (made.iter().filter(inside).count() as f64 - expected).powi(2) / expected
            })
            .sum();
        println!(
            "{multiplication:?} {parties} members, {bits} bits: {keys} keys, {candidates} candidates; \
             {tested} without a small factor (theory {expected:.0}, {deviation:+.1} σ); {passed} passed one base, \
             {biprime} all; {batches} batches (theory {:.0}, {late:+.1} σ); χ² of the waiting times {chi:.1} (3)",
            keys as f64 / batch
        );
        assert!(deviation.abs() < 4.0 && late.abs() < 4.0);
        // 3 degrees of freedom: above 21.1 once in 10,000.
        assert!(chi < 21.1);
        assert_eq!((passed, biprime), (keys as f64, keys as f64), "whatever passes one base is good");
    }
}
