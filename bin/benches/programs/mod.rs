//! The programs as processes, and what the system says of them. Linux only.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};

/// Clock ticks of `/proc/PID/stat` a second, on every Linux there is.
const TICKS: f64 = 100.0;

/// A process that ends with this value.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    /// Processor time it has used, user and system, in seconds. It can be asked until the process has been waited for.
    pub(crate) fn processor_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()));
        let stat = stat.expect("it has not been waited for");
        let after = stat.rsplit(')').next().expect("a name in parentheses");
        let ticks = after.split_whitespace().skip(11).take(2);
        ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / TICKS
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes of a `field` of `/proc/PID/status`; `None` once the process has ended.
pub(crate) fn memory(pid: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
    Some(kib * 1024)
}

/// A tracker without a database at that address; `command` is how to run the program. Also where it listens.
pub(crate) fn start_tracker(mut command: Command, host: IpAddr) -> (Program, SocketAddr) {
    let listen = SocketAddr::new(host, 0).to_string();
    command.args(["--listen", &listen, "--no-state"]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("it is installed");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let at = line.trim().rsplit(' ').next().and_then(|at| at.parse().ok());
    (Program(child), at.unwrap_or_else(|| panic!("where it listens: {line:?}")))
}
