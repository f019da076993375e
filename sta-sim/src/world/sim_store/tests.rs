use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use sta_core::io::clock::{Clock, RuntimeClock};
use sta_core::io::store::{Body, PieceStore};
use sta_core::model::layout::Layout;
use sta_core::model::time::Time;

use super::{Disk, SimStore};
use crate::scenario::driver::DiskState;
use crate::world::content::Content;
use crate::world::durable::NOT_DURABLE_BYTES;

const PIECE: u32 = 16 << 10;
/// Three pieces and a bit.
const TOTAL: u64 = 3 * PIECE as u64 + 1_000;

fn store_on(disk: Disk) -> (SimStore, Vec<u8>) {
    let content = Content::new("c", 1, Layout::new(TOTAL, PIECE).expect("in bounds"));
    let mut bytes = vec![0; TOTAL as usize];
    content.fill(0, &mut bytes);
    (SimStore::new("disk", Arc::new(content), Arc::new(disk)), bytes)
}

fn read(store: &SimStore, offset: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0xAA; len];
    store.read(offset, &mut buf).expect("inside");
    buf
}

/// What a verifier says to the bytes that lie in the store, given in parts.
fn verdict(store: &SimStore, piece: u32) -> bool {
    let bytes =
        read(store, store.layout().piece_offset(piece), store.layout().piece_len(piece) as usize);
    let mut verifier = store.verifier(piece);
    bytes.chunks(5_000).for_each(|part| verifier.update(part));
    verifier.verdict()
}

fn body(store: &SimStore, offset: u64, len: u32) -> Vec<u8> {
    match store.body(offset, len).expect("inside") {
        Body::Bytes(bytes) => bytes.to_vec(),
        Body::Files(_) => panic!("there are no files here"),
    }
}

#[test]
fn what_is_seeded_is_there_and_verifies() {
    let (store, bytes) = store_on(Disk::new(DiskState::default(), None));
    store.seed(1);
    store.seed(3);
    assert_eq!(store.intact().iter().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(read(&store, 16_384, 16_384), bytes[16_384..32_768]);
    assert_eq!(read(&store, 0, 16_384), vec![0; 16_384], "never written");
    assert!(verdict(&store, 3) && !verdict(&store, 0));
}

#[test]
fn a_verifier_is_ready_for_the_first_byte_again() {
    let (store, bytes) = store_on(Disk::new(DiskState::default(), None));
    let mut verifier = store.verifier(3);
    let piece = &bytes[3 * PIECE as usize..];
    for (data, good) in
        [(&piece[..999], false), (piece, true), (&bytes[..1_000], false), (piece, true)]
    {
        verifier.update(data);
        assert_eq!(verifier.verdict(), good, "{} bytes", data.len());
    }
    verifier.update(piece);
    verifier.update(&[0]);
    assert!(!verifier.verdict(), "a byte too many");
}

#[test]
fn corruption_is_seen_by_everybody_who_looks() {
    let (store, bytes) = store_on(Disk::new(DiskState::default(), None));
    (0..4).for_each(|piece| store.seed(piece));
    assert_eq!(store.corrupt(2), 512);
    assert_eq!(store.intact().iter().collect::<Vec<_>>(), [0, 1, 3]);
    assert!(!verdict(&store, 2) && verdict(&store, 1));
    let range = 2 * PIECE as usize..3 * PIECE as usize;
    assert_ne!(body(&store, range.start as u64, PIECE), bytes[range.clone()]);
    store.write(range.start as u64, &bytes[range]).expect("space");
    assert!(verdict(&store, 2), "written again, it is good");
}

#[test]
fn a_power_failure_takes_what_was_not_durable() {
    let (store, bytes) = store_on(Disk::new(DiskState::default(), None));
    store.seed(0);
    store.write(16_384, &bytes[16_384..32_768]).expect("space");
    assert!(verdict(&store, 1));
    assert_eq!(store.lose_power(false), 16_384);
    assert_eq!(store.intact().iter().collect::<Vec<_>>(), [0]);
    store.write(16_384, &bytes[16_384..32_768]).expect("space");
    store.finish().expect("nothing can fail");
    assert_eq!(store.lose_power(false), 0, "it was made durable");
    assert!(NOT_DURABLE_BYTES > u64::from(PIECE));
}

/// The room of what was written twice was given back twice: more fitted on the disk than its capacity.
#[test]
fn what_was_written_twice_is_lost_once() {
    for torn in [false, true] {
        let (store, bytes) = store_on(Disk::new(DiskState::default(), Some(40_000)));
        store.seed(0);
        let write =
            |piece: usize| store.write(piece as u64 * 16_384, &bytes[piece * 16_384..][..16_384]);
        write(1).expect("it fits");
        write(1).expect("it needs no room");
        assert_eq!(store.lose_power(torn), if torn { 8_192 } else { 16_384 });
        write(1).expect("there is room again");
        assert!(write(2).is_err(), "three pieces are more than fit");
    }
}

#[test]
fn a_torn_write_is_half_there() {
    let (store, bytes) = store_on(Disk::new(DiskState::default(), None));
    store.write(0, &bytes[..16_384]).expect("space");
    store.write(16_384, &bytes[16_384..32_768]).expect("space");
    assert_eq!(store.lose_power(true), 8_192);
    assert!(verdict(&store, 0) && !verdict(&store, 1));
    assert_eq!(read(&store, 16_384, 8_192), bytes[16_384..24_576]);
    assert_eq!(read(&store, 24_576, 8_192), vec![0; 8_192]);
}

#[test]
fn a_full_disk_refuses_what_is_new_and_a_wiped_one_is_empty() {
    let (store, bytes) = store_on(Disk::new(DiskState::default(), Some(20_000)));
    store.write(0, &bytes[..16_384]).expect("it fits");
    let refused = store.write(16_384, &bytes[16_384..32_768]).expect_err("it does not");
    assert!(refused.passing && refused.to_string().contains("no space left"), "{refused}");
    store.write(0, &bytes[..16_384]).expect("what is there needs no space");
    assert_eq!(store.disk.take_refused(), 1);
    store.empty();
    assert!(store.intact().is_empty());
    store.write(16_384, &bytes[16_384..32_768]).expect("there is space again");
    store.disk.set(DiskState { full: true, ..DiskState::default() });
    assert!(store.write(0, &bytes[..1]).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_slow_disk_takes_time_and_a_change_of_speed_counts_from_then_on() {
    let clock = Arc::new(RuntimeClock::start());
    let (store, _) = store_on(Disk::new(DiskState::default(), None));
    store.disk.restart(Arc::clone(&clock) as Arc<dyn Clock>);
    assert!(store.writing(1 << 20).is_none());
    let rates = |read, write| DiskState { read: Some(read), write: Some(write), full: false };
    let since_then = |then: Time| clock.now().since(then).as_millis();
    store.disk.set(rates(10_000_000, 1_000_000));
    let write = store.writing(500_000).expect("it takes time");
    let read = store.reading(1_000_000).expect("it takes time");
    let nobody_waits_for_it = store.writing(100_000);
    drop(nobody_waits_for_it);
    let last = store.reading(1_000_000).expect("it takes time");
    read.await;
    assert_eq!(since_then(Time::ZERO), 600, "one after the other");
    write.await;
    last.await;
    assert_eq!(since_then(Time::ZERO), 800, "what nobody waits for takes its time too");
    for (rate, took) in [(5_000_000, 600), (500_000, 1_500)] {
        store.disk.set(rates(10_000_000, 1_000_000));
        let (begun, write) = (clock.now(), store.writing(1_000_000).expect("it takes time"));
        let change = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            store.disk.set(rates(10_000_000, rate));
        };
        tokio::join!(write, change);
        assert_eq!(since_then(begun), took, "half of it at {rate} bytes a second");
    }
}

#[test]
fn what_cannot_be_read_is_there_all_the_same_and_is_mended_by_writing() {
    let (store, bytes) = store_on(Disk::new(DiskState::default(), None));
    (0..4).for_each(|piece| store.seed(piece));
    [1, 2].iter().for_each(|piece| store.set_readable(*piece, false));
    let error = store.body(16_384 + 8_192, 1).expect_err("the disk does not give it");
    assert_eq!((error.to_string().as_str(), error.passing), ("disk: Input/output error", false));
    assert!(store.read(0, &mut [0; 16_385]).is_err(), "not a byte of it");
    assert_eq!(body(&store, 0, 16_384), bytes[..16_384]);
    assert_eq!((store.intact().count(), store.found().ranges().len()), (4, 2));
    store.write(16_384, &bytes[16_384..32_768]).expect("space");
    assert_eq!(read(&store, 16_384, 16_384), bytes[16_384..32_768]);
    assert_eq!(store.unreadable().iter().collect::<Vec<_>>(), [2]);
    store.set_readable(2, true);
    assert!(verdict(&store, 2) && store.found().is_full());
    store.set_readable(3, false);
    store.empty();
    assert!(store.unreadable().is_empty(), "another disk");
}

#[test]
fn outside_of_the_content_is_an_error() {
    let (store, _) = store_on(Disk::new(DiskState::default(), None));
    for (offset, len) in [(TOTAL, 1), (u64::MAX, 2), (0, TOTAL as usize + 1)] {
        assert!(store.write(offset, &vec![0; len]).is_err(), "{offset} {len}");
        assert!(store.read(offset, &mut vec![0; len]).is_err(), "{offset} {len}");
        assert!(store.body(offset, len as u32).is_err(), "{offset} {len}");
    }
}

/// A write of right or wrong bytes, a corruption, or a failure of the power.
#[derive(Clone, Debug)]
enum Step {
    Write { offset: u64, len: u64, wrong: bool },
    Corrupt(u32),
    Power { torn: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..TOTAL, 1..40_000u64, prop::bool::weighted(0.2))
            .prop_map(|(offset, len, wrong)| Step::Write { offset, len: len.min(TOTAL - offset), wrong }),
        1 => (0u32..4).prop_map(Step::Corrupt),
        1 => any::<bool>().prop_map(|torn| Step::Power { torn }),
    ]
}

proptest! {
    /// The memo never hides a corrupted piece: verdicts and `intact` are what real hashes say of the bytes that are read.
    #[test]
    fn verdicts_are_those_of_real_hashes(steps in prop::collection::vec(step(), 0..30)) {
        let (store, truth) = store_on(Disk::new(DiskState::default(), None));
        let mut model = vec![0; TOTAL as usize];
        for step in steps {
            match step {
                Step::Write { offset, len, wrong } => {
                    let range = offset as usize..(offset + len) as usize;
                    let mut data = truth[range.clone()].to_vec();
                    if wrong {
                        let at = data.len() / 3;
                        data[at] ^= 1;
                    }
                    store.write(offset, &data).expect("space");
                    model[range].copy_from_slice(&data);
                }
                Step::Corrupt(piece) => { store.corrupt(piece); model = read(&store, 0, TOTAL as usize); }
                Step::Power { torn } => { store.lose_power(torn); model = read(&store, 0, TOTAL as usize); }
            }
            prop_assert!(read(&store, 0, TOTAL as usize) == model);
        }
        for piece in 0..4 {
            let start = store.layout().piece_offset(piece) as usize;
            let range = start..start + store.layout().piece_len(piece) as usize;
            let good = blake3::hash(&model[range.clone()]) == blake3::hash(&truth[range.clone()]);
            prop_assert_eq!(verdict(&store, piece), good);
            prop_assert_eq!(store.intact().contains(piece), good);
            prop_assert_eq!(body(&store, range.start as u64, range.len() as u32), &model[range]);
        }
    }
}
