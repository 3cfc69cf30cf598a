//! The connection to a peer, and the way from it to a channel and a chaincode.

use crate::proposal::SignedBytes;
use crate::{
    BlockStream, Call, CallError, Checkpoint, Commit, CommitStatus, EnvelopeStore, Error, EventStream,
    Operation, Profile, Proposal, Submitter, Transaction, User,
};
use fabric_protos::common::BlockchainInfo;
use fabric_protos::prost::Message;
use fabric_protos::services::{DeliverClient, GatewayClient, MAX_MESSAGE_SIZE};
use sha2::{Digest, Sha256};
use std::{fmt, path::Path, sync::Arc, time::Duration};
use tonic::transport::{Certificate, Channel, ClientTlsConfig};

/// Time limits of the calls.
#[derive(Clone, Debug)]
pub struct Options {
    /// For one evaluation.
    pub evaluate: Duration,
    /// For all endorsements of a transaction.
    pub endorse: Duration,
    /// Until the orderers accept a transaction.
    pub submit: Duration,
    /// Until a transaction is in a block of one's own peer.
    pub commit_status: Duration,
    /// For a connection to be made.
    pub connect: Duration,
    /// Between pings on a connection without traffic. A peer drops clients that ping more often than its
    /// `peer.keepalive.minInterval`, by default 60 s.
    pub keepalive: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            evaluate: Duration::from_secs(5),
            endorse: Duration::from_secs(15),
            submit: Duration::from_secs(5),
            commit_status: Duration::from_secs(60),
            connect: Duration::from_secs(3),
            keepalive: Duration::from_secs(65),
        }
    }
}

/// Where a peer listens.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host and port.
    pub address: String,
    /// How its TLS certificate is verified; `None` for a connection without TLS.
    pub tls: Option<Tls>,
}

/// How a peer's TLS certificate is verified.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The authority's certificates, in PEM.
    pub ca_pem: Vec<u8>,
    /// The name in the peer's certificate, where it is not the host of the address.
    pub server_name: Option<String>,
}

/// A connection to one organisation's peer on behalf of one user. Clones share it.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    channel: Channel,
    address: String,
    user: User,
    creator: Vec<u8>,
    options: Options,
}

impl Gateway {
    /// A client of the peer at `endpoint`. The connection is made when it is first needed, and again
    /// whenever it has been lost, so the peer need not run yet. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Endpoint`] when the address or the certificate cannot be used.
    pub fn connect(endpoint: &Endpoint, user: User, options: Options) -> Result<Self, Error> {
        let channel = channel(endpoint, &options)
            .map_err(|reason| Error::Endpoint { address: endpoint.address.clone(), reason })?;
        let creator = user.identity.serialized();
        let shared = Shared { channel, address: endpoint.address.clone(), user, creator, options };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A client of the first peer of the organisation that a connection profile describes, as `user` or,
    /// without one, as the profile's administrator. See [`Gateway::connect`].
    ///
    /// # Errors
    /// [`Error::Profile`] for a profile that cannot be used; else as [`Gateway::connect`].
    pub fn from_profile(path: &Path, user: Option<User>, options: Options) -> Result<Self, Error> {
        let profile = Profile::load(path)?;
        let user = match user {
            Some(user) => user,
            None => profile.user()?,
        };
        Self::connect(&profile.endpoint()?, user, options)
    }

    /// A channel that the peer has joined.
    pub fn network(&self, channel: impl Into<String>) -> Network {
        Network { gateway: self.clone(), channel: channel.into() }
    }

    /// The user on whose behalf it calls.
    pub fn user(&self) -> &User {
        &self.shared.user
    }

    /// The peer's host and port.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The user as it stands in headers.
    pub(crate) fn creator(&self) -> &[u8] {
        &self.shared.creator
    }

    /// Signs the SHA-256 of `message` as the user.
    pub(crate) async fn sign(&self, message: Vec<u8>) -> Result<SignedBytes, Error> {
        let digest = Sha256::digest(&message).into();
        let signature = self.shared.user.signer.sign(&digest).await?;
        Ok(SignedBytes { message, signature })
    }

    pub(crate) fn gateway_client(&self) -> GatewayClient<Channel> {
        GatewayClient::new(self.shared.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_SIZE)
            .max_encoding_message_size(MAX_MESSAGE_SIZE)
    }

    pub(crate) fn deliver_client(&self) -> DeliverClient<Channel> {
        DeliverClient::new(self.shared.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_SIZE)
            .max_encoding_message_size(MAX_MESSAGE_SIZE)
    }

    /// Makes one call with a time limit, which the peer learns too.
    pub(crate) async fn unary<R, A>(
        &self,
        (operation, transaction_id): (Operation, &str),
        limit: Duration,
        message: R,
        call: impl AsyncFnOnce(
            GatewayClient<Channel>,
            tonic::Request<R>,
        ) -> Result<tonic::Response<A>, tonic::Status>,
    ) -> Result<A, Error> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(limit);
        match tokio::time::timeout(limit, call(self.gateway_client(), request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(CallError::from_status(operation, transaction_id, status).into()),
            Err(_) => Err(CallError::timed_out(operation, transaction_id, limit).into()),
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("address", &self.shared.address)
            .field("user", &self.shared.user)
            .finish_non_exhaustive()
    }
}

fn channel(endpoint: &Endpoint, options: &Options) -> Result<Channel, String> {
    // Windows that let a block of some megabytes through without waiting for a round trip each 64 KiB.
    const STREAM_WINDOW: u32 = 4 << 20;
    const CONNECTION_WINDOW: u32 = 16 << 20;
    // A failed call brings what every endorser said in its trailers; by default 16 KiB are allowed.
    const TRAILERS: u32 = 1 << 20;
    let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
    let mut to = Channel::from_shared(format!("{scheme}://{}", endpoint.address))
        .map_err(|e| e.to_string())?
        .connect_timeout(options.connect)
        .http2_keep_alive_interval(options.keepalive)
        .keep_alive_timeout(Duration::from_secs(20))
        .keep_alive_while_idle(true)
        .tcp_keepalive(Some(Duration::from_secs(15)))
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(TRAILERS);
    if let Some(tls) = &endpoint.tls {
        if !tls.ca_pem.windows(27).any(|w| w == b"-----BEGIN CERTIFICATE-----") {
            return Err("the authority's TLS certificate is not PEM".into());
        }
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.ca_pem));
        if let Some(name) = &tls.server_name {
            config = config.domain_name(name);
        }
        to = to.tls_config(config).map_err(|e| e.to_string())?;
    }
    Ok(to.connect_lazy())
}

/// A channel, seen from one's own peer.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) gateway: Gateway,
    pub(crate) channel: String,
}

impl Network {
    /// The channel's name.
    pub fn name(&self) -> &str {
        &self.channel
    }

    /// A chaincode that is committed on the channel.
    pub fn contract(&self, chaincode: impl Into<String>) -> Contract {
        Contract { network: self.clone(), chaincode: chaincode.into() }
    }

    /// The blocks from a checkpoint on, for ever: waits for those to come, reconnects by itself.
    pub fn blocks(&self, from: Checkpoint) -> BlockStream {
        BlockStream::open(self.clone(), from, false)
    }

    /// The blocks from a checkpoint to the newest at the time of the call, then the end.
    pub fn past_blocks(&self, from: Checkpoint) -> BlockStream {
        BlockStream::open(self.clone(), from, true)
    }

    /// The events of a chaincode from a checkpoint on, for ever. Nodes follow blocks; this is for clients
    /// that need no more than the events.
    pub fn chaincode_events(&self, chaincode: &str, from: Checkpoint) -> EventStream {
        EventStream::open(self.clone(), chaincode.to_owned(), from)
    }

    /// A transaction that was submitted earlier, perhaps by a process that is gone.
    pub fn commit(&self, transaction_id: impl Into<String>) -> Commit {
        Commit::new(self.clone(), transaction_id.into())
    }

    /// A signed transaction from the bytes that [`Transaction::to_bytes`] made.
    ///
    /// # Errors
    /// [`Error::Answer`] when they are not a signed transaction of this channel.
    pub fn transaction(&self, bytes: &[u8]) -> Result<Transaction, Error> {
        Transaction::from_bytes(self.clone(), bytes)
    }

    /// The number of blocks in the chain of one's own peer.
    ///
    /// # Errors
    /// As [`Contract::evaluate`], of the system chaincode `qscc`.
    pub async fn height(&self) -> Result<u64, Error> {
        let call = Call::new("GetChainInfo").arg(self.channel.as_str());
        let answer = self.contract("qscc").evaluate(call).await?;
        let info = BlockchainInfo::decode(answer.as_slice()).map_err(|e| Error::Answer {
            operation: Operation::Evaluate,
            transaction_id: String::new(),
            reason: e.to_string(),
        })?;
        Ok(info.height)
    }
}

/// A chaincode on a channel.
#[derive(Clone, Debug)]
pub struct Contract {
    pub(crate) network: Network,
    pub(crate) chaincode: String,
}

impl Contract {
    /// The chaincode's name.
    pub fn name(&self) -> &str {
        &self.chaincode
    }

    /// A signed proposal of a call.
    ///
    /// # Errors
    /// [`Error::Signer`].
    pub async fn propose(&self, call: Call) -> Result<Proposal, Error> {
        Proposal::new(self.clone(), call).await
    }

    /// Asks one peer, usually one's own, for the result of a call. Nothing is written.
    ///
    /// # Errors
    /// [`Error::Call`] with the contract's refusal or the peer's trouble; [`Error::Signer`].
    pub async fn evaluate(&self, call: Call) -> Result<Vec<u8>, Error> {
        self.propose(call).await?.evaluate().await
    }

    /// Endorses, submits and waits for the verdict, once. [`Contract::submitter`] tries again.
    ///
    /// # Errors
    /// [`Error::Call`] of the step that failed, [`Error::Invalid`] when the transaction did not pass
    /// validation.
    pub async fn submit(&self, call: Call) -> Result<(Vec<u8>, CommitStatus), Error> {
        let transaction = self.propose(call).await?.endorse().await?;
        let status = transaction.submit().await?.status().await?.into_valid()?;
        Ok((transaction.into_result(), status))
    }

    /// Submits with the retry rules; signed envelopes are kept in `store` before they are submitted.
    pub fn submitter(&self, store: Arc<dyn EnvelopeStore>) -> Submitter {
        Submitter::new(self.clone(), store)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::tests::user;

    #[tokio::test]
    async fn refuses_unusable_endpoints() {
        let connect = |address: &str, tls| {
            Gateway::connect(&Endpoint { address: address.into(), tls }, user("A"), Options::default())
        };
        assert!(connect("localhost:7051", None).is_ok(), "nothing listens, nothing is asked yet");
        let error = connect("local host", None).unwrap_err().to_string();
        assert!(error.contains("local host"), "{error}");
        let tls = Tls { ca_pem: b"not PEM".to_vec(), server_name: None };
        let error = connect("localhost:7051", Some(tls)).unwrap_err().to_string();
        assert!(error.contains("not PEM"), "{error}");
    }

    #[tokio::test]
    async fn names_the_peer_that_does_not_run() {
        // The port was free a moment ago, so nothing listens there.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let endpoint = Endpoint { address: format!("127.0.0.1:{port}"), tls: None };
        let gateway = Gateway::connect(&endpoint, user("A"), Options::default()).unwrap();
        let error = gateway.network("c").contract("cc").evaluate(Call::new("f")).await.unwrap_err();
        assert_eq!(error.call().unwrap().failure(), crate::Failure::Unavailable, "{error:?}");
    }
}
