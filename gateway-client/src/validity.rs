//! How long certificates are valid, and what is said of those whose end is near.

use msp::Certificate;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// So many days before its end a certificate is spoken of.
const NEAR: i64 = 30;
const DAY: i64 = 24 * 60 * 60;

/// Whose a certificate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The user's, with which transactions are signed.
    User,
    /// The client's for TLS.
    ClientTls,
    /// A peer's for TLS.
    Peer,
    /// That of an authority of peers' TLS certificates.
    TlsAuthority,
    /// That of an authority of the own organisation's identities.
    Authority,
    /// That of a chaincode's service for TLS.
    Service,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "certificate",
            Self::ClientTls => "TLS certificate",
            Self::Peer => "TLS certificate of the peer",
            Self::TlsAuthority => "certificate of the TLS authority",
            Self::Authority => "certificate of the organisation's authority",
            Self::Service => "TLS certificate of the chaincode's service",
        })
    }
}

/// A certificate that connections and transactions depend on, and how long it is valid.
#[derive(Clone, PartialEq, Eq)]
pub struct Validity {
    role: Role,
    /// The subject's common name.
    subject: String,
    /// The file or the address that it is from, where that is known.
    place: Option<String>,
    /// SHA-256 of the certificate.
    fingerprint: [u8; 32],
    not_before: i64,
    not_after: i64,
}

/// What the time says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It is valid, and will be for some time.
    Valid,
    /// It ends within thirty days: after so many whole ones.
    Ending {
        /// Days until then.
        days: u32,
    },
    /// It has ended.
    Expired,
    /// It begins later.
    NotYet,
}

impl Validity {
    /// Of a certificate of that role.
    pub fn new(role: Role, certificate: &Certificate) -> Self {
        let (not_before, not_after) = certificate.validity();
        let fingerprint = Sha256::digest(certificate.der()).into();
        let subject = certificate.common_name().to_owned();
        Self { role, subject, place: None, fingerprint, not_before, not_after }
    }

    /// The same, with the file that it is from.
    pub fn in_file(self, path: &Path) -> Self {
        self.at(PathBuf::from(path).display().to_string())
    }

    pub(crate) fn at(self, place: String) -> Self {
        Self { place: Some(place), ..self }
    }

    /// Whose it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// What a time says of it.
    pub fn standing(&self, now: SystemTime) -> Standing {
        let now = seconds(now);
        if now < self.not_before {
            return Standing::NotYet;
        }
        match self.not_after.checked_sub(now) {
            Some(left) if left < 0 => Standing::Expired,
            Some(left) if left < NEAR * DAY => Standing::Ending { days: (left / DAY) as u32 },
            _ => Standing::Valid,
        }
    }

    /// What somebody should know of it at a time; nothing while it is valid for long.
    pub fn notice(&self, now: SystemTime) -> Option<String> {
        let end = date(self.not_after);
        Some(match self.standing(now) {
            Standing::Valid => return None,
            Standing::Ending { days: 0 } => {
                format!("{self} expires on {end}, in less than a day: {}", self.advice())
            }
            Standing::Ending { days: 1 } => format!("{self} expires on {end}, in 1 day: {}", self.advice()),
            Standing::Ending { days } => {
                format!("{self} expires on {end}, in {days} days: {}", self.advice())
            }
            Standing::Expired => format!("{self} expired on {end}: {}", self.advice()),
            Standing::NotYet => format!(
                "{self} is valid from {} on, and the clock here says {}: see whether that is right",
                date(self.not_before),
                date(seconds(now))
            ),
        })
    }

    fn advice(&self) -> &'static str {
        match self.role {
            Role::User | Role::ClientTls | Role::Service => {
                "have the organisation's authority issue a new one"
            }
            Role::Peer => "its operator has to renew it",
            Role::TlsAuthority => "get the new one from the network's operator, for the connection profile",
            Role::Authority => "the channel's configuration needs a new one before",
        }
    }
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, subject, place, .. } = self;
        match place {
            Some(place) => write!(f, "the {role} ({subject:?}, {place})"),
            None => write!(f, "the {role} ({subject:?})"),
        }
    }
}

impl fmt::Debug for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Validity({self}, {} to {})", date(self.not_before), date(self.not_after))
    }
}

/// Logs what should be known of these certificates, of each at most once a day.
pub(crate) fn warn<'a>(certificates: impl IntoIterator<Item = &'a Validity>) {
    static SAID: Mutex<Option<HashMap<[u8; 32], i64>>> = Mutex::new(None);
    /// More are not remembered: there are a handful.
    const MOST: usize = 10_000;
    let now = SystemTime::now();
    for validity in certificates {
        let Some(notice) = validity.notice(now) else { continue };
        let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
        let said = said.get_or_insert_default();
        if said.len() >= MOST {
            said.clear();
        }
        let today = seconds(now).div_euclid(DAY);
        if said.insert(validity.fingerprint, today) != Some(today) {
            tracing::warn!("{notice}");
        }
    }
}

/// Seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}

/// A time as people read it.
pub(crate) fn date(seconds: i64) -> String {
    match OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(t) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second()
        ),
        Err(_) => format!("{seconds} s after 1970"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn validity(not_before: i64, not_after: i64) -> Validity {
        let certificate = rcgen::generate_simple_self_signed(vec!["me".into()]).unwrap().cert;
        let certificate = Certificate::from_der(certificate.der()).unwrap();
        Validity { not_before, not_after, ..Validity::new(Role::User, &certificate) }
    }

    fn at(seconds: i64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds as u64)
    }

    #[test]
    fn both_ends_belong_to_it() {
        let validity = validity(1_000, 100 * DAY).in_file(Path::new("cert.pem"));
        for (now, expected) in [
            (999, Standing::NotYet),
            (1_000, Standing::Valid),
            (70 * DAY, Standing::Valid),
            (70 * DAY + 1, Standing::Ending { days: 29 }),
            (99 * DAY - 1, Standing::Ending { days: 1 }),
            (99 * DAY + 1, Standing::Ending { days: 0 }),
            (100 * DAY, Standing::Ending { days: 0 }),
            (100 * DAY + 1, Standing::Expired),
        ] {
            assert_eq!(validity.standing(at(now)), expected, "{now}");
        }
        let said = |now| validity.notice(at(now)).unwrap();
        assert!(said(100 * DAY + 1).contains("cert.pem) expired on 1970-04-11 00:00:00 UTC"));
        assert!(said(75 * DAY).contains("in 25 days"), "{}", said(75 * DAY));
        assert!(said(5).contains("valid from 1970-01-01 00:16:40 UTC") && said(5).contains("00:00:05"));
        assert_eq!(validity.notice(at(2_000)), None);
    }

    proptest! {
        /// Whatever stands in a certificate, and whatever the clock says.
        #[test]
        fn no_time_is_too_odd(not_before: i64, not_after: i64, now: i64, odd in any::<bool>()) {
            let validity = validity(not_before, not_after);
            let now = if odd { now } else { not_after.saturating_sub(now.rem_euclid(40 * DAY)) };
            let time = UNIX_EPOCH.checked_add(Duration::from_secs(now.unsigned_abs()));
            let Some(time) = time else { return Ok(()) };
            let standing = validity.standing(time);
            prop_assert_eq!(standing == Standing::Valid, validity.notice(time).is_none());
            date(now);
        }
    }
}
