use crate::{
    Body, Collusion, KeyGeneration, Phase, Slot, Violation, form,
    jobs::key_generation::{CHUNK, SEAL},
    schedule::{Pending, PhaseSchedule, Prerequisites},
};

/// The phases of a key generation.
#[derive(Debug)]
pub(crate) struct Generation {
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
            || (self.pairwise() && matches!(phase, SieveShares | Factors | Gcd | Theta))
    }

    /// How many members contribute units.
    fn contributors(&self) -> u32 {
        self.params.collusion_bound(self.parties) + 1
    }
}

impl PhaseSchedule for Generation {
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
            TestDecryption,
            Key,
        ];
        [Keys, SieveShares].into_iter().chain(reshare).chain(rest).collect()
    }

    fn rounds(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Keys | Phase::Key => 1,
            _ => KeyGeneration::MAX_BATCHES,
        }
    }

    fn authors(&self, phase: Phase) -> Vec<u32> {
        match phase {
            Phase::SieveShares => (0..self.contributors()).collect(),
            _ => (0..self.parties).collect(),
        }
    }

    fn entries(&self, phase: Phase) -> usize {
        let sizes = self.params.sizes(self.parties);
        let count = self.params.candidates as usize;
        match phase {
            Phase::SieveShares if self.pairwise() => self.replies(2 * count),
            Phase::Factors if self.pairwise() => self.replies(count),
            Phase::Gcd | Phase::Theta if self.pairwise() => self.replies(16),
            Phase::SieveShares | Phase::Reshare => self.sealed(2 * count * sizes.unit),
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

    fn max_chunk_len(&self, _: Phase) -> usize {
        CHUNK
    }

    fn subrounds(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Reshare => self.contributors() - 2,
            // An offer and its replies, for each factor after the first.
            Phase::SieveShares if self.pairwise() => 2 * (self.parties - 1),
            Phase::Factors | Phase::Gcd | Phase::Theta if self.pairwise() => 2,
            _ => 1,
        }
    }

    fn needs(&self, slot: &Slot) -> Prerequisites {
        use Phase::*;
        let before = match slot.phase {
            Keys => return Prerequisites::Slots(Vec::new()),
            SieveShares if slot.round > 0 => return Prerequisites::Round(PowerOpen, slot.round - 1),
            // The contract does not know which batch had the good candidate; the members do.
            SieveShares | Key => return Prerequisites::Round(Keys, 0),
            phase => {
                let phases = self.phases();
                let place = phases.iter().position(|p| *p == phase);
                place.and_then(|place| phases.get(place.checked_sub(1)?).copied())
            }
        };
        before.map_or(Prerequisites::Slots(Vec::new()), |phase| Prerequisites::Round(phase, slot.round))
    }

    /// After the openings that show whether a candidate is good, the members go on with it or try another batch.
    fn pending(&self, slot: &Slot) -> Pending {
        use Phase::*;
        match slot.phase {
            SieveShares if slot.round > 0 => Pending::Claimed,
            PowersCommit | Gcd | Theta | Deal | Key => Pending::Claimed,
            _ => Pending::Always,
        }
    }

    fn admits(&self, phase: Phase, body: &Body) -> bool {
        match body {
            Body::Keys(_) => phase == Phase::Keys,
            Body::Dv(_) => phase == Phase::TestDecryption,
            Body::Key(_) => phase == Phase::Key,
            Body::Part(_) => !matches!(phase, Phase::Keys | Phase::TestDecryption | Phase::Key),
            _ => false,
        }
    }

    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), Violation> {
        let bytes = (self.params.key_bits / 8) as usize;
        match body {
            Body::Keys(keys) => {
                form::member_keys(keys, self.pairwise())?;
                let own = self.params.sizes(self.parties).ciphertext / 2;
                match (&keys.threshold, &keys.paillier) {
                    (Some(_), _) => Err(Violation::field("threshold", "there is no key yet")),
                    (None, Some(n)) if self.pairwise() => form::length("paillier", n, own),
                    (None, None) if self.pairwise() => Err(Violation::Missing { field: "paillier" }),
                    (None, None) => Ok(()),
                    (None, Some(_)) => {
                        Err(Violation::field("paillier", "members of this job have no own keys"))
                    }
                }
            }
            Body::Part(part) => match slot.phase {
                // Only the members know how many candidates have no small factor, and who replies where.
                phase if self.open_ended(phase) => match part.0.len() <= entries {
                    true => Ok(()),
                    false => Err(Violation::field(
                        "part",
                        format!("{} bytes are more than {entries}", part.0.len()),
                    )),
                },
                _ => form::length("part", part, entries),
            },
            Body::Dv(dv) => form::dv(dv, entries, 2 * bytes),
            Body::Key(key) => {
                let bound = self.params.collusion_bound(self.parties);
                if key.collusion_bound != bound {
                    return Err(Violation::field(
                        "collusion_bound",
                        format!("{} instead of {bound}", key.collusion_bound),
                    ));
                }
                form::key(key, self.params.key_bits, self.parties, self.params.quorum)
            }
            _ => Err(Violation::Misplaced { body: body.name(), phase: slot.phase }),
        }
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
            participants: (1..=n).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
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
            let before = if n >= 5 { Phase::Reshare } else { Phase::SieveShares };
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
        let [first, second] = [0, 1].map(|subround| rules.subround(Phase::Reshare, subround));
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
            key: [0xab; 32].into(),
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
