//! A threshold key from the dealer, through encryption, partial decryption, proofs and combination.

use num_bigint::{BigInt, BigUint};
use paillier::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use records::{JobId, Phase, Slot};
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

fn context(round: u32, party: u32) -> ProofContext {
    ProofContext { job: JobId("ab".repeat(32)), slot: Slot { phase: Phase::Dv, round, party, chunk: 0 } }
}

/// What a member posts and others read back from the ledger.
struct Record {
    index: u32,
    context: ProofContext,
    partials: Vec<Partial>,
    proof: Proof,
}

impl Record {
    fn make(share: &KeyShare, ciphertexts: &[Ciphertext], round: u32) -> Self {
        let key = share.key();
        let context = context(round, share.index());
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(round * 64 + share.index()));
        let (partials, proof) = partial_decrypt(share, ciphertexts, &context, &mut rng);
        let partials =
            Partial::from_bytes_batch(key, &Partial::to_bytes_batch(key, &partials)).expect("round trip");
        let proof = Proof::from_record(&proof.to_record(), key).expect("round trip");
        Self { index: share.index(), context, partials, proof }
    }

    fn contribution<'a>(&'a self, ciphertexts: &'a [Ciphertext]) -> Contribution<'a> {
        let Self { index, context, partials, proof } = self;
        Contribution { index: *index, ciphertexts, partials, context, proof }
    }
}

fn encrypt(key: &PublicKey, plaintexts: &[BigInt], seed: u64) -> Vec<Ciphertext> {
    let encryptor = Encryptor::new(key, Randomness::Short);
    encryptor.encrypt(plaintexts, &mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
}

fn open(dealt: &Dealt, members: &[usize], ciphertexts: &[Ciphertext]) -> Vec<BigInt> {
    let records: Vec<Record> =
        members.iter().map(|&i| Record::make(&dealt.shares[i], ciphertexts, 1)).collect();
    let contributions: Vec<Contribution> = records.iter().map(|r| r.contribution(ciphertexts)).collect();
    verify_partials(&dealt.key, &contributions).unwrap();
    let parts: Vec<(u32, &[Partial])> = records.iter().map(|r| (r.index, r.partials.as_slice())).collect();
    combine(&dealt.key, &parts).unwrap()
}

fn some_plaintexts(key: &PublicKey) -> Vec<BigInt> {
    let most = BigInt::from(key.max_plaintext().clone());
    [0, 1, -1, 12345, -98765].map(BigInt::from).into_iter().chain([most.clone(), -most]).collect()
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
    let mut other = record.context.clone();
    other.job = JobId("cd".repeat(32));
    refused(Contribution { context: &other, ..good });
    let change = |change: fn(&mut Slot)| {
        let mut other = record.context.clone();
        change(&mut other.slot);
        other
    };
    let others: [fn(&mut Slot); 4] =
        [|s| s.round = 5, |s| s.party = 1, |s| s.chunk = 1, |s| s.phase = Phase::Iv];
    for other in others.map(change) {
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
fn changed_and_oversized_proofs_are_refused() {
    let ciphertexts = encrypt(&T3N3.key, &[7.into()], 8);
    let record = Record::make(&T3N3.shares[0], &ciphertexts, 4);
    let posted = record.proof.to_record();
    let flip = |change: fn(&mut records::Proof)| {
        let mut changed = posted.clone();
        change(&mut changed);
        Proof::from_record(&changed, &T3N3.key)
    };
    for change in
        [|p: &mut records::Proof| p.challenge.0[3] ^= 1, |p: &mut records::Proof| p.response.0[9] ^= 1]
    {
        let proof = flip(change).unwrap();
        let error =
            verify_partial(&T3N3.key, &Contribution { proof: &proof, ..record.contribution(&ciphertexts) });
        assert_eq!(error.unwrap_err().reason, Reason::Proof);
    }
    assert_eq!(flip(|p| p.challenge.0.push(0)), Err(Reason::Length));
    assert_eq!(flip(|p| p.challenge.0.clear()), Err(Reason::Length));
    assert_eq!(flip(|p| p.response.0 = vec![1; 8 * 64 + 1]), Err(Reason::Length));
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

fn padded(x: &BigUint, length: usize) -> Vec<u8> {
    let mut bytes = x.to_bytes_le();
    bytes.resize(length, 0);
    bytes.reverse();
    bytes
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
    let record = dealt.key.to_record();
    assert_eq!(PublicKey::from_record(&record, 2048).unwrap(), dealt.key);
    let plaintexts = some_plaintexts(&dealt.key);
    let ciphertexts = encrypt(&dealt.key, &plaintexts, 1);
    assert_eq!(open(&dealt, &[0, 1, 2], &ciphertexts), plaintexts);
}
