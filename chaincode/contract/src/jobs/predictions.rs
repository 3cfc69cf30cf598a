//! What predictions with a split model are bound to: the parts that their training named, and its key.

use super::read_job;
use crate::{
    ContractError, WorldState,
    call::{read, refuse},
    keys,
};
use records::{
    Body, Code, Fingerprint, Job, JobParams, Kind, Outcome, Phase, Publication, Record, Rules, Setup, Slot,
    Termination, ThresholdKey, VerticalPredict, key,
};

type Checked = Result<(), ContractError>;

fn unfit<T>(reason: impl Into<String>) -> Result<T, ContractError> {
    refuse(Code::BadInput, reason.into())
}

/// Whether a job predicts with a model that its participants have: one that stayed split when a training of theirs
/// finished, in the parts that they named then, and under the key of that training.
pub(super) fn check_proposal(
    world: &mut dyn WorldState,
    params: &JobParams,
    predict: &VerticalPredict,
) -> Checked {
    let (training, ending) = read_job(world, &predict.training)?;
    let Kind::VerticalSvm(trained) = &training.params.kind else {
        return unfit("training: that job was no training by columns");
    };
    if !matches!(ending, Some(Termination { outcome: Outcome::Finished, .. })) {
        return unfit("training: that job has not finished");
    }
    if trained.model != Publication::Split {
        return unfit("training: its model was published; nothing need be asked of the others");
    }
    if training.params.participants != params.participants {
        return unfit("training: its participants were others, or in another order");
    }
    let slots = Rules::new(&training.params).round_slots(Phase::Model, 0);
    let keys: Vec<String> = slots.iter().map(|slot| key::record(&training.id, slot)).collect();
    for ((value, digest), name) in world.get(&keys)?.iter().zip(&predict.digests).zip(&params.participants) {
        match body(value.as_deref())? {
            Body::Model(model) if model.digest == *digest => {}
            _ => return unfit(format!("digests: not that of the part of {name}")),
        }
    }
    if predict.quorum < trained.quorum {
        return unfit(format!("quorum: {} is lower than the training's {}", predict.quorum, trained.quorum));
    }
    match &predict.key {
        // Whose key was dealt shows in the set-up.
        None => match &trained.key {
            None => Ok(()),
            Some(key) => unfit(format!("key: the training's is {key}, or a refresh of it")),
        },
        Some(key) if trained.key.as_ref() == Some(key) => Ok(()),
        Some(key) => {
            let own = named_key(world, key, params)?;
            check_same_key(&own, &trained_key(world, &training)?)
        }
    }
}

/// Whether the key with which predictions begin is that of their training, or a refresh of it.
pub(super) fn check_setup(world: &mut dyn WorldState, predict: &VerticalPredict, setup: &Setup) -> Checked {
    let (training, _) = read_job(world, &predict.training)?;
    check_same_key(&setup.key, &trained_key(world, &training)?)
}

/// A refresh keeps the modulus, and nobody finds two keys of one modulus who does not refresh. What opens with fewer
/// members, or was made against fewer, would open what the training hid from as many.
fn check_same_key(own: &ThresholdKey, trained: &ThresholdKey) -> Checked {
    if own.n != trained.n {
        return unfit("key: neither the training's nor a refresh of it");
    }
    let quorums = ("quorum", own.quorum, trained.quorum);
    let bounds = ("collusion_bound", own.collusion_bound, trained.collusion_bound);
    match [quorums, bounds].into_iter().find(|(_, own, trained)| own < trained) {
        Some((field, own, trained)) => {
            unfit(format!("key: its {field} is {own}, lower than that of the training's key, {trained}"))
        }
        None => Ok(()),
    }
}

/// The key with which a training began, as its first participant has it: all had the same, or it would not have
/// finished.
fn trained_key(world: &mut dyn WorldState, training: &Job) -> Result<ThresholdKey, ContractError> {
    let slot = Slot { phase: Phase::Setup, round: 0, party: 0, chunk: 0 };
    let [setup] = read(world, [key::record(&training.id, &slot)])?;
    match body(setup.as_deref())? {
        Body::Setup(setup) => Ok(setup.key),
        _ => Err(ContractError::State("a training that began without a key".into())),
    }
}

/// The key of a fingerprint, from any job that entered it: the fingerprint makes it the same.
fn named_key(
    world: &mut dyn WorldState,
    fingerprint: &Fingerprint,
    params: &JobParams,
) -> Result<ThresholdKey, ContractError> {
    let entries = keys::entries(world, fingerprint)?;
    let Some(entry) = entries.iter().find(|entry| entry.members == params.participants) else {
        return refuse(Code::UnknownKey, format!("no key {fingerprint} of these participants"));
    };
    let (job, _) = read_job(world, &entry.job)?;
    let slots = Rules::new(&job.params).round_slots(Phase::Key, 0);
    let first = slots.first().ok_or_else(|| ContractError::State("a key that nobody posted".into()))?;
    let [record] = read(world, [key::record(&job.id, first)])?;
    match body(record.as_deref())? {
        Body::Key(key) => Ok(key),
        _ => Err(ContractError::State("a key's record without a key".into())),
    }
}

/// What a record says that a finished job has.
fn body(bytes: Option<&[u8]>) -> Result<Body, ContractError> {
    let bytes = bytes.ok_or_else(|| ContractError::State("a finished job without its records".into()))?;
    Ok(Record::from_json(bytes).map_err(ContractError::State)?.body)
}
