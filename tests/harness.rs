//! A test is registered once, with the ledgers it runs on, and is one entry of the list for each of them:
//! `MODULE::TEST::LEDGER`, or `MODULE::TEST` if it needs none.

use crate::fixture::On;
use libtest_mimic::{Completion, Trial};
use std::{panic, pin::Pin, sync::RwLock, thread, time::Instant};
use tokio::runtime::Runtime;

/// Why a test did not run.
pub struct Skipped(pub String);

/// What a test returns.
pub type Outcome = Result<(), Skipped>;

/// Most tests do not skip themselves and return nothing.
pub trait IntoOutcome {
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(())
    }
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

/// How a test is run.
#[derive(Clone, Copy)]
pub enum Run {
    /// It starts by itself what it needs.
    Once(fn() -> Outcome),
    /// On each of these ledgers.
    On(&'static [On], fn(On) -> Pin<Box<dyn Future<Output = Outcome>>>),
}

/// A registered test.
#[derive(Clone, Copy)]
pub struct Test {
    /// Path of its module, with the crate's name.
    pub module: &'static str,
    pub name: &'static str,
    pub run: Run,
    alone: bool,
}

/// `test!(name)` registers a function without arguments, `test!(name on Dev, Fabric)` an asynchronous one that takes the
/// ledger.
macro_rules! test {
    ($name:ident) => {
        Test::new(
            module_path!(),
            stringify!($name),
            $crate::harness::Run::Once(|| $crate::harness::IntoOutcome::into_outcome($name())),
        )
    };
    ($name:ident on $($ledger:ident),+) => {
        Test::new(
            module_path!(),
            stringify!($name),
            $crate::harness::Run::On(&[$(On::$ledger),+], |on| {
                Box::pin(async move { $crate::harness::IntoOutcome::into_outcome($name(on).await) })
            }),
        )
    };
}
pub(crate) use test;

/// Held by every test that runs; alone by those that measure time.
static MACHINE: RwLock<()> = RwLock::new(());

impl Test {
    pub const fn new(module: &'static str, name: &'static str, run: Run) -> Self {
        Self { module, name, run, alone: false }
    }

    /// Has no other test run at the same time.
    pub const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// Its entries of the list.
    pub fn trials(self) -> Vec<Trial> {
        let (_, module) = self.module.split_once("::").expect("tests are in modules of the crate");
        let name = format!("{module}::{}", self.name);
        match self.run {
            Run::Once(run) => vec![self.trial(name, run)],
            Run::On(ledgers, run) => {
                let trial = |&on: &On| {
                    self.trial(format!("{name}::{}", on.name()), move || {
                        on.find().map_err(Skipped)?;
                        Runtime::new().expect("threads can be started").block_on(run(on))
                    })
                };
                ledgers.iter().map(trial).collect()
            }
        }
    }

    fn trial(self, name: String, run: impl FnOnce() -> Outcome + Send + 'static) -> Trial {
        Trial::ignorable_test(name.clone(), move || {
            let outcome = {
                // Nothing panics while it holds the machine: the test is in a thread of its own, with the test's name.
                let _shared = (!self.alone).then(|| MACHINE.read().unwrap());
                let _alone = self.alone.then(|| MACHINE.write().unwrap());
                let start = Instant::now();
                let thread = thread::Builder::new().name(name.clone()).spawn(run);
                let outcome = thread.expect("threads can be started").join();
                eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
                outcome
            };
            match outcome {
                Ok(Ok(())) => Ok(Completion::Completed),
                Ok(Err(Skipped(reason))) => Ok(Completion::ignored_with(reason)),
                Err(panic) => panic::resume_unwind(panic),
            }
        })
    }
}
