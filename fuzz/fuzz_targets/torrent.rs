//! A `.torrent` file from a stranger. What is taken has hashes for every piece, files that fill it to the byte, and paths
//! that stay inside the folder they are given.

#![no_main]

use std::path::Component;

use libfuzzer_sys::fuzz_target;
use sta_core::model::metainfo::Metainfo;

fuzz_target!(|torrent: &[u8]| {
    let Ok(metainfo) = Metainfo::parse(torrent.to_vec()) else { return };
    let (layout, files) = (metainfo.layout(), metainfo.files());
    let again = Metainfo::parse(metainfo.bytes().clone());
    assert_eq!(again.map(|again| again.info_hash()), Ok(metainfo.info_hash()));
    assert_eq!(metainfo.hashes().pieces(), layout.pieces());
    let last = layout.pieces().saturating_sub(1);
    for piece in [0, last] {
        assert_eq!(metainfo.hashes().sha1(piece).is_some(), layout.pieces() > 0);
        let (from, len) = (layout.piece_offset(piece), layout.piece_len(piece));
        let spans: u64 = files.spans(from, len.into()).map(|span| span.len).sum();
        assert_eq!(spans, u64::from(len));
    }
    let held: u64 = files.as_slice().iter().map(|file| file.len).sum();
    assert_eq!(held, layout.total());
    for index in 0..files.as_slice().len().min(1_000) {
        let path = files.disk_path(index);
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        assert!(path.components().all(inside) && path.components().count() > 0, "{path:?}");
    }
    let _ = files.cautions(16);
});
