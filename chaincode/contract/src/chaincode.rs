use crate::{Caller, ContractError, StatePage, WorldState, invoke};
use records::{Code, MAX_TIME_OFFSET, NoMspId, Refusal};
use shim::{ClientIdentity, Contract, Response, Stub, StubError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The job contract as chaincode.
pub struct JobContract;

impl Contract for JobContract {
    fn invoke(&self, stub: &Stub) -> Response {
        match answer(stub) {
            Ok(payload) => Response::ok(payload),
            Err(failure) => Response::error(failure),
        }
    }
}

fn answer(stub: &Stub) -> Result<Vec<u8>, ContractError> {
    let bad_input = |e: StubError| Refusal::new(Code::BadInput, e.to_string());
    let function = stub.function().map_err(bad_input)?;
    let creator = stub.creator().map_err(bad_input)?;
    let msp_id =
        creator.msp_id().parse().map_err(|e: NoMspId| Refusal::new(Code::BadInput, e.to_string()))?;
    let caller = Caller { msp_id, key_hash: creator.public_key_hash().into() };
    let now = u64::try_from(stub.timestamp().seconds).unwrap_or(0);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    if now.abs_diff(clock) > MAX_TIME_OFFSET {
        let detail = format!("the transaction's timestamp is {} s off the peer's clock", now.abs_diff(clock));
        return Err(Refusal::new(Code::WrongTime, detail).into());
    }
    invoke(&mut StubState { stub, creator: &creator, now }, &caller, function, stub.params())
}

/// The world state behind a stub.
struct StubState<'a> {
    stub: &'a Stub,
    creator: &'a ClientIdentity,
    now: u64,
}

fn state(e: StubError) -> ContractError {
    ContractError::State(e.to_string())
}

impl WorldState for StubState<'_> {
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, ContractError> {
        self.stub.get_states(keys).map_err(state)
    }

    fn list(&mut self, kind: &str, attributes: &[&str], most: usize) -> Result<Vec<Vec<u8>>, ContractError> {
        let entries = self.stub.get_state_by_partial_composite_key(kind, attributes).map_err(state)?;
        entries.take(most).map(|entry| entry.map(|kv| kv.value).map_err(state)).collect()
    }

    fn page(
        &mut self,
        kind: &str,
        attributes: &[&str],
        size: u32,
        bookmark: &str,
    ) -> Result<StatePage, ContractError> {
        let page =
            self.stub.get_state_by_partial_composite_key_with_pagination(kind, attributes, size, bookmark);
        let page = page.map_err(state)?;
        let values = page.results.into_iter().map(|kv| kv.value).collect();
        Ok(StatePage { values, bookmark: page.bookmark })
    }

    fn timestamp(&self) -> u64 {
        self.now
    }

    fn transaction_id(&self) -> &str {
        self.stub.tx_id()
    }

    fn attribute(&self, name: &str) -> Option<String> {
        self.creator.attribute(name).map(str::to_owned)
    }

    fn transient(&self, name: &str) -> Option<&[u8]> {
        self.stub.transient().get(name).map(Vec::as_slice)
    }

    fn get_private(
        &mut self,
        collection: &str,
        keys: &[String],
    ) -> Result<Vec<Option<Vec<u8>>>, ContractError> {
        self.stub.get_multiple_private_data(collection, keys).map_err(state)
    }

    fn put_private(&mut self, collection: &str, key: &str, value: Vec<u8>) -> Result<(), ContractError> {
        self.stub.put_private_data(collection, key, value).map_err(state)
    }

    fn delete(&mut self, key: &str) -> Result<(), ContractError> {
        self.stub.del_state(key).map_err(state)
    }

    fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), ContractError> {
        self.stub.put_state(key, value).map_err(state)
    }

    fn event(&mut self, name: &str, payload: Vec<u8>) -> Result<(), ContractError> {
        self.stub.set_event(name, payload).map_err(state)
    }
}
