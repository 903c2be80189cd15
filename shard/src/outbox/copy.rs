//! Copying what is short: most parts of a message are, and calling `memcpy` costs more than moving
//! them.

/// Copies `from` to the head of `to`, and returns what is behind it. What does not fit is not
/// copied at all: who asks for room asks for enough.
#[inline(always)]
pub fn put<'a>(to: &'a mut [u8], from: &[u8]) -> &'a mut [u8] {
    let Some((here, behind)) = to.split_at_mut_checked(from.len()) else { return &mut [] };
    match from.len() {
        2..=3 => copy_ends::<2>(here, from),
        4..=8 => copy_ends::<4>(here, from),
        9..=16 => copy_ends::<8>(here, from),
        17..=32 => copy_ends::<16>(here, from),
        33..=64 => copy_ends::<32>(here, from),
        _ => here.copy_from_slice(from),
    }
    behind
}

/// Copies both ends, which are all of something no longer than two of them.
#[inline(always)]
fn copy_ends<const LEN: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<LEN>(), from.first_chunk()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<LEN>(), from.last_chunk()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::put;

    #[test]
    fn every_length_is_copied_to_its_last_byte() {
        for len in 0..200 {
            let from: Vec<u8> = (1..=len).collect();
            let mut to = vec![0; from.len() + 2];
            let behind = put(&mut to, &from);
            assert_eq!(behind, [0, 0]);
            assert_eq!(to[..from.len()], from);
            assert_eq!(to[from.len()..], [0, 0]);
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut to = [0; 3];
        assert!(put(&mut to, b"four").is_empty());
        assert_eq!(to, [0; 3]);
    }
}
