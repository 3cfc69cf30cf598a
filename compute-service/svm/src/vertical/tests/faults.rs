//! Whoever breaks the protocol is named.

use super::*;
use crate::vertical::Output;
use num_bigint::BigUint;
use protocol::{Committed, Protocol, Role};
use records::{Phase, Record};

/// Runs a job in which one record is changed.
fn tampered(shape: Shape, at: (Phase, u32, u32), mut change: impl FnMut(&mut Body)) -> Fault {
    let (phase, round, party) = at;
    let mut hit = false;
    let bench = Bench::new(shape);
    let fault = bench.run_with(&bench.privates(), 1, |slot, mut body| {
        if (slot.phase, slot.round, slot.party, slot.chunk) == (phase, round, party, 0) {
            change(&mut body);
            hit = true;
        }
        body
    });
    assert!(hit, "the record to change was posted");
    fault.map(|trace: Trace<Output>| trace.outputs).unwrap_err()
}

fn assert_names(fault: Fault, culprit: u32, why: &str) {
    let Fault::Participant { party, msp_id, reason } = &fault else { panic!("{fault}") };
    assert_eq!((*party, msp_id.as_str()), (culprit, format!("Org{}MSP", culprit + 1).as_str()));
    assert!(reason.contains(why), "{reason}");
}

fn number(value: u32, length: usize) -> Bytes {
    let digits = BigUint::from(value).to_bytes_be();
    Bytes([vec![0; length - digits.len()], digits].concat())
}

#[test]
fn garbage_ciphertexts() {
    let tiv = |change: fn(&mut Bytes)| {
        tampered(BLINDED, (Phase::Iv, 1, 2), move |body| {
            let Body::Iv(iv) = body else { panic!() };
            change(&mut iv.tiv[1]);
        })
    };
    assert_names(tiv(|c| c.0.fill(0xff)), 2, "ciphertext 1: not below N²");
    assert_names(tiv(|c| *c = number(1, c.0.len())), 2, "ciphertext 1: 0 or 1");
    assert_names(tiv(|c| c.0.truncate(5)), 2, "5 bytes instead of 128");
    for phase in [Phase::Chain, Phase::Noise] {
        let fault = tampered(BLINDED, (phase, 0, 1), |body| {
            let (Body::Chain(list) | Body::Noise(list)) = body else { panic!() };
            list[3].0.fill(0xff);
        });
        assert_names(fault, 1, "ciphertext 3: not below N²");
    }
    let fault = tampered(PAPER, (Phase::Iv, 0, 0), |body| {
        let Body::Iv(iv) = body else { panic!() };
        iv.paper.as_mut().unwrap().r2[2].0.fill(0xff);
    });
    assert_names(fault, 0, "r2: ciphertext 2: not below N²");
}

/// A factor of symbol −1 in the chain would show the parity of a margin.
#[test]
fn ciphertexts_of_the_other_jacobi_symbol() {
    for phase in [Phase::Chain, Phase::Noise, Phase::Iv] {
        let n = BigUint::from_bytes_be(&Bench::new(BLINDED).shares[0].key().to_parts().n);
        let other = (2u32..).find(|&c| modexp::jacobi(&c.into(), &n) == -1).unwrap();
        let fault = tampered(BLINDED, (phase, 0, 0), |body| {
            let list = match body {
                Body::Chain(list) | Body::Noise(list) => list,
                Body::Iv(iv) => &mut iv.tiv,
                _ => panic!(),
            };
            list[0] = number(other, list[0].0.len());
        });
        assert_names(fault, 0, "Jacobi");
    }
}

#[test]
fn wrong_partial_decryptions() {
    for shape in [BLINDED, PAPER] {
        let fault = tampered(shape, (Phase::Dv, 1, 1), |body| {
            let Body::Dv(dv) = body else { panic!() };
            dv.dv[2] = number(4, dv.dv[2].0.len());
        });
        assert_names(fault, 1, "the proof does not hold");
    }
    let fault = tampered(BLINDED, (Phase::Dv, 0, 2), |body| {
        let Body::Dv(dv) = body else { panic!() };
        dv.proof.challenge.0[0] ^= 1;
    });
    assert_names(fault, 2, "the proof does not hold");
    let fault = tampered(BLINDED, (Phase::Dv, 0, 2), |body| {
        let Body::Dv(dv) = body else { panic!() };
        dv.dv[0].0.fill(0);
    });
    assert_names(fault, 2, "dv: ciphertext 0");
}

#[test]
fn a_copied_partial_decryption() {
    let mut copy = None;
    let bench = Bench::new(BLINDED);
    let fault = bench.run_with(&bench.privates(), 1, |slot, body| match (slot.phase, slot.round, &copy) {
        (Phase::Dv, 0, None) => {
            copy = Some((slot.party, body.clone()));
            body
        }
        (Phase::Dv, 0, Some((_, first))) => first.clone(),
        _ => body,
    });
    let Fault::Participant { party, .. } = fault.map(|_| ()).unwrap_err() else { panic!() };
    assert_ne!(party, copy.unwrap().0, "the first to post is not the culprit");
}

#[test]
fn a_wrong_opening() {
    let fault = tampered(BLINDED, (Phase::SeedOpen, 0, 1), |body| {
        let Body::SeedOpen(open) = body else { panic!() };
        open.seed.0[0] ^= 1;
    });
    assert_names(fault, 1, "does not fit the commitment");
}

#[test]
fn a_wrong_result() {
    let fault = tampered(BLINDED, (Phase::Result, 0, 2), |body| {
        let Body::Result(result) = body else { panic!() };
        result.indicators = [0; 32].into();
    });
    assert_names(fault, 2, "its result differs");
}

#[test]
fn wrong_models() {
    let model = |change: fn(&mut records::Model)| {
        tampered(BLINDED, (Phase::Model, 0, 0), move |body| {
            let Body::Model(model) = body else { panic!() };
            change(model);
        })
    };
    assert_names(model(|m| m.weights.as_mut().unwrap()[0].push('1')), 0, "digest");
    assert_names(model(|m| m.weights.as_mut().unwrap().truncate(1)), 0, "1 weights for 3 features");
    assert_names(model(|m| m.weights = None), 0, "weights: missing");
}

#[test]
fn blinding_of_the_paper_that_is_not_positive() {
    let fault = tampered(PAPER, (Phase::Iv, 0, 1), |body| {
        let Body::Iv(iv) = body else { panic!() };
        iv.paper.as_mut().unwrap().r1[0] = number(0, 8);
    });
    assert_names(fault, 1, "r1: entry 0");
}

/// Runs a job in which the third participant brings something else.
fn disagreement(third: impl FnOnce(&Bench) -> Private) -> String {
    let bench = Bench::new(BLINDED);
    let mut privates = bench.privates();
    privates[2] = third(&bench);
    match bench.run_with(&privates, 1, |_, body| body).map(|_| ()).unwrap_err() {
        Fault::Disagreement(text) => text,
        fault => panic!("{fault}"),
    }
}

#[test]
fn other_keys_labels_and_instances() {
    let other_key = disagreement(|bench| {
        let (_, shares) = paillier::deal(3, 3, 512, "test", &mut ChaCha20Rng::seed_from_u64(99)).unwrap();
        bench.private_with(2, Bench::ids(), bench.labels.clone(), &shares[2])
    });
    assert_eq!(other_key, "the public keys differ between participants: Org1MSP, Org2MSP; Org3MSP");
    let other_labels = disagreement(|bench| {
        let mut labels = bench.labels.clone();
        labels[4] = Label::of_sign(labels[4] == Label::Positive);
        bench.private_with(2, Bench::ids(), labels, &bench.shares[2])
    });
    assert_eq!(other_labels, "the labels differ between participants: Org1MSP, Org2MSP; Org3MSP");
    let other_ids = disagreement(|bench| {
        let mut ids = Bench::ids();
        ids[19] = "P999".into();
        bench.private_with(2, ids, bench.labels.clone(), &bench.shares[2])
    });
    assert!(other_ids.starts_with("the instances"), "{other_ids}");
    assert!(other_ids.ends_with("Org1MSP, Org2MSP; Org3MSP"), "{other_ids}");
}

/// All post one key, but it is none: no member could have made it.
#[test]
fn a_key_that_is_no_key() {
    let bench = Bench::new(BLINDED);
    let fault = bench.run_with(&bench.privates(), 1, |_, mut body| {
        if let Body::Setup(setup) = &mut body {
            *setup.key.n.0.last_mut().unwrap() &= 0xfe;
        }
        body
    });
    let fault = fault.map(|_| ()).unwrap_err();
    assert!(matches!(&fault, Fault::Input(reason) if reason.contains("the modulus is even")), "{fault}");
}

#[test]
fn somebody_elses_key_share() {
    let bench = Bench::new(BLINDED);
    let mut privates = bench.privates();
    privates[2] = bench.private_with(2, Bench::ids(), bench.labels.clone(), &bench.shares[1]);
    let fault = bench.run_with(&privates, 1, |_, body| body).map(|_| ()).unwrap_err();
    assert!(matches!(fault, Fault::Input(reason) if reason.contains("key share")));
}

#[test]
fn own_data_that_do_not_fit() {
    let bench = Bench::new(BLINDED);
    let attempt = |ids: Vec<String>, labels: Vec<Label>| {
        let share = KeyShare::from_json(&bench.shares[0].to_json()).unwrap();
        let features = Features::encode(&bench.table).unwrap();
        let secret = JobSecret::new([1; 32]);
        Private::new(&bench.job.params, share, &ids, features, labels, &secret)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let labels = || bench.labels.clone();
    let mut repeated = Bench::ids();
    repeated[5] = repeated[4].clone();
    assert_eq!(attempt(repeated, labels()), "identifier `P004` is repeated");
    assert!(attempt(Bench::ids()[1..].to_vec(), labels()).starts_with("19 identifiers"));
    assert!(attempt(Bench::ids(), vec![Label::Positive; 20]).contains("one class"));
}

#[test]
fn margins_that_overflow_stop_before_anything_is_sent() {
    let mut bench = Bench::new(Shape { iterations: 30, ..BLINDED });
    let training = bench.job.params.training_mut();
    training.learning_rate = "1000".parse().unwrap();
    bench.job.id = bench.job.params.id();
    let fault = bench.run_with(&bench.privates(), 1, |_, body| body).map(|_| ()).unwrap_err();
    assert!(matches!(fault, Fault::Input(_)), "{fault}");
}

#[test]
fn records_out_of_place() {
    let bench = Bench::new(BLINDED);
    let trace = bench.run(1);
    let fold = |before: usize, change: &dyn Fn(&mut Record)| {
        let mut observer = VerticalSvm::start(&bench.job, Role::Observer).unwrap();
        trace.records[..before].iter().for_each(|c| observer.apply(c).unwrap());
        let mut next: Committed = trace.records[before].clone();
        change(&mut next.record);
        observer.apply(&next)
    };
    let phase = |phase| trace.records.iter().position(|c| c.record.slot.phase == phase).unwrap();
    assert_eq!(fold(phase(Phase::Noise), &|_| ()), Ok(()));
    let early = fold(phase(Phase::Iv), &|r| *r = trace.records[phase(Phase::Dv)].record.clone());
    assert!(early.unwrap_err().to_string().contains("before what it needs"));
    let name = fold(0, &|r| r.msp_id = "Org9MSP".parse().unwrap());
    assert!(name.unwrap_err().to_string().contains("was posted by Org9MSP"));
    let party = fold(0, &|r| r.slot.party = 3);
    assert!(matches!(party, Err(Fault::Input(_))));
    let job = fold(0, &|r| r.job = [0; 32].into());
    assert!(matches!(job, Err(Fault::Input(_))));
    let chunk = fold(0, &|r| r.slot.chunk = 1);
    assert!(chunk.unwrap_err().to_string().contains("not part of the job"));
}

#[test]
fn parameters_that_cannot_be_run() {
    let mut bench = Bench::new(BLINDED);
    let training = bench.job.params.training_mut();
    training.weak_blinding = false;
    bench.job.id = bench.job.params.id();
    let fault = VerticalSvm::start(&bench.job, Role::Observer).map(|_| ()).unwrap_err();
    assert!(fault.to_string().contains("--weak-blinding"), "{fault}");
    let mut bench = Bench::new(BLINDED);
    assert!(matches!(VerticalSvm::start(&bench.job, Role::Member(3)), Err(Fault::Input(_))));
    bench.job.id = [0; 32].into();
    assert!(matches!(VerticalSvm::start(&bench.job, Role::Observer), Err(Fault::Input(_))));
}
