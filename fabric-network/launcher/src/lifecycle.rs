//! Sets up the channel and the chaincode with Fabric's own commands.
//!
//! Every step may be repeated: what was done before is recognised by Fabric's answer and taken for done.

use crate::{Binaries, Error, Network, Orderer, OrdererEndpoint, Organization, config, prepare, process};
use std::{
    ffi::OsStr,
    future::{Future, poll_fn},
    path::{Path, PathBuf},
    process::Stdio,
    task::Poll,
    time::{Duration, Instant},
};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

/// For one command.
const PATIENCE: Duration = Duration::from_secs(60);
/// For other organisations, whom a person has to start.
const OTHERS: Duration = Duration::from_secs(15 * 60);

/// Fabric's commands on one network.
pub struct Lifecycle<'a> {
    /// The programs.
    pub binaries: &'a Binaries,
    /// The network.
    pub network: &'a Network,
    /// One of its orderers.
    pub orderer: OrdererEndpoint,
}

impl Lifecycle<'_> {
    /// Has every own orderer serve the channel.
    pub async fn join_orderers(&self) -> Result<(), Error> {
        together(self.network.orderers.iter().map(|orderer| self.join_orderer(orderer))).await
    }

    async fn join_orderer(&self, orderer: &Orderer) -> Result<(), Error> {
        let tls = &orderer.admin_tls;
        let mut command =
            self.command(&self.binaries.osnadmin, &self.network.path("config").join(&orderer.name));
        command
            .args(["channel", "join", "--channelID", &self.network.channel, "--config-block"])
            .arg(self.network.first_block());
        command.args(["-o", &orderer.admin_address, "--ca-file"]).arg(self.network.path(&tls.ca));
        command.arg("--client-cert").arg(self.network.path(&tls.cert));
        command.arg("--client-key").arg(self.network.path(&tls.key));
        // It succeeds whatever the orderer answers.
        let done = |output: &Output| {
            let text = &output.text;
            text.contains("Status: 201") || text.contains("Status: 405") && text.contains("already exists")
        };
        run(&format!("having {} join the channel", orderer.host), command, done).await
    }

    /// Has every peer join the channel.
    pub async fn join_peers(&self) -> Result<(), Error> {
        self.everywhere(
            "join the channel",
            |text| text.contains("already exists"),
            |org| {
                let mut command = self.peer(org);
                command.args(["channel", "join", "-b"]).arg(self.network.first_block());
                command
            },
        )
        .await
    }

    /// Installs each organisation's package on its peer.
    pub async fn install(&self) -> Result<(), Error> {
        self.everywhere(
            "install the chaincode",
            |text| text.contains("already successfully installed"),
            |org| {
                let mut command = self.peer(org);
                command
                    .args(["lifecycle", "chaincode", "install"])
                    .arg(prepare::package_file(self.network, org));
                command
            },
        )
        .await
    }

    /// Has every organisation approve the definition.
    pub async fn approve(&self) -> Result<(), Error> {
        let approved = self.approve_once().await;
        match approved {
            // An interrupted start got further than this; how the peers refuse it depends on their release.
            Err(Error::Command { .. }) if self.is_committed().await? => Ok(()),
            approved => approved,
        }
    }

    /// Whether the first peer has the definition.
    async fn is_committed(&self) -> Result<bool, Error> {
        let chaincode = &self.network.chaincode;
        let mut command = self.peer(&self.network.orgs[0]);
        command.args(["lifecycle", "chaincode", "querycommitted", "-C", &self.network.channel]);
        command.args(["-n", &chaincode.name]);
        let definition = format!("Version: {}, Sequence: {},", chaincode.version, chaincode.sequence);
        let done = |output: &Output| output.success && output.text.contains(&definition);
        match run("asking for the chaincode's definition", command, done).await {
            Ok(()) => Ok(true),
            Err(Error::Command { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn approve_once(&self) -> Result<(), Error> {
        self.everywhere("approve the chaincode", is_approved, |org| {
            let mut command = self.peer(org);
            command.args(["lifecycle", "chaincode", "approveformyorg", "--package-id"]);
            command.arg(&org.chaincode.package_id);
            self.definition(&mut command);
            command
        })
        .await
    }

    /// Commits the definition and waits until every peer has it.
    pub async fn commit(&self) -> Result<(), Error> {
        let command = || {
            let mut command = self.peer(&self.network.orgs[0]);
            command.args(["lifecycle", "chaincode", "commit"]);
            self.definition(&mut command);
            for peer in self.network.peers() {
                command.args(["--peerAddresses", &peer.address, "--tlsRootCertFiles"]);
                command.arg(self.network.path(&peer.tls_ca));
            }
            command
        };
        self.patiently(
            "committing the chaincode's definition",
            |text| text.contains("new definition must be sequence"),
            command,
        )
        .await
    }

    /// Runs a command until Fabric does not say that it comes too early.
    async fn patiently(
        &self,
        what: &str,
        already: impl Fn(&str) -> bool,
        command: impl Fn() -> Command,
    ) -> Result<(), Error> {
        let alone = self.network.remote.peers.is_empty();
        let (patience, pause) = match alone {
            true => (PATIENCE, Duration::from_millis(100)),
            false => (OTHERS, Duration::from_secs(1)),
        };
        let comes_too_early = |output: &str| {
            let others = OTHERS_NOT_YET.iter().filter(|_| !alone);
            NOT_YET.iter().chain(others).any(|text| output.contains(text))
        };
        let start = Instant::now();
        loop {
            let done = |output: &Output| output.success || already(&output.text);
            match run(what, command(), done).await {
                Err(Error::Command { output, .. })
                    if comes_too_early(&output) && start.elapsed() < patience => {}
                result => return result,
            }
            sleep(pause).await;
        }
    }

    /// Runs a command for every organisation at the same time; an answer that is `already` counts as done.
    async fn everywhere(
        &self,
        what: &str,
        already: impl Fn(&str) -> bool + Copy,
        command: impl Fn(&Organization) -> Command,
    ) -> Result<(), Error> {
        let commands = self.network.orgs.iter().map(|org| {
            let (what, command) = (format!("having {} {what}", org.peer.host), &command);
            async move { self.patiently(&what, already, || command(org)).await }
        });
        together(commands).await
    }

    /// The peer's command line, as the organisation's administrator.
    fn peer(&self, org: &Organization) -> Command {
        let mut command = self.command(&self.binaries.peer, &self.network.path("config").join(org.id()));
        command.env("CORE_PEER_MSPCONFIGPATH", self.network.path(&org.admin.msp));
        command
    }

    /// The arguments that approvals and the commit share.
    fn definition(&self, command: &mut Command) {
        let (network, chaincode) = (self.network, &self.network.chaincode);
        command
            .args(["-o", &self.orderer.address, "--tls", "--cafile"])
            .arg(network.path(&self.orderer.tls_ca));
        command.args(["-C", &network.channel, "-n", &chaincode.name, "-v", &chaincode.version]);
        command.args(["--sequence", &chaincode.sequence.to_string()]);
        if !chaincode.collections.is_empty() {
            command.arg("--collections-config").arg(network.path(config::COLLECTIONS));
        }
    }

    fn command(&self, program: impl AsRef<OsStr>, configuration: &Path) -> Command {
        command(program, configuration, &self.network.dir)
    }
}

/// One of Fabric's commands with its folder of configuration, run in a folder.
pub fn command(program: impl AsRef<OsStr>, configuration: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    for name in process::foreign_settings() {
        command.env_remove(name);
    }
    command.envs(config::environment(configuration));
    command.env("FABRIC_LOGGING_SPEC", "error").current_dir(dir);
    command
}

/// Whether the peer's answer means that the organisation has approved this very definition before.
pub fn is_approved(text: &str) -> bool {
    text.contains("attempted to redefine") && !text.contains("with different parameters")
}

/// Answers that mean: not yet. Orderers have no leader for a second after they were started, and a step that an
/// interrupted start began may still be on its way into a block.
const NOT_YET: [&str; 2] = ["SERVICE_UNAVAILABLE", "MVCC_READ_CONFLICT"];

/// Answers that mean: other organisations have not come so far. Nobody listens yet, or has approved.
const OTHERS_NOT_YET: [&str; 4] =
    ["not agreed to by this org", "connection error", "connection refused", "deadline exceeded"];

/// Polls all futures at the same time; the first error ends the others.
async fn together(
    futures: impl Iterator<Item = impl Future<Output = Result<(), Error>>>,
) -> Result<(), Error> {
    let mut pending: Vec<_> = futures.map(Box::pin).collect();
    poll_fn(|context| {
        let mut failure = None;
        pending.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(result) => {
                failure = failure.take().or(result.err());
                false
            }
        });
        match failure {
            Some(error) => Poll::Ready(Err(error)),
            None if pending.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}

/// What a command left.
pub struct Output {
    /// Its exit status.
    pub success: bool,
    /// Both streams.
    pub text: String,
}

/// Runs a command; it is killed when it is no longer waited for.
pub async fn run(what: &str, mut command: Command, done: impl FnOnce(&Output) -> bool) -> Result<(), Error> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let program = PathBuf::from(command.as_std().get_program());
    let failed = |output: String| Err(Error::Command { what: what.into(), output });
    let output = match timeout(PATIENCE, command.output()).await {
        Ok(output) => output.map_err(Error::io(program))?,
        Err(_) => return failed(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let output = Output { success: output.status.success(), text };
    match done(&output) {
        true => Ok(()),
        false => failed(output.text.trim().to_owned()),
    }
}
