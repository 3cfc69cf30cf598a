//! The `confab` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    confab::main()
}
