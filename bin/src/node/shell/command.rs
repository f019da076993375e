//! The language of the interactive node: the seed document's commands and a few more. Text in, a command out.

/// A command typed, or read from a pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShellCommand {
    /// Share what a torrent describes.
    Seeding(String),
    /// Fetch what a torrent, or a link, describes.
    Download(String),
    /// Describe a file or a folder.
    Maketorrent(String),
    /// Show the node's torrents and trackers.
    Status,
    /// Show the node's peers.
    Peers,
    /// Show the commands.
    Help,
    /// Leave.
    Exit,
}

/// The commands: name, what follows it, what it does.
pub(super) const COMMANDS: [(&str, &str, &str); 7] = [
    ("SEEDING", "TORRENT", "share the data of a torrent"),
    (
        "DOWNLOAD",
        "TORRENT",
        "fetch the data of a torrent, or of what `share` printed, and share it",
    ),
    ("MAKETORRENT", "FILE", "describe a file or a folder in FILE.torrent"),
    ("STATUS", "", "show this node's torrents and trackers"),
    ("PEERS", "", "show the nodes that this one exchanges data with"),
    ("HELP", "", "show this list"),
    ("EXIT", "", "leave; what is verified is kept"),
];

/// Reads a line; `None` if there is nothing on it.
///
/// Commands may be written in any case; names with spaces stand in quotes.
pub(super) fn parse(line: &str) -> Result<Option<ShellCommand>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let words = shlex::split(line)
        .ok_or("a quote is not closed; put names with spaces or quotes inside \"...\"")?;
    let name = words[0].to_uppercase();
    let Some((name, wants, _)) = COMMANDS.iter().find(|(known, ..)| *known == name) else {
        return Err(unknown(&words[0], &name));
    };
    let argument = match (&words[1..], *wants) {
        ([], "") => String::new(),
        ([argument], wants) if !wants.is_empty() => argument.clone(),
        ([], wants) => return Err(format!("{name}: which? write {name} {wants}")),
        (_, "") => return Err(format!("{name}: nothing follows it")),
        (_, wants) => {
            return Err(format!(
                "{name}: one {wants} at a time; names with spaces stand in quotes"
            ));
        }
    };
    Ok(Some(match *name {
        "SEEDING" => ShellCommand::Seeding(argument),
        "DOWNLOAD" => ShellCommand::Download(argument),
        "MAKETORRENT" => ShellCommand::Maketorrent(argument),
        "STATUS" => ShellCommand::Status,
        "PEERS" => ShellCommand::Peers,
        "HELP" => ShellCommand::Help,
        _ => ShellCommand::Exit,
    }))
}

fn unknown(typed: &str, upper: &str) -> String {
    let likeness = |name: &str| strsim::jaro_winkler(upper, name);
    let nearest = COMMANDS
        .iter()
        .map(|(name, ..)| *name)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|name| likeness(name) > 0.7);
    match nearest {
        Some(name) => format!("{typed}: no such command; did you mean {name}?"),
        None => format!("{typed}: no such command; HELP lists them"),
    }
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS, ShellCommand, parse};

    #[test]
    fn the_seed_documents_commands_in_any_case() {
        let file = |name: &str| name.to_owned();
        let table = [
            ("SEEDING a.torrent", ShellCommand::Seeding(file("a.torrent"))),
            ("seeding a.torrent", ShellCommand::Seeding(file("a.torrent"))),
            ("  Download  'my file.torrent' ", ShellCommand::Download(file("my file.torrent"))),
            (
                "MAKETORRENT \"ein Größeres Bild.png\"",
                ShellCommand::Maketorrent(file("ein Größeres Bild.png")),
            ),
            ("maketorrent my\\ file", ShellCommand::Maketorrent(file("my file"))),
            ("status", ShellCommand::Status),
            ("peers", ShellCommand::Peers),
            ("Help", ShellCommand::Help),
            ("exit", ShellCommand::Exit),
        ];
        for (line, want) in table {
            assert_eq!(parse(line), Ok(Some(want)), "{line}");
        }
        assert_eq!((parse("  "), parse("# a script's comment")), (Ok(None), Ok(None)));
    }

    #[test]
    fn what_is_not_understood_is_explained() {
        let table = [
            ("SEDING a.torrent", "SEDING: no such command; did you mean SEEDING?"),
            ("xyzzy", "xyzzy: no such command; HELP lists them"),
            ("DOWNLOAD", "DOWNLOAD: which? write DOWNLOAD TORRENT"),
            (
                "MAKETORRENT a b",
                "MAKETORRENT: one FILE at a time; names with spaces stand in quotes",
            ),
            ("STATUS a", "STATUS: nothing follows it"),
            (
                "SEEDING it's",
                "a quote is not closed; put names with spaces or quotes inside \"...\"",
            ),
        ];
        for (line, want) in table {
            assert_eq!(parse(line), Err(want.to_owned()), "{line}");
        }
    }

    #[test]
    fn every_command_listed_is_understood() {
        for (name, wants, _) in COMMANDS {
            assert!(
                parse(&format!("{name} {wants}")).is_ok_and(|command| command.is_some()),
                "{name}"
            );
        }
    }
}
