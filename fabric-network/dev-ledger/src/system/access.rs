//! Who may call which function of a system chaincode, as Fabric has it by default.

use super::Call;
use crate::channel::Channel;
use fabric_protos::msp::SerializedIdentity;
use msp::{Principal, Role};
use prost::Message;

impl Call<'_> {
    /// Whether the caller may read the channel, which anybody of its organisations may.
    pub fn may_read(&self, channel: &Channel) -> Result<(), String> {
        self.is_on(channel, "Readers")
    }

    /// Whether the caller is of one of the channel's organisations.
    pub fn is_on(&self, channel: &Channel, policy: &str) -> Result<(), String> {
        let proposal = &self.signed.proposal_bytes;
        channel.authenticate(self.creator, proposal, &self.signed.signature).map(drop).map_err(|e| {
            tracing::warn!("call refused: {e}");
            format!(
                "Failed evaluating policy on signed data during check policy on channel [{}] with policy [/Channel/Application/{policy}]: [implicit policy evaluation failed - 0 sub-policies were satisfied, but this policy requires 1 of the '{policy}' sub-policies to be satisfied]",
                channel.name
            )
        })
    }

    /// Whether the caller has this role in the peer's own organisation.
    pub fn has_role(&self, role: Role) -> Result<(), String> {
        let policy = if role == Role::Admin { "Admins" } else { "Members" };
        let identity =
            self.node.authenticate(self.creator, &self.signed.proposal_bytes, &self.signed.signature);
        let identity = identity.map_err(|e| {
            tracing::warn!("call refused: {e}");
            let own = self.node.msp_id.as_str();
            let creator = SerializedIdentity::decode(self.creator).unwrap_or_default();
            let what = match creator.mspid == own {
                true => format!("the certificate or the signature does not hold under {own}"),
                false => format!("expected MSP ID {own}, received {}", creator.mspid),
            };
            format!(
                "Failed deserializing proposal creator during channelless check policy with policy [{policy}]: [{what}]"
            )
        })?;
        let principal = Principal { msp_id: self.node.msp_id.clone(), role };
        if self.node.satisfies(&identity, &principal) {
            return Ok(());
        }
        Err(format!(
            "Failed verifying that proposal's creator satisfies local MSP principal during channelless check policy with policy [{policy}]: [The identity is not an admin under this MSP [{}]: The identity does not contain OU [ADMIN], MSP: [{}]]",
            self.node.msp_id, self.node.msp_id
        ))
    }
}
