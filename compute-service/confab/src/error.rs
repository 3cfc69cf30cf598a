//! How commands end.

/// How a command ends; the error is shown to a person.
pub type Done<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
