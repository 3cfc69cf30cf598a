mod attack;

use super::*;
use crate::reference::{self, Reference, Variant};
use dataset::{
    scaling::{Scaled, Scaler, Scaling},
    table::{Columns, Table},
};
use num_bigint::BigInt;
use protocol::{JobSecret, Trace, simulate};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use records::{Decimal, GradientNoise, JobParams, VERSION};

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn table(text: &str) -> Table {
    let columns = Columns { label: Some("class".into()), positive: Some("ill".into()), ..Columns::default() };
    Table::parse(text.as_bytes(), &columns).unwrap()
}

/// Rows of three columns, each provider's own table; the class follows a line, some cells are missing.
fn tables(sizes: &[usize], gaps: bool) -> Vec<Table> {
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    let mut draw = || f64::from(rng.next_u32() % 2001) / 100.0 - 10.0;
    sizes
        .iter()
        .map(|&size| {
            let mut text = "age,weight,sugar,class\n".to_string();
            for row in 0..size {
                let (a, b, c) = (draw(), draw(), draw());
                let ill = if 2.0 * a - b + 3.0 + 0.3 * draw() > 0.0 { "ill" } else { "well" };
                let cell = if gaps && row % 5 == 3 { String::new() } else { format!("{:.2}", 1000.0 + c) };
                text += &format!("{a:.2},{:.2},{cell},{ill}\n", b * 0.01);
            }
            table(&text)
        })
        .collect()
}

fn job(providers: u32, rows: u32, change: impl FnOnce(&mut Params)) -> Job {
    let mut params = Params {
        comparison: Comparison::Hidden,
        analyst: 1,
        columns: ["age", "weight", "sugar"].map(String::from).to_vec(),
        positive: "ill".into(),
        negative: "well".into(),
        standardise: true,
        units: Vec::new(),
        rows,
        batch: None,
        iterations: 6,
        tolerance: None,
        learning_rate: decimal("0.1"),
        lambda: decimal("0.01"),
        c: decimal("0.05"),
        intercept: true,
        gradient_noise: None,
        key_bits: 512,
        insecure_key_bits: true,
        margin_bits: 50,
        weak_blinding: true,
        model: Publication::Published,
    };
    change(&mut params);
    let params = JobParams {
        version: VERSION,
        contract: "1.0".into(),
        participants: (1..=providers + 1).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
        kind: Kind::HorizontalSvm(Box::new(params)),
        nonce: Bytes(vec![3; 16]),
        deadlines: None,
    };
    params.validate().unwrap();
    Job { version: VERSION, id: params.id(), params, proposer: "Org1MSP".parse().unwrap(), proposed: 0 }
}

/// The analyst is party 1.
fn privates(job: &Job, tables: &[Table]) -> Vec<Private> {
    let params = params_of(job).unwrap();
    let secret = |party: usize| JobSecret::new([40 + party as u8; 32]);
    let mut all: Vec<Private> = tables
        .iter()
        .enumerate()
        .map(|(place, table)| Private::provider(params, table.clone(), secret(place)).unwrap())
        .collect();
    all.insert(1, Private::analyst(secret(63)));
    all
}

fn run(job: &Job, tables: &[Table]) -> Trace<Output> {
    simulate::<HorizontalSvm>(job, &privates(job, tables), 5, |_, body| body).unwrap()
}

/// The same training on the pooled table.
fn reference(job: &Job, tables: &[Table], scaler: &Scaler, schedule: Vec<Vec<u32>>) -> (Reference, Scaled) {
    let params = params_of(job).unwrap();
    let pooled =
        Table { rows: tables.iter().flat_map(|table| table.rows.clone()).collect(), ..tables[0].clone() };
    let all: Vec<usize> = (0..pooled.rows.len()).collect();
    let scaled = scaler.apply(&pooled, &all).unwrap();
    let variant = Variant { intercept: params.intercept, tolerance: params.tolerance };
    let run = reference::train(&scaled, &pooled.labels().unwrap(), &schedule, &params.into(), variant);
    (run, scaled)
}

fn full(job: &Job, tables: &[Table]) -> Vec<Vec<u32>> {
    let rows = tables.iter().map(|table| table.rows.len() as u32).sum();
    vec![(0..rows).collect(); params_of(job).unwrap().iterations as usize]
}

fn whole(weights: &[i64]) -> Vec<BigInt> {
    weights.iter().map(|w| BigInt::from(*w)).collect()
}

#[test]
fn the_model_is_that_of_the_pooled_rows() {
    for comparison in [Comparison::Hidden, Comparison::Paper] {
        for (sizes, intercept, gaps) in [(&[7usize, 12][..], true, false), (&[5, 9, 6], false, true)] {
            let tables = tables(sizes, gaps);
            let job = job(sizes.len() as u32, 12, |params| {
                params.comparison = comparison;
                params.intercept = intercept;
            });
            let trace = run(&job, &tables);
            let output = &trace.outputs[0];
            assert_eq!(output.iterations, 6);
            let (reference, _) = reference(&job, &tables, &output.scaler, full(&job, &tables));
            assert_eq!(whole(output.weights.as_ref().unwrap()), reference.weights, "{comparison:?}");
            assert!(reference.indicators.iter().flatten().any(|i| !i), "some margins are above 1");
            if comparison == Comparison::Paper {
                assert_eq!(indicators_of_the_paper(&job, &trace, sizes), reference.indicators);
            }
            assert!(trace.outputs.iter().all(|other| other.digest == output.digest));
        }
    }
}

#[test]
fn several_margins_share_a_ciphertext() {
    // With a place more than rows, and places beyond the last that no ciphertext fills.
    for (key_bits, slots) in [(1024, 2), (1536, 3)] {
        let tables = tables(&[7, 12, 3], false);
        let job = job(3, 13, |params| (params.key_bits, params.iterations) = (key_bits, 2));
        assert_eq!(params_of(&job).unwrap().margin_slots().0, slots);
        let trace = run(&job, &tables);
        let output = &trace.outputs[0];
        let (reference, _) = reference(&job, &tables, &output.scaler, full(&job, &tables));
        assert_eq!(whole(output.weights.as_ref().unwrap()), reference.weights, "{key_bits} bits");
    }
}

/// What the analyst answered in each round, for the rows of each provider in their order.
fn indicators_of_the_paper(job: &Job, trace: &Trace<Output>, sizes: &[usize]) -> Vec<Vec<bool>> {
    let active = params_of(job).unwrap().active() as usize;
    let mut rounds: BTreeMap<u32, Vec<bool>> = BTreeMap::new();
    for committed in &trace.records {
        if let Body::Indicators(list) = &committed.record.body {
            rounds.entry(committed.record.slot.round).or_default().extend(list);
        }
    }
    let of_rows = |all: Vec<bool>| {
        let providers = all.chunks(active).zip(sizes);
        providers.flat_map(|(answers, size)| answers[..*size].to_vec()).collect()
    };
    rounds.into_values().map(of_rows).collect()
}

#[test]
fn many_rows_take_several_records() {
    let tables = tables(&[760, 700], false);
    for comparison in [Comparison::Hidden, Comparison::Paper] {
        let job = job(2, 760, |params| {
            params.comparison = comparison;
            params.c = decimal("0.001");
            params.iterations = 2;
        });
        let trace = run(&job, &tables);
        let in_pieces = trace.records.iter().any(|committed| committed.record.slot.chunk > 0);
        assert!(in_pieces, "{comparison:?}");
        let output = &trace.outputs[0];
        let (reference, _) = reference(&job, &tables, &output.scaler, full(&job, &tables));
        assert_eq!(whole(output.weights.as_ref().unwrap()), reference.weights, "{comparison:?}");
    }
}

#[test]
fn scaling_is_that_of_the_pooled_table_whatever_the_unit() {
    let tables = tables(&[8, 11], false);
    let in_unit = |exponent: i32| -> Vec<Table> {
        let mut tables = tables.clone();
        for value in tables.iter_mut().flat_map(|table| &mut table.rows).flat_map(|row| &mut row.values) {
            *value = value.map(|value| value * 2f64.powi(exponent));
        }
        tables
    };
    let scaled = |tables: &[Table], units: Vec<i32>| {
        let job = job(2, 11, |params| (params.units, params.iterations) = (units, 1));
        let output = run(&job, tables).outputs.swap_remove(0);
        let pooled =
            Table { rows: tables.iter().flat_map(|t| t.rows.clone()).collect(), ..tables[0].clone() };
        let all: Vec<usize> = (0..pooled.rows.len()).collect();
        (output.scaler.apply(&pooled, &all).unwrap(), output.weights.unwrap(), pooled)
    };
    let (expected, weights, pooled) = scaled(&tables, units(&tables[0]));
    let all: Vec<usize> = (0..pooled.rows.len()).collect();
    let fitted = Scaler::fit(&pooled, &all, Scaling::Std).unwrap().apply(&pooled, &all).unwrap();
    for (found, expected) in expected.rows.iter().flatten().zip(fitted.rows.iter().flatten()) {
        assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
    }
    for exponent in [-900, -100, -30, 30, 100, 900] {
        let tables = in_unit(exponent);
        // The second provider's units are as good.
        let (found, same, _) = scaled(&tables, units(&tables[1]));
        for (found, expected) in found.rows.iter().flatten().zip(expected.rows.iter().flatten()) {
            assert!((found - expected).abs() < 1e-12, "2^{exponent}: {found} and {expected}");
        }
        assert_eq!(same, weights, "2^{exponent}");
    }
    // A job that is older than units.
    let (older, ..) = scaled(&tables, Vec::new());
    for (found, expected) in older.rows.iter().flatten().zip(expected.rows.iter().flatten()) {
        assert!((found - expected).abs() < 1e-3, "{found} and {expected}");
    }
}

/// What a provider of rows `a,b,c,class` says of a job, before and after the sums are known.
fn refusal(units: Vec<i32>, rows: &[&str], others: &[&str]) -> String {
    let of = |rows: &[&str]| table(&format!("age,weight,sugar,class\n{}\n", rows.join("\n")));
    let job = job(2, 9, |params| params.units = units);
    let params = params_of(&job).unwrap();
    let mut privates = vec![];
    for (place, rows) in [rows, others].into_iter().enumerate() {
        match Private::provider(params, of(rows), JobSecret::new([40 + place as u8; 32])) {
            Ok(private) => privates.push(private),
            Err(Fault::Input(reason)) => return reason,
            Err(other) => panic!("{other}"),
        }
    }
    privates.insert(1, Private::analyst(JobSecret::new([63; 32])));
    match simulate::<HorizontalSvm>(&job, &privates, 5, |_, body| body) {
        Err(e) => e.to_string(),
        Ok(_) => String::new(),
    }
}

#[test]
fn a_column_is_named_that_is_too_fine_or_too_large_for_the_sums() {
    let normal = &["1,2,3,ill", "2,3,5,well", "4,1,1,well"][..];
    let of_normal = || units(&table(&format!("age,weight,sugar,class\n{}\n", normal.join("\n"))));
    let tiny = &["1,2e-9,3,ill", "2,3e-9,5,well", "4,1e-9,1,well"][..];
    for others in [normal, tiny] {
        // At 2^−16, as jobs are that are older than units, the column would vanish.
        let reason = refusal(Vec::new(), tiny, others);
        assert!(reason.starts_with("column `weight`: the values are too fine"), "{reason}");
        assert!(reason.contains("2^-16 (about 2e-5)"), "{reason}");
    }
    assert_eq!(refusal(of_normal(), tiny, normal), "", "53 bits are enough for both");
    let finer = &["1,2e-18,3,ill", "2,3e-18,5,well", "4,1e-18,1,well"][..];
    assert!(refusal(of_normal(), finer, normal).starts_with("column `weight`: the values are too fine"));
    let huge = &["1,2,3,ill", "2,3e20,5,well"][..];
    let reason = refusal(of_normal(), huge, normal);
    assert!(reason.starts_with("line 3, column `weight`: the value is too large"), "{reason}");
    // What is large for one provider only is no fault.
    assert_eq!(refusal(of_normal(), &["1,2,3,ill", "2,3e5,5,well"], normal), "");
    // Fine values pass the first check beside coarse ones of the same provider; the sums have them alike.
    let mixed = &["0.50000001,2,3,ill", "0.50000002,3,5,well"][..];
    let reason = refusal(Vec::new(), mixed, mixed);
    assert!(reason.contains("column `age`: the values are too fine"), "{reason}");
}

#[test]
fn constant_columns_are_nothing_and_keep_their_value() {
    // Beyond 2^53, and a number that no multiple of 2^−16 is.
    for constant in ["9007199254740994", "0.1", "1e-300", "-1e300", "0"] {
        let rows = ["1,C,3,ill", "2,C,5,well", "4,C,1,well"].map(|row| row.replace('C', constant));
        let text = format!("age,weight,sugar,class\n{}\n", rows.join("\n"));
        let table = table(&text);
        let job = job(2, 9, |params| params.units = units(&table));
        let output = run(&job, &[table.clone(), table]).outputs.swap_remove(0);
        let column = &output.scaler.fitted()[1];
        assert_eq!((column.centre, column.divisor), (constant.parse().unwrap(), 1.0));
        assert_eq!(output.weights.unwrap()[1], 0);
    }
}

#[test]
fn batches_follow_from_everybodys_seed() {
    let tables = tables(&[9, 12], false);
    let job = job(2, 12, |params| params.batch = Some(4));
    let trace = run(&job, &tables);
    let seeds = trace.records.iter().filter_map(|committed| match &committed.record.body {
        Body::SeedOpen(open) => Some((committed.record.slot.party, &open.seed.0)),
        _ => None,
    });
    let mut seeds: Vec<_> = seeds.collect();
    seeds.sort();
    let seed = digest::digest("seed", &job.id, seeds.iter().map(|(_, seed)| seed));
    let params = params_of(&job).unwrap();
    let first = batches(&job, params, &seed, 0, 9, 4);
    let second = batches(&job, params, &seed, 2, 12, 4);
    let schedule: Vec<Vec<u32>> = first
        .iter()
        .zip(&second)
        .map(|(a, b)| a.iter().copied().chain(b.iter().map(|row| row + 9)).collect())
        .collect();
    let output = &trace.outputs[2];
    let (reference, _) = reference(&job, &tables, &output.scaler, schedule);
    assert_eq!(whole(output.weights.as_ref().unwrap()), reference.weights);
}

#[test]
fn training_ends_when_the_gradient_is_short() {
    let tables = tables(&[7, 12], false);
    let job = job(2, 12, |params| {
        params.iterations = 40;
        params.tolerance = Some(decimal("0.6"));
    });
    let trace = run(&job, &tables);
    let output = &trace.outputs[0];
    assert!((2..40).contains(&output.iterations), "{}", output.iterations);
    let (reference, _) = reference(&job, &tables, &output.scaler, full(&job, &tables));
    assert_eq!(reference.indicators.len() as u32, output.iterations);
    assert_eq!(whole(output.weights.as_ref().unwrap()), reference.weights);
}

#[test]
fn a_model_that_is_not_published_stays_with_the_analyst() {
    let tables = tables(&[7, 8], false);
    let job = job(2, 8, |params| params.model = Publication::Split);
    let privates = privates(&job, &tables);
    let trace = simulate::<HorizontalSvm>(&job, &privates, 9, |_, body| body).unwrap();
    let output = &trace.outputs[0];
    assert_eq!(output.weights, None);
    let (reference, _) = reference(&job, &tables, &output.scaler, full(&job, &tables));
    // In the simulation, secrets of steps are others than those of the parties, so the key is the private's own.
    assert_eq!(whole(&output.weights_of_analyst(&job, &privates[1]).unwrap()), reference.weights);
}

#[test]
fn noise_changes_the_model_and_little_of_it_changes_it_little() {
    let tables = tables(&[7, 12], false);
    let with = |multiplier: &str| {
        let job = job(2, 12, |params| {
            params.gradient_noise = Some(GradientNoise {
                multiplier: decimal(multiplier),
                norm: decimal("100"),
                delta: decimal("0.00001"),
            });
        });
        let output = run(&job, &tables).outputs.swap_remove(0);
        let (reference, _) = reference(&job, &tables, &output.scaler, full(&job, &tables));
        let differences = whole(output.weights.as_ref().unwrap()).into_iter().zip(reference.weights);
        differences.map(|(a, b)| (a - b).magnitude().clone()).max().unwrap()
    };
    let (little, much) = (with("0.0001"), with("1"));
    assert!(little > BigUint::ZERO && little < BigUint::from(1u32 << 20), "{little}");
    assert!(much > BigUint::from(1u32 << 20), "{much}");
}

#[test]
fn what_does_not_fit_is_named() {
    let job = job(2, 12, |_| {});
    let params = params_of(&job).unwrap();
    let refused = |text: &str| match Private::provider(params, table(text), JobSecret::new([1; 32])) {
        Err(Fault::Input(reason)) => reason,
        other => panic!("{other:?}"),
    };
    let order = refused("age,sugar,weight,class\n1,2,3,ill\n1,2,3,well\n");
    assert_eq!(order, "column 2 is `sugar`, in the job it is `weight`");
    let fewer = refused("age,weight,class\n1,2,ill\n1,2,well\n");
    assert_eq!(fewer, "2 columns, the job has 3");
    let labels = refused("age,weight,sugar,class\n1,2,3,ill\n1,2,3,healthy\n");
    assert_eq!(
        labels,
        "column `class`: the class `healthy` is not one of the job's, which are `ill` and `well`"
    );
    let many: String =
        (0..13).map(|i| format!("{i},2,3,{}\n", if i == 0 { "ill" } else { "well" })).collect();
    assert_eq!(
        refused(&format!("age,weight,sugar,class\n{many}")),
        "13 rows, the job has room for 12 of each provider"
    );
    let mut alone = job.params.clone();
    alone.participants.truncate(2);
    assert_eq!(
        alone.validate().unwrap_err().to_string(),
        "participants: an analyst and at least two providers: a sum of one protects nobody"
    );
}

#[test]
fn a_wrong_record_names_its_author() {
    let tables = tables(&[7, 12], false);
    let job = job(2, 12, |_| {});
    let n = PrivateKey::generate(512, &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
    let foreign = Encryptor::new(n.public(), Randomness::Short);
    let foreign = foreign.encrypt(&[5.into()], &mut ChaCha20Rng::seed_from_u64(2)).unwrap();
    let foreign = Ciphertext::to_bytes_batch(n.public(), &foreign).swap_remove(0);
    for (phase, party) in
        [(Phase::Weights, 1), (Phase::Margins, 0), (Phase::Indicators, 1), (Phase::Gradient, 2)]
    {
        for bytes in [vec![0; 128], vec![0xff; 128], foreign.clone()] {
            let result =
                simulate::<HorizontalSvm>(&job, &privates(&job, &tables), 5, |slot, body| match body {
                    Body::Ciphertexts(mut list)
                        if slot.phase == phase && slot.party == party && slot.round == 1 =>
                    {
                        list[0] = Bytes(bytes.clone());
                        Body::Ciphertexts(list)
                    }
                    body => body,
                });
            match result {
                Err(Fault::Participant { party: named, .. }) => assert_eq!(named, party, "{phase}"),
                // One of another key is a unit of this one, too, with some luck; then values are out of range.
                Err(Fault::Input(_)) | Ok(_) if bytes == foreign => {}
                other => panic!("{phase}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_restarted_party_makes_the_same_records() {
    let tables = tables(&[7, 12], false);
    let job = job(2, 12, |params| params.iterations = 2);
    let privates = privates(&job, &tables);
    let trace = run(&job, &tables);
    for party in 0..3u32 {
        let mut again = HorizontalSvm::start(&job, Role::Member(party)).unwrap();
        let mut secret = [party as u8; 32];
        secret[..8].copy_from_slice(&5u64.to_be_bytes());
        for committed in &trace.records {
            for slot in again.pending() {
                let later = trace.records.iter().find(|other| other.record.slot == slot).unwrap();
                let private = &privates[party as usize];
                let inputs = again.input_digest(slot, private);
                let mut rng = StepRng::new(&JobSecret::new(secret), &job.id, slot, &inputs);
                assert_eq!(again.produce(slot, private, &mut rng).unwrap(), later.record.body, "{slot}");
            }
            again.apply(committed).unwrap();
        }
    }
}

#[test]
fn an_observer_follows() {
    let tables = tables(&[7, 12], false);
    for comparison in [Comparison::Hidden, Comparison::Paper] {
        let job = job(2, 12, |params| params.comparison = comparison);
        let trace = run(&job, &tables);
        let mut observer = HorizontalSvm::start(&job, Role::Observer).unwrap();
        trace.records.iter().for_each(|committed| observer.apply(committed).unwrap());
        let Status::Done(output) = observer.status() else { panic!("it is done") };
        assert_eq!(output.weights, trace.outputs[0].weights);
    }
}
