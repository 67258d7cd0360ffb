//! Which calls may have some words in them: a sieve that lets all of those through, and few others.
//!
//! `q` looks for words anywhere in a text, parts of words included, so what is noted of a text are its *grams*: all runs of three characters
//! without a space. A word can only stand where all of its grams do. Calls come in blocks of [`SLOTS`]; a block has a number of *slices*, each a
//! bit for every call: a gram belongs to one slice, by its hash, and sets there the bits of the calls that have it. To look for a word is to
//! read a few slices of every block and keep the calls whose bits are set in all of them. What comes through is then looked at.
//!
//! A slice tells nothing of a text but that a hash of some gram is in it. Of an erased call, the bits go when its block is made anew.

/// Calls of a block.
pub(super) const SLOTS: usize = 1_024;
/// Bytes of a slice.
pub(super) const BYTES: usize = SLOTS / 8;
/// Slices of a block of long texts.
const MOST_SLICES: usize = 8_192;
/// Slices of a block that says next to nothing.
const FEWEST_SLICES: usize = 64;
/// A block has as many slices as keep no more than one bit in so many set: more would let too much through, fewer would take more room.
const ONE_IN: usize = 8;
/// Grams looked for, at most: more make no difference.
const MOST_GRAMS: usize = 24;
/// Characters of a gram.
const LENGTH: usize = 3;

/// The calls of a block, a bit for each.
pub(super) type Slice = [u8; BYTES];

/// Where the gram of three characters stands, before blocks fold it into fewer slices.
fn place(gram: [char; LENGTH]) -> usize {
    let mixed =
        gram.into_iter().fold(0_u64, |hash, it| (hash ^ u64::from(u32::from(it))).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29));
    let high = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
    usize::try_from(high).unwrap_or_default() % MOST_SLICES
}

fn grams(text: &str) -> impl Iterator<Item = usize> {
    let mut last = [' '; LENGTH];
    text.chars().filter_map(move |it| {
        last = [last[1], last[2], it];
        last.iter().all(|it| !it.is_whitespace()).then(|| place(last))
    })
}

/// What words look for. Made of words in lower case, as texts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted(Vec<usize>);

impl Wanted {
    /// `None` when every word is so short that it may stand anywhere.
    pub(super) fn of(words: &[String]) -> Option<Self> {
        let mut places: Vec<usize> = words.iter().flat_map(|word| grams(word)).collect();
        places.sort_unstable();
        places.dedup();
        // Hashes are as good as shuffled.
        places.truncate(MOST_GRAMS);
        (!places.is_empty()).then_some(Self(places))
    }

    /// The slices to look at in a block of so many.
    pub(super) fn slices(&self, of: usize) -> Vec<usize> {
        let mut slices: Vec<usize> = self.0.iter().map(|place| place % of.max(1)).collect();
        slices.sort_unstable();
        slices.dedup();
        slices
    }
}

/// Keeps the calls whose bits are set in both; tells whether any is left.
pub(super) fn keep(calls: &mut Slice, slice: &[u8]) -> bool {
    for (at, byte) in calls.iter_mut().enumerate() {
        *byte &= slice.get(at).copied().unwrap_or_default();
    }
    calls.iter().any(|byte| *byte != 0)
}

/// The slots of the calls whose bits are set.
pub(super) fn slots(calls: &Slice) -> impl Iterator<Item = usize> {
    (0..SLOTS).filter(|slot| calls[slot / 8] >> (slot % 8) & 1 == 1)
}

/// A block in the making.
pub(super) struct Block {
    slices: Vec<Slice>,
    calls: usize,
}

impl Block {
    pub(super) fn new() -> Self {
        Self { slices: vec![[0; BYTES]; MOST_SLICES], calls: 0 }
    }

    /// Notes the text, in lower case, of the call in a slot.
    pub(super) fn add(&mut self, slot: usize, text: &str) {
        self.calls += 1;
        for place in grams(text) {
            self.slices[place][slot / 8] |= 1 << (slot % 8);
        }
    }

    /// The slices, no more than needed.
    pub(super) fn folded(mut self) -> Vec<Slice> {
        while self.slices.len() > FEWEST_SLICES {
            let (low, high) = self.slices.split_at(self.slices.len() / 2);
            let folded: Vec<Slice> = low.iter().zip(high).map(|(a, b)| std::array::from_fn(|at| a[at] | b[at])).collect();
            let bits: usize = folded.iter().flatten().map(|byte| byte.count_ones() as usize).sum();
            if bits * ONE_IN > folded.len() * self.calls {
                break;
            }
            self.slices = folded;
        }
        self.slices
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prop_assert, proptest};

    use super::{Block, SLOTS, Slice, Wanted, keep, slots};

    fn found(slices: &[Slice], words: &[&str]) -> Option<Vec<usize>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let mut calls = [0xff; super::BYTES];
        for slice in Wanted::of(&words)?.slices(slices.len()) {
            keep(&mut calls, &slices[slice]);
        }
        Some(slots(&calls).collect())
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_text_is_found(texts in vec("[a-dä \n]{0,40}", 1..30), at in 0_usize..30, from in 0_usize..40, length in 1_usize..12) {
            let mut block = Block::new();
            for (slot, text) in texts.iter().enumerate() {
                block.add(slot * 7 % SLOTS, text);
            }
            let slices = block.folded();
            let (slot, text) = (at % texts.len(), &texts[at % texts.len()]);
            let part: String = text.chars().skip(from).take(length).collect();
            let words: Vec<&str> = part.split_whitespace().collect();
            if let Some(found) = found(&slices, &words) {
                prop_assert!(found.contains(&(slot * 7 % SLOTS)), "{words:?} in {text:?}");
            }
        }
    }

    #[test]
    fn little_else_comes_through_whether_texts_are_long_or_short() {
        for (words, least, most) in [(3_usize, 64, 2_048), (600, 4_096, 8_192)] {
            let mut block = Block::new();
            for slot in 0..SLOTS {
                let text: Vec<String> = (0..words).map(|word| format!("w{:x}", (slot * 7_919 + word * 104_729) % 50_021)).collect();
                block.add(slot, &text.join(" "));
            }
            let slices = block.folded();
            assert!((least..=most).contains(&slices.len()), "{}", slices.len());
            let through = found(&slices, &["plumbing"]).unwrap().len();
            assert!(through < 5, "{through} of {words} words each");
        }
    }

    #[test]
    fn short_words_are_not_sieved() {
        assert_eq!((Wanted::of(&["ab".to_owned(), "ü".to_owned()]), Wanted::of(&[])), (None, None));
        assert!(Wanted::of(&["ab".to_owned(), "abc".to_owned()]).is_some());
        assert_eq!(Wanted::of(&["plumbing".to_owned()]).unwrap().slices(1), [0]);
    }
}
