//! The `confab` program as the tests start it: Cargo gives tests the path of programs of their own package only.

use std::process::ExitCode;

fn main() -> ExitCode {
    confab::main()
}
