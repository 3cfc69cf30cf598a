//! The analyst who solves for rows: bits and gradients of many iterations are a linear system, in which some rows are
//! determined. It breaks the paper's protocol; the default leaves it nothing to solve with.

use super::*;

/// Numbers modulo 2^61 − 1: exact, and far larger than any gradient.
const P: i128 = (1 << 61) - 1;

fn power(mut base: i128, mut exponent: i128) -> i128 {
    let mut product = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            product = product * base % P;
        }
        base = base * base % P;
        exponent >>= 1;
    }
    product
}

/// Solves bits·X = gradients by elimination: the rows of X that are determined, by position.
fn solve(bits: &[Vec<bool>], gradients: &[Vec<i64>]) -> Vec<(usize, Vec<i64>)> {
    let unknowns = bits[0].len();
    let mut system: Vec<Vec<i128>> = bits
        .iter()
        .zip(gradients)
        .map(|(bits, gradient)| {
            let known = gradient.iter().map(|g| i128::from(*g).rem_euclid(P));
            bits.iter().map(|bit| i128::from(*bit)).chain(known).collect()
        })
        .collect();
    let mut done = 0;
    for column in 0..unknowns {
        let Some(pivot) = (done..system.len()).find(|row| system[*row][column] != 0) else { continue };
        system.swap(done, pivot);
        let inverse = power(system[done][column], P - 2);
        system[done].iter_mut().for_each(|x| *x = *x * inverse % P);
        let pivot = system[done].clone();
        for (_, row) in system.iter_mut().enumerate().filter(|(row, _)| *row != done) {
            let factor = row[column];
            row.iter_mut().zip(&pivot).for_each(|(x, p)| *x = (*x - factor * p % P).rem_euclid(P));
        }
        done += 1;
    }
    let centred = |x: &i128| (if *x > P / 2 { *x - P } else { *x }) as i64;
    system[..done]
        .iter()
        .filter_map(|row| {
            let mut pivots = (0..unknowns).filter(|column| row[*column] != 0);
            match (pivots.next(), pivots.next()) {
                (Some(only), None) => Some((only, row[unknowns..].iter().map(centred).collect())),
                _ => None,
            }
        })
        .collect()
}

/// What the analyst has after a run: of each iteration the bits that it decrypted of each provider, and gradients.
struct View {
    bits: Vec<Vec<Vec<bool>>>,
    gradients: Vec<Vec<Vec<i64>>>,
}

fn view(job: &Job, private: &Private, trace: &Trace<Output>) -> View {
    let params = params_of(job).unwrap();
    let key = private.key(job, params);
    let slots = Slots::new(params, key.public());
    let list = |phase: Phase, round: u32, party: u32| {
        let of = |committed: &&Committed| {
            let slot = committed.record.slot;
            (slot.phase, slot.round, slot.party) == (phase, round, party)
        };
        let bytes: Vec<Vec<u8>> = trace
            .records
            .iter()
            .filter(of)
            .flat_map(|committed| match &committed.record.body {
                Body::Ciphertexts(list) => list.iter().map(|bytes| bytes.0.clone()).collect::<Vec<_>>(),
                other => panic!("{other:?}"),
            })
            .collect();
        Ciphertext::from_bytes_batch(key.public(), &bytes).unwrap()
    };
    let (mut bits, mut gradients) = (Vec::new(), Vec::new());
    for round in 0..params.iterations {
        bits.push(
            [0, 2]
                .map(|party| {
                    let margins = list(Phase::Margins, round, party);
                    match params.comparison {
                        Comparison::Paper => paper::compare(&key, &margins),
                        Comparison::Hidden => {
                            analyst::compare(&key, &slots, &margins, params.active() as usize).unwrap()
                        }
                    }
                })
                .to_vec(),
        );
        let values = |sums: &[Ciphertext]| -> Vec<i64> {
            key.decrypt(&sums[..params.weights()]).iter().map(|v| v.try_into().unwrap()).collect()
        };
        gradients.push(match params.comparison {
            Comparison::Paper => [0, 2].map(|party| values(&list(Phase::Gradient, round, party))).to_vec(),
            Comparison::Hidden => {
                let sum =
                    key.public().add_each(&list(Phase::Gradient, round, 0), &list(Phase::Gradient, round, 2));
                let sum = analyst::open(&key, params, job.params.parties(), &sum).unwrap();
                vec![sum.clone(), sum]
            }
        });
    }
    View { bits, gradients }
}

/// How many rows of the providers' tables the analyst finds exactly.
fn recovered(comparison: Comparison) -> (usize, usize) {
    let tables = tables(&[12, 12], false);
    let job = job(2, 12, |params| {
        params.comparison = comparison;
        params.iterations = 40;
        params.learning_rate = decimal("0.5");
    });
    let privates = privates(&job, &tables);
    let trace = simulate::<HorizontalSvm>(&job, &privates, 5, |_, body| body).unwrap();
    let view = view(&job, &privates[1], &trace);
    let scaler = &trace.outputs[0].scaler;
    let params = params_of(&job).unwrap();
    let (mut found, mut all) = (0, 0);
    for (provider, table) in tables.iter().enumerate() {
        let rows = Rows::new(params, table, scaler).unwrap();
        let bits: Vec<Vec<bool>> = view.bits.iter().map(|round| round[provider].clone()).collect();
        let gradients: Vec<Vec<i64>> = view.gradients.iter().map(|round| round[provider].clone()).collect();
        let truth: Vec<Vec<i64>> = (0..rows.len())
            .map(|row| rows.values(row).iter().map(|x| rows.label(row).sign() * i64::from(*x)).collect())
            .collect();
        all += truth.len();
        found += solve(&bits, &gradients).iter().filter(|(_, solution)| truth.contains(solution)).count();
    }
    (found, all)
}

#[test]
fn rows_are_recovered_from_the_papers_transcript_and_not_from_the_defaults() {
    let (found, all) = recovered(Comparison::Paper);
    assert!(found >= 3, "{found} of {all}");
    let (found, all) = recovered(Comparison::Hidden);
    assert_eq!(found, 0, "of {all}");
}
