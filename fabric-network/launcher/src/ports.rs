//! Chooses ports.

use crate::Error;
use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
};

/// Chooses `count` ports of 127.0.0.1 on which no program listens.
///
/// They lie below the range from which the system serves outgoing connections: a peer that is restarted
/// must not find that somebody's connection got its port meanwhile. Where to look first is random, so that
/// two networks that start at the same time do not choose the same.
pub fn choose(count: usize, base: Option<u16>) -> Result<Vec<u16>, Error> {
    if let Some(base) = base {
        let ports: Vec<_> = (0..count).map_while(|i| base.checked_add(u16::try_from(i).ok()?)).collect();
        if ports.len() < count {
            return Err(Error::Conflict(format!("there are no {count} ports from {base} on")));
        }
        return match ports.iter().find(|&&port| !is_free(port)) {
            Some(port) => Err(Error::Ports(format!(
                "port {port} is in use; the network needs {count} free ports from {base} on"
            ))),
            None => Ok(ports),
        };
    }

    const FIRST: u16 = 10_000;
    let end = first_outgoing_port().max(FIRST + 10_000);
    let span = end - FIRST;
    let start = (RandomState::new().hash_one(count) % u64::from(span)) as u16;
    let ports: Vec<_> = (0..span)
        .map(|i| FIRST + ((u32::from(start) + u32::from(i)) % u32::from(span)) as u16)
        .filter(|&port| is_free(port))
        .take(count)
        .collect();
    match ports.len() == count {
        true => Ok(ports),
        false => Err(Error::Ports(format!("there are no {count} free ports from {FIRST} to {end}"))),
    }
}

/// Whether one can listen there.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Whether somebody else listens on an address of this machine. Of a name that belongs to another machine, or to the
/// outside of a router, nothing is known.
pub fn is_taken(address: &str) -> bool {
    matches!(TcpListener::bind(address), Err(error) if error.kind() == ErrorKind::AddrInUse)
}

fn first_outgoing_port() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn chosen_ports_are_free_and_distinct() {
        let ports = choose(20, None).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(ports.iter().all(|&port| is_free(port)));
    }

    #[test]
    fn a_port_in_use_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, choose(1, None).unwrap()[0])).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = choose(3, Some(port - 1)).unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} is in use")), "{error}");
        assert!(choose(3, Some(65_534)).is_err());
    }
}
