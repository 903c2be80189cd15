//! The outbox against a plain vector of bytes, with partial writes at every offset.

use proptest::prelude::*;

use super::*;

fn content(outbox: &Outbox) -> Vec<u8> {
    outbox.pieces(usize::MAX).flatten().copied().collect()
}

#[test]
fn a_partial_write_at_every_offset_leaves_the_rest() {
    let bytes: Vec<u8> = (0..9000u32).map(|n| n.to_le_bytes()[0]).collect();
    for cut in 0..=bytes.len() {
        let mut pool = ChunkPool::default();
        let mut outbox = Outbox::default();
        for frame in bytes.chunks(1000) {
            outbox.push(frame, &mut pool);
        }
        outbox.advance(cut, &mut pool);
        assert_eq!(outbox.queued(), bytes.len() - cut);
        assert_eq!(content(&outbox), bytes[cut..]);
    }
}

#[test]
fn an_empty_outbox_holds_no_chunk() {
    let mut pool = ChunkPool::default();
    let mut outbox = Outbox::default();
    outbox.push(&[7; CHUNK_BYTES * 3], &mut pool);
    outbox.push(b"and one more", &mut pool);
    outbox.advance(outbox.queued(), &mut pool);
    assert!(outbox.is_empty());
    assert_eq!(outbox.open.size(), 0);
    assert!(outbox.sealed.is_empty());
}

proptest! {
    #[test]
    fn the_outbox_is_a_queue_of_bytes(
        steps in prop::collection::vec((0..3usize, 0..70_000usize), 1..60)
    ) {
        let mut pool = ChunkPool::default();
        let mut outbox = Outbox::default();
        let mut model: Vec<u8> = Vec::new();
        let mut next = 0u8;
        for (kind, size) in steps {
            if kind < 2 {
                let size = if kind == 0 { size % 200 } else { size };
                let mut step = || { next = next.wrapping_add(1); next };
                let frame: Vec<u8> = (0..size).map(|_| step()).collect();
                outbox.push(&frame, &mut pool);
                model.extend_from_slice(&frame);
            } else {
                let count = size.min(outbox.queued());
                outbox.advance(count, &mut pool);
                model.drain(..count);
            }
            prop_assert_eq!(outbox.queued(), model.len());
            prop_assert_eq!(outbox.is_empty(), model.is_empty());
        }
        prop_assert_eq!(content(&outbox), model);
    }
}
