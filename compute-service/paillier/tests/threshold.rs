//! A threshold key from the dealer, through encryption, partial decryption, proofs and combination.

mod common;

use common::{Record, encrypt, padded, some_plaintexts};
use num_bigint::{BigInt, BigUint};
use paillier::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::LazyLock;

/// Small keys are made once for all tests of this file.
struct Dealt {
    key: PublicKey,
    shares: Vec<KeyShare>,
}

fn deal_seeded(parties: u32, quorum: u32, bits: u64) -> Dealt {
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(parties * 100 + quorum) + bits);
    let (key, shares) = deal(parties, quorum, bits, "test", &mut rng).unwrap();
    Dealt { key, shares }
}

static T3N3: LazyLock<Dealt> = LazyLock::new(|| deal_seeded(3, 3, 512));
static T3N5: LazyLock<Dealt> = LazyLock::new(|| deal_seeded(5, 3, 256));
static T2N2: LazyLock<Dealt> = LazyLock::new(|| deal_seeded(2, 2, 256));

fn open(dealt: &Dealt, members: &[usize], ciphertexts: &[Ciphertext]) -> Vec<BigInt> {
    let shares: Vec<&KeyShare> = members.iter().map(|&i| &dealt.shares[i]).collect();
    common::open(&shares, ciphertexts)
}

#[test]
fn quorum_subsets_agree_t3n5() {
    let plaintexts = some_plaintexts(&T3N5.key);
    let ciphertexts = encrypt(&T3N5.key, &plaintexts, 1);
    for members in [[0, 1, 2], [2, 3, 4], [4, 0, 2], [1, 3, 4]] {
        assert_eq!(open(&T3N5, &members, &ciphertexts), plaintexts, "{members:?}");
    }
    assert_eq!(open(&T3N5, &[4, 3, 2, 1, 0], &ciphertexts), plaintexts);
}

#[test]
fn all_members_decrypt_t3n3_t2n2() {
    for (dealt, members) in [(&*T3N3, &[2, 0, 1][..]), (&*T2N2, &[0, 1])] {
        let plaintexts = some_plaintexts(&dealt.key);
        let ciphertexts = encrypt(&dealt.key, &plaintexts, 2);
        assert_eq!(open(dealt, members, &ciphertexts), plaintexts);
    }
}

#[test]
fn fewer_than_the_quorum_get_nothing_t3n3() {
    let ciphertexts = encrypt(&T3N3.key, &[5.into()], 3);
    let records: Vec<Record> = T3N3.shares.iter().take(2).map(|s| Record::make(s, &ciphertexts, 1)).collect();
    let parts: Vec<_> = records.iter().map(|r| (r.index, &r.partials[..])).collect();
    assert_eq!(combine(&T3N3.key, &parts), Err(CombineError::TooFew { found: 2, quorum: 3 }));
    // The same member twice does not help, nor a member that does not exist.
    assert_eq!(combine(&T3N3.key, &[parts[0], parts[1], parts[0]]), Err(CombineError::Member(0)));
    assert_eq!(combine(&T3N3.key, &[parts[0], parts[1], (3, parts[1].1)]), Err(CombineError::Member(3)));
    assert_eq!(combine(&T3N3.key, &[parts[0], (1, &[]), parts[1]]), Err(CombineError::Count(1)));
}

#[test]
fn combine_notices_shares_that_do_not_fit() {
    let ciphertexts = encrypt(&T3N3.key, &[5.into(), 6.into()], 4);
    let other = encrypt(&T3N3.key, &[5.into(), 6.into()], 5);
    let records: Vec<Record> = T3N3
        .shares
        .iter()
        .map(|s| Record::make(s, if s.index() == 1 { &other } else { &ciphertexts }, 1))
        .collect();
    let parts: Vec<_> = records.iter().map(|r| (r.index, &r.partials[..])).collect();
    assert_eq!(combine(&T3N3.key, &parts), Err(CombineError::Inconsistent(0)));
}

#[test]
fn a_wrong_partial_decryption_names_its_member() {
    let ciphertexts = encrypt(&T3N3.key, &[1.into(), 2.into(), 3.into()], 6);
    let records: Vec<Record> = T3N3.shares.iter().map(|s| Record::make(s, &ciphertexts, 1)).collect();
    let mut bad = Record::make(&T3N3.shares[1], &ciphertexts, 1);
    bad.partials[2] = records[0].partials[2].clone();
    let batch = [&records[0], &bad, &records[2]].map(|r| r.contribution(&ciphertexts));
    let wrong = WrongShare { index: 1, position: 1, reason: Reason::Proof };
    assert_eq!(verify_partials(&T3N3.key, &batch), Err(wrong));
    // Two partial decryptions exchanged: their product is the same, the weights tell them apart.
    let mut exchanged = Record::make(&T3N3.shares[2], &ciphertexts, 1);
    exchanged.partials.swap(0, 1);
    let wrong = WrongShare { index: 2, position: 0, reason: Reason::Proof };
    assert_eq!(verify_partial(&T3N3.key, &exchanged.contribution(&ciphertexts)), Err(wrong));
    exchanged.partials.pop();
    let wrong = WrongShare { index: 2, position: 0, reason: Reason::Count };
    assert_eq!(verify_partial(&T3N3.key, &exchanged.contribution(&ciphertexts)), Err(wrong));
}

#[test]
fn a_proof_holds_only_where_it_was_made() {
    let ciphertexts = encrypt(&T3N3.key, &[7.into(), 8.into()], 7);
    let record = Record::make(&T3N3.shares[0], &ciphertexts, 4);
    let good = record.contribution(&ciphertexts);
    verify_partial(&T3N3.key, &good).unwrap();
    let refused = |c: Contribution| {
        let error = verify_partial(&T3N3.key, &c).expect_err("another context");
        assert_eq!(error.reason, Reason::Proof);
    };
    let same = ProofContext::new().bytes(b"job").int(4).int(0);
    verify_partial(&T3N3.key, &Contribution { context: &same, ..good }).unwrap();
    let others = [
        ProofContext::new(),
        ProofContext::new().bytes(b"joc").int(4).int(0),
        ProofContext::new().bytes(b"job").int(5).int(0),
        ProofContext::new().bytes(b"job").int(4),
        ProofContext::new().bytes(b"job").int(4).int(0).bytes(b""),
        ProofContext::new().int(4).bytes(b"job").int(0),
    ];
    for other in others {
        refused(Contribution { context: &other, ..good });
    }
    refused(Contribution { index: 1, ..good });
    let mut exchanged = ciphertexts.clone();
    exchanged.swap(0, 1);
    refused(Contribution { ciphertexts: &exchanged, ..good });
    let error = verify_partial(&T3N3.key, &Contribution { index: 3, ..good }).unwrap_err();
    assert_eq!(error.reason, Reason::Member);
}

#[test]
fn nothing_of_another_key_is_taken() {
    // Ciphertexts of another length of N are none; of the same length they are some, because every unit is, but what
    // members of one key made of them proves nothing under another.
    let other = deal_seeded(3, 2, 512);
    let ciphertexts = encrypt(&T3N3.key, &[7.into(), 8.into()], 7);
    let bytes = Ciphertext::to_bytes_batch(&T3N3.key, &ciphertexts);
    let of_length = CiphertextError { index: 0, reason: Invalid::Length };
    assert_eq!(Ciphertext::from_bytes_batch(&T3N5.key, &bytes).unwrap_err(), of_length);
    assert_eq!(Partial::from_bytes_batch(&T3N5.key, &bytes).unwrap_err(), of_length);
    // Some that are below both moduli and of symbol +1 under both can be read under the other key.
    let (record, theirs, partials) = (0..64)
        .find_map(|seed| {
            let ciphertexts = encrypt(&T3N3.key, &[7.into()], seed);
            let record = Record::make(&T3N3.shares[0], &ciphertexts, 1);
            verify_partial(&T3N3.key, &record.contribution(&ciphertexts)).unwrap();
            let bytes = Ciphertext::to_bytes_batch(&T3N3.key, &ciphertexts);
            let theirs = Ciphertext::from_bytes_batch(&other.key, &bytes).ok()?;
            let posted = Partial::to_bytes_batch(&T3N3.key, &record.partials);
            Some((record, theirs, Partial::from_bytes_batch(&other.key, &posted).ok()?))
        })
        .expect("one in four or so is readable");
    let contribution = Contribution { partials: &partials, ..record.contribution(&theirs) };
    assert_eq!(verify_partial(&other.key, &contribution).unwrap_err().reason, Reason::Proof);
    // The file of a share names its key, and a share under another key is refused.
    let of = |share: &KeyShare| -> serde_json::Value { serde_json::from_slice(&share.to_json()).unwrap() };
    let mut file = of(&T3N3.shares[0]);
    file["key"] = of(&deal_seeded(3, 3, 768).shares[0])["key"].clone();
    let error = KeyShare::from_json(&serde_json::to_vec(&file).unwrap()).unwrap_err();
    assert!(matches!(error, ShareError::Mismatch { index: 0 }), "{error}");
}

#[test]
fn changed_and_oversized_proofs_are_refused() {
    let ciphertexts = encrypt(&T3N3.key, &[7.into()], 8);
    let record = Record::make(&T3N3.shares[0], &ciphertexts, 4);
    let posted = record.proof.to_parts();
    let flip = |change: fn(&mut ProofParts)| {
        let mut changed = posted.clone();
        change(&mut changed);
        Proof::from_parts(&changed, &T3N3.key)
    };
    for change in [|p: &mut ProofParts| p.challenge[3] ^= 1, |p: &mut ProofParts| p.response[9] ^= 1] {
        let proof = flip(change).unwrap();
        let error =
            verify_partial(&T3N3.key, &Contribution { proof: &proof, ..record.contribution(&ciphertexts) });
        assert_eq!(error.unwrap_err().reason, Reason::Proof);
    }
    assert_eq!(flip(|p| p.challenge.push(0)), Err(Reason::Length));
    assert_eq!(flip(|p| p.challenge.clear()), Err(Reason::Length));
    assert_eq!(flip(|p| p.response = vec![1; 8 * 64 + 1]), Err(Reason::Length));
}

#[test]
fn the_sign_of_a_partial_decryption_does_not_matter() {
    // −1 has order two: the proof is over squares and cannot see it, so the combination must not either.
    let plaintexts = [BigInt::from(-77)];
    let ciphertexts = encrypt(&T3N3.key, &plaintexts, 9);
    let mut records: Vec<Record> = T3N3.shares.iter().map(|s| Record::make(s, &ciphertexts, 1)).collect();
    let bytes = &Partial::to_bytes_batch(&T3N3.key, &records[1].partials)[0];
    let negative = T3N3.key.n_squared() - BigUint::from_bytes_be(bytes);
    records[1].partials = Partial::from_bytes_batch(&T3N3.key, &[padded(&negative, bytes.len())]).unwrap();
    let batch: Vec<_> = records.iter().map(|r| r.contribution(&ciphertexts)).collect();
    verify_partials(&T3N3.key, &batch).unwrap();
    let parts: Vec<_> = records.iter().map(|r| (r.index, &r.partials[..])).collect();
    assert_eq!(combine(&T3N3.key, &parts).unwrap(), plaintexts);
}

#[test]
fn an_empty_record_has_a_proof_too() {
    let record = Record::make(&T3N3.shares[0], &[], 1);
    verify_partial(&T3N3.key, &record.contribution(&[])).unwrap();
}

#[test]
fn dealer_refuses_bad_parameters() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for (parties, quorum, bits) in [(3, 1, 256), (3, 4, 256), (1, 1, 256), (65, 2, 256), (0, 0, 256)] {
        let error = deal(parties, quorum, bits, "test", &mut rng).unwrap_err();
        assert_eq!(error, KeyError::Quorum { quorum, parties });
    }
    for bits in [0, 128, 264, 4112, 1 << 40] {
        assert_eq!(deal(3, 3, bits, "test", &mut rng).unwrap_err(), KeyError::Size(bits));
    }
}

#[test]
fn full_size_key_t3n3() {
    let dealt = deal_seeded(3, 3, 2048);
    assert_eq!(dealt.key.bits(), 2048);
    let parts = dealt.key.to_parts();
    assert_eq!(PublicKey::from_parts(&parts, 2048).unwrap(), dealt.key);
    let plaintexts = some_plaintexts(&dealt.key);
    let ciphertexts = encrypt(&dealt.key, &plaintexts, 1);
    assert_eq!(open(&dealt, &[0, 1, 2], &ciphertexts), plaintexts);
}
