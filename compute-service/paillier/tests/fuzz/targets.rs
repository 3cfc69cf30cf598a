//! Every decoder of bytes from outside, as a function of bytes that panics when something is wrong with the decoder:
//! for `tests/decoders.rs`, which calls them with arbitrary and with mutated bytes, and for libFuzzer.

use num_bigint::{BigInt, BigUint};
use paillier::keygen::candidates::{Plan, Summands};
use paillier::keygen::exponent::{IntegerSharing, Opening};
use paillier::keygen::pairwise::{OwnKey, Peers, Replied};
use paillier::keygen::{Group, KeygenError, Message, Multiplication, biprimality};
use paillier::packing::Packing;
use paillier::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use std::sync::LazyLock;

/// A decoder and bytes that it accepts.
pub struct Target {
    pub name: &'static str,
    pub decode: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const TARGETS: [Target; 7] = [
    Target { name: "key_record", decode: key_record, seeds: || vec![json(&KEY.to_parts())] },
    Target { name: "key_share", decode: key_share, seeds: || vec![SHARE.to_json().to_vec()] },
    Target { name: "ciphertexts", decode: ciphertexts, seeds: ciphertext_seeds },
    Target { name: "partials", decode: partials, seeds: || vec![RECORD.partials.concat()] },
    Target { name: "proof", decode: proof, seeds: || vec![json(&RECORD.proof.to_parts())] },
    Target { name: "packed", decode: packed, seeds: || vec![vec![7; 31]] },
    Target { name: "keygen", decode: keygen, seeds: keygen_seeds },
];

/// The first share of the first vector.
static SHARE: LazyLock<KeyShare> = LazyLock::new(|| {
    let line = include_str!("../vectors/threshold.jsonl").lines().next().expect("there are vectors");
    let line: serde_json::Value = serde_json::from_str(line).expect("a vector is JSON");
    KeyShare::from_json(&json(&line["shares"][0])).expect("a vector's share is valid")
});
static KEY: LazyLock<PublicKey> = LazyLock::new(|| SHARE.key().clone());

/// Partial decryptions of two ciphertexts with their proof.
struct Record {
    ciphertexts: Vec<Ciphertext>,
    partials: Vec<Vec<u8>>,
    context: ProofContext,
    proof: Proof,
}

static RECORD: LazyLock<Record> = LazyLock::new(|| {
    let mut rng = rng();
    let encryptor = Encryptor::new(&KEY, Randomness::Short);
    let ciphertexts = encryptor.encrypt(&[1, -2].map(BigInt::from), &mut rng).expect("small plaintexts");
    let context = ProofContext::new().bytes(b"fuzz").int(SHARE.index().into());
    let (partials, proof) = partial_decrypt(&SHARE, &ciphertexts, &context, &mut rng);
    let partials = Partial::to_bytes_batch(&KEY, &partials);
    Record { ciphertexts, partials, context, proof }
});

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("records can be written")
}

/// A key record is refused, or means exactly one key.
pub fn key_record(data: &[u8]) {
    let Ok(parts) = serde_json::from_slice::<KeyParts>(data) else { return };
    let bits = 8 * parts.n.len() as u64;
    if let Ok(key) = PublicKey::from_parts(&parts, bits) {
        assert_eq!((key.to_parts(), key.bits()), (parts, bits));
    }
}

/// A share file is refused, or is of this member of its key.
pub fn key_share(data: &[u8]) {
    if let Ok(share) = KeyShare::from_json(data) {
        let json = share.to_json();
        assert_eq!(KeyShare::from_json(&json).expect("what is written can be read").to_json(), json);
    }
}

fn ciphertext_seeds() -> Vec<Vec<u8>> {
    vec![Ciphertext::to_bytes_batch(&KEY, &RECORD.ciphertexts).concat()]
}

/// Ciphertexts have one form.
pub fn ciphertexts(data: &[u8]) {
    let batch: Vec<&[u8]> = data.chunks(KEY.ciphertext_bytes()).collect();
    match Ciphertext::from_bytes_batch(&KEY, &batch) {
        Ok(read) => assert_eq!(Ciphertext::to_bytes_batch(&KEY, &read), batch),
        Err(error) => assert_eq!(
            Ciphertext::from_bytes(&KEY, batch[error.index]).expect_err("refused in a batch"),
            error.reason
        ),
    }
}

/// Partial decryptions have one form, and others than the member's have no valid proof.
pub fn partials(data: &[u8]) {
    let batch: Vec<&[u8]> = data.chunks(KEY.ciphertext_bytes()).collect();
    let Ok(read) = Partial::from_bytes_batch(&KEY, &batch) else { return };
    assert_eq!(Partial::to_bytes_batch(&KEY, &read), batch);
    let Record { ciphertexts, context, proof, .. } = &*RECORD;
    let contribution = Contribution { index: SHARE.index(), ciphertexts, partials: &read, context, proof };
    // The sign of a partial decryption is the only thing that a proof leaves open.
    let unsigned = |bytes: &[u8]| {
        let x = BigUint::from_bytes_be(bytes);
        let minus = KEY.n_squared() - &x;
        x.min(minus)
    };
    let same = batch.len() == RECORD.partials.len()
        && batch.iter().zip(&RECORD.partials).all(|(a, b)| unsigned(a) == unsigned(b));
    assert_eq!(verify_partial(&KEY, &contribution).is_ok(), same);
}

/// A proof is refused, or is the one that was made.
pub fn proof(data: &[u8]) {
    let Ok(parts) = serde_json::from_slice::<ProofParts>(data) else { return };
    let Ok(read) = Proof::from_parts(&parts, &KEY) else { return };
    let partials = Partial::from_bytes_batch(&KEY, &RECORD.partials).expect("made here");
    let Record { ciphertexts, context, .. } = &*RECORD;
    let contribution =
        Contribution { index: SHARE.index(), ciphertexts, partials: &partials, context, proof: &read };
    assert_eq!(verify_partial(&KEY, &contribution).is_ok(), read == RECORD.proof);
}

/// Unpacked slots are packed into the same plaintext.
pub fn packed(data: &[u8]) {
    let [value, room, rest @ ..] = data else { return };
    let Ok(packing) = Packing::new(&KEY, (*value).into(), (*room).into()) else { return };
    let plaintext = BigInt::from_signed_bytes_be(rest);
    if let Ok(values) = packing.unpack(std::slice::from_ref(&plaintext), packing.slots()) {
        let sum = values.iter().rev().fold(BigInt::ZERO, |sum, v| (sum << packing.width()) + v);
        assert_eq!(sum, plaintext);
    }
}

/// Candidates of a batch.
const COUNT: usize = 2;

/// What a member holds when the messages of another one come in.
struct Members {
    minority: Plan,
    pairwise: Plan,
    own_key: OwnKey,
    own: Vec<Message>,
    peers: Peers,
    factors: (Summands, Summands),
    replied: Replied,
    /// A genuine offer and the reply to this member's.
    offer: Message,
    reply: Message,
    n: BigUint,
    opening: Opening,
}

static MEMBERS: LazyLock<Members> = LazyLock::new(|| {
    let mut rng = rng();
    let group = |index| Group::with(Multiplication::Pairwise, 2, index).expect("two members");
    let plans = [0, 1].map(|i| Plan::new(group(i), 256).expect("a supported size"));
    let own_keys = [0, 1].map(|i| OwnKey::generate(&plans[i], &mut rng));
    let own_key = own_keys[0].clone();
    let own: Vec<Message> = own_keys.iter().map(OwnKey::message).collect();
    let [peers, other] = {
        let mut all = plans.iter().zip(own_keys).map(|(plan, key)| Peers::new(plan, key, &own));
        [0, 1].map(|_| all.next().expect("two members").expect("made here"))
    };
    let mut factors = |plan: &Plan| {
        let residues = plan.units(2 * COUNT, &mut rng);
        plan.lift(&residues, &mut rng).split_off(COUNT)
    };
    let (mine, theirs) = (factors(&plans[0]), factors(&plans[1]));
    let products =
        [plans[0].multiply_factors(&mine.0, &mine.1), plans[1].multiply_factors(&theirs.0, &theirs.1)];
    let offers = [products[0].offer(&peers, &mut rng), products[1].offer(&other, &mut rng)];
    let (_, replied) = products[0].reply(&peers, &offers, &mut rng).expect("made here");
    let (mut replies, _) = products[1].reply(&other, &offers, &mut rng).expect("made here");
    let minority = Plan::new(Group::new(3, 0).expect("three members"), 256).expect("a supported size");
    let n = KEY.n().clone();
    let part = BigUint::from(4u32);
    let (opening, _) = Opening::new(minority.group(), &n, &part, &part, &mut rng);
    let [pairwise, _] = plans;
    let [_, offer] = offers;
    let reply = replies.swap_remove(0);
    Members { minority, pairwise, own_key, own, peers, factors: mine, replied, offer, reply, n, opening }
});

/// Bytes of a number in the messages below, enough for a ciphertext under an own key of 384 bits and a little more.
const WIDTH: usize = 97;

fn keygen_seeds() -> Vec<Vec<u8>> {
    let bytes = |step: u8, message: &Message| {
        let numbers = message.iter().flat_map(|x| {
            let mut bytes = x.to_bytes_le();
            bytes.resize(WIDTH, 0);
            bytes
        });
        std::iter::once(step).chain(numbers).collect::<Vec<u8>>()
    };
    let small = |count| vec![BigUint::from(5u32); count];
    let mut seeds = vec![
        bytes(0, &MEMBERS.own[1]),
        bytes(1, &MEMBERS.offer),
        bytes(2, &MEMBERS.reply),
        bytes(3, &small(2 * COUNT)),
        bytes(5, &small(3 * COUNT)),
        bytes(11, &small(biprimality::BASES)),
    ];
    seeds.extend([4, 6].map(|step| bytes(step, &small(COUNT))));
    seeds.extend([7, 9].map(|step| bytes(step, &small(3))));
    seeds.extend([8, 10, 12].map(|step| bytes(step, &small(1))));
    seeds
}

/// What a member sends in a step of key generation is taken or refused; if somebody is blamed it is that member.
pub fn keygen(data: &[u8]) {
    let Some((step, numbers)) = data.split_first() else { return };
    let message: Message = numbers.chunks(WIDTH).map(BigUint::from_bytes_le).collect();
    let Members { minority, pairwise, own_key, own, peers, factors, replied, n, opening, .. } = &*MEMBERS;
    let group = minority.group();
    // Of three members, the second sends the message and the others what is in range.
    let among = |count: usize| {
        let one = vec![BigUint::from(1u32); count];
        [one.clone(), message.clone(), one]
    };
    let two = [Message::new(), message.clone()];
    let outcome: Result<(), KeygenError> = match step % 13 {
        0 => Peers::new(pairwise, own_key.clone(), &[own[0].clone(), message.clone()]).map(drop),
        1 => pairwise.multiply_factors(&factors.0, &factors.1).reply(peers, &two, &mut rng()).map(drop),
        2 => replied.finish(peers, &two).map(drop),
        3 => minority.check_units(&among(2 * COUNT), 2 * COUNT),
        4 => minority.reduced(&among(COUNT), COUNT).map(drop),
        5 => minority.share_products(&among(3 * COUNT), COUNT).map(drop),
        6 => minority.open_products(&among(COUNT), COUNT).map(drop),
        7 => biprimality::gcd_share(group, n, &among(3)).map(drop),
        8 => biprimality::gcd_is_one(group, n, &among(1)).map(drop),
        9 => opening.share(&among(3)).map(drop),
        10 => opening.open(&among(1)).map(drop),
        11 => {
            let moduli = vec![n; biprimality::BASES];
            let powers = among(biprimality::BASES);
            biprimality::check_powers(&powers, &moduli).map(|()| {
                for k in 0..moduli.len() {
                    biprimality::fits(n, &powers.iter().map(|p| &p[k]).collect::<Vec<_>>());
                }
            })
        }
        _ => {
            let sharing = IntegerSharing { parties: 3, quorum: 2, dealers: 3, summand_bits: 300 };
            let received = among(1).map(|m| m.into_iter().sum::<BigUint>());
            sharing.add(&received).map(drop)
        }
    };
    match outcome {
        Ok(()) | Err(KeygenError::Member { party: 1, .. } | KeygenError::Together(_)) => (),
        Err(other) => panic!("step {step}: {other}"),
    }
}
