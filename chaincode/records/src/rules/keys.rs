use super::{Needs, Owed, Table, check};
use crate::{Body, Collusion, KeyGeneration, KeyRefresh, Phase, Slot};

/// Bytes of one chunk: in base64 and with everything around it, below the size of a record.
const CHUNK: usize = 180 * 1024;
/// What sealing a message to one member adds: an X25519 key and a tag.
pub(super) const SEAL: usize = 32 + 16;

/// Bits in which numbers up to n fit.
fn log2(n: u32) -> usize {
    n.next_power_of_two().ilog2() as usize
}

/// The phases of a key generation.
#[derive(Debug)]
pub(super) struct Generation {
    parties: u32,
    params: KeyGeneration,
}

impl Generation {
    pub(super) fn new(parties: u32, params: &KeyGeneration) -> Self {
        Self { parties, params: params.clone() }
    }

    /// A message of so many bytes to each other member.
    fn sealed(&self, bytes: usize) -> usize {
        (self.parties as usize - 1) * (bytes + SEAL)
    }

    fn pairwise(&self) -> bool {
        self.params.against == Collusion::AllButOne
    }

    /// At most so many ciphertexts under another member's own key, for each other member.
    fn replies(&self, count: usize) -> usize {
        (self.parties as usize - 1) * (4 + count * self.params.sizes(self.parties).ciphertext)
    }

    /// Phases in which the members' messages differ in length.
    fn open_ended(&self, phase: Phase) -> bool {
        use Phase::*;
        matches!(phase, PowerOpen | PowersOpen)
            || (self.pairwise() && matches!(phase, Units | Factors | Gcd | Theta))
    }

    /// How many members contribute units.
    fn contributors(&self) -> u32 {
        self.params.collusion_bound(self.parties) + 1
    }
}

impl Table for Generation {
    fn phases(&self) -> Vec<Phase> {
        use Phase::*;
        let reshare = (!self.pairwise() && self.contributors() > 2).then_some(Reshare);
        let rest = [
            Factors,
            ProductCommit,
            ProductOpen,
            PowerCommit,
            PowerOpen,
            PowersCommit,
            PowersOpen,
            Gcd,
            GcdCommit,
            GcdOpen,
            Theta,
            ThetaCommit,
            ThetaOpen,
            Deal,
            Verification,
            Trial,
            Key,
        ];
        [Keys, Units].into_iter().chain(reshare).chain(rest).collect()
    }

    fn rounds(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Keys | Phase::Key => 1,
            _ => KeyGeneration::MAX_BATCHES,
        }
    }

    fn authors(&self, phase: Phase) -> Vec<u32> {
        match phase {
            Phase::Units => (0..self.contributors()).collect(),
            _ => (0..self.parties).collect(),
        }
    }

    fn entries(&self, phase: Phase) -> usize {
        let sizes = self.params.sizes(self.parties);
        let count = self.params.candidates as usize;
        match phase {
            Phase::Units if self.pairwise() => self.replies(2 * count),
            Phase::Factors if self.pairwise() => self.replies(count),
            Phase::Gcd | Phase::Theta if self.pairwise() => self.replies(16),
            Phase::Units | Phase::Reshare => self.sealed(2 * count * sizes.unit),
            Phase::Factors => self.sealed(3 * count * sizes.factor),
            Phase::Gcd => self.sealed(3 * sizes.modulus),
            Phase::Theta => self.sealed(3 * sizes.theta),
            Phase::Deal => self.parties as usize * (sizes.share + SEAL),
            Phase::ProductCommit | Phase::PowerCommit => 32,
            Phase::PowersCommit | Phase::GcdCommit | Phase::ThetaCommit => 32,
            Phase::ProductOpen => 32 + (count + 1) * sizes.factor,
            Phase::PowerOpen | Phase::PowersOpen => CHUNK,
            Phase::GcdOpen => 32 + sizes.modulus,
            Phase::ThetaOpen => 32 + sizes.theta,
            Phase::Verification => 2 * sizes.modulus,
            _ => 1,
        }
    }

    fn chunk_entries(&self, _: Phase) -> usize {
        CHUNK
    }

    fn passes(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Reshare => self.contributors() - 2,
            // An offer and its replies, for each factor after the first.
            Phase::Units if self.pairwise() => 2 * (self.parties - 1),
            Phase::Factors | Phase::Gcd | Phase::Theta if self.pairwise() => 2,
            _ => 1,
        }
    }

    fn needs(&self, slot: &Slot) -> Needs {
        use Phase::*;
        let before = match slot.phase {
            Keys => return Needs::Slots(Vec::new()),
            Units if slot.round > 0 => return Needs::Round(PowerOpen, slot.round - 1),
            // The contract does not know which batch had the good candidate; the members do.
            Units | Key => return Needs::Round(Keys, 0),
            phase => {
                let phases = self.phases();
                let place = phases.iter().position(|p| *p == phase);
                place.and_then(|place| phases.get(place.checked_sub(1)?).copied())
            }
        };
        before.map_or(Needs::Slots(Vec::new()), |phase| Needs::Round(phase, slot.round))
    }

    /// After the openings that show whether a candidate is good, the members go on with it or try another batch.
    fn owed(&self, slot: &Slot) -> Owed {
        use Phase::*;
        match slot.phase {
            Units if slot.round > 0 => Owed::Claimed,
            PowersCommit | Gcd | Theta | Deal | Key => Owed::Claimed,
            _ => Owed::Always,
        }
    }

    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), String> {
        let bytes = (self.params.key_bits / 8) as usize;
        match body {
            Body::Keys(keys) => {
                check::member_keys(keys, self.pairwise())?;
                let own = self.params.sizes(self.parties).ciphertext / 2;
                match (&keys.threshold, &keys.paillier) {
                    (Some(_), _) => Err("threshold: there is no key yet".into()),
                    (None, Some(n)) if self.pairwise() => check::length("paillier", n, own),
                    (None, None) if self.pairwise() => Err("paillier: missing".into()),
                    (None, None) => Ok(()),
                    (None, Some(_)) => Err("paillier: members of this job have no own keys".into()),
                }
            }
            Body::Part(part) => match slot.phase {
                // Only the members know how many candidates have no small factor, and who replies where.
                phase if self.open_ended(phase) => match part.0.len() <= entries {
                    true => Ok(()),
                    false => Err(format!("part: {} bytes are more than {entries}", part.0.len())),
                },
                _ => check::length("part", part, entries),
            },
            Body::Dv(dv) => check::dv(dv, entries, 2 * bytes),
            Body::Key(key) => {
                let bound = self.params.collusion_bound(self.parties);
                if key.collusion_bound != bound {
                    return Err(format!("collusion_bound: {} instead of {bound}", key.collusion_bound));
                }
                check::key(key, self.params.key_bits, self.parties, self.params.quorum)
            }
            _ => Err("not part of a key generation".into()),
        }
    }
}

/// The phases of a refresh.
#[derive(Debug)]
pub(super) struct Refresh {
    parties: u32,
    params: KeyRefresh,
}

impl Refresh {
    pub(super) fn new(parties: u32, params: &KeyRefresh) -> Self {
        Self { parties, params: params.clone() }
    }
}

impl Table for Refresh {
    fn phases(&self) -> Vec<Phase> {
        use Phase::*;
        vec![Keys, Deal, Verification, Trial, Key]
    }

    fn rounds(&self, _: Phase) -> u32 {
        1
    }

    fn authors(&self, phase: Phase) -> Vec<u32> {
        match phase {
            Phase::Deal => self.params.dealers.iter().map(|dealer| dealer.party).collect(),
            Phase::Verification | Phase::Trial => self.params.members.clone(),
            _ => (0..self.parties).collect(),
        }
    }

    fn entries(&self, phase: Phase) -> usize {
        match phase {
            Phase::Deal => self.params.members.len() * (self.params.share_bytes() + SEAL),
            Phase::Verification => (self.params.key_bits / 4) as usize,
            _ => 1,
        }
    }

    fn chunk_entries(&self, _: Phase) -> usize {
        CHUNK
    }

    fn needs(&self, slot: &Slot) -> Needs {
        match slot.phase {
            Phase::Deal => Needs::Round(Phase::Keys, 0),
            Phase::Verification => Needs::Round(Phase::Deal, 0),
            Phase::Trial => Needs::Round(Phase::Verification, 0),
            Phase::Key => Needs::Round(Phase::Trial, 0),
            _ => Needs::Slots(Vec::new()),
        }
    }

    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), String> {
        let bits = self.params.key_bits;
        match body {
            Body::Keys(keys) => {
                check::member_keys(keys, false)?;
                if keys.paillier.is_some() {
                    return Err("paillier: members of this job have no own keys".into());
                }
                let deals = self.params.dealers.iter().any(|dealer| dealer.party == slot.party);
                match (&keys.threshold, deals) {
                    (Some(key), true) => {
                        check::key(key, bits, self.params.old_parties, self.params.dealers.len() as u32)
                    }
                    (None, false) => Ok(()),
                    (None, true) => Err("threshold: missing".into()),
                    (Some(_), false) => Err("threshold: this party does not deal".into()),
                }
            }
            Body::Part(part) => check::length("part", part, entries),
            Body::Dv(dv) => check::dv(dv, entries, (bits / 4) as usize),
            Body::Key(key) => check::key(key, bits, self.params.members.len() as u32, self.params.quorum),
            _ => Err("not part of a refresh".into()),
        }
    }
}

impl KeyGeneration {
    /// Most batches of candidates before a key generation gives up: many times what chance needs.
    pub const MAX_BATCHES: u32 = 1_000;

    /// Sizes of its numbers, in bytes.
    pub fn sizes(&self, parties: u32) -> KeySizes {
        let (bits, log) = (self.key_bits as usize, log2(parties));
        // β·φ(N) + N·R with 80 bits of slack; a sharing's modulus is a little longer.
        let theta = 2 * bits + 2 * log + 96;
        let delta = parties as usize * log;
        // Room for a mask 80 bits longer than a product.
        let own = (bits + 83).next_multiple_of(64).max(if bits < 2048 { 0 } else { 3072 });
        let share = theta + 2 * delta + 80 + self.quorum as usize * log + log + 8;
        KeySizes {
            modulus: bits / 8,
            unit: bits / 16,
            factor: bits / 8 + 2,
            theta: theta.div_ceil(8) + 1,
            share: share.div_ceil(8),
            ciphertext: own / 4,
        }
    }
}

/// Sizes in bytes of the numbers of a key generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySizes {
    /// Numbers below N.
    pub modulus: usize,
    /// Numbers modulo the product of small primes.
    pub unit: usize,
    /// Shares of summands of p, q and N.
    pub factor: usize,
    /// Shares of θ.
    pub theta: usize,
    /// Shares of the exponent.
    pub share: usize,
    /// Ciphertexts under a member's own key, where members multiply in pairs.
    pub ciphertext: usize,
}

impl KeyRefresh {
    /// Bytes of a new share of the exponent, at most.
    pub fn share_bytes(&self) -> usize {
        let (old, new) = (self.old_parties as usize, self.members.len());
        let (log_old, log_new) = (log2(old as u32), log2(new as u32));
        let summand = self.share_bits as usize + (old + self.dealers.len()) * log_old;
        let share = summand + 2 * new * log_new + 80 + self.quorum as usize * log_new + log_old + 8;
        share.div_ceil(8)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Collusion, Dealer, JobParams, KeyGeneration, KeyRefresh, Kind, Phase, Rules, Slot};
    use std::collections::BTreeSet;

    fn params(n: u32, kind: Kind) -> JobParams {
        let params = JobParams {
            version: crate::VERSION,
            contract: "1.0".into(),
            participants: (1..=n).map(|i| format!("Org{i}MSP")).collect(),
            kind,
            nonce: crate::Bytes(vec![7; 16]),
            deadlines: None,
        };
        params.validate().unwrap();
        params
    }

    fn walk(rules: &Rules, rounds: u32) {
        let slots = |phase| {
            (0..rules.rounds(phase).min(rounds)).flat_map(move |round| rules.round_slots(phase, round))
        };
        let all: BTreeSet<Slot> = rules.phases().into_iter().flat_map(slots).collect();
        let mut done = BTreeSet::new();
        while done.len() < all.len() {
            let free = |s: &&Slot| !done.contains(*s) && rules.needs(s, &[]).iter().all(|n| done.contains(n));
            let next: Vec<Slot> = all.iter().filter(free).copied().collect();
            assert!(!next.is_empty(), "stuck after {} of {} slots", done.len(), all.len());
            assert!(next.iter().all(|s| rules.exists(s)));
            done.extend(next);
        }
    }

    #[test]
    fn a_key_generation_can_be_walked_to_its_end() {
        for (n, against) in [
            (2, Collusion::AllButOne),
            (3, Collusion::Minority),
            (5, Collusion::Minority),
            (7, Collusion::Minority),
        ] {
            let kind = Kind::KeyGeneration(KeyGeneration {
                purpose: "training".into(),
                key_bits: 2048,
                insecure_key_bits: false,
                quorum: 2,
                against,
                candidates: 512,
            });
            let rules = Rules::new(&params(n, kind));
            walk(&rules, 2);
            let reshare = Slot { phase: Phase::Factors, round: 1, party: 0, chunk: 0 };
            let before = if n >= 5 { Phase::Reshare } else { Phase::Units };
            assert!(rules.needs(&reshare, &[]).iter().all(|need| need.phase == before && need.round == 1));
        }
    }

    #[test]
    fn a_pass_needs_everybodys_pass_before() {
        let kind = Kind::KeyGeneration(KeyGeneration {
            purpose: "training".into(),
            key_bits: 2048,
            insecure_key_bits: false,
            quorum: 7,
            against: Collusion::Minority,
            candidates: 512,
        });
        let rules = Rules::new(&params(7, kind));
        let [first, second] = [0, 1].map(|pass| rules.pass(Phase::Reshare, pass));
        assert_eq!(second.end, rules.chunks(Phase::Reshare));
        let slot = Slot { phase: Phase::Reshare, round: 0, party: 3, chunk: second.start };
        let needs = rules.needs(&slot, &[]);
        assert_eq!(needs.len(), 7 * first.len());
        assert!(needs.iter().all(|need| need.phase == Phase::Reshare && first.contains(&need.chunk)));
        assert_eq!(
            rules.chunk_range(Phase::Reshare, second.start),
            rules.chunk_range(Phase::Reshare, first.start)
        );
    }

    #[test]
    fn a_refresh_can_be_walked_to_its_end() {
        let dealers = vec![Dealer { party: 0, member: 2 }, Dealer { party: 1, member: 0 }];
        let kind = Kind::KeyRefresh(KeyRefresh {
            key: "ab".repeat(32),
            purpose: "training".into(),
            key_bits: 2048,
            insecure_key_bits: false,
            old_parties: 3,
            share_bits: 4300,
            dealers,
            members: vec![1, 2, 3],
            quorum: 2,
        });
        walk(&Rules::new(&params(4, kind)), 1);
    }
}
