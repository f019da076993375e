//! How programs end that are told to.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::io::ioctl_fionread;

use crate::shell::interactive;
use crate::util::{Dir, Pid, Running, Signal};

#[test]
fn ctrl_c_leaves_in_order() {
    let dir = Dir::new();
    dir.write("other", 10);
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let node = interactive(&dir, "n1", &tracker, &["--json"]);
    node.signal(Signal::INT);
    node.end().expect(0, &["\"node-stopped\""], &[]);

    // Nobody has the other file: something is still to come.
    dir.run(&["maketorrent", "other"]).expect(0, &[], &[]);
    let mut node = interactive(&dir, "n2", &tracker, &["--torrent-file", "other.torrent"]);
    node.wait_for("downloading other");
    node.signal(Signal::INT);
    node.end().expect(130, &[], &[]);
}

/// Who closed the terminal killed it in the middle of what it did.
#[test]
fn a_terminal_that_goes_ends_it_in_order() {
    if ignores_hangup("self") {
        println!(
            "skipped: whoever started this test (nohup?) has it ignore that, and so do the programs"
        );
        return;
    }
    let dir = Dir::new();
    let (tracker, at) = dir.tracker("127.0.0.1:0");
    let node = interactive(&dir, "n1", &at, &["--json"]);
    node.signal(Signal::HUP);
    node.end().expect(0, &["\"node-stopped\""], &[]);
    tracker.signal(Signal::HUP);
    tracker.end().expect(0, &[], &[]);
}

#[test]
fn a_terminal_that_goes_is_ignored_if_that_is_wanted() {
    let dir = Dir::new();
    let mut command = dir.program("tracker", &["--listen", "127.0.0.1:0", "--no-state"]);
    let program = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = dir.shell("trap '' HUP; exec \"$0\" \"$@\"");
    command.arg(program).args(args);
    let mut tracker = Running::start(command);
    tracker.wait_for("the tracker listens at ");
    assert!(ignores_hangup(&tracker.pid().as_raw_nonzero().to_string()), "it still ignores it");
    tracker.signal(Signal::TERM);
    tracker.end().expect(0, &[], &[]);
}

/// Whether a process, known to `/proc` by this name, ignores SIGHUP.
fn ignores_hangup(process: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux tells");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    u64::from_str_radix(ignored.trim(), 16).expect("a number") & 1 == 1
}

/// A node that waited for an answer took the signal for the end of that alone, and went on.
#[test]
fn a_node_leaves_in_order_whatever_its_command_waits_for() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = silent.local_addr().expect("it listens");
    let mut node = interactive(&dir, "n1", &tracker, &["--json"]);
    node.type_line(&format!("DOWNLOAD sta://{at}/{}", "0".repeat(40)));
    let asked = silent.accept().expect("it asks");
    node.signal(Signal::TERM);
    node.wait_for("\"node-stopped\"");
    node.end().expect(130, &[], &["interrupted"]);
    drop(asked);
}

/// Both signals waited with everything else until somebody read.
#[test]
fn the_second_signal_ends_a_node_whose_output_nobody_reads() {
    let dir = Dir::new();
    dir.write("file", 12_000_000);
    dir.run(&["maketorrent", "file", "--piece-size", "16 KiB"]).expect(0, &[], &[]);
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let listen = ["--listen", "127.0.0.1:0", "--tracker", &tracker];
    let mut seed = dir.start(&[&["seed", "file.torrent"], &listen[..]].concat());
    seed.wait_for("seeding");
    for of_errors_too in [false, true] {
        let args = ["download", "file.torrent", "-o", "out", "--json"];
        let mut command = dir.node(&[&args[..], &listen[..]].concat());
        let (out, into) = std::io::pipe().expect("a pipe");
        let errors = if of_errors_too {
            into.try_clone().expect("there are descriptors").into()
        } else {
            Stdio::null()
        };
        command.stdin(Stdio::null()).stdout(into).stderr(errors);
        let mut download = command.spawn().expect("the program starts");
        drop(command);
        // A pipe takes sixteen pages, and of each all but what a line, of less than 1 KiB, leaves of it.
        let is_full = || ioctl_fionread(&out).expect("a pipe") >= 48 << 10;
        assert!(patiently(|| is_full().then_some(())).is_some(), "it says less than a pipe takes");
        let pid = Pid::from_child(&download);
        let code = patiently(|| {
            let ended = download.try_wait().expect("it is ours");
            // It may have ended just now.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
            ended.map(|ended| ended.code())
        });
        assert_eq!(code.expect("it ends"), Some(130));
        fs::remove_dir_all(dir.path("out")).expect("it has begun");
    }
}

/// Looks every half second, a hundred times at the most.
fn patiently<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    (0..100).find_map(|_| {
        let seen = look();
        if seen.is_none() {
            thread::sleep(Duration::from_millis(500));
        }
        seen
    })
}
