use crate::{
    Body, Judge, MAX_RECORD_BYTES, Phase, Publication, Slot, VerticalSvm, Violation, form,
    schedule::{Pending, PhaseSchedule, Prerequisites},
};

/// The phases of a vertical training job.
#[derive(Debug)]
pub(crate) struct Training {
    parties: u32,
    params: VerticalSvm,
}

/// Comparisons in one chunk of chain and noise, so that members work on different chunks at the same time.
const BULK: usize = 128;

impl Training {
    pub(crate) fn new(parties: u32, params: &VerticalSvm) -> Self {
        Self { parties, params: params.clone() }
    }

    fn key_bytes(&self) -> usize {
        (self.params.key_bits / 8) as usize
    }

    fn ciphertext_bytes(&self) -> usize {
        2 * self.key_bytes()
    }
}

impl PhaseSchedule for Training {
    fn phases(&self) -> Vec<Phase> {
        use Phase::*;
        match self.params.judge {
            Judge::Blinded => vec![Setup, SeedCommit, SeedOpen, Chain, Noise, Iv, Dv, Model, Result],
            Judge::Paper => vec![Setup, SeedCommit, SeedOpen, Iv, Dv, Model, Result],
        }
    }

    fn rounds(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Iv | Phase::Dv => self.params.iterations,
            _ => 1,
        }
    }

    fn authors(&self, _: Phase) -> Vec<u32> {
        (0..self.parties).collect()
    }

    fn entries(&self, phase: Phase) -> usize {
        match phase {
            Phase::Chain | Phase::Noise => self.params.comparisons() as usize,
            Phase::Iv | Phase::Dv => self.params.batch as usize,
            _ => 1,
        }
    }

    fn max_chunk_len(&self, phase: Phase) -> usize {
        let ciphertext = (self.ciphertext_bytes() * 4).div_ceil(3) + 8;
        let room = MAX_RECORD_BYTES - 24 * 1024;
        match phase {
            Phase::Chain | Phase::Noise => (room / ciphertext).min(BULK),
            Phase::Iv if self.params.judge == Judge::Paper => room / (2 * ciphertext + 64),
            Phase::Iv | Phase::Dv => room / ciphertext,
            _ => 1,
        }
    }

    fn needs(&self, slot: &Slot) -> Prerequisites {
        let quorum = |round| Prerequisites::Quorum(Phase::Dv, round, self.params.quorum);
        match slot.phase {
            Phase::SeedCommit => Prerequisites::Round(Phase::Setup, 0),
            Phase::SeedOpen => Prerequisites::Round(Phase::SeedCommit, 0),
            Phase::Chain if slot.party == 0 => Prerequisites::Round(Phase::SeedOpen, 0),
            Phase::Chain => Prerequisites::Slots(vec![Slot { party: slot.party - 1, ..*slot }]),
            Phase::Noise => {
                Prerequisites::Slots(vec![Slot { phase: Phase::Chain, party: self.parties - 1, ..*slot }])
            }
            Phase::Iv if slot.round > 0 => quorum(slot.round - 1),
            Phase::Iv if self.params.judge == Judge::Blinded => Prerequisites::Round(Phase::Noise, 0),
            Phase::Iv => Prerequisites::Round(Phase::SeedOpen, 0),
            Phase::Dv => Prerequisites::Round(Phase::Iv, slot.round),
            Phase::Model => quorum(self.params.iterations - 1),
            Phase::Result => Prerequisites::Round(Phase::Model, 0),
            _ => Prerequisites::Slots(Vec::new()),
        }
    }

    fn pending(&self, slot: &Slot) -> Pending {
        match slot.phase {
            Phase::Dv if self.params.quorum < self.parties => Pending::Quorum(self.params.quorum),
            _ => Pending::Always,
        }
    }

    fn admits(&self, phase: Phase, body: &Body) -> bool {
        matches!(
            (phase, body),
            (Phase::Setup, Body::Setup(_))
                | (Phase::SeedCommit, Body::SeedCommit(_))
                | (Phase::SeedOpen, Body::SeedOpen(_))
                | (Phase::Chain, Body::Chain(_))
                | (Phase::Noise, Body::Noise(_))
                | (Phase::Iv, Body::Iv(_))
                | (Phase::Dv, Body::Dv(_))
                | (Phase::Model, Body::Model(_))
                | (Phase::Result, Body::Result(_))
        )
    }

    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), Violation> {
        let ciphertexts = |field: &'static str, list: &[crate::Bytes]| {
            form::count(field, list.len(), entries)?;
            list.iter().try_for_each(|c| form::length(field, c, self.ciphertext_bytes()))
        };
        match body {
            Body::Setup(setup) => {
                form::key(&setup.key, self.params.key_bits, self.parties, self.params.quorum)?;
                if self.params.key.as_ref().is_some_and(|key| setup.key.fingerprint() != *key) {
                    return Err(Violation::field("key", "not the one that the job names"));
                }
                Ok(())
            }
            Body::SeedCommit(commit) => form::length("commitment", &commit.commitment, 32),
            Body::SeedOpen(open) => form::length("seed", &open.seed, 32),
            Body::Chain(list) => ciphertexts("chain", list),
            Body::Noise(list) => ciphertexts("noise", list),
            Body::Iv(iv) => {
                ciphertexts("tiv", &iv.tiv)?;
                match (&iv.paper, self.params.judge) {
                    (None, Judge::Blinded) => Ok(()),
                    (None, Judge::Paper) => Err(Violation::Missing { field: "paper" }),
                    (Some(_), Judge::Blinded) => {
                        Err(Violation::field("paper", "not part of the blinded judge"))
                    }
                    (Some(paper), Judge::Paper) => {
                        ciphertexts("r2", &paper.r2)?;
                        for (field, list) in [("r1", &paper.r1), ("r3", &paper.r3)] {
                            form::count(field, list.len(), entries)?;
                            list.iter().try_for_each(|r| form::length(field, r, 8))?;
                        }
                        form::count("rpi", paper.rpi.len(), entries)?;
                        let range = 1..=self.params.instances;
                        match paper.rpi.iter().find(|r| !range.contains(r)) {
                            Some(r) => Err(Violation::field(
                                "rpi",
                                format!("{r} is not in 1..={}", self.params.instances),
                            )),
                            None => Ok(()),
                        }
                    }
                }
            }
            Body::Dv(dv) => form::dv(dv, entries, self.ciphertext_bytes()),
            Body::Model(model) => check_model(model, self.params.model),
            Body::Result(_) => Ok(()),
            _ => Err(Violation::Misplaced { body: body.name(), phase: slot.phase }),
        }
    }
}

/// Form of a model, or of a part of one.
pub(crate) fn check_model(model: &crate::Model, publication: Publication) -> Result<(), Violation> {
    match (&model.weights, publication) {
        (None, Publication::Published) => Err(Violation::Missing { field: "weights" }),
        (Some(_), Publication::Split) => Err(Violation::field("weights", "the model stays split")),
        (None, Publication::Split) => Ok(()),
        (Some(weights), Publication::Published) => match weights.iter().all(|w| w.parse::<i64>().is_ok()) {
            true => Ok(()),
            false => Err(Violation::field("weights", "not integers")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bytes, Decimal, JobParams, Kind, Rules};
    use std::collections::BTreeSet;

    fn params(judge: Judge, n: usize, batch: u32, iterations: u32) -> JobParams {
        JobParams {
            version: crate::VERSION,
            contract: "1.0".into(),
            participants: (1..=n).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
            kind: Kind::VerticalSvm(VerticalSvm {
                judge,
                instances: 100,
                iterations,
                batch,
                learning_rate: "0.00095".parse::<Decimal>().unwrap(),
                lambda: Decimal::default(),
                c: "1".parse().unwrap(),
                key: None,
                key_bits: 2048,
                insecure_key_bits: false,
                quorum: n as u32,
                margin_bits: 42,
                weak_blinding: false,
                model: Publication::Published,
                classes: None,
            }),
            nonce: Bytes(vec![7; 16]),
            deadlines: None,
        }
    }

    /// Every slot can be reached, and none before what it needs: the table has no cycle and no gap.
    #[test]
    fn the_table_can_be_walked_to_its_end() {
        for (judge, batch, iterations) in
            [(Judge::Blinded, 300, 3), (Judge::Paper, 200, 2), (Judge::Blinded, 1, 5)]
        {
            let params = params(judge, 3, batch, iterations);
            params.validate().unwrap();
            let rules = Rules::new(&params);
            let all: BTreeSet<Slot> = rules
                .phases()
                .into_iter()
                .flat_map(|phase| (0..rules.rounds(phase)).map(move |round| (phase, round)))
                .flat_map(|(phase, round)| rules.round_slots(phase, round))
                .collect();
            let mut done = BTreeSet::new();
            while done.len() < all.len() {
                let free = |s: &&Slot| {
                    !done.contains(*s) && rules.needs(s, &[]).iter().all(|need| done.contains(need))
                };
                let next: Vec<Slot> = all.iter().filter(free).copied().collect();
                assert!(!next.is_empty(), "stuck after {} of {} slots", done.len(), all.len());
                assert!(next.iter().all(|s| rules.exists(s)));
                done.extend(next);
            }
        }
    }

    #[test]
    fn chunks_cover_every_entry_once_and_fit_a_record() {
        let rules = Rules::new(&params(Judge::Blinded, 3, 700, 3));
        for phase in [Phase::Chain, Phase::Noise, Phase::Iv, Phase::Dv] {
            let covered: usize = (0..rules.chunks(phase)).map(|c| rules.chunk_range(phase, c).len()).sum();
            assert_eq!(covered, rules.schedule.entries(phase));
            let list = vec![Bytes(vec![255; 512]); rules.max_chunk_len(phase)];
            assert!(serde_json::to_vec(&list).unwrap().len() < MAX_RECORD_BYTES - 8 * 1024);
        }
    }

    #[test]
    fn bodies_are_checked_against_their_slot() {
        let rules = Rules::new(&params(Judge::Blinded, 3, 2, 1));
        let slot = Slot { phase: Phase::Iv, round: 0, party: 0, chunk: 0 };
        let tiv = |count, length| Body::Iv(Iv { tiv: vec![Bytes(vec![1; length]); count], paper: None });
        use crate::Iv;
        assert_eq!(rules.check_body(&slot, &tiv(2, 512)), Ok(()));
        assert_eq!(
            rules.check_body(&slot, &tiv(1, 512)).unwrap_err().to_string(),
            "tiv: 1 entries instead of 2"
        );
        assert_eq!(
            rules.check_body(&slot, &tiv(2, 511)).unwrap_err().to_string(),
            "tiv: 511 bytes instead of 512"
        );
        let chain = Body::Chain(Vec::new());
        assert_eq!(rules.check_body(&slot, &chain).unwrap_err().to_string(), "a chain body in a iv slot");
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let mut p = params(Judge::Blinded, 3, 2, 1);
        p.training_mut().key_bits = 1024;
        assert_eq!(p.validate().unwrap_err().field, "key_bits");
        let mut p = params(Judge::Blinded, 3, 2, 1);
        p.participants[2] = "Org1MSP".parse().unwrap();
        assert_eq!(p.validate().unwrap_err().field, "participants");
    }
}
