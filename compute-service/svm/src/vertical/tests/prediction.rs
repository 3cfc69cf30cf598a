//! Predictions with a split model give the class that the whole model gives, and nobody brings another part.

use crate::{
    digest,
    fixed::{self, Features},
    vertical::{Parts, Prediction, SplitPart},
};
use dataset::Label;
use paillier::KeyShare;
use protocol::{Fault, Protocol, Role, Status, Trace, simulate};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use records::{Body, Bytes, Job, JobId, JobParams, Kind, Phase, Slot, VerticalPredict};

const WIDTH: usize = 2;

/// A job with everybody's part of the model and columns of the new instances.
struct Asked {
    job: Job,
    shares: Vec<KeyShare>,
    weights: Vec<Vec<i64>>,
    columns: Vec<Features>,
}

fn salt(party: usize) -> [u8; 32] {
    [party as u8 + 9; 32]
}

impl Asked {
    fn new(parties: usize, instances: usize, quorum: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(parties as u64);
        let (_, shares) = paillier::deal(parties as u32, quorum as u32, 512, "test", &mut rng).unwrap();
        let training = JobId::from([0x77; 32]);
        let weight = |rng: &mut ChaCha20Rng| i64::from(rng.next_u32() as i32 >> 6);
        let weights: Vec<Vec<i64>> = (0..parties)
            // The first weights are 1 and 2^12, so that any sum can be reached.
            .map(|party| match party {
                0 => vec![1, 1 << 12],
                _ => (0..WIDTH).map(|_| weight(&mut rng)).collect(),
            })
            .collect();
        let mut columns = vec![Vec::new(); parties];
        for row in 0..instances {
            let mut rest = 0;
            for party in (0..parties).rev() {
                let x: Vec<i32> = match (party, row) {
                    // Sums of 0, 1 and −1 units: the sign turns there.
                    (0, 0..3) => {
                        let wanted = [0, 1, -1][row] - rest;
                        vec![(wanted & 0xfff) as i32, (wanted >> 12) as i32]
                    }
                    (_, 0..3) => vec![row as i32 + 1; WIDTH],
                    _ => (0..WIDTH).map(|_| rng.next_u32() as i32 >> 17).collect(),
                };
                rest += fixed::score(&weights[party], &x) as i64;
                columns[party].push(x);
            }
        }
        let digest = |(party, weights): (usize, &Vec<i64>)| {
            digest::model(&training, party as u32, weights, Some(&salt(party)))
        };
        let params = JobParams {
            version: records::VERSION,
            contract: "1.0".into(),
            participants: (1..=parties).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
            kind: Kind::VerticalPredict(VerticalPredict {
                digests: weights.iter().enumerate().map(digest).collect(),
                training,
                instances: instances as u32,
                key: None,
                key_bits: 512,
                insecure_key_bits: true,
                quorum: quorum as u32,
                margin_bits: 42,
                weak_blinding: true,
            }),
            nonce: Bytes(vec![parties as u8; 16]),
            deadlines: None,
        };
        params.validate().unwrap();
        let columns = columns.iter().map(|rows| Features::from_rows(WIDTH, rows)).collect();
        let proposer = "Org1MSP".parse().unwrap();
        let job = Job { version: records::VERSION, id: params.id(), params, proposer, proposed: 0 };
        Self { job, shares, weights, columns }
    }

    fn ids(&self) -> Vec<String> {
        (0..self.columns[0].len()).map(|i| format!("N{i:03}")).collect()
    }

    fn parts_with(&self, party: usize, part: &SplitPart, ids: &[String]) -> Result<Parts, Fault> {
        let share = KeyShare::from_json(&self.shares[party].to_json()).unwrap();
        Parts::new(&self.job.params, party as u32, share, part, ids, &self.columns[party])
    }

    fn part(&self, party: usize) -> SplitPart {
        SplitPart { weights: self.weights[party].clone(), salt: salt(party) }
    }

    fn parts(&self) -> Vec<Parts> {
        (0..self.shares.len())
            .map(|party| self.parts_with(party, &self.part(party), &self.ids()).unwrap())
            .collect()
    }

    fn run(&self, tamper: impl FnMut(Slot, Body) -> Body) -> Result<Trace<Vec<Label>>, Fault> {
        simulate::<Prediction>(&self.job, &self.parts(), 5, tamper)
    }

    /// What the whole model says.
    fn reference(&self) -> Vec<Label> {
        let score = |row: usize| {
            let of = |(w, x): (&Vec<i64>, &Features)| fixed::score(w, x.row(row));
            self.weights.iter().zip(&self.columns).map(of).sum()
        };
        (0..self.columns[0].len()).map(|row| fixed::predict(score(row))).collect()
    }
}

fn check(parties: usize, instances: usize, quorum: usize) -> Trace<Vec<Label>> {
    let asked = Asked::new(parties, instances, quorum);
    let expected = asked.reference();
    assert_eq!(expected[..3], [Label::Positive, Label::Positive, Label::Negative], "a tie is positive");
    let trace = asked.run(|_, body| body).unwrap();
    assert!(trace.outputs.iter().all(|output| *output == expected));
    trace
}

#[test]
fn every_class_is_the_whole_models() {
    let labels = check(3, 40, 3).outputs.remove(0);
    assert!(labels[3..].contains(&Label::Positive) && labels[3..].contains(&Label::Negative));
    check(2, 12, 2);
    check(5, 5, 5);
}

#[test]
fn a_quorum_decrypts() {
    let trace = check(3, 6, 2);
    let results = trace.records.iter().filter(|c| c.record.slot.phase == Phase::Result);
    assert!(results.clone().count() == 3 && results.clone().all(|c| c.record.contributors.len() == 2));
}

/// A chunk of the preparation holds 128 comparisons.
#[test]
fn several_chunks() {
    check(3, 130, 3);
}

#[test]
fn an_observer_comes_to_the_same_classes() {
    let asked = Asked::new(3, 9, 3);
    let trace = asked.run(|_, body| body).unwrap();
    let mut observer = Prediction::start(&asked.job, Role::Observer).unwrap();
    for committed in &trace.records {
        assert!(observer.pending().is_empty());
        assert!(matches!(observer.status(), Status::Running { waiting_for } if !waiting_for.is_empty()));
        observer.apply(committed).unwrap();
        observer.apply(committed).unwrap();
    }
    assert_eq!(observer.status(), Status::Done(asked.reference()));
    assert_eq!(observer.proofs(), 3);
}

/// A node that restarts folds the ledger from the beginning and makes the same bytes again.
#[test]
fn a_restarted_member_repeats_its_records() {
    let asked = Asked::new(3, 4, 3);
    let trace = asked.run(|_, body| body).unwrap();
    let secret = protocol::JobSecret::new([77; 32]);
    let private = asked.parts().remove(1);
    let make = |upto: usize, slot| {
        let mut member = Prediction::start(&asked.job, Role::Member(1)).unwrap();
        trace.records[..upto].iter().for_each(|c| member.apply(c).unwrap());
        let inputs = member.input_digest(slot, &private);
        let mut rng = protocol::StepRng::new(&secret, &asked.job.id, slot, &inputs);
        (inputs, member.produce(slot, &private, &mut rng).unwrap())
    };
    let own = trace.records.iter().enumerate().filter(|(_, c)| c.record.slot.party == 1);
    for (at, committed) in own {
        let slot = committed.record.slot;
        let needs = records::Rules::new(&asked.job.params).needs(&slot, &[]);
        let earliest =
            trace.records.iter().rposition(|c| needs.contains(&c.record.slot)).map_or(0, |i| i + 1);
        assert_eq!(make(earliest, slot), make(at, slot), "{slot}");
    }
}

#[test]
fn another_part_than_the_one_that_was_named_is_refused() {
    let asked = Asked::new(3, 4, 3);
    let refused = |part: SplitPart, ids: &[String]| asked.parts_with(1, &part, ids).unwrap_err().to_string();
    let mut other = asked.part(1);
    other.weights[1] += 1;
    assert!(refused(other, &asked.ids()).contains("not the one that was named"));
    let mut other = asked.part(1);
    other.salt[0] ^= 1;
    assert!(refused(other, &asked.ids()).contains("not the one that was named"));
    // Somebody else's.
    assert!(refused(asked.part(2), &asked.ids()).contains("not the one that was named"));

    let mut ids = asked.ids();
    ids[3] = ids[2].clone();
    assert_eq!(refused(asked.part(1), &ids), "identifier `N002` is repeated");
    assert!(refused(asked.part(1), &ids[1..]).starts_with("3 identifiers"));
    assert!(format!("{:?}{:?}", asked.part(1), asked.parts()[1]).len() < 40, "nothing is shown");
}

#[test]
fn a_value_that_the_judge_cannot_compare_stops_before_anything_is_sent() {
    let mut asked = Asked::new(2, 4, 2);
    asked.weights[1] = vec![2_000, 0];
    let digest = digest::model(&JobId::from([0x77; 32]), 1, &asked.weights[1], Some(&salt(1)));
    let Kind::VerticalPredict(predict) = &mut asked.job.params.kind else { unreachable!() };
    predict.digests[1] = digest;
    asked.columns[1] = Features::from_rows(WIDTH, &[vec![1, 0], vec![i32::MAX, 0], vec![0, 0], vec![0, 0]]);
    let error = asked.parts_with(1, &asked.part(1), &asked.ids()).unwrap_err().to_string();
    assert_eq!(error, "instance `N001` lies farther from the plane than the judge can compare");
}

#[test]
fn whoever_breaks_the_protocol_is_named() {
    let asked = Asked::new(3, 4, 3);
    let tampered = |at: Phase, change: fn(&mut Body)| {
        let fault = asked.run(|slot, mut body| {
            if (slot.phase, slot.party) == (at, 1) {
                change(&mut body);
            }
            body
        });
        let Fault::Participant { party: 1, reason, .. } = fault.unwrap_err() else { panic!("another party") };
        reason
    };
    let reason = tampered(Phase::Dv, |body| {
        let Body::Dv(dv) = body else { panic!() };
        dv.dv.swap(0, 1);
    });
    assert!(reason.contains("the proof does not hold"), "{reason}");
    let reason = tampered(Phase::Result, |body| {
        let Body::Result(result) = body else { panic!() };
        result.indicators = [0; 32].into();
    });
    assert!(reason.contains("its result differs"), "{reason}");

    let mut parts = asked.parts();
    let mut ids = asked.ids();
    ids[3] = "Z".into();
    parts[2] = asked.parts_with(2, &asked.part(2), &ids).unwrap();
    let fault = simulate::<Prediction>(&asked.job, &parts, 1, |_, body| body).map(|_| ()).unwrap_err();
    assert!(matches!(&fault, Fault::Disagreement(_)), "{fault}");
    assert!(fault.to_string().ends_with("Org1MSP, Org2MSP; Org3MSP"), "{fault}");
}

/// A member that chooses rows for which another's part stays the same finds that part, each answer halving what it may be,
/// whatever the judge hides: why every node counts the rows that are asked about with its part.
#[test]
fn chosen_rows_give_a_part_away_by_bisection() {
    let mut asked = Asked::new(2, 1, 2);
    let part = fixed::score(&asked.weights[1], asked.columns[1].row(0)) as i64;
    let (mut least, mut beyond) = (-1i64 << 40, 1i64 << 40);
    for query in 1..=41u8 {
        let middle = least + (beyond - least) / 2;
        // The cheat's own weights are 1 and 2^12.
        let own = vec![(-middle & 0xfff) as i32, (-middle >> 12) as i32];
        asked.columns[0] = Features::from_rows(WIDTH, &[own]);
        asked.job.params.nonce = Bytes(vec![query; 16]);
        asked.job.id = asked.job.params.id();
        match asked.run(|_, body| body).unwrap().outputs[0][0] {
            Label::Positive => least = middle,
            Label::Negative => beyond = middle,
        }
        assert_eq!(beyond - least, 1 << (41 - query));
    }
    assert_eq!(least, part);
}
