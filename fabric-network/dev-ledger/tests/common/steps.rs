//! Several calls in one transaction: one an argument, a word of which is separated from the next by a blank.

use super::policy;
use shim::{Stub, StubError};

/// Takes every step, and answers what each found.
pub fn take(stub: &Stub) -> Result<Vec<u8>, StubError> {
    let mut found = Vec::new();
    for index in 1..=stub.params().len() {
        found.push(step(stub, stub.arg_str(index)?)?);
    }
    Ok(found.join(&b"\n"[..]))
}

fn step(stub: &Stub, step: &str) -> Result<Vec<u8>, StubError> {
    let words: Vec<&str> = step.split(' ').collect();
    let members = |ids: &[&str]| policy(&ids.iter().map(|id| id.as_bytes().to_vec()).collect::<Vec<_>>());
    match words.as_slice() {
        ["get", key] => return Ok(stub.get_state(key)?.unwrap_or(b"nothing".to_vec())),
        ["put", key, value] => stub.put_state(key, *value)?,
        ["delete", key] => stub.del_state(key)?,
        // Up to `count` keys from `start` on, and no further.
        ["range", start, end, count] => {
            let entries = stub.get_state_by_range(start, end)?.take(count.parse().unwrap());
            let entries: Result<Vec<_>, _> = entries
                .map(|entry| entry.map(|entry| [entry.key.as_bytes(), &entry.value].concat()))
                .collect();
            return Ok(entries?.join(&b","[..]));
        }
        ["event", name, payload] => stub.set_event(name, *payload)?,
        ["policy", key, ids @ ..] => stub.set_state_validation_parameter(key, members(ids))?,
        ["policy-of", key] => return Ok(hex(&stub.get_state_validation_parameter(key)?.unwrap_or_default())),
        ["hash", collection, key] => {
            return Ok(hex(&stub.get_private_data_hash(collection, key)?.unwrap_or_default()));
        }
        ["put-private", collection, key, value] => stub.put_private_data(collection, key, *value)?,
        ["delete-private", collection, key] => stub.del_private_data(collection, key)?,
        ["purge-private", collection, key] => stub.purge_private_data(collection, key)?,
        ["private-policy", collection, key, ids @ ..] => {
            stub.set_private_data_validation_parameter(collection, key, members(ids))?;
        }
        ["private-policy-of", collection, key] => {
            return Ok(hex(&stub
                .get_private_data_validation_parameter(collection, key)?
                .unwrap_or_default()));
        }
        other => panic!("no step {other:?}"),
    }
    Ok(Vec::new())
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes()
}
