use super::Mean;
use crate::{
    Body, Contribution, Phase, Slot, Violation, form,
    schedule::{Pending, PhaseSchedule, Prerequisites},
};

/// The round of partial decryptions that opens the number of rows; the next one opens the sums.
const ROWS: u32 = 0;

/// The phases of a job that adds up: key, contributions, the number of rows, the sums, result.
#[derive(Debug)]
pub(super) struct Sums {
    parties: u32,
    params: Mean,
}

impl Sums {
    pub(super) fn new(parties: u32, params: &Mean) -> Self {
        Self { parties, params: params.clone() }
    }
}

impl PhaseSchedule for Sums {
    fn phases(&self) -> Vec<Phase> {
        vec![Phase::Setup, Phase::Contribution, Phase::Dv, Phase::Result]
    }

    fn rounds(&self, phase: Phase) -> u32 {
        if phase == Phase::Dv { 2 } else { 1 }
    }

    fn authors(&self, _: Phase) -> Vec<u32> {
        (0..self.parties).collect()
    }

    fn entries(&self, phase: Phase) -> usize {
        match phase {
            Phase::Contribution => 1 + self.params.sum_ciphertexts(self.parties),
            // Of the second round; the first has one.
            Phase::Dv => self.params.sum_ciphertexts(self.parties),
            _ => 1,
        }
    }

    /// A round is one record: 513 ciphertexts of 64 bytes at most, and fewer of longer ones.
    fn max_chunk_len(&self, phase: Phase) -> usize {
        self.entries(phase)
    }

    fn needs(&self, slot: &Slot) -> Prerequisites {
        match slot.phase {
            Phase::Contribution => Prerequisites::Round(Phase::Setup, 0),
            Phase::Dv if slot.round == ROWS => Prerequisites::Round(Phase::Contribution, 0),
            Phase::Dv => Prerequisites::Quorum(Phase::Dv, ROWS, self.params.quorum),
            Phase::Result => Prerequisites::Quorum(Phase::Dv, ROWS + 1, self.params.quorum),
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
            (Phase::Setup, Body::Key(_))
                | (Phase::Contribution, Body::Contribution(_))
                | (Phase::Dv, Body::Dv(_))
                | (Phase::Result, Body::Part(_))
        )
    }

    fn check_body(&self, slot: &Slot, body: &Body, entries: usize) -> Result<(), Violation> {
        let ciphertext = (self.params.key_bits / 4) as usize;
        match body {
            Body::Key(key) => {
                form::key(key, self.params.key_bits, self.parties, self.params.quorum)?;
                match key.fingerprint() == self.params.key {
                    true => Ok(()),
                    false => Err(Violation::field("key", "not the one that the job names")),
                }
            }
            Body::Contribution(Contribution { ciphertexts, proof }) => {
                form::count("ciphertexts", ciphertexts.len(), entries)?;
                ciphertexts.iter().try_for_each(|c| form::length("ciphertexts", c, ciphertext))?;
                form::proof(proof, ciphertext)
            }
            Body::Dv(dv) if slot.round == ROWS => form::dv(dv, 1, ciphertext),
            Body::Dv(dv) => form::dv(dv, entries, ciphertext),
            // SHA-256 of the totals.
            Body::Part(digest) => form::length("part", digest, 32),
            _ => Err(Violation::Misplaced { body: body.name(), phase: slot.phase }),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Body, Bytes, Contribution, Dv, JobParams, Kind, MAX_RECORD_BYTES, Phase, Proof, Rules, Slot, VERSION,
        jobs::Mean,
    };
    use std::collections::BTreeSet;

    fn params(n: usize, change: impl FnOnce(&mut Mean)) -> JobParams {
        let mut mean = Mean {
            key: [7; 32].into(),
            key_bits: 2048,
            insecure_key_bits: false,
            quorum: 2,
            columns: (1..=256).map(|i| format!("column {i}")).collect(),
            places: 6,
            value_bits: 48,
            max_rows: 1 << 28,
            min_rows: 10,
            two_participants: false,
        };
        change(&mut mean);
        JobParams {
            version: VERSION,
            contract: "1.1".into(),
            participants: (1..=n).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
            kind: Kind::Mean(mean),
            nonce: Bytes(vec![7; 16]),
            deadlines: None,
        }
    }

    fn slot(phase: Phase, round: u32) -> Slot {
        Slot { phase, round, party: 0, chunk: 0 }
    }

    fn proof(ciphertext: usize) -> Proof {
        Proof { challenge: Bytes(vec![0; 16]), response: Bytes(vec![1; ciphertext]) }
    }

    fn dv(count: usize) -> Body {
        Body::Dv(Dv { dv: vec![Bytes(vec![1; 512]); count], proof: proof(512) })
    }

    /// Every record follows the one before in one order, and none can be posted earlier.
    #[test]
    fn the_schedule_can_be_walked_to_its_end() {
        for quorum in 2..=3 {
            let params = params(3, |mean| mean.quorum = quorum);
            params.validate().unwrap();
            let rules = Rules::new(&params);
            let rounds = rules.phases().into_iter().flat_map(|p| (0..rules.rounds(p)).map(move |r| (p, r)));
            let all: BTreeSet<Slot> =
                rounds.flat_map(|(phase, round)| rules.round_slots(phase, round)).collect();
            assert_eq!(all.len(), 3 * 5);
            let contributors =
                |slot: &Slot| if rules.quorum(slot).is_some() { vec![0, 2] } else { Vec::new() };
            let mut done = BTreeSet::new();
            while done.len() < all.len() {
                let free = |s: &&Slot| {
                    !done.contains(*s)
                        && rules.first_missing(s, &contributors(s), |n| done.contains(n)).is_none()
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
    fn the_number_of_rows_is_opened_before_the_sums_and_alone() {
        let rules = Rules::new(&params(3, |mean| mean.quorum = 3));
        let sums = slot(Phase::Dv, 1);
        assert!(rules.needs(&sums, &[]).iter().all(|need| need.phase == Phase::Dv && need.round == 0));
        rules.check(&slot(Phase::Dv, 0), &dv(1), &[]).unwrap();
        let found = rules.check(&slot(Phase::Dv, 0), &dv(2), &[]).unwrap_err().to_string();
        assert_eq!(found, "dv: 2 entries instead of 1");
        // 512 sums of 128 bits, in slots of 130 bits with one participant's carry: 15 in a plaintext of 2,047 bits.
        rules.check(&sums, &dv(35), &[]).unwrap();
        assert!(rules.check(&sums, &dv(1), &[]).is_err());
    }

    #[test]
    fn every_step_is_one_record_that_fits() {
        for bits in [256, 512, 2048, 4096] {
            let params = params(64, |mean| (mean.key_bits, mean.insecure_key_bits) = (bits, true));
            params.validate().unwrap();
            let rules = Rules::new(&params);
            let (bytes, entries) = (bits as usize / 4, rules.chunk_range(Phase::Contribution, 0).len());
            assert_eq!(rules.chunks(Phase::Contribution), 1);
            let body = Body::Contribution(Contribution {
                ciphertexts: vec![Bytes(vec![255; bytes]); entries],
                proof: proof(bytes),
            });
            rules.check(&slot(Phase::Contribution, 0), &body, &[]).unwrap();
            let size = serde_json::to_vec(&body).unwrap().len();
            assert!(size < MAX_RECORD_BYTES - 8192, "{bits} bits: {size} bytes");
        }
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        let field = |n, change: fn(&mut Mean)| params(n, change).validate().unwrap_err().field;
        assert_eq!(field(2, |_| ()), "participants");
        params(2, |mean| mean.two_participants = true).validate().unwrap();
        assert_eq!(field(3, |mean| mean.key_bits = 1024), "key_bits");
        assert_eq!(field(3, |mean| mean.quorum = 1), "quorum");
        assert_eq!(field(3, |mean| mean.columns.clear()), "columns");
        assert_eq!(field(3, |mean| mean.columns[3] = mean.columns[5].clone()), "columns");
        assert_eq!(field(3, |mean| mean.places = 10), "places");
        assert_eq!(field(3, |mean| mean.value_bits = 49), "value_bits");
        assert_eq!(field(3, |mean| mean.max_rows = 0), "max_rows");
        assert_eq!(field(3, |mean| mean.min_rows = 9), "min_rows");
        assert_eq!(field(3, |mean| mean.max_rows = 3), "min_rows");
        let text = params(3, |mean| mean.columns[0] = "a\u{202e}b".into());
        assert_eq!(text.check_text().unwrap_err().field, "columns");
    }
}
