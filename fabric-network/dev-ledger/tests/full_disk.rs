//! A ledger on a small disk that fills up.

mod common;

use common::{Network, assert_status};
use fabric_protos::peer::TxValidationCode;
use std::path::{Path, PathBuf};
use std::process::Command;
use tonic::Code;

/// A file system in memory; gone with this.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_until_there_is_room() {
    let network = Network::new(1).await;
    let Some(disk) = Disk::mount(&network.config.dir, 48) else {
        eprintln!("SKIPPED: a_full_disk_refuses_until_there_is_room: no file system can be mounted here");
        return;
    };
    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    let value = "x".repeat(1 << 20);
    let mut written = 0;
    let refused = loop {
        match client.transact(&["blind", &format!("k{written}"), &value]).await {
            Ok((code, _)) => assert_eq!(code, TxValidationCode::Valid),
            Err(refused) => break refused,
        }
        written += 1;
        assert!(written < 48, "the disk is never full");
    };
    assert_status(&refused, Code::Unavailable, "no space left");
    // Reading goes on, and so does writing as soon as there is room.
    for i in 0..written {
        assert_eq!(client.evaluate(&["get", &format!("k{i}")]).await.unwrap().len(), value.len());
    }
    let grown = Command::new("mount").args(["-o", "remount,size=96m"]).arg(&disk.0).status().unwrap();
    assert!(grown.success());
    assert_eq!(client.transact(&["blind", "after", "v"]).await.unwrap().0, TxValidationCode::Valid);
    ledger.shutdown().await;

    let ledger = network.serve().await;
    let mut client = network.client(&ledger, 1);
    assert_eq!(client.evaluate(&["get", "after"]).await.unwrap(), "v");
    assert_eq!(client.evaluate(&["get", "k0"]).await.unwrap().len(), value.len());
    ledger.shutdown().await;
}
