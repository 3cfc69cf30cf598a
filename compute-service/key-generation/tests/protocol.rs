//! Key generation and refresh with all members in memory, record by record.

use key_generation::{Generation, Output, Private, Refresh};
use num_bigint::BigInt;
use paillier::{Encryptor, KeyShare, Randomness, combine, partial_decrypt};
use protocol::{Fault, JobSecret, Protocol, Role, Status, Trace, simulate};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use records::{Body, Bytes, Collusion, Dealer, Job, JobParams, KeyGeneration, KeyRefresh, Kind, Phase, Slot};

fn job(parties: u32, kind: Kind) -> Job {
    let params = JobParams {
        version: records::VERSION,
        contract: "1.0".into(),
        participants: (1..=parties).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
        kind,
        nonce: Bytes(vec![3; 16]),
        deadlines: None,
    };
    Job {
        version: records::VERSION,
        id: params.id(),
        params,
        proposer: "Org1MSP".parse().unwrap(),
        proposed: 0,
    }
}

fn generation(parties: u32, quorum: u32, against: Collusion) -> Job {
    let kind = KeyGeneration {
        purpose: "training".into(),
        key_bits: 256,
        insecure_key_bits: true,
        quorum,
        against,
        candidates: 64,
    };
    job(parties, Kind::KeyGeneration(kind))
}

/// The secrets that the simulator derives randomness from, for members in its order.
fn private(seed: u8, party: u32) -> Private {
    Private { secret: JobSecret::new([seed.wrapping_mul(31).wrapping_add(party as u8); 32]), share: None }
}

fn privates(parties: u32, seed: u8) -> Vec<Private> {
    (0..parties).map(|party| private(seed, party)).collect()
}

fn generate(job: &Job, seed: u8) -> (Trace<Output>, Vec<KeyShare>) {
    let privates = privates(job.params.parties(), seed);
    let trace = simulate::<Generation>(job, &privates, seed.into(), |_, body| body).unwrap();
    let shares = (0..)
        .zip(&privates)
        .zip(&trace.outputs)
        .map(|((party, private), output)| output.share(job, party, private).unwrap())
        .collect();
    (trace, shares)
}

/// Encrypts a number under the first share's key and decrypts it with these shares.
fn decrypts(shares: &[&KeyShare]) -> Option<Vec<BigInt>> {
    let key = shares[0].key();
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let number = BigInt::from(-1234567);
    let ciphertexts = Encryptor::new(key, Randomness::Short).encrypt(&[number], &mut rng).unwrap();
    let members: Vec<_> = shares
        .iter()
        .map(|share| {
            let slot = Slot { phase: Phase::Dv, round: 0, party: share.index(), chunk: 0 };
            let context = protocol::forms::proof_context(&records::JobId::from([0x00; 32]), &slot);
            (share.index(), partial_decrypt(share, &ciphertexts, &context, &mut rng).0)
        })
        .collect();
    combine(key, &members).ok()
}

fn check(job: &Job, seed: u8) -> (Trace<Output>, Vec<KeyShare>) {
    let (trace, shares) = generate(job, seed);
    let key = &trace.outputs[0].key;
    assert!(trace.outputs.iter().all(|output| output.key == *key));
    let Kind::KeyGeneration(params) = &job.params.kind else { unreachable!() };
    assert_eq!(key.bits(), u64::from(params.key_bits));
    assert_eq!(key.collusion_bound(), params.collusion_bound(job.params.parties()));
    let quorum = params.quorum as usize;
    let want = Some(vec![BigInt::from(-1234567)]);
    for first in 0..=shares.len() - quorum {
        let members: Vec<&KeyShare> = shares[first..first + quorum].iter().collect();
        assert_eq!(decrypts(&members), want);
    }
    let mut observer = Generation::start(job, Role::Observer).unwrap();
    trace.records.iter().for_each(|record| observer.apply(record).unwrap());
    let Status::Done(seen) = observer.status() else { panic!("the observer waits") };
    assert_eq!(seen.key, *key);
    (trace, shares)
}

#[test]
fn three_members_against_a_minority() {
    check(&generation(3, 3, Collusion::Minority), 1);
}

#[test]
fn five_members_of_whom_three_decrypt() {
    check(&generation(5, 3, Collusion::Minority), 2);
}

#[test]
fn two_members() {
    check(&generation(2, 2, Collusion::AllButOne), 3);
}

#[test]
fn three_members_against_all_but_one() {
    check(&generation(3, 2, Collusion::AllButOne), 4);
}

/// A node that restarts folds the records again and makes what it owes as it would have without a restart.
#[test]
fn a_restarted_member_makes_the_same_records() {
    for (job, seed) in
        [(generation(3, 3, Collusion::Minority), 1), (generation(2, 2, Collusion::AllButOne), 3)]
    {
        let (trace, _) = generate(&job, seed);
        let me = 1;
        let private = private(seed, me);
        for (at, committed) in trace.records.iter().enumerate() {
            let slot = committed.record.slot;
            if slot.party != me || matches!(slot.phase, Phase::TestDecryption) || at % 3 != 0 {
                continue;
            }
            let mut member = Generation::start(&job, Role::Member(me)).unwrap();
            trace.records[..at].iter().for_each(|record| member.apply(record).unwrap());
            let inputs = member.input_digest(slot, &private);
            let mut rng = protocol::StepRng::new(&private.secret, &job.id, slot, &inputs);
            let body = member.produce(slot, &private, &mut rng).unwrap();
            assert_eq!(body, committed.record.body, "{slot}");
        }
    }
}

fn culprit(job: &Job, at: Phase, by: u32, mut change: impl FnMut(&mut Body)) -> (u32, String) {
    let privates = privates(job.params.parties(), 1);
    let tamper = |slot: Slot, mut body: Body| {
        if slot.phase == at && slot.party == by && slot.chunk == 0 {
            change(&mut body);
        }
        body
    };
    match simulate::<Generation>(job, &privates, 1, tamper) {
        Err(Fault::Participant { party, reason, .. }) => (party, reason),
        other => panic!("{at}: {:?}", other.map(|trace| trace.records.len())),
    }
}

fn flip(body: &mut Body) {
    let Body::Part(part) = body else { panic!("another body") };
    let middle = part.0.len() / 2;
    part.0[middle] ^= 1;
}

#[test]
fn a_wrong_message_names_its_sender() {
    let minority = generation(3, 3, Collusion::Minority);
    for phase in [Phase::SieveShares, Phase::Factors, Phase::Gcd, Phase::Theta, Phase::Deal] {
        let (party, reason) = culprit(&minority, phase, 1, flip);
        assert_eq!(party, 1, "{phase}: {reason}");
    }
    let openings =
        [Phase::ProductOpen, Phase::PowerOpen, Phase::PowersOpen, Phase::GcdOpen, Phase::ThetaOpen];
    for phase in openings {
        let (party, reason) = culprit(&minority, phase, 2, flip);
        assert_eq!(party, 2);
        assert!(reason.contains("committed"), "{phase}: {reason}");
    }
    let (party, reason) = culprit(&minority, Phase::Verification, 0, |body| {
        let Body::Part(part) = body else { panic!("another body") };
        part.0.fill(0);
    });
    assert_eq!(party, 0);
    assert!(reason.contains("verification"), "{reason}");
    let (party, reason) = culprit(&minority, Phase::Keys, 2, |body| {
        let Body::Keys(keys) = body else { panic!("another body") };
        keys.hpke.0.fill(0);
    });
    assert_eq!(party, 2);
    assert!(reason.contains("HPKE"), "{reason}");
}

#[test]
fn a_key_of_ones_own_is_not_accepted() {
    let job = generation(3, 3, Collusion::Minority);
    let (party, _) = culprit(&job, Phase::Key, 2, |body| {
        let Body::Key(key) = body else { panic!("another body") };
        key.collusion_bound = 2;
    });
    assert_eq!(party, 2);
}

/// Three of five renew the key for the second, the fourth and a new member; the ciphertexts stay.
#[test]
fn a_refresh_changes_the_members() {
    let (_, old) = generate(&generation(5, 3, Collusion::Minority), 2);
    let key = old[0].key();
    let kind = KeyRefresh {
        key: protocol::forms::fingerprint(key),
        purpose: "training".into(),
        key_bits: 256,
        insecure_key_bits: true,
        old_parties: 5,
        share_bits: old[0].share_bits() as u32,
        dealers: vec![
            Dealer { party: 0, member: 1 },
            Dealer { party: 1, member: 3 },
            Dealer { party: 2, member: 4 },
        ],
        members: vec![0, 1, 3],
        quorum: 2,
    };
    let job = job(4, Kind::KeyRefresh(kind));
    let share = |member: Option<usize>| member.map(|m| KeyShare::from_json(&old[m].to_json()).unwrap());
    let privates: Vec<Private> = (0..)
        .zip([Some(1), Some(3), Some(4), None])
        .map(|(party, member)| Private { share: share(member), ..private(9, party) })
        .collect();
    let trace = simulate::<Refresh>(&job, &privates, 5, |_, body| body).unwrap();
    let new: Vec<KeyShare> = [0, 1, 3]
        .map(|party| trace.outputs[party as usize].share(&job, party, &privates[party as usize]).unwrap())
        .into();
    assert_eq!(new[0].key().n(), key.n());
    let want = Some(vec![BigInt::from(-1234567)]);
    assert_eq!(decrypts(&[&new[0], &new[2]]), want);
    assert_eq!(decrypts(&[&new[1], &new[2]]), want);
    assert_eq!(decrypts(&[&old[0], &old[1], &old[2]]), want, "q old shares together still open old data");
    // An old share beside a new one: of the same member, and of another one.
    assert_ne!(decrypts(&[&new[0], &old[3]]), want);
    assert_ne!(decrypts(&[&old[0], &old[1], &new[2]]), want);
    assert!(trace.outputs[2].share(&job, 2, &privates[2]).is_err(), "a dealer who leaves has no new share");
    let mut observer = Refresh::start(&job, Role::Observer).unwrap();
    trace.records.iter().for_each(|record| observer.apply(record).unwrap());
    assert!(matches!(observer.status(), Status::Done(output) if output.key == *new[0].key()));
}
