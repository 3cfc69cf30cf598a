//! A contract for trying a network: it puts and gets keys and shows what a contract can see.
//!
//! Its package's `connection.json` names the address where this runs. With the package id in
//! `CHAINCODE_ID`, the address in `CHAINCODE_SERVER_ADDRESS` and, for TLS, files in `CHAINCODE_TLS_CERT`,
//! `CHAINCODE_TLS_KEY` and perhaps `CHAINCODE_TLS_CLIENT_CA`, run it with `cargo run --example keys`,
//! then call it: `peer chaincode invoke … -c '{"Args":["put","key","value"]}'`.

use shim::{Contract, Response, Server, Stub, StubError, Tls, composite_key};
use std::error::Error;
use tokio::net::TcpListener;

/// What each function needs stands in [`Keys::call`].
struct Keys;

impl Contract for Keys {
    fn invoke(&self, stub: &Stub) -> Response {
        Self::call(stub).unwrap_or_else(Response::error)
    }
}

impl Keys {
    fn call(stub: &Stub) -> Result<Response, StubError> {
        let text = |index| stub.arg_str(index);
        Ok(Response::ok(match stub.function()? {
            // key, value
            "put" => {
                stub.put_state(text(1)?, text(2)?)?;
                stub.set_event("put", text(1)?)?;
                Vec::new()
            }
            // key
            "get" => match stub.get_state(text(1)?)? {
                Some(value) => value,
                None => return Ok(Response::with_status(404, "no such key")),
            },
            // key
            "delete" => stub.del_state(text(1)?).map(|()| Vec::new())?,
            // prefix, count: writes the keys of a table
            "fill" => {
                for n in 0..number(stub, 2)? {
                    stub.put_state(&composite_key(text(1)?, &[format!("{n:05}")])?, n.to_string())?;
                }
                Vec::new()
            }
            // prefix: counts the keys of a table by reading them in order
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
            // prefix, count: counts the keys of a table by name
            "count by name" => {
                let keys = (0..number(stub, 2)?).map(|n| composite_key(text(1)?, &[format!("{n:05}")]));
                let values = stub.get_states(&keys.collect::<Result<Vec<_>, _>>()?)?;
                values.iter().flatten().count().to_string().into()
            }
            // start, end: the first two keys of a range
            "first two" => {
                let keys = stub.get_state_by_range(text(1)?, text(2)?)?.take(2);
                let keys: Vec<String> = keys.map(|kv| kv.map(|kv| kv.key)).collect::<Result<_, _>>()?;
                keys.join(",").into()
            }
            // key, size: writes a large value
            "put large" => stub.put_state(text(1)?, vec![b'x'; number(stub, 2)?]).map(|()| Vec::new())?,
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
            "panic" => panic!("somebody asked for it"),
            other => return Ok(Response::with_status(400, format!("no function {other:?}"))),
        }))
    }
}

/// An argument as a number.
fn number(stub: &Stub, index: usize) -> Result<usize, StubError> {
    stub.arg_str(index)?.parse().map_err(|_| StubError::Argument { index })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let mut server = Server::builder(Keys).package_id(std::env::var("CHAINCODE_ID")?);
    if let Ok(certificate) = std::env::var("CHAINCODE_TLS_CERT") {
        let key = std::env::var("CHAINCODE_TLS_KEY")?;
        let mut tls = Tls::new(std::fs::read(certificate)?, std::fs::read(key)?);
        if let Ok(ca) = std::env::var("CHAINCODE_TLS_CLIENT_CA") {
            tls = tls.client_ca(std::fs::read(ca)?);
        }
        server = server.tls(tls);
    }
    let listener = TcpListener::bind(std::env::var("CHAINCODE_SERVER_ADDRESS")?).await?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    server.serve(listener, async { terminate.recv().await.unwrap_or_default() }).await?;
    Ok(())
}
