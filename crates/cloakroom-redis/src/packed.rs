//! A command as it is sent, for those of nearly every request: written once, and only copied from then on.

/// Arguments with their lengths.
pub(crate) struct Packed(Vec<u8>);

impl Packed {
    /// A command of so many words, which take about so many bytes.
    pub(crate) fn new(words: usize, room: usize) -> Self {
        let mut packed = Packed(Vec::with_capacity(room + 16 * words));
        packed.line(b'*', words as u64);
        packed
    }

    pub(crate) fn word(&mut self, word: &[u8]) -> &mut Self {
        self.line(b'$', word.len() as u64);
        self.0.extend_from_slice(word);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        let mut digits = [0; MOST_DIGITS];
        self.word(decimal(number, &mut digits))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn line(&mut self, sort: u8, number: u64) {
        self.0.push(sort);
        let mut digits = [0; MOST_DIGITS];
        self.0.extend_from_slice(decimal(number, &mut digits));
        self.0.extend_from_slice(b"\r\n");
    }
}

const MOST_DIGITS: usize = 20;

fn decimal(mut number: u64, digits: &mut [u8; MOST_DIGITS]) -> &[u8] {
    let mut first = MOST_DIGITS;
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first = at;
        if number == 0 {
            break;
        }
    }
    digits.get(first..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_what_the_library_would_send(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6), number in prop_oneof![any::<u64>(), 0..200_u64]) {
            let mut packed = Packed::new(words.len() + 1, 100);
            let mut library = redis::Cmd::new();
            for word in &words {
                packed.word(word);
                library.arg(word.as_slice());
            }
            packed.number(number);
            library.arg(number);
            prop_assert_eq!(packed.as_bytes(), library.get_packed_command());
        }
    }
}
