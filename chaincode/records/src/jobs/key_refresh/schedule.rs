use crate::{
    Body, KeyRefresh, Phase, Slot, Violation, form,
    jobs::key_generation::{CHUNK, SEAL},
    schedule::{PhaseSchedule, Prerequisites},
};

/// The phases of a refresh.
#[derive(Debug)]
pub(crate) struct Refresh {
    parties: u32,
    params: KeyRefresh,
}

impl Refresh {
    pub(super) fn new(parties: u32, params: &KeyRefresh) -> Self {
        Self { parties, params: params.clone() }
    }
}

impl PhaseSchedule for Refresh {
    fn phases(&self) -> Vec<Phase> {
        use Phase::*;
        vec![Keys, Deal, Verification, TestDecryption, Key]
    }

    fn rounds(&self, _: Phase) -> u32 {
        1
    }

    fn authors(&self, phase: Phase) -> Vec<u32> {
        match phase {
            Phase::Deal => self.params.dealers.iter().map(|dealer| dealer.party).collect(),
            Phase::Verification | Phase::TestDecryption => self.params.members.clone(),
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

    fn max_chunk_len(&self, _: Phase) -> usize {
        CHUNK
    }

    fn needs(&self, slot: &Slot) -> Prerequisites {
        match slot.phase {
            Phase::Deal => Prerequisites::Round(Phase::Keys, 0),
            Phase::Verification => Prerequisites::Round(Phase::Deal, 0),
            Phase::TestDecryption => Prerequisites::Round(Phase::Verification, 0),
            Phase::Key => Prerequisites::Round(Phase::TestDecryption, 0),
            _ => Prerequisites::Slots(Vec::new()),
        }
    }

    fn admits(&self, phase: Phase, body: &Body) -> bool {
        matches!(
            (phase, body),
            (Phase::Keys, Body::Keys(_))
                | (Phase::Deal | Phase::Verification, Body::Part(_))
                | (Phase::TestDecryption, Body::Dv(_))
                | (Phase::Key, Body::Key(_))
        )
    }

    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), Violation> {
        let bits = self.params.key_bits;
        match body {
            Body::Keys(keys) => {
                form::member_keys(keys, false)?;
                if keys.paillier.is_some() {
                    return Err(Violation::field("paillier", "members of this job have no own keys"));
                }
                let deals = self.params.dealers.iter().any(|dealer| dealer.party == slot.party);
                match (&keys.threshold, deals) {
                    (Some(key), true) => {
                        form::key(key, bits, self.params.old_parties, self.params.dealers.len() as u32)
                    }
                    (None, false) => Ok(()),
                    (None, true) => Err(Violation::Missing { field: "threshold" }),
                    (Some(_), false) => Err(Violation::field("threshold", "this party does not deal")),
                }
            }
            Body::Part(part) => form::length("part", part, entries),
            Body::Dv(dv) => form::dv(dv, entries, (bits / 4) as usize),
            Body::Key(key) => form::key(key, bits, self.params.members.len() as u32, self.params.quorum),
            _ => Err(Violation::Misplaced { body: body.name(), phase: slot.phase }),
        }
    }
}
