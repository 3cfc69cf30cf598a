//! A contract's refusals in the tests: a word, and the detail in brackets.

#![allow(dead_code, reason = "each test binary uses a part")]

use gateway_client::{Meaning, Options, Refusal, RefusalRules};
use std::sync::Arc;

pub const SAME: &str = "ALREADY_SAME";
pub const NOT_YET: &str = "NOT_YET";
pub const UNKNOWN: &str = "UNKNOWN_KEY";
pub const WRONG_TIME: &str = "WRONG_TIME";
pub const OTHER: &str = "ALREADY_OTHER";
pub const BAD_INPUT: &str = "BAD_INPUT";

const MEANINGS: [(&str, Meaning); 6] = [
    (SAME, Meaning::AlreadyThere),
    (NOT_YET, Meaning::NotYet),
    (UNKNOWN, Meaning::Unknown),
    (WRONG_TIME, Meaning::WrongClock),
    (OTHER, Meaning::Final),
    (BAD_INPUT, Meaning::Final),
];

/// What the contract answers.
pub fn refusal(code: &str, detail: &str) -> String {
    format!("{code} [{detail}]")
}

#[derive(Debug)]
struct Words;

impl RefusalRules for Words {
    fn find(&self, text: &str) -> Option<Refusal> {
        MEANINGS.iter().find_map(|(code, meaning)| {
            let (_, rest) = text.split_once(&format!("{code} ["))?;
            let detail = rest.split(']').next().unwrap_or(rest);
            Some(Refusal { code: (*code).into(), detail: detail.into(), meaning: *meaning })
        })
    }
}

/// Options of a client that knows these refusals.
pub fn options() -> Options {
    Options { refusals: Arc::new(Words), ..Options::default() }
}
