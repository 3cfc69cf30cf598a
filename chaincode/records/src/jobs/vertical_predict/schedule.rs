use crate::{
    Body, Phase, Slot, VerticalPredict, Violation,
    jobs::vertical_svm::Training,
    schedule::{Pending, PhaseSchedule, Prerequisites},
};

/// The phases of predictions with a split model: those of one iteration of a training, without a seed, for nothing is
/// chosen, and without a model, for nothing is learned.
#[derive(Debug)]
pub(super) struct Prediction {
    iteration: Training,
}

impl Prediction {
    pub(super) fn new(parties: u32, params: &VerticalPredict) -> Self {
        Self { iteration: Training::new(parties, &params.iteration()) }
    }
}

impl PhaseSchedule for Prediction {
    fn phases(&self) -> Vec<Phase> {
        use Phase::*;
        vec![Setup, Chain, Noise, Iv, Dv, Result]
    }

    fn rounds(&self, phase: Phase) -> u32 {
        self.iteration.rounds(phase)
    }

    fn authors(&self, phase: Phase) -> Vec<u32> {
        self.iteration.authors(phase)
    }

    fn entries(&self, phase: Phase) -> usize {
        self.iteration.entries(phase)
    }

    fn max_chunk_len(&self, phase: Phase) -> usize {
        self.iteration.max_chunk_len(phase)
    }

    fn needs(&self, slot: &Slot) -> Prerequisites {
        match slot.phase {
            Phase::Chain if slot.party == 0 => Prerequisites::Round(Phase::Setup, 0),
            Phase::Result => self.iteration.needs(&Slot { phase: Phase::Model, ..*slot }),
            _ => self.iteration.needs(slot),
        }
    }

    fn pending(&self, slot: &Slot) -> Pending {
        self.iteration.pending(slot)
    }

    fn admits(&self, phase: Phase, body: &Body) -> bool {
        self.iteration.admits(phase, body)
    }

    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), Violation> {
        self.iteration.check_body(slot, body, entries)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Body, Bytes, JobId, JobParams, Kind, Phase, Rules, Slot, VERSION, VerticalPredict};
    use std::collections::BTreeSet;

    fn params(instances: u32) -> JobParams {
        JobParams {
            version: VERSION,
            contract: "1.0".into(),
            participants: (1..=3).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
            kind: Kind::VerticalPredict(VerticalPredict {
                training: JobId::from([1; 32]),
                digests: vec![[2; 32].into(); 3],
                instances,
                key: None,
                key_bits: 2048,
                insecure_key_bits: false,
                quorum: 2,
                margin_bits: 42,
                weak_blinding: false,
            }),
            nonce: Bytes(vec![7; 16]),
            deadlines: None,
        }
    }

    /// Every record follows the one before in one order, and none can be posted earlier.
    #[test]
    fn the_table_can_be_walked_to_its_end() {
        for instances in [1, 300] {
            let params = params(instances);
            params.validate().unwrap();
            let rules = Rules::new(&params);
            let all: BTreeSet<Slot> =
                rules.phases().into_iter().flat_map(|phase| rules.round_slots(phase, 0)).collect();
            let contributors =
                |slot: &Slot| if slot.phase == Phase::Result { vec![0, 2] } else { Vec::new() };
            let mut done = BTreeSet::new();
            while done.len() < all.len() {
                let free = |s: &&Slot| {
                    !done.contains(*s)
                        && rules.needs(s, &contributors(s)).iter().all(|need| done.contains(need))
                };
                let next: Vec<Slot> = all.iter().filter(free).copied().collect();
                assert!(!next.is_empty(), "stuck after {} of {} slots", done.len(), all.len());
                assert!(
                    next.iter()
                        .all(|s| rules.exists(s) && rules.check_contributors(s, &contributors(s)).is_ok())
                );
                done.extend(next);
            }
        }
    }

    #[test]
    fn there_is_neither_seed_nor_model() {
        let rules = Rules::new(&params(5));
        for phase in [Phase::SeedCommit, Phase::SeedOpen, Phase::Model] {
            assert!(!rules.exists(&Slot { phase, round: 0, party: 0, chunk: 0 }));
        }
        let slot = Slot { phase: Phase::Iv, round: 0, party: 0, chunk: 0 };
        let iv = |count| Body::Iv(crate::Iv { tiv: vec![Bytes(vec![1; 512]); count], paper: None });
        assert_eq!(rules.check_body(&slot, &iv(5)), Ok(()));
        assert_eq!(rules.check_body(&slot, &iv(4)).unwrap_err().to_string(), "tiv: 4 entries instead of 5");
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let field = |change: fn(&mut VerticalPredict)| {
            let mut params = params(5);
            let Kind::VerticalPredict(predict) = &mut params.kind else { unreachable!() };
            change(predict);
            params.validate().unwrap_err().field
        };
        assert_eq!(field(|p| p.digests.truncate(2)), "digests");
        assert_eq!(field(|p| p.instances = 0), "instances");
        assert_eq!(field(|p| p.key_bits = 1024), "key_bits");
        assert_eq!(field(|p| p.quorum = 1), "quorum");
    }
}
