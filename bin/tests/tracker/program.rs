//! The program: its signals, its messages, its state.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{ALL, Client, rows, run};

/// The program, with its events on stdout; killed when dropped.
struct Program {
    child: Child,
    at: SocketAddr,
    restored: u64,
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sta-tracker"));
    command.args(args).env_remove("STA_CONFIG").stdin(Stdio::null());
    command
}

impl Program {
    fn start(state: &Path) -> Self {
        let state = state.to_str().expect("a plain name");
        let mut child = program(&["--listen", "127.0.0.1:0", "--json", "--state", state])
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("piped");
        BufReader::new(stdout).read_line(&mut line).expect("its first event");
        let event: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(event["event"], "tracker-started", "{line}");
        let at = event["listen"].as_str().expect("an address").parse().expect("an address");
        Self { child, at, restored: event["restored"].as_u64().expect("a number") }
    }

    /// Sends the signal `name`, and gives the exit code.
    fn signal(&mut self, name: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
        self.child.wait().expect("ended").code()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It has usually ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_program_leaves_in_order_and_comes_back_with_what_it_knew() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut restored = Vec::new();
    for signal in ["-TERM", "-INT"] {
        let mut program = Program::start(dir.path());
        restored.push(program.restored);
        let at = program.at;
        run(async move {
            let name = format!("node{}", signal.len());
            let (mut node, _) = Client::join(at, &name, ALL, false).await;
            node.settle().await;
        });
        assert_eq!(program.signal(signal), Some(0), "{signal}");
    }
    restored.push(Program::start(dir.path()).restored);
    assert_eq!(restored, [0, 1, 2]);
}

#[test]
fn the_program_survives_being_killed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut first = Program::start(dir.path());
    assert_eq!(first.signal("-KILL"), None);
    let second = Program::start(dir.path());
    run(async move { assert_eq!(rows(second.at).await, []) });
}

#[test]
fn what_keeps_the_program_from_starting_is_one_clear_error() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let first = Program::start(dir.path());
    let (state, at) = (dir.path().to_str().expect("a plain name"), first.at.to_string());
    let config = dir.path().join("sta.toml");
    std::fs::write(&config, "\n[tracker]\nleese = \"1m\"\n").expect("written");
    let config = config.to_str().expect("a plain name");
    let new = dir.path().join("new");
    let new_state = new.to_str().expect("a plain name");
    let table: [(&[&str], &str); 6] = [
        (&["--listen", &at, "--no-state"], "the tracker cannot listen at 127.0.0.1:"),
        (&["--listen", &at, "--state", new_state], "the tracker cannot listen at 127.0.0.1:"),
        (&["--listen", "127.0.0.1:0", "--state", state], "another tracker has it open"),
        (&["--no-state", "--config", config], "sta.toml:3: unknown key \"tracker.leese\""),
        (&["--no-state", "--listen", "nowhere"], "invalid value 'nowhere'"),
        (&["--listen", "127.0.0.1:0", "--state", "/dev/null/x"], "/dev/null/x: "),
    ];
    for (args, reason) in table {
        let output = program(args).output().expect("ran");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(reason), "{args:?}: {said}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert!(!new.exists(), "who cannot listen makes no database");
}

#[test]
fn the_program_prints_its_configuration() {
    let output = program(&["--print-config", "--listen", "127.0.0.1:7"])
        .env("STA_TRACKER_LEASE", "90s")
        .output()
        .expect("ran");
    let printed = String::from_utf8_lossy(&output.stdout);
    for line in ["port = 7\n", "listen = \"127.0.0.1\"\n", "lease = \"1m 30s\"\n"] {
        assert!(printed.contains(line), "{line:?} is not in\n{printed}");
    }
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_person_is_told_where_it_listens() {
    let mut child = program(&["--listen", "127.0.0.1:0", "--no-state"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    assert!(line.starts_with("the tracker listens at 127.0.0.1:"), "{line}");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "", "nothing else");
}
