use crate::{
    error::{ExperimentError, Result, input},
    progress::Progress,
};
use gateway_client::{Gateway, Options, User};
use launcher::Network;
use msp::{Msp, Msps};
use node::verify::{self, Verification};
use records::JobId;

/// A ledger on this machine, as its first organisation's peer shows it.
pub struct Observer {
    /// The channel.
    pub channel: gateway_client::Network,
    /// The job contract.
    pub chaincode: String,
    /// The authorities of the organisations.
    pub msps: Msps,
}

impl Observer {
    /// Connects to the network of a folder.
    ///
    /// # Errors
    /// Certificates that cannot be read.
    pub fn new(network: &Network) -> Result<Self> {
        let org = network.orgs.first().ok_or_else(|| input("network.json names no organisation"))?;
        let user = User::from_files(&org.msp_id, &network.path(&org.user.cert), &network.path(&org.user.key))
            .map_err(gateway_client::Error::from)?;
        let gateway = Gateway::from_profile(&network.path(&org.profile), Some(user), Options::default())?;
        let msps = network
            .orgs
            .iter()
            .map(|org| Msp::load(&org.msp_id, &network.path(&org.msp)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| ExperimentError::Network(e.into()))?;
        let channel = gateway.network(&network.channel);
        Ok(Self { channel, chaincode: network.chaincode.name.clone(), msps: Msps::new(msps) })
    }
}

/// Replays a job of a ledger on this machine, and remarks on defects.
///
/// # Errors
/// A ledger that cannot be read, or without the job.
pub async fn observe(network: &Network, job: &JobId, progress: &dyn Progress) -> Result<Verification> {
    progress.step("replaying the job from the blocks as an observer");
    let Observer { channel, chaincode, msps } = Observer::new(network)?;
    let found = verify::verify(&channel, &chaincode, job, Some(&msps), |_| {}).await?;
    for defect in &found.defects {
        progress.remark(&format!("DEFECT {defect}"));
    }
    Ok(found)
}
