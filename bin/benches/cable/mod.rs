//! Where the two sides of a transfer run: hosts of their own, joined by a cable (two network namespaces and a veth pair), or
//! both on this machine's loopback. A cable needs Linux, root and iproute2.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;

/// How the names of our namespaces begin; the process that made them follows.
const PREFIX: &str = "sta-hop-";
const CONTROL: &str = "net.ipv4.tcp_congestion_control";

#[derive(Clone, Copy)]
pub(crate) enum Side {
    Sender,
    Receiver,
}

/// The network between the two sides.
pub(crate) struct Network {
    /// The namespaces of the sender and of the receiver; they are gone when this value is. `None`: loopback.
    hosts: Option<[String; 2]>,
}

impl Network {
    pub(crate) fn loopback() -> Self {
        Self { hosts: None }
    }

    /// Two hosts and a cable without a limit.
    ///
    /// Their congestion control is CUBIC, which Linux ships with, if the machine lets its namespaces choose it: figures are to
    /// be comparable elsewhere, and what paces, as BBR does, pays a timer for every burst.
    pub(crate) fn cable() -> io::Result<Self> {
        remove_abandoned()?;
        let hosts =
            ["sender", "receiver"].map(|side| format!("{PREFIX}{}-{side}", std::process::id()));
        let network = Self { hosts: Some(hosts.clone()) };
        let [sender, receiver] = &hosts;
        for host in &hosts {
            ip(&["netns", "add", host])?;
            // Where it is not allowed the host keeps what the machine has: `congestion_control` tells.
            let _ = ip(&["netns", "exec", host, "sysctl", "-q", "-w", &format!("{CONTROL}=cubic")]);
        }
        ip(&[
            "link", "add", "eth0", "netns", sender, "type", "veth", "peer", "name", "eth0",
            "netns", receiver,
        ])?;
        for (host, side) in [(sender, Side::Sender), (receiver, Side::Receiver)] {
            let address = format!("{}/24", network.address(side));
            ip(&["-n", host, "address", "add", &address, "dev", "eth0"])?;
            for link in ["lo", "eth0"] {
                ip(&["-n", host, "link", "set", link, "up"])?;
            }
        }
        Ok(network)
    }

    /// The program as it runs on that side.
    pub(crate) fn command(&self, side: Side, program: impl AsRef<OsStr>) -> Command {
        let Some(hosts) = &self.hosts else {
            return Command::new(program);
        };
        // It becomes the program: the process that is started is the one that is measured.
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &hosts[side as usize]]).arg(program);
        command
    }

    /// What the sender's host does about congestion.
    pub(crate) fn congestion_control(&self) -> String {
        let read = self.command(Side::Sender, "sysctl").args(["-n", CONTROL]).output();
        read.map_or_else(
            |_| "unknown".to_owned(),
            |read| String::from_utf8_lossy(&read.stdout).trim().to_owned(),
        )
    }

    pub(crate) fn address(&self, side: Side) -> IpAddr {
        let host = if self.hosts.is_some() {
            Ipv4Addr::new(10, 77, 0, 1 + side as u8)
        } else {
            Ipv4Addr::LOCALHOST
        };
        host.into()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in self.hosts.iter().flatten() {
            // One that could not be made cannot be removed.
            let _ = ip(&["netns", "delete", host]);
        }
    }
}

/// Takes away what a run left that was killed.
fn remove_abandoned() -> io::Result<()> {
    for line in ip(&["netns", "list"])?.lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            ip(&["netns", "delete", name])?;
        }
    }
    Ok(())
}

/// Runs `ip` and returns what it says.
fn ip(arguments: &[&str]) -> io::Result<String> {
    let ran = Command::new("ip").args(arguments).output()?;
    if ran.status.success() {
        return Ok(String::from_utf8_lossy(&ran.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&ran.stderr);
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), why.trim())))
}
