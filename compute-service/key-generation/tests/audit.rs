//! Audits of generations that came to nothing: who deviated is named, and nobody else.

mod deviation;

use deviation::Deviating;
use key_generation::{Audit, Findings, Opening, Verdict};
use proptest::prelude::*;
use protocol::{Committed, Fault, JobSecret, simulate};
use records::{
    Body, Bytes, Collusion, Dealer, Job, JobParams, KeyGeneration, KeyRefresh, Kind, Phase, Record,
};

fn job(parties: u32, kind: Kind) -> Job {
    let params = JobParams {
        version: records::VERSION,
        contract: "1.0".into(),
        participants: (1..=parties).map(|i| format!("Org{i}MSP").parse().unwrap()).collect(),
        kind,
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

fn generation(parties: u32, against: Collusion) -> Job {
    let kind = KeyGeneration {
        purpose: "training".into(),
        key_bits: 256,
        insecure_key_bits: true,
        quorum: 2,
        against,
        candidates: 64,
    };
    job(parties, Kind::KeyGeneration(kind))
}

/// The secret from which the simulator derives a member's randomness.
fn secret(seed: u64, party: u32) -> JobSecret {
    let mut bytes = [party as u8; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    JobSecret::new(bytes)
}

/// Why the job came to nothing, if it did, and what was posted.
fn play(job: &Job, seed: u64, deviates: Option<(u32, Phase)>) -> (Option<Fault>, Vec<Committed>) {
    let private = |party| {
        let own = key_generation::Private { secret: secret(seed, party), share: None };
        let deviates_in = deviates.filter(|(who, _)| *who == party).map(|(_, phase)| phase);
        deviation::Private { own, deviates_in }
    };
    let privates: Vec<_> = (0..job.params.parties()).map(private).collect();
    let mut posted = Vec::new();
    let keep = |slot: records::Slot, body: Body| {
        let msp_id = job.params.participants[slot.party as usize].clone();
        let (body_kept, contributors) = (body.clone(), Vec::new());
        let record = Record {
            version: records::VERSION,
            job: job.id.clone(),
            slot,
            msp_id,
            body: body_kept,
            contributors,
        };
        posted.push(Committed { block: posted.len() as u64, tx_id: format!("tx{}", posted.len()), record });
        body
    };
    let fault = simulate::<Deviating>(job, &privates, seed, keep).err();
    (fault, posted)
}

fn openings(job: &Job, seed: u64, parties: impl IntoIterator<Item = u32>) -> Vec<Opening> {
    let opening =
        |party: u32| Opening::new(&job.id, &job.params.participants[party as usize], &secret(seed, party));
    parties.into_iter().map(opening).collect()
}

fn audit(job: &Job, records: &[Committed], openings: &[Opening]) -> Findings {
    let mut audit = Audit::new(job, openings).unwrap();
    records.iter().for_each(|record| audit.apply(record));
    audit.finish()
}

fn named(findings: &Findings) -> Vec<u32> {
    findings.unaccounted().map(|member| member.party).collect()
}

/// Plays a job in which one member deviates; it comes to nothing without a name, and the audit gives the name.
fn assert_named(job: &Job, who: u32, phase: Phase) {
    let (fault, records) = play(job, 1, Some((who, phase)));
    assert!(matches!(fault, Some(Fault::Disagreement(_))), "{phase}: {fault:?}");
    let findings = audit(job, &records, &openings(job, 1, 0..job.params.parties()));
    assert_eq!(named(&findings), [who], "{phase}: {findings:?}");
    let Verdict::Deviates { slot, .. } = &findings.members[who as usize].verdict else {
        panic!("{findings:?}")
    };
    let commits = deviation::OPENINGS.iter().find(|(_, opens)| *opens == phase);
    assert_eq!(slot.phase, commits.map_or(phase, |(commits, _)| *commits), "{findings:?}");
    assert_eq!(findings.fault, fault.map(|fault| fault.to_string()));
    assert!(findings.members.iter().all(|member| member.records > 0));
}

#[test]
fn members_of_whom_a_minority_may_collude() {
    let three = generation(3, Collusion::Minority);
    // A share of the product, powers in every batch, a share of θ, and sealed shares: of the factors, of θ, of the
    // exponent.
    let opened = [Phase::ProductOpen, Phase::PowerOpen, Phase::ThetaOpen];
    let sealed = [Phase::Factors, Phase::Theta, Phase::Deal];
    for (who, phase) in (0..).zip(opened.into_iter().chain(sealed)) {
        assert_named(&three, who % 3, phase);
    }
}

#[test]
fn members_of_whom_all_but_one_may_collude() {
    let two = generation(2, Collusion::AllButOne);
    // With offers and replies that are twice what they should be.
    let doubled = [Phase::Factors, Phase::Theta];
    let opened = [Phase::ProductOpen, Phase::PowerOpen, Phase::ThetaOpen];
    for (who, phase) in (0..).zip(doubled.into_iter().chain(opened).chain([Phase::Deal])) {
        assert_named(&two, who % 2, phase);
    }
    assert_named(&generation(3, Collusion::AllButOne), 1, Phase::Factors);
}

/// Not every deviation does harm; the audit sees it anyway, and where.
#[test]
fn what_does_no_harm_is_seen_too() {
    let five = generation(5, Collusion::Minority);
    let (_, records) = play(&five, 2, Some((3, Phase::Reshare)));
    let findings = audit(&five, &records, &openings(&five, 2, 0..5));
    assert_eq!(named(&findings), [3]);
    let first = records.iter().find(|r| (r.record.slot.phase, r.record.slot.party) == (Phase::Reshare, 3));
    let first = first.unwrap();
    let reason = "not what its secret and the records before give".to_owned();
    let (slot, transaction) = (first.record.slot, first.tx_id.clone());
    assert_eq!(findings.members[3].verdict, Verdict::Deviates { slot, transaction, reason });
}

#[test]
fn who_opens_nothing_or_something_else_is_not_accounted_for() {
    let job = generation(3, Collusion::Minority);
    let (_, records) = play(&job, 1, Some((1, Phase::ThetaOpen)));
    let findings = audit(&job, &records, &openings(&job, 1, [0, 2]));
    assert_eq!(named(&findings), [1]);
    assert_eq!(findings.members[1].verdict, Verdict::Unopened);

    let mut given = openings(&job, 1, [0, 2]);
    given.push(Opening::new(&job.id, &"Org2MSP".parse().unwrap(), &secret(7, 1)));
    let findings = audit(&job, &records, &given);
    assert_eq!(findings.members[1].verdict, Verdict::WrongOpening);
    assert_eq!((findings.members[1].records, named(&findings)), (0, vec![1]));
    // A false opening in another's name does not hide the true one.
    given.push(Opening::new(&job.id, &"Org1MSP".parse().unwrap(), &secret(7, 0)));
    assert_eq!(named(&audit(&job, &records, &given)), [1]);

    // Nothing is wrong with what was posted, and it is seen for whom the job waits.
    let (_, records) = play(&job, 1, None);
    let last = records.iter().rposition(|record| record.record.slot.party == 2).unwrap();
    let before: Vec<Committed> = records[..last].to_vec();
    let findings = audit(&job, &before, &openings(&job, 1, 0..3));
    assert_eq!((named(&findings), findings.fault), (vec![], None));
    assert!(findings.waits_for.contains(&"Org3MSP".parse().unwrap()));
    let findings = audit(&job, &[], &[]);
    assert_eq!(
        (named(&findings), findings.waits_for.len()),
        (vec![], 3),
        "who posted nothing owes no opening"
    );
}

#[test]
fn what_cannot_be_audited_is_refused() {
    let job_of_three = generation(3, Collusion::Minority);
    let refused = |job: &Job, openings: &[Opening]| match Audit::new(job, openings) {
        Err(Fault::Input(reason)) => reason,
        _ => panic!("not refused"),
    };
    let other = generation(3, Collusion::AllButOne);
    assert!(refused(&job_of_three, &openings(&other, 1, [0])).contains(&other.id.to_string()));
    let stranger = Opening::new(&job_of_three.id, &"Org9MSP".parse().unwrap(), &secret(1, 0));
    assert!(refused(&job_of_three, std::slice::from_ref(&stranger)).contains("Org9MSP"));
    let dealers = vec![Dealer { party: 0, member: 0 }, Dealer { party: 1, member: 1 }];
    let refresh = KeyRefresh {
        key: [0xab; 32].into(),
        purpose: "training".into(),
        key_bits: 256,
        insecure_key_bits: true,
        old_parties: 2,
        share_bits: 800,
        dealers,
        members: vec![0, 1],
        quorum: 2,
    };
    assert!(refused(&job(2, Kind::KeyRefresh(refresh)), &[]).contains("only a generation"));
    // As it lies in a file; nothing of the secret is in what is logged.
    let json = serde_json::to_string(&stranger).unwrap();
    assert_eq!(serde_json::from_str::<Opening>(&json).unwrap(), stranger);
    assert!(serde_json::from_str::<Opening>(&json.replace("secret", "secrets")).is_err());
    assert!(!format!("{stranger:?}").contains(&json[json.len() - 40..json.len() - 4]));
    let short = json.replace(&json[json.len() - 46..json.len() - 2], "AAAA");
    let short: Opening = serde_json::from_str(&short.replace("Org9MSP", "Org1MSP")).unwrap();
    assert!(refused(&job_of_three, &[short]).contains("32 bytes"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Whoever deviates, wherever, and wherever the job was given up: nobody else is named.
    #[test]
    fn honest_members_are_never_named(
        seed in 0u64..1000,
        pairwise in any::<bool>(),
        who in 0u32..4,
        phase in prop::sample::select(vec![
            Phase::SieveShares, Phase::Factors, Phase::ProductOpen, Phase::PowersOpen, Phase::Gcd, Phase::GcdOpen,
            Phase::Theta, Phase::ThetaOpen, Phase::Deal,
        ]),
        given_up in 0.0f64..1.0,
    ) {
        let against = if pairwise { Collusion::AllButOne } else { Collusion::Minority };
        let job = generation(3, against);
        let deviates = (who < 3).then_some((who, phase));
        let (_, records) = play(&job, seed, deviates);
        // Not everybody has a part in every phase.
        let does = |who| records.iter().any(|r| (r.record.slot.phase, r.record.slot.party) == (phase, who));
        let deviates = deviates.filter(|(who, _)| does(*who));
        let findings = audit(&job, &records, &openings(&job, seed, 0..3));
        prop_assert_eq!(named(&findings), deviates.map(|(who, _)| who).into_iter().collect::<Vec<_>>());
        let some = &records[..(given_up * records.len() as f64) as usize];
        let early = named(&audit(&job, some, &openings(&job, seed, 0..3)));
        prop_assert!(early.is_empty() || Some(early[0]) == deviates.map(|(who, _)| who));
    }
}
