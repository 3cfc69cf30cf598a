//! A contract for trying a network: it does with keys whatever a contract can do, and shows what it sees.
//!
//! Its package's `connection.json` names the address where this runs. With the package id in
//! `CHAINCODE_ID`, the address in `CHAINCODE_SERVER_ADDRESS` and, for TLS, files in `CHAINCODE_TLS_CERT`,
//! `CHAINCODE_TLS_KEY` and perhaps `CHAINCODE_CLIENT_CA_CERT`, run it with `cargo run --example keys`,
//! then call it: `peer chaincode invoke … -c '{"Args":["put","key","value"]}'`.

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use shim::{
    Contract, Environment, KeyEndorsementPolicy, KeyModification, KeyValue, Page, Response, RoleType, Server,
    Stub, StubError, composite_key, listen, split_composite_key,
};
use std::error::Error;

/// What each function needs stands before it. Values are text; lists and tables are answered as JSON.
struct Keys;

impl Contract for Keys {
    fn invoke(&self, stub: &Stub) -> Response {
        Self::call(stub).unwrap_or_else(Response::error)
    }
}

impl Keys {
    fn call(stub: &Stub) -> Result<Response, StubError> {
        let text = |index| stub.arg_str(index);
        let function = stub.function()?;
        let done = |()| Vec::new();
        let found = |value: Option<Vec<u8>>| match value {
            Some(value) => Response::ok(value),
            None => Response::with_status(404, "no such key"),
        };
        Ok(Response::ok(match function {
            // key, value: also sets the event of that name, with the key
            "put" => {
                stub.put_state(text(1)?, text(2)?)?;
                stub.set_event("put", text(1)?)?;
                Vec::new()
            }
            // key, value: reads first, so that of two at once one is invalid
            "append" => {
                let before = stub.get_state(text(1)?)?.unwrap_or_default();
                stub.put_state(text(1)?, [before.as_slice(), text(2)?.as_bytes()].concat())?;
                before
            }
            // key
            "get" => return Ok(found(stub.get_state(text(1)?)?)),
            // keys…
            "get many" => list(stub.get_states(&rest(stub, 1)?)?),
            // key
            "delete" => stub.del_state(text(1)?).map(done)?,
            // key: its changes, the newest first
            "history" => {
                let changes: Result<Vec<_>, _> =
                    stub.get_history_for_key(text(1)?)?.map(|change| change.map(show_change)).collect();
                json(changes?.into())
            }
            // start, end
            "range" => keys(stub.get_state_by_range(text(1)?, text(2)?)?)?,
            // start, end: the first two keys of a range
            "first two" => keys(stub.get_state_by_range(text(1)?, text(2)?)?.take(2))?,
            // start, end, size, bookmark
            "page" => {
                let (start, end, size) = (text(1)?, text(2)?, number(stub, 3)?);
                page(stub.get_state_by_range_with_pagination(start, end, size as u32, text(4)?)?)
            }
            // table, count: writes the keys of a table
            "fill" => {
                for n in 0..number(stub, 2)? {
                    stub.put_state(&composite_key(text(1)?, &[format!("{n:05}")])?, n.to_string())?;
                }
                Vec::new()
            }
            // table, attributes…: its keys that begin so
            "table" => keys(stub.get_state_by_partial_composite_key(text(1)?, &rest(stub, 2)?)?)?,
            // table, size, bookmark
            "table page" => page(stub.get_state_by_partial_composite_key_with_pagination::<&str>(
                text(1)?,
                &[],
                number(stub, 2)? as u32,
                text(3)?,
            )?),
            // table: counts its keys by reading them in order
            "count" => {
                let mut count = 0;
                for entry in stub.get_state_by_partial_composite_key::<&str>(text(1)?, &[])? {
                    if entry?.value != count.to_string().as_bytes() {
                        return Ok(Response::error(format!("key {count} is lost")));
                    }
                    count += 1;
                }
                count.to_string().into()
            }
            // table, count: counts its keys by name
            "count by name" => {
                let keys = (0..number(stub, 2)?).map(|n| composite_key(text(1)?, &[format!("{n:05}")]));
                let values = stub.get_states(&keys.collect::<Result<Vec<_>, _>>()?)?;
                values.iter().flatten().count().to_string().into()
            }
            // key, size: writes a large value
            "put large" => stub.put_state(text(1)?, vec![b'x'; number(stub, 2)?]).map(done)?,
            // key, organisations…: all of them must endorse what is written to it; without any, as the chaincode says
            "set policy" => {
                stub.set_state_validation_parameter(text(1)?, policy(&rest(stub, 2)?)).map(done)?
            }
            // key: whose endorsements it needs
            "get policy" => organisations(stub.get_state_validation_parameter(text(1)?)?)?,
            // collection, key; the value is the transient "value"
            "put private" => {
                let value = stub.transient().get("value").cloned().unwrap_or_default();
                stub.put_private_data(text(1)?, text(2)?, value).map(done)?
            }
            // collection, key
            "get private" => return Ok(found(stub.get_private_data(text(1)?, text(2)?)?)),
            // collection, keys…
            "get many private" => list(stub.get_multiple_private_data(text(1)?, &rest(stub, 2)?)?),
            // collection, key: in Base64
            "hash private" => match stub.get_private_data_hash(text(1)?, text(2)?)? {
                Some(hash) => BASE64_STANDARD.encode(hash).into(),
                None => return Ok(found(None)),
            },
            // collection, key
            "delete private" => stub.del_private_data(text(1)?, text(2)?).map(done)?,
            // collection, key
            "purge private" => stub.purge_private_data(text(1)?, text(2)?).map(done)?,
            // collection, start, end
            "range private" => keys(stub.get_private_data_by_range(text(1)?, text(2)?, text(3)?)?)?,
            // collection, table, count: writes the keys of a table
            "fill private" => {
                for n in 0..number(stub, 3)? {
                    let key = composite_key(text(2)?, &[format!("{n:05}")])?;
                    stub.put_private_data(text(1)?, &key, n.to_string())?;
                }
                Vec::new()
            }
            // collection, table, attributes…
            "table private" => {
                let attributes = rest(stub, 3)?;
                keys(stub.get_private_data_by_partial_composite_key(text(1)?, text(2)?, &attributes)?)?
            }
            // collection, key, organisations…
            "set private policy" => {
                let policy = policy(&rest(stub, 3)?);
                stub.set_private_data_validation_parameter(text(1)?, text(2)?, policy).map(done)?
            }
            // collection, key
            "get private policy" => {
                organisations(stub.get_private_data_validation_parameter(text(1)?, text(2)?)?)?
            }
            // chaincode, channel or nothing, arguments…: what it answers
            "call" => {
                let channel = Some(text(2)?).filter(|channel| !channel.is_empty());
                return stub.invoke_chaincode(text(1)?, &rest(stub, 3)?, channel);
            }
            "who" => {
                let caller = stub.creator()?;
                let secret = stub.transient().get("secret").map_or(0, Vec::len);
                format!(
                    "{} of {} with {secret} secret bytes at {}",
                    caller.id(),
                    caller.msp_id(),
                    stub.timestamp().millis()
                )
                .into()
            }
            // status, message
            "fail" => return Ok(Response::with_status(number(stub, 1)? as i32, text(2)?)),
            "panic" => panic!("somebody asked for it"),
            other => return Ok(Response::with_status(400, format!("no function {other:?}"))),
        }))
    }
}

/// An argument as a number.
fn number(stub: &Stub, index: usize) -> Result<usize, StubError> {
    stub.arg_str(index)?.parse().map_err(|_| StubError::Argument { index })
}

/// The arguments from here on.
fn rest(stub: &Stub, from: usize) -> Result<Vec<&str>, StubError> {
    (from..stub.args().len()).map(|index| stub.arg_str(index)).collect()
}

fn json(value: Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn show(value: &[u8]) -> Value {
    String::from_utf8_lossy(value).into()
}

/// Values in their order, null for each that is not there.
fn list(values: Vec<Option<Vec<u8>>>) -> Vec<u8> {
    json(values.iter().map(|value| value.as_deref().map_or(Value::Null, show)).collect())
}

/// Keys in their order; a composite one by its parts, joined with `/`.
fn keys(entries: impl Iterator<Item = Result<KeyValue, StubError>>) -> Result<Vec<u8>, StubError> {
    let keys: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| show_key(&entry.key))).collect();
    Ok(json(keys?.into()))
}

fn show_key(key: &str) -> String {
    match split_composite_key(key) {
        Ok((object_type, attributes)) => [&[object_type], attributes.as_slice()].concat().join("/"),
        Err(_) => key.to_owned(),
    }
}

fn page(page: Page) -> Vec<u8> {
    let keys: Vec<_> = page.results.iter().map(|entry| show_key(&entry.key)).collect();
    json(json!({ "keys": keys, "count": page.fetched_records_count, "bookmark": page.bookmark }))
}

fn show_change(change: KeyModification) -> Value {
    let value = change.value.map(|value| show(&value));
    json!({ "tx": change.tx_id, "value": value, "millis": change.timestamp.millis() })
}

/// A policy that wants a peer of each organisation; nothing for none.
fn policy(organisations: &[&str]) -> Vec<u8> {
    if organisations.is_empty() {
        return Vec::new();
    }
    let mut policy = KeyEndorsementPolicy::default();
    policy.add_orgs(RoleType::Peer, organisations.iter().copied());
    policy.to_bytes()
}

fn organisations(policy: Option<Vec<u8>>) -> Result<Vec<u8>, StubError> {
    let Some(policy) = policy else { return Ok(json(Value::Null)) };
    let policy = KeyEndorsementPolicy::parse(&policy)?;
    Ok(json(policy.orgs().collect()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let settings = Environment::read();
    let mut server = Server::builder(Keys).package_id(settings.package_id.clone().unwrap_or_default());
    if let Some(tls) = settings.tls()? {
        server = server.tls(tls);
    }
    let listener = listen(&settings.address.ok_or("CHAINCODE_SERVER_ADDRESS is not set")?).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    server.serve(listener, async { terminate.recv().await.unwrap_or_default() }).await?;
    Ok(())
}
