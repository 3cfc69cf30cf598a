//! Package `google.rpc`: the status that gRPC carries in `grpc-status-details-bin`.

/// A gRPC status with details of any type.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Status {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<::prost_types::Any>,
}
