//! Compresses blocks of as many streams of SHA-1 as a vector has lanes, all at once.

use std::array;

use pulp::{Simd, WithSimd};

use super::{Block, State};

/// FIPS 180-4, section 4.2.1: of each twenty steps.
const CONSTANTS: [u32; 4] = [0x5A82_7999, 0x6ED9_EBA1, 0x8F1B_BCDC, 0xCA62_C1D6];

/// Takes as many blocks as each of the first `L` lanes has, of which vectors of `S` must have just as many. Where there are fewer lanes, the first one fills the others' places.
pub(super) fn advance<S: Simd, const L: usize>(simd: S, lanes: &mut [(&mut State, &[Block])]) {
    let count = lanes.len().min(L);
    let lanes = &mut lanes[..count];
    let len = lanes.iter().map(|(_, blocks)| blocks.len()).min().unwrap_or(0);
    let place = |lane: usize| if lane < count { lane } else { 0 };
    let states = array::from_fn(|lane| *lanes[place(lane)].0);
    let blocks = array::from_fn(|lane| &lanes[place(lane)].1[..len]);
    let states = simd.vectorize(Together::<'_, L> { states, blocks });
    for ((state, blocks), new) in lanes.iter_mut().zip(states) {
        **state = new;
        *blocks = &blocks[len..];
    }
}

/// Compresses the blocks of `L` lanes, of which each has as many.
struct Together<'a, const L: usize> {
    states: [State; L],
    blocks: [&'a [Block]; L],
}

/// Begins where a vector can be read at once.
#[repr(align(64))]
struct Aligned<T>(T);

impl<const L: usize> WithSimd for Together<'_, L> {
    type Output = [State; L];

    // In here so that it becomes code for the processor that `S` stands for, as everything that it calls.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
        let vector = |words: &[u32; L]| S::as_simd_u32s(words).0[0];
        let add = |a, b| simd.add_u32s(a, b);
        let xor = |a, b| simd.xor_u32s(a, b);
        let rotate = |x, by: u32| {
            let left = simd.wrapping_dyn_shl_u32s(x, simd.splat_u32s(by));
            simd.or_u32s(left, simd.wrapping_dyn_shr_u32s(x, simd.splat_u32s(32 - by)))
        };
        let count = self.blocks[0].len();
        let blocks = self.blocks.map(|blocks| &blocks[..count]);
        let mut state: [S::u32s; 5] = array::from_fn(|word| {
            vector(&Aligned::<[u32; L]>(array::from_fn(|lane| self.states[lane][word])).0)
        });
        for at in 0..count {
            let mut words = Aligned([[0; L]; 16]);
            for (lane, blocks) in blocks.iter().enumerate() {
                for (row, word) in words.0.iter_mut().zip(blocks[at].as_chunks().0) {
                    row[lane] = u32::from_be_bytes(*word);
                }
            }
            let mut w: [S::u32s; 16] = array::from_fn(|t| vector(&words.0[t]));
            let [mut a, mut b, mut c, mut d, mut e] = state;
            // Written out, so that each step knows which words it takes: a loop of eighty is not unrolled, and takes half as long again.
            macro_rules! steps {
                ($($t:literal)*) => {$({
                    const T: usize = $t;
                    if T >= 16 {
                        let odd = xor(w[(T - 3) % 16], w[(T - 8) % 16]);
                        w[T % 16] = rotate(xor(odd, xor(w[(T - 14) % 16], w[T % 16])), 1);
                    }
                    // `Ch`, `Parity` and `Maj` of FIPS 180-4, section 4.1.1, the first and last in shorter forms.
                    let f = match T / 20 {
                        0 => xor(d, simd.and_u32s(b, xor(c, d))),
                        2 => xor(simd.and_u32s(b, c), simd.and_u32s(d, xor(b, c))),
                        _ => xor(b, xor(c, d)),
                    };
                    let constant = simd.splat_u32s(CONSTANTS[T / 20]);
                    let sum = add(add(rotate(a, 5), f), add(add(e, constant), w[T % 16]));
                    (a, b, c, d, e) = (sum, a, rotate(b, 30), c, d);
                })*};
            }
            steps!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19);
            steps!(20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39);
            steps!(40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59);
            steps!(60 61 62 63 64 65 66 67 68 69 70 71 72 73 74 75 76 77 78 79);
            let [va, vb, vc, vd, ve] = state;
            state = [add(va, a), add(vb, b), add(vc, c), add(vd, d), add(ve, e)];
        }
        let mut states = [[0; 5]; L];
        for (word, vector) in state.into_iter().enumerate() {
            let mut lanes = Aligned([0; L]);
            S::as_mut_simd_u32s(&mut lanes.0).0[0] = vector;
            states.iter_mut().zip(lanes.0).for_each(|(state, lane)| state[word] = lane);
        }
        states
    }
}
