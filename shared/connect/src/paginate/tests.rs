//! Where the next page is, and when there is none, for each strategy.

use crate::value::json;

use super::Rounds;

#[test]
fn a_circle_of_pages_is_noticed_whatever_its_length() {
    for length in [1, 2, 3, 7, 50] {
        let mut rounds = Rounds::default();
        let noticed =
            (0..10 * length + 10).any(|page| rounds.went(&json!(page % length), &[page as u8], false).is_err());
        assert!(noticed, "a circle of {length}");
    }
}

#[test]
fn a_source_that_sends_one_page_for_ever_is_noticed() {
    let mut rounds = Rounds::default();
    assert!((0..100).any(|page| rounds.went(&json!(page), b"the same", false).is_err()));
}

#[test]
fn a_long_listing_goes_on() {
    let mut rounds = Rounds::default();
    assert!((0..5000_u32).all(|page| rounds.went(&json!(page), &page.to_le_bytes(), false).is_ok()));
}
