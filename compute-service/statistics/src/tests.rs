//! Whole jobs in memory.

use crate::{Mean, OwnSums, Private, Totals};
use dataset::table::{Columns, Table};
use num_bigint::BigInt;
use paillier::{Ciphertext, Encryptor, KeyShare, Randomness};
use proptest::prelude::*;
use protocol::{Fault, Protocol, Role, Status, Trace, forms, simulate};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use records::{
    Body, Bytes, Contribution, Job, JobId, JobParams, Kind, Phase, Slot, VERSION,
    jobs::{Mean as Params, STATISTICS},
};

/// A job with a key for it.
struct Bench {
    job: Job,
    shares: Vec<KeyShare>,
}

impl Bench {
    fn new(parties: u32, quorum: u32, change: impl FnOnce(&mut Params)) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(parties.into());
        let (key, shares) = paillier::deal(parties, quorum, 512, STATISTICS, &mut rng).unwrap();
        let mut mean = Params {
            key: forms::fingerprint(&key),
            key_bits: 512,
            insecure_key_bits: true,
            quorum,
            columns: ["a", "b", "c"].map(String::from).to_vec(),
            places: 2,
            value_bits: 40,
            max_rows: 1_000,
            min_rows: 10,
            two_participants: parties == 2,
        };
        change(&mut mean);
        let params = JobParams {
            version: VERSION,
            contract: "1.1".into(),
            participants: (1..=parties).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
            kind: Kind::Mean(mean),
            nonce: Bytes(vec![parties as u8; 16]),
            deadlines: None,
        };
        params.validate().unwrap();
        let id = params.id();
        Self {
            job: Job { version: VERSION, id, params, proposer: "Org1MSP".parse().unwrap(), proposed: 0 },
            shares,
        }
    }

    fn params(&self) -> &Params {
        let Kind::Mean(mean) = &self.job.params.kind else { panic!() };
        mean
    }

    fn private(&self, party: usize, own: OwnSums) -> Private {
        let share = KeyShare::from_json(&self.shares[party].to_json()).unwrap();
        Private::new(&self.job.id, share, own)
    }

    fn run(
        &self,
        all: &[OwnSums],
        seed: u64,
        tamper: impl FnMut(Slot, Body) -> Body,
    ) -> Result<Trace<Totals>, Fault> {
        let privates: Vec<Private> =
            all.iter().enumerate().map(|(party, own)| self.private(party, own.clone())).collect();
        simulate::<Mean>(&self.job, &privates, seed, tamper)
    }

    /// Runs the job with so many rows for each participant and one record changed.
    fn tampered(&self, rows: u64, at: (Phase, u32, u32), mut change: impl FnMut(&mut Body)) -> Fault {
        let all = vec![sums(rows, 3); self.shares.len()];
        let mut hit = false;
        let fault = self.run(&all, 1, |slot, mut body| {
            if (slot.phase, slot.round, slot.party) == at {
                change(&mut body);
                hit = true;
            }
            body
        });
        assert!(hit, "the record to change was posted");
        fault.map(|trace| trace.outputs).unwrap_err()
    }
}

/// The sums of a table of so many rows and columns.
fn sums(rows: u64, columns: usize) -> OwnSums {
    let ramp = |column: usize| (0..rows as i128).map(move |row| 100 * (column as i128 + 1) - 7 * row);
    OwnSums {
        rows,
        left_out: 0,
        sums: (0..columns).map(|column| ramp(column).sum()).collect(),
        squares: (0..columns).map(|column| ramp(column).map(|x| x * x).sum()).collect(),
    }
}

fn table(text: &str) -> Table {
    let features = Some(["a", "b", "c"].map(String::from).to_vec());
    Table::parse(text.as_bytes(), &Columns { features, ..Columns::default() }).unwrap()
}

fn assert_names(fault: Fault, culprit: u32, why: &str) {
    let Fault::Participant { party, msp_id, reason } = &fault else { panic!("{fault}") };
    assert_eq!((*party, msp_id.as_str()), (culprit, format!("Org{}MSP", culprit + 1).as_str()));
    assert!(reason.contains(why), "{reason}");
}

fn contribution(body: &mut Body) -> &mut Contribution {
    let Body::Contribution(contribution) = body else { panic!() };
    contribution
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the tables: every participant and an observer come to the totals that the integers have.
    #[test]
    fn the_totals_are_those_of_the_tables_put_together(
        (parties, quorum) in (2u32..=5).prop_flat_map(|n| (Just(n), 2..=n)),
        values in prop::collection::vec((0usize..5, prop::array::uniform3(-99_999_999i64..=99_999_999)), 40..60),
        seed: u64,
    ) {
        let bench = Bench::new(parties, quorum, |_| ());
        let mut texts = vec![String::from("a,b,c\n1.5,-2.25,0\n"); parties as usize];
        for (party, row) in &values {
            let cells = row.map(|cents| format!("{}.{:02}", cents / 100, cents.abs() % 100));
            texts[party % parties as usize] += &(cells.join(",") + "\n");
        }
        let all: Vec<OwnSums> =
            texts.iter().map(|text| OwnSums::of(bench.params(), &table(text)).unwrap()).collect();
        let trace = bench.run(&all, seed, |_, body| body).unwrap();
        prop_assert_eq!(trace.outputs.len(), parties as usize);

        let mut expected = Totals { rows: u64::from(parties), sums: vec![], squares: vec![] };
        expected.rows += values.len() as u64;
        for (column, cents) in [150, -225, 0].into_iter().enumerate() {
            // `-0.50` is written as 0.50.
            let written = |x: i64| if x / 100 == 0 { x.abs() } else { x };
            let all = values.iter().map(|(_, row)| BigInt::from(written(row[column])));
            let all: Vec<BigInt> = all.chain(vec![BigInt::from(cents); parties as usize]).collect();
            expected.sums.push(all.iter().sum());
            expected.squares.push(all.iter().map(|x| x * x).sum());
        }
        for output in &trace.outputs {
            prop_assert_eq!(output, &expected);
        }

        let mut observer = Mean::start(&bench.job, Role::Observer).unwrap();
        for committed in &trace.records {
            observer.apply(committed).unwrap();
            prop_assert!(observer.pending().is_empty());
        }
        prop_assert_eq!(observer.status(), Status::Done(expected));
        // A quorum's partial decryptions in two rounds.
        prop_assert_eq!(observer.proofs(), u64::from(2 * quorum));
    }
}

#[test]
fn means_and_deviations_are_those_of_all_rows() {
    let bench = Bench::new(3, 2, |mean| mean.min_rows = 10);
    let texts = [
        "a,b,c\n1,10,0.5\n2,20,0.25\n3,30,-0.5\n",
        "a,b,c\n4,40,1\n5,50,2\n6,60,3\n7,70,4\n",
        "a,b,c\n8,80,9\n9,90,9\n10,100,-9\n",
    ];
    let all = texts.map(|text| OwnSums::of(bench.params(), &table(text)).unwrap());
    let trace = bench.run(&all, 4, |_, body| body).unwrap();
    let found: Vec<(String, String)> = trace.outputs[1]
        .columns(bench.params())
        .into_iter()
        .map(|column| (column.mean, column.deviation))
        .collect();
    let expected = [("5.5", "3.02765035"), ("55", "30.27650354"), ("1.925", "5.12625323")];
    assert_eq!(found, expected.map(|(mean, deviation)| (mean.into(), deviation.into())));
}

#[test]
fn too_few_rows_open_no_sums() {
    let bench = Bench::new(3, 3, |mean| mean.min_rows = 25);
    let mut posted = Vec::new();
    let all = [sums(8, 3), sums(9, 3), sums(7, 3)];
    let fault = bench.run(&all, 1, |slot, body| {
        posted.push(slot);
        body
    });
    let Fault::Disagreement(reason) = fault.map(|_| ()).unwrap_err() else { panic!() };
    assert_eq!(reason, "24 rows in all, fewer than the minimum of 25; no sums were opened");
    assert!(posted.iter().any(|slot| slot.phase == Phase::Dv && slot.round == 0));
    assert!(posted.iter().all(|slot| slot.phase != Phase::Dv || slot.round == 0));
    let enough = [sums(8, 3), sums(10, 3), sums(7, 3)];
    bench.run(&enough, 1, |_, body| body).unwrap();
}

/// An observer of a job with too few rows waits for nothing, and names who opens the sums all the same.
#[test]
fn an_observer_sees_that_the_sums_stay_closed() {
    let enough = Bench::new(3, 2, |_| ());
    let all = vec![sums(8, 3); 3];
    // The same ciphertexts under a higher minimum would be another job; so let the observer have another minimum only.
    let trace = enough.run(&all, 5, |_, body| body).unwrap();
    let mut observer = Mean::start(&enough.job, Role::Observer).unwrap();
    observer.require(25);
    let mut culprit = None;
    for committed in &trace.records {
        let slot = committed.record.slot;
        match observer.apply(committed) {
            Ok(()) if slot.phase == Phase::Dv && slot.round == 1 => panic!("{slot} opens the sums"),
            Ok(()) => {}
            Err(fault) => {
                assert_eq!((slot.phase, slot.round), (Phase::Dv, 1));
                assert_names(fault, slot.party, "though there are too few rows");
                culprit = Some(slot.party);
                break;
            }
        }
        if committed.record.slot.phase == Phase::Dv && observer.too_few() {
            assert_eq!(observer.status(), Status::Running { waiting_for: Vec::new() });
        }
    }
    assert!(culprit.is_some());
}

/// What a participant decrypts itself it owes only after everybody has decrypted the number of rows.
#[test]
fn nobody_owes_a_decryption_of_the_sums_before_the_number_of_rows_is_known() {
    let bench = Bench::new(3, 2, |_| ());
    let all = vec![sums(8, 3); 3];
    let trace = bench.run(&all, 5, |_, body| body).unwrap();
    let mut member = Mean::start(&bench.job, Role::Member(1)).unwrap();
    let mut rounds = 0;
    for committed in &trace.records {
        let sums_owed = member.pending().iter().any(|slot| slot.phase == Phase::Dv && slot.round == 1);
        assert!(!sums_owed || rounds >= 2);
        member.apply(committed).unwrap();
        rounds += u32::from(committed.record.slot.phase == Phase::Dv && committed.record.slot.round == 0);
    }
}

#[test]
fn a_copied_contribution_is_its_copiers_fault() {
    let bench = Bench::new(3, 3, |_| ());
    let mut first = None;
    let fault = bench.run(&vec![sums(8, 3); 3], 1, |slot, body| match (slot.phase, &first) {
        (Phase::Contribution, None) => {
            first = Some((slot.party, body.clone()));
            body
        }
        (Phase::Contribution, Some((_, first))) => first.clone(),
        _ => body,
    });
    let Fault::Participant { party, reason, .. } = fault.map(|_| ()).unwrap_err() else { panic!() };
    assert_ne!(party, first.unwrap().0, "the first to post is not the culprit");
    assert!(reason.contains("the proof does not hold for these ciphertexts in this place"), "{reason}");
}

#[test]
fn a_ciphertext_of_somebody_else_cannot_be_put_in() {
    let bench = Bench::new(3, 3, |_| ());
    let key = bench.shares[0].key().clone();
    let encryptor = Encryptor::new(&key, Randomness::Short);
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    // Another member's in this job, multiplied and made anew so that nobody recognises it.
    let mut victim: Option<Contribution> = None;
    let fault = bench.run(&vec![sums(8, 3); 3], 1, |slot, mut body| {
        if slot.phase == Phase::Contribution {
            match &victim {
                None => victim = Some(contribution(&mut body).clone()),
                Some(victim) => {
                    let theirs = Ciphertext::from_bytes(&key, &victim.ciphertexts[1].0).unwrap();
                    let scaled = key.scale(&[theirs], &(BigInt::from(1) << 200));
                    let fresh = encryptor.rerandomise(&scaled, &mut rng);
                    contribution(&mut body).ciphertexts[1] = Bytes(fresh[0].to_bytes(&key));
                }
            }
        }
        body
    });
    let Fault::Participant { reason, .. } = fault.map(|_| ()).unwrap_err() else { panic!() };
    assert!(reason.contains("the proof does not hold"), "{reason}");

    // A whole contribution of the same member, of an earlier job under the same key.
    let earlier = JobId::from([9; 32]);
    let slot = Slot { phase: Phase::Contribution, round: 0, party: 1, chunk: 0 };
    let context = forms::proof_context(&earlier, &slot);
    let fault = bench.tampered(8, (Phase::Contribution, 0, 1), |body| {
        let count = contribution(body).ciphertexts.len();
        let (old, proof) = encryptor.encrypt_known(&vec![1.into(); count], &context, &mut rng).unwrap();
        *body = Body::Contribution(forms::contribution(&key, &old, &proof));
    });
    assert_names(fault, 1, "the proof does not hold");
}

#[test]
fn changed_contributions_are_their_authors_fault() {
    let bench = Bench::new(3, 3, |_| ());
    let at = (Phase::Contribution, 0, 2);
    let fault = bench.tampered(8, at, |body| contribution(body).ciphertexts[1].0.fill(0xff));
    assert_names(fault, 2, "ciphertext 1: not below N²");
    let fault = bench.tampered(8, at, |body| contribution(body).ciphertexts.swap(0, 1));
    assert_names(fault, 2, "the proof does not hold");
    let fault = bench.tampered(8, at, |body| contribution(body).proof.challenge.0[3] ^= 1);
    assert_names(fault, 2, "the proof does not hold");
    let fault = bench.tampered(8, at, |body| contribution(body).proof.response.0.push(0));
    assert_names(fault, 2, "not of the fixed length");
    let fault = bench.tampered(8, at, |body| drop(contribution(body).ciphertexts.pop()));
    assert_names(fault, 2, "ciphertexts: 2 entries instead of 3");
}

#[test]
fn wrong_partial_decryptions_are_their_authors_fault() {
    for round in 0..2 {
        let bench = Bench::new(3, 3, |_| ());
        let fault = bench.tampered(8, (Phase::Dv, round, 1), |body| {
            let Body::Dv(dv) = body else { panic!() };
            let four = [vec![0; dv.dv[0].0.len() - 1], vec![4]].concat();
            dv.dv[0] = Bytes(four);
        });
        assert_names(fault, 1, "the proof does not hold");
    }
}

#[test]
fn another_key_or_result_is_its_authors_fault() {
    let bench = Bench::new(3, 3, |_| ());
    let other = paillier::deal(3, 3, 512, STATISTICS, &mut ChaCha20Rng::seed_from_u64(77)).unwrap().0;
    let fault =
        bench.tampered(8, (Phase::Setup, 0, 2), |body| *body = Body::Key(forms::threshold_key(&other)));
    assert_names(fault, 2, "key: not the one that the job names");
    let fault = bench.tampered(8, (Phase::Result, 0, 1), |body| *body = Body::Part(Bytes(vec![0; 32])));
    assert_names(fault, 1, "its result differs from what the records give");
}

/// Sums that no table has are found, though nobody can say whose they are.
#[test]
fn impossible_totals_have_no_result() {
    let bench = Bench::new(3, 3, |_| ());
    let good = || vec![sums(8, 3); 3];
    let reason = |all: Vec<OwnSums>| {
        let fault = bench.run(&all, 1, |_, body| body).map(|_| ()).unwrap_err();
        let Fault::Disagreement(reason) = fault else { panic!("{fault}") };
        reason
    };
    let mut all = good();
    all[1].squares[2] = -1_000_000_000;
    assert!(reason(all).contains("the sums do not belong to any table"));
    let mut all = good();
    all[0].sums[0] = 1 << 60;
    assert!(reason(all).contains("the sums do not belong to any table"));
    let mut all = good();
    all[2].rows = 10_000;
    assert!(reason(all).contains("do not add up to one in 0..=3000"));
}

#[test]
fn the_places_of_a_table_are_found() {
    let places = |text: &str| crate::places(&table(text));
    assert_eq!(places("a,b,c\n1,2,3\n4,,5\n"), 0);
    assert_eq!(places("a,b,c\n1,2.5,3\n4,0.07,5\n"), 2);
    assert_eq!(places("a,b,c\n0.3333333333,2,3\n"), 6);
}

#[test]
fn gaps_leave_rows_out_and_values_have_a_limit() {
    let bench = Bench::new(3, 3, |mean| (mean.max_rows, mean.value_bits) = (4, 16));
    let own = |text: &str| OwnSums::of(bench.params(), &table(text));
    let sums = own("a,b,c\n1,2,3\n,2,3\n4,5,NA\n-1.005,2,3\n").unwrap();
    assert_eq!((sums.rows, sums.left_out), (2, 2));
    assert_eq!((sums.sums[0], sums.squares[0]), (100 - 100, 100 * 100 + 100 * 100));
    let refused = |text: &str| own(text).unwrap_err();
    assert_eq!(refused("a,b,c\n,2,3\n"), "no row has a value in each of the job's columns");
    assert_eq!(
        refused("a,b,c\n1,2,3\n1,655.36,3\n"),
        "line 3, column `b`: too large for the job; it takes values up to 655 with 2 places"
    );
    assert!(own("a,b,c\n1,-655.35,3\n").is_ok());
    assert!(refused(&("a,b,c\n".to_owned() + &"1,2,3\n".repeat(5))).starts_with("more than 4 rows"));
    let other = Table::parse(b"b,a,c\n1,2,3\n", &Columns::default()).unwrap();
    assert!(OwnSums::of(bench.params(), &other).unwrap_err().contains("not those of the job"));
    assert_eq!(format!("{sums:?}"), "OwnSums(… of 3 columns)");
}
