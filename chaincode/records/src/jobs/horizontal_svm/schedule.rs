use crate::{
    Body, Comparison, HorizontalSvm, MAX_RECORD_BYTES, MOMENT_BYTES, Phase, Slot, Violation, form,
    jobs::vertical_svm::check_model,
    schedule::{Pending, PhaseSchedule, Prerequisites},
};

/// The phases of a horizontal training job.
#[derive(Debug)]
pub(super) struct Horizontal {
    parties: u32,
    params: HorizontalSvm,
}

/// Space that a record's other fields take at most.
const FRAME: usize = 24 * 1024;

impl Horizontal {
    pub(super) fn new(parties: u32, params: &HorizontalSvm) -> Self {
        Self { parties, params: params.clone() }
    }

    fn ciphertext_bytes(&self) -> usize {
        (self.params.key_bits / 4) as usize
    }

    fn is_paper(&self) -> bool {
        self.params.comparison == Comparison::Paper
    }
}

impl PhaseSchedule for Horizontal {
    fn phases(&self) -> Vec<Phase> {
        use Phase::*;
        let mut phases = vec![Keys];
        if self.params.standardise {
            phases.push(Moments);
        }
        if self.params.batch.is_some() {
            phases.extend([SeedCommit, SeedOpen]);
        }
        phases.extend([Weights, Margins, Indicators, Gradient, Model, Result]);
        phases
    }

    fn rounds(&self, phase: Phase) -> u32 {
        match phase {
            Phase::Margins | Phase::Indicators | Phase::Gradient => self.params.iterations,
            // The last round says that training has ended, whichever it is.
            Phase::Weights | Phase::Model => self.params.iterations + 1,
            _ => 1,
        }
    }

    fn authors(&self, phase: Phase) -> Vec<u32> {
        let analyst = self.params.analyst;
        match phase {
            Phase::Weights | Phase::Indicators | Phase::Model => vec![analyst],
            Phase::Moments | Phase::Margins | Phase::Gradient => {
                (0..self.parties).filter(|party| *party != analyst).collect()
            }
            _ => (0..self.parties).collect(),
        }
    }

    fn entries(&self, phase: Phase) -> usize {
        let active = self.params.active() as usize;
        match phase {
            Phase::Moments => 3 * MOMENT_BYTES * self.params.columns.len(),
            Phase::Weights => self.params.weights(),
            Phase::Margins if self.is_paper() => 2 * active,
            Phase::Margins => active.div_ceil(self.params.margin_slots().0 as usize),
            Phase::Indicators => active * self.params.providers(self.parties) as usize,
            Phase::Gradient => self.params.gradient_ciphertexts(self.parties),
            _ => 1,
        }
    }

    fn max_chunk_len(&self, phase: Phase) -> usize {
        let room = MAX_RECORD_BYTES - FRAME;
        match phase {
            Phase::Moments => room / 2,
            Phase::Indicators if self.is_paper() => room / 8,
            Phase::Weights | Phase::Margins | Phase::Indicators | Phase::Gradient => {
                // An even number: the paper's margins come in pairs.
                room / ((self.ciphertext_bytes() * 4).div_ceil(3) + 8) / 2 * 2
            }
            _ => 1,
        }
    }

    fn needs(&self, slot: &Slot) -> Prerequisites {
        let phases = self.phases();
        let before = |phase: Phase| {
            let place = phases.iter().position(|p| *p == phase).expect("a phase of this job");
            Prerequisites::Round(phases[place - 1], slot.round)
        };
        match slot.phase {
            Phase::Keys => Prerequisites::Slots(Vec::new()),
            Phase::Weights if slot.round > 0 => Prerequisites::Round(Phase::Gradient, slot.round - 1),
            Phase::Model => Prerequisites::Round(Phase::Weights, slot.round),
            // Which round the model came in is known to who follows the job.
            Phase::Result => Prerequisites::Round(Phase::Weights, 0),
            phase => before(phase),
        }
    }

    fn pending(&self, slot: &Slot) -> Pending {
        let weights = Slot { phase: Phase::Weights, party: self.params.analyst, chunk: 0, ..*slot };
        match slot.phase {
            Phase::Margins => Pending::After { record: weights, empty: false },
            Phase::Model => Pending::After { record: weights, empty: true },
            Phase::Result => Pending::Claimed,
            _ => Pending::Always,
        }
    }

    fn admits(&self, phase: Phase, body: &Body) -> bool {
        matches!(
            (phase, body),
            (Phase::Keys, Body::Keys(_))
                | (Phase::Moments, Body::Moments(_))
                | (Phase::SeedCommit, Body::SeedCommit(_))
                | (Phase::SeedOpen, Body::SeedOpen(_))
                | (
                    Phase::Weights | Phase::Margins | Phase::Indicators | Phase::Gradient,
                    Body::Ciphertexts(_)
                )
                | (Phase::Indicators, Body::Indicators(_))
                | (Phase::Model, Body::Model(_))
                | (Phase::Result, Body::Closing(_))
        )
    }

    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), Violation> {
        match body {
            Body::Keys(keys) => {
                form::member_keys(keys, false)?;
                let is_analyst = slot.party == self.params.analyst;
                match (&keys.paillier, is_analyst) {
                    _ if keys.threshold.is_some() => {
                        Err(Violation::field("threshold", "not part of a training by rows"))
                    }
                    (Some(n), true) => form::length("paillier", n, (self.params.key_bits / 8) as usize),
                    (None, false) => Ok(()),
                    (None, true) => Err(Violation::Missing { field: "paillier" }),
                    (Some(_), false) => Err(Violation::field("paillier", "only the analyst has a key")),
                }
            }
            Body::Moments(sums) => form::length("moments", sums, entries),
            Body::SeedCommit(commit) => form::length("commitment", &commit.commitment, 32),
            Body::SeedOpen(open) => form::length("seed", &open.seed, 32),
            // Training may end before its last round, and does not go on after it.
            Body::Ciphertexts(list) if slot.phase == Phase::Weights && list.is_empty() && slot.round > 0 => {
                Ok(())
            }
            Body::Ciphertexts(_) if slot.phase == Phase::Weights && slot.round == self.params.iterations => {
                Err(Violation::field("ciphertexts", "training has ended"))
            }
            Body::Ciphertexts(_) if slot.phase == Phase::Indicators && self.is_paper() => {
                Err(Violation::field("ciphertexts", "the paper's indicators are not encrypted"))
            }
            Body::Ciphertexts(list) => {
                form::count("ciphertexts", list.len(), entries)?;
                list.iter().try_for_each(|c| form::length("ciphertexts", c, self.ciphertext_bytes()))
            }
            Body::Indicators(_) if !self.is_paper() => {
                Err(Violation::field("indicators", "must be encrypted"))
            }
            Body::Indicators(list) => form::count("indicators", list.len(), entries),
            Body::Model(model) => check_model(model, self.params.model),
            Body::Closing(_) => Ok(()),
            _ => Err(Violation::Misplaced { body: body.name(), phase: slot.phase }),
        }
    }
}
