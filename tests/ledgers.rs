//! What both ledgers must do: keep the book of a job, and carry a training job to the reference's result.

use crate::fixture::{Finished, Ledger, On, Size, program, submit};
use crate::harness::{Test, test};
use fabric_protos::{common, hash::block_data_hash, prost::Message};
use gateway_client::{
    Block, BlockDefect, Call, Contract, KvWrite, Outcome, TransactionInfo, TxValidationCode,
};
use launcher::Kind;
use node::{
    facts::LedgerEvent,
    proposal,
    verify::{Replay, Verification},
};
use records::{
    Body, Bytes, Code, DataDigest, Iv, JobId, JobParams, Judge, PaperIv, Phase, Rules, SeedCommit, SeedOpen,
    Setup, Slot, ThresholdKey,
};
use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

pub const TESTS: &[Test] = &[test!(training on Dev, Fabric), test!(lagging_peer on Dev)];

/// Everything, on one network.
async fn training(on: On) {
    let ledger = Ledger::start(on, 4).await;
    let start = Instant::now();
    let told = |what: &str| eprintln!("{on:?} {:6.1} s  {what}", start.elapsed().as_secs_f64());
    probes_are_committed_and_read_from_blocks(&ledger).await;
    told("probes");
    let book = a_job_is_proposed_and_accepted(&ledger).await;
    the_contract_refuses_what_breaks_the_rules(&ledger, &book).await;
    told("refusals");
    rounds_are_written_at_once_and_read_back(&ledger, &book).await;
    told("rounds with concurrent writers");
    an_ended_job_takes_nothing_more(&ledger, &book).await;
    told("ended");
    let blinded = train(&ledger, "blinded", Judge::Blinded).await;
    blinded.check(&ledger).await;
    told("blinded judge");
    the_command_line_verifies(&ledger, &blinded);
    a_tampered_run_is_not_clean(&ledger, &blinded).await;
    a_peer_that_lies_about_validity_is_found(&ledger, &blinded).await;
    told("verify");
    train(&ledger, "paper", Judge::Paper).await.check(&ledger).await;
    told("paper's judge");
}

/// A peer that commits late makes endorsements fail, which are tried again; the result is the same.
async fn lagging_peer(on: On) {
    // With one late peer the gateway turns to the other one.
    let late = ["--delay-commits", "Org2MSP=80", "--delay-commits", "Org3MSP=80"];
    let ledger = Ledger::start_with(on, 3, &late).await;
    let finished = train(&ledger, "late", Judge::Blinded).await;
    let retries = finished.report.ledger.retries;
    eprintln!("retries with two peers 80 ms late: {retries:?}");
    assert!(retries.not_yet + retries.mismatch > 0, "{retries:?}");
    finished.check(&ledger).await;
}

async fn train(ledger: &Ledger, name: &str, judge: Judge) -> Finished {
    let size = Size { judge, rows: 120, iterations: 8, batch: 8, key_bits: 512 };
    let finished = Finished::run(ledger.prepare(name, &size), ledger).await;
    let report = &finished.report;
    eprintln!(
        "{:?} {name}: {:.1} s, {} transactions, {:?}",
        ledger.kind, report.seconds.total, report.ledger.transactions, report.ledger.retries
    );
    finished
}

async fn probes_are_committed_and_read_from_blocks(ledger: &Ledger) {
    for org in 0..4 {
        let value = format!("value of {org}");
        let call = Call::new("probe").arg("name").arg(value.as_str());
        let submitted = submit(&ledger.contract(org), call).await;
        assert!(matches!(submitted.outcome, Outcome::Committed(_)), "{submitted:?}");
        let number = submitted.block_number.unwrap();
        // Every other organisation's peer shows the same block.
        let reader = ledger.channel((org + 1) % 4);
        let mut blocks = reader.blocks(gateway_client::Checkpoint::at(number));
        let block = blocks.next().await.unwrap().unwrap();
        let id = &submitted.transaction_id;
        let transaction = block.transactions.iter().find(|t| t.transaction_id == *id).unwrap();
        assert_eq!(transaction.validation_code, TxValidationCode::Valid);
        assert_eq!(ledger.members(4)[org], transaction.creator.msp_id);
        transaction.verify_signature().unwrap();
        transaction.verify_endorsements().unwrap();
        assert!(transaction.writes.iter().any(|write| write.value == value.as_bytes()));
    }
}

/// A job with records of the right form and no meaning: the contract cannot tell.
struct Book {
    id: JobId,
    params: JobParams,
    rules: Rules,
}

/// Three of the four organisations; the paper's judge has no preparation, and a batch that fills a record.
async fn a_job_is_proposed_and_accepted(ledger: &Ledger) -> Book {
    let mut params = proposal::template(100, ledger.members(3)).unwrap();
    let training = params.training_mut();
    training.judge = Judge::Paper;
    training.iterations = 2;
    // One instance more than a record holds.
    training.batch = 165;
    assert_eq!(Rules::new(&params).chunks(Phase::Iv), 2);
    let book = Book { id: params.id(), rules: Rules::new(&params), params };
    // All propose the same job at once.
    let proposals = (0..3).map(|org| {
        let (contract, json) = (ledger.contract(org), serde_json::to_vec(&book.params).unwrap());
        tokio::spawn(async move { submit(&contract, Call::new("propose").arg(json)).await })
    });
    let mut committed = 0;
    for proposal in proposals.collect::<Vec<_>>() {
        committed += u32::from(matches!(proposal.await.unwrap().outcome, Outcome::Committed(_)));
    }
    assert_eq!(committed, 1, "one proposal is written, the others find it there");
    assert_eq!(refusal(&ledger.contract(0), book.post(Phase::Setup, 0, 0, 0)).await, Code::NotYet);
    for org in 0..3 {
        submit(&ledger.contract(org), Call::new("accept").arg(book.id.to_string())).await;
    }
    book
}

impl Book {
    fn post(&self, phase: Phase, round: u32, chunk: u32, party: u32) -> Call {
        let body = serde_json::to_vec(&self.body(phase, round, chunk, party)).unwrap();
        self.call("post").arg(phase.as_str()).arg(round.to_string()).arg(chunk.to_string()).arg(body)
    }

    fn call(&self, function: &str) -> Call {
        Call::new(function).arg(self.id.to_string())
    }

    fn body(&self, phase: Phase, round: u32, chunk: u32, party: u32) -> Body {
        let training = self.params.training();
        let fill = (1 + party + 16 * round + 64 * chunk) as u8;
        let bytes = |length: usize| Bytes(vec![fill; length]);
        let ciphertext = || bytes((self.params.training().key_bits / 4) as usize);
        match phase {
            Phase::Setup => Body::Setup(Setup {
                key: ThresholdKey {
                    n: bytes(training.key_bits as usize / 8),
                    quorum: 3,
                    collusion_bound: 2,
                    theta: bytes(training.key_bits as usize / 8),
                    base: ciphertext(),
                    verification: vec![ciphertext(); 3],
                },
                data: DataDigest {
                    instances: 100,
                    features: 4,
                    ids: [fill; 32].into(),
                    labels: [fill; 32].into(),
                },
            }),
            Phase::SeedCommit => Body::SeedCommit(SeedCommit { commitment: bytes(32) }),
            Phase::SeedOpen => Body::SeedOpen(SeedOpen { seed: bytes(32) }),
            Phase::Iv => {
                let count = self.rules.chunk_range(phase, chunk).len();
                let list = |length: usize| vec![bytes(length); count];
                Body::Iv(Iv {
                    tiv: list((self.params.training().key_bits / 4) as usize),
                    paper: Some(PaperIv {
                        r1: list(8),
                        r2: list((self.params.training().key_bits / 4) as usize),
                        r3: list(8),
                        rpi: vec![u32::from(fill); count],
                    }),
                })
            }
            other => unreachable!("{other} is not posted here"),
        }
    }
}

/// The code with which the contract refuses a call.
async fn refusal(contract: &Contract, call: Call) -> Code {
    let error = contract.submit(call).await.expect_err("the contract refuses this");
    match error.refusal() {
        Some(refusal) => Code::parse(&refusal.code).unwrap(),
        None => panic!("not a refusal: {error}"),
    }
}

async fn the_contract_refuses_what_breaks_the_rules(ledger: &Ledger, book: &Book) {
    let (first, stranger) = (ledger.contract(0), ledger.contract(3));
    let setup = || book.post(Phase::Setup, 0, 0, 0);
    assert_eq!(refusal(&stranger, setup()).await, Code::WrongCaller);
    assert_eq!(refusal(&stranger, book.call("accept")).await, Code::WrongCaller);
    assert_eq!(refusal(&stranger, book.call("abort").arg("none")).await, Code::WrongCaller);
    let unknown = "0".repeat(64);
    assert_eq!(refusal(&first, Call::new("accept").arg(unknown.as_str())).await, Code::UnknownJob);
    assert_eq!(refusal(&first, Call::new("accept").arg("no job")).await, Code::BadInput);
    assert_eq!(refusal(&first, Call::new("delete")).await, Code::BadInput);
    assert_eq!(refusal(&first, book.call("accept")).await, Code::AlreadySame);
    assert_eq!(refusal(&first, book.post(Phase::SeedCommit, 0, 0, 0)).await, Code::NotYet);
    assert_eq!(refusal(&first, book.call("finish")).await, Code::NotYet);
    assert_eq!(refusal(&first, book.call("refuse").arg("late")).await, Code::BadInput);
    let other = JobParams { contract: "0.9".into(), ..book.params.clone() };
    let other = Call::new("propose").arg(serde_json::to_vec(&other).unwrap());
    assert_eq!(refusal(&first, other).await, Code::WrongVersion);

    let with = |phase: &str, round: &str, chunk: &str, body: Vec<u8>| {
        book.call("post").arg(phase).arg(round).arg(chunk).arg(body)
    };
    let body = |phase| serde_json::to_vec(&book.body(phase, 0, 0, 0)).unwrap();
    for bad in [
        with("setup", "0", "1", body(Phase::Setup)),
        with("setup", "1", "0", body(Phase::Setup)),
        with("setup", "0", "0", body(Phase::SeedOpen)),
        with("chain", "0", "0", body(Phase::Setup)),
        with("setup", "0", "0", b"{}".to_vec()),
        with("setup", "0", "0", vec![b' '; records::MAX_RECORD_BYTES + 1]),
        with("iv", "zero", "0", body(Phase::Iv)),
        book.call("post").arg("setup"),
    ] {
        assert_eq!(refusal(&first, bad).await, Code::BadInput);
    }
}

/// Posts one round of all participants at once and reads every record through another organisation's peer.
async fn round(ledger: &Ledger, book: &Book, phase: Phase, round: u32) {
    let slots = book.rules.round_slots(phase, round);
    let posts = slots.iter().map(|slot| {
        let contract = ledger.contract(slot.party as usize);
        let call = book.post(phase, round, slot.chunk, slot.party);
        tokio::spawn(async move { submit(&contract, call).await })
    });
    let mut blocks = BTreeSet::new();
    for post in posts.collect::<Vec<_>>() {
        let posted = post.await.unwrap();
        assert_eq!(posted.retries.mvcc, 0, "records of one round do not meet: {posted:?}");
        assert!(matches!(posted.outcome, Outcome::Committed(_)), "{posted:?}");
        blocks.extend(posted.block_number);
    }
    for slot in slots {
        let reader = ledger.contract((slot.party as usize + 1) % 3);
        let call = || {
            let numbers = [slot.round, slot.party, slot.chunk].map(|number| number.to_string());
            let call = book.call("record").arg(phase.as_str());
            numbers.into_iter().fold(call, |call, number| call.arg(number))
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let bytes = loop {
            match reader.evaluate(call()).await {
                Ok(bytes) => break bytes,
                // The reader's peer has not committed the block yet.
                Err(e) if e.refusal().is_some_and(|r| r.code == Code::NotYet.as_str()) => {
                    assert!(Instant::now() < deadline, "{slot} is not there after 10 s");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(e) => panic!("{slot}: {e}"),
            }
        };
        let record = records::Record::from_json(&bytes).unwrap();
        assert_eq!((record.slot, &record.job), (slot, &book.id));
        assert_eq!(record.body, book.body(phase, round, slot.chunk, slot.party));
        assert_eq!(record.msp_id, book.params.participants[slot.party as usize]);
        if phase == Phase::Iv && slot.chunk == 0 {
            assert!(bytes.len() > 200_000, "{} bytes", bytes.len());
        }
    }
}

async fn rounds_are_written_at_once_and_read_back(ledger: &Ledger, book: &Book) {
    for phase in [Phase::Setup, Phase::SeedCommit, Phase::SeedOpen, Phase::Iv] {
        round(ledger, book, phase, 0).await;
    }
    let first = ledger.contract(0);
    assert_eq!(refusal(&first, book.post(Phase::SeedOpen, 0, 0, 0)).await, Code::AlreadySame);
    // The body of another participant under the own key.
    assert_eq!(refusal(&first, book.post(Phase::SeedOpen, 0, 0, 1)).await, Code::AlreadyDifferent);
    assert_eq!(refusal(&first, book.post(Phase::Iv, 1, 0, 0)).await, Code::NotYet, "before the other's DV");
    let again = submit(&first, book.post(Phase::SeedOpen, 0, 0, 0)).await;
    assert_eq!(again.outcome, Outcome::AlreadyThere, "a repeated post is a success");
}

async fn an_ended_job_takes_nothing_more(ledger: &Ledger, book: &Book) {
    submit(&ledger.contract(1), book.call("abort").arg("enough")).await;
    let first = ledger.contract(0);
    assert_eq!(refusal(&first, book.post(Phase::Iv, 1, 0, 0)).await, Code::Ended);
    assert_eq!(refusal(&first, book.call("finish")).await, Code::Ended);
    assert_eq!(refusal(&first, book.post(Phase::SeedOpen, 0, 0, 0)).await, Code::AlreadySame);
    let again = submit(&ledger.contract(1), book.call("abort").arg("enough")).await;
    assert_eq!(again.outcome, Outcome::AlreadyThere);
    let verified = ledger.verify(&book.id).await;
    assert!(!verified.complete, "an aborted job is not complete");
}

fn the_command_line_verifies(ledger: &Ledger, finished: &Finished) {
    let dir = &ledger.network.dir;
    let verify =
        |job: &str| Command::new(program()).args(["verify", job, "--dir"]).arg(dir).output().unwrap();
    let output = verify(&finished.id().to_string());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text} {}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("everything holds") && !text.contains("DEFECT"), "{text}");
    assert!(!verify(&"0".repeat(64)).status.success(), "a job that is not there");
}

/// One byte of one record is flipped; each time the observer finds it.
async fn a_tampered_run_is_not_clean(ledger: &Ledger, finished: &Finished) {
    let (id, chaincode, msps) = (finished.id(), &ledger.network.chaincode.name, ledger.msps());
    let is_in = |slot: Slot, write: &KvWrite| match LedgerEvent::from_write(&write.key, &write.value) {
        Ok(Some(LedgerEvent::Posted(record))) => record.job == id && record.slot == slot,
        _ => false,
    };
    let last = finished.deployment.params.parties() - 1;
    let slot = |phase, party| Slot { phase, round: 0, party, chunk: 0 };
    let blocks = ledger.blocks(0).await;
    let replay = |change: &dyn Fn(&mut Block)| {
        let mut replay = Replay::new(id.clone(), Some(&msps));
        for block in &blocks {
            let mut block = block.clone();
            change(&mut block);
            replay.fold(&block, chaincode);
        }
        replay.finish().unwrap()
    };
    assert!(replay(&|_| {}).complete, "what was not touched is clean");

    // In what was read, behind the signatures: proofs, openings and digests do not fit any more.
    for phase in Rules::new(&finished.deployment.params).phases() {
        let found = replay(&|block| {
            let writes = block.transactions.iter_mut().flat_map(|t| &mut t.writes);
            writes.filter(|write| is_in(slot(phase, last), write)).for_each(|write| flip(&mut write.value));
        });
        assert!(!found.complete && !found.defects.is_empty(), "a flipped byte in {phase} is not found");
    }

    // In the peer's bytes: the block's hash does not fit; where that is made to fit, the signatures do not. This also
    // shows where no other record tells, as in the middle of the chain.
    for slot in [slot(Phase::Chain, 1), slot(Phase::Dv, 0)] {
        let (number, value) = blocks
            .iter()
            .flat_map(|block| block.transactions.iter().map(|t| (block.number, t)))
            .flat_map(|(number, t)| t.writes.iter().map(move |write| (number, write)))
            .find_map(|(number, write)| is_in(slot, write).then(|| (number, write.value.clone())))
            .unwrap();
        let mut raw = raw_block(ledger, number).await;
        assert_eq!(Block::parse(raw.clone()).unwrap().hash, blocks[number as usize].hash);
        let mut changed = value.clone();
        flip(&mut changed);
        for envelope in &mut raw.data.as_mut().unwrap().data {
            if let Some(at) = envelope.windows(value.len()).position(|window| window == value) {
                envelope[at..at + value.len()].copy_from_slice(&changed);
            }
        }
        assert!(matches!(Block::parse(raw.clone()), Err(BlockDefect::DataHash { .. })));
        raw.header.as_mut().unwrap().data_hash = block_data_hash(raw.data.as_ref().unwrap()).to_vec();
        let tampered = Block::parse(raw).unwrap();
        let found = replay(&|block| {
            if block.number == number {
                *block = tampered.clone();
            }
        });
        let defect = found.defects.iter().any(|defect| defect.contains("the signature is not by"));
        assert!(!found.complete && defect, "{slot}: {:?}", found.defects);
    }

    // A transaction that is not the creator's: its certificate is exchanged for another member's.
    let found = replay(&|block| {
        let certificates: Vec<_> = block.transactions.iter().map(|t| t.creator.clone()).collect();
        for transaction in &mut block.transactions {
            if let Some(other) = certificates.iter().find(|c| c.msp_id != transaction.creator.msp_id) {
                transaction.creator = other.clone();
            }
        }
    });
    assert!(!found.complete && !found.defects.is_empty(), "exchanged creators are not found");
}

/// A peer that lies about what in its blocks counts, or leaves out endorsements: its codes are not relied on.
async fn a_peer_that_lies_about_validity_is_found(ledger: &Ledger, finished: &Finished) {
    let (id, chaincode, msps) = (finished.id(), &ledger.network.chaincode.name, ledger.msps());
    let blocks = ledger.blocks(0).await;
    let replay = |blocks: &[Block], msps| {
        let mut replay = Replay::new(id.clone(), msps);
        blocks.iter().for_each(|block| drop(replay.fold(block, chaincode)));
        replay.finish().unwrap()
    };
    let clean = replay(&blocks, Some(&msps));
    assert!(clean.complete && clean.validated >= clean.transactions, "{:?}", clean.defects);
    // Real peers have the definition with its policy in their blocks.
    match ledger.kind {
        Kind::Fabric => assert_eq!(clean.notes, Vec::<String>::new()),
        Kind::Dev => assert!(clean.notes.iter().all(|note| note.contains("definition")), "{:?}", clean.notes),
    }
    // The channel's own configuration names the same organisations.
    assert!(replay(&blocks, None).complete);

    let slot = Slot { phase: Phase::SeedOpen, round: 0, party: 1, chunk: 0 };
    let is_it = |write: &KvWrite| match LedgerEvent::from_write(&write.key, &write.value) {
        Ok(Some(LedgerEvent::Posted(record))) => record.job == id && record.slot == slot,
        _ => false,
    };
    let place = |wanted: &dyn Fn(&TransactionInfo) -> bool| {
        let found = blocks
            .iter()
            .enumerate()
            .find_map(|(at, block)| block.transactions.iter().position(wanted).map(|index| (at, index)));
        found.unwrap()
    };
    let (at, index) = place(&|t| t.is_valid() && t.writes.iter().any(is_it));
    let forged = |change: &dyn Fn(&mut TransactionInfo)| {
        let mut forged = blocks.clone();
        change(&mut forged[at].transactions[index]);
        replay(&forged, Some(&msps))
    };
    let transaction = &blocks[at].transactions[index];
    let one_defect = |found: &Verification, says: &str| {
        let about = |defect: &&String| defect.contains(&transaction.transaction_id);
        let said = found.defects.iter().find(about).unwrap_or_else(|| panic!("{says}: {:?}", found.defects));
        assert!(said.contains(says), "{says:?} is not in {said:?}");
        assert!(!found.complete);
    };

    // Hidden: everything else is as it was, and the replay goes on with it.
    for code in [
        TxValidationCode::EndorsementPolicyFailure,
        TxValidationCode::MvccReadConflict,
        TxValidationCode::PhantomReadConflict,
        TxValidationCode::DuplicateTxid,
        TxValidationCode::BadCreatorSignature,
    ] {
        let found = forged(&|transaction| transaction.validation_code = code);
        one_defect(&found, "nothing is wrong with it");
        assert_eq!((found.records, found.indicators), (clean.records, clean.indicators), "{code:?}");
    }
    // Not endorsed by those who must.
    let by_nobody = forged(&|transaction| transaction.endorsers.clear());
    one_defect(&by_nobody, "no endorsement that counts");
    one_defect(&forged(&|transaction| transaction.endorsers.truncate(1)), "endorsement policy");
    let one_several_times = forged(&|transaction| {
        let endorser = transaction.endorsers[0].clone();
        transaction.endorsers = vec![endorser; 4];
    });
    one_defect(&one_several_times, "endorsement policy");
    assert!(one_several_times.records < clean.records, "what is not endorsed is not folded");
    // A signature that is another peer's does not count for this one.
    let exchanged = forged(&|transaction| {
        let msp_id = transaction.endorsers[1].msp_id.clone();
        transaction.endorsers.truncate(2);
        transaction.endorsers[0].msp_id = msp_id;
    });
    one_defect(&exchanged, "endorsement policy");
    // Once more in a later block, and before what it has read.
    let mut again = blocks.clone();
    again.last_mut().unwrap().transactions.push(transaction.clone());
    one_defect(&replay(&again, Some(&msps)), "of this id before it");
    let (proposal, _) = place(&|t| t.writes.iter().any(|write| write.key.contains(&id.to_string())));
    let mut early = blocks.clone();
    let moved = early[at].transactions.remove(index);
    early[proposal].transactions.push(moved);
    one_defect(&replay(&early, Some(&msps)), "in another version");
    // A definition that nobody endorsed changes no policy.
    if ledger.kind == Kind::Fabric {
        let defines =
            |t: &TransactionInfo| t.writes.iter().any(|write| write.key.ends_with("/ValidationInfo"));
        let (at, index) = place(&defines);
        let mut undefined = blocks.clone();
        undefined[at].transactions[index].endorsers.truncate(1);
        let found = replay(&undefined, Some(&msps));
        assert!(found.defects.iter().any(|defect| defect.contains("_lifecycle")), "{:?}", found.defects);
    }
}

/// A block as the peer keeps it.
async fn raw_block(ledger: &Ledger, number: u64) -> common::Block {
    let call = Call::new("GetBlockByNumber").arg(ledger.network.channel.as_str()).arg(number.to_string());
    let bytes = ledger.channel(0).contract("qscc").evaluate(call).await.unwrap();
    common::Block::decode(bytes.as_slice()).unwrap()
}

/// Changes one digit in the middle of the longest text of a record's body.
fn flip(value: &mut [u8]) {
    let body = value.windows(6).position(|window| window == b"\"body\"").unwrap();
    let texts = value[body..].split(|byte| *byte == b'"');
    let longest = texts.max_by_key(|text| text.len()).unwrap();
    let at = longest.as_ptr() as usize - value.as_ptr() as usize + longest.len() / 2;
    value[at] = if value[at] == b'1' { b'2' } else { b'1' };
}
