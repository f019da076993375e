//! Shows a torrent: a table for people, JSON for programs.

use std::fmt;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use sta_core::model::address::Address;
use sta_core::model::files::{File, FileKind, Link};
use sta_core::model::ids::InfoHash;
use sta_core::model::metainfo::Metainfo;

/// Cautions shown at most; a folder from another system may have thousands.
const CAUTIONS_MAX: usize = 10;

/// A torrent as it is shown. Its fields are what `show --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct TorrentView {
    /// The name of the file or the folder.
    pub name: String,
    /// The torrent's identity, 40 hexadecimal digits.
    pub info_hash: InfoHash,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes of a piece.
    pub piece_bytes: u32,
    /// Number of pieces.
    pub pieces: u32,
    /// What pieces are verified by: `blake3` or `sha1`.
    pub verified_by: &'static str,
    /// Whether it asks to be shared through its own trackers only.
    pub private: bool,
    /// The trackers that speak STA.
    pub trackers: Vec<Address>,
    /// All trackers as they are written, in tiers.
    pub announce: Vec<Vec<String>>,
    /// Free text.
    pub comment: Option<String>,
    /// The program that made it.
    pub created_by: Option<String>,
    /// When it was made, in seconds since 1970.
    pub creation_date: Option<i64>,
    /// Whether the files lie in a folder called `name`.
    pub folder: bool,
    /// The files, without padding.
    pub files: Vec<FileView>,
    /// The symbolic links.
    pub links: Vec<LinkView>,
    /// What a user on another system should know of the names.
    pub cautions: Vec<String>,
}

/// A file as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct FileView {
    /// From inside the torrent's folder, with `/` between components.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// Whether it is to be executed.
    pub executable: bool,
}

/// A symbolic link as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct LinkView {
    /// From inside the torrent's folder, with `/` between components.
    pub path: String,
    /// Where it leads, likewise.
    pub to: String,
}

impl TorrentView {
    /// What there is to be shown of `torrent`.
    #[must_use]
    pub fn new(torrent: &Metainfo) -> Self {
        let (files, layout, about) = (torrent.files(), torrent.layout(), torrent.about());
        let real = files.as_slice().iter().filter(|file| !file.is_padding());
        Self {
            name: torrent.name().to_owned(),
            info_hash: torrent.info_hash(),
            total_bytes: layout.total(),
            piece_bytes: layout.piece_bytes(),
            pieces: layout.pieces(),
            verified_by: if torrent.hashes().has_blake3() { "blake3" } else { "sha1" },
            private: about.private,
            trackers: torrent.trackers().to_vec(),
            announce: torrent.announce().to_vec(),
            comment: about.comment.clone(),
            created_by: about.created_by.clone(),
            creation_date: about.creation_date,
            folder: files.is_folder(),
            files: real.map(FileView::new).collect(),
            links: files.links().iter().map(LinkView::new).collect(),
            cautions: files.cautions(CAUTIONS_MAX).iter().map(ToString::to_string).collect(),
        }
    }
}

impl FileView {
    fn new(file: &File) -> Self {
        let executable = file.kind == FileKind::Executable;
        Self { path: file.path.clone(), bytes: file.len, executable }
    }
}

impl LinkView {
    fn new(link: &Link) -> Self {
        Self { path: link.path.clone(), to: link.to.clone() }
    }
}

impl fmt::Display for TorrentView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |key: &str, value: &dyn fmt::Display| writeln!(f, "{key:<12}  {value}");
        row("name", &Plain(&self.name))?;
        row("info-hash", &self.info_hash)?;
        row(
            "size",
            &format_args!("{} ({} bytes)", HumanBytes(self.total_bytes), self.total_bytes),
        )?;
        let pieces = HumanCount(self.pieces.into());
        row("pieces", &format_args!("{pieces} of {}", HumanBytes(self.piece_bytes.into())))?;
        let verified_by = if self.verified_by == "blake3" { "BLAKE3" } else { "SHA-1" };
        row("verified by", &verified_by)?;
        for (tier, urls) in (1..).zip(&self.announce) {
            for url in urls {
                let foreign = !url.starts_with(sta_core::model::address::TRACKER_SCHEME);
                let note = if foreign { " (does not speak STA, not used)" } else { "" };
                row(&format!("tracker {tier}"), &format_args!("{}{note}", Plain(url)))?;
            }
        }
        if self.private {
            row("private", &"yes: shared through its own trackers only")?;
        }
        for (key, text) in [("comment", &self.comment), ("created by", &self.created_by)] {
            if let Some(text) = text {
                row(key, &Plain(text))?;
            }
        }
        if let Some(date) = self.creation_date {
            match jiff::Timestamp::from_second(date) {
                Ok(moment) => row("created", &moment)?,
                Err(_) => row("created", &format_args!("{date} (no date)"))?,
            }
        }
        row("files", &HumanCount(self.files.len() as u64))?;
        for file in &self.files {
            let mark = if file.executable { " (executable)" } else { "" };
            let bytes = HumanBytes(file.bytes).to_string();
            writeln!(f, "{bytes:>12}  {}{mark}", Plain(&file.path))?;
        }
        for LinkView { path, to } in &self.links {
            writeln!(f, "{:>12}  {} -> {}", "link", Plain(path), Plain(to))?;
        }
        self.cautions.iter().try_for_each(|caution| writeln!(f, "caution: {caution}"))
    }
}

/// A text from a stranger, without what could command a terminal or turn the line around.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        for c in self.0.chars() {
            if c.is_control() || turns(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}
