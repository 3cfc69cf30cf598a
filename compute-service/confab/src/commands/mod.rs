//! One command a file: arguments, then what it does.

pub mod accept;
pub mod audit;
pub mod bench;
pub mod chaincode;
pub mod crypto;
pub mod evaluate;
pub mod inspect;
pub mod instances;
pub mod job;
pub mod join;
pub mod key;
pub mod ledger;
pub mod model;
pub mod network;
pub mod node;
pub mod nodes;
pub mod org;
pub mod predict;
pub mod protect;
pub mod rows;
pub mod split;
pub mod train;
pub mod training;
pub mod verify;
pub mod watch;

/// How a command ends; the error is shown to a person.
pub type Done<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The path of this program, to start its other parts.
pub fn program() -> Done<std::path::PathBuf> {
    std::env::current_exe().map_err(|e| format!("cannot find this program's own file: {e}").into())
}

/// The chaincode service of the launcher: this program.
pub fn chaincode_command() -> Done<launcher::ChaincodeCommand> {
    Ok(launcher::ChaincodeCommand { program: program()?, args: vec!["chaincode".into()] })
}
