use crate::{Caller, Failure, StatePage, WorldState, invoke};
use records::{Code, MAX_TIME_OFFSET, Refusal};
use shim::{Contract, Response, Stub, StubError};
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

fn answer(stub: &Stub) -> Result<Vec<u8>, Failure> {
    let bad_input = |e: StubError| Refusal::new(Code::BadInput, e.to_string());
    let function = stub.function().map_err(bad_input)?;
    let creator = stub.creator().map_err(bad_input)?;
    let caller = Caller { msp_id: creator.msp_id().into(), key_hash: hex::encode(creator.public_key_hash()) };
    let now = u64::try_from(stub.timestamp().seconds).unwrap_or(0);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    if now.abs_diff(clock) > MAX_TIME_OFFSET {
        let detail = format!("the transaction's timestamp is {} s off the peer's clock", now.abs_diff(clock));
        return Err(Refusal::new(Code::WrongTime, detail).into());
    }
    invoke(&mut StubState(stub), &caller, now, function, stub.params())
}

/// The world state behind a stub.
struct StubState<'a>(&'a Stub);

fn state(e: StubError) -> Failure {
    Failure::State(e.to_string())
}

impl WorldState for StubState<'_> {
    fn get(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        self.0.get_states(keys).map_err(state)
    }

    fn list(&mut self, kind: &str, attributes: &[&str], most: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let entries = self.0.get_state_by_partial_composite_key(kind, attributes).map_err(state)?;
        entries.take(most).map(|entry| entry.map(|kv| kv.value).map_err(state)).collect()
    }

    fn page(
        &mut self,
        kind: &str,
        attributes: &[&str],
        size: u32,
        bookmark: &str,
    ) -> Result<StatePage, Failure> {
        let page =
            self.0.get_state_by_partial_composite_key_with_pagination(kind, attributes, size, bookmark);
        let page = page.map_err(state)?;
        let values = page.results.into_iter().map(|kv| kv.value).collect();
        Ok(StatePage { values, bookmark: page.bookmark })
    }

    fn put(&mut self, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        self.0.put_state(key, value).map_err(state)
    }

    fn event(&mut self, name: &str, payload: Vec<u8>) -> Result<(), Failure> {
        self.0.set_event(name, payload).map_err(state)
    }
}
