//! The three laws, over records made of real-shaped bodies.

use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
use ringback::call::{
    field::{Cost, Rank, Stamped},
    join::{join, normal},
    record::CallRecord,
};

use super::events::{event, living_event, record};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn it_does_not_matter_which_comes_first(a in record(), b in record()) {
        prop_assert_eq!(join(a.clone(), b.clone()), join(b, a));
    }

    #[test]
    fn it_does_not_matter_which_are_joined_first(a in record(), b in record(), c in record()) {
        prop_assert_eq!(join(join(a.clone(), b.clone()), c.clone()), join(a, join(b, c)));
    }

    #[test]
    fn a_repeat_changes_nothing(a in record(), b in record()) {
        prop_assert_eq!(&join(a.clone(), a.clone()), &a);
        let both = join(a.clone(), b.clone());
        prop_assert_eq!(&join(both.clone(), b), &both);
        prop_assert_eq!(&join(a, both.clone()), &both);
    }

    #[test]
    fn nothing_adds_nothing(a in record()) {
        prop_assert_eq!(&join(a.clone(), CallRecord::default()), &a);
        prop_assert_eq!(&join(CallRecord::default(), a.clone()), &a);
    }

    #[test]
    fn whatever_is_made_is_in_normal_form_and_survives_the_store(a in record(), b in event()) {
        let both = join(a, b);
        prop_assert_eq!(&normal(both.clone()), &both);
        let stored = serde_json::to_vec(&both).expect("a record serialises");
        prop_assert_eq!(&serde_json::from_slice::<CallRecord>(&stored).expect("and loads"), &both);
    }

    #[test]
    fn an_amount_survives_the_store_to_the_last_bit(amount in any::<f64>().prop_filter("what JSON can hold", |amount| amount.is_finite())) {
        let cost = Some(Stamped { value: Cost(amount), rank: Rank::REPORT, sent_at: None });
        let record = CallRecord { cost, ..CallRecord::default() };
        let stored = serde_json::to_vec(&record).expect("a record serialises");
        prop_assert_eq!(serde_json::from_slice::<CallRecord>(&stored).expect("and loads"), record);
    }

    #[test]
    fn nothing_known_is_ever_forgotten(a in living_event(), b in living_event()) {
        let both = join(a.clone(), b);
        prop_assert!(both.state >= a.state);
        prop_assert!(both.has_result() || !a.has_result());
        prop_assert!(both.heard_live || !a.heard_live);
        prop_assert!(both.settled >= a.settled);
        prop_assert!(both.has_summary() || !a.has_summary());
        prop_assert!(both.has_any_output() || !a.has_any_output());
        prop_assert!(both.transcript_text().is_empty() <= a.transcript_text().is_empty());
        prop_assert!(a.metadata.keys().all(|key| both.metadata.contains_key(key)));
        prop_assert!(a.tool_calls.keys().all(|id| both.tool_calls.contains_key(id)));
        prop_assert!(a.fetches.keys().all(|id| both.fetches.contains_key(id)));
    }
}
