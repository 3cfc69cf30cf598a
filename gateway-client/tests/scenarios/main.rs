//! The scenarios of the official gateway project (`scenario/features` there), on both ledgers.
//!
//! A test is named `LEDGER::FEATURE::SCENARIO`; `docs/compatibility.md` lists them. All scenarios of a ledger share one
//! network of three organisations, hence they run one after the other. The chaincode services and the development
//! ledger are this program itself, with a word as argument.
//!
//! Real Fabric is skipped, loudly, where its programs are not found.

mod block_events;
mod chaincode_events;
mod contract;
mod discovery;
mod endorsement;
mod endorsement_hsm;
mod errors;
mod ledger;
mod mutual_tls;
mod offlinesign;
mod private_data;
mod sbe;
mod transactions;

use ledger::Ledger;
use libtest_mimic::{Arguments, Failed, Trial};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Runtime;

/// A scenario on a ledger.
type Scenario = for<'a> fn(&'a Ledger) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// The scenarios of a feature, with their names.
macro_rules! feature {
    ($feature:ident: $($scenario:ident),+ $(,)?) => {
        (stringify!($feature), vec![$((stringify!($scenario), (|ledger| Box::pin($feature::$scenario(ledger))) as Scenario)),+])
    };
}

fn features() -> Vec<(&'static str, Vec<(&'static str, Scenario)>)> {
    vec![
        feature!(transactions:
            evaluate_with_result,
            submit_with_result,
            update_ledger,
            transient_data,
            evaluate_with_error_response,
            submit_with_error_response,
        ),
        feature!(chaincode_events:
            receive_chaincode_event,
            replay_chaincode_event,
            restart_after_closing_chaincode_event_session,
            close_does_not_interrupt_other_chaincode_event_listeners,
            checkpoint_of_chaincode_events,
        ),
        feature!(block_events:
            receive_block_event,
            receive_filtered_block_event,
            receive_block_and_private_data_event,
            replay_block_event,
            replay_filtered_block_event,
            replay_block_and_private_data_event,
            restart_after_closing_block_event_session,
            restart_after_closing_filtered_block_event_session,
            restart_after_closing_block_and_private_data_event_session,
            close_does_not_interrupt_other_block_event_listeners,
            close_does_not_interrupt_other_filtered_block_event_listeners,
            close_does_not_interrupt_other_block_and_private_data_event_listeners,
            checkpoint_of_block_events,
            checkpoint_of_filtered_block_events,
            checkpoint_of_block_and_private_data_events,
        ),
        feature!(offlinesign:
            evaluate_fails_without_signing,
            evaluate_succeeds_with_offline_signing,
            submit_fails_without_signing,
            submit_succeeds_with_offline_signing,
            events_with_offline_signing,
        ),
        feature!(endorsement:
            submit_to_org1,
            submit_to_org2,
            submit_to_org3,
            submit_to_org1_and_org3,
            evaluate_on_org1,
            evaluate_on_org2,
        ),
        feature!(endorsement_hsm:
            submit_to_org1,
            submit_to_org2,
            submit_to_org3,
            submit_to_org1_and_org3,
            evaluate_on_org1,
            evaluate_on_org2,
        ),
        feature!(private_data:
            org1_writes_private_data_to_org1collection_and_can_read_it_back,
            org1_writes_private_data_to_org1collection_but_fails_to_read_it_via_an_org2_peer,
            org2_can_write_private_data_to_org1collection_but_cannot_read_it_back,
            org2_writes_private_data_to_org1collection_and_org1_can_read_it,
            org1_writes_private_data_to_sharedcollection_and_org2_fails_to_read_it,
            org2_cannot_write_data_to_sharedcollection,
            org1_writes_private_data_to_sharedcollection_without_specifying_endorsers,
            org1_writes_private_data_to_sharedcollection_and_org3collection_without_specifying_endorsers,
            blocks_bring_private_data_to_members_only,
        ),
        feature!(sbe:
            state_change_must_be_endorsed_by_org1_peer,
            state_change_fails_if_endorsed_only_by_org2_peer,
            set_sbe_policy_for_org1_and_org3_state_change_succeeds_without_specifying_endorsers,
            set_sbe_policy_for_org2_and_org3_state_change_succeeds_without_specifying_endorsers,
            set_sbe_policy_for_org1_and_org3_state_change_fails_with_incorrect_endorsers,
        ),
        feature!(errors:
            evaluate_fails_with_incorrect_arguments,
            submit_fails_with_incorrect_chaincode_name,
            submit_fails_with_incorrect_transaction_name,
            evaluate_crash_chaincode,
            evaluate_with_signer_from_unauthorized_msp,
            org1_fails_to_evaluate,
            org3_fails_to_endorse,
            org2_and_org3_fail_to_endorse,
            submit_nondeterministic_transaction,
        ),
        feature!(discovery:
            submit_fails_with_insufficient_endorsers,
            submit_succeeds_with_sufficient_endorsers,
            another_peer_is_called_when_one_is_gone,
        ),
        feature!(mutual_tls: a_peer_that_wants_a_certificate_is_read_and_called),
    ]
}

/// A ledger that is started when the first scenario needs it.
struct Lazy {
    kind: launcher::Kind,
    runtime: Arc<Runtime>,
    started: OnceLock<Result<Ledger, String>>,
}

impl Lazy {
    fn run(&self, scenario: Scenario) -> Result<(), Failed> {
        let start = || self.runtime.block_on(Ledger::start(self.kind));
        let ledger = self.started.get_or_init(start).as_ref().map_err(|e| Failed::from(e.as_str()))?;
        self.runtime.block_on(scenario(ledger));
        Ok(())
    }
}

fn main() -> ExitCode {
    let runtime = Arc::new(Runtime::new().expect("threads can be started"));
    match std::env::args().nth(1).as_deref() {
        Some(contract::SERVICE) => return runtime.block_on(contract::serve()),
        Some(ledger::SERVICE) => return runtime.block_on(ledger::serve()),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mut trials = Vec::new();
    for (name, kind) in [("dev", launcher::Kind::Dev), ("fabric", launcher::Kind::Fabric)] {
        let skipped = kind == launcher::Kind::Fabric && launcher::Binaries::find().is_err();
        if skipped {
            eprintln!("SKIPPED: scenarios on real Fabric: its programs are not found; set FABRIC_HOME");
        }
        let lazy = Arc::new(Lazy { kind, runtime: runtime.clone(), started: OnceLock::new() });
        for (feature, scenarios) in features() {
            for (scenario, run) in scenarios {
                let lazy = lazy.clone();
                // The development ledger asks nobody for a certificate.
                let skipped = skipped || kind == launcher::Kind::Dev && feature == "mutual_tls";
                let trial = Trial::test(format!("{name}::{feature}::{scenario}"), move || lazy.run(run));
                trials.push(trial.with_ignored_flag(skipped));
            }
        }
    }
    // The networks are taken down with the last of their trials.
    libtest_mimic::run(&arguments, trials).exit_code()
}
