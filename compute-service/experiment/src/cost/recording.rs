//! The bodies of a finished job, to be posted again.

use super::{Client, CostError, failed};

use gateway_client::Checkpoint;
use node::{facts::LedgerEvent, ledger};
use records::{Body, Bytes, Dv, Iv, JobId, JobParams, Judge, Kind, Phase, Rules, Slot};
use std::collections::BTreeMap;

/// One round of writes: the values of every participant, by chunk.
pub type Round = Vec<Vec<Vec<u8>>>;

/// The parameters and bodies of a job. No body names its job, so the same bodies fit another job with the same sizes.
#[derive(Clone, Debug)]
pub struct Recording {
    params: JobParams,
    bodies: BTreeMap<Slot, Body>,
}

impl Recording {
    /// Reads a job from the blocks.
    ///
    /// # Errors
    /// A ledger that cannot be read, and a job of which records are missing.
    pub async fn read(client: &Client, id: &JobId) -> Result<Self, CostError> {
        let mut blocks = client.network.past_blocks(Checkpoint::start());
        let mut params = None;
        let mut bodies = BTreeMap::new();
        while let Some(block) = blocks.next().await {
            for located in ledger::facts(&block?, &client.chaincode) {
                match located.fact {
                    LedgerEvent::Proposed(job) if job.id == *id => params = Some(job.params),
                    LedgerEvent::Posted(record) if record.job == *id => {
                        bodies.insert(record.slot, record.body);
                    }
                    _ => {}
                }
            }
        }
        let params = params.ok_or_else(|| failed(format!("job {id} is not on this ledger")))?;
        if !matches!(&params.kind, Kind::VerticalSvm(training) if training.quorum == params.parties()) {
            return Err(failed("only training jobs in which all participants decrypt can be replayed"));
        }
        let missing = slots(&params).into_iter().find(|slot| !bodies.contains_key(slot));
        match missing {
            None => Ok(Self { params, bodies }),
            Some(slot) => Err(failed(format!("job {id} is not finished: {slot} is missing"))),
        }
    }

    /// The parameters of the recorded job.
    pub fn params(&self) -> &JobParams {
        &self.params
    }

    /// What was posted in a slot.
    pub(super) fn body(&self, slot: &Slot) -> Option<&Body> {
        self.bodies.get(slot)
    }

    /// The same bodies for a job with another identifier.
    ///
    /// # Errors
    /// An operating system without randomness.
    pub fn again(&self) -> Result<Self, CostError> {
        let mut nonce = vec![0; 16];
        getrandom::fill(&mut nonce).map_err(failed)?;
        Ok(Self { params: JobParams { nonce: Bytes(nonce), ..self.params.clone() }, ..self.clone() })
    }

    /// The same ciphertexts as another number of iterations of another size, as the blinded judge would have posted
    /// them; they are repeated where they do not suffice.
    ///
    /// # Errors
    /// Another judge, or parameters out of range.
    pub fn recut(&self, iterations: u32, batch: u32) -> Result<Self, CostError> {
        let training = self.params.training();
        if training.judge != Judge::Blinded {
            return Err(failed("only jobs with the blinded judge can be cut anew"));
        }
        let training = records::VerticalSvm { iterations, batch, ..training.clone() };
        let params = JobParams { kind: Kind::VerticalSvm(training), ..self.params.clone() };
        params.validate().map_err(failed)?;
        let rules = Rules::new(&params);
        let mut bodies = BTreeMap::new();
        for slot in slots(&params) {
            let length = rules.chunk_range(slot.phase, slot.chunk).len();
            let before = match slot.phase {
                Phase::Iv | Phase::Dv => slot.round as usize * batch as usize,
                _ => 0,
            };
            let start = before + rules.chunk_range(slot.phase, slot.chunk).start;
            let list = || {
                let all = self.ciphertexts(slot.phase, slot.party);
                all.iter().cycle().skip(start % all.len()).take(length).map(|&c| c.clone()).collect()
            };
            let first = Slot { round: 0, chunk: 0, ..slot };
            let body = match &self.bodies[&first] {
                Body::Chain(_) => Body::Chain(list()),
                Body::Noise(_) => Body::Noise(list()),
                Body::Iv(_) => Body::Iv(Iv { tiv: list(), paper: None }),
                Body::Dv(dv) => Body::Dv(Dv { dv: list(), proof: dv.proof.clone() }),
                other => other.clone(),
            };
            bodies.insert(slot, body);
        }
        Ok(Self { params, bodies })
    }

    /// All ciphertexts of one participant in a phase, in order.
    fn ciphertexts(&self, phase: Phase, party: u32) -> Vec<&Bytes> {
        let own = self.bodies.iter().filter(|(slot, _)| slot.phase == phase && slot.party == party);
        own.flat_map(|(_, body)| match body {
            Body::Chain(list) | Body::Noise(list) => list.iter(),
            Body::Iv(iv) => iv.tiv.iter(),
            Body::Dv(dv) => dv.dv.iter(),
            _ => [].iter(),
        })
        .collect()
    }

    /// What is written in the iterations: IV and DV of each, as the bytes that a node sends.
    pub fn iterations(&self) -> Vec<Round> {
        let rules = Rules::new(&self.params);
        (0..rules.rounds(Phase::Iv))
            .flat_map(|round| [(Phase::Iv, round), (Phase::Dv, round)])
            .map(|(phase, round)| {
                (0..rules.parties())
                    .map(|party| {
                        let slots = (0..rules.chunks(phase)).map(|chunk| Slot { phase, round, party, chunk });
                        slots.map(|slot| json(&self.bodies[&slot])).collect()
                    })
                    .collect()
            })
            .collect()
    }
}

fn json(body: &Body) -> Vec<u8> {
    serde_json::to_vec(body).expect("records hold only strings, integers and arrays")
}

/// All slots of a job in the order of phases, rounds, parties and chunks.
pub(super) fn slots(params: &JobParams) -> Vec<Slot> {
    let rules = Rules::new(params);
    let rounds = rules.phases().into_iter().flat_map(|phase| {
        let rounds = rules.rounds(phase);
        (0..rounds).map(move |round| (phase, round))
    });
    rounds.flat_map(|(phase, round)| rules.round_slots(phase, round)).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use records::{
        DataDigest, Digest, Model, Proof, Publication, ResultDigests, SeedCommit, SeedOpen, Setup,
        ThresholdKey, VerticalSvm,
    };

    /// A job whose ciphertexts are numbered from 0 in every phase.
    pub(crate) fn recording(iterations: u32, batch: u32) -> Recording {
        let training = VerticalSvm {
            judge: Judge::Blinded,
            instances: 10,
            iterations,
            batch,
            learning_rate: "0.1".parse().unwrap(),
            lambda: "1".parse().unwrap(),
            c: "1".parse().unwrap(),
            key: None,
            key_bits: 256,
            insecure_key_bits: true,
            quorum: 2,
            margin_bits: 42,
            weak_blinding: true,
            model: Publication::Split,
            classes: None,
        };
        let params = JobParams {
            version: 1,
            contract: "1.0".into(),
            participants: ["A", "B"].map(|name| name.parse().unwrap()).into(),
            kind: Kind::VerticalSvm(training),
            nonce: Bytes(vec![0; 16]),
            deadlines: None,
        };
        params.validate().unwrap();
        let rules = Rules::new(&params);
        let number = |n: usize| Bytes([vec![0; 62], (n as u16).to_be_bytes().to_vec()].concat());
        let body = |slot: &Slot| {
            let range = rules.chunk_range(slot.phase, slot.chunk);
            let before = slot.round as usize * batch as usize;
            let list = range.map(|n| number(before + n)).collect();
            let digest = Digest::from([0; 32]);
            match slot.phase {
                Phase::Setup => Body::Setup(Setup {
                    key: ThresholdKey {
                        n: Bytes(vec![1; 32]),
                        quorum: 2,
                        collusion_bound: 1,
                        theta: Bytes(vec![1; 32]),
                        base: number(0),
                        verification: vec![number(1); 2],
                    },
                    data: DataDigest { instances: 10, features: 1, ids: digest, labels: digest },
                }),
                Phase::SeedCommit => Body::SeedCommit(SeedCommit { commitment: Bytes(vec![0; 32]) }),
                Phase::SeedOpen => Body::SeedOpen(SeedOpen { seed: Bytes(vec![0; 32]) }),
                Phase::Chain => Body::Chain(list),
                Phase::Noise => Body::Noise(list),
                Phase::Iv => Body::Iv(Iv { tiv: list, paper: None }),
                Phase::Dv => Body::Dv(Dv {
                    dv: list,
                    proof: Proof { challenge: Bytes(vec![0; 16]), response: Bytes(vec![1]) },
                }),
                Phase::Model => Body::Model(Model { weights: None, digest }),
                Phase::Result => Body::Result(ResultDigests { indicators: digest, model: digest }),
                other => unreachable!("{other} is no phase of a training job"),
            }
        };
        let bodies = slots(&params).into_iter().map(|slot| (slot, body(&slot))).collect();
        Recording { params, bodies }
    }

    #[test]
    fn a_recording_cut_anew_holds_the_same_ciphertexts_in_bodies_that_fit() {
        let whole = recording(3, 4);
        for (iterations, batch) in [(12, 1), (1, 12), (3, 4), (5, 2)] {
            let cut = whole.recut(iterations, batch).unwrap();
            let rules = Rules::new(&cut.params);
            for (slot, body) in &cut.bodies {
                rules.check_body(slot, body).unwrap();
            }
            assert_eq!(cut.bodies.len(), slots(&cut.params).len());
            let entries = (iterations * batch) as usize;
            for phase in [Phase::Chain, Phase::Noise, Phase::Iv, Phase::Dv] {
                assert_eq!(cut.ciphertexts(phase, 1), whole.ciphertexts(phase, 1)[..entries]);
            }
        }
        let longer = whole.recut(25, 1).unwrap();
        assert_eq!(longer.ciphertexts(Phase::Dv, 0)[12..15], whole.ciphertexts(Phase::Dv, 0)[..3]);
    }

    #[test]
    fn another_job_has_the_same_bodies() {
        let first = recording(2, 2);
        let second = first.again().unwrap();
        assert_ne!(first.params.id(), second.params.id());
        assert_eq!(first.bodies, second.bodies);
        let rounds = second.iterations();
        assert_eq!(rounds.len(), 4);
        assert_eq!((rounds[0].len(), rounds[0][0].len()), (2, 1));
        assert!(matches!(serde_json::from_slice(&rounds[3][1][0]).unwrap(), Body::Dv(_)));
    }
}
