//! A member that posts what another one made: whoever copied is named, in whatever order the records get onto the
//! ledger, and nobody else, by the members at once and by the audit of opened secrets.

use key_generation::{Audit, Findings, Generation, Opening, Private, Verdict};
use proptest::prelude::*;
use protocol::{Committed, Fault, JobSecret, Protocol, Role, Status, StepRng};
use records::{Body, Bytes, Collusion, Job, JobParams, KeyGeneration, Kind, MemberKeys, Phase, Record, Slot};

const COPIER: usize = 1;

fn job(against: Collusion) -> Job {
    let params = JobParams {
        version: records::VERSION,
        contract: "1.0".into(),
        participants: (1..=3).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
        kind: Kind::KeyGeneration(KeyGeneration {
            purpose: "training".into(),
            key_bits: 256,
            insecure_key_bits: true,
            quorum: 2,
            against,
            candidates: 64,
        }),
        nonce: Bytes(vec![5; 16]),
        deadlines: None,
    };
    Job {
        version: records::VERSION,
        id: params.id(),
        params,
        proposer: "Org1MSP".parse().unwrap(),
        proposed: 0,
    }
}

fn secret(seed: u8, party: usize) -> JobSecret {
    let mut bytes = [seed; 32];
    bytes[0] = party as u8;
    JobSecret::new(bytes)
}

/// What the copier posts in place of its own, given what its victim posts or is about to post.
type Copy = fn(own: Body, others: &Body) -> Body;

/// What came of a game.
struct Game {
    job: Job,
    seed: u8,
    log: Vec<Committed>,
    /// What the honest members say.
    fault: Option<Fault>,
    /// The copier did post a copy.
    copied: bool,
}

/// Three members post in the given order, round after round; the second copies from `victim` in a phase. It sees what
/// the victim is going to post before it is on the ledger.
fn play(against: Collusion, seed: u8, order: &[usize], victim: usize, phase: Phase, copy: Copy) -> Game {
    let job = job(against);
    let privates: Vec<Private> =
        (0..3).map(|party| Private { secret: secret(seed, party), share: None }).collect();
    let start = |party| Generation::start(&job, Role::Member(party as u32)).unwrap();
    let mut members: Vec<Generation> = (0..3).map(start).collect();
    let made = |member: &Generation, party: usize, slot: Slot| {
        let inputs = member.input_digest(slot, &privates[party]);
        let mut rng = StepRng::new(&privates[party].secret, &job.id, slot, &inputs);
        member.produce(slot, &privates[party], &mut rng)
    };
    let mut game = Game { job: job.clone(), seed, log: Vec::new(), fault: None, copied: false };
    loop {
        let before = game.log.len();
        for &party in order {
            for slot in members[party].pending() {
                let mut body = match made(&members[party], party, slot) {
                    Ok(body) => body,
                    // The copier cannot go on with what it does not know.
                    Err(_) if party == COPIER => continue,
                    Err(fault) => {
                        game.fault = Some(fault);
                        return game;
                    }
                };
                if party == COPIER && slot.phase == phase {
                    let others = Slot { party: victim as u32, ..slot };
                    let there = game.log.iter().find(|posted| posted.record.slot == others);
                    let there = match there {
                        Some(posted) => Some(posted.record.body.clone()),
                        None if members[victim].pending().contains(&others) => {
                            made(&members[victim], victim, others).ok()
                        }
                        None => None,
                    };
                    if let Some(there) = there {
                        body = copy(body, &there);
                        game.copied = true;
                    }
                }
                let msp_id = job.params.participants[party].clone();
                let (version, contributors) = (records::VERSION, Vec::new());
                let record = Record { version, job: job.id.clone(), slot, msp_id, body, contributors };
                // Two records lie in one block.
                let at = game.log.len();
                let committed = Committed { block: at as u64 / 2, tx_id: format!("tx{at}"), record };
                game.log.push(committed.clone());
                for (who, member) in members.iter_mut().enumerate() {
                    if let Err(fault) = member.apply(&committed)
                        && who != COPIER
                    {
                        game.fault.get_or_insert(fault);
                    }
                }
                if game.fault.is_some() {
                    return game;
                }
            }
        }
        let done = members
            .iter()
            .enumerate()
            .all(|(who, member)| who == COPIER || matches!(member.status(), Status::Done(_)));
        if done || game.log.len() == before {
            return game;
        }
    }
}

impl Game {
    /// The audit of the honest members' openings, and of what the copier gives as its own.
    fn audit(&self, copier: Option<JobSecret>) -> Findings {
        let opening = |party: usize, secret: &JobSecret| {
            Opening::new(&self.job.id, &self.job.params.participants[party], secret)
        };
        let mut openings: Vec<Opening> =
            [0, 2].iter().map(|party| opening(*party, &secret(self.seed, *party))).collect();
        openings.extend(copier.map(|secret| opening(COPIER, &secret)));
        let mut audit = Audit::new(&self.job, &openings).unwrap();
        self.log.iter().for_each(|posted| audit.apply(posted));
        audit.finish()
    }

    /// That no honest member is named, whatever the copier opens; whether the copier is, by the members.
    fn names_the_copier_only(&self, victim: usize) -> bool {
        if let Some(Fault::Participant { party, reason, .. }) = &self.fault {
            assert_eq!(*party as usize, COPIER, "{reason}");
        }
        for opened in [None, Some(secret(self.seed, COPIER)), Some(secret(self.seed, victim))] {
            let findings = self.audit(opened);
            for honest in [0, 2] {
                assert_eq!(findings.members[honest].verdict, Verdict::Prescribed, "{findings:?}");
            }
            if self.copied {
                assert_ne!(findings.members[COPIER].verdict, Verdict::Prescribed, "{findings:?}");
            }
        }
        matches!(self.fault, Some(Fault::Participant { .. }))
    }
}

fn keys(body: Body) -> MemberKeys {
    let Body::Keys(keys) = body else { panic!("another body") };
    keys
}

const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn every_order(against: Collusion, copy: Copy) {
    for order in ORDERS {
        for victim in [0, 2] {
            let game = play(against, 3, &order, victim, Phase::Keys, copy);
            assert!(
                game.copied && game.names_the_copier_only(victim),
                "{order:?} {victim}: {:?}",
                game.fault
            );
        }
    }
}

#[test]
fn a_copied_hpke_key_names_the_copier() {
    for against in [Collusion::Minority, Collusion::AllButOne] {
        // With its own proof, which is then none of that key.
        every_order(against, |own, others| {
            Body::Keys(MemberKeys { hpke: keys(others.clone()).hpke, ..keys(own) })
        });
        // Without a proof, as of old.
        every_order(against, |own, others| {
            let hpke = keys(others.clone()).hpke;
            Body::Keys(MemberKeys { hpke, possession: None, ..keys(own) })
        });
        // Other bytes that are the same key.
        every_order(against, |own, others| {
            let mut hpke = keys(others.clone()).hpke;
            hpke.0[31] |= 0x80;
            Body::Keys(MemberKeys { hpke, possession: None, ..keys(own) })
        });
        // Everything, the other's proof included.
        every_order(against, |_, others| others.clone());
        every_order(against, |_, others| Body::Keys(MemberKeys { possession: None, ..keys(others.clone()) }));
    }
}

#[test]
fn a_copied_modulus_names_the_copier() {
    every_order(Collusion::AllButOne, |own, others| {
        Body::Keys(MemberKeys { paillier: keys(others.clone()).paillier, ..keys(own) })
    });
    every_order(Collusion::AllButOne, |own, others| {
        let paillier = keys(others.clone()).paillier;
        Body::Keys(MemberKeys { paillier, possession: None, ..keys(own) })
    });
    // With the other's proof for it.
    every_order(Collusion::AllButOne, |own, others| {
        let (mut own, others) = (keys(own), keys(others.clone()));
        own.paillier = others.paillier;
        own.possession.as_mut().unwrap().paillier = others.possession.unwrap().paillier;
        Body::Keys(own)
    });
}

/// Records of before there were proofs: the members name the one that posted later, and the audit the one that cannot
/// open the secret behind the key.
#[test]
fn of_old_records_the_later_one_is_named_and_an_audit_tells_exactly() {
    let without = |keys: &mut MemberKeys| keys.possession = None;
    for (order, named) in [([0, 1, 2], 1), ([1, 0, 2], 0)] {
        let copied = |own: Body, others: &Body| {
            Body::Keys(MemberKeys { hpke: keys(others.clone()).hpke, ..keys(own) })
        };
        let mut game = play(Collusion::Minority, 4, &order, 0, Phase::Keys, copied);
        let mut observer = Generation::start(&game.job, Role::Observer).unwrap();
        let mut fault = None;
        for posted in &mut game.log {
            let Body::Keys(keys) = &mut posted.record.body else { panic!("another body") };
            without(keys);
            fault = fault.or(observer.apply(posted).err());
        }
        assert!(matches!(fault, Some(Fault::Participant { party, .. }) if party == named), "{fault:?}");
        for opened in [None, Some(secret(4, 1))] {
            let findings = game.audit(opened);
            let named: Vec<u32> = findings.unaccounted().map(|member| member.party).collect();
            assert_eq!(named, [1], "{findings:?}");
        }
    }
}

/// A proof that does not hold is its author's fault, also where nothing was copied.
#[test]
fn a_wrong_proof_names_its_author() {
    fn spoilt(own: Body, at: fn(&mut records::Possession) -> &mut u8) -> Body {
        let mut keys = keys(own);
        *at(keys.possession.as_mut().unwrap()) ^= 1;
        Body::Keys(keys)
    }
    let changes: [Copy; 2] = [
        |own, _| spoilt(own, |shown| &mut shown.hpke.0[40]),
        |own, _| spoilt(own, |shown| &mut shown.paillier.as_mut().unwrap().0[40]),
    ];
    for change in changes {
        let game = play(Collusion::AllButOne, 5, &[0, 1, 2], 0, Phase::Keys, change);
        assert!(game.names_the_copier_only(0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever else is copied: commitments, openings, sealed messages, ciphertexts, shares, verification keys, partial
    /// decryptions with their proofs.
    #[test]
    fn no_copy_makes_an_honest_member_the_one_that_is_named(
        seed in 0u8..40,
        pairwise in any::<bool>(),
        order in prop::sample::select(ORDERS.to_vec()),
        victim in prop::sample::select(vec![0, 2]),
        phase in prop::sample::select(vec![
            Phase::SieveShares, Phase::Factors, Phase::ProductCommit, Phase::ProductOpen, Phase::PowerCommit,
            Phase::PowerOpen, Phase::PowersCommit, Phase::PowersOpen, Phase::Gcd, Phase::GcdCommit, Phase::GcdOpen,
            Phase::Theta, Phase::ThetaCommit, Phase::ThetaOpen, Phase::Deal, Phase::Verification, Phase::TestDecryption,
        ]),
    ) {
        let against = if pairwise { Collusion::AllButOne } else { Collusion::Minority };
        let game = play(against, seed, &order, victim, phase, |_, others| others.clone());
        game.names_the_copier_only(victim);
        // What is bound to its place, its sender or its key shows at once.
        let opened = [Phase::ProductOpen, Phase::PowerOpen, Phase::PowersOpen, Phase::GcdOpen, Phase::ThetaOpen];
        if game.copied && (opened.contains(&phase) || phase == Phase::TestDecryption) {
            prop_assert!(matches!(game.fault, Some(Fault::Participant { party: 1, .. })), "{:?}", game.fault);
        }
    }
}
