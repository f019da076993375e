//! A folder, and programs that run in it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use sta_core::model::rng::Seed;

/// A program that says nothing for so long hangs. Only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own for a test.
pub(crate) struct Dir(tempfile::TempDir);

impl Dir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file of `len` computed bytes.
    pub(crate) fn write(&self, name: &str, len: usize) -> Vec<u8> {
        let bytes = content(name, len);
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("made");
        fs::write(path, &bytes).expect("written");
        bytes
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `sta-node` with `args`, to be run in this folder, away from the user's configuration.
    pub(crate) fn node(&self, args: &[&str]) -> Command {
        self.program("node", args)
    }

    /// `sta-node` or `sta-tracker`, in the same way.
    pub(crate) fn program(&self, name: &str, args: &[&str]) -> Command {
        let mut command = self.command(match name {
            "tracker" => env!("CARGO_BIN_EXE_sta-tracker"),
            _ => env!("CARGO_BIN_EXE_sta-node"),
        });
        command.args(args);
        command
    }

    /// A line for the shell, to be run in the same way.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", line]);
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let ours = |name: &OsStr| name.to_string_lossy().starts_with("STA_");
        std::env::vars_os().filter(|(name, _)| ours(name)).for_each(|(name, _)| {
            command.env_remove(name);
        });
        command
            .env("HOME", self.0.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_STATE_HOME");
        command.current_dir(self.0.path());
        command
    }

    /// Runs `sta-node` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Running::start(self.node(args)).end()
    }

    /// Starts `sta-node`.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.node(args))
    }

    /// Starts `sta-tracker` at `at`, with its database in the folder `state`, and returns where it listens.
    pub(crate) fn tracker(&self, at: &str) -> (Running, String) {
        let command = self.program("tracker", &["--listen", at, "--state", "state"]);
        let mut tracker = Running::start(command);
        let line = tracker.wait_for("the tracker listens at ");
        (tracker, line.rsplit(' ').next().expect("a word").to_owned())
    }

    /// Shares `name` on loopback, and returns the link that is printed.
    pub(crate) fn share(&self, name: &str) -> (Running, String) {
        let at = ["--listen", "127.0.0.1:0", "--tracker-listen", "127.0.0.1:0"];
        let mut share = self.start(&[&["share", name], &at[..]].concat());
        let line = share.wait_for("sta-node download sta://");
        (share, line.rsplit(' ').next().expect("a word").to_owned())
    }
}

/// `len` bytes that depend on `name` alone.
pub(crate) fn content(name: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand::RngCore::fill_bytes(&mut Seed(1).stream(name), &mut bytes);
    bytes
}

/// The tracker in a link, as `sta://HOST:PORT`.
pub(crate) fn tracker_of(link: &str) -> String {
    link.split('/').take(3).collect::<Vec<_>>().join("/")
}

/// A program that runs. Killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<(&'static str, String)>,
    seen: Seen,
}

/// What a program has printed so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A program that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; `None` if a signal killed it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// The code and the streams are what they should be: each text is somewhere in its stream.
    pub(crate) fn expect(&self, code: i32, out: &[&str], err: &[&str]) -> &Self {
        let there = out.iter().all(|text| self.out.contains(text))
            && err.iter().all(|text| self.err.contains(text));
        assert!(
            self.code == Some(code) && there,
            "expected exit {code}, stdout with {out:?}, stderr with {err:?}\ngot {:?}\n{}\n{}",
            self.code,
            self.out,
            self.err
        );
        self
    }
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().expect("the program starts");
        let (sender, lines) = channel();
        let out: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("piped"));
        let err: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("piped"));
        for (name, stream) in [("out", out), ("err", err)] {
            let sender = sender.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    // The test may have ended.
                    let _ = sender.send((name, line));
                }
            });
        }
        Self { child, lines, seen: Seen::default() }
    }

    /// Waits for a line, on either stream, that contains `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        self.wait_until(text, |line| line.contains(text))
    }

    /// Waits for a line that is `wanted`.
    pub(crate) fn wait_until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            match self.next_line() {
                Ok(line) if wanted(&line) => return line,
                Ok(_) => {}
                Err(why) => panic!("no {what:?}: {why:?}\n{}\n{}", self.seen.out, self.seen.err),
            }
        }
    }

    fn next_line(&mut self) -> Result<String, RecvTimeoutError> {
        let (stream, line) = self.lines.recv_timeout(PATIENCE)?;
        let seen = if stream == "out" { &mut self.seen.out } else { &mut self.seen.err };
        seen.push_str(&line);
        seen.push('\n');
        Ok(line)
    }

    /// Types a line.
    pub(crate) fn type_line(&mut self, line: &str) {
        self.type_bytes(format!("{line}\n").as_bytes());
    }

    /// Types what may be no text.
    pub(crate) fn type_bytes(&mut self, bytes: &[u8]) {
        let stdin = self.child.stdin.as_mut().expect("piped and not closed");
        stdin.write_all(bytes).expect("it reads");
    }

    /// Sends a signal, by its number.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).expect("it runs");
    }

    /// What the system calls it.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Closes its input and waits until it has ended.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        loop {
            match self.next_line() {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it does not end\n{}\n{}", self.seen.out, self.seen.err)
                }
            }
        }
        let code = self.child.wait().expect("it is ours").code();
        let Seen { out, err } = std::mem::take(&mut self.seen);
        Ended { code, out, err }
    }
}

pub(crate) use rustix::process::{Pid, Signal};

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names in a folder, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("a folder");
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.expect("an entry").file_name().to_string_lossy().into_owned()
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}
