use records::MspId;

/// Why a protocol cannot go on, and whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A participant broke the protocol.
    #[error("{msp_id} (party {party}): {reason}")]
    Participant {
        /// Index of the culprit.
        party: u32,
        /// Its MSP identifier.
        msp_id: MspId,
        /// What it did, with the slot.
        reason: String,
    },
    /// Participants whose data do not fit together; none of them is known to be wrong.
    #[error("{0}")]
    Disagreement(String),
    /// The own input is unfit: data, key share, parameters.
    #[error("{0}")]
    Input(String),
}
