//! The connection to the peers, on behalf of one user.

use crate::peers::Peers;
use crate::validity::{self, Role, Standing, Validity};
use crate::{
    CallError, ChannelConfig, ClientTls, Endpoint, Error, Failure, Network, NoRefusals, Operation, Profile,
    RefusalRules, User,
};
use fabric_protos::services::{DeliverClient, GatewayClient, MAX_MESSAGE_SIZE};
use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;

/// The gateway service of one peer.
pub(crate) type Client = GatewayClient<Channel>;

/// How a client connects, and time limits of the calls.
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
    /// The client's certificate, for peers that want one.
    pub client_tls: Option<ClientTls>,
    /// How the refusals of the contracts that are called are read.
    pub refusals: Arc<dyn RefusalRules>,
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
            client_tls: None,
            refusals: Arc::new(NoRefusals),
        }
    }
}

impl Options {
    /// Time limits within which a gateway that waits so long for another peer's endorsement gets to ask a second one,
    /// and to say what went wrong.
    fn longer_than(self, endorsement: Duration) -> Self {
        const MARGIN: Duration = Duration::from_secs(2);
        Self {
            evaluate: self.evaluate.max(endorsement + MARGIN),
            endorse: self.endorse.max(2 * endorsement + MARGIN),
            ..self
        }
    }
}

/// A connection to peers on behalf of one user. Clones share it.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

struct Shared {
    peers: Peers,
    user: User,
    creator: Vec<u8>,
    options: Options,
    /// The configuration of each channel that was asked for.
    configs: Mutex<HashMap<String, Arc<ChannelConfig>>>,
}

impl Gateway {
    /// A client of the peer at `endpoint`. The connection is made when it is first needed, and again
    /// whenever it has been lost, so the peer need not run yet. Call it within a Tokio runtime.
    ///
    /// # Errors
    /// [`Error::Endpoint`] when the address or the authority's certificate cannot be used; [`Error::Validity`] when the
    /// user's certificate, or the client's for TLS, has expired or is not valid yet.
    pub fn connect(endpoint: &Endpoint, user: User, options: Options) -> Result<Self, Error> {
        Self::connect_any(std::slice::from_ref(endpoint), user, options)
    }

    /// A client of one of several peers, such as all those of one's organisation: the first, and the next one
    /// whenever the one before cannot be reached or does not answer in time. A call that found no peer is made
    /// again at the next at once, one that was not answered is not; streams go on at the next.
    ///
    /// # Errors
    /// [`Error::Endpoint`] when there is none; else as [`Gateway::connect`].
    pub fn connect_any(endpoints: &[Endpoint], user: User, options: Options) -> Result<Self, Error> {
        let own = [Some(user.identity.validity()), options.client_tls.as_ref().map(ClientTls::validity)];
        let now = SystemTime::now();
        for certificate in own.into_iter().flatten() {
            if matches!(certificate.standing(now), Standing::Expired | Standing::NotYet) {
                return Err(Error::Validity(certificate.notice(now).unwrap_or_default()));
            }
        }
        let peers = Peers::new(endpoints, &options)?;
        let creator = user.identity.serialized();
        let configs = Mutex::default();
        let gateway = Self { shared: Arc::new(Shared { peers, user, creator, options, configs }) };
        gateway.warn_of_ends();
        Ok(gateway)
    }

    /// A client of the peers of the organisation that a connection profile describes, as `user` or,
    /// without one, as the profile's administrator; with the profile's TLS certificate where the options have
    /// none, and with time limits that suit its peers. See [`Gateway::connect_any`].
    ///
    /// # Errors
    /// [`Error::Profile`] for a profile that cannot be used; else as [`Gateway::connect_any`].
    pub fn from_profile(path: &Path, user: Option<User>, mut options: Options) -> Result<Self, Error> {
        let mut profile = Profile::load(path)?;
        let user = match user {
            Some(user) => {
                profile = profile.with_msp_id(user.identity.msp_id());
                user
            }
            None => profile.user()?,
        };
        if options.client_tls.is_none() {
            options.client_tls = profile.client_tls()?;
        }
        if let Some(timeout) = profile.endorsement_timeout() {
            options = options.longer_than(timeout);
        }
        Self::connect_any(&profile.endpoints()?, user, options)
    }

    /// A channel that the peers have joined.
    pub fn network(&self, channel: impl Into<String>) -> Network {
        Network { gateway: self.clone(), channel: channel.into() }
    }

    pub(crate) fn known_config(&self, channel: &str) -> Option<Arc<ChannelConfig>> {
        self.shared.configs.lock().unwrap_or_else(PoisonError::into_inner).get(channel).cloned()
    }

    pub(crate) fn keep_config(&self, channel: &str, config: Arc<ChannelConfig>) {
        let mut configs = self.shared.configs.lock().unwrap_or_else(PoisonError::into_inner);
        configs.insert(channel.to_owned(), config);
        drop(configs);
        self.warn_of_ends();
    }

    /// The certificates on which this client depends, as far as it has seen them: the user's, the client's for TLS, those
    /// of the peers and of the authorities.
    pub fn certificates(&self) -> Vec<Validity> {
        let shared = &self.shared;
        let own = [
            Some(shared.user.identity.validity()),
            shared.options.client_tls.as_ref().map(ClientTls::validity),
        ];
        let mut all: Vec<Validity> = own.into_iter().flatten().cloned().collect();
        all.extend(shared.peers.certificates());
        let configs = shared.configs.lock().unwrap_or_else(PoisonError::into_inner);
        let msp_id = shared.user.identity.msp_id();
        for member in configs.values().filter_map(|config| config.member(msp_id)) {
            all.extend(member.authorities.iter().map(|authority| Validity::new(Role::Authority, authority)));
        }
        all
    }

    /// Logs which of the certificates expire within thirty days or have expired, each at most once a day. It happens by
    /// itself whenever one is first seen; who goes on for longer calls it every day.
    pub fn warn_of_ends(&self) {
        validity::warn(&self.certificates());
    }

    /// The user on whose behalf it calls.
    pub fn user(&self) -> &User {
        &self.shared.user
    }

    /// Host and port of the peer that is called at present.
    pub fn address(&self) -> &str {
        &self.shared.peers.current().1.address
    }

    pub(crate) fn options(&self) -> &Options {
        &self.shared.options
    }

    /// The user as it stands in headers.
    pub(crate) fn creator(&self) -> &[u8] {
        &self.shared.creator
    }

    /// What binds a request to the connection where TLS is mutual; else empty.
    pub(crate) fn tls_certificate_hash(&self) -> &[u8] {
        self.shared.options.client_tls.as_ref().map_or(&[], |tls| tls.hash())
    }

    /// The gateway service of the peer with this index.
    pub(crate) fn gateway_client(&self) -> (usize, Client) {
        let (index, peer) = self.shared.peers.current();
        let client = GatewayClient::new(peer.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_SIZE)
            .max_encoding_message_size(MAX_MESSAGE_SIZE);
        (index, client)
    }

    /// The deliver service of the peer with this index.
    pub(crate) fn deliver_client(&self) -> (usize, DeliverClient<Channel>) {
        let (index, peer) = self.shared.peers.current();
        let client = DeliverClient::new(peer.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE_SIZE)
            .max_encoding_message_size(MAX_MESSAGE_SIZE);
        (index, client)
    }

    /// Says in an error why the connection to the peer with this index failed, where that is known.
    pub(crate) fn explain(&self, error: &mut CallError, index: usize) {
        if error.connection {
            error.fault = self.shared.peers.fault(index);
        }
    }

    /// Whether none of the peers can be connected to, however often it is tried.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.shared.peers.are_hopeless()
    }

    /// Turns to another peer than the one with this index, where there is one.
    pub(crate) fn leave(&self, index: usize) {
        self.shared.peers.leave(index);
    }

    /// Makes one call with a time limit, which the peer learns too; at the next peer when one cannot be reached.
    pub(crate) async fn unary<R: Clone, A, F>(
        &self,
        (operation, transaction_id): (Operation, &str),
        limit: Duration,
        message: R,
        call: impl Fn(Client, tonic::Request<R>) -> F,
    ) -> Result<A, Error>
    where
        F: Future<Output = Result<tonic::Response<A>, tonic::Status>>,
    {
        let deadline = Instant::now() + limit;
        // A peer that cannot be reached now, where another one never can.
        let mut passing = None;
        let mut others = self.shared.peers.len() - 1;
        let mut message = Some(message);
        loop {
            let (index, client) = self.gateway_client();
            let copy = if others > 0 { message.clone() } else { message.take() };
            let mut request = tonic::Request::new(copy.expect("it is taken for the last peer"));
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
            let mut error = match timeout_at(deadline, call(client, request)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => CallError::from_status(operation, transaction_id, status),
                Err(_) => CallError::timed_out(operation, transaction_id, limit),
            };
            error.find_refusal(&*self.options().refusals);
            self.explain(&mut error, index);
            // A verdict may take its time; any other call that does shows a peer that hangs.
            let hangs = operation != Operation::CommitStatus && error.failure() == Failure::TimedOut;
            if error.connection || hangs {
                self.leave(index);
            }
            if !error.connection || others == 0 {
                let passing = passing.filter(|_| error.fault.is_some());
                return Err(passing.unwrap_or(error).into());
            }
            if error.fault.is_none() {
                passing = Some(error);
            }
            others -= 1;
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("address", &self.address())
            .field("user", &self.shared.user)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::tests::user;
    use crate::{Call, Tls};

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
        assert!(error.contains("no certificate in PEM"), "{error}");
        let error = Gateway::connect_any(&[], user("A"), Options::default()).unwrap_err().to_string();
        assert!(error.contains("no peer"), "{error}");
    }

    /// Nothing listens there: the port was free a moment ago.
    fn nowhere() -> Endpoint {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Endpoint { address: format!("127.0.0.1:{port}"), tls: None }
    }

    #[tokio::test]
    async fn names_the_peer_that_does_not_run() {
        let gateway = Gateway::connect(&nowhere(), user("A"), Options::default()).unwrap();
        let error = gateway.network("c").contract("cc").evaluate(Call::new("f")).await.unwrap_err();
        assert_eq!(error.call().unwrap().failure(), crate::Failure::Unavailable, "{error:?}");
    }

    #[tokio::test]
    async fn every_peer_is_tried_once() {
        let endpoints = [nowhere(), nowhere(), nowhere()];
        let gateway = Gateway::connect_any(&endpoints, user("A"), Options::default()).unwrap();
        let error = gateway.network("c").contract("cc").evaluate(Call::new("f")).await.unwrap_err();
        assert_eq!(error.call().unwrap().failure(), crate::Failure::Unavailable, "{error:?}");
        assert_eq!(gateway.address(), endpoints[0].address, "round to the first again");
    }
}
