//! Package `lifecycle`: the calls of the system chaincode `_lifecycle`, and what it keeps in the state.

use crate::peer::CollectionConfigPackage;
use std::collections::BTreeMap;

/// How a chaincode is endorsed, a part of its definition.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeEndorsementInfo {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(bool, tag = "2")]
    pub init_required: bool,
    #[prost(string, tag = "3")]
    pub endorsement_plugin: String,
}

/// How a chaincode's transactions are validated, a part of its definition.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeValidationInfo {
    #[prost(string, tag = "1")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "2")]
    pub validation_parameter: Vec<u8>,
}

/// The type of something in the state, and the names of its fields.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StateMetadata {
    #[prost(string, tag = "1")]
    pub datatype: String,
    #[prost(string, repeated, tag = "2")]
    pub fields: Vec<String>,
}

/// The value of a field in the state.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StateData {
    #[prost(oneof = "state_data::Type", tags = "1, 2, 3")]
    pub r#type: Option<state_data::Type>,
}

/// What [`StateData`] holds.
pub mod state_data {
    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Type {
        #[prost(int64, tag = "1")]
        Int64(i64),
        #[prost(bytes, tag = "2")]
        Bytes(Vec<u8>),
        #[prost(string, tag = "3")]
        String(String),
    }
}

/// Installs a package.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct InstallChaincodeArgs {
    #[prost(bytes = "vec", tag = "1")]
    pub chaincode_install_package: Vec<u8>,
}

/// The id of the installed package.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct InstallChaincodeResult {
    #[prost(string, tag = "1")]
    pub package_id: String,
    #[prost(string, tag = "2")]
    pub label: String,
}

/// Asks for one installed package.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryInstalledChaincodeArgs {
    #[prost(string, tag = "1")]
    pub package_id: String,
}

/// An installed package, and the chaincodes that run from it by channel.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryInstalledChaincodeResult {
    #[prost(string, tag = "1")]
    pub package_id: String,
    #[prost(string, tag = "2")]
    pub label: String,
    #[prost(btree_map = "string, message", tag = "3")]
    pub references: BTreeMap<String, References>,
}

/// Chaincodes of a channel that run from a package.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct References {
    #[prost(message, repeated, tag = "1")]
    pub chaincodes: Vec<Reference>,
}

/// A chaincode by name and version.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Reference {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

/// Asks for the bytes of an installed package.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetInstalledChaincodePackageArgs {
    #[prost(string, tag = "1")]
    pub package_id: String,
}

/// The bytes of an installed package.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetInstalledChaincodePackageResult {
    #[prost(bytes = "vec", tag = "1")]
    pub chaincode_install_package: Vec<u8>,
}

/// Asks for all installed packages.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryInstalledChaincodesArgs {}

/// All installed packages.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryInstalledChaincodesResult {
    #[prost(message, repeated, tag = "1")]
    pub installed_chaincodes: Vec<QueryInstalledChaincodeResult>,
}

/// A definition for the caller's organisation, and the package that it runs.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApproveChaincodeDefinitionForMyOrgArgs {
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub version: String,
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "6")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "8")]
    pub init_required: bool,
    #[prost(message, optional, tag = "9")]
    pub source: Option<ChaincodeSource>,
}

/// Where an organisation has a chaincode from.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeSource {
    #[prost(oneof = "chaincode_source::Type", tags = "1, 2")]
    pub r#type: Option<chaincode_source::Type>,
}

/// What [`ChaincodeSource`] holds.
pub mod chaincode_source {
    /// It has none: its peers do not endorse.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct Unavailable {}

    /// A package on its peers.
    #[derive(Clone, PartialEq, ::prost::Message)]
    pub struct Local {
        #[prost(string, tag = "1")]
        pub package_id: String,
    }

    /// One of these.
    #[derive(Clone, PartialEq, ::prost::Oneof)]
    pub enum Type {
        #[prost(message, tag = "1")]
        Unavailable(Unavailable),
        #[prost(message, tag = "2")]
        LocalPackage(Local),
    }
}

/// An approval says nothing.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApproveChaincodeDefinitionForMyOrgResult {}

/// A definition for the channel; [`CommitChaincodeDefinitionArgs`] has the same form.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CheckCommitReadinessArgs {
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub version: String,
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "6")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "8")]
    pub init_required: bool,
}

/// A definition that is to hold on the channel.
pub type CommitChaincodeDefinitionArgs = CheckCommitReadinessArgs;

/// A commit says nothing.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CommitChaincodeDefinitionResult {}

/// Which organisations have approved a definition, and in which fields others differ.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct CheckCommitReadinessResult {
    #[prost(btree_map = "string, bool", tag = "1")]
    pub approvals: BTreeMap<String, bool>,
    #[prost(btree_map = "string, message", tag = "2")]
    pub mismatches: BTreeMap<String, Mismatches>,
}

/// Fields of a definition that differ.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Mismatches {
    #[prost(string, repeated, tag = "1")]
    pub items: Vec<String>,
}

/// Asks for a definition that the peer's organisation has approved; the latest when the sequence is 0.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryApprovedChaincodeDefinitionArgs {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "2")]
    pub sequence: i64,
}

/// A definition that the peer's organisation has approved.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryApprovedChaincodeDefinitionResult {
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "4")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "5")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "7")]
    pub init_required: bool,
    #[prost(message, optional, tag = "8")]
    pub source: Option<ChaincodeSource>,
}

/// Asks for all definitions that the peer's organisation has approved.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryApprovedChaincodeDefinitionsArgs {}

/// All definitions that the peer's organisation has approved.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryApprovedChaincodeDefinitionsResult {
    #[prost(message, repeated, tag = "1")]
    pub approved_chaincode_definitions: Vec<ApprovedChaincodeDefinition>,
}

/// One of several approved definitions.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApprovedChaincodeDefinition {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "2")]
    pub sequence: i64,
    #[prost(string, tag = "3")]
    pub version: String,
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "6")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "8")]
    pub init_required: bool,
    #[prost(message, optional, tag = "9")]
    pub source: Option<ChaincodeSource>,
}

/// Asks for a committed definition.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryChaincodeDefinitionArgs {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// A committed definition, and who has approved it.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryChaincodeDefinitionResult {
    #[prost(int64, tag = "1")]
    pub sequence: i64,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(string, tag = "3")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "4")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "5")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "7")]
    pub init_required: bool,
    #[prost(btree_map = "string, bool", tag = "8")]
    pub approvals: BTreeMap<String, bool>,
}

/// Asks for all committed definitions.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryChaincodeDefinitionsArgs {}

/// All committed definitions.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct QueryChaincodeDefinitionsResult {
    #[prost(message, repeated, tag = "1")]
    pub chaincode_definitions: Vec<ChaincodeDefinition>,
}

/// One of several committed definitions.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ChaincodeDefinition {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(int64, tag = "2")]
    pub sequence: i64,
    #[prost(string, tag = "3")]
    pub version: String,
    #[prost(string, tag = "4")]
    pub endorsement_plugin: String,
    #[prost(string, tag = "5")]
    pub validation_plugin: String,
    #[prost(bytes = "vec", tag = "6")]
    pub validation_parameter: Vec<u8>,
    #[prost(message, optional, tag = "7")]
    pub collections: Option<CollectionConfigPackage>,
    #[prost(bool, tag = "8")]
    pub init_required: bool,
}
