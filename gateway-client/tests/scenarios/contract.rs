//! The functions of the three chaincodes that the official scenarios call: `basic`, `private` and `errors`.

use shim::{KeyEndorsementPolicy, Response, RoleType, Server, Stub, StubError, Tls};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::{env, fs};

/// The argument with which this program is an organisation's chaincode service.
pub const SERVICE: &str = "chaincode-service";

/// One organisation's service.
struct Chaincodes {
    msp_id: String,
}

impl shim::Contract for Chaincodes {
    fn invoke(&self, stub: &Stub) -> Response {
        self.answer(stub).unwrap_or_else(Response::error)
    }
}

impl Chaincodes {
    fn answer(&self, stub: &Stub) -> Result<Response, StubError> {
        let text = |index| stub.arg_str(index);
        Ok(match stub.function()? {
            "echo" => Response::ok(text(1)?),
            "echoTransient" => {
                let texts: BTreeMap<_, _> =
                    stub.transient().iter().map(|(k, v)| (k, String::from_utf8_lossy(v))).collect();
                Response::ok(serde_json::to_vec(&texts).expect("texts are JSON"))
            }
            "put" => {
                stub.put_state(text(1)?, text(2)?)?;
                Response::ok(text(2)?)
            }
            "get" => Response::ok(stub.get_state(text(1)?)?.unwrap_or_default()),
            "errorMessage" => Response::error(text(1)?),
            "event" => {
                stub.set_event(text(1)?, text(2)?)?;
                Response::ok("")
            }

            "getPeerOrg" => Response::ok(self.msp_id.as_str()),
            "checkEndorsingOrg" if stub.transient().contains_key(&self.msp_id) => Response::ok("success"),
            "checkEndorsingOrg" => Response::error(format!(
                "endorser in this org ({}) should not have been invoked",
                self.msp_id
            )),

            "WritePrivateData" => {
                let transient = |name: &str| {
                    let value = stub.transient().get(name).cloned().unwrap_or_default();
                    String::from_utf8(value).unwrap_or_default()
                };
                for collection in transient("collection").split(',') {
                    stub.put_private_data(collection, &transient("key"), transient("value"))?;
                }
                Response::ok("")
            }
            "ReadPrivateData" => Response::ok(stub.get_private_data(text(1)?, text(2)?)?.unwrap_or_default()),
            "SetStateWithEndorser" => {
                stub.put_state(text(1)?, text(2)?)?;
                set_endorsers(stub, text(1)?, &[text(3)?])?
            }
            "SetStateEndorsers" => set_endorsers(stub, text(1)?, &[text(2)?, text(3)?])?,
            "GetState" => Response::ok(stub.get_state(text(1)?)?.unwrap_or_default()),
            "ChangeState" => {
                stub.put_state(text(1)?, text(2)?)?;
                Response::ok("")
            }

            "exists" => match stub.params().len() {
                1 => Response::ok((!stub.get_state(text(1)?)?.unwrap_or_default().is_empty()).to_string()),
                n => Response::error(format!("Expected 1 parameters, but {n} have been supplied")),
            },
            "orgsFail" => {
                let orgs: Vec<String> = serde_json::from_str(text(1)?).unwrap_or_default();
                match orgs.contains(&self.msp_id) {
                    true => Response::error(format!("{} refuses to endorse this", self.msp_id)),
                    false => Response::ok(""),
                }
            }
            "nondet" => Response::ok(self.msp_id.as_str()),
            // As a process dies: without a word to the peer.
            "crash" => std::process::exit(1),
            other => {
                Response::error(format!("You've asked to invoke a function that does not exist: {other}"))
            }
        })
    }
}

/// From now on peers of all these organisations must endorse what is written to the key.
fn set_endorsers(stub: &Stub, key: &str, msp_ids: &[&str]) -> Result<Response, StubError> {
    let mut policy = KeyEndorsementPolicy::default();
    policy.add_orgs(RoleType::Peer, msp_ids.iter().copied());
    stub.set_state_validation_parameter(key, policy.to_bytes())?;
    Ok(Response::ok(""))
}

/// The chaincode service of the organisation whose service listens at this address.
pub async fn serve() -> ExitCode {
    let variable = |name| env::var(name).expect("the launcher sets it");
    let address = variable("CHAINCODE_SERVER_ADDRESS");
    let network = launcher::Network::load(".".as_ref()).expect("the launcher wrote it");
    let org = network.orgs.iter().find(|org| org.chaincode.address == address).expect("it is one of them");
    let server =
        Server::builder(Chaincodes { msp_id: org.msp_id.clone() }).package_id(variable("CHAINCODE_ID"));
    let read = |name| fs::read(variable(name)).expect("the launcher wrote it");
    let mut tls = Tls::new(read("CHAINCODE_TLS_CERT"), read("CHAINCODE_TLS_KEY"));
    if env::var_os("CHAINCODE_CLIENT_CA_CERT").is_some() {
        tls = tls.client_ca(read("CHAINCODE_CLIENT_CA_CERT"));
    }
    let server = server.tls(tls);
    let listener = tokio::net::TcpListener::bind(address).await.expect("the port is free");
    server.serve(listener, std::future::pending()).await.expect("the service runs");
    ExitCode::SUCCESS
}
