//! A secret ballot: three officers share a key, votes are added while they are encrypted, and two officers together
//! open the totals, each with a proof that it used its share.
//!
//! ```text
//! cargo run --release -p confab-paillier --example tally
//! ```

use num_bigint::BigInt;
use paillier::{
    Contribution, Encryptor, ProofContext, Randomness, combine, deal, partial_decrypt, verify_partials,
};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    println!("making a key of 2,048 bits for three officers, two of whom open together");
    // A dealer, who knows the whole key for a moment; `paillier::keygen` does without.
    let (key, shares) = deal(3, 2, 2048, "tally", &mut rng)?;

    // A vote is a ciphertext for each candidate: of 1 for the one, of 0 for the others.
    let encryptor = Encryptor::new(&key, Randomness::Short);
    let votes: [[i32; 3]; 5] = [[1, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 0]];
    let mut ballots = Vec::new();
    for vote in votes {
        ballots.push(encryptor.encrypt(&vote.map(BigInt::from), &mut rng)?);
    }
    let totals =
        ballots.iter().skip(1).fold(ballots[0].clone(), |totals, ballot| key.add_each(&totals, ballot));

    // Officers 0 and 2. A proof holds for its context only, and an officer opens nothing else under it.
    let mut opened = Vec::new();
    for share in [&shares[0], &shares[2]] {
        let context = ProofContext::new().bytes(b"tally of 2026").int(share.index().into());
        let (partials, proof) = partial_decrypt(share, &totals, &context, &mut rng);
        opened.push((share.index(), partials, proof, context));
    }
    let contributions: Vec<Contribution> = opened
        .iter()
        .map(|(index, partials, proof, context)| Contribution {
            index: *index,
            ciphertexts: &totals,
            partials,
            context,
            proof,
        })
        .collect();
    verify_partials(&key, &contributions)?;

    let members: Vec<_> = opened.iter().map(|(index, partials, ..)| (*index, partials)).collect();
    let result = combine(&key, &members)?;
    for (candidate, votes) in ["Ada", "Blaise", "Carl"].iter().zip(&result) {
        println!("{candidate:8} {votes}");
    }
    assert_eq!(result, [3, 1, 1].map(BigInt::from));
    Ok(())
}
