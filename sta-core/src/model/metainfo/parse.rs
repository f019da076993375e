//! Reads a `.torrent` file. Each dictionary is walked once; what is not known is passed over.

use bytes::Bytes;

use super::{About, Metainfo, MetainfoError, PieceHashes, STA_VERSION, info_hash};
use crate::model::address::{Address, TRACKER_SCHEME};
use crate::model::bencode::{self, Dict, List, Value};
use crate::model::files::{FileKind, Files, FilesError, Link, NewFile};
use crate::model::layout::{Layout, LayoutError};
use crate::model::limits;

/// The keys of the whole file, as found.
#[derive(Default)]
struct Top<'a> {
    announce: Option<Value<'a>>,
    announce_list: Option<Value<'a>>,
    comment: Option<Value<'a>>,
    created_by: Option<Value<'a>>,
    creation_date: Option<Value<'a>>,
    info: Option<Value<'a>>,
    sta: Option<Value<'a>>,
}

/// The keys of `info`, as found.
#[derive(Default)]
struct Info<'a> {
    attr: Option<Value<'a>>,
    files: Option<Value<'a>>,
    file_tree: Option<Value<'a>>,
    length: Option<Value<'a>>,
    name: Option<Value<'a>>,
    piece_length: Option<Value<'a>>,
    pieces: Option<Value<'a>>,
    private: Option<Value<'a>>,
}

pub(super) fn torrent(torrent: &Bytes) -> Result<Metainfo, MetainfoError> {
    if torrent.len() > limits::TORRENT_BYTES_MAX {
        return Err(MetainfoError::TooLarge(torrent.len() as u64));
    }
    let top = Top::read(dict(bencode::decode(torrent)?, "torrent")?);
    let info = dict(top.info.ok_or(MetainfoError::Missing("info"))?, "info")?;
    let raw = torrent.slice_ref(info.raw());
    let info = Info::read(info);

    let pieces = match (info.pieces, info.file_tree) {
        (Some(pieces), _) => bytes(pieces, "info/pieces")?,
        (None, Some(_)) => return Err(MetainfoError::Version2),
        (None, None) => return Err(MetainfoError::Missing("info/pieces")),
    };
    let files = info.read_files()?;
    let layout = info.read_layout(files.total())?;
    let blake3 = top.sta.map(read_sta).transpose()?.flatten();
    let hashes = PieceHashes::new(
        layout.pieces(),
        torrent.slice_ref(pieces),
        blake3.map(|hashes| torrent.slice_ref(hashes)),
    )?;
    let announce = top.read_announce()?;
    let about = About {
        comment: top.comment.map(|v| lossy_text(v, "comment")).transpose()?,
        created_by: top.created_by.map(|v| lossy_text(v, "created by")).transpose()?,
        creation_date: top.creation_date.map(|v| int(v, "creation date")).transpose()?,
        private: info.private.map(|v| int(v, "info/private")).transpose()?.unwrap_or(0) != 0,
    };
    Ok(Metainfo {
        info_hash: info_hash(&raw),
        trackers: sta_trackers(&announce)?,
        info: raw,
        torrent: torrent.clone(),
        files,
        layout,
        hashes,
        announce,
        about,
    })
}

impl<'a> Top<'a> {
    fn read(dict: Dict<'a>) -> Self {
        let mut top = Self::default();
        for (key, value) in dict.iter() {
            let slot = match key {
                b"announce" => &mut top.announce,
                b"announce-list" => &mut top.announce_list,
                b"comment" => &mut top.comment,
                b"created by" => &mut top.created_by,
                b"creation date" => &mut top.creation_date,
                b"info" => &mut top.info,
                b"sta" => &mut top.sta,
                _ => continue,
            };
            *slot = Some(value);
        }
        top
    }

    /// The tiers of trackers: `announce-list` where it is there (BEP 12), else `announce`. A tracker of STA that stands in
    /// `announce` alone is added, since a program that does not know it may have been the one that made the list.
    fn read_announce(&self) -> Result<Vec<Vec<String>>, MetainfoError> {
        let mut tiers = Vec::new();
        for tier in self
            .announce_list
            .map(|v| list(v, "announce-list"))
            .transpose()?
            .into_iter()
            .flat_map(List::iter)
        {
            let tier = list(tier, "announce-list")?.iter();
            let tier =
                tier.map(|v| lossy_text(v, "announce-list")).collect::<Result<Vec<_>, _>>()?;
            if !tier.is_empty() {
                tiers.push(tier);
            }
        }
        let announce = self.announce.map(|v| lossy_text(v, "announce")).transpose()?;
        if let Some(first) = announce.filter(|url| !url.is_empty()) {
            let listed = tiers.iter().flatten().any(|url| *url == first);
            if tiers.is_empty() || (!listed && first.starts_with(TRACKER_SCHEME)) {
                tiers.insert(0, vec![first]);
            }
        }
        Ok(tiers)
    }
}

impl<'a> Info<'a> {
    fn read(dict: Dict<'a>) -> Self {
        let mut info = Self::default();
        for (key, value) in dict.iter() {
            let slot = match key {
                b"attr" => &mut info.attr,
                b"files" => &mut info.files,
                b"file tree" => &mut info.file_tree,
                b"length" => &mut info.length,
                b"name" => &mut info.name,
                b"piece length" => &mut info.piece_length,
                b"pieces" => &mut info.pieces,
                b"private" => &mut info.private,
                _ => continue,
            };
            *slot = Some(value);
        }
        info
    }

    fn read_files(&self) -> Result<Files, MetainfoError> {
        let name = self.name.ok_or(MetainfoError::Missing("info/name"))?;
        let name = text(name, "info/name")?.to_owned();
        match (self.length, self.files) {
            (Some(length), None) => {
                let attr = read_attr(self.attr, "info/attr")?;
                if attr.contains(&b'l') {
                    return Err(MetainfoError::Link(name));
                }
                // An only file is there to be had, whatever else is said of it.
                let kind = Some(kind_of(attr)).filter(|kind| *kind != FileKind::Padding);
                let kind = kind.unwrap_or(FileKind::Plain);
                Ok(Files::single(name, count(length, "info/length")?, kind)?)
            }
            (None, Some(files)) => {
                let mut links = Vec::new();
                let files =
                    list(files, "info/files")?.iter().filter_map(|entry| match read_entry(entry) {
                        Ok(Entry::File(file)) => Some(Ok(file)),
                        Ok(Entry::Link(link)) => {
                            links.push(link);
                            None
                        }
                        Err(error) => Some(Err(error)),
                    });
                let files = Files::folder(name, files)?;
                Ok(files.with_links(links)?)
            }
            (Some(_), Some(_)) => Err(MetainfoError::SingleAndMulti),
            (None, None) => Err(MetainfoError::Missing("info/length")),
        }
    }

    fn read_layout(&self, total: u64) -> Result<Layout, MetainfoError> {
        let bytes = self.piece_length.ok_or(MetainfoError::Missing("info/piece length"))?;
        let bytes = count(bytes, "info/piece length")?;
        let piece_bytes = u32::try_from(bytes).map_err(|_| LayoutError::PieceBytes(bytes))?;
        Ok(Layout::new(total, piece_bytes)?)
    }
}

/// One entry of `files`.
enum Entry {
    File(NewFile),
    Link(Link),
}

fn read_entry(value: Value<'_>) -> Result<Entry, MetainfoError> {
    let (mut attr, mut length, mut components, mut to) = (None, None, None, None);
    for (key, value) in dict(value, "info/files")?.iter() {
        match key {
            b"attr" => attr = Some(value),
            b"length" => length = Some(value),
            b"path" => components = Some(value),
            b"symlink path" => to = Some(value),
            _ => {}
        }
    }
    let path = read_path(components, "info/files/path")?;
    let attr = read_attr(attr, "info/files/attr")?;
    if attr.contains(&b'l') {
        let to = read_path(to, "info/files/symlink path")?;
        return Ok(Entry::Link(Link { path, to }));
    }
    let length = length.ok_or(MetainfoError::Missing("info/files/length"))?;
    let len = count(length, "info/files/length")?;
    Ok(Entry::File(NewFile { path, len, kind: kind_of(attr) }))
}

fn read_attr<'a>(attr: Option<Value<'a>>, key: &'static str) -> Result<&'a [u8], MetainfoError> {
    Ok(attr.map(|value| bytes(value, key)).transpose()?.unwrap_or_default())
}

/// What a file with these attributes (BEP 47) is for. Those that are not known are passed over.
fn kind_of(attr: &[u8]) -> FileKind {
    if attr.contains(&b'p') {
        FileKind::Padding
    } else if attr.contains(&b'x') {
        FileKind::Executable
    } else {
        FileKind::Plain
    }
}

fn read_path(components: Option<Value<'_>>, key: &'static str) -> Result<String, MetainfoError> {
    join(list(components.ok_or(MetainfoError::Missing(key))?, key)?, key)
}

/// Joins components by `/`. One that has a separator inside would be taken for two: refused here, before it is joined.
fn join(components: List<'_>, key: &'static str) -> Result<String, MetainfoError> {
    let mut path = String::new();
    for (i, component) in components.iter().enumerate() {
        let component = text(component, key)?;
        if component.contains('/') {
            return Err(FilesError::separator(component).into());
        }
        if i > 0 {
            path.push('/');
        }
        path.push_str(component);
    }
    Ok(path)
}

/// The BLAKE3 hashes in the `sta` key, if it has any.
fn read_sta(value: Value<'_>) -> Result<Option<&[u8]>, MetainfoError> {
    let (mut version, mut blake3) = (None, None);
    for (key, value) in dict(value, "sta")?.iter() {
        match key {
            b"version" => version = Some(value),
            b"blake3" => blake3 = Some(value),
            _ => {}
        }
    }
    let version = int(version.ok_or(MetainfoError::Missing("sta/version"))?, "sta/version")?;
    if version != STA_VERSION {
        return Err(MetainfoError::StaVersion(version));
    }
    blake3.map(|hashes| bytes(hashes, "sta/blake3")).transpose()
}

fn sta_trackers(announce: &[Vec<String>]) -> Result<Vec<Address>, MetainfoError> {
    let mut trackers = Vec::new();
    for url in announce.iter().flatten().filter(|url| url.starts_with(TRACKER_SCHEME)) {
        let address = Address::from_tracker_url(url)?;
        if !trackers.contains(&address) {
            if trackers.len() == limits::TRACKERS_MAX {
                return Err(MetainfoError::TooManyTrackers);
            }
            trackers.push(address);
        }
    }
    Ok(trackers)
}

fn dict<'a>(value: Value<'a>, key: &'static str) -> Result<Dict<'a>, MetainfoError> {
    value.as_dict().ok_or(MetainfoError::Kind { key, expected: "a dictionary" })
}

fn list<'a>(value: Value<'a>, key: &'static str) -> Result<List<'a>, MetainfoError> {
    value.as_list().ok_or(MetainfoError::Kind { key, expected: "a list" })
}

fn int(value: Value<'_>, key: &'static str) -> Result<i64, MetainfoError> {
    value.as_int().ok_or(MetainfoError::Kind { key, expected: "a number" })
}

fn count(value: Value<'_>, key: &'static str) -> Result<u64, MetainfoError> {
    let value = int(value, key)?;
    u64::try_from(value).map_err(|_| MetainfoError::Negative { key, value })
}

fn bytes<'a>(value: Value<'a>, key: &'static str) -> Result<&'a [u8], MetainfoError> {
    value.as_bytes().ok_or(MetainfoError::Kind { key, expected: "a string" })
}

/// A text that means something exact: a name.
fn text<'a>(value: Value<'a>, key: &'static str) -> Result<&'a str, MetainfoError> {
    let text = std::str::from_utf8(bytes(value, key)?);
    text.map_err(|_| MetainfoError::Kind { key, expected: "text in UTF-8" })
}

/// A text that is only shown.
fn lossy_text(value: Value<'_>, key: &'static str) -> Result<String, MetainfoError> {
    Ok(String::from_utf8_lossy(bytes(value, key)?).into_owned())
}
