//! Phone numbers.

use std::ops::RangeInclusive;

/// Digits of a number that can be dialled from anywhere (E.164; shorter ones are numbers within a country or a house).
const DIGITS: RangeInclusive<usize> = 7..=15;

/// Is this a number that can be dialled from anywhere: a plus, and 7 to 15 digits of which the first is not 0?
#[must_use]
pub fn is_e164(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    DIGITS.contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::is_e164;

    #[test]
    fn a_number_has_a_plus_and_its_country() {
        for number in ["+15551234567", "+3231234", "+123456789012345"] {
            assert!(is_e164(number), "{number}");
        }
        for other in
            ["", "+", "15551234567", "+05551234567", "+123456", "+1234567890123456", "+1555 123 4567", "+1555123456७", "++15551234567"]
        {
            assert!(!is_e164(other), "{other}");
        }
    }
}
