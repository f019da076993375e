//! The interactive node, driven by a script: the seed document's workflow.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::util::{Dir, Running, Signal, names};

/// An interactive node called `id`, whose repository is the folder of that name, with the tracker at `tracker`.
pub(crate) fn interactive(dir: &Dir, id: &str, tracker: &str, more: &[&str]) -> Running {
    let port = tracker.rsplit(':').next().expect("a port").to_owned();
    let (port, files) = (format!("tracker.port={port}"), format!("directories.files={id}"));
    let args = ["-node_id", id, "--listen", "127.0.0.1:0", "--set", &port, "--set", &files];
    let mut node = dir.start(&[&args[..], more].concat());
    node.wait_for(&format!("node {id} at 127.0.0.1:"));
    node
}

#[test]
fn the_seed_documents_workflow() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let bytes = dir.write("n1/my example.txt", 300_000);
    let mut first = interactive(&dir, "n1", &tracker, &[]);
    first.type_line("MAKETORRENT \"my example.txt\"");
    first.wait_for("made n1/my example.txt.torrent");
    first.type_line("seeding 'my example.txt.torrent'");
    first.wait_for("seeding my example.txt, 5 of 5 pieces");

    let mut second = interactive(&dir, "n2", &tracker, &[]);
    second.type_line("DOWNLOAD \"n1/my example.txt.torrent\"");
    second.wait_for("my example.txt: complete");
    assert!(dir.read("n2/my example.txt") == bytes);
    second.type_line("STATUS");
    second.wait_for("complete");
    second.type_line("PEERS");
    second.wait_until("n1 in the table of peers", |line| line.starts_with(" n1 "));
    second.type_line("EXIT");
    second.end().expect(0, &[], &[]);
    assert_eq!(names(&dir.path("n2")), ["my example.txt", "my example.txt.torrent"]);

    // Its repository is verified and registered at the start, so that a third node can fetch from it alone.
    drop(first);
    let mut second = interactive(&dir, "n2", &tracker, &[]);
    second.wait_for("seeding my example.txt, 5 of 5 pieces");
    let mut third =
        interactive(&dir, "n3", &tracker, &["-torrent_file", "n2/my example.txt.torrent"]);
    third.wait_for("my example.txt: complete");
    third.end().expect(0, &[" n2 "], &[]);
}

#[test]
fn the_end_of_a_script_waits_for_its_downloads() {
    let dir = Dir::new();
    let bytes = dir.write("file", 2_000_000);
    let (_share, link) = dir.share("file");
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.type_line(&format!("download {link}"));
    node.end().expect(0, &["downloading file", "file: complete"], &[]);
    assert!(dir.read("n1/file") == bytes);
}

#[test]
fn a_script_that_fails_says_so() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.type_line("DWONLOAD x");
    node.wait_for("DWONLOAD: no such command; did you mean DOWNLOAD?");
    node.type_line("SEEDING nothing.torrent");
    node.wait_for("nothing.torrent");
    node.type_bytes(b"\xff\n");
    node.wait_for("no such command");
    node.type_line("HELP");
    node.wait_for("MAKETORRENT");
    node.end().expect(1, &["EXIT"], &[]);
}

/// An older torrent of the same name kept a new one from being remembered, and nothing was said.
#[test]
fn a_restart_knows_a_download_though_another_torrent_bears_its_name() {
    let dir = Dir::new();
    let bytes = dir.write("new/file", 300_000);
    dir.write("n1/file", 300_001);
    dir.run(&["maketorrent", "n1/file"]).expect(0, &[], &[]);
    fs::remove_file(dir.path("n1/file")).expect("it is there");
    let (_share, link) = dir.share("new/file");
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.type_line(&format!("DOWNLOAD {link}"));
    node.end().expect(0, &["file: complete"], &[]);
    assert!(dir.read("n1/file") == bytes);
    assert_eq!(names(&dir.path("n1")).len(), 3, "each torrent has a file of its own");
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.wait_for("seeding file, 5 of 5 pieces");
    node.end().expect(0, &[], &["is 300000 bytes long and not 300001"]);
}

/// It was said to be shared already, and there was no way but to leave.
#[test]
fn what_failed_for_good_can_be_downloaded_again() {
    let dir = Dir::new();
    let bytes = dir.write("file", 300_000);
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    dir.run(&["maketorrent", "file", "--tracker", &tracker]).expect(0, &[], &[]);
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.type_line("DOWNLOAD file.torrent");
    node.wait_for("downloading file, 0 of 5 pieces are here");
    // Nobody has it yet: when it is complete, its name is taken.
    fs::write(dir.path("n1/file"), b"mine").expect("written");
    let mut seed = dir.start(&["seed", "file.torrent", "--listen", "127.0.0.1:0"]);
    seed.wait_for("seeding file as");
    node.wait_for("once that is mended, the same DOWNLOAD goes on from there");
    assert_eq!(dir.read("n1/file"), b"mine");
    fs::remove_file(dir.path("n1/file")).expect("gone");
    node.type_line("DOWNLOAD file.torrent");
    node.wait_for("downloading file, 5 of 5 pieces are here");
    node.wait_for("file: complete");
    assert!(dir.read("n1/file") == bytes);
    node.end().expect(1, &[], &["n1/file: it exists already"]);
}

/// After a restart it was said to be shared already, and what it lacked never came.
#[test]
fn what_a_node_left_unfinished_can_be_downloaded_after_a_restart() {
    let dir = Dir::new();
    let bytes = dir.write("file", 300_000);
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    dir.run(&["maketorrent", "file", "--tracker", &tracker]).expect(0, &[], &[]);
    fs::create_dir(dir.path("n1")).expect("a new folder");
    fs::copy(dir.path("file.torrent"), dir.path("n1/file.torrent")).expect("copied");
    fs::write(dir.path("n1/file.part"), &bytes[..150_000]).expect("written");
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.wait_for("seeding file, 2 of 5 pieces");
    node.wait_for(
        "file is not complete, and nothing more of it is fetched; DOWNLOAD n1/file.torrent goes on",
    );
    node.type_line("DOWNLOAD file.torrent");
    node.wait_for("downloading file, 2 of 5 pieces are here");
    node.type_line("DOWNLOAD file.torrent");
    node.wait_for("file is being shared already");
    let mut seed = dir.start(&["seed", "file.torrent", "--listen", "127.0.0.1:0"]);
    seed.wait_for("seeding file as");
    node.wait_for("file: complete");
    assert!(dir.read("n1/file") == bytes);
    node.end().expect(0, &[], &[]);
}

/// The folder that was to be named with `--data` is the node's own, and the file that was named is not there.
#[test]
fn of_what_was_begun_and_is_all_wrong_a_node_says_what_fetches_it() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    dir.write("file", 300_000);
    dir.run(&["maketorrent", "file", "--tracker", &tracker]).expect(0, &[], &[]);
    fs::create_dir(dir.path("n1")).expect("a new folder");
    fs::copy(dir.path("file.torrent"), dir.path("n1/file.torrent")).expect("copied");
    fs::write(dir.path("n1/file.part"), b"").expect("written");
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.wait_for("n1/file.part: no piece of it is that of");
    node.wait_for("DOWNLOAD n1/file.torrent fetches it");
    node.end().expect(0, &[], &[]);
}

/// An empty file lay there, as if something had come.
#[test]
fn what_got_nothing_leaves_nothing_when_a_node_leaves() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    dir.write("file", 300_000);
    dir.run(&["maketorrent", "file", "--tracker", &tracker]).expect(0, &[], &[]);
    let mut node = interactive(&dir, "n1", &tracker, &[]);
    node.type_line("DOWNLOAD file.torrent");
    node.wait_for("downloading file, 0 of 5 pieces are here");
    assert!(dir.path("n1/file.part").exists());
    node.signal(Signal::INT);
    node.end().expect(130, &[], &[]);
    assert_eq!(names(&dir.path("n1")), ["file.torrent"]);
}

/// It was given up, and what became of it was neither waited for nor said.
#[test]
fn a_script_waits_until_what_has_failed_for_a_while_is_complete() {
    let dir = Dir::new();
    // More than a moment at the rate of the seed, and more files than those that are open already.
    for name in ["a", "b", "c", "d"] {
        dir.write(&format!("folder/{name}"), 500_000);
    }
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let piece = ["--piece-size", "64 KiB"];
    dir.run(&[&["maketorrent", "folder", "--tracker", &tracker], &piece[..]].concat()).expect(
        0,
        &[],
        &[],
    );
    let slow = ["--set", "upload-limit=500 KiB/s", "--listen", "127.0.0.1:0"];
    let mut seed = dir.start(&[&["seed", "folder.torrent"], &slow[..]].concat());
    seed.wait_for("seeding folder as");
    let mut node = interactive(&dir, "n1", &tracker, &["--json"]);
    node.type_line("DOWNLOAD folder.torrent");
    node.wait_for("\"piece-announced\"");
    let pid = node.pid();
    let before = getrlimit(Resource::Nofile);
    let few = Rlimit { current: Some(1), maximum: before.maximum };
    prlimit(Some(pid), Resource::Nofile, few).expect("it is ours");
    node.wait_for("ulimit -n); trying again");
    prlimit(Some(pid), Resource::Nofile, before).expect("it is ours");
    node.type_line("EXIT");
    node.end().expect(0, &[], &["folder: complete"]);
}

/// Of what came at once, as from a program that types, only the first key was taken until the next came.
#[test]
fn what_is_typed_at_once_on_a_terminal_is_obeyed_at_once() {
    let dir = Dir::new();
    let (_tracker, tracker) = dir.tracker("127.0.0.1:0");
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&master).and_then(|()| unlockpt(&master)).expect("it is ours");
    let name = ptsname(&master, Vec::new()).expect("it has a name");
    let name = name.to_str().expect("a plain name");
    let end = || File::options().read(true).write(true).open(name).expect("the other end");
    let port = format!("tracker.port={}", tracker.rsplit(':').next().expect("a port"));
    let args = ["-node_id", "n1", "--listen", "127.0.0.1:0", "--set", &port];
    let mut command = dir.program("node", &args);
    command.env("TERM", "xterm").stdin(end()).stdout(end()).stderr(end());
    let mut node = command.spawn().expect("the program starts");
    drop(command);
    let mut master = File::from(master);
    let mut screen = master.try_clone().expect("a descriptor");
    let (prompted, prompt) = channel();
    std::thread::spawn(move || {
        let (mut seen, mut part) = (Vec::new(), [0; 4096]);
        // Whoever closes the other end ends this.
        while let Ok(read) = screen.read(&mut part) {
            seen.extend_from_slice(&part[..read]);
            if seen.windows(2).any(|text| text == b"> ") {
                // Nobody waits any more the second time.
                let _ = prompted.send(());
            }
        }
    });
    prompt.recv_timeout(Duration::from_secs(30)).expect("a prompt");
    master.write_all(b"status\rexit\r").expect("typed");
    let mut patience = 300;
    let ended = loop {
        match node.try_wait().expect("it is ours") {
            None if patience > 0 => std::thread::sleep(Duration::from_millis(100)),
            ended => break ended,
        }
        patience -= 1;
    };
    node.kill().and_then(|()| node.wait()).expect("it is gone");
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "it did not leave");
}
