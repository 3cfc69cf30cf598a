//! Answers to a proposal: accepting binds the organisation's key and data to a job, so both are checked before.

use crate::{config::Config, data, store::Store};
use gateway_client::{Call, Contract, KeepNothing};
use records::Job;
use std::{sync::Arc, time::Duration};

/// Accepts a job if data and key share fit it; else refuses it.
///
/// # Errors
/// Why the job does not fit, or why the answer could not be given.
pub async fn answer(
    config: &Arc<Config>,
    store: &Arc<Store>,
    contract: &Contract,
    job: &Job,
) -> Result<(), String> {
    let fit = {
        let (config, store, job) = (config.clone(), store.clone(), job.clone());
        tokio::task::spawn_blocking(move || {
            let secret = store.secret(&job.id).map_err(|e| e.to_string())?;
            data::load(&config, &job, &secret).map(drop).map_err(|fault| fault.to_string())
        })
        .await
        .map_err(|e| e.to_string())?
    };
    let call = match &fit {
        Ok(()) => Call::new("accept").arg(job.id.0.as_str()),
        Err(reason) => {
            Call::new("refuse").arg(job.id.0.as_str()).arg(reason.chars().take(1000).collect::<String>())
        }
    };
    let patience = Duration::from_secs(config.patience_secs);
    contract.submitter(Arc::new(KeepNothing)).submit(call, patience).await.map_err(|e| e.to_string())?;
    fit
}
