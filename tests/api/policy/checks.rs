//! Calls heard of without a report.

use ringback::call::{
    policy::{LONGEST_CHECK_INTERVAL, Plan, is_unknown_to_vapi},
    record::{CallRecord, CallState, FetchOutcome, FetchReason},
    time::SECOND,
};

use super::{Life, default_plan, denied, failed};

const HOUR: i64 = 3_600 * SECOND;

fn state(state: CallState) -> CallRecord {
    CallRecord { state, ..CallRecord::default() }
}

#[test]
fn twenty_seconds_after_the_end_the_report_is_missed() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress)).hears(60_000, state(CallState::Ended));
    assert_eq!(life.due(), Some((20 * SECOND, FetchReason::Check)));
    life.hears(5_000, state(CallState::Ended));
    life.hears(5_000, CallRecord::default());
    assert_eq!(life.due(), Some((10 * SECOND, FetchReason::Check)), "later events do not put it off");
}

#[test]
fn after_the_end_checks_go_on_at_doubling_intervals() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::Ended));
    let waits: Vec<i64> = (0..14).map(|_| life.fetches(FetchOutcome::Live, CallRecord::default()).0 / SECOND).collect();
    assert_eq!(waits[..5], [20, 40, 80, 160, 320]);
    assert_eq!(waits[11..], [LONGEST_CHECK_INTERVAL / SECOND; 3], "up to six hours");
    assert!(life.settled().is_none());
}

#[test]
fn a_check_that_got_no_answer_is_made_again_soon_and_never_later_than_usual() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::Ended));
    assert_eq!(life.fails_on(6), [20, 5, 10, 20, 40, 80]);
    life.fetches(FetchOutcome::Live, CallRecord::default());
    assert_eq!(life.fails_on(2), [20 << 7, 5], "an answer brings the usual interval back");
    let mut life = Life::new(Plan { grace: SECOND, ..default_plan() });
    life.hears(0, state(CallState::InProgress));
    assert_eq!(life.fails_on(3), [1, 2, 4]);
}

#[test]
fn a_live_call_is_checked_once_it_falls_silent() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress));
    assert_eq!(life.due(), Some((120 * SECOND, FetchReason::Check)));
    life.hears(100_000, CallRecord::default());
    assert_eq!(life.due(), Some((120 * SECOND, FetchReason::Check)), "every event begins the silence anew");
    let mut waits = Vec::new();
    for _ in 0..10 {
        waits.push(life.fetches(FetchOutcome::Live, state(CallState::InProgress)).0 / SECOND);
    }
    assert_eq!(waits, [120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 21_600, 21_600]);
}

#[test]
fn a_new_silence_is_counted_from_its_own_beginning() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress));
    life.fails_on(6);
    life.hears(1_000, CallRecord::default());
    assert_eq!(life.fails_on(3), [120, 5, 10]);
}

#[test]
fn what_makes_no_facts_breaks_no_silence() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress));
    life.overhears(100_000);
    assert_eq!(life.due(), Some((20 * SECOND, FetchReason::Check)), "a partial transcript, kept or not");
    life.fetches(FetchOutcome::Live, state(CallState::InProgress));
    life.overhears(100_000);
    assert_eq!(life.due(), Some((140 * SECOND, FetchReason::Check)));
}

#[test]
fn every_state_before_the_end_counts_as_live() {
    for early in
        [CallState::Unknown, CallState::Scheduled, CallState::Queued, CallState::Ringing, CallState::InProgress, CallState::Forwarding]
    {
        let mut life = Life::new(Plan { grace: 30 * SECOND, ..default_plan() });
        life.hears(0, state(early));
        assert_eq!(life.due(), Some((30 * SECOND, FetchReason::Check)), "{early:?}");
    }
}

#[test]
fn without_a_key_nothing_is_checked() {
    let mut life = Life::new(Plan { can_ask: false, ..default_plan() });
    life.hears(0, state(CallState::InProgress)).hears(0, state(CallState::Ended));
    assert_eq!(life.due(), None);
}

#[test]
fn without_delays_calls_are_checked_all_the_same() {
    let mut life = Life::new(Plan { delays: Vec::new(), ..default_plan() });
    life.hears(0, state(CallState::Ended));
    assert_eq!(life.due(), Some((20 * SECOND, FetchReason::Check)));
}

#[test]
fn two_404s_a_minute_apart_end_the_checks() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress));
    life.fetches(FetchOutcome::Unknown, CallRecord::default());
    assert!(!is_unknown_to_vapi(&life.record));
    assert_eq!(life.due(), Some((60 * SECOND, FetchReason::Check)));
    life.fetches(FetchOutcome::Unknown, CallRecord::default());
    assert!(is_unknown_to_vapi(&life.record));
    assert_eq!(life.due(), None);
}

#[test]
fn two_404s_at_once_do_not() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress));
    life.fetches(FetchOutcome::Unknown, CallRecord::default());
    life.is_asked_for(FetchReason::Manual).fetches(FetchOutcome::Unknown, CallRecord::default());
    assert!(!is_unknown_to_vapi(&life.record));
    assert_eq!(life.due(), Some((60 * SECOND, FetchReason::Check)));
}

#[test]
fn an_event_after_the_404s_refutes_them() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress));
    life.fetches(FetchOutcome::Unknown, CallRecord::default());
    life.fetches(FetchOutcome::Unknown, CallRecord::default());
    life.hears(1_000, state(CallState::InProgress));
    assert!(!is_unknown_to_vapi(&life.record));
    assert_eq!(life.due(), Some((120 * SECOND, FetchReason::Check)));
}

#[test]
fn a_404_between_failures_is_confirmed_later() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress));
    life.fetches(FetchOutcome::Unknown, CallRecord::default());
    life.fetches(failed(), CallRecord::default());
    life.fetches(FetchOutcome::Unknown, CallRecord::default());
    assert!(is_unknown_to_vapi(&life.record));
}

#[test]
fn a_refused_key_ends_no_checks_and_retry_after_is_honoured() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::Ended));
    life.fetches_told_to_wait(denied(), CallRecord::default(), Some(HOUR));
    assert_eq!(life.due(), Some((HOUR, FetchReason::Check)));
}

#[test]
fn somebodys_wish_about_a_live_call_goes_first() {
    let mut life = Life::new(default_plan());
    life.hears(0, state(CallState::InProgress));
    life.is_asked_for(FetchReason::Manual);
    life.hears(0, CallRecord::default());
    assert_eq!(life.due(), Some((0, FetchReason::Manual)));
    life.fetches(FetchOutcome::Live, state(CallState::InProgress));
    assert_eq!(life.due(), Some((120 * SECOND, FetchReason::Check)), "and is no check");
}
