//! This program, which starts its own other parts.

use crate::error::{CliError, CliResult};
use launcher::{ChaincodeCommand, ChaincodeDefinition, Options};
use std::path::PathBuf;

/// The path of this program.
pub fn program() -> CliResult<PathBuf> {
    std::env::current_exe()
        .map_err(|e| CliError::environment(format!("cannot find this program's own file: {e}")))
}

/// The chaincode service of the launcher: this program.
pub fn chaincode_command() -> CliResult<ChaincodeCommand> {
    Ok(experiment::chaincode_command(&program()?))
}

/// The chaincode of every network.
pub fn definition() -> CliResult<ChaincodeDefinition> {
    Ok(Options::new(".", 1, chaincode_command()?).definition)
}
