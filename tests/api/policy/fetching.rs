//! When a call with a result is fetched.

use proptest::prelude::{any, prop_assert, proptest};
use ringback::call::{
    policy::{Due, JITTER, Plan},
    record::{CallRecord, CallState, FetchReason},
    time::SECOND,
};

use super::{Life, default_plan, ended, failed, report, rest};

#[test]
fn the_delays_follow_one_after_another() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    assert_eq!(life.due(), Some((3 * SECOND, FetchReason::Enrich)));
    assert_eq!(life.fails_on(99), [3, 5, 8, 15, 30]);
}

#[test]
fn events_between_put_no_fetch_off() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    life.hears(1_000, CallRecord::default());
    life.hears(1_500, CallRecord { state: CallState::Ended, ..CallRecord::default() });
    assert_eq!(life.due(), Some((500, FetchReason::Enrich)));
}

#[test]
fn a_report_turns_a_check_into_a_fetch() {
    let mut life = Life::new(default_plan());
    life.hears(0, CallRecord { state: CallState::Ended, ..CallRecord::default() });
    assert_eq!(life.due(), Some((20 * SECOND, FetchReason::Check)));
    life.hears(2_000, report());
    assert_eq!(life.due(), Some((3 * SECOND, FetchReason::Enrich)));
}

#[test]
fn a_check_that_finds_the_end_begins_the_delays() {
    let mut life = Life::new(default_plan());
    life.hears(0, CallRecord { state: CallState::Ended, ..CallRecord::default() });
    assert_eq!(life.fetches(ended("1"), rest()), (20 * SECOND, FetchReason::Check));
    assert_eq!(life.due(), Some((3 * SECOND, FetchReason::Enrich)));
    assert_eq!(life.fails_on(9), [3, 5, 8, 15, 30], "the check was none of them");
}

#[test]
fn retry_after_lengthens_and_never_shortens() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    life.fetches_told_to_wait(failed(), CallRecord::default(), Some(60 * SECOND));
    assert_eq!(life.due(), Some((60 * SECOND, FetchReason::Enrich)));
    life.fetches_told_to_wait(failed(), CallRecord::default(), Some(1));
    assert_eq!(life.due(), Some((8 * SECOND, FetchReason::Enrich)));
}

#[test]
fn somebodys_wish_goes_first_and_the_delays_go_on() {
    let mut life = Life::new(default_plan());
    life.hears(0, report());
    life.is_asked_for(FetchReason::Manual);
    life.hears(0, CallRecord::default());
    assert_eq!(life.due(), Some((0, FetchReason::Manual)), "an event does not cancel it");
    life.fetches(failed(), CallRecord::default());
    assert_eq!(life.due(), Some((3 * SECOND, FetchReason::Enrich)), "it was none of the tries");
}

#[test]
fn a_wish_after_the_end_is_granted_and_settles_nothing_anew() {
    let mut life = Life::new(Plan { can_ask: true, delays: vec![SECOND], ..default_plan() });
    life.hears(0, report());
    life.fetches(ended("1"), rest());
    assert!(life.settled().is_some() && life.pending.is_none());
    life.is_asked_for(FetchReason::Manual);
    life.hears(500, report());
    assert_eq!(life.due(), Some((-500, FetchReason::Manual)), "a late report does not cancel it");
    life.fetches(ended("2"), rest());
    assert_eq!(life.due(), None);
}

#[test]
fn a_wish_of_a_call_that_a_report_settles_is_still_granted() {
    let mut life = Life::new(default_plan());
    life.hears(0, CallRecord { state: CallState::InProgress, ..CallRecord::default() });
    life.is_asked_for(FetchReason::Manual);
    life.hears(0, CallRecord { started_at: None, ..report() });
    life.record.heard_live = false;
    assert_eq!(life.due().map(|(_, why)| why), Some(FetchReason::Manual));
}

#[test]
fn what_pollers_wait_for_goes_before_wishes_and_wishes_before_checks() {
    let urgency = |reason| Due { at: super::START, reason }.urgency();
    assert!(urgency(FetchReason::Enrich) < urgency(FetchReason::Manual) && urgency(FetchReason::Manual) < urgency(FetchReason::Check));
}

proptest! {
    #[test]
    fn jitter_moves_a_delay_by_a_tenth_at_most(jitter in -3.0..3.0_f64, delay in 1_000..3_600_000_i64) {
        let mut life = Life::new(Plan { delays: vec![delay; 3], ..default_plan() });
        life.jitter = jitter;
        life.hears(0, report());
        let (wait, _) = life.due().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "an hour of milliseconds")]
        let moved = (wait - delay) as f64 / delay as f64;
        prop_assert!(moved.abs() <= JITTER + 1e-3, "{moved}");
        prop_assert!((moved - jitter.clamp(-1.0, 1.0) * JITTER).abs() < 1e-3);
    }

    #[test]
    fn every_call_with_a_result_comes_to_its_end(outcomes in proptest::collection::vec(any::<u8>(), 0..12), jitter in -1.0..1.0_f64) {
        let mut life = Life::new(default_plan());
        life.jitter = jitter;
        life.hears(0, report());
        let mut outcomes = outcomes.into_iter();
        while life.pending.is_some() {
            let (outcome, answer) = match outcomes.next().unwrap_or_default() % 4 {
                0 => (failed(), CallRecord::default()),
                1 => (ended("1"), rest()),
                2 => (ended("2"), rest()),
                _ => (ringback::call::record::FetchOutcome::Unknown, CallRecord::default()),
            };
            life.fetches(outcome, answer);
            prop_assert!(life.fetches <= 5, "never more than the delays");
        }
        prop_assert!(life.record.is_done());
        prop_assert!(life.now.since(super::START) <= 68 * SECOND, "and within 61 s and a tenth");
    }
}
