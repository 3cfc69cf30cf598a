//! The chaincode's side of the stream as a state machine: what to do with a message, given the state.

use fabric_protos::peer::chaincode_message::Type;

/// How far the conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// REGISTER was sent, for the chaincode speaks first.
    Created,
    /// The peer knows the chaincode.
    Established,
    /// Calls may come.
    Ready,
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing: only the state changes.
    Advance,
    /// Take note of what the peer offers.
    Negotiate,
    /// Run a call; `true` for the contract's `init`.
    Call { init: bool },
    /// Hand the message to the call that waits for it.
    Deliver,
    /// Send the message back.
    Echo,
}

/// The next state and the thing to do, or nothing where the message has no place in this state.
pub(crate) fn step(state: State, message: Type) -> Option<(State, Action)> {
    match (state, message) {
        (state, Type::Keepalive) => Some((state, Action::Echo)),
        (State::Created, Type::Registered) => Some((State::Established, Action::Advance)),
        (State::Established, Type::Ready) => Some((State::Ready, Action::Negotiate)),
        (State::Ready, Type::Init) => Some((State::Ready, Action::Call { init: true })),
        (State::Ready, Type::Transaction) => Some((State::Ready, Action::Call { init: false })),
        (State::Ready, Type::Response | Type::Error) => Some((State::Ready, Action::Deliver)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_in_every_state() {
        let expected = |state, message| match (state, message) {
            (_, "KEEPALIVE") => Some((state, Action::Echo)),
            (State::Created, "REGISTERED") => Some((State::Established, Action::Advance)),
            (State::Established, "READY") => Some((State::Ready, Action::Negotiate)),
            (State::Ready, "INIT") => Some((State::Ready, Action::Call { init: true })),
            (State::Ready, "TRANSACTION") => Some((State::Ready, Action::Call { init: false })),
            (State::Ready, "RESPONSE") => Some((State::Ready, Action::Deliver)),
            (State::Ready, "ERROR") => Some((State::Ready, Action::Deliver)),
            _ => None,
        };
        let mut known = 0;
        for number in 0..=30 {
            let Ok(message) = Type::try_from(number) else { continue };
            known += 1;
            for state in [State::Created, State::Established, State::Ready] {
                assert_eq!(
                    step(state, message),
                    expected(state, message.as_str_name()),
                    "{state:?} {message:?}"
                );
            }
        }
        assert_eq!(known, 25);
    }
}
