//! Fetches the `.torrent` file that a link names from the tracker that the link names.
//!
//! Invariant: what is returned has the link's info-hash. What STA adds to a torrent is not covered by it, so it is believed
//! only if the link has the hash of the whole file; otherwise pieces are verified by SHA-1, which is covered.

use std::sync::Arc;

use sta_core::model::metainfo::Metainfo;
use sta_core::run::torrent::fetch;
use sta_net_tcp::TcpTransport;

use super::context::Context;
use super::link::Link;
use crate::exit::Failure;

/// The torrent that `link` names.
///
/// # Errors
/// If the tracker cannot be reached or has not got it, or if what it gives is something else.
pub(super) async fn metainfo(link: &Link, ctx: &mut Context) -> Result<Arc<Metainfo>, Failure> {
    let transport = TcpTransport::new();
    let bytes = tokio::select! {
        biased;
        () = ctx.interrupt.asked() => return Err(Failure::interrupted()),
        bytes = fetch(&transport, &link.tracker, link.info_hash) => bytes.map_err(|error| {
            Failure::of(error).advise("is `sta-node share` still running there?")
        })?,
    };
    judge(link, bytes).map(Arc::new)
}

/// Whether `bytes` are what `link` names; and what of them may be believed.
fn judge(link: &Link, bytes: Vec<u8>) -> Result<Metainfo, Failure> {
    let refused = |reason: String| {
        Failure::start(format_args!("the .torrent file from {}", link.tracker), reason)
    };
    let whole_file_is_right = match link.torrent_hash {
        Some(hash) if hash == blake3::hash(&bytes) => true,
        Some(_) => return Err(refused("it is not the one that the link names".to_owned())),
        None => false,
    };
    let torrent = Metainfo::parse(bytes).map_err(|error| refused(error.to_string()))?;
    if torrent.info_hash() != link.info_hash {
        return Err(refused(format!(
            "it is about {}, not {}",
            torrent.info_hash(),
            link.info_hash
        )));
    }
    if whole_file_is_right {
        return Ok(torrent);
    }
    let url = link.tracker.tracker_url();
    let mut believed = format!("d8:announce{}:{url}4:info", url.len()).into_bytes();
    believed.extend_from_slice(torrent.info_bytes());
    believed.push(b'e');
    Metainfo::parse(believed).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sta_core::model::files::{FileKind, Files};
    use sta_core::model::ids::InfoHash;
    use sta_core::model::metainfo::{About, Builder, Metainfo};

    use super::{Link, judge};

    fn torrent(sha1: u8, blake3: u8) -> Metainfo {
        let builder = Builder {
            files: Files::single("a".to_owned(), 1, FileKind::Plain).expect("a name"),
            piece_bytes: 65_536,
            sha1: Bytes::from(vec![sha1; 20]),
            blake3: Some(Bytes::from(vec![blake3; 32])),
            trackers: Vec::new(),
            about: About::default(),
        };
        builder.build().expect("a torrent")
    }

    fn link(info_hash: InfoHash, torrent_hash: Option<blake3::Hash>) -> Link {
        Link { tracker: "10.0.0.1:7".parse().expect("an address"), info_hash, torrent_hash }
    }

    #[test]
    fn what_sta_adds_is_believed_only_with_the_hash_of_the_whole_file() {
        let torrent = torrent(1, 2);
        let bytes = torrent.bytes().to_vec();
        let whole = link(torrent.info_hash(), Some(blake3::hash(&bytes)));
        assert_eq!(judge(&whole, bytes.clone()), Ok(torrent.clone()));
        let short = judge(&link(torrent.info_hash(), None), bytes).expect("it is the one named");
        assert_eq!(short.info_hash(), torrent.info_hash());
        assert!(torrent.hashes().has_blake3() && !short.hashes().has_blake3());
        assert_eq!(short.trackers(), ["10.0.0.1:7".parse().expect("an address")]);
    }

    #[test]
    fn another_torrent_is_refused() {
        let (wanted, other) = (torrent(1, 2), torrent(3, 2));
        // The same info-hash, and BLAKE3 hashes of something else.
        let forged = torrent(1, 9);
        assert_eq!(wanted.info_hash(), forged.info_hash());
        let hash = Some(blake3::hash(wanted.bytes()));
        for (bytes, hash) in [(other.bytes(), None), (forged.bytes(), hash), (&Bytes::new(), None)]
        {
            assert!(judge(&link(wanted.info_hash(), hash), bytes.to_vec()).is_err());
        }
    }
}
