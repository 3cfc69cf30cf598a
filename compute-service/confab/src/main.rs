//! The `confab` command.
fn main() {}
