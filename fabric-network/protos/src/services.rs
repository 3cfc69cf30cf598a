//! The gRPC services: per service a trait for the server's side, a server around it, and a client.
//!
//! Messages above tonic's default of 4 MiB need `max_decoding_message_size` on the receiving side;
//! Fabric's peers themselves allow [`MAX_MESSAGE_SIZE`].

use crate::{common, discovery, gateway, orderer, peer};

/// The largest message that Fabric's peers, orderers and chaincodes send and accept, in bytes.
pub const MAX_MESSAGE_SIZE: usize = 100 * 1024 * 1024;

service! {
    /// What a peer does for client applications.
    "gateway.Gateway": Gateway, GatewayClient, GatewayServer {
        /// Collects endorsements and answers the transaction to sign.
        unary endorse = "Endorse" (gateway::EndorseRequest) -> gateway::EndorseResponse;
        /// Hands a signed transaction to the orderers.
        unary submit = "Submit" (gateway::SubmitRequest) -> gateway::SubmitResponse;
        /// Waits until the transaction is in a block and tells how it was validated.
        unary commit_status = "CommitStatus" (gateway::SignedCommitStatusRequest) -> gateway::CommitStatusResponse;
        /// Runs a proposal on one peer; nothing is written.
        unary evaluate = "Evaluate" (gateway::EvaluateRequest) -> gateway::EvaluateResponse;
        /// Streams the events of a chaincode.
        server_streaming chaincode_events = "ChaincodeEvents"
            (gateway::SignedChaincodeEventsRequest) -> gateway::ChaincodeEventsResponse;
    }
}

service! {
    /// A peer's stream of blocks; the request is a signed envelope with a [`orderer::SeekInfo`].
    "protos.Deliver": Deliver, DeliverClient, DeliverServer {
        /// Whole blocks.
        bidirectional deliver = "Deliver" (common::Envelope) -> peer::DeliverResponse;
        /// Transaction ids, verdicts and event names only.
        bidirectional deliver_filtered = "DeliverFiltered" (common::Envelope) -> peer::DeliverResponse;
        /// Whole blocks, and the private data that the client may see.
        bidirectional deliver_with_private_data = "DeliverWithPrivateData" (common::Envelope) -> peer::DeliverResponse;
    }
}

service! {
    /// A chaincode that runs as a service: the peer is the client.
    "protos.Chaincode": Chaincode, ChaincodeClient, ChaincodeServer {
        /// The chaincode stream. The chaincode speaks first, with REGISTER.
        bidirectional connect = "Connect" (peer::ChaincodeMessage) -> peer::ChaincodeMessage;
    }
}

service! {
    /// A peer's endorsement of a proposal.
    "protos.Endorser": Endorser, EndorserClient, EndorserServer {
        /// Simulates and endorses.
        unary process_proposal = "ProcessProposal" (peer::SignedProposal) -> peer::ProposalResponse;
    }
}

service! {
    /// An orderer's own service.
    "orderer.AtomicBroadcast": AtomicBroadcast, AtomicBroadcastClient, AtomicBroadcastServer {
        /// Takes transactions, one answer each.
        bidirectional broadcast = "Broadcast" (common::Envelope) -> orderer::BroadcastResponse;
        /// Streams blocks.
        bidirectional deliver = "Deliver" (common::Envelope) -> orderer::DeliverResponse;
    }
}

service! {
    /// What a peer knows of channels, their peers and endorsers.
    "discovery.Discovery": Discovery, DiscoveryClient, DiscoveryServer {
        /// Answers the questions of a signed request.
        unary discover = "Discover" (discovery::SignedRequest) -> discovery::Response;
    }
}
