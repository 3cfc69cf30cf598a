//! No bytes from outside make a decoder panic, and what one accepts has one form.

#[path = "fuzz/targets.rs"]
mod targets;

use proptest::prelude::*;
use targets::TARGETS;

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
    Double,
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        match self {
            Self::Set(at, byte) => bytes[at.index(length)] = *byte,
            Self::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
            Self::Insert(at, byte) => bytes.insert(at.index(length), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(length))),
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::Double => bytes.extend_from_within(..),
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        8 => (at(), 0u8..8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        1 => (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        1 => at().prop_map(Mutation::Remove),
        1 => at().prop_map(Mutation::Cut),
        1 => Just(Mutation::Double),
    ]
}

#[test]
fn genuine_bytes_are_accepted() {
    for target in &TARGETS {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        seeds.iter().for_each(|seed| (target.decode)(seed));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..800)) {
        TARGETS.iter().for_each(|target| (target.decode)(&bytes));
    }

    #[test]
    fn mutated_bytes_never_panic(
        mutations in prop::collection::vec(mutation(), 1..4),
        which in any::<prop::sample::Index>(),
    ) {
        for target in &TARGETS {
            let mut seeds = (target.seeds)();
            let mut bytes = seeds.swap_remove(which.index(seeds.len()));
            mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
            (target.decode)(&bytes);
        }
    }
}
