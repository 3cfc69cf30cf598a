//! Trainings on one machine, to see what they come to before organisations do the same between them: one table is dealt to
//! nodes of this machine, each with its own files and key share, they train over a ledger, and what comes out is compared
//! with training on the whole table.
//!
//! An [`Experiment`] says what is trained on what; both ways to divide a table, by columns and by rows, are behind it. A
//! [`Runner`] starts the ledger and the nodes of a [`Session`], in which any number of experiments train, and evaluates an
//! experiment by [cross-validation](Runner::evaluate). The modules [`bench`](mod@bench) and [`cost`] measure.
//!
//! ```no_run
//! # use experiment::{Experiment, KeySource, Runner, Silent, Site, Source, TrainingOptions};
//! # use dataset::scaling::Scaling;
//! # use node::proposal::VerticalOptions;
//! # use records::{Collusion, Deadlines};
//! # use std::path::Path;
//! # async fn example() -> experiment::Result {
//! let experiment = Experiment {
//!     source: Source::generated(Path::new("patients.csv"), 400)?,
//!     training: TrainingOptions::Vertical { options: VerticalOptions::default(), scale: Scaling::Std },
//!     holders: 3,
//! };
//! let site = Site {
//!     ledger: launcher::Kind::Dev,
//!     dir: None,
//!     key: KeySource::Participants(Collusion::Minority),
//!     deadlines: Deadlines::EXPERIMENT,
//! };
//! let runner = Runner { program: Path::new("confab"), progress: &Silent };
//! let session = runner.begin(&experiment, &site, None).await?;
//! let (_, trained) = session.train(&experiment).await?;
//! assert!(trained.report.is_identical());
//! # Ok(())
//! # }
//! ```

pub mod bench;
pub mod cost;
mod deployment;
mod error;
pub mod evaluation;
mod experiment;
mod horizontal;
mod key;
mod ledger_report;
mod network;
mod nodes;
mod observer;
mod participants;
mod prediction;
mod progress;
mod runner;
mod source;
mod vertical;

pub use deployment::{Deployment, Trained, TrainingReport};
pub use error::{ExperimentError, Result};
pub use experiment::{Experiment, TrainingOptions};
pub use horizontal::{HorizontalReport, HorizontalTimes};
pub use key::{DealtKey, Key, KeySource};
pub use ledger_report::LedgerReport;
pub use network::{NetworkGuard, chaincode_command, start_ledger};
pub use observer::{Observer, observe};
pub use participants::{Participants, named};
pub use prediction::SplitRun;
pub use progress::{Progress, Silent};
pub use runner::{Runner, Session, Site};
pub use source::Source;
pub use vertical::{Times, VerticalReport};
