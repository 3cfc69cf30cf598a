use serde::{Deserialize, Serialize};
use std::fmt;

/// Why the contract refuses a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    /// A record that must come before is not committed on this peer: try again.
    NotYet,
    /// The record is there with the same content: success for a caller that repeats a submission.
    AlreadySame,
    /// The record is there with other content.
    AlreadyDifferent,
    /// The caller is not the participant, or not with the key that accepted the job.
    WrongCaller,
    /// Arguments that are malformed or out of range.
    BadInput,
    /// No such job on this peer: try again if it was proposed a moment ago.
    UnknownJob,
    /// No such key on this peer: try again if it was negotiated a moment ago.
    UnknownKey,
    /// The job is finished, refused or aborted.
    Ended,
    /// The job is pinned to another version of the contract.
    WrongVersion,
    /// The transaction's timestamp is more than five minutes off the peer's clock.
    WrongTime,
    /// Participants posted different results.
    Disagreement,
    /// The time of what is waited for is not up, or it is not owed.
    NotOverdue,
    /// Somebody has as many of something as the contract lets one have.
    TooMany,
}

/// Longest detail of a refusal, in bytes of JSON: texts are cut on their way to a client.
const MAX_DETAIL_BYTES: usize = 3000;

impl Code {
    const ALL: [(Self, &'static str); 13] = [
        (Self::NotYet, "NOT_YET"),
        (Self::AlreadySame, "ALREADY_SAME"),
        (Self::AlreadyDifferent, "ALREADY_DIFFERENT"),
        (Self::WrongCaller, "WRONG_CALLER"),
        (Self::BadInput, "BAD_INPUT"),
        (Self::UnknownJob, "UNKNOWN_JOB"),
        (Self::UnknownKey, "UNKNOWN_KEY"),
        (Self::Ended, "ENDED"),
        (Self::WrongVersion, "WRONG_VERSION"),
        (Self::WrongTime, "WRONG_TIME"),
        (Self::Disagreement, "DISAGREEMENT"),
        (Self::NotOverdue, "NOT_OVERDUE"),
        (Self::TooMany, "TOO_MANY"),
    ];

    /// The code that a word on the wire stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == word).map(|(code, _)| *code)
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(code, _)| *code == self).expect("every code is in the table").1
    }
}

/// A refusal, `CODE {json}` in the message of the chaincode's response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub code: Code,
    /// For whom it concerns: names the key, the field, the caller.
    pub detail: String,
}

impl Refusal {
    /// A refusal with its detail, which is shortened if it is longer than clients get to see.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        let mut bytes = 0;
        let end = detail.char_indices().find(|(_, c)| {
            bytes += match c {
                '"' | '\\' => 2,
                c if c.is_ascii_control() => 6,
                c => c.len_utf8(),
            };
            bytes > MAX_DETAIL_BYTES
        });
        if let Some((end, _)) = end {
            detail.truncate(end);
            detail.push('…');
        }
        Self { code, detail }
    }

    /// Finds a refusal in the text in which Fabric's gateway wraps a failed chaincode response.
    pub fn find(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Json {
            detail: String,
        }
        Code::ALL.iter().find_map(|(code, word)| {
            let start = text.find(&format!("{word} {{"))?;
            let mut stream =
                serde_json::Deserializer::from_str(&text[start + word.len() + 1..]).into_iter::<Json>();
            let json = stream.next()?.ok()?;
            Some(Self { code: *code, detail: json.detail })
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.as_str(), serde_json::json!({ "detail": self.detail }))
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts on the way are cut, and a refusal that is cut would not be found.
    #[test]
    fn long_details_are_shortened_so_that_the_refusal_is_found() {
        for detail in ["x".repeat(100_000), "\"\u{1}ü".repeat(10_000)] {
            let refusal = Refusal::new(Code::Ended, detail.clone());
            assert!(refusal.to_string().len() < 3_100 && refusal.detail.ends_with('…'));
            assert!(detail.starts_with(refusal.detail.trim_end_matches('…')));
            assert_eq!(Refusal::find(&refusal.to_string()), Some(refusal));
        }
        let fits = "x".repeat(MAX_DETAIL_BYTES);
        assert_eq!(Refusal::new(Code::Ended, fits.as_str()).detail, fits);
    }

    #[test]
    fn is_found_in_the_gateways_text() {
        for (code, _) in Code::ALL {
            let refusal = Refusal::new(code, "iv round 3 of \"Org2MSP\" {is} missing");
            let text = format!("rpc error: chaincode response 500, {refusal}; more");
            assert_eq!(Refusal::find(&text), Some(refusal));
        }
        assert_eq!(Refusal::find("chaincode response 500, NOT_YET"), None);
    }
}
