//! Writes a `.torrent` file, and reads it back: what is made here can be used here.

use bytes::Bytes;

use super::{About, Metainfo, MetainfoError, PieceHashes, STA_VERSION};
use crate::model::address::Address;
use crate::model::bencode::{DictWriter, Writer};
use crate::model::files::{File, FileKind, Files};
use crate::model::layout::Layout;

/// What a torrent is made from.
#[derive(Clone, Debug)]
pub struct Builder {
    /// The files, and the name.
    pub files: Files,
    /// Bytes of a piece.
    pub piece_bytes: u32,
    /// SHA-1 of every piece, one after the other.
    pub sha1: Bytes,
    /// BLAKE3 of every piece, one after the other; without it, a plain BitTorrent torrent is made.
    pub blake3: Option<Bytes>,
    /// Trackers that speak STA, each a tier of its own.
    pub trackers: Vec<Address>,
    /// What nothing depends on.
    pub about: About,
}

impl Builder {
    /// Makes the torrent.
    ///
    /// # Errors
    /// If the piece size is out of bounds or the hashes are not those of as many pieces.
    pub fn build(&self) -> Result<Metainfo, MetainfoError> {
        let layout = Layout::new(self.files.total(), self.piece_bytes)?;
        PieceHashes::new(layout.pieces(), self.sha1.clone(), self.blake3.clone())?;
        let mut writer = Writer::default();
        writer.dict(|top| self.write(top));
        Metainfo::parse(writer.into_bytes())
    }

    fn write(&self, top: &mut DictWriter<'_>) {
        if let Some(first) = self.trackers.first() {
            top.key("announce").bytes(first.tracker_url());
        }
        if self.trackers.len() > 1 {
            top.key("announce-list").list(|tiers| {
                for tracker in &self.trackers {
                    tiers.list(|tier| tier.bytes(tracker.tracker_url()));
                }
            });
        }
        if let Some(comment) = &self.about.comment {
            top.key("comment").bytes(comment);
        }
        if let Some(program) = &self.about.created_by {
            top.key("created by").bytes(program);
        }
        if let Some(date) = self.about.creation_date {
            top.key("creation date").int(date);
        }
        top.key("info").dict(|info| self.write_info(info));
        if let Some(blake3) = &self.blake3 {
            top.key("sta").dict(|sta| {
                sta.key("blake3").bytes(blake3);
                sta.key("version").int(STA_VERSION);
            });
        }
    }

    fn write_info(&self, info: &mut DictWriter<'_>) {
        // Files count their bytes in 63 bits, so nothing is cut off.
        if let ([single], false) = (self.files.as_slice(), self.files.is_folder()) {
            write_attr(single, info);
            info.key("length").int(single.len as i64);
        } else {
            info.key("files").list(|files| {
                for file in self.files.as_slice() {
                    files.dict(|entry| {
                        write_attr(file, entry);
                        entry.key("length").int(file.len as i64);
                        write_path(&file.path, "path", entry);
                    });
                }
                for link in self.files.links() {
                    files.dict(|entry| {
                        entry.key("attr").bytes("l");
                        entry.key("length").int(0);
                        write_path(&link.path, "path", entry);
                        write_path(&link.to, "symlink path", entry);
                    });
                }
            });
        }
        info.key("name").bytes(self.files.name());
        info.key("piece length").int(self.piece_bytes.into());
        info.key("pieces").bytes(&self.sha1);
        if self.about.private {
            info.key("private").int(1);
        }
    }
}

/// What a file is for, as the first key of its dictionary (BEP 47).
fn write_attr(file: &File, entry: &mut DictWriter<'_>) {
    match file.kind {
        FileKind::Plain => {}
        FileKind::Executable => entry.key("attr").bytes("x"),
        FileKind::Padding => entry.key("attr").bytes("p"),
    }
}

fn write_path(path: &str, key: &'static str, entry: &mut DictWriter<'_>) {
    entry.key(key).list(|components| path.split('/').for_each(|c| components.bytes(c)));
}
